"""The recorder when the disk refuses: nothing is deleted, nothing is acknowledged, and it goes on by itself."""

from __future__ import annotations

import asyncio
import resource
import signal
from pathlib import Path
from typing import Any
from uuid import UUID

from cameras import frametable
from cameras.ingest.recorder import Recorder
from cameras.ingest.track import Track
from cameras.wire import FrameHeader


def picture(number: int) -> bytes:
    return b"\xff\xd8\xff" + bytes([number % 256]) * 3000


async def until(condition, seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for is told in callbacks of a thread
            await asyncio.sleep(0.02)


async def test_a_disk_that_refuses_costs_time_and_no_frame(tmp_path: Path) -> None:
    stored: set[int] = set()
    troubles: list[str] = []
    opened = asyncio.Event()
    recorder = Recorder(
        tmp_path / "r", UUID(int=5), on_open=opened.set, on_stored=stored.update, on_trouble=troubles.append
    )
    await asyncio.wait_for(opened.wait(), 10)
    for number in range(1, 21):
        assert recorder.add(FrameHeader(number, number, 64, 48), picture(number))
    await until(lambda: len(stored) == 20)
    before = frametable.read(tmp_path / "r")

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        # The kernel refuses bytes beyond this size, in the middle of a write, as it does on a full disk.
        size = (tmp_path / "r" / "segment-0001.mjpeg").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5000, limit[1]))
        for number in range(21, 41):
            recorder.add(FrameHeader(number, number, 64, 48), picture(number))
        await until(lambda: any(troubles))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, ignored)
    assert "disk does not take the recording" in troubles[0]
    assert stored == set(range(1, 21))
    during = frametable.read(tmp_path / "r")
    assert during.records["sequence"].tolist() == before.records["sequence"].tolist()
    await until(lambda: troubles[-1] == "")
    # What the agent is asked for again is taken now.
    for number in range(21, 41):
        assert recorder.add(FrameHeader(number, number, 64, 48), picture(number))
    await until(lambda: len(stored) == 40)
    await recorder.close()
    table = frametable.read(tmp_path / "r")
    assert table.in_order()["sequence"].tolist() == list(range(1, 41))
    for record in table.records:
        assert frametable.read_picture(tmp_path / "r", record) == picture(record["sequence"])


async def test_what_was_dropped_is_not_called_stored_when_later_frames_are(tmp_path: Path) -> None:
    """Between the moment that the disk works again and the agent's next word, new frames come and are stored."""
    told: list[dict[str, Any]] = []
    track = Track(UUID(int=6), tmp_path / "r", told.append, order="recording", started=0.0, on_change=lambda: None)

    def stored() -> int:
        return max((message["sequence"] for message in told if message["type"] == "stored"), default=0)

    def add(first: int, last: int) -> None:
        for number in range(first, last + 1):
            track.add(FrameHeader(number, number, 64, 48), memoryview(picture(number)))

    await until(lambda: track.recorder.is_open)
    track.said({"type": "recording", "first": 1})
    add(1, 20)
    await until(lambda: stored() == 20)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        size = (tmp_path / "r" / "segment-0001.mjpeg").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5000, limit[1]))
        add(21, 30)
        await until(lambda: bool(track.recorder.trouble))
        add(31, 32)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, ignored)
    await until(lambda: any(message["type"] == "resend" for message in told))
    add(33, 40)
    await until(lambda: 40 in track.recorder.store.stored)
    add(41, 41)
    await until(lambda: 41 in track.recorder.store.stored)
    assert stored() == 20
    track.said({"type": "pending", "first": 1, "ranges": [[21, 41]]})
    add(21, 32)
    await until(lambda: stored() == 41)
    await track.recorder.close()


async def test_an_agent_that_was_killed_goes_on_though_it_first_took_the_recording_for_ended(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = []
    track = Track(UUID(int=7), tmp_path / "r", told.append, order="recording", started=0.0, on_change=lambda: None)
    await until(lambda: track.recorder.is_open)
    track.said({"type": "pending", "first": 1, "ranges": [[1, 5]]})
    for number in range(1, 6):
        track.add(FrameHeader(number, number, 64, 48), memoryview(picture(number)))
    # All that it finds in its spool; the order to record is still under way.
    track.said({"type": "stopped", "first": 1, "last": 5, "lost": 0})
    assert not track.takes(40)
    track.said({"type": "recording", "first": 1})
    assert track.takes(40)
    track.add(FrameHeader(40, 40, 64, 48), memoryview(picture(40)))
    await until(lambda: {"type": "stored", "recording": str(UUID(int=7)), "sequence": 40} in told)
    assert not track.complete
    await track.recorder.close()
