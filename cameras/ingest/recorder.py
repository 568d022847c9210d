"""Writes one recording in a thread of its own: the event loop hands frames over and hears what is on the disk.

Frames that the disk does not take are dropped here, never acknowledged: the agent has them still and is asked for them
when the disk works again. So memory is bounded and a full disk costs time, not frames.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from cameras.clock import ClockLine
from cameras.framestore import Frame, FrameStore
from cameras.frametable import TableError
from cameras.wire import FrameHeader

log = logging.getLogger(__name__)

# At least once a second is promised; half of it leaves room for a slow disk.
SYNC_PERIOD = 0.4
PENDING_LIMIT = 96 * 1024 * 1024
# After an error the disk is tried again only when this much is free.
FREE_TO_GO_ON = 64 * 1024 * 1024
RETRY_PERIOD = 1.0
CLOCK_PERIOD = 10.0
CLOCK_FILE = "clock.json"


class Recorder:
    """One recording being written.

    Callbacks come in the event loop: ``on_open()`` when the folder was taken up, ``on_stored(sequences)`` when frames
    are synced, ``on_trouble(text)`` when the disk takes none (empty text: it works again).
    """

    def __init__(
        self,
        folder: Path,
        recording: UUID,
        *,
        on_open: Callable[[], None],
        on_stored: Callable[[list[int]], None],
        on_trouble: Callable[[str], None],
        segment_bytes: int = 1_000_000_000,
        segment_seconds: float = 600.0,
    ) -> None:
        self.folder = folder
        self.recording = recording
        self.trouble = ""
        self.is_open = False
        self.clock = ClockLine()
        self.dropped = 0
        self.segment_limits = (segment_bytes, segment_seconds)
        self._loop = asyncio.get_running_loop()
        self._on_open, self._on_stored, self._on_trouble = on_open, on_stored, on_trouble
        self._store: FrameStore | None = None
        self._pending: list[Frame] = []
        self._pending_bytes = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._clock_saved = 0.0
        self._thread = threading.Thread(target=self._run, name=f"record {folder.name}", daemon=True)
        self._thread.start()

    @property
    def store(self) -> FrameStore | None:
        """The folder's store once it is open; read its numbers, leave writing to the recorder."""
        return self._store

    def add(self, header: FrameHeader, picture: memoryview | bytes) -> bool:
        """Hand a frame over; says whether it was taken."""
        with self._lock:
            if self.trouble or self._pending_bytes > PENDING_LIMIT:
                self.dropped += 1
                return False
            self._pending.append(Frame(header, picture))
            self._pending_bytes += len(picture)
        return True

    def hurry(self) -> None:
        """Sync now rather than at the next period."""
        self._wake.set()

    async def close(self) -> None:
        """Write what was handed over, save the clock, close the files."""
        self._closing = True
        self._wake.set()
        await asyncio.to_thread(self._thread.join)

    # ---- the thread

    def _run(self) -> None:
        while not self._open_store():
            if self._closing:
                return
            self._wake.wait(RETRY_PERIOD)
            self._wake.clear()
        while True:
            self._wake.wait(SYNC_PERIOD)
            self._wake.clear()
            closing = self._closing
            self._sync()
            if time.monotonic() - self._clock_saved > CLOCK_PERIOD or closing:
                self._save_clock()
            if closing:
                break
        assert self._store is not None
        self._store.close()

    def _open_store(self) -> bool:
        try:
            size, seconds = self.segment_limits
            self._store = FrameStore(self.folder, self.recording, segment_bytes=size, segment_seconds=seconds)
        except (OSError, TableError) as error:
            self._say_trouble(f"{self.folder} cannot be opened: {error}")
            return False
        self.clock = ClockLine.load(self.folder / CLOCK_FILE)
        self.is_open = True
        self._say_trouble("")
        self._call(self._on_open)
        return True

    def _sync(self) -> None:
        assert self._store is not None
        if self.trouble and not self._closing:
            # Frames are refused meanwhile; they are asked for again when there is room.
            if shutil.disk_usage(self.folder).free < FREE_TO_GO_ON:
                self._wake.wait(RETRY_PERIOD)
                return
            self._say_trouble("")
        with self._lock:
            frames, self._pending = self._pending, []
            self._pending_bytes = 0
            dropped, self.dropped = self.dropped, 0
        try:
            if frames:
                self._call(self._on_stored, self._store.write(frames))
        except OSError as error:
            # Whatever part of these frames was synced is known to the store; the agent sends all of them again.
            self._say_trouble(f"the disk does not take the recording: {error.strerror or error}")
            self._wake.wait(RETRY_PERIOD)
            return
        if dropped and not self._closing:
            self._say_trouble("the disk is too slow for the recording")
            self._say_trouble("")

    def _save_clock(self) -> None:
        self._clock_saved = time.monotonic()
        try:
            self.clock.save(self.folder / CLOCK_FILE, recording=str(self.recording))
        except OSError as error:
            log.warning("%s: the clock cannot be saved: %s", self.folder, error)

    def _say_trouble(self, text: str) -> None:
        if text == self.trouble:
            return
        (log.error if text else log.info)("%s: %s", self.folder, text or "the disk works again")
        with self._lock:
            self.trouble = text
            if text:
                self._pending, self._pending_bytes = [], 0
        self._call(self._on_trouble, text)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)
