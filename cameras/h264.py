"""What a frame message of H.264 must be: one picture, constrained baseline, Annex B; checked without decoding it.

Constrained baseline has no B pictures, so pictures come out in the order in which they go in, one for one: every frame
of the table is one picture, and a live viewer waits for none. A key frame is an IDR picture with its parameter sets
before it; whoever has one can begin there. Section numbers are those of ITU-T H.264.

Nothing here needs Django or any other package.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cameras.wire import HEADER_LENGTH, Buffer, FrameError

START_CODE = b"\0\0\1"
SLICE, IDR_SLICE, SPS, PPS = 1, 5, 7, 8
# Data partitions, and what belongs to extensions (scalability, several views): not of baseline.
_FOREIGN = {
    2: "a data partition", 3: "a data partition", 4: "a data partition", 14: "a scalable picture",
    15: "parameters of an extension", 19: "an auxiliary picture", 20: "a scalable picture", 21: "a view",
}  # fmt: skip
_BASELINE = 66
_SLICE_TYPES = {0: "P", 1: "B", 2: "I", 3: "SP", 4: "SI"}
# As much of a slice as its first two numbers can take.
_SLICE_HEAD = 16


class Sequence(NamedTuple):
    """What a sequence parameter set says: ``codec`` as a browser names it (RFC 6381), size in pixels."""

    codec: str
    width: int
    height: int


def units(picture: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (type, start, end) of each NAL unit of an Annex B byte stream; its header byte is at ``start`` (7.3.1)."""
    position = picture.find(START_CODE)
    while position >= 0:
        start = position + len(START_CODE)
        position = picture.find(START_CODE, start)
        end = len(picture) if position < 0 else position
        if end > start:
            yield picture[start] & 0x1F, start, end


def check(picture: Buffer, *, key: bool, width: int, height: int) -> None:
    """Raise FrameError unless this is one picture of constrained baseline of that size, a key frame where it says so.

    ``width`` and ``height`` (px) are compared where the picture brings its parameters: key frames do.
    """
    data = bytes(picture)
    found: set[int] = set()
    pictures = 0
    for kind, start, end in units(data):
        found.add(kind)
        if kind in _FOREIGN:
            raise _wrong(start, f"has {_FOREIGN[kind]} (NAL unit {kind}), which constrained baseline does not have")
        if kind == SPS:
            sequence = parameters(data[start:end], start)
            if (sequence.width, sequence.height) != (width, height):
                said = f"{sequence.width} x {sequence.height}"
                raise FrameError("width", 32, f"the header says {width} x {height}, the picture is {said}")
        elif kind in {SLICE, IDR_SLICE}:
            pictures += _begins_picture(data[start : min(end, start + _SLICE_HEAD)], start)
    if pictures != 1:
        raise _wrong(0, f"has {pictures} pictures, a frame message has one")
    if (IDR_SLICE in found) != key:
        said = "is a key frame (IDR)" if IDR_SLICE in found else "is no key frame (IDR)"
        raise FrameError("flags", 5, f"the picture {said}, the key flag says otherwise")
    if key and not {SPS, PPS} <= found:
        raise _wrong(0, "is a key frame without its parameter sets: nobody could begin with it")


def parameters(unit: bytes, start: int = 0) -> Sequence:
    """Read a sequence parameter set (7.3.2.1.1); FrameError unless it is constrained baseline.

    ``unit`` begins with the header byte of the NAL unit; ``start`` is where it stands in the picture.
    """
    if len(unit) < 5:
        raise _wrong(start, "has a sequence parameter set that ends too early")
    profile, constraints, level = unit[1], unit[2], unit[3]
    if profile != _BASELINE or not constraints & 0x40:
        named = f"profile {profile}" if profile != _BASELINE else "baseline that is not constrained"
        raise _wrong(start, f"is H.264 of {named}; constrained baseline (66, without B pictures) is taken")
    bits = _Bits(_unescaped(unit[4:]), start)
    bits.number()  # seq_parameter_set_id
    bits.number()  # log2_max_frame_num_minus4
    order = bits.number()
    if order == 0:
        bits.number()  # log2_max_pic_order_cnt_lsb_minus4
    elif order == 1:
        bits.take(1)  # delta_pic_order_always_zero_flag
        bits.number()
        bits.number()
        for _ in range(min(bits.number(), 255)):
            bits.number()
    bits.number()  # max_num_ref_frames
    bits.take(1)  # gaps_in_frame_num_value_allowed_flag
    across, down = bits.number() + 1, bits.number() + 1
    if not bits.take(1):
        raise _wrong(start, "is interlaced, which constrained baseline is not")
    bits.take(1)  # direct_8x8_inference_flag
    left = right = top = bottom = 0
    if bits.take(1):
        left, right, top, bottom = (bits.number() for _ in range(4))
    # Baseline is 4:2:0, so that the window is counted in steps of two pixels.
    width, height = 16 * across - 2 * (left + right), 16 * down - 2 * (top + bottom)
    return Sequence(f"avc1.{profile:02x}{constraints:02x}{level:02x}", width, height)


def _begins_picture(head: bytes, start: int) -> bool:
    """Return whether a slice is the first of its picture; FrameError for one that is neither I nor P."""
    bits = _Bits(_unescaped(head[1:]), start)
    first = bits.number() == 0
    kind = bits.number() % 5
    if kind not in {0, 2}:
        raise _wrong(start, f"has a {_SLICE_TYPES[kind]} slice; constrained baseline has only I and P")
    return first


def _unescaped(data: bytes) -> bytes:
    """Take the emulation prevention bytes out (7.4.1.1)."""
    return data.replace(b"\0\0\3", b"\0\0")


def _wrong(start: int, problem: str) -> FrameError:
    return FrameError("picture", HEADER_LENGTH + start, problem)


class _Bits:
    """Reads bits and Exp-Golomb numbers (9.1) from the front."""

    def __init__(self, data: bytes, start: int) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = len(data) * 8
        self._start = start

    def take(self, count: int) -> int:
        if count > self._left:
            raise _wrong(self._start, "has a NAL unit that ends too early")
        self._left -= count
        return (self._value >> self._left) & ((1 << count) - 1)

    def number(self) -> int:
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 32:
                raise _wrong(self._start, "has a number that is too long")
        return (1 << zeros) - 1 + self.take(zeros)
