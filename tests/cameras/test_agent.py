"""The agent by itself: what it keeps, what its pictures say, what it says of a wrong configuration."""

from __future__ import annotations

import json
import time
from pathlib import Path
from uuid import uuid4

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cameras.agent.capture import CameraSettings, Capture
from cameras.agent.config import ConfigError, cameras_of, command_line, from_toml
from cameras.agent.outbox import LIVE_LIMIT, Outbox
from cameras.agent.simulation import Camera, load_trajectory, wandering
from cameras.agent.sources import EndOfSource, SourceError, open_source
from cameras.agent.strip import draw_number, read_number
from cameras.clock import ClockLine
from cameras.wire import FrameHeader, decode
from tests.waiting import until


def outbox(folder: Path, **limits: int) -> Outbox:
    given = {"memory_bytes": 10_000_000, "spool_bytes": 10_000_000, **limits}
    return Outbox(folder, spool_after=0.0, wake=lambda: None, **given)


def put(box: Outbox, first: int, last: int) -> None:
    for n in range(first, last + 1):
        box.put(FrameHeader(n, 1000 + n, 64, 48), b"\xff\xd8\xff" + bytes([n % 251]) * 2000, None)


def drain(box: Outbox) -> tuple[list[int], list[dict]]:
    """Return the sequence numbers and the texts that the outbox sends until it has nothing more."""
    sequences, texts = [], []
    while (message := box.next_message()) is not None:
        if isinstance(message, str):
            texts.append(json.loads(message))
        else:
            header, picture = decode(message)
            assert bytes(picture[3:4]) == bytes([header.sequence % 251])
            sequences.append(header.sequence)
    return sequences, texts


def test_without_a_recording_only_the_newest_picture_is_sent(tmp_path: Path) -> None:
    box = outbox(tmp_path)
    put(box, 1, 5)
    assert drain(box) == ([], [])
    box.connection_made()
    put(box, 6, 9)
    assert drain(box)[0] == [9]


def test_what_is_not_stored_is_sent_again_in_order_and_announced_first(tmp_path: Path) -> None:
    box, recording = outbox(tmp_path), str(uuid4())
    box.connection_made()
    box.record(recording, 1)
    put(box, 1, 10)
    assert drain(box)[0] == list(range(1, 11))
    box.stored(recording, 6, everything=False)
    box.connection_lost()
    put(box, 11, 200)
    box.connection_made()
    put(box, 201, 202)
    first = json.loads(box.next_message())
    assert first == {"type": "pending", "recording": recording, "first": 1, "ranges": [[7, 200]]}
    # Live goes on at once; what is owed comes behind it, in order.
    assert drain(box)[0] == [201, 202, *range(7, 201)]
    box.stop(recording, 202)
    texts = drain(box)[1]
    assert [text["type"] for text in texts] == ["stopping", "stopped"]
    box.stored(recording, 202, everything=True)
    assert box.empty
    assert box.memory_bytes == 0


def test_the_last_word_is_said_though_all_frames_were_stored_before_it(tmp_path: Path) -> None:
    box, recording = outbox(tmp_path), str(uuid4())
    box.connection_made()
    box.record(recording, 1)
    put(box, 1, 5)
    assert drain(box)[0] == [1, 2, 3, 4, 5]
    # The server answers its own order to stop with what it has stored: both come before anything can be sent.
    box.stop(recording, 5)
    box.stored(recording, 5, everything=False)
    texts = drain(box)[1]
    assert [text["type"] for text in texts] == ["stopping", "stopped"]
    assert texts[-1] == {"type": "stopped", "recording": recording, "first": 1, "last": 5, "lost": 0, "dropped": None}
    assert box.empty


def test_a_link_slower_than_the_camera_keeps_live_at_now(tmp_path: Path) -> None:
    box, recording = outbox(tmp_path), str(uuid4())
    box.connection_made()
    box.record(recording, 1)
    put(box, 1, LIVE_LIMIT + 5)
    assert json.loads(box.next_message())["type"] == "recording"
    assert json.loads(box.next_message())["ranges"] == [[1, LIVE_LIMIT + 4]]
    assert drain(box)[0] == [LIVE_LIMIT + 5, *range(1, LIVE_LIMIT + 5)]


def test_memory_full_goes_to_the_disk_and_a_restart_finds_it(tmp_path: Path) -> None:
    box, recording = outbox(tmp_path, memory_bytes=100_000), str(uuid4())
    box.record(recording, 1)
    for n in range(1, 301, 10):
        put(box, n, n + 9)
        box.keep()
    assert box.memory_bytes <= 100_000
    assert box.report()["lost"] == 0
    box.flush_to_disk()
    notes = box.recordings()
    # SIGKILL here: only what is on the disk is left, and an open lock does not outlive its process.
    for held in box._held.values():
        held.spool.close()
    again = outbox(tmp_path)
    again.recover(notes)
    again.connection_made()
    sequences, texts = drain(again)
    assert sequences == list(range(1, 301))
    assert texts[0]["ranges"] == [[1, 300]]
    again.stored(recording, 300, everything=True)
    again.keep()
    assert not (tmp_path / recording).exists()


def test_memory_and_disk_full_is_a_gap_that_is_told(tmp_path: Path) -> None:
    box, recording = outbox(tmp_path, memory_bytes=50_000, spool_bytes=0), str(uuid4())
    box.record(recording, 1)
    put(box, 1, 100)
    box.keep()
    lost = box.report()["lost"]
    assert 60 < lost < 100
    assert "spool is full" in box.report()["problem"]
    box.connection_made()
    sequences, _ = drain(box)
    assert sequences == list(range(1, 101 - lost))
    box.stored(recording, 50, everything=False)
    put(box, 101, 102)
    headers = [decode(message)[0] for message in iter(box.next_message, None) if isinstance(message, bytes)]
    assert [(header.sequence, header.after_gap) for header in headers] == [(101, True), (102, False)]
    box.stop(recording, 102)
    assert drain(box)[1][-1]["lost"] == lost


def test_a_killed_agent_uses_no_number_again_and_leaves_a_gap(tmp_path: Path) -> None:
    given = CameraSettings("box", "ws://127.0.0.1:9/ws/cameras/box/ingest/", "t", "sim:", fps=30, size=(64, 48))
    given.spool = tmp_path

    def capture() -> Capture:
        return Capture(given, outbox(tmp_path))

    first = capture()
    first.start()
    until(lambda: (tmp_path / "state.json").exists() and first.captured > 5, 20, "pictures and the note of them")
    # What a SIGKILL would leave, though the camera has not run long enough for its rate to be measured.
    note = json.loads((tmp_path / "state.json").read_text())
    first.stop()
    assert note["fps"] >= 30
    (tmp_path / "state.json").write_text(json.dumps(note))
    assert capture().next_sequence > first.next_sequence
    # The note is gone, too: the server knows the last number that came, and the next one is not called its neighbour.
    (tmp_path / "state.json").unlink()
    second = capture()
    second.continue_after(100)
    assert second.next_sequence == 102


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**40 - 1), st.sampled_from([(640, 480), (320, 240), (1280, 720)]), st.integers(35, 95))
def test_the_number_survives_jpeg_and_scaling(number: int, size: tuple[int, int], quality: int) -> None:
    picture = np.full((size[1], size[0]), 120, np.uint8)
    draw_number(picture, number)
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    assert read_number(cv2.imdecode(data, cv2.IMREAD_COLOR)) == number
    assert read_number(picture[size[1] // 2 :]) is None


def test_the_animal_is_where_the_trajectory_says(tmp_path: Path) -> None:
    time = np.arange(0, 10, 0.1)
    x, y = 20 + 6 * time, np.full_like(time, 35.0)
    np.savez(tmp_path / "world.npz", time=time, x=x, y=y, arena=[0, 0, 100, 70], body_cm=14)
    trajectory = load_trajectory(tmp_path / "world.npz", loop="repeat", start=1_000.0)
    camera = Camera(trajectory, 640, 480)
    for second in (1.0, 4.0, 8.0):
        picture = camera.picture(int((1_000 + second) * 1e9), 1)[10:460]
        dark_y, dark_x = np.nonzero(cv2.morphologyEx((picture < 60).astype(np.uint8), cv2.MORPH_OPEN, np.ones((9, 9))))
        inside = (dark_x > 40) & (dark_x < 600) & (dark_y > 40) & (dark_y < 400)
        at = camera.to_pixels(20 + 6 * second, 35.0)
        assert abs(dark_x[inside].mean() - at[0]) < 14 * camera.pixels_per_cm / 3
        assert abs(dark_y[inside].mean() + 10 - at[1]) < 14 * camera.pixels_per_cm / 3
    bounce = wandering(1)
    assert bounce.moment(bounce.duration + 1) == pytest.approx(bounce.duration - 1)


def test_a_file_is_played_once_and_wrong_sources_are_named(tmp_path: Path) -> None:
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 100, (64, 48))
    for n in range(5):
        writer.write(np.full((48, 64, 3), n * 40, np.uint8))
    writer.release()
    source = open_source(f"file:{path}?loop=0", fps=500, size=None)
    assert [source.read(n)[0].shape for n in range(5)] == [(48, 64, 3)] * 5
    with pytest.raises(EndOfSource):
        source.read(5)
    (tmp_path / "bad.npz").write_bytes(b"nothing")
    np.savez(tmp_path / "short.npz", time=[0, 1], x=[0, 1])
    for spec, named in (
        ("tape:1", "no source"), ("usb:x", "number"), (f"file:{tmp_path}/none.mp4", "no video file"),
        ("sim:?colour=1", "colour"), ("sim:?loop=never", "loop"), (f"sim:{tmp_path}/short.npz", "'y'"),
        (f"sim:{tmp_path}/bad.npz", "bad.npz"), (f"file:{tmp_path}/bad.npz", "no video"),
    ):  # fmt: skip
        with pytest.raises(SourceError, match=named):
            open_source(spec, fps=None, size=None)


CONFIG = 'server = "ws://lab:8001"\n[[camera]]\nslug = "a"\ntoken = "t"\nsource = "sim:"\n'


def test_a_wrong_configuration_is_named(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(CONFIG + '[[camera]]\nslug = "b"\ntoken = "t"\nsource = "usb:0"\nsize = "640x480"\nfps = 25\n')
    first, second = from_toml(path)
    assert first.url == "ws://lab:8001/ws/cameras/a/ingest/"
    assert (second.size, second.fps) == ((640, 480), 25)
    for text, named in (
        ("= 1", "no TOML"), ("server = 'ws://x'", r"\[\[camera\]\]"), (CONFIG + "colour = 1\n", "colour"),
        (CONFIG + "fps = 0\n", "fps is 0"), (CONFIG + 'size = "big"\n', "size 'big'"),
        (CONFIG + 'codec = "vp9"\n', "codec is 'vp9'"),
        (CONFIG.replace('token = "t"', 'token_file = "none"'), "token file"), (CONFIG.replace('"t"', '""'), "no token"),
        (CONFIG + CONFIG.partition("\n")[2], "twice"), (CONFIG.replace("sim:", ""), "source is missing"),
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(ConfigError, match=named):
            from_toml(path)
    with pytest.raises(ConfigError, match="not of the form"):
        cameras_of(command_line(["--url", "http://x", "--source", "sim:"]))


def test_offset_and_drift_of_a_clock() -> None:
    rng = np.random.default_rng(3)
    line = ClockLine()
    for second in range(0, 600, 2):
        t1 = 1_700_000_000_000_000_000 + second * 10**9
        offset = 12_000_000 + 25_000 * second  # 12 ms and 25 ppm
        there, back = (int(value) for value in rng.exponential(400_000, 2) + 100_000)
        line.add(t1, t1 + there + offset, t1 + there + offset + 50_000, t1 + there + back + 50_000)
    estimate = line.estimate()
    assert estimate["offset_ms"] == pytest.approx(12 + 0.025 * 598, abs=0.3)
    assert estimate["drift_ppm"] == pytest.approx(25, abs=1)
    assert line.add(10, 20, 30, 5) is None


def test_an_agent_that_starts_again_goes_on_recording_before_it_is_told(tmp_path: Path) -> None:
    given = CameraSettings("box", "ws://127.0.0.1:9/ws/cameras/box/ingest/", "t", "sim:", fps=30, size=(64, 48))
    given.spool = tmp_path
    recording = str(uuid4())

    def after(seconds: float) -> Capture:
        captured = time.time_ns() - round(seconds * 1e9)
        note = {"sequence": 40, "captured_ns": captured, "fps": 30, "recording": recording, "recordings": {}}
        (tmp_path / "state.json").write_text(json.dumps(note))
        return Capture(given, outbox(tmp_path))

    # Somebody may have ended it in ten minutes.
    assert after(600).outbox.recording is None
    again = after(2)
    assert again.outbox.recording == recording
    first = again.next_sequence
    again.start()
    until(lambda: again.captured > 3, 20, "pictures")
    again.stop()
    again.outbox.connection_made()
    texts = [json.loads(message) for message in iter(again.outbox.next_message, None) if isinstance(message, str)]
    (low, high) = texts[0]["ranges"][0]
    assert (texts[0]["type"], texts[0]["recording"], low) == ("pending", recording, first)
    assert high == again.next_sequence - 1
