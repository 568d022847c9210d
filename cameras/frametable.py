"""The table of frames of one recording: append-only, readable after a crash at any byte.

A 64-byte file header, then one record of 64 bytes for each frame, little-endian. Every record ends with a CRC-32 of
itself, so that a torn last record, or a tail that the file system left as zeros, is told from a frame. The pictures
are written and synced before their records: what the table says is there, is there.

Neither Django nor OpenCV is needed: numpy reads the file in one go.
"""

from __future__ import annotations

import csv
import os
import struct
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TextIO
from uuid import UUID

import numpy as np

from cameras.wire import CODEC_H264, CODEC_JPEG, FLAG_KEY

MAGIC = b"LABT"
_ENDINGS = {CODEC_JPEG: "mjpeg", CODEC_H264: "h264"}
VERSION = 1
_HEADER = struct.Struct("<4sHHQ16s28xI")
_RECORD = struct.Struct("<QQQQIIIHHBB10x")
_CRC = struct.Struct("<I")
HEADER_SIZE = _HEADER.size
RECORD_SIZE = _RECORD.size + _CRC.size
assert HEADER_SIZE == RECORD_SIZE == 64

DTYPE = np.dtype(
    {
        "names": [
            "sequence", "captured_ns", "received_ns", "offset", "length",
            "picture_crc32", "segment", "width", "height", "codec", "flags", "record_crc32",
        ],
        "formats": ["<u8", "<u8", "<u8", "<u8", "<u4", "<u4", "<u4", "<u2", "<u2", "u1", "u1", "<u4"],
        "offsets": [0, 8, 16, 24, 32, 36, 40, 44, 46, 48, 49, 60],
        "itemsize": RECORD_SIZE,
    }
)  # fmt: skip


CSV_COLUMNS = (
    "sequence", "captured_ns", "received_ns", "segment", "offset", "length", "width", "height", "after_gap", "crc32",
)  # fmt: skip


class TableError(ValueError):
    """A file that is no frame table, or one of another version; the message says what was found where."""


class FrameRecord(NamedTuple):
    """One frame: times in ns since the Unix epoch, its bytes in ``segment`` from ``offset`` on."""

    sequence: int
    captured_ns: int
    received_ns: int
    offset: int
    length: int
    picture_crc32: int
    segment: int
    width: int
    height: int
    codec: int
    flags: int

    def pack(self) -> bytes:
        """Return the 64 bytes of the record, its own CRC last."""
        body = _RECORD.pack(*self)
        return body + _CRC.pack(zlib.crc32(body))


def file_header(recording: UUID, created_ns: int | None = None) -> bytes:
    """Return the 64 bytes that a table starts with: magic, version, record size, time, recording."""
    created = time.time_ns() if created_ns is None else created_ns
    body = _HEADER.pack(MAGIC, VERSION, RECORD_SIZE, created, recording.bytes, 0)[:-4]
    return body + _CRC.pack(zlib.crc32(body))


@dataclass(frozen=True)
class FrameTable:
    """What could be read of a table: ``records`` (structured array of DTYPE), and what had to be left out.

    ``good_bytes`` is how far the file can be trusted; ``torn_bytes`` follow it (a record that was being written when
    the power went); ``missing`` counts sound records whose picture is not in its segment.
    """

    recording: UUID
    created_ns: int
    records: np.ndarray
    good_bytes: int
    torn_bytes: int
    missing: int

    def __len__(self) -> int:
        return len(self.records)

    def in_order(self) -> np.ndarray:
        """Return the records by sequence number, each number once (the first that was written)."""
        _, first = np.unique(self.records["sequence"], return_index=True)
        return self.records[first]

    def lost(self) -> int:
        """Return how many sequence numbers between the first and the last are not there."""
        if not len(self.records):
            return 0
        sequence = self.in_order()["sequence"]
        return int(sequence[-1] - sequence[0]) + 1 - len(sequence)

    def gaps(self) -> list[tuple[int, int]]:
        """Return the lost frames as (first, last) sequence numbers, both inclusive."""
        sequence = self.in_order()["sequence"].astype(np.int64)
        holes = np.flatnonzero(np.diff(sequence) > 1)
        return [(int(sequence[i]) + 1, int(sequence[i + 1]) - 1) for i in holes]


def parse(data: bytes, *, where: str = "table") -> FrameTable:
    """Read a table from its bytes; a torn end is left out, only a wrong file header raises TableError."""
    if len(data) < HEADER_SIZE:
        raise TableError(f"{where}: the file header needs {HEADER_SIZE} bytes, there are {len(data)}")
    magic, version, record_size, created, recording, crc = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise TableError(f"{where}: byte 0 is {magic!r}, not {MAGIC!r}: this is no frame table")
    if crc != zlib.crc32(data[: HEADER_SIZE - 4]):
        raise TableError(f"{where}: the file header's checksum at byte {HEADER_SIZE - 4} does not fit")
    if version != VERSION or record_size != RECORD_SIZE:
        raise TableError(f"{where}: version {version} with records of {record_size} bytes; this reader knows {VERSION}")
    view = memoryview(data)
    count = (len(data) - HEADER_SIZE) // RECORD_SIZE
    good = 0
    for index in range(count):
        start = HEADER_SIZE + index * RECORD_SIZE
        body = view[start : start + RECORD_SIZE - 4]
        if zlib.crc32(body) != _CRC.unpack_from(data, start + RECORD_SIZE - 4)[0]:
            break
        good += 1
    good_bytes = HEADER_SIZE + good * RECORD_SIZE
    records = np.frombuffer(data, dtype=DTYPE, count=good, offset=HEADER_SIZE)
    return FrameTable(UUID(bytes=recording), created, records, good_bytes, len(data) - good_bytes, 0)


def segment_name(segment: int, codec: int = CODEC_JPEG) -> str:
    """Return the file name of a segment (numbered from 1); all its pictures are of one codec."""
    if codec not in _ENDINGS:
        raise TableError(f"segment {segment} is of codec {codec}; this reader knows {', '.join(map(str, _ENDINGS))}")
    return f"segment-{segment:04d}.{_ENDINGS[codec]}"


def segment_of(record: np.void) -> str:
    """Return the name of the file that holds a record's picture."""
    return segment_name(int(record["segment"]), int(record["codec"]))


def segments(folder: Path) -> dict[int, Path]:
    """Return the segments that a folder holds, by number."""
    found = (path for path in folder.glob("segment-*.*") if path.suffix[1:] in _ENDINGS.values())
    return {int(path.stem.rpartition("-")[2]): path for path in sorted(found)}


def read(folder: Path, name: str = "frames.labt") -> FrameTable:
    """Read the table of a recording's folder; records whose picture is not there (any more) are left out."""
    table = parse((folder / name).read_bytes(), where=str(folder / name))
    present = np.ones(len(table), bool)
    for segment in np.unique(table.records["segment"]):
        mine = table.records["segment"] == segment
        try:
            size = (folder / segment_of(table.records[mine][0])).stat().st_size
        except FileNotFoundError:
            size = 0
        ends = table.records["offset"] + table.records["length"]
        present &= ~mine | (ends <= size)
        # A file system may leave zeros where a crash took the last bytes; what is before the last sound picture is
        # sound.
        for index in np.flatnonzero(mine & present)[::-1]:
            if _is_sound(folder, table.records[index]):
                break
            present[index] = False
    # Only a run of missing pictures at the very end was never promised; the rest of the file stays as it is.
    last = int(np.flatnonzero(present)[-1]) + 1 if present.any() else 0
    good_bytes = HEADER_SIZE + last * RECORD_SIZE
    return FrameTable(
        table.recording,
        table.created_ns,
        table.records[present],
        good_bytes,
        table.torn_bytes + table.good_bytes - good_bytes,
        int((~present).sum()),
    )


def read_picture(folder: Path, record: np.void) -> bytes:
    """Return the encoded picture of one record; TableError when its bytes are not those that were written."""
    with (folder / segment_of(record)).open("rb") as segment:
        data = os.pread(segment.fileno(), int(record["length"]), int(record["offset"]))
    if len(data) != record["length"] or zlib.crc32(data) != record["picture_crc32"]:
        raise TableError(
            f"{folder / segment_of(record)}: the picture {int(record['sequence'])} at byte "
            f"{int(record['offset'])} is not the one that was recorded"
        )
    return data


def group_start(records: np.ndarray, index: int) -> int:
    """Return the index that decoding must begin at to see the picture at ``index``.

    It is ``index`` itself for a picture of its own (JPEG, a key frame), and for one whose predecessors are lost.
    """
    first = index
    while records["codec"][first] == CODEC_H264 and not records["flags"][first] & FLAG_KEY:
        if first == 0 or records["sequence"][first - 1] + 1 != records["sequence"][first]:
            return index
        first -= 1
    return first


def _is_sound(folder: Path, record: np.void) -> bool:
    try:
        read_picture(folder, record)
    except TableError:
        return False
    return True


def write_csv(records: np.ndarray, out: TextIO, *, header: bool = True) -> None:
    """Write one line for each frame; times in ns, byte range within the named segment."""
    writer = csv.writer(out, lineterminator="\n")
    if header:
        writer.writerow(CSV_COLUMNS)
    for record in records:
        writer.writerow(
            [
                int(record["sequence"]),
                int(record["captured_ns"]),
                int(record["received_ns"]),
                segment_of(record),
                int(record["offset"]),
                int(record["length"]),
                int(record["width"]),
                int(record["height"]),
                int(bool(record["flags"] & 4)),
                f"{int(record['picture_crc32']):08x}",
            ]
        )


def pack_records(records: Iterable[FrameRecord]) -> bytes:
    """Return the bytes that append these records to a table."""
    return b"".join(record.pack() for record in records)
