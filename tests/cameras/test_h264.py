"""H.264: what is taken for it, what an agent makes, and pictures that come back one for one from the disk."""

from __future__ import annotations

import io
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

import av
import numpy as np
import pytest
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.pipelines.base import InputFile, InputRecording
from analysis.readers.video import open_video
from cameras import cutting, frametable, h264, services, tasks
from cameras.agent.encoding import H264Encoder
from cameras.agent.simulation import Camera, wandering
from cameras.agent.strip import read_number
from cameras.framestore import Frame, FrameStore
from cameras.models import CameraRecording
from cameras.pictures import decoded, newest_as_jpeg, picture_at
from cameras.wire import CODEC_H264, FLAG_KEY, FrameError, FrameHeader, decode, encode
from tests.cameras.conftest import START, Catalog

RECORDING = UUID(int=9)
WIDTH, HEIGHT = 320, 240
STEP_NS = 40_000_000


def film(numbers: range, *, key_at: tuple[int, ...] = ()) -> list[Frame]:
    """Return pictures of a simulated camera, each with its number, as an agent encodes them: a key frame a second."""
    camera, encoder = Camera(wandering(1), WIDTH, HEIGHT), H264Encoder()
    frames = []
    for number in numbers:
        captured = START + number * STEP_NS
        made = encoder.encode(camera.picture(captured, number), captured, key=number in key_at)
        flags = FLAG_KEY if made.is_key else 0
        frames.append(Frame(FrameHeader(number, captured, WIDTH, HEIGHT, CODEC_H264, flags, captured), made.data))
    return frames


FILM = film(range(1, 61))


def stored(folder: Path, frames: list[Frame], **limits: Any) -> np.ndarray:
    store = FrameStore(folder, RECORDING, **limits)
    for start in range(0, len(frames), 7):
        store.write(frames[start : start + 7])
    store.close()
    return frametable.read(folder).in_order()


def numbers(folder: Path, records: np.ndarray) -> list[int | None]:
    return [None if picture is None else read_number(picture) for picture in decoded(folder, records)]


def other_film(**options: Any) -> list[bytes]:
    """Return the packets of H.264 that is not as an agent makes it."""
    context: Any = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt, context.time_base = WIDTH, HEIGHT, "yuv420p", Fraction(1, 25)
    context.max_b_frames, context.thread_count = options.pop("b_frames", 0), 1
    context.profile = options.pop("profile", None)
    context.options = {"preset": "ultrafast", **options}
    noise = np.random.default_rng(1)
    packets = []
    for _ in range(12):
        picture = noise.integers(0, 255, (HEIGHT, WIDTH), np.uint8)
        packets += context.encode(av.VideoFrame.from_ndarray(picture, format="gray").reformat(format="yuv420p"))
    return [bytes(packet) for packet in [*packets, *context.encode(None)]]


def test_an_agent_makes_one_picture_at_once_without_b_frames_and_a_key_frame_a_second() -> None:
    keys = [frame.header.sequence for frame in FILM if frame.header.is_key]
    assert keys == [1, 26, 51]
    for header, picture in FILM:
        h264.check(picture, key=header.is_key, width=WIDTH, height=HEIGHT)
        kinds = {kind for kind, _, _ in h264.units(bytes(picture))}
        assert (h264.IDR_SLICE in kinds) == header.is_key
    first = bytes(FILM[0].picture)
    start, end = next((start, end) for kind, start, end in h264.units(first) if kind == h264.SPS)
    said = h264.parameters(first[start:end])
    assert (said.width, said.height) == (WIDTH, HEIGHT)
    assert said.codec.startswith("avc1.42c0")
    # What a decoder that waits for nothing gives back: each picture when it has gone in.
    assert sum(len(picture) for _, picture in FILM) < 60 * 8000


def test_a_key_frame_comes_when_it_is_asked_for_and_after_a_change_of_size() -> None:
    encoder = H264Encoder()
    dark = np.zeros((HEIGHT, WIDTH), np.uint8)
    made = [encoder.encode(dark, START), encoder.encode(dark, START + STEP_NS)]
    assert not encoder.may_key(START + STEP_NS)
    made += [encoder.encode(dark, START + 2 * STEP_NS, key=True), encoder.encode(dark[:121, :161], START + 3 * STEP_NS)]
    assert [one.is_key for one in made] == [True, False, True, True]
    assert (made[3].width, made[3].height) == (160, 120)
    h264.check(made[3].data, key=True, width=160, height=120)
    # The clock of the box was set back by an hour.
    assert encoder.encode(dark[:120, :160], START - 3_600_000_000_000).is_key


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"profile": "High", "preset": "fast"}, "profile 100"),
        ({"profile": "Main", "b_frames": 2}, "profile 77"),
        ({"profile": "Baseline", "x264-params": "repeat-headers=0"}, "without its parameter sets"),
    ],
)
def test_other_kinds_of_h264_are_refused_with_what_they_are(options: dict[str, Any], named: str) -> None:
    with pytest.raises(FrameError, match=named):
        h264.check(other_film(**options)[0], key=True, width=WIDTH, height=HEIGHT)


def test_b_pictures_two_pictures_and_wrong_flags_are_refused() -> None:
    key, other = bytes(FILM[0].picture), bytes(FILM[1].picture)
    between = other_film(profile="Main", b_frames=2, **{"x264-params": "b-adapt=0"})
    second = next(picture for picture in between[1:] if b"\0\0\1\x01" in picture)
    with pytest.raises(FrameError, match="has a B slice"):
        h264.check(second, key=False, width=WIDTH, height=HEIGHT)
    for picture, is_key, size, named in (
        (other + other, False, (WIDTH, HEIGHT), "2 pictures"),
        (b"\0\0\0\1\x09\xf0", False, (WIDTH, HEIGHT), "0 pictures"),
        (other, True, (WIDTH, HEIGHT), "is no key frame"),
        (key, False, (WIDTH, HEIGHT), "is a key frame"),
        (key, True, (640, 480), "640 x 480, the picture is 320 x 240"),
        (key[key.rindex(b"\0\0\1") :], True, (WIDTH, HEIGHT), "without its parameter sets"),
        (b"\0\0\1\x02\x80", False, (WIDTH, HEIGHT), "data partition"),
        (b"\0\0\1\x67\x42", True, (WIDTH, HEIGHT), "ends too early"),
    ):
        with pytest.raises(FrameError, match=named):
            h264.check(picture, key=is_key, width=size[0], height=size[1])


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damaged_bytes_are_named_and_nothing_else_happens(data: st.DataObject) -> None:
    picture = bytearray(FILM[data.draw(st.sampled_from([0, 1]))].picture[:400])
    for _ in range(data.draw(st.integers(1, 8))):
        picture[data.draw(st.integers(0, len(picture) - 1))] = data.draw(st.integers(0, 255))
    try:
        h264.check(bytes(picture), key=True, width=WIDTH, height=HEIGHT)
    except FrameError as error:
        assert str(error)


def test_every_picture_comes_back_by_its_number_also_across_segments_and_out_of_order(tmp_path: Path) -> None:
    late = FILM[:10] + FILM[20:40] + FILM[10:20] + FILM[40:]
    records = stored(tmp_path / "r", late, segment_bytes=20_000)
    assert numbers(tmp_path / "r", records) == list(range(1, 61))
    paths = frametable.segments(tmp_path / "r")
    assert len(paths) > 1
    assert {path.suffix for path in paths.values()} == {".h264"}
    for index in (0, 1, 24, 25, 26, 59):
        assert read_number(picture_at(tmp_path / "r", records, index)) == index + 1
    # In the order of capture every file can be played by itself.
    stored(tmp_path / "s", FILM, segment_bytes=20_000)
    for path in frametable.segments(tmp_path / "s").values():
        with av.open(str(path), format="h264") as video:
            assert next(video.decode(video=0)).pict_type == av.video.frame.PictureType.I


def test_what_lost_its_predecessor_is_not_shown(tmp_path: Path) -> None:
    records = stored(tmp_path / "r", FILM[:30] + FILM[32:])
    assert numbers(tmp_path / "r", records) == [*range(1, 31), *[None] * 18, *range(51, 61)]
    assert picture_at(tmp_path / "r", records, 35) is None
    path = tmp_path / "r" / "segment-0001.h264"
    damaged = records[4]
    content = bytearray(path.read_bytes())
    content[int(damaged["offset"]) + 20] ^= 0xFF
    path.write_bytes(bytes(content))
    assert numbers(tmp_path / "r", records)[:26] == [1, 2, 3, 4, *[None] * 21, 26]


def test_a_recording_may_change_its_codec(tmp_path: Path) -> None:
    camera = Camera(wandering(1), WIDTH, HEIGHT)
    import cv2

    pictures = [camera.picture(START + n * STEP_NS, n) for n in range(61, 71)]
    jpegs = [
        Frame(FrameHeader(n, START + n * STEP_NS, WIDTH, HEIGHT), cv2.imencode(".jpg", picture)[1].tobytes())
        for n, picture in zip(range(61, 71), pictures, strict=True)
    ]
    records = stored(tmp_path / "r", FILM + jpegs)
    assert [path.name for path in frametable.segments(tmp_path / "r").values()] == [
        "segment-0001.h264", "segment-0002.mjpeg"
    ]  # fmt: skip
    assert numbers(tmp_path / "r", records) == list(range(1, 71))
    # Taken up after a restart: the codec of the last segment is no reason to mix.
    store = FrameStore(tmp_path / "r", RECORDING)
    store.write(film(range(71, 75)))
    store.close()
    records = frametable.read(tmp_path / "r").in_order()
    assert numbers(tmp_path / "r", records)[-4:] == [71, 72, 73, 74]
    assert sorted(set(records["segment"].tolist())) == [1, 2, 3]


@settings(max_examples=15, deadline=None)
@given(cut=st.integers(0, 40_000), zeros=st.integers(0, 100))
def test_a_crash_at_any_byte_keeps_whole_pictures(
    tmp_path_factory: pytest.TempPathFactory, cut: int, zeros: int
) -> None:
    folder = tmp_path_factory.mktemp("crash") / "r"
    store = FrameStore(folder, RECORDING)
    store.write(FILM[:30])
    sizes = {path: path.stat().st_size for path in folder.iterdir()}
    store.write(FILM[30:])
    store.close()
    for path, least in sizes.items():
        with path.open("r+b") as file:
            file.truncate(max(least, path.stat().st_size - cut))
            file.seek(0, io.SEEK_END)
            file.write(bytes(zeros))
    again = FrameStore(folder, RECORDING)
    kept = len(again.stored)
    again.write(FILM[25:])
    again.close()
    assert kept >= 30
    assert numbers(folder, frametable.read(folder).in_order()) == list(range(1, 61))


def test_a_cut_begins_with_the_key_frame_that_it_needs(tmp_path: Path) -> None:
    records = stored(tmp_path / "r", FILM)
    chosen = cutting.select(records, 31 * 0.04, 40 * 0.04)
    assert chosen["sequence"].tolist() == list(range(32, 42))
    piece = cutting.with_key_frames(records, chosen)
    assert piece["sequence"].tolist() == list(range(26, 42))
    data = b"".join(cutting.cut(tmp_path / "r", RECORDING, piece, name="piece", about={}))
    with zipfile.ZipFile(io.BytesIO(data)) as pack:
        pack.extractall(tmp_path)
    assert numbers(tmp_path / "piece", frametable.read(tmp_path / "piece").in_order()) == list(range(26, 42))


def test_proxy_download_and_tracking_read_it(catalog: Catalog, settings: Any) -> None:
    settings.LAB_DISK_RESERVE = 0
    made = services.start_camera_recording(camera=catalog.cameras[0], session=catalog.session, by=catalog.experimenter)
    services.stop_camera_recording(camera=catalog.cameras[0], by=catalog.experimenter)
    folder = Path(settings.LAB_DATA_ROOT) / made.folder
    store = FrameStore(folder, made.pk)
    store.write(FILM)
    store.close()
    row = services.finish_recording(recording_id=made.pk, first=1, last=60)
    assert (row.state, row.frames, row.lost) == ("finished", 60, 0)
    tasks.make_proxy(str(made.pk))
    recording = CameraRecording.objects.get(pk=made.pk)
    assert (recording.proxy, recording.recording.facts["codec"]) == ("ready", "h264")
    with av.open(str(folder / "proxy.mp4")) as video:
        shown = {read_number(frame.to_ndarray(format="gray")): float(frame.time) for frame in video.decode(video=0)}
    assert shown == {number: pytest.approx((number - 1) * 0.04, abs=0.002) for number in range(1, 61)}
    browser = Client()
    browser.force_login(catalog.viewer)
    reply = browser.get(f"/cameras/recordings/{made.pk}/cut.zip?from=1.2&to=1.4")
    with zipfile.ZipFile(io.BytesIO(b"".join(reply.streaming_content))) as pack:
        assert any(name.endswith("segment-0001.h264") for name in pack.namelist())
    files = tuple(
        InputFile(folder / Path(file.path).name, file.size, role=file.role) for file in recording.recording.files.all()
    )
    film_read = open_video(InputRecording(str(made.pk), "video", "mjpeg-segments", files))
    assert [read_number(grey) for _, grey in film_read.frames()] == list(range(1, 61))
    assert [read_number(grey) for grey in film_read.sample(4)] == [1, 21, 40, 60]


def test_the_newest_picture_of_a_group_becomes_a_jpeg() -> None:
    import cv2

    group = [(frame.header.sequence, bytes(frame.picture), frame.header.is_key) for frame in FILM[25:33]]
    data = newest_as_jpeg(group)
    assert read_number(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)) == 33
    assert newest_as_jpeg(group[1:]) is None
    assert newest_as_jpeg([*group[:3], *group[4:]]) is None


def test_the_frame_message_carries_it() -> None:
    header, picture = FILM[0]
    back, same = decode(encode(header, picture))
    assert (back.codec, back.is_key, bytes(same)) == (CODEC_H264, True, bytes(picture))
