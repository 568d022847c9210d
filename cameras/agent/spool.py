"""Frames that the server has not stored yet, on the agent's own disk; one folder for each recording."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from uuid import UUID

from cameras import frametable
from cameras.framestore import Frame, FrameStore
from cameras.wire import FrameHeader, encode

# Small segments, because a segment is given back to the disk when all its frames are stored.
SEGMENT_BYTES = 16 * 1024 * 1024


class Spool:
    """The frames of one recording on disk.

    ``write`` may take as long as a disk takes and can run beside the rest; everything else is quick and is called under
    the outbox's lock, ``commit`` (what was written can be read from now on) among it.
    """

    def __init__(self, root: Path, recording: str) -> None:
        self.folder = root / recording
        self._store = FrameStore(self.folder, UUID(recording), segment_bytes=SEGMENT_BYTES, segment_seconds=3600)
        self._places: dict[int, frametable.FrameRecord] = {}
        self._left: dict[int, int] = {}
        self._bytes: dict[int, int] = {}
        table = frametable.read(self.folder)
        for record in table.in_order().tolist():
            self._take(frametable.FrameRecord(*record[:-1]))
        self._written: list[frametable.FrameRecord] = []
        self._store.on_record = self._written.append

    def _take(self, record: frametable.FrameRecord) -> None:
        self._places[record.sequence] = record
        self._left[record.segment] = self._left.get(record.segment, 0) + 1
        self._bytes[record.segment] = max(self._bytes.get(record.segment, 0), record.offset + record.length)

    @property
    def size(self) -> int:
        """Bytes that the segments take on the disk."""
        return sum(self._bytes.values())

    def sequences(self) -> list[int]:
        """Return the sequence numbers that are here, rising."""
        return sorted(self._places)

    def write(self, frames: list[Frame]) -> None:
        """Write and sync frames; OSError when the disk does not take them."""
        self._store.write(frames)

    def commit(self) -> None:
        """Let what was written be read."""
        for record in self._written:
            self._take(record)
        self._written.clear()

    def read(self, sequence: int) -> bytes:
        """Return the frame message of a number; KeyError when it is not here, TableError when it is damaged."""
        place = self._places[sequence]
        with (self.folder / frametable.segment_name(place.segment, place.codec)).open("rb") as segment:
            picture = os.pread(segment.fileno(), place.length, place.offset)
        if len(picture) != place.length:
            raise frametable.TableError(f"{segment.name} ends before frame {sequence}")
        header = FrameHeader(place.sequence, place.captured_ns, place.width, place.height, place.codec, place.flags)
        return encode(header, picture)

    def forget(self, sequence: int) -> None:
        """The server has this frame; a segment that holds no other is given back to the disk."""
        place = self._places.pop(sequence, None)
        if place is None:
            return
        self._left[place.segment] -= 1
        newest = max(self._left)
        if self._left[place.segment] == 0 and place.segment != newest:
            (self.folder / frametable.segment_name(place.segment, place.codec)).unlink(missing_ok=True)
            del self._left[place.segment], self._bytes[place.segment]

    def close(self) -> None:
        self._store.close()

    def remove(self) -> None:
        """Delete the folder: every frame of the recording is stored by the server."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class StateFile:
    """What an agent must know after a restart: the sequence number it has reached and the recordings it holds."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> dict[str, object]:
        """Return the state, empty when there is none or it is damaged (the server then says where to go on)."""
        try:
            state = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {}
        return state if isinstance(state, dict) else {}

    def save(self, state: dict[str, object]) -> None:
        """Replace the file in one step, so that a crash leaves the old or the new one."""
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(state))
        new.replace(self.path)
