"""The behaviour boxes of the simulated laboratory: which arena is in which rig, and the camera above it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from labsite.demo.arenas import ODOUR, ROUND, SQUARE, TRACK, Arena

# Times of the world of one arena are the clock's, so two rigs with the same animal would move in step.
ODOUR_TWO = replace(ODOUR, slug="odour-box-2", seed=24)


@dataclass(frozen=True)
class Box:
    """A rig with one camera above its arena; ``size`` (width, height) in px, ``fps`` in pictures a second."""

    rig: str
    location: str
    description: str
    arena: Arena
    camera: str
    size: tuple[int, int] = (640, 480)
    fps: int = 15

    @property
    def token_name(self) -> str:
        """Name of the file with the camera's token, in the folder of the demo."""
        return f"{self.camera}.token"


TRACK_BOX = Box(
    "Linear track", "Room 1", "Track of 120 cm with a 64-channel probe; simulated.", TRACK, "linear-track-top"
)
SQUARE_BOX = Box(
    "Open field, square", "Room 2", "Square box of 60 cm; simulated.", SQUARE, "open-field-square-top", (480, 360)
)
ROUND_BOX = Box(
    "Open field, round", "Room 2", "Round arena of 80 cm; simulated.", ROUND, "open-field-round-top", (480, 360)
)
ODOUR_BOX = Box("Odour box 1", "Room 3", "Odour port at the left, water at both ends; simulated.", ODOUR, "odour-1-top")
ODOUR_BOX_TWO = Box(
    "Odour box 2",
    "Room 3",
    "Odour port at the left, water at both ends; simulated.",
    ODOUR_TWO,
    "odour-2-top",
    (480, 360),
)
BOXES = (TRACK_BOX, SQUARE_BOX, ROUND_BOX, ODOUR_BOX, ODOUR_BOX_TWO)
BOX_OF_RIG = {box.rig: box for box in BOXES}


def folder(home: Path) -> Path:
    """Return where worlds, tokens and the agent's configuration lie in a LAB_HOME."""
    return home / "demo"
