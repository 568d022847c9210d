"""The frame message: a 40-byte little-endian header, then the encoded picture.

Agents send these to ingest, ingest passes them to Redis, the relay to browsers; the same bytes all the way. Nothing
here needs Django or any other package, so that a camera box and a notebook can import it.

======  ============  =====================================================================
offset  type          field
======  ============  =====================================================================
0       4 bytes       ``LABF``
4       uint8         codec: 1 JPEG, 2 H.264 Annex B
5       uint8         flags: 1 key frame, 2 preview rendition, 4 first after a gap
6       uint16        header length (40 or more; readers skip what they do not know)
8       uint64        sequence number of this camera; a gap is a lost frame
16      uint64        capture time, ns since the Unix epoch, agent's clock
24      uint64        server receive time, ns since the Unix epoch (0 until the server sets it)
32      uint16 x 2    width, height in pixels
36      uint32        reserved
======  ============  =====================================================================
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

MAGIC = b"LABF"
HEADER_LENGTH = 40
# A picture of 4k at high quality is about 4 MB; more than this is not a frame of a behaviour camera.
MAX_MESSAGE = 8 * 1024 * 1024

CODEC_JPEG = 1
CODEC_H264 = 2
CODECS = {CODEC_JPEG: "jpeg", CODEC_H264: "h264"}

FLAG_KEY = 1
FLAG_PREVIEW = 2
FLAG_AFTER_GAP = 4
KNOWN_FLAGS = FLAG_KEY | FLAG_PREVIEW | FLAG_AFTER_GAP

_LAYOUT = struct.Struct("<4sBBHQQQHHI")
_RECEIVED = struct.Struct("<Q")
RECEIVED_OFFSET = 24
assert _LAYOUT.size == HEADER_LENGTH

Buffer = bytes | bytearray | memoryview


class FrameError(ValueError):
    """A message that is not a frame; ``field`` and ``offset`` (bytes) say where."""

    def __init__(self, field: str, offset: int, problem: str) -> None:
        super().__init__(f"{field} at byte {offset}: {problem}")
        self.field = field
        self.offset = offset


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """What is known about one picture; times in ns since the Unix epoch, sizes in pixels."""

    sequence: int
    captured_ns: int
    width: int
    height: int
    codec: int = CODEC_JPEG
    flags: int = FLAG_KEY
    received_ns: int = 0
    length: int = HEADER_LENGTH

    @property
    def is_key(self) -> bool:
        return bool(self.flags & FLAG_KEY)

    @property
    def is_preview(self) -> bool:
        return bool(self.flags & FLAG_PREVIEW)

    @property
    def after_gap(self) -> bool:
        return bool(self.flags & FLAG_AFTER_GAP)

    @property
    def rendition(self) -> str:
        return "preview" if self.flags & FLAG_PREVIEW else "main"


def encode_header(header: FrameHeader) -> bytes:
    """Return the 40 header bytes; FrameError names a field whose value does not fit."""
    _check(
        header.codec,
        header.flags,
        HEADER_LENGTH,
        header.sequence,
        header.captured_ns,
        header.received_ns,
        header.width,
        header.height,
    )
    return _LAYOUT.pack(
        MAGIC,
        header.codec,
        header.flags,
        HEADER_LENGTH,
        header.sequence,
        header.captured_ns,
        header.received_ns,
        header.width,
        header.height,
        0,
    )


def encode(header: FrameHeader, picture: Buffer) -> bytes:
    """Return one frame message: the header and the encoded picture in one bytes object."""
    if not len(picture):
        raise FrameError("picture", HEADER_LENGTH, "is empty")
    return b"".join((encode_header(header), picture))


def decode(message: Buffer) -> tuple[FrameHeader, memoryview]:
    """Return the header and a view (no copy) of the picture; FrameError says what is wrong and where.

    The picture's first bytes are compared with what the codec says it is, so that a damaged message is found by
    the one who receives it and not by the hundred who look at it.
    """
    header = decode_header(message)
    picture = memoryview(message)[header.length :]
    if header.codec == CODEC_JPEG and picture[:3] != b"\xff\xd8\xff":
        raise FrameError("picture", header.length, "does not start with the JPEG markers ff d8 ff")
    if header.codec == CODEC_H264 and picture[:3] != b"\0\0\1" and picture[:4] != b"\0\0\0\1":
        raise FrameError("picture", header.length, "does not start with an Annex B start code")
    return header, picture


def decode_header(message: Buffer) -> FrameHeader:
    """Return the header of a frame message of any length up to MAX_MESSAGE bytes, all its fields checked."""
    size = len(message)
    if size > MAX_MESSAGE:
        raise FrameError("message", 0, f"has {size} bytes, at most {MAX_MESSAGE} are taken")
    if size < HEADER_LENGTH:
        raise FrameError("header", 0, f"needs {HEADER_LENGTH} bytes, the message has {size}")
    magic, codec, flags, length, sequence, captured, received, width, height, _ = _LAYOUT.unpack_from(message)
    if magic != MAGIC:
        raise FrameError("magic", 0, f"is {bytes(magic)!r}, not {MAGIC!r}")
    _check(codec, flags, length, sequence, captured, received, width, height)
    if length >= size:
        raise FrameError("header length", 6, f"is {length}, but the message ends at byte {size}: no picture follows")
    return FrameHeader(sequence, captured, width, height, codec, flags, received, length)


def with_receive_time(message: Buffer, received_ns: int) -> tuple[bytes, memoryview]:
    """Return (header with the receive time set, view of what follows): two parts that need not be joined."""
    head = bytearray(message[:HEADER_LENGTH])
    _RECEIVED.pack_into(head, RECEIVED_OFFSET, received_ns)
    return bytes(head), memoryview(message)[HEADER_LENGTH:]


def sequence_and_receive_time(message: Buffer) -> tuple[int, int]:
    """Return (sequence, receive time in ns) of a message that was checked before."""
    return _RECEIVED.unpack_from(message, 8)[0], _RECEIVED.unpack_from(message, RECEIVED_OFFSET)[0]


def codec_and_flags(message: Buffer) -> tuple[int, bool]:
    """Return (codec, whether it is a key frame) of a message that was checked before."""
    return message[4], bool(message[5] & FLAG_KEY)


def _check(  # noqa: PLR0917 - the fields in their order
    codec: int, flags: int, length: int, sequence: int, captured: int, received: int, width: int, height: int
) -> None:
    if codec not in CODECS:
        raise FrameError("codec", 4, f"is {codec}, known are 1 (JPEG) and 2 (H.264)")
    if flags & ~KNOWN_FLAGS:
        raise FrameError("flags", 5, f"are {flags:#04x}, known are 1, 2 and 4")
    if not HEADER_LENGTH <= length <= 0xFFFF:
        raise FrameError("header length", 6, f"is {length}, at least {HEADER_LENGTH} is needed")
    for name, offset, value in (
        ("sequence", 8, sequence),
        ("capture time", 16, captured),
        ("receive time", 24, received),
    ):
        if not 0 <= value < 2**64:
            raise FrameError(name, offset, f"is {value}, which no uint64 holds")
    if captured == 0:
        raise FrameError("capture time", 16, "is 0; a frame without a time is no data")
    for name, offset, value in (("width", 32, width), ("height", 34, height)):
        if not 0 < value <= 0xFFFF:
            raise FrameError(name, offset, f"is {value}, must be 1 to 65535")
