"""Keeps what a connected camera sends in the ring: best effort, apart from recordings, and the first to give way."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from uuid import uuid4

from cameras.ingest.recorder import Recorder
from cameras.ring import PIECE_SECONDS
from cameras.wire import CODEC_JPEG, FLAG_KEY, FrameHeader


class RingWriter:
    """Writes frames as they come into pieces of some minutes; what did not come, or the disk did not take, is a gap."""

    def __init__(self, folder: Path, *, piece_seconds: float = PIECE_SECONDS) -> None:
        self.folder = folder
        self._piece_seconds = piece_seconds
        self._recorder: Recorder | None = None
        self._begun = 0.0
        self._ending: set[asyncio.Task[None]] = set()

    def add(self, header: FrameHeader, picture: memoryview) -> None:
        """Keep a frame; a new piece begins with one that can be shown by itself."""
        begins = header.codec == CODEC_JPEG or bool(header.flags & FLAG_KEY)
        if self._recorder is None or (begins and time.monotonic() - self._begun > self._piece_seconds):
            if not begins:
                return
            self._end()
            self._begun = time.monotonic()
            self._recorder = Recorder(
                self.folder / str(header.received_ns), uuid4(),
                on_open=_nothing, on_stored=_nothing, on_trouble=_nothing,
            )  # fmt: skip
        self._recorder.add(header, picture)

    def add_clock(self, t1: int, t2: int, t3: int, t4: int) -> None:
        """Take a sample of the agent's clock, as ``ClockLine.add``."""
        if self._recorder is not None and self._recorder.is_open:
            self._recorder.clock.add(t1, t2, t3, t4)

    async def close(self) -> None:
        """Write what was handed over."""
        self._end()
        await asyncio.gather(*self._ending)

    def _end(self) -> None:
        if self._recorder is not None:
            task = asyncio.create_task(self._recorder.close())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
            self._recorder = None


def _nothing(*_: object) -> None:
    """Nobody waits for a frame of the ring."""
