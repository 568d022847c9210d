"""A piece of a recording as it was recorded: the original pictures of a time, and their frame table; no Django.

The piece is a ZIP without compression (pictures are compressed already), written while it is sent. Unpacked it is a
recording's folder like any other: ``frametable.read`` reads it. Every picture has the bytes it was stored with.
A piece of H.264 begins with the key frame that its first picture is decoded from.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

from cameras import frametable

COPIED_AT_ONCE = 1 << 20


def select(records: np.ndarray, start: float, stop: float) -> np.ndarray:
    """Return the records captured from ``start`` to ``stop`` (s since the first frame of the recording), both included.

    ``records`` are in the order of their sequence numbers.
    """
    seconds = (records["captured_ns"].astype(np.int64) - int(records["captured_ns"][0])) / 1e9
    return records[(seconds >= start) & (seconds <= stop)]


def with_key_frames(records: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return ``chosen``, which is a piece of ``records``, with those before it that its first picture needs."""
    first = int(np.searchsorted(records["sequence"], chosen["sequence"][0]))
    return np.concatenate([records[frametable.group_start(records, first) : first], chosen])


def cut(folder: Path, recording: UUID, records: np.ndarray, *, name: str, about: dict[str, Any]) -> Iterator[bytes]:
    """Yield the ZIP of the records of a recording's folder; below ``name`` are segments, tables and ``cut.json``."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED, allowZip64=True) as out:
        # In the order in which they lie there, so that late frames stay behind as they were.
        placed = records[np.lexsort((records["offset"], records["segment"]))]
        for segment in np.unique(placed["segment"]).tolist():
            mine = placed[placed["segment"] == segment]
            segment_name = frametable.segment_of(mine[0])
            with out.open(f"{name}/{segment_name}", "w", force_zip64=True) as target:
                for chunk in _bytes_of(folder / segment_name, mine):
                    target.write(chunk)
                    yield from sink.taken()
        moved = _moved(placed)
        table = frametable.file_header(recording) + frametable.pack_records(moved)
        out.writestr(f"{name}/frames.labt", table)
        yield from sink.taken()
        out.writestr(f"{name}/frames.csv", _csv(frametable.parse(table)))
        clock = folder / "clock.json"
        if clock.is_file():
            out.writestr(f"{name}/clock.json", clock.read_bytes())
        out.writestr(f"{name}/cut.json", json.dumps(about, indent=2))
    yield from sink.taken()


def _bytes_of(path: Path, records: np.ndarray) -> Iterator[bytes]:
    """Yield the pictures of one segment, neighbours in one go."""
    starts, ends = records["offset"].astype(np.int64), (records["offset"] + records["length"]).astype(np.int64)
    breaks = np.flatnonzero(starts[1:] != ends[:-1]) + 1
    with path.open("rb") as segment:
        for run in np.split(np.arange(len(records)), breaks):
            position, end = int(starts[run[0]]), int(ends[run[-1]])
            while position < end:
                chunk = os.pread(segment.fileno(), min(COPIED_AT_ONCE, end - position), position)
                if not chunk:
                    raise frametable.TableError(f"{path.name} ends at byte {position}, before its last picture")
                position += len(chunk)
                yield chunk


def _moved(placed: np.ndarray) -> Iterator[frametable.FrameRecord]:
    offset, segment = 0, None
    for record in placed:
        if record["segment"] != segment:
            offset, segment = 0, record["segment"]
        values = {field: int(record[field]) for field in frametable.FrameRecord._fields}
        yield frametable.FrameRecord(**{**values, "offset": offset})
        offset += values["length"]


def _csv(table: frametable.FrameTable) -> str:
    text = io.StringIO()
    frametable.write_csv(table.in_order(), text)
    return text.getvalue()


class _Sink(io.RawIOBase):
    """Where the ZIP is written to: kept until it is taken, and never gone back in."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def taken(self) -> Iterator[bytes]:
        """Yield what was written since the last time."""
        pieces, self._pieces = self._pieces, []
        if pieces:
            yield b"".join(pieces)
