"""A number that machines read back from a picture: black and white cells along the top edge.

56 cells across the whole width: 4 for the start (1 0 1 0), 40 for the number, 12 for a check. They survive JPEG, H.264
and scaling down to a preview, so a test can tell which frame it sees. The strip is lower than a tracker's opening is
wide.
"""

from __future__ import annotations

import itertools
import zlib

import numpy as np

_START = (1, 0, 1, 0)
_NUMBER_BITS = 40
_CHECK_BITS = 12
CELLS = len(_START) + _NUMBER_BITS + _CHECK_BITS
# One sixtieth of the picture: 8 px of 480.
HEIGHT_FRACTION = 60
_DARK, _BRIGHT = 16, 240


def strip_height(height: int) -> int:
    """Return the strip's height in pixels for a picture of this height."""
    return max(3, round(height / HEIGHT_FRACTION))


def draw_number(picture: np.ndarray, number: int) -> None:
    """Draw the number (0 to 2**40 - 1) into the top rows of a uint8 picture (h x w or h x w x 3), in place."""
    if not 0 <= number < 1 << _NUMBER_BITS:
        raise ValueError(f"{number} does not fit the {_NUMBER_BITS} bits of the strip")
    height, width = picture.shape[:2]
    edges = np.linspace(0, width, CELLS + 1).round().astype(int)
    row = np.repeat(np.where(_bits(number), _BRIGHT, _DARK).astype(np.uint8), np.diff(edges))
    rows = picture[: strip_height(height)]
    rows[:] = row[None, :] if picture.ndim == 2 else row[None, :, None]


def read_number(picture: np.ndarray) -> int | None:
    """Return the number that a picture carries, or ``None`` when it carries none that passes the check."""
    height, width = picture.shape[:2]
    rows = picture[: strip_height(height)]
    if rows.ndim == 3:
        rows = rows.mean(axis=2)
    middle = rows[len(rows) // 4 : max(len(rows) // 4 + 1, len(rows) * 3 // 4)].mean(axis=0)
    edges = np.linspace(0, width, CELLS + 1)
    quarter = (edges[1] - edges[0]) / 4
    cells = [
        middle[int(left + quarter) : max(int(left + quarter) + 1, int(right - quarter) + 1)].mean()
        for left, right in itertools.pairwise(edges)
    ]
    bits = [int(cell > (_DARK + _BRIGHT) / 2) for cell in cells]
    number = int("".join(map(str, bits[len(_START) : len(_START) + _NUMBER_BITS])), 2)
    return number if bits == _bits(number) else None


def _bits(number: int) -> list[int]:
    check = zlib.crc32(number.to_bytes(5, "big")) & ((1 << _CHECK_BITS) - 1)
    body = f"{number:0{_NUMBER_BITS}b}{check:0{_CHECK_BITS}b}"
    return [*_START, *map(int, body)]
