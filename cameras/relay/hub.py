"""Who watches what in this process: one subscription per camera and rendition, one newest frame for all its viewers.

Nothing is queued. A viewer holds a number of credits; a frame costs one, an ``ack`` gives one back. Whoever has none
skips frames and gets the newest when the next ``ack`` comes, so a thin link sees *now* less often, and never a
backlog.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from django.conf import settings

from cameras.redisline import KEY_CHANNEL, Publisher, Subscriber, frames_channel, state_channel
from cameras.relay.frames import Group, LiveFrame, live_frame
from cameras.relay.protocol import encoded_text
from cameras.wire import HEADER_LENGTH

log = logging.getLogger(__name__)

# No picture for so long is said in words; the contract is 3 s from the last picture to the words on the page.
FROZEN_AFTER = 1.5
# Ingest tells a camera's state twice a second; silence for so long means that nobody serves the camera.
SILENT_AFTER = 2.0
TICK = 0.25
STATE_PERIOD = 1.0
# How long a camera that nobody watches any more stays subscribed: a page that reloads finds its picture at once.
LINGER = 5.0
# A key frame that was asked for is given so long to come before it is asked for again.
KEY_PATIENCE = 0.5


class Viewer(Protocol):
    """What the hub needs of a viewer; ``topic`` is set when it joins."""

    topic: Topic | None

    def offer(self, frame: LiveFrame) -> None:
        """A new frame is there; never waits."""
        ...

    def tell(self, text: str, encoded: bytes) -> None:
        """Pass on a state message (as text and as an encoded websocket message)."""
        ...


class Topic:
    """One rendition of one camera: its newest frame, its state and its viewers.

    Of H.264 it has every picture since the last key frame, too; ``ask_key`` is called when one is needed.
    """

    def __init__(self, slug: str, rendition: str, ask_key: Callable[[str], None] = lambda _slug: None) -> None:
        self.slug = slug
        self.rendition = rendition
        self.viewers: set[Viewer] = set()
        self.latest: LiveFrame | None = None
        self.group = Group()
        self._ask_key = ask_key
        self._asked_at = 0.0
        self.reported: dict[str, Any] = {}
        self.reported_at = 0.0
        self.since = time.monotonic()
        self.left_at = 0.0
        self.told: tuple[Any, ...] = ()
        self.told_at = 0.0

    def publish(self, payload: bytes) -> None:
        """Give a frame message to every viewer that has credit."""
        if len(payload) <= HEADER_LENGTH:
            return
        frame = live_frame(payload)
        if frame.is_h264 and not self.group.add(frame):
            # Nobody can decode it: this process has only just begun to listen, or a frame before it was lost.
            if frame.arrived - self._asked_at > KEY_PATIENCE:
                self._asked_at = frame.arrived
                self._ask_key(self.slug)
            return
        self.latest = frame
        for viewer in self.viewers:
            viewer.offer(frame)

    def state(self) -> dict[str, Any]:
        """Return what a viewer must know: whether pictures come, and if not, why, in words."""
        now = time.monotonic()
        heard = now - self.reported_at < SILENT_AFTER if self.reported_at else False
        online = heard and bool(self.reported.get("online"))
        quiet = now - (self.latest.arrived if self.latest else self.since)
        frozen = quiet > FROZEN_AFTER
        reason = ""
        if not online:
            # A process that only just began to listen knows nothing bad yet.
            starting = not self.reported_at and now - self.since < SILENT_AFTER
            reason = "connecting" if starting else str(self.reported.get("reason") or "offline: no agent is connected")
            # Of a camera that it said has gone, ingest says no more.
            if self.reported_at and not heard and self.reported.get("online"):
                reason = "offline: ingest does not answer"
        elif frozen:
            reason = str(self.reported.get("source_problem") or "frozen: the agent sends no new picture")
        return {
            "type": "state",
            "online": online,
            "frozen": frozen,
            "live": online and not frozen,
            "reason": reason,
            "last_picture_ns": self.latest.received_ns if self.latest else self.reported.get("last_picture_ns"),
            "recording": self.reported.get("recording") if heard else None,
            "trouble": self.reported.get("trouble", "") if heard else "",
            "simulated": bool(self.reported.get("simulated")),
            "fps": self.reported.get("fps") if heard else None,
            "clock_offset_ms": self.reported.get("offset_ms") if heard else None,
            "agent_ahead_ms": self.reported.get("offset_now_ms") if heard else None,
        }

    def tell(self, *, force: bool = False) -> None:
        """Tell the viewers the state when it changed or a second has passed."""
        state = self.state()
        key = (state["online"], state["frozen"], state["reason"], str(state["recording"]), state["trouble"])
        now = time.monotonic()
        if not force and key == self.told and now - self.told_at < STATE_PERIOD:
            return
        self.told, self.told_at = key, now
        text = json.dumps({**state, "server_ns": time.time_ns()})
        encoded = encoded_text(text.encode())
        for viewer in tuple(self.viewers):
            viewer.tell(text, encoded)


class Hub:
    """The topics of one process, fed by one line to Redis; lives in the event loop that asked for it."""

    def __init__(self, url: str) -> None:
        self._topics: dict[bytes, Topic] = {}
        self._by_slug: dict[bytes, list[Topic]] = {}
        self._line = Subscriber(url, self._message)
        self._asking = Publisher(url)
        running = (self._line.run(), self._asking.run(), self._tick())
        self._tasks = [asyncio.ensure_future(loop) for loop in running]

    def join(self, slug: str, rendition: str, viewer: Viewer) -> Topic:
        """Add a viewer; it is told the state at once and gets the newest frame if there is a fresh one.

        Of H.264 it gets the last key frame and, as fast as it takes them, the pictures after it.
        """
        topic = viewer.topic = self._topic(slug, rendition)
        topic.viewers.add(viewer)
        text = json.dumps({**topic.state(), "server_ns": time.time_ns()})
        viewer.tell(text, encoded_text(text.encode()))
        if topic.latest is not None and time.monotonic() - topic.latest.arrived < FROZEN_AFTER:
            viewer.offer(topic.latest)
        return topic

    def leave(self, topic: Topic, viewer: Viewer) -> None:
        topic.viewers.discard(viewer)
        topic.left_at = time.monotonic()

    async def next_frames(self, slug: str, rendition: str, limit: float) -> list[LiveFrame]:
        """Wait up to ``limit`` seconds for a frame that arrives after this call; empty when none does.

        It is the last of the list; before it are those that it is decoded from.
        """
        topic = self._topic(slug, rendition)
        waiter = _Waiter(topic)
        topic.viewers.add(waiter)
        try:
            return await asyncio.wait_for(waiter.frames, limit)
        except TimeoutError:
            return []
        finally:
            self.leave(topic, waiter)

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _topic(self, slug: str, rendition: str) -> Topic:
        channel = frames_channel(slug, rendition)
        topic = self._topics.get(channel)
        if topic is None:
            topic = self._topics[channel] = Topic(slug, rendition, self._want_key)
            topics = self._by_slug.setdefault(state_channel(slug), [])
            if topics:
                topic.reported, topic.reported_at = topics[0].reported, topics[0].reported_at
            topics.append(topic)
            self._line.subscribe(channel)
            self._line.subscribe(state_channel(slug))
        return topic

    def _want_key(self, slug: str) -> None:
        self._asking.publish(KEY_CHANNEL, [slug.encode()])

    def _message(self, channel: bytes, payload: bytes) -> None:
        topic = self._topics.get(channel)
        if topic is not None:
            topic.publish(payload)
            return
        topics = self._by_slug.get(channel)
        if topics:
            try:
                reported = json.loads(payload)
            except ValueError:
                log.error("What came on %s is no JSON: %.80r", channel, payload)  # noqa: TRY400
                return
            for topic in topics:
                topic.reported, topic.reported_at = reported, time.monotonic()
                topic.tell()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            now = time.monotonic()
            for channel, topic in list(self._topics.items()):
                if topic.viewers:
                    topic.tell()
                elif now - topic.left_at > LINGER and now - topic.since > LINGER:
                    self._drop(channel, topic)

    def _drop(self, channel: bytes, topic: Topic) -> None:
        del self._topics[channel]
        self._line.unsubscribe(channel)
        states = state_channel(topic.slug)
        self._by_slug[states].remove(topic)
        if not self._by_slug[states]:
            del self._by_slug[states]
            self._line.unsubscribe(states)


class _Waiter:
    """A viewer of one frame."""

    def __init__(self, topic: Topic) -> None:
        self.topic: Topic | None = topic
        self.frames: asyncio.Future[list[LiveFrame]] = asyncio.get_running_loop().create_future()

    def offer(self, frame: LiveFrame) -> None:
        if not self.frames.done():
            assert self.topic is not None
            self.frames.set_result([*self.topic.group.frames] if frame.is_h264 else [frame])

    def tell(self, text: str, encoded: bytes) -> None:
        """A waiter wants a picture, not words."""


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def hub(make: Callable[[str], Hub] = Hub) -> Hub:
    """Return the hub of the running event loop; a server process has one."""
    loop = asyncio.get_running_loop()
    found = _hubs.get(loop)
    if found is None:
        found = _hubs[loop] = make(settings.LAB_REDIS_URL)
    return found
