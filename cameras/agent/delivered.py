"""Pictures that a camera delivers as JPEG: passed on byte for byte, decoded only for who needs to see them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

_START = b"\xff\xd8"
# Baseline, extended and progressive frames with Huffman coding: what every browser decodes (ITU-T T.81, table B.1).
_FRAMES = {0xC0, 0xC1, 0xC2}
_TABLES, _SCAN = 0xC4, 0xDA


@dataclass(frozen=True)
class Delivered:
    """A JPEG picture as the camera made it; size in pixels."""

    data: bytes
    width: int
    height: int

    @cached_property
    def picture(self) -> np.ndarray | None:
        """The picture (uint8, BGR), or ``None`` when it is damaged."""
        found = cv2.imdecode(np.frombuffer(self.data, np.uint8), cv2.IMREAD_COLOR)
        return None if found is None else np.asarray(found, np.uint8)


def delivered(data: bytes) -> Delivered | None:
    """Return the picture when it can be shown as it is; ``None`` for what is no JPEG or lacks its Huffman tables.

    Some cameras leave the tables out, since all of their pictures have the same; a browser does not know them.
    """
    if not data.startswith(_START):
        return None
    position, size, tables = 2, None, False
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4], "big")
        if marker in _FRAMES and length >= 8 and position + 9 <= len(data):
            height, width = (int.from_bytes(data[position + at : position + at + 2], "big") for at in (5, 7))
            size = (width, height)
        elif marker == _TABLES:
            tables = True
        elif marker == _SCAN:
            return Delivered(data, *size) if size and all(size) and tables else None
        position += 2 + length
    return None
