"""The ingest process: which agents are connected here, and what Postgres wants recorded.

Postgres decides: once a second (at once when Redis says so) the station compares what should be recorded with what is,
and starts, stops or finishes. So a restart of anything in between changes nothing but the moment.

Several ingest processes share the agents, each with its own station: a camera is served by the one that its agent is
connected to, all of them know what is to be recorded, and a folder has one writer, because it is locked. Where an agent
comes back to another process, that one says so (a claim) and the older connection is let go.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import Error as DatabaseError
from django.utils import timezone

from cameras.disk import free_bytes
from cameras.ingest import catalog
from cameras.redisline import CLAIM_CHANNEL, KEY_CHANNEL, WAKE_CHANNEL, Publisher, Subscriber, state_channel
from cameras.relay.hub import SILENT_AFTER

if TYPE_CHECKING:
    from cameras.ingest.agent_socket import AgentSocket

log = logging.getLogger(__name__)

POLL_PERIOD = 1.0
STATE_PERIOD = 0.5
CLOCK_PERIOD = 2.0
HEALTH_PERIOD = 2.0
# An agent that does not say that it has stopped (another program than ours) is given so long.
SILENT_AGENT_GRACE = 5.0
KEEP_STATE_SECONDS = 5
# The ring stops below the reserve for recordings, and goes on when there is this much more.
RING_RETURNS = 1.1


class Station:
    """One per process; ``socket`` objects come and go, one for each camera."""

    def __init__(self, url: str) -> None:
        self.publisher = Publisher(url)
        self.sockets: dict[str, AgentSocket] = {}
        self._wake = asyncio.Event()
        self._name = str(uuid4())
        self._woken = Subscriber(url, self._heard)
        self._woken.subscribe(WAKE_CHANNEL)
        self._woken.subscribe(CLAIM_CHANNEL)
        self._woken.subscribe(KEY_CHANNEL)
        self._finishing: set[UUID] = set()
        self._letting_go: set[asyncio.Task[None]] = set()
        self._database_is_away = False
        # Since when this process has known, without a break, what others write of their cameras.
        self._informed_since = time.monotonic()
        self._tasks: list[asyncio.Task[Any]] = []

    def start(self) -> None:
        loops = (
            self.publisher.run,
            self._woken.run,
            self._poll_for_ever,
            self._tell_states,
            self._ask_clocks,
            self._health,
        )
        self._tasks = [asyncio.create_task(loop(), name=f"station {loop.__name__}") for loop in loops]

    async def close(self) -> None:
        """End: connected agents are told to come back, everything handed over is written."""
        for task in self._tasks:
            task.cancel()
        for socket in list(self.sockets.values()):
            await socket.close(1012, "ingest restarts")

    def wake(self) -> None:
        self._wake.set()

    def _heard(self, channel: bytes, payload: bytes) -> None:
        if channel == WAKE_CHANNEL:
            self._wake.set()
            return
        if channel == KEY_CHANNEL:
            self._ask_key(payload)
            return
        try:
            station, slug, since = json.loads(payload)
            socket = self.sockets.get(slug)
            if station == self._name or socket is None or socket.since >= since:
                return
        except (ValueError, TypeError):
            log.error("What came on %s is no claim: %.80r", channel, payload)  # noqa: TRY400
            return
        task = asyncio.create_task(self._let_go(socket))
        self._letting_go.add(task)
        task.add_done_callback(self._letting_go.discard)

    def _claim(self, socket: AgentSocket) -> None:
        """Tell the other ingest processes that this camera is here; said again now and then, for who missed it."""
        claim = json.dumps([self._name, socket.camera.slug, socket.since]).encode()
        self.publisher.publish(CLAIM_CHANNEL, [claim])

    async def _let_go(self, socket: AgentSocket) -> None:
        """Close a connection that a newer one has replaced, and leave its folders to that one."""
        socket.replaced = True
        await socket.close(4409, "Another connection of this camera has replaced this one.")
        for recording in list(socket.tracks):
            if recording not in self._finishing:
                await socket.drop_track(recording)

    async def connect(self, socket: AgentSocket) -> None:
        """A camera's agent has come. A second one of the same camera replaces the first.

        The older one is more often a connection that a cut network left behind than a second box, and the box must not
        wait for it; a real second box is told so, and waits longer each time.
        """
        older = self.sockets.get(socket.camera.slug)
        self.sockets[socket.camera.slug] = socket
        if older is not None:
            await self._let_go(older)
        self._claim(socket)
        self.publish_state(socket)
        self.wake()

    def disconnect(self, socket: AgentSocket) -> None:
        if self.sockets.get(socket.camera.slug) is socket:
            del self.sockets[socket.camera.slug]
            if socket.replaced:
                return  # It is online, elsewhere.
            state = {"online": False, "reason": "offline: the agent is not connected", "simulated": socket.simulated}
            self._publish(socket.camera.slug, {**state, "last_picture_ns": socket.last_picture_ns})

    # ---- orders

    async def _poll_for_ever(self) -> None:
        while True:
            try:
                await self.poll()
                if self._database_is_away:
                    log.info("Postgres answers again.")
                    self._informed_since = time.monotonic()
                self._database_is_away = False
            except DatabaseError as error:
                # What is being recorded goes on being recorded; what should change, changes when Postgres answers.
                if not self._database_is_away:
                    log.warning("Postgres does not answer (%s); recordings go on.", str(error).strip())
                self._database_is_away = True
            try:
                await asyncio.wait_for(self._wake.wait(), POLL_PERIOD)
            except TimeoutError:
                continue
            finally:
                self._wake.clear()

    async def poll(self) -> None:
        """Bring what is recorded in line with what should be."""
        orders = await catalog.in_thread(catalog.orders)
        wanted: dict[str, set[UUID]] = {}
        for order in orders:
            wanted.setdefault(order.slug, set()).add(order.id)
        for order in orders:
            socket = self.sockets.get(order.slug)
            try:
                if socket is None:
                    await self._without_agent(order)
                elif order.id not in self._finishing:
                    await self._with_agent(order, socket)
            except DatabaseError:
                raise
            except Exception:
                # Whatever is wrong with one recording, the others must not wait for it; it is tried again each second.
                log.exception("%s: recording %s cannot be followed", order.slug, order.id)
        for slug, socket in list(self.sockets.items()):
            for recording in list(socket.tracks):
                if recording not in wanted.get(slug, set()) and recording not in self._finishing:
                    await socket.drop_track(recording)
        await self._follow_rings()

    async def _follow_rings(self) -> None:
        """Keep what the cameras send whose last hours are kept, while the disk has room for more than recordings."""
        if not self.sockets:
            return
        wanted = await catalog.in_thread(catalog.ring_folders)
        free = await asyncio.to_thread(free_bytes)
        keeps = any(socket.ring is not None for socket in self.sockets.values())
        if free < settings.LAB_DISK_RESERVE * (1 if keeps else RING_RETURNS):
            wanted = {}
        for slug, socket in list(self.sockets.items()):
            await socket.keep_ring(wanted.get(slug))

    async def _with_agent(self, order: catalog.Order, socket: AgentSocket) -> None:
        track = socket.tracks.get(order.id)
        if track is None:
            track = socket.start_track(order)
        if order.state == "stopping":
            track.stop()
        if track.order != "stopping":
            return
        if track.complete or (
            track.recorder.is_open and not track.speaks and time.monotonic() - track.heard > SILENT_AGENT_GRACE
        ):
            await self.finish(socket, order.id)

    async def _without_agent(self, order: catalog.Order) -> None:
        if order.state != "stopping" or order.stopped is None or order.id in self._finishing:
            return
        seen = order.last_seen
        if seen is not None and (timezone.now() - seen).total_seconds() < 3 * HEALTH_PERIOD:
            return  # Connected to another ingest process, or gone only just now.
        if time.monotonic() - self._informed_since < 3 * HEALTH_PERIOD:
            return  # Perhaps connected to another one that could not write so while Postgres was away.
        if (timezone.now() - order.stopped).total_seconds() > settings.LAB_OFFLINE_GRACE:
            note = (
                "The camera was offline when the recording was stopped; "
                "frames that its agent still holds are added when it returns."
            )
            self._finishing.add(order.id)
            try:
                await catalog.in_thread(catalog.finish, recording_id=order.id, message=note)
            finally:
                self._finishing.discard(order.id)

    async def finish(self, socket: AgentSocket, recording: UUID) -> None:
        """Close a recording whose last frame is stored, and put it into the catalog."""
        track = socket.tracks.get(recording)
        if track is None or recording in self._finishing:
            return
        self._finishing.add(recording)
        try:
            await track.recorder.close()
            await catalog.in_thread(
                catalog.finish,
                recording_id=recording,
                first=track.first,
                last=track.last,
                dropped=track.device_dropped,
                clock=track.recorder.clock.estimate(),
            )
        finally:
            self._finishing.discard(recording)
            # Whether or not Postgres took it: the next poll opens the folder anew.
            socket.tracks.pop(recording, None)
        socket.tell(
            {"type": "stored", "recording": str(recording), "sequence": max(0, track.stored_up_to()), "finished": True}
        )
        self.publish_state(socket)

    # ---- what others hear

    def _ask_key(self, slug: bytes) -> None:
        socket = self.sockets.get(slug.decode(errors="replace"))
        if socket is not None:
            socket.ask_key()

    def publish_state(self, socket: AgentSocket) -> None:
        self._publish(socket.camera.slug, socket.state())

    def _publish(self, slug: str, state: dict[str, Any]) -> None:
        channel = state_channel(slug)
        payload = json.dumps({"slug": slug, "server_ns": time.time_ns(), **state}).encode()
        self.publisher.publish(channel, [payload])
        self.publisher.send("SET", channel, payload, "EX", str(KEEP_STATE_SECONDS))

    async def _tell_states(self) -> None:
        assert STATE_PERIOD < SILENT_AFTER
        while True:
            for socket in list(self.sockets.values()):
                self.publish_state(socket)
            await asyncio.sleep(STATE_PERIOD)

    async def _ask_clocks(self) -> None:
        while True:
            for socket in list(self.sockets.values()):
                socket.ask_clock()
            await asyncio.sleep(CLOCK_PERIOD)

    async def _health(self) -> None:
        while True:
            for socket in list(self.sockets.values()):
                self._claim(socket)
                try:
                    await catalog.in_thread(catalog.save_health, socket.camera.id, socket.highest, socket.about_agent())
                    codec = await catalog.in_thread(catalog.codec_of, socket.camera.id, socket.token)
                except DatabaseError:
                    break  # Said by the poll; nothing is lost by writing it later.
                if codec is not None:
                    socket.tell_codec(codec)
                else:
                    await socket.close(4401, "This camera's token was changed or the camera was switched off.")
            await asyncio.sleep(HEALTH_PERIOD)
