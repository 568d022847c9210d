"""The agent's end of ``ws/cameras/<slug>/ingest/``: sends what the outbox has, does what the server says."""

from __future__ import annotations

import asyncio
import json
import logging
import platform
import random
import time
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from cameras.agent import VERSION
from cameras.agent.capture import CameraSettings, Capture
from cameras.agent.outbox import Outbox

log = logging.getLogger(__name__)

REFUSED = 4401
REPLACED = 4409
FIRST_DELAY = 0.25
LONGEST_DELAY = 15.0
STATUS_PERIOD = 1.0
# A connection that lasted so long was a good one, however it ended.
STEADY_SECONDS = 2.0


class Refused(Exception):
    """The server does not take this camera's token."""


def delay_after(delay: float, lasted: float) -> float:
    """Return the seconds before the next try: the first delay again after a connection that ``lasted``, else ``delay``.

    A box that loses its server now and then must not wait longer from one time to the next.
    """
    return FIRST_DELAY if lasted > STEADY_SECONDS else delay


class CameraAgent:
    """One camera: its capture and its connection, which is made again for as long as the agent runs."""

    def __init__(self, settings: CameraSettings) -> None:
        self.settings = settings
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.outbox = Outbox(
            settings.spool,
            memory_bytes=settings.memory_bytes,
            spool_bytes=settings.spool_bytes,
            spool_after=settings.spool_after,
            wake=self._awake,
        )
        self.capture = Capture(settings, self.outbox)
        self._clock: dict[str, float] = {}

    def _awake(self) -> None:
        """Wake the sender from another thread; a loop that has ended needs no waking."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    async def run(self) -> None:
        """Run until cancelled, or until a file that is played once has ended and is stored.

        Raises Refused when the very first answer of the server is that it does not know the token, and SourceError when
        the source can never work.
        """
        self.capture.start()
        try:
            await self._connect_for_ever()
        finally:
            await asyncio.to_thread(self.capture.stop)
        if self.capture.failure is not None:
            raise self.capture.failure

    async def _connect_for_ever(self) -> None:
        delay, welcome = FIRST_DELAY, False
        while not self._done():
            opened, turned_away = None, False
            try:
                async with connect(
                    self.settings.url,
                    additional_headers={"Authorization": f"Bearer {self.settings.token}", **self.settings.headers},
                    compression=None,
                    max_size=1 << 20,
                    open_timeout=10,
                    close_timeout=2,
                    ping_interval=5,
                    ping_timeout=10,
                    proxy=None,
                    user_agent_header=f"labsite-agent/{VERSION}",
                ) as socket:
                    opened = time.monotonic()
                    await self._serve(socket)
                    welcome = True
            except ConnectionClosed as closed:
                code, reason = (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "connection lost")
                log.warning(
                    "%s: the server closed the connection: %s (%s)", self.settings.slug, reason or "no reason", code
                )
                if code == REFUSED and not welcome:
                    raise Refused(reason) from closed
                turned_away = code in {REFUSED, REPLACED}
                welcome = welcome or code != REFUSED
            except (OSError, TimeoutError, InvalidHandshake) as error:
                what = (
                    f"HTTP {error.response.status_code}"
                    if isinstance(error, InvalidStatus)
                    else str(error) or "timed out"
                )
                log.warning("%s: cannot reach %s: %s", self.settings.slug, self.settings.url, what)
            if self._done():
                return
            delay = delay_after(delay, time.monotonic() - opened if opened is not None else 0.0)
            wait = LONGEST_DELAY if turned_away else delay
            # Boxes that lost one server do not all come back in the same moment.
            await asyncio.sleep(wait * random.uniform(0.7, 1.3))  # noqa: S311
            delay = min(delay * 2, LONGEST_DELAY)

    def _done(self) -> bool:
        return self.capture.failure is not None or (self.capture.ended.is_set() and self.outbox.empty)

    async def _serve(self, socket: ClientConnection) -> None:
        hello = json.loads(await asyncio.wait_for(socket.recv(), 10))
        if hello.get("type") == "hello":
            self.capture.continue_after(int(hello.get("last_sequence") or 0))
            self._use_codec(hello)
        # Who has waited for this camera cannot begin with a picture that needs those before it.
        self.capture.want_key()
        log.info("%s: connected to %s", self.settings.slug, self.settings.url)
        self.outbox.connection_made()
        tasks = [
            asyncio.create_task(self._send(socket)),
            asyncio.create_task(self._receive(socket)),
            asyncio.create_task(self._report(socket)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self.outbox.connection_lost()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, socket: ClientConnection) -> None:
        while True:
            message = self.outbox.next_message()
            if message is None:
                self._wake.clear()
                # Something may have come in between the question and the clearing.
                message = self.outbox.next_message()
                if message is None:
                    await self._wake.wait()
                    continue
            await socket.send(message)

    async def _receive(self, socket: ClientConnection) -> None:
        async for text in socket:
            arrived = time.time_ns()
            try:
                message = json.loads(text)
                kind = message["type"]
            except (ValueError, TypeError, KeyError):
                log.warning("%s: the server said something that is not understood: %.80r", self.settings.slug, text)
                continue
            if kind == "time":
                answer = {"type": "time", "server_ns": message["server_ns"], "agent_ns": arrived}
                await socket.send(json.dumps({**answer, "sent_ns": time.time_ns()}))
                self._clock = {
                    name: message[name] for name in ("offset_ms", "drift_ppm") if message.get(name) is not None
                }
            else:
                self._obey(kind, message)

    def _obey(self, kind: str, message: dict[str, Any]) -> None:
        recording = str(message.get("recording", ""))
        if kind == "record":
            if self.outbox.recording != recording:
                log.info("%s: recording %s", self.settings.slug, recording)
            self.capture.record(recording)
            self.outbox.stored(recording, int(message.get("stored") or 0), everything=False)
        elif kind == "stop":
            log.info("%s: stop recording %s", self.settings.slug, recording)
            self.capture.stop_recording(recording)
        elif kind == "stored":
            everything = bool(message.get("finished"))
            self.outbox.stored(recording, int(message.get("sequence") or 0), everything=everything)
        elif kind == "codec":
            self._use_codec(message)
        elif kind == "key":
            self.capture.want_key()
        elif kind == "resend":
            self.outbox.resend(recording)
        elif kind == "unknown":
            log.error(
                "%s: the server knows no recording %s; its frames stay in %s",
                self.settings.slug,
                recording,
                self.outbox.root,
            )
            self.outbox.refuse(recording)
        self._wake.set()

    def _use_codec(self, message: dict[str, Any]) -> None:
        """Do as the server says, unless the box's own configuration says otherwise."""
        codec = message.get("codec")
        if isinstance(codec, str) and self.settings.codec is None:
            self.capture.use_codec(codec)

    async def _report(self, socket: ClientConnection) -> None:
        while True:
            held = self.outbox.report()
            report = {
                "type": "status",
                "version": VERSION,
                "host": platform.node(),
                "websockets": websockets.__version__,
                "source": self.settings.source.partition("?")[0],
                "simulated": self.capture.simulated,
                "fps": round(self.capture.rate, 2),
                "codec": self.capture.codec,
                "source_problem": self.capture.problem,
                "brightness": None if self.capture.brightness is None else round(self.capture.brightness, 1),
                **held,
                "problem": held["problem"] or self.capture.codec_problem,
            }
            await socket.send(json.dumps(report))
            if self.capture.ended.is_set() and self.outbox.empty:
                return
            await asyncio.sleep(STATUS_PERIOD)


__all__ = ["CameraAgent", "InvalidURI", "Refused"]
