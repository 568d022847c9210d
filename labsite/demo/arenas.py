"""The boxes of the simulated laboratory: their size, how an animal moves in them, and how long until it all repeats.

Coordinates are cm, x to the right and y down as in the cameras' pictures, with the origin in the arena's corner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Motion = Literal["track", "open-field", "odour"]
Bounds = tuple[float, float, float, float]

ODOURS = ("A", "B", "C", "D", "E")
# How long the animal must keep its nose in the port when the odour is in sequence, as in the published task
# (Allen, Morris, Mattfeld, Stark and Fortin 2014, Learning & Memory 21, 279-286).
HOLD_SECONDS = 1.2


@dataclass(frozen=True)
class Arena:
    """One box: ``bounds`` (x_min, y_min, x_max, y_max, cm), the loop in s, the numbers of simulated neurons.

    ``clearance`` (cm) is how far the middle of the body stays from the wall.
    """

    slug: str
    name: str
    motion: Motion
    shape: Literal["track", "rectangle", "circle"]
    bounds: Bounds
    loop_seconds: float
    seed: int
    place_cells: int = 48
    interneurons: int = 4
    odour_cells: int = 0
    body_cm: float = 15.0
    clearance: float = 5.0

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in cm."""
        x0, y0, x1, y1 = self.bounds
        return x1 - x0, y1 - y0


TRACK = Arena(
    "linear-track", "Linear track", "track", "track", (0, 0, 120, 12), 600.0, seed=11, place_cells=64, interneurons=5
)
SQUARE = Arena("open-field-square", "Open field, square", "open-field", "rectangle", (0, 0, 60, 60), 240.0, seed=12)
ROUND = Arena("open-field-round", "Open field, round", "open-field", "circle", (0, 0, 80, 80), 240.0, seed=13)
ODOUR = Arena(
    "odour-box",
    "Odour sequence box",
    "odour",
    "rectangle",
    (0, 0, 75, 40),
    600.0,
    seed=14,
    place_cells=30,
    odour_cells=20,
    clearance=6.0,
)
ARENAS = {arena.slug: arena for arena in (TRACK, SQUARE, ROUND, ODOUR)}
