"""One recording of one connected camera: its frames, those on the disk, and those that the agent still owes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from cameras.ingest.recorder import Recorder
from cameras.sequences import SequenceSet
from cameras.wire import FrameHeader

Send = Callable[[dict[str, Any]], None]


class Track:
    """Follows a recording from ``record`` to the last ``stored``; lives in the event loop.

    ``stored`` is said up to the highest number on the disk, or up to just before the first frame that the agent
    announced as still to come (``pending``): what the agent forgets after it, is on the disk.
    """

    def __init__(
        self, recording: UUID, folder: Path, send: Send, *, order: str, started: float, on_change: Callable[[], None]
    ) -> None:
        self.recording = recording
        self.started = started
        self.order = order
        self.first: int | None = None
        self.last: int | None = None
        self.speaks = False
        self.stopped: dict[str, Any] | None = None
        self.heard = time.monotonic()
        self.highest_seen = -1
        self.agent_lost = 0
        self.device_dropped: int | None = None
        self.after_gaps = 0
        self._send = send
        self._on_change = on_change
        self._awaited = SequenceSet()
        self._announced = False
        # The agent will be asked to send again, and has not answered: its last word before that is none.
        self._asked_again = False
        self._highest = -1
        # Handed to the recorder and not known to be on the disk.
        self._handed = SequenceSet()
        self._resend = False
        self.recorder = Recorder(
            folder, recording, on_open=self._opened, on_stored=self._stored, on_trouble=self._troubled
        )

    # ---- orders

    def _opened(self) -> None:
        store = self.recorder.store
        assert store is not None
        if store.stored:
            self._highest = store.stored.highest
            self.first = store.stored.lowest if self.first is None else min(self.first, store.stored.lowest)
        for first, last in store.stored:
            self._awaited.discard_range(first, last)
        self._tell_order()
        if self._resend:
            self._resend = False
            self._send({"type": "resend", "recording": str(self.recording)})
        self._on_change()

    def _tell_order(self) -> None:
        if not self.recorder.is_open:
            return
        if self.order == "stopping":
            self._send({"type": "stop", "recording": str(self.recording)})
            if not self.speaks and self.last is None and self.highest_seen >= 0:
                # An agent that never answers orders records up to the order to stop.
                self.last = self.highest_seen
            self._tell_stored()
        else:
            self._send({"type": "record", "recording": str(self.recording), "stored": max(0, self.stored_up_to())})

    def stop(self) -> None:
        """The order to stop was given."""
        if self.order != "stopping":
            self.order = "stopping"
            self.heard = time.monotonic()
            self._tell_order()

    # ---- what the agent says

    def said(self, message: dict[str, Any], *, late: bool = False) -> None:
        """Take what the agent says of this recording (checked before); ``late``: its frames may have been missed."""
        self.heard = time.monotonic()
        self.speaks = True
        first = message.get("first")
        if isinstance(first, int):
            self.first = first if self.first is None else min(self.first, first)
        kind = message["type"]
        if kind == "recording":
            # It keeps frames from now on, whatever it said before: an agent that was killed takes what it finds in its
            # spool for all that there is, until it hears the order to record.
            self.last = self.stopped = None
        if kind == "pending":
            self._announced, self._asked_again = True, False
            for low, high in message.get("ranges", []):
                self._awaited.add_range(low, high)
            if self.recorder.store is not None:
                for low, high in self.recorder.store.stored:
                    self._awaited.discard_range(low, high)
            self.stopped = None
            self._tell_stored()
        if kind in {"stopping", "stopped"} and isinstance(message.get("last"), int):
            self.last = message["last"]
        if kind == "stopped" and not self._asked_again:
            self.stopped = message
            self.agent_lost = int(message.get("lost") or 0)
            self.device_dropped = message.get("dropped")
            # It has sent all that it has; what it announced and did not send it has lost.
            self._awaited = SequenceSet()
            self.recorder.hurry()
            self._on_change()
        if late:
            if self.recorder.is_open:
                self._send({"type": "resend", "recording": str(self.recording)})
            else:
                self._resend = True

    def takes(self, sequence: int, *, begins: bool = True) -> bool:
        """Return whether a frame of this number belongs to the recording; ``begins``: one may begin with it."""
        if self.first is None:
            if self.order != "recording" or not self.recorder.is_open or not begins:
                return False
            self.first = sequence
        return sequence >= self.first and (self.last is None or sequence <= self.last)

    def add(self, header: FrameHeader, picture: memoryview) -> None:
        """Record a frame."""
        self.heard = time.monotonic()
        self.highest_seen = max(self.highest_seen, header.sequence)
        if header.after_gap:
            self.after_gaps += 1
        # An agent that announces does so before it sends frames.
        self._announced = True
        if self.recorder.add(header, picture):
            self._handed.add(header.sequence)
        else:
            # The agent is asked for it again, and must not hear before that all up to a later one is stored.
            self._awaited.add(header.sequence)
            self._asked_again = True

    # ---- what the recorder says

    def _stored(self, sequences: list[int]) -> None:
        for sequence in sequences:
            self._handed.discard(sequence)
            self._awaited.discard(sequence)
        self._highest = max(self._highest, *sequences)
        self._tell_stored()
        if self.stopped is not None:
            self._on_change()

    def _troubled(self, text: str) -> None:
        if text:
            # What was handed over and not written is dropped; it comes again.
            for first, last in self._handed:
                self._awaited.add_range(first, last)
            self._handed = SequenceSet()
            self._asked_again = True
            self.stopped = None
        else:
            self._send({"type": "resend", "recording": str(self.recording)})
        self._on_change()

    def stored_up_to(self) -> int:
        """Return the number up to which everything that the agent has announced is on the disk (-1: nothing).

        Until it has announced what it holds, that is the first hole of what an earlier connection stored: the frames of
        the hole may be lost, or may be the very ones that it is about to announce.
        """
        if self._awaited:
            return min(self._highest, self._awaited.lowest - 1)
        store = self.recorder.store
        if not self._announced and store is not None and store.stored:
            return min(self._highest, next(iter(store.stored))[1])
        return self._highest

    def _tell_stored(self) -> None:
        if self.recorder.is_open and self._highest >= 0:
            self._send({"type": "stored", "recording": str(self.recording), "sequence": max(0, self.stored_up_to())})

    @property
    def complete(self) -> bool:
        """Whether the agent has said its last word and all of it is on the disk."""
        return self.recorder.is_open and self.stopped is not None and not self._handed and not self.recorder.trouble
