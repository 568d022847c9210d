"""H.264 to viewers: whoever joins begins with a key frame, and nobody is sent what he cannot decode."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from cameras import frametable, services
from cameras.agent.outbox import LIVE_LIMIT, Outbox
from cameras.agent.strip import read_number
from cameras.pictures import H264Decoder, decoded
from cameras.relay import frames as relayed
from cameras.relay.hub import Topic
from cameras.relay.viewers import DirectViewer
from cameras.wire import CODEC_H264, FLAG_KEY, FrameHeader, decode, encode
from sessions.permissions import LABORATORY
from tests.cameras.conftest import make_catalog
from tests.cameras.laboratory import Laboratory, next_frame, next_json, wait_for
from tests.cameras.test_live import closed_with

DELTA = b"\0\0\1\x01"


def message(sequence: int, *, key: bool) -> bytes:
    return encode(FrameHeader(sequence, sequence + 1, 64, 48, CODEC_H264, FLAG_KEY if key else 0), DELTA)


class Link:
    """The end of a viewer's connection: what was written to it."""

    def __init__(self) -> None:
        self.got: list[int] = []
        self.unsent = 0

    def take_over(self, on_ack: Callable[[], None]) -> None:
        self.ack = on_ack

    def write_encoded(self, data: bytes) -> bool:
        # Two bytes of a short websocket message stand before the frame message.
        self.got.append(decode(data[2:])[0].sequence)
        return True


def join(topic: Topic, credit: int) -> Link:
    link: Any = Link()
    viewer = DirectViewer(link, credit)
    viewer.topic = topic
    topic.viewers.add(viewer)
    if topic.latest is not None:
        viewer.offer(topic.latest)
    return link


def test_who_joins_begins_with_the_last_key_frame_and_catches_up() -> None:
    topic = Topic("box", "main")
    for sequence in range(1, 18):
        topic.publish(message(sequence, key=sequence in {1, 11}))
    link = join(topic, 2)
    assert link.got == [11, 12]
    for _ in range(5):
        link.ack()
    assert link.got == list(range(11, 18))
    link.ack()
    topic.publish(message(18, key=False))
    assert link.got[-1] == 18


def test_a_slow_viewer_goes_on_at_the_next_key_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(relayed.time, "monotonic", lambda: now[0])
    topic = Topic("box", "main")
    topic.publish(message(1, key=True))
    link = join(topic, 1)
    for sequence in range(2, 10):
        topic.publish(message(sequence, key=False))
    link.ack()
    assert link.got == [1, 2]
    # What comes next is half a second old by now: better none than late.
    now[0] += relayed.LONGEST_LAG + 0.1
    link.ack()
    assert link.got == [1, 2]
    topic.publish(message(10, key=False))
    assert link.got == [1, 2]
    topic.publish(message(11, key=True))
    topic.publish(message(12, key=False))
    assert link.got == [1, 2, 11]
    link.ack()
    assert link.got == [1, 2, 11, 12]


def test_a_key_frame_is_asked_for_when_nothing_can_be_decoded() -> None:
    asked: list[str] = []
    topic = Topic("box", "main", asked.append)
    for sequence in range(5, 9):
        topic.publish(message(sequence, key=False))
    assert asked == ["box"]
    assert topic.latest is None
    assert join(topic, 8).got == []


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_every_viewer_gets_only_what_he_can_decode(data: st.DataObject) -> None:
    topic, links = Topic("box", "main"), []
    keys: set[int] = set()
    for sequence in range(1, 40):
        if data.draw(st.integers(0, 5)) == 0:
            continue  # Lost on the way.
        key = data.draw(st.integers(0, 6)) == 0
        if key:
            keys.add(sequence)
        topic.publish(message(sequence, key=key))
        if len(links) < 4 and data.draw(st.booleans()):
            links.append(join(topic, data.draw(st.integers(1, 8))))
        for link in links:
            for _ in range(data.draw(st.integers(0, 2))):
                link.ack()
    for link in links:
        before = None
        for sequence in link.got:
            assert sequence in keys or sequence - 1 == before
            before = sequence


def test_an_agent_on_a_slow_link_leaves_whole_groups_out(tmp_path: Any) -> None:
    outbox = Outbox(tmp_path, memory_bytes=10**6, spool_bytes=0, spool_after=5, wake=lambda: None)
    outbox.connection_made()

    def put(sequence: int, *, key: bool = False) -> bool:
        header = FrameHeader(sequence, sequence, 64, 48, CODEC_H264, FLAG_KEY if key else 0)
        return outbox.put(header, DELTA, None)

    def sent() -> list[int]:
        found = []
        while (made := outbox.next_message()) is not None:
            found.append(decode(made)[0].sequence)  # type: ignore[arg-type]
        return found

    assert not any(put(n, key=n == 1) for n in range(1, 6))
    assert sent() == [1, 2, 3, 4, 5]
    wanted = [put(n) for n in range(6, 6 + LIVE_LIMIT + 3)]
    # One more than fits: none of them is sent, and a key frame is asked for, once.
    assert wanted.count(True) == 1
    assert sent() == []
    assert not put(40, key=True)
    assert not put(41)
    assert sent() == [40, 41]


def film_of(laboratory: Laboratory, slug: str, key: str, frames: int) -> list[tuple[FrameHeader, bytes]]:
    with laboratory.connect_viewer(slug, key, "?rendition=main&credit=4") as viewer:
        got = []
        while len(got) < frames:
            header, picture = decode(next_frame(viewer))
            got.append((header, bytes(picture)))
            viewer.send("ack")
    return got


@pytest.mark.timeout(150)
def test_from_the_setting_to_the_pictures_on_disk_and_on_a_screen(laboratory: Laboratory) -> None:
    catalog = make_catalog(1)
    camera = services.update_camera(by=LABORATORY, camera=catalog.cameras[0], codec="h264")
    slug, key = camera.slug, catalog.keys["view"]
    laboratory.start_agent(slug, catalog.tokens[0])
    wait_for(lambda: laboratory.state(slug).get("codec") == "h264", "pictures in H.264", 40)

    recording = services.start_recording(session=catalog.session, by=catalog.experimenter)[0]
    got = film_of(laboratory, slug, key, 25)
    assert got[0][0].is_key
    decoder = H264Decoder()
    for header, picture in got:
        frame = decoder.decode(header.sequence, picture, key=header.is_key)
        assert frame is None or read_number(frame.to_ndarray(format="gray")) == header.sequence
    preview = laboratory.connect_viewer(slug, key, "?rendition=preview")
    assert decode(next_frame(preview))[0].codec == 1
    still = requests.get(
        f"http://127.0.0.1:{laboratory.web_port}/cameras/{slug}/snapshot.jpg",
        headers={"Authorization": f"Token {key}"}, timeout=10,
    )  # fmt: skip
    picture = cv2.imdecode(np.frombuffer(still.content, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (240, 320, 3)
    assert read_number(picture) == int(still.headers["X-Frame-Sequence"])

    # The setting holds from the next recording on: this one goes on as it began.
    services.update_camera(by=LABORATORY, camera=camera, codec="jpeg")
    services.stop_recording(session=catalog.session, by=catalog.experimenter)
    wait_for(lambda: laboratory.state(slug).get("codec") == "jpeg", "pictures in JPEG", 20)
    wait_for(lambda: type(recording).objects.filter(pk=recording.pk, state="finished").exists(), "its end", 40)
    check(laboratory, recording)


def check(laboratory: Laboratory, recording: Any) -> None:
    """Check that every recorded picture is there, is decoded, and has the number of its row."""
    recording.refresh_from_db()
    folder = laboratory.data_root / recording.folder
    records = frametable.read(folder).in_order()
    assert recording.lost == 0
    assert recording.frames == len(records) > 0
    assert set(records["codec"].tolist()) == {CODEC_H264}
    assert records["flags"][0] & FLAG_KEY
    assert np.diff(records["captured_ns"][records["flags"] & FLAG_KEY > 0].astype(np.int64)).max(initial=0) < 1.5e9
    seen = [None if picture is None else read_number(picture) for picture in decoded(folder, records, colour=False)]
    assert seen == records["sequence"].tolist()


@pytest.mark.long
@pytest.mark.timeout(240)
def test_no_picture_is_lost_when_servers_and_agent_are_killed(laboratory: Laboratory) -> None:
    catalog = make_catalog(1)
    camera = services.update_camera(by=LABORATORY, camera=catalog.cameras[0], codec="h264")
    agent = laboratory.start_agent(camera.slug, catalog.tokens[0])
    wait_for(lambda: laboratory.state(camera.slug).get("codec") == "h264", "pictures in H.264", 40)
    recording = services.start_recording(session=catalog.session, by=catalog.experimenter)[0]

    def grown(frames: int) -> None:
        def count() -> int:
            try:
                return len(laboratory.table(recording.folder))
            except (FileNotFoundError, frametable.TableError):
                return 0

        start = count()
        wait_for(lambda: count() >= start + frames, f"{frames} more frames", 60)

    grown(20)
    for victim in ("ingest", "redis", "ingest", "web"):
        laboratory.kill(victim)
        down = time.monotonic() + 1.0
        wait_for(lambda end=down: time.monotonic() > end, "outage")
        laboratory.restart(victim)
        grown(20)
    services.stop_recording(session=catalog.session, by=catalog.experimenter)
    wait_for(lambda: type(recording).objects.filter(pk=recording.pk, state="finished").exists(), "its end", 60)
    check(laboratory, recording)

    # The agent's own end may cost what was under way; what follows begins with a key frame.
    second = services.start_recording(session=catalog.session, by=catalog.experimenter)[0]
    recording = second
    grown(20)
    laboratory.kill(agent)
    laboratory.restart(agent)
    grown(40)
    services.stop_recording(session=catalog.session, by=catalog.experimenter)
    wait_for(lambda: type(second).objects.filter(pk=second.pk, state="finished").exists(), "its end", 60)
    table = frametable.read(laboratory.data_root / second.folder)
    records = table.in_order()
    pictures = list(decoded(laboratory.data_root / second.folder, records, colour=False))
    assert all(picture is not None for picture in pictures)
    assert [read_number(picture) for picture in pictures if picture is not None] == records["sequence"].tolist()


@pytest.mark.timeout(150)
def test_what_is_no_constrained_baseline_is_refused_with_the_reason(laboratory: Laboratory) -> None:
    catalog = make_catalog(1)
    slug = catalog.cameras[0].slug
    for flags, picture, named in (
        (FLAG_KEY, b"\0\0\1\x67\x64\x00\x1f\xac\xd9\x40\x50", "profile 100"),
        (0, b"\0\0\1\x01\xa0", "B slice"),
        (FLAG_KEY | 2, b"\0\0\1\x67\x42\xc0\x1e", "a preview is JPEG"),
    ):
        agent = laboratory.connect_agent(slug, catalog.tokens[0])
        assert next_json(agent, "hello")["codec"] == "jpeg"
        agent.send(encode(FrameHeader(1, time.time_ns(), 320, 240, CODEC_H264, flags), picture))
        code, reason = closed_with(agent)
        assert code == 4400
        assert named in reason
