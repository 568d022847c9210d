"""What one camera has to send, and in which order.

Live pictures go first and are never queued: the newest replaces the one that could not be sent. Frames of a recording
are kept from their capture until the server says ``stored``: in memory first, on the agent's disk when the server
cannot be reached, answers late, or memory runs out. After an outage what is owed is sent in order, behind the live
pictures.

The capture thread puts frames in, the connection takes messages out, the keeper thread writes to the disk. One lock; no
disk is waited for while it is held.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

from cameras.agent.spool import Spool
from cameras.framestore import Frame
from cameras.frametable import TableError
from cameras.sequences import SequenceSet
from cameras.wire import FLAG_AFTER_GAP, FrameHeader, encode

# More live frames than this unsent: the link is slower than the camera, and live goes on with the newest.
LIVE_LIMIT = 15
# While the server cannot be reached, a killed agent may lose so much (s) and what one write to the disk takes.
OFFLINE_SPOOL_AFTER = 0.2


@dataclass(slots=True)
class KeptFrame:
    """A frame that is not stored yet: in memory (``message``), on disk, or both."""

    header: FrameHeader | None
    message: bytes | None
    since: float
    on_disk: bool = False


@dataclass
class Held:
    """A recording of which this agent holds frames."""

    recording: str
    first: int
    last: int | None = None
    lost: int = 0
    # What the device dropped before this program had it; none where it does not tell.
    dropped: int | None = None
    frames: dict[int, KeptFrame] = field(default_factory=dict)
    live: deque[int] = field(default_factory=deque)
    owed: deque[int] = field(default_factory=deque)
    spool: Spool | None = None
    stopped_sent: bool = False
    refused: bool = False


def _stopped(held: Held) -> str:
    """The last word on a recording: all that was kept of it has been sent."""
    held.stopped_sent = True
    said = {"first": held.first, "last": held.last, "lost": held.lost, "dropped": held.dropped}
    return json.dumps({"type": "stopped", "recording": held.recording, **said})


class Outbox:
    """The messages of one camera; ``wake`` is called (from any thread) when there is something to send."""

    def __init__(
        self, root: Path, *, memory_bytes: int, spool_bytes: int, spool_after: float, wake: Callable[[], None]
    ) -> None:
        self.root = root
        self.memory_limit = memory_bytes
        self.spool_limit = spool_bytes
        self.spool_after = spool_after
        self.connected = False
        self.memory_bytes = 0
        self.lost_total = 0
        self._lock = threading.RLock()
        self._wake = wake
        self._texts: deque[str] = deque()
        self._preview: bytes | None = None
        self._main: deque[bytes] = deque()
        self._main_waits_for_key = False
        self._broken = False
        self._held: dict[str, Held] = {}
        # What an earlier run noted of recordings that may go on.
        self._noted_dropped: dict[str, int] = {}
        self._active: Held | None = None
        self._gap = False
        self._spool_problem = ""
        # Removed by the keeper thread, which may be writing to one of them at this moment.
        self._finished: list[Spool] = []

    # ---- the capture thread

    def put(self, header: FrameHeader, picture: bytes, preview: tuple[FrameHeader, bytes] | None) -> bool:
        """Take one captured frame and its preview; says whether a key frame is needed, since a frame was left out."""
        with self._lock:
            if preview is not None and self.connected:
                self._preview = encode(*preview)
            held = self._active
            if held is not None:
                self._keep(held, header, picture)
            elif self.connected:
                self._show(header, encode(header, picture))
            broken, self._broken = self._broken, False
        self._wake()
        return broken

    def _show(self, header: FrameHeader, message: bytes) -> None:
        """Let a picture be seen that nobody records: the newest, and of H.264 those that it is decoded from."""
        if header.is_key:
            self._main.clear()
            self._main_waits_for_key = False
        elif len(self._main) >= LIVE_LIMIT:
            # The link is slower than the camera: what it has not sent is old, and a later picture alone is none.
            self._main.clear()
            self._main_waits_for_key = self._broken = True
        if not self._main_waits_for_key:
            self._main.append(message)

    def _keep(self, held: Held, header: FrameHeader, picture: bytes) -> None:
        if self.memory_bytes + len(picture) > self.memory_limit and not self._free_memory(len(picture)):
            # Neither memory nor disk takes more. The frame is lost, and the next one will say so.
            held.lost += 1
            self.lost_total += 1
            self._gap = self._broken = True
            if self.connected:
                self._show(header, encode(header, picture))
            return
        if self._gap:
            header = FrameHeader(
                header.sequence,
                header.captured_ns,
                header.width,
                header.height,
                header.codec,
                header.flags | FLAG_AFTER_GAP,
            )
            self._gap = False
        message = encode(header, picture)
        self.memory_bytes += len(message)
        held.frames[header.sequence] = KeptFrame(header, message, time.monotonic())
        (held.live if self.connected else held.owed).append(header.sequence)

    def _free_memory(self, needed: int) -> bool:
        """Forget the memory copy of frames that are on the disk, oldest first; says whether there is room now."""
        for held in self._held.values():
            for frame in held.frames.values():
                if self.memory_bytes + needed <= self.memory_limit:
                    return True
                if frame.on_disk and frame.message is not None:
                    self.memory_bytes -= len(frame.message)
                    frame.message = None
        return self.memory_bytes + needed <= self.memory_limit

    def mark_gap(self, lost: int = 0) -> None:
        """The next frame comes after a gap: the camera was away, or this program was."""
        with self._lock:
            self._gap = True
            if self._active is not None:
                self._active.lost += lost

    def device_dropped(self, count: int) -> None:
        """The device tells that it dropped so many more pictures (or none)."""
        with self._lock:
            if self._active is not None:
                self._active.dropped = (self._active.dropped or 0) + count

    # ---- the connection

    def next_message(self) -> str | bytes | None:
        """Return what to send next (text or a frame message), or ``None``."""
        with self._lock:
            if self._texts:
                return self._texts.popleft()
            if self._preview is not None:
                message, self._preview = self._preview, None
                return message
            for held in self._held.values():
                if len(held.live) > LIVE_LIMIT:
                    self._fall_behind(held)
                    return self._texts.popleft()
                if held.live and (kept := self._message(held, held.live.popleft())) is not None:
                    return kept
            if self._main:
                return self._main.popleft()
            for held in self._held.values():
                while held.owed:
                    if (kept := self._message(held, held.owed.popleft())) is not None:
                        return kept
                if held.last is not None and not held.stopped_sent and not held.refused:
                    return _stopped(held)
            return None

    def _message(self, held: Held, sequence: int) -> bytes | None:
        frame = held.frames.get(sequence)
        if frame is None:
            return None
        if frame.message is not None:
            return frame.message
        assert held.spool is not None
        try:
            return held.spool.read(sequence)
        except (OSError, TableError, KeyError):
            # The disk lost what it had taken: this frame cannot be sent by anybody any more.
            del held.frames[sequence]
            held.lost += 1
            self.lost_total += 1
            self._broken = True
            return None

    def _fall_behind(self, held: Held) -> None:
        """Owe all live frames but the newest, and say so first: what is stored must not be taken for everything."""
        self._broken = True
        newest = held.live.pop()
        held.owed.extend(held.live)
        held.live.clear()
        held.live.append(newest)
        self._announce(held)

    def _announce(self, held: Held) -> None:
        owed = SequenceSet()
        for sequence in held.owed:
            owed.add(sequence)
        self._texts.append(
            json.dumps({"type": "pending", "recording": held.recording, "first": held.first, "ranges": list(owed)})
        )

    def connection_made(self) -> None:
        """Everything that is not stored is owed again, and announced before any frame is sent."""
        with self._lock:
            self._texts.clear()
            self.connected = True
            for held in self._held.values():
                held.live.clear()
                held.owed = deque(sorted(held.frames))
                held.stopped_sent = False
                if not held.refused:
                    self._announce(held)

    def connection_lost(self) -> None:
        with self._lock:
            self.connected = False
            self._texts.clear()
            self._preview = None
            self._main.clear()
            for held in self._held.values():
                held.live.clear()
                held.owed = deque(sorted(held.frames))

    def record(self, recording: str, next_sequence: int) -> bool:
        """Keep every frame from ``next_sequence`` on; says whether this recording is new here."""
        with self._lock:
            for other in self._held.values():
                if other.recording != recording and other.last is None:
                    other.last = next_sequence - 1
            held = self._held.get(recording)
            fresh = held is None
            if held is None:
                held = Held(recording, next_sequence, dropped=self._noted_dropped.get(recording))
                self._held[recording] = held
            held.last = None
            held.stopped_sent = False
            held.refused = False
            self._active = held
            self._texts.append(json.dumps({"type": "recording", "recording": recording, "first": held.first}))
        self._wake()
        return fresh

    def stop(self, recording: str, last: int) -> None:
        """Keep no more; ``stopped`` is said when the last frame has been sent."""
        with self._lock:
            held = self._held.get(recording)
            if held is None:
                self._texts.append(
                    json.dumps({"type": "stopped", "recording": recording, "first": None, "last": None, "lost": 0})
                )
            else:
                if held.last is None:
                    held.last = last
                held.stopped_sent = False
                # Said at once: frames of a later number are not of this recording.
                said = {"type": "stopping", "recording": recording, "first": held.first, "last": held.last}
                self._texts.append(json.dumps(said))
            if self._active is held:
                self._active = None
        self._wake()

    def stored(self, recording: str, sequence: int, *, everything: bool) -> None:
        """The server has all frames up to ``sequence`` on its disk; ``everything``: and wants no others."""
        with self._lock:
            held = self._held.get(recording)
            if held is None:
                return
            for number in list(takewhile(lambda number: number <= sequence or everything, held.frames)):
                frame = held.frames.pop(number)
                if frame.message is not None:
                    self.memory_bytes -= len(frame.message)
                if held.spool is not None:
                    held.spool.forget(number)
            if (
                held.last is not None
                and not held.frames
                and (everything or held.last <= sequence or held.last < held.first)
            ):
                del self._held[recording]
                if not held.stopped_sent and not everything:
                    # Everything was stored before the sender came to its last word, which the server still waits for.
                    self._texts.append(_stopped(held))
                if held.spool is not None:
                    self._finished.append(held.spool)

    def resend(self, recording: str) -> None:
        """The server dropped what it could not write; owe all that it has not stored."""
        with self._lock:
            held = self._held.get(recording)
            if held is None:
                return
            held.live.clear()
            held.owed = deque(sorted(held.frames))
            held.stopped_sent = False
            self._announce(held)
        self._wake()

    def refuse(self, recording: str) -> None:
        """The server does not know this recording; its frames stay on the disk for a person to look at."""
        with self._lock:
            held = self._held.get(recording)
            if held is not None:
                held.refused = True
                held.owed.clear()
                if self._active is held:
                    self._active = None

    # ---- the keeper thread

    def keep(self) -> None:
        """Write to the disk what must not be in memory only; called a few times a second, never by the event loop."""
        now = time.monotonic()
        with self._lock:
            finished, self._finished = self._finished, []
        for spool in finished:
            spool.remove()
        with self._lock:
            hurry = self.memory_bytes > self.memory_limit // 2
            limit = 0.0 if hurry else self.spool_after if self.connected else OFFLINE_SPOOL_AFTER
            work: list[tuple[Held, list[tuple[int, KeptFrame]]]] = []
            for held in self._held.values():
                due = [(n, f) for n, f in held.frames.items() if not f.on_disk and (now - f.since > limit)]
                if due:
                    work.append((held, due[:300]))
            used = sum(held.spool.size for held in self._held.values() if held.spool is not None)
        for held, due in work:
            if used >= self.spool_limit:
                self._problem(f"the spool is full ({used / 1e9:.2f} GB)")
                return
            try:
                if held.spool is None:
                    held.spool = Spool(self.root, held.recording)
                held.spool.write(
                    [Frame(f.header, memoryview(f.message)[40:]) for _, f in due if f.header is not None and f.message]
                )
            except (OSError, TableError) as error:
                self._problem(f"the spool cannot be written: {error}")
                return
            with self._lock:
                held.spool.commit()
                for number, frame in due:
                    frame.on_disk = True
                    if number not in held.frames:
                        held.spool.forget(number)
                used = sum(other.spool.size for other in self._held.values() if other.spool is not None)
        self._problem("")

    def _problem(self, text: str) -> None:
        self._spool_problem = text

    def flush_to_disk(self) -> None:
        """Put every frame that is not stored on the disk: the program ends."""
        with self._lock:
            self.connected = False
            for held in self._held.values():
                for frame in held.frames.values():
                    frame.since = 0.0
        for _ in range(1000):
            self.keep()
            with self._lock:
                left = any(not f.on_disk for held in self._held.values() for f in held.frames.values())
            if not left or self._spool_problem:
                return

    def recover(self, recordings: dict[str, dict[str, object]]) -> None:
        """Take up what an earlier run left in the spool; ``recordings`` is its note of first and last numbers."""
        dropped = {recording: note.get("dropped") for recording, note in recordings.items() if isinstance(note, dict)}
        self._noted_dropped = {recording: count for recording, count in dropped.items() if isinstance(count, int)}
        for folder in sorted(self.root.glob("*-*-*-*-*")):
            try:
                spool = Spool(self.root, folder.name)
            except (OSError, ValueError) as error:
                self._problem(f"{folder} cannot be read: {error}")
                continue
            numbers = spool.sequences()
            note = recordings.get(folder.name, {})
            first = note.get("first")
            last = note.get("last")
            if not numbers:
                spool.remove()
                continue
            held = Held(folder.name, first if isinstance(first, int) else numbers[0], spool=spool)
            held.dropped = self._noted_dropped.get(folder.name)
            held.last = last if isinstance(last, int) else numbers[-1]
            for number in numbers:
                held.frames[number] = KeptFrame(None, None, 0.0, on_disk=True)
            self._held[folder.name] = held

    # ---- what others may know

    def recordings(self) -> dict[str, dict[str, object]]:
        """Return what is noted of the recordings that are held (numbers, dropped), as ``recover`` takes it."""
        with self._lock:
            return {
                held.recording: {"first": held.first, "last": held.last, "dropped": held.dropped}
                for held in self._held.values()
            }

    def report(self) -> dict[str, object]:
        """Return what the agent tells the server of itself: bytes and frames held, frames lost, a problem in words."""
        with self._lock:
            return {
                "held_frames": sum(len(held.frames) for held in self._held.values()),
                "memory_bytes": self.memory_bytes,
                "spool_bytes": sum(held.spool.size for held in self._held.values() if held.spool is not None),
                "lost": self.lost_total,
                "problem": self._spool_problem,
            }

    @property
    def recording(self) -> str | None:
        """The recording that frames are kept for now."""
        held = self._active
        return None if held is None else held.recording

    @property
    def empty(self) -> bool:
        """Whether everything that was recorded is stored by the server."""
        with self._lock:
            return not any(held.frames for held in self._held.values())
