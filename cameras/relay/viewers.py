"""A viewer with credit: on uvicorn's own transport where that is possible, over plain ASGI elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from cameras.relay.frames import LiveFrame
from cameras.relay.hub import Topic
from cameras.relay.protocol import FrameWebSocketProtocol

log = logging.getLogger(__name__)

# State messages wait for nobody's credit; a viewer that reads nothing gets no more of them than this many bytes.
UNSENT_TEXT = 1_000_000


class DirectViewer:
    """Writes the same encoded bytes as every other viewer straight to its transport."""

    def __init__(self, socket: FrameWebSocketProtocol, credit: int) -> None:
        self._socket = socket
        self._limit = self._credit = credit
        self._sent: int | None = None
        self._arriving = True
        self.topic: Topic | None = None
        socket.take_over(self.ack)

    def offer(self, frame: LiveFrame) -> None:
        if frame.is_h264:
            self._go_on()
        elif self._credit > 0:
            self._write(frame)

    def _write(self, frame: LiveFrame) -> None:
        self._credit -= 1
        self._sent = frame.sequence
        self._socket.write_encoded(frame.encoded)

    def _go_on(self) -> None:
        """Send what can be decoded after what was sent, as far as the credit reaches."""
        assert self.topic is not None
        while self._credit > 0:
            frame = self.topic.group.after(self._sent, patient=self._arriving)
            if frame is None:
                return
            self._write(frame)
            self._arriving = self._arriving and frame is not self.topic.latest

    def ack(self) -> None:
        if self._credit < self._limit:
            self._credit += 1
        latest = self.topic.latest if self.topic is not None else None
        if latest is not None and (latest.is_h264 or latest.sequence != self._sent):
            self.offer(latest)

    def tell(self, text: str, encoded: bytes) -> None:
        if self._socket.unsent < UNSENT_TEXT:
            self._socket.write_encoded(encoded)

    def close(self) -> None:
        """Nothing is held."""


class PlainViewer:
    """The same over ASGI messages, for servers that do not offer their transport."""

    def __init__(self, send: Callable[[dict[str, Any]], Awaitable[None]], credit: int) -> None:
        self._send = send
        self._limit = self._credit = credit
        self._sent: int | None = None
        self._arriving = True
        self._frame: LiveFrame | None = None
        self._text: str | None = None
        self._wake = asyncio.Event()
        self.topic: Topic | None = None
        self._task = asyncio.ensure_future(self._write())

    def offer(self, frame: LiveFrame) -> None:
        self._frame = frame
        self._wake.set()

    def ack(self) -> None:
        if self._credit < self._limit:
            self._credit += 1
        self._wake.set()

    def tell(self, text: str, encoded: bytes) -> None:
        self._text = text
        self._wake.set()

    def close(self) -> None:
        self._task.cancel()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._text is not None:
                text, self._text = self._text, None
                await self._send({"type": "websocket.send", "text": text})
            while self._credit > 0 and (frame := self._next()) is not None:
                self._credit -= 1
                self._sent = frame.sequence
                await self._send({"type": "websocket.send", "bytes": frame.payload})

    def _next(self) -> LiveFrame | None:
        frame = self._frame
        if frame is not None and frame.is_h264 and self.topic is not None:
            found = self.topic.group.after(self._sent, patient=self._arriving)
            self._arriving = self._arriving and found is not self.topic.latest
            return found
        return None if frame is None or frame.sequence == self._sent else frame
