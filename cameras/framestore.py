"""Frames on a disk: rolling segments of concatenated pictures and the table that says where each one is.

The server's recorder and the agent's spool keep frames the same way. A call of ``write`` returns when pictures and
records are synced, pictures first; so whatever the moment of a crash, each record that can be read has its picture.
"""

from __future__ import annotations

import fcntl
import os
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from cameras import frametable
from cameras.sequences import SequenceSet
from cameras.wire import CODEC_H264, FrameHeader

TABLE = "frames.labt"
# Linux takes at most 1024 buffers in one writev.
_BUFFERS = 1000


class Frame(NamedTuple):
    """A frame on its way to the disk: its header and its encoded picture (no copy is made of it)."""

    header: FrameHeader
    picture: memoryview | bytes


class FrameStore:
    """One recording's folder, open for appending; not thread-safe, one writer at a time.

    Opening an existing folder takes up the recording where the last sound record ends. Bytes after it were never
    reported as stored and are cut off, so that segments and table agree.
    """

    def __init__(
        self, folder: Path, recording: UUID, *, segment_bytes: int = 1_000_000_000, segment_seconds: float = 600.0
    ) -> None:
        self.folder = folder
        self.recording = recording
        self.segment_bytes = segment_bytes
        self.segment_seconds = segment_seconds
        self.stored = SequenceSet()
        self.on_record: Callable[[frametable.FrameRecord], None] | None = None
        self.bytes = 0
        self.first_captured_ns = 0
        self.last_captured_ns = 0
        self._data = -1
        self._segment = 0
        self._codec = 0
        self._segment_size = 0
        self._segment_opened = 0.0
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._table = os.open(folder / TABLE, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            # One writer at a time, also across processes; the lock ends with the process, however that ends.
            fcntl.flock(self._table, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._table_size = self._recover()
        except BaseException:
            self.close()
            raise

    def _recover(self) -> int:
        path = self.folder / TABLE
        if path.stat().st_size < frametable.HEADER_SIZE:
            # Nothing can have been stored before the file header was synced.
            os.ftruncate(self._table, 0)
            os.write(self._table, frametable.file_header(self.recording))
            os.fsync(self._table)
            _sync_folder(self.folder)
            self._segment = max(frametable.segments(self.folder), default=0)
            return frametable.HEADER_SIZE
        table = frametable.read(self.folder, TABLE)
        if table.recording != self.recording:
            raise frametable.TableError(f"{path} belongs to recording {table.recording}, not to {self.recording}")
        if table.torn_bytes:
            os.ftruncate(self._table, table.good_bytes)
            os.fsync(self._table)
        for sequence in table.records["sequence"].tolist():
            self.stored.add(sequence)
        ends: dict[int, int] = {}
        for segment in set(table.records["segment"].tolist()):
            mine = table.records[table.records["segment"] == segment]
            ends[segment] = int((mine["offset"] + mine["length"]).max())
        for segment, segment_path in frametable.segments(self.folder).items():
            if segment >= max(ends, default=0) and segment_path.stat().st_size > ends.get(segment, 0):
                os.truncate(segment_path, ends.get(segment, 0))
        self.bytes = int(table.records["length"].sum())
        if len(table):
            self.first_captured_ns = int(table.records["captured_ns"].min())
            self.last_captured_ns = int(table.records["captured_ns"].max())
        self._segment = max(frametable.segments(self.folder), default=0)
        return table.good_bytes

    def write(self, frames: list[Frame]) -> list[int]:
        """Append frames and sync them; returns the sequence numbers that are now on the disk.

        A number that is already stored is not written again, but returned. OSError (a full disk, say) leaves the files
        as they were before the call.
        """
        fresh: list[Frame] = []
        numbers: set[int] = set()
        for frame in frames:
            number = frame.header.sequence
            if number not in self.stored and number not in numbers:
                fresh.append(frame)
                numbers.add(number)
        start = 0
        while start < len(fresh):
            codec = fresh[start].header.codec
            self._roll(fresh[start].header)
            room = max(1, self.segment_bytes - self._segment_size)
            taken, end = 0, start
            while end < len(fresh) and end - start < _BUFFERS and fresh[end].header.codec == codec:
                if end > start and taken >= room and _may_begin(fresh[end].header):
                    break
                taken += len(fresh[end].picture)
                end += 1
            self._append(fresh[start:end])
            start = end
        return [frame.header.sequence for frame in frames]

    def _append(self, frames: list[Frame]) -> None:
        offset = self._segment_size
        records = []
        for header, picture in frames:
            records.append(
                frametable.FrameRecord(
                    header.sequence, header.captured_ns, header.received_ns, offset, len(picture), zlib.crc32(picture),
                    self._segment, header.width, header.height, header.codec, header.flags,
                )
            )  # fmt: skip
            offset += len(picture)
        try:
            _write_all(self._data, [frame.picture for frame in frames])
            os.fdatasync(self._data)
            _write_all(self._table, [frametable.pack_records(records)])
            os.fdatasync(self._table)
        except OSError:
            # A partial write would put bytes between the frames; take the files back to the last sound record.
            os.ftruncate(self._table, self._table_size)
            os.ftruncate(self._data, self._segment_size)
            raise
        self._table_size += len(records) * frametable.RECORD_SIZE
        self.bytes += offset - self._segment_size
        self._segment_size = offset
        self.first_captured_ns = self.first_captured_ns or frames[0].header.captured_ns
        if self.on_record is not None:
            for record in records:
                self.on_record(record)
        for frame in frames:
            self.stored.add(frame.header.sequence)
            self.last_captured_ns = max(self.last_captured_ns, frame.header.captured_ns)

    def _roll(self, header: FrameHeader) -> None:
        """Open the segment that the next frames go to: the current one, or a new one when it is full or old.

        A segment has pictures of one codec, and of H.264 it begins with a key frame.
        """
        now = time.monotonic()
        if self._data >= 0:
            full = self._segment_size >= self.segment_bytes or now - self._segment_opened >= self.segment_seconds
            # Frames that never bring a key frame are no reason for a file without end.
            over = self._segment_size >= 2 * self.segment_bytes
            if header.codec == self._codec and not over and not (full and _may_begin(header)):
                return
            os.close(self._data)
            self._data = -1
            self._segment += 1
        elif self._segment == 0:
            self._segment = 1
        else:
            # The last one of an earlier run: gone on with where it is of the same codec.
            earlier = frametable.segments(self.folder).get(self._segment)
            if earlier is not None and earlier.name != frametable.segment_name(self._segment, header.codec):
                self._segment += 1
        self._codec = header.codec
        path = self.folder / frametable.segment_name(self._segment, header.codec)
        self._data = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._segment_size = os.fstat(self._data).st_size
        self._segment_opened = now
        _sync_folder(self.folder)

    def close(self) -> None:
        """Close the files; what ``write`` returned stays on the disk whether this is called or not."""
        for handle in (self._data, getattr(self, "_table", -1)):
            if handle >= 0:
                os.close(handle)
        self._data = self._table = -1


def _may_begin(header: FrameHeader) -> bool:
    """Return whether a segment may begin with this picture: it needs none before it."""
    return header.codec != CODEC_H264 or header.is_key


def _write_all(handle: int, buffers: list[memoryview | bytes]) -> None:
    """Write all bytes of up to 1024 buffers; a short write is continued where it stopped."""
    written = os.writev(handle, buffers)
    total = sum(len(buffer) for buffer in buffers)
    if written < total:
        rest = memoryview(b"".join(buffers))[written:]
        while rest:
            rest = rest[os.write(handle, rest) :]


def _sync_folder(folder: Path) -> None:
    """Sync a folder's entries: a synced file whose name is lost is lost."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
