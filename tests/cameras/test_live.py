"""Live pictures: who may see them, how credit holds a viewer at now, what is said when there is nothing to see."""

from __future__ import annotations

import json
import signal
import time
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from cameras.wire import FLAG_KEY, FLAG_PREVIEW, FrameHeader, decode, encode
from sessions.tokens import revoke_token
from tests.cameras.conftest import Catalog, make_catalog
from tests.cameras.laboratory import Laboratory, next_frame, next_json, wait_for

pytestmark = pytest.mark.timeout(120)

# From the revocation of a token to the end of what it opened (s).
REVOKED_WITHIN = 5.0
PICTURE = b"\xff\xd8\xff" + bytes(30_000) + b"\xff\xd9"


def send_frame(agent: ClientConnection, sequence: int, *, preview: bool = False, picture: bytes = PICTURE) -> None:
    flags = FLAG_KEY | (FLAG_PREVIEW if preview else 0)
    agent.send(encode(FrameHeader(sequence, time.time_ns(), 640, 480, flags=flags), picture))


def closed_with(socket: ClientConnection, seconds: float = 10) -> tuple[int, str]:
    """Read until the socket is closed; return code and reason."""
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            socket.recv(timeout=max(0.01, deadline - time.monotonic()))
    except ConnectionClosed as closed:
        assert closed.rcvd is not None
        return closed.rcvd.code, closed.rcvd.reason
    raise AssertionError("the socket stayed open")


def frames_until_quiet(viewer: ClientConnection, quiet: float = 0.4) -> list[bytes]:
    """Return the frames that come until none came for a while."""
    frames = []
    last = time.monotonic()
    while time.monotonic() - last < quiet:
        try:
            message = viewer.recv(timeout=0.1)
        except TimeoutError:
            continue
        if isinstance(message, bytes):
            frames.append(message)
            last = time.monotonic()
    return frames


def test_credit_permissions_states_and_snapshot(laboratory: Laboratory) -> None:
    # A camera that no other test has: the web process remembers the last picture of those for some seconds.
    catalog = make_catalog(5)
    slug, key = catalog.cameras[4].slug, catalog.keys["view"]
    _offline(laboratory, slug, key)
    agent = laboratory.connect_agent(slug, catalog.tokens[4])
    assert next_json(agent, "hello")["camera"] == slug
    _refusals(laboratory, slug, catalog)
    _credit(laboratory, agent, slug, key)
    _renditions(laboratory, agent, slug, key)
    _one_who_stops_reading_costs_nobody(laboratory, agent, slug, key)
    _snapshot(laboratory, agent, slug, key)
    _frozen_then_gone(laboratory, agent, slug, key)
    _revoked(laboratory, slug, catalog)


def _offline(laboratory: Laboratory, slug: str, key: str) -> None:
    with laboratory.connect_viewer(slug, key) as viewer:
        started = time.monotonic()
        while (state := next_json(viewer, "state"))["reason"] == "connecting":
            continue
        assert time.monotonic() - started < 3
        assert not state["online"]
        assert state["reason"].startswith("offline")


def _refusals(laboratory: Laboratory, slug: str, catalog: Catalog) -> None:
    for query, named in (
        ("?rendition=huge", "rendition"),
        ("?credit=0", "credit"),
        ("?credit=9", "credit"),
        ("?credit=000000002999999999", "credit"),
        ("?credit=x", "credit"),
    ):
        code, reason = closed_with(laboratory.connect_viewer(slug, catalog.keys["view"], query))
        assert code == 4400
        assert named in reason
    assert closed_with(laboratory.connect_viewer(slug, catalog.keys["other"]))[0] == 4404
    assert closed_with(laboratory.connect_viewer("no-such-camera", catalog.keys["view"]))[0] == 4404
    assert closed_with(laboratory.connect_viewer(slug, "lab_wrong"))[0] == 4401
    # What a viewer says that nobody understands ends his socket, with the reason, and nobody else's.
    with laboratory.connect_viewer(slug, catalog.keys["view"]) as bystander:
        next_json(bystander, "state")
        for said, code, named in (
            ("acknowledged", 4400, "ack"),
            ("[1]", 4400, "type"),
            (b"\x00\x01", 4400, "ack"),
            ("x" * 5000, 1009, "4096 bytes"),
        ):
            viewer = laboratory.connect_viewer(slug, catalog.keys["view"])
            next_json(viewer, "state")
            viewer.send(said)
            closed = closed_with(viewer)
            assert closed[0] == code
            assert named in closed[1]
        bystander.send('{"type":"time","page_ms":1}')
        assert next_json(bystander, "time")["page_ms"] == 1
    log = laboratory.log("web")
    for reason in (
        "rendition is 'huge'",
        "no such camera for you",
        "token is unknown",
        "this is neither",
        "4096 bytes",
    ):
        assert reason in log


def _credit(laboratory: Laboratory, agent: ClientConnection, slug: str, key: str) -> None:
    with laboratory.connect_viewer(slug, key, "?credit=3") as viewer:
        next_json(viewer, "state")
        for sequence in range(1, 11):
            send_frame(agent, sequence)
        got = [decode(message)[0].sequence for message in frames_until_quiet(viewer)]
        assert got == [1, 2, 3]
        viewer.send("ack")
        # What was missed is not made up for: the newest comes.
        head, picture = decode(next_frame(viewer))
        assert head.sequence == 10
        assert head.received_ns > 0
        assert bytes(picture) == PICTURE
        viewer.send("ack")
        viewer.send("ack")
        assert frames_until_quiet(viewer) == []
        for sequence in range(11, 20):
            send_frame(agent, sequence)
        assert len(frames_until_quiet(viewer)) == 2


def _renditions(laboratory: Laboratory, agent: ClientConnection, slug: str, key: str) -> None:
    with laboratory.connect_viewer(slug, key, "?rendition=preview&credit=8") as viewer:
        next_json(viewer, "state")
        for sequence in range(20, 24):
            send_frame(agent, sequence)
            send_frame(agent, sequence, preview=True, picture=b"\xff\xd8\xffsmall")
        heads = [decode(message)[0] for message in frames_until_quiet(viewer)]
        assert [head.sequence for head in heads] == [20, 21, 22, 23]
        assert all(head.is_preview for head in heads)


def _one_who_stops_reading_costs_nobody(laboratory: Laboratory, agent: ClientConnection, slug: str, key: str) -> None:
    stalled = [laboratory.connect_viewer(slug, key, "?credit=8", max_queue=1) for _ in range(4)]
    with laboratory.connect_viewer(slug, key, "?credit=4") as viewer:
        for socket in (viewer, *stalled):
            next_json(socket, "state")
        # A viewer who joins sees the newest picture at once.
        next_frame(viewer)
        viewer.send("ack")
        before = laboratory.memory("web")
        got = []
        for sequence in range(100, 700):
            send_frame(agent, sequence)
            got.append(decode(next_frame(viewer))[0].sequence)
            viewer.send("ack")
        assert got == list(range(100, 700))
        # 4 viewers x 600 frames x 30 kB would be 72 MB.
        assert laboratory.memory("web") - before < 20e6
    for socket in stalled:
        socket.close()


def _snapshot(laboratory: Laboratory, agent: ClientConnection, slug: str, key: str) -> None:
    import threading

    import requests

    url = f"http://127.0.0.1:{laboratory.web_port}/cameras/{slug}/snapshot.jpg"
    answers: list[Any] = []
    asked = threading.Thread(
        target=lambda: answers.append(requests.get(url, headers={"Authorization": f"Token {key}"}, timeout=10))
    )
    asked.start()
    for sequence in range(1000, 1100):
        send_frame(agent, sequence)
        asked.join(0.05)
        if not asked.is_alive():
            break
    assert answers[0].status_code == 200
    assert answers[0].content == PICTURE
    assert int(answers[0].headers["X-Frame-Age-Ms"]) < 1000
    assert answers[0].headers["X-Frame-Sequence"].startswith("10")
    assert requests.get(url, headers={"Authorization": f"Token {key}"}, timeout=10).status_code == 503
    assert requests.get(url, timeout=10).status_code == 403


def _frozen_then_gone(laboratory: Laboratory, agent: ClientConnection, slug: str, key: str) -> None:
    with laboratory.connect_viewer(slug, key) as viewer:
        send_frame(agent, 2000)
        next_frame(viewer)
        last = time.monotonic()
        while not (state := next_json(viewer, "state"))["frozen"]:
            continue
        assert time.monotonic() - last < 3
        assert state["online"]
        assert not state["live"]
        assert "frozen" in state["reason"]
        # A whole ingest that stops answering is told as well.
        laboratory.processes["ingest"].send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        while "ingest" not in (state := next_json(viewer, "state"))["reason"]:
            assert time.monotonic() - stopped < 8, state
        laboratory.processes["ingest"].send_signal(signal.SIGCONT)
        while not next_json(viewer, "state")["online"]:
            continue
        agent.close()
        gone = time.monotonic()
        while (state := next_json(viewer, "state"))["online"]:
            continue
        assert time.monotonic() - gone < 3


def _revoked(laboratory: Laboratory, slug: str, catalog: Catalog) -> None:
    from sessions.models import ApiToken

    viewer = laboratory.connect_viewer(slug, catalog.keys["exp"])
    next_json(viewer, "state")
    with laboratory.connect_viewer(slug, catalog.keys["view"]) as bystander:
        next_json(bystander, "state")
        revoke_token(token=ApiToken.objects.get(user=catalog.experimenter))
        revoked = time.monotonic()
        code, reason = closed_with(viewer)
        assert time.monotonic() - revoked < REVOKED_WITHIN
        assert (code, "valid token" in reason) == (4401, True)
        assert f"refused exp from 127.0.0.1: {reason}" in laboratory.log("web")
        # Whoever has another token watches on.
        bystander.send('{"type":"time","page_ms":2}')
        assert next_json(bystander, "time")["page_ms"] == 2


def test_viewers_come_back_by_themselves_after_redis_was_killed(laboratory: Laboratory) -> None:
    catalog = make_catalog(1)
    slug = catalog.cameras[0].slug
    laboratory.start_agent(slug, catalog.tokens[0], fps=20)
    with laboratory.connect_viewer(slug, catalog.keys["view"]) as viewer:
        first = decode(next_frame(viewer))[0].sequence
        laboratory.kill("redis")
        laboratory.restart("redis")
        restarted = time.monotonic()

        def fresh() -> bool:
            message = viewer.recv(timeout=10)
            viewer.send("ack")
            if not isinstance(message, bytes):
                return False
            head = decode(message)[0]
            return head.sequence > first + 5 and time.time_ns() - head.received_ns < 0.5e9

        wait_for(fresh, "fresh picture")
        assert time.monotonic() - restarted < 8


def test_a_cookie_needs_our_origin(laboratory: Laboratory) -> None:
    from django.test import Client
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    catalog = make_catalog(1)
    client = Client()
    client.force_login(catalog.viewer)
    cookie = f"sessionid={client.cookies['sessionid'].value}"
    url = f"ws://127.0.0.1:{laboratory.web_port}/ws/cameras/{catalog.cameras[0].slug}/live/"
    ours = f"http://127.0.0.1:{laboratory.web_port}"
    with connect(url, additional_headers={"Cookie": cookie, "Origin": ours}, proxy=None) as viewer:
        assert json.loads(viewer.recv(timeout=10))["type"] == "state"
    with connect(url, additional_headers={"Origin": ours}, proxy=None) as nobody:
        assert closed_with(nobody)[0] == 4401
    with (
        pytest.raises(InvalidStatus) as refused,
        connect(url, additional_headers={"Cookie": cookie, "Origin": "http://elsewhere.example"}, proxy=None),
    ):
        pass
    assert refused.value.response.status_code == 403
    assert b"another origin" in refused.value.response.body
    assert "'http://elsewhere.example' is not ours" in laboratory.log("web")
