"""JPEG that a camera delivers is passed on byte for byte."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cameras.agent.capture import CameraSettings, Capture
from cameras.agent.delivered import Delivered, delivered
from cameras.agent.outbox import Outbox
from cameras.agent.sources import open_source
from cameras.wire import CODEC_H264, CODEC_JPEG, decode
from tests.cameras.network_cameras import HttpCamera
from tests.waiting import until

PICTURE = cv2.imencode(".jpg", np.full((120, 160, 3), 90, np.uint8))[1].tobytes()


@pytest.fixture
def address() -> Iterator[str]:
    with HttpCamera(PICTURE) as camera:
        yield camera.address


def test_a_stream_of_jpeg_is_not_encoded_again_unless_its_size_is_another(address: str) -> None:
    source = open_source(address, fps=None, size=None)
    taken, captured = source.read(1)
    source.close()
    assert isinstance(taken, Delivered)
    assert (taken.data, taken.width, taken.height) == (PICTURE, 160, 120)
    assert abs(time.time_ns() - captured) < 60e9
    source = open_source(address, fps=None, size=(80, 60))
    taken, _ = source.read(1)
    source.close()
    assert isinstance(taken, np.ndarray)
    assert taken.shape == (60, 80, 3)


def test_the_agent_sends_it_as_it_came_with_a_preview_and_as_h264_when_that_is_wanted(
    address: str, tmp_path: Path
) -> None:
    outbox = Outbox(tmp_path, memory_bytes=10**7, spool_bytes=0, spool_after=5, wake=lambda: None)
    outbox.connection_made()
    settings = CameraSettings("box", "", "", address, preview_width=80, spool=tmp_path)
    capture = Capture(settings, outbox)
    capture.start()
    got: dict[tuple[int, str], tuple[int, bytes]] = {}

    def has(codec: int, rendition: str) -> bool:
        while (made := outbox.next_message()) is not None:
            header, picture = decode(made)  # type: ignore[arg-type]
            got[header.codec, header.rendition] = header.width, bytes(picture)
        return (codec, rendition) in got

    try:
        until(lambda: has(CODEC_JPEG, "main") and has(CODEC_JPEG, "preview"), 20, "both renditions")
        assert got[CODEC_JPEG, "main"] == (160, PICTURE)
        assert got[CODEC_JPEG, "preview"][0] == 80
        capture.use_codec("h264")
        until(lambda: has(CODEC_H264, "main"), 20, "H.264")
    finally:
        capture.stop()


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8\xff", PICTURE[:40], PICTURE.replace(b"\xff\xc4", b"\xff\xe4"), b"PNG"]
)
def test_what_a_browser_could_not_show_is_not_passed_on(data: bytes) -> None:
    assert delivered(data) is None


@given(data=st.binary(max_size=300))
def test_any_bytes_may_come(data: bytes) -> None:
    assert delivered(b"\xff\xd8" + data) is None or b"\xff\xda" in data
