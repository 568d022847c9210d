"""The server's end of ``ws/cameras/<slug>/ingest/``, as a plain ASGI application.

======================================  =============================================================================
server says                             agent says
======================================  =============================================================================
``hello`` camera, last_sequence         frame messages (main and preview)
``record`` recording, stored            ``recording`` recording, first
``stop`` recording                      ``stopping`` recording, first, last (at once)
``stored`` recording, sequence,         ``stopped`` recording, first, last, lost (when all was sent)
finished                                ``pending`` recording, first, ranges: frames that come later, or again
``resend`` recording                    ``status`` fps, source_problem, held_frames, memory_bytes, spool_bytes ...
``unknown`` recording                   ``time`` server_ns, agent_ns, sent_ns
``time`` server_ns, offset_ms ...
======================================  =============================================================================

Close codes: 4400 a message that is not understood, 4401 wrong token, 4409 replaced by a newer connection, 1009 too
large.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import Error as DatabaseError

from cameras import h264
from cameras.clock import ClockLine
from cameras.ingest import catalog
from cameras.ingest.ringwriter import RingWriter
from cameras.ingest.station import Station
from cameras.ingest.track import Track
from cameras.redisline import frames_channel
from cameras.sequences import SequenceSet
from cameras.wire import CODEC_H264, CODECS, MAX_MESSAGE, FrameError, FrameHeader, decode, with_receive_time
from sessions.websockets import header

log = logging.getLogger(__name__)

BAD_MESSAGE, WRONG_TOKEN, TOO_LARGE, TRY_AGAIN = 4400, 4401, 1009, 1013
# The reason of a closing handshake has at most 123 bytes.
LONGEST_REASON = 120
LONGEST_TEXT = 1_000_000
MOST_RANGES = 10_000
RATE_PERIOD = 1.0
LOOK_UP_PERIOD = 1.0
# Mean brightness of a picture (0 to 255); the noise of a covered sensor stays below, a room lit by infrared is above.
DARK_BELOW = 8.0


class Rejected(Exception):
    """A message that ends the connection; ``code`` is the close code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


_stations: dict[asyncio.AbstractEventLoop, Station] = {}


def station() -> Station:
    """Return the station of the running event loop; a server process has one."""
    loop = asyncio.get_running_loop()
    found = _stations.get(loop)
    if found is None:
        found = _stations[loop] = Station(settings.LAB_REDIS_URL)
        found.start()
    return found


async def ingest(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Serve one agent."""
    slug = scope["url_route"]["kwargs"]["slug"]
    if (await receive())["type"] != "websocket.connect":
        return
    await send({"type": "websocket.accept"})
    kind, _, token = header(scope, b"authorization").partition(" ")
    token = token.strip()
    try:
        if kind.lower() != "bearer" or not token:
            raise Rejected(WRONG_TOKEN, "Send the camera's token: Authorization: Bearer ...")
        try:
            camera = await catalog.in_thread(catalog.camera_of, slug, token)
        except DatabaseError:
            raise Rejected(TRY_AGAIN, "The database does not answer; try again.") from None
        if camera is None:
            raise Rejected(WRONG_TOKEN, f"This token is not that of camera {slug[:60]}.")
        if not camera.enabled:
            raise Rejected(WRONG_TOKEN, f"Camera {slug[:60]} is switched off.")
    except Rejected as refusal:
        client = scope.get("client") or ("?",)
        log.warning("%s: refused an agent from %s: %s", slug[:60], client[0], refusal)
        await send({"type": "websocket.close", "code": refusal.code, "reason": str(refusal)[:LONGEST_REASON]})
        return
    await AgentSocket(camera, token, station(), send).serve(receive)


class AgentSocket:
    """One connected agent: its frames go to the disk and to Redis, the station's orders to it."""

    def __init__(self, camera: catalog.CameraFacts, token: str, place: Station, send: Any) -> None:
        self.camera = camera
        self.token = token
        self.tracks: dict[UUID, Track] = {}
        self.ring: RingWriter | None = None
        self.highest = camera.last_sequence
        self.last_picture_ns: int | None = None
        self.simulated = False
        self.codec = 0
        self.told_codec = camera.codec
        self.status: dict[str, Any] = {}
        self.clock = ClockLine()
        self.fps = 0.0
        self._station = place
        self._send_raw = send
        self._out: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._closed = False
        self._said: dict[str, list[dict[str, Any]]] = {}
        self._owed = SequenceSet()
        self._live: dict[str, int] = {"main": -1, "preview": -1}
        self._channels = {rendition: frames_channel(camera.slug, rendition) for rendition in self._live}
        self.bytes_per_second = 0.0
        self._counted = (time.monotonic(), 0, 0)
        self._frames = 0
        self._bytes = 0
        self.since = time.time()
        # Whether a newer connection of the camera has taken over.
        self.replaced = False

    async def serve(self, receive: Any) -> None:
        """Take messages until the agent goes or sends what is not understood."""
        writer = asyncio.ensure_future(self._write())
        hello = {
            "type": "hello",
            "camera": self.camera.slug,
            "last_sequence": self.highest,
            "server_ns": time.time_ns(),
            "codec": self.camera.codec,
        }
        self.tell({**hello, "protocol": 1})
        log.info("%s: agent connected", self.camera.slug)
        try:
            await self._station.connect(self)
            while (message := await receive())["type"] != "websocket.disconnect":
                if self.replaced:
                    continue
                data = message.get("bytes")
                if data is not None:
                    self._frame(data)
                else:
                    self._text(message.get("text") or "")
        except Rejected as rejected:
            log.warning("%s: closed the agent's socket: %s", self.camera.slug, rejected)
            await self.close(rejected.code, str(rejected))
        finally:
            self._closed = True
            self._station.disconnect(self)
            writer.cancel()
            for recording in list(self.tracks):
                await self.drop_track(recording)
            await self.keep_ring(None)
            log.info("%s: agent gone", self.camera.slug)

    # ---- to the agent

    def tell(self, message: dict[str, Any]) -> None:
        """Say something to the agent; never waits."""
        if not self._closed:
            self._out.put_nowait({"type": "websocket.send", "text": json.dumps(message)})

    async def close(self, code: int, reason: str) -> None:
        """Close the socket with a reason that is at most 123 bytes long, as the protocol wants."""
        if not self._closed:
            self._closed = True
            short = reason.encode()[:LONGEST_REASON].decode(errors="ignore")
            self._out.put_nowait({"type": "websocket.close", "code": code, "reason": short})
            # The writer's turn: what was said before the close is sent before it.
            await asyncio.sleep(0)

    async def _write(self) -> None:
        while True:
            message = await self._out.get()
            await self._send_raw(message)

    # ---- frames

    def _frame(self, data: bytes) -> None:
        try:
            head, picture = decode(data)
            if head.codec == CODEC_H264:
                if head.is_preview:
                    raise FrameError("codec", 4, "is 2 (H.264), a preview is JPEG")
                h264.check(picture, key=head.is_key, width=head.width, height=head.height)
        except FrameError as error:
            raise Rejected(TOO_LARGE if len(data) > MAX_MESSAGE else BAD_MESSAGE, f"Bad frame: {error}") from error
        now = time.time_ns()
        sequence, rendition = head.sequence, head.rendition
        if rendition == "main":
            self._count(sequence, len(picture))
            self.codec = head.codec
            for track in self.tracks.values():
                if track.takes(sequence, begins=head.codec != CODEC_H264 or head.is_key):
                    track.add(_received(head, now), picture)
                    break
            if self.ring is not None:
                self.ring.add(_received(head, now), picture)
            if sequence in self._owed:
                # Sent late or again: it is data, but it is not what happens now.
                self._owed.discard(sequence)
                return
        if sequence > self._live[rendition]:
            self._live[rendition] = sequence
            self.last_picture_ns = now
            self._station.publisher.publish(self._channels[rendition], with_receive_time(data, now))

    def _count(self, sequence: int, size: int) -> None:
        self._frames += 1
        self._bytes += size
        self.highest = max(self.highest, sequence)
        now = time.monotonic()
        since, frames, taken = self._counted
        if now - since >= RATE_PERIOD:
            self.fps = (self._frames - frames) / (now - since)
            self.bytes_per_second = (self._bytes - taken) / (now - since)
            self._counted = (now, self._frames, self._bytes)

    # ---- what the agent says

    def _text(self, text: str) -> None:
        if len(text) > LONGEST_TEXT:
            raise Rejected(TOO_LARGE, f"A text message has {len(text)} characters, at most {LONGEST_TEXT} are taken.")
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            raise Rejected(BAD_MESSAGE, "A text message is no JSON.") from None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise Rejected(BAD_MESSAGE, "A text message is no JSON object with a type.")
        kind = message["type"]
        if kind == "time":
            self._take_clock(message)
        elif kind == "status":
            self.status = message
            self.simulated = bool(message.get("simulated"))
        elif kind in {"recording", "pending", "stopping", "stopped"}:
            self._of_recording(kind, message)
        # Other types are of a newer agent; they are no reason to lose its frames.

    def _take_clock(self, message: dict[str, Any]) -> None:
        times: list[Any] = [message.get(name) for name in ("server_ns", "agent_ns", "sent_ns")]
        if not all(isinstance(value, int) and 0 < value < 2**63 for value in times):
            raise Rejected(BAD_MESSAGE, "time: server_ns, agent_ns and sent_ns must be times in ns.")
        now = time.time_ns()
        self.clock.add(times[0], times[1], times[2], now)
        for track in self.tracks.values():
            track.recorder.clock.add(times[0], times[1], times[2], now)
        if self.ring is not None:
            self.ring.add_clock(times[0], times[1], times[2], now)

    def _of_recording(self, kind: str, message: dict[str, Any]) -> None:
        recording = _recording_id(kind, message)
        for name, what in (("first", "a sequence number"), ("last", "a sequence number"), ("dropped", "a count")):
            value = message.get(name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63):
                raise Rejected(BAD_MESSAGE, f"{kind}: {name} must be {what}.")
        if kind == "pending":
            for first, last in _ranges(message):
                self._owed.add_range(first, last)
        track = self.tracks.get(recording)
        if track is not None:
            track.said(message)
        elif kind != "stopped" or message.get("last") is not None:
            said = self._said.setdefault(str(recording), [])
            said.append(message)
            if len(said) == 1:
                task = asyncio.ensure_future(self._look_up(recording))
                task.add_done_callback(_log_failure)

    async def _look_up(self, recording: UUID) -> None:
        """The agent holds frames of a recording that is not open here: open it, take it up again, or disown it."""
        while not self._closed and recording not in self.tracks:
            try:
                order = await catalog.in_thread(catalog.order_of, str(recording), self.camera.id)
            except DatabaseError:
                await asyncio.sleep(LOOK_UP_PERIOD)
                continue
            if self._closed or recording in self.tracks:
                return
            if order is None:
                self._said.pop(str(recording), None)
                self.tell({"type": "unknown", "recording": str(recording)})
                return
            if order.state not in {"recording", "stopping"}:
                await self._late(order)
                return
            # It is opened by the next poll, unless that finds it finished a moment before this agent came.
            self._station.wake()
            await asyncio.sleep(LOOK_UP_PERIOD)

    async def _late(self, order: catalog.Order) -> None:
        """Frames of a recording that was finished without its camera: take it up again if any is new."""
        stored = await asyncio.to_thread(_stored_in, order)
        missing = SequenceSet()
        for message in self._said.get(str(order.id), []):
            for first, last in _ranges(message):
                missing.add_range(first, last)
        for first, last in stored:
            missing.discard_range(first, last)
        if missing:
            log.info("%s: %d late frames of recording %s", self.camera.slug, len(missing), order.id)
            await catalog.in_thread(catalog.reopen, recording_id=order.id)
            self._station.wake()
        else:
            self._said.pop(str(order.id), None)
            highest = stored.highest if stored else 0
            self.tell({"type": "stored", "recording": str(order.id), "sequence": highest, "finished": True})

    # ---- orders of the station

    def start_track(self, order: catalog.Order) -> Track:
        """Open a recording; what the agent said of it before is taken now."""
        log.info("%s: %s recording %s", self.camera.slug, order.state, order.id)
        track = Track(
            order.id,
            order.folder,
            self.tell,
            order=order.state,
            started=order.started.timestamp(),
            on_change=self._station.wake,
        )
        self.tracks[order.id] = track
        for message in self._said.pop(str(order.id), []):
            track.said(message, late=message["type"] == "pending")
        return track

    async def drop_track(self, recording: UUID) -> None:
        """Write what was handed over and let the folder go."""
        track = self.tracks.pop(recording, None)
        if track is not None:
            await track.recorder.close()

    def ask_key(self) -> None:
        """Somebody wants to see this camera now, and can begin only with a key frame."""
        if self.codec == CODEC_H264:
            self.tell({"type": "key"})

    def tell_codec(self, codec: str) -> None:
        """The camera's settings say how its agent should encode."""
        if codec != self.told_codec:
            self.told_codec = codec
            self.tell({"type": "codec", "codec": codec})

    async def keep_ring(self, folder: Path | None) -> None:
        """Keep in the ring what comes from now on, or (``None``) no more."""
        if folder is not None and self.ring is None and not self._closed:
            self.ring = RingWriter(folder)
        elif folder is None and self.ring is not None:
            ring, self.ring = self.ring, None
            await ring.close()

    def ask_clock(self) -> None:
        estimate = self.clock.estimate()
        self.tell({"type": "time", "server_ns": time.time_ns(), **estimate})

    # ---- what others may know

    def state(self) -> dict[str, Any]:
        """Return the camera's state as pages see it."""
        recording = next((track for track in self.tracks.values() if track.order == "recording"), None)
        unstored = next((track.recorder.trouble for track in self.tracks.values() if track.recorder.trouble), "")
        unstored = unstored or str(self.status.get("problem") or "")
        return {
            "online": True,
            "since": self.since,
            "fps": round(self.fps, 1),
            "bytes_per_second": round(self.bytes_per_second),
            "codec": CODECS.get(self.codec),
            "last_picture_ns": self.last_picture_ns,
            "source_problem": str(self.status.get("source_problem") or ""),
            "simulated": self.simulated,
            "recording": {"id": str(recording.recording), "since": recording.started} if recording else None,
            "trouble": unstored or ("dark: no light" if self.dark else ""),
            # What is recorded is not on the disk now: the server's takes none, or the box has no room to keep more.
            "unstored": unstored,
            "dark": self.dark,
            "held_frames": self.status.get("held_frames"),
            "offset_ms": self.clock.estimate()["offset_ms"],
            "offset_now_ms": self.clock.offset_now(),
        }

    @property
    def dark(self) -> bool:
        """Whether the camera sees next to no light: a lens cap, a lamp that is off, a dead sensor."""
        brightness = self.status.get("brightness")
        return isinstance(brightness, int | float) and brightness < DARK_BELOW

    def about_agent(self) -> dict[str, Any]:
        """Return what is kept of the agent in Postgres."""
        names = (
            "version", "host", "source", "codec", "simulated", "fps", "lost", "spool_bytes", "problem",
            "source_problem",
        )  # fmt: skip
        known = {name: self.status[name] for name in names if isinstance(self.status.get(name), str | int | float)}
        return {
            **{name: value[:200] if isinstance(value, str) else value for name, value in known.items()},
            **self.clock.estimate(),
        }


def _received(head: FrameHeader, now: int) -> FrameHeader:
    return FrameHeader(head.sequence, head.captured_ns, head.width, head.height, head.codec, head.flags, now)


def _recording_id(kind: str, message: dict[str, Any]) -> UUID:
    try:
        return UUID(str(message.get("recording")))
    except ValueError:
        raise Rejected(BAD_MESSAGE, f"{kind}: recording {str(message.get('recording'))[:40]!r} is no id.") from None


def _ranges(message: dict[str, Any]) -> list[tuple[int, int]]:
    found = message.get("ranges", [])
    if not isinstance(found, list) or len(found) > MOST_RANGES:
        raise Rejected(BAD_MESSAGE, "pending: ranges must be a list of [first, last].")
    for pair in found:
        good = isinstance(pair, list) and len(pair) == 2 and all(type(value) is int for value in pair)
        if not good or not 0 <= pair[0] <= pair[1] < 2**63:
            raise Rejected(BAD_MESSAGE, f"pending: {str(pair)[:40]} is no range [first, last].")
    return [(pair[0], pair[1]) for pair in found]


def _stored_in(order: catalog.Order) -> SequenceSet:
    from cameras import frametable

    found = SequenceSet()
    try:
        table = frametable.read(order.folder)
    except (OSError, frametable.TableError):
        return found
    for sequence in table.in_order()["sequence"].tolist():
        found.add(sequence)
    return found


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("looking up a recording failed: %s", error)
