"""What was recorded, looked at by the benchmarks: the table, every byte and every picture; and how to wait for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np


class LostFramesError(Exception):
    """A frame is missing that nobody was allowed to lose, or a picture is not the one that the table says."""


def table_of(folder: Path) -> Any:
    """Return the frame table of a folder; an empty one where nothing is stored yet."""
    from uuid import UUID

    from cameras import frametable

    try:
        return frametable.read(folder)
    except (FileNotFoundError, frametable.TableError):
        return frametable.FrameTable(UUID(int=0), 0, np.empty(0, frametable.DTYPE), 0, 0, 0)


def look_at_every_picture(folder: Path, table: Any) -> None:
    """Decode all pictures and compare their numbers with the table; LostFramesError names the first that is another."""
    from cameras import frametable
    from cameras.agent.strip import read_number

    for segment in np.unique(table.records["segment"]):
        mine = table.records[table.records["segment"] == segment]
        data = (folder / frametable.segment_name(int(segment))).read_bytes()
        if len(data) != int(mine["length"].sum()):
            raise LostFramesError(f"{folder.name}: segment {segment} has bytes that the table does not know")
        for record in mine:
            start = int(record["offset"])
            encoded = np.frombuffer(data, np.uint8, int(record["length"]), start)
            picture = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)
            if picture is None or read_number(picture) != record["sequence"]:
                raise LostFramesError(f"{folder.name}: the picture of frame {record['sequence']} is another")


def until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> None:
    """Wait for a condition, also over a database that was just restarted; TimeoutError names what did not come."""
    from django.db import Error as DatabaseError
    from django.db import connection

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except DatabaseError:
            connection.close()
        time.sleep(0.1)
    raise TimeoutError(f"{what} did not come within {seconds:.0f} s")
