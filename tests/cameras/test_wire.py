"""The frame message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cameras.wire import (
    HEADER_LENGTH,
    MAX_MESSAGE,
    FrameError,
    FrameHeader,
    decode,
    decode_header,
    encode,
    sequence_and_receive_time,
    with_receive_time,
)

uint64 = st.integers(0, 2**64 - 1)
size = st.integers(1, 2**16 - 1)
headers = st.builds(
    FrameHeader,
    sequence=uint64,
    captured_ns=st.integers(1, 2**64 - 1),
    width=size,
    height=size,
    codec=st.just(1),
    flags=st.integers(0, 7),
    received_ns=uint64,
)


@given(headers, st.binary(max_size=200))
def test_what_is_encoded_is_decoded(header: FrameHeader, rest: bytes) -> None:
    message = encode(header, b"\xff\xd8\xff" + rest)
    for given_as in (message, bytearray(message), memoryview(message)):
        found, picture = decode(given_as)
        assert found == header
        assert bytes(picture) == b"\xff\xd8\xff" + rest
    assert sequence_and_receive_time(message) == (header.sequence, header.received_ns)


def test_the_header_is_the_one_of_the_contract() -> None:
    message = encode(FrameHeader(0x0102, 0x0304, 640, 480, codec=2, flags=5, received_ns=0x0506), b"\0\0\1picture")
    assert message[:40].hex() == "4c414246020528000201000000000000040300000000000006050000000000008002e00100000000"


@given(headers, uint64)
def test_the_receive_time_is_set_without_touching_the_rest(header: FrameHeader, now: int) -> None:
    message = encode(header, b"\xff\xd8\xffpicture")
    head, rest = with_receive_time(message, now)
    joined = head + bytes(rest)
    assert joined[:24] == message[:24]
    assert joined[32:] == message[32:]
    assert decode_header(joined).received_ns == now


@given(st.binary(max_size=120))
def test_any_bytes_are_decoded_or_refused_with_a_place(data: bytes) -> None:
    try:
        decode(data)
    except FrameError as error:
        assert error.field in str(error)
        assert 0 <= error.offset <= max(len(data), HEADER_LENGTH)


@given(headers, st.integers(0, HEADER_LENGTH - 1), st.integers(0, 255))
def test_a_changed_byte_never_breaks_the_reader(header: FrameHeader, at: int, value: int) -> None:
    message = bytearray(encode(header, b"\xff\xd8\xffpicture"))
    message[at] = value
    try:
        decode(bytes(message))
    except FrameError as error:
        assert error.offset <= at or error.field in {"header length", "picture"}


def test_readers_skip_what_a_longer_header_adds() -> None:
    message = bytearray(encode(FrameHeader(1, 2, 3, 4), b"\xff\xd8\xffx"))
    message[6:8] = (48).to_bytes(2, "little")
    longer = bytes(message[:40]) + b"newfield" + bytes(message[40:])
    assert bytes(decode(longer)[1]) == b"\xff\xd8\xffx"


@pytest.mark.parametrize(
    ("field", "wrong"),
    [("codec", {"codec": 3}), ("flags", {"flags": 8}), ("width", {"width": 0}), ("height", {"height": 65536})],
)
def test_what_does_not_fit_is_not_sent(field: str, wrong: dict[str, int]) -> None:
    with pytest.raises(FrameError, match=field):
        encode(FrameHeader(**{"sequence": 1, "captured_ns": 2, "width": 3, "height": 4, **wrong}), b"\xff\xd8\xff")


def test_a_message_without_end_is_refused() -> None:
    with pytest.raises(FrameError, match="message at byte 0"):
        decode(bytes(MAX_MESSAGE + 1))
