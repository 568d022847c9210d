"""A picture that is old, dark or no more is never shown as if it were now: the page says so within 3 s."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from cameras.clock import ClockLine, Sample
from cameras.relay import hub
from cameras.wire import FLAG_KEY, FLAG_PREVIEW, FrameHeader, encode
from tests.cameras.browsing import Browser, Listener, cookie_of
from tests.cameras.conftest import make_catalog
from tests.cameras.laboratory import Laboratory, next_json, wait_for
from tests.cameras.network_cameras import HttpCamera

SAID_WITHIN = 3.0
BRIGHT, BLACK = (
    cv2.imencode(".jpg", np.full((120, 160, 3), grey, np.uint8))[1].tobytes() for grey in (120, 0)
)  # fmt: skip


class LateAgent:
    """An agent behind a link that keeps every picture for a while: what it sends was taken so many seconds ago."""

    def __init__(self, laboratory: Laboratory, slug: str, token: str, ahead: float) -> None:
        self.late = 0.0
        self._ahead = ahead
        self._socket = laboratory.connect_agent(slug, token)
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._send, self._answer)]
        next_json(self._socket, "hello")

    def _now(self) -> int:
        """The agent's own clock, which is not the server's."""
        return time.time_ns() + round(self._ahead * 1e9)

    def _send(self) -> None:
        sequence = 0
        while not self._ended.wait(0.1):
            sequence += 1
            header = FrameHeader(
                sequence, self._now() - round(self.late * 1e9), 160, 120, flags=FLAG_KEY | FLAG_PREVIEW
            )
            self._socket.send(encode(header, BRIGHT))

    def _answer(self) -> None:
        try:
            for text in self._socket:
                message = json.loads(text)
                if message["type"] == "time":
                    now = self._now()
                    answer = {"type": "time", "server_ns": message["server_ns"], "agent_ns": now, "sent_ns": now}
                    self._socket.send(json.dumps(answer))
        except ConnectionClosed:
            return

    @contextmanager
    def running(self) -> Iterator[LateAgent]:
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            self._threads[0].join(5)
            self._socket.close()
            self._threads[1].join(5)


@pytest.mark.long
@pytest.mark.timeout(240)
def test_dark_frozen_and_silent_are_said_in_time(laboratory: Laboratory, browser: Browser, url: str) -> None:
    catalog = make_catalog(1)
    slug = catalog.cameras[0].slug
    with HttpCamera(BRIGHT) as camera:
        laboratory.start_agent(slug, catalog.tokens[0], source=camera.address, size="160x120")
        page = browser.open(url, cookie_of(catalog.viewer), "/wall/")
        tile = page.locator(f"[data-slug={slug}]")
        wait_for(lambda: browser.do(lambda: int(tile.get_attribute("data-frames") or 0)) > 5, "moving pictures", 40)
        listener = Listener(browser, page, slug)

        since = time.time()
        camera.picture = BLACK
        assert listener.seconds_until(since, "trouble", "dark") < SAID_WITHIN
        camera.picture = BRIGHT
        listener.seconds_until(since, "trouble", "")

        # The camera itself stops, and its agent lives on.
        since = time.time()
        camera.frozen.set()
        assert listener.seconds_until(since, "veil", "no picture") < SAID_WITHIN
        camera.frozen.clear()
        listener.seconds_until(since, "veil", "")

        # The server says nothing any more: the page sees by itself that its picture is old.
        since = time.time()
        laboratory.processes["web"].send_signal(signal.SIGSTOP)
        try:
            assert listener.seconds_until(since, "veil", "no picture") < SAID_WITHIN
        finally:
            laboratory.processes["web"].send_signal(signal.SIGCONT)
        listener.seconds_until(since, "veil", "")


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_picture_that_comes_late_is_as_old_as_its_capture(laboratory: Laboratory, browser: Browser, url: str) -> None:
    """Server and link say that pictures come; they were taken long ago, by a clock that is half an hour ahead."""
    catalog = make_catalog(1)
    slug = catalog.cameras[0].slug
    with LateAgent(laboratory, slug, catalog.tokens[0], ahead=1800).running() as agent:
        page = browser.open(url, cookie_of(catalog.viewer), "/wall/")
        tile = page.locator(f"[data-slug={slug}]")

        def shown(part: str) -> str:
            return browser.do(lambda: tile.locator(f"[data-part={part}]").inner_text())

        wait_for(lambda: browser.do(lambda: tile.get_attribute("data-condition")) == "live", "a live picture", 30)
        wait_for(lambda: laboratory.state(slug).get("offset_now_ms") == pytest.approx(1_800_000, abs=100), "the clock")
        wait_for(lambda: shown("age").endswith(" ms"), "a picture of now")
        listener = Listener(browser, page, slug)
        since = time.time()
        agent.late = 12.0
        assert listener.seconds_until(since, "veil", "pictures come late") < SAID_WITHIN
        wait_for(lambda: "no picture for 12 s" in shown("veil"), "how old they are")
        assert laboratory.state(slug)["online"]
        agent.late = 0.0
        listener.seconds_until(since, "veil", "")
        assert browser.complaints == []


def test_the_offset_now_follows_a_clock_that_was_set() -> None:
    second, ms = 10**9, 10**6
    line = ClockLine([Sample(n * second, 5 * ms + n * 20_000, (1 + n % 7) * ms) for n in range(100)])
    assert line.offset_now() == pytest.approx(5 + 98 * 0.02, abs=0.2)
    line.samples.append(Sample(101 * second, -3_000 * ms, 40 * ms))
    assert line.offset_now() == -3000
    line.samples.append(Sample(102 * second, -3_010 * ms, 2 * ms))
    assert line.offset_now() == -3010
    assert ClockLine().offset_now() is None


def test_an_agent_that_has_gone_is_told_from_an_ingest_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(hub.time, "monotonic", lambda: now[0])
    gone = "offline: the agent is not connected"
    said = {}
    for state in ({"online": True}, {"online": False, "reason": gone}):
        topic = hub.Topic("box", "preview")
        topic.reported, topic.reported_at = state, now[0]
        now[0] += hub.SILENT_AFTER + 1
        said[state["online"]] = topic.state()["reason"]
    assert said == {True: "offline: ingest does not answer", False: gone}
