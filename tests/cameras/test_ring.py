"""The last hours of a camera: kept apart from recordings, given up first, and saved from by the piece."""

from __future__ import annotations

import json
import os
import resource
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client

from cameras import frametable, ring, services, tasks
from cameras.clock import ClockLine
from cameras.framestore import Frame, FrameStore
from cameras.models import CameraRecording, RingCut
from cameras.wire import CODEC_H264, FLAG_KEY, FrameHeader
from sessions.errors import Invalid
from sessions.models import DataFile, Rig, Session
from tests.cameras.conftest import START, Catalog, store_frames
from tests.cameras.laboratory import Laboratory, wait_for

STEP = 40_000_000  # ns between two frames of store_frames
LONG_AGO = START / 1e9


def moment(number: float) -> datetime:
    """When the frame of a number was captured."""
    return datetime.fromtimestamp((START + number * STEP) / 1e9, tz=UTC)


def keep(root: Path, slug: str, *runs: range, age: float = 600) -> list[Path]:
    """Keep runs of frame numbers, each as a piece, last written ``age`` seconds ago."""
    folders = []
    for run in runs:
        folder = root / ring.RING / slug / str(START + run[0] * STEP)
        store_frames(folder, uuid4(), list(run))
        os.utime(folder / "frames.labt", (time.time() - age,) * 2)
        folders.append(folder)
    return folders


def numbers(frames: Any) -> list[int]:
    return [frame.header.sequence for frame in frames]


def test_what_is_kept_is_found_and_its_breaks_are_seen(tmp_path: Path) -> None:
    assert ring.pieces(tmp_path, "a") == []
    keep(tmp_path, "a", range(1, 11), range(11, 21), range(200, 206))
    (tmp_path / ring.RING / "a" / "1").mkdir()
    kept = ring.pieces(tmp_path, "a")
    assert [piece.frames for piece in kept] == [10, 10, 6]
    assert [(span.start_ns - START, span.stop_ns - START) for span in ring.spans(kept)] == [
        (STEP, 20 * STEP), (200 * STEP, 205 * STEP),
    ]  # fmt: skip
    found = ring.frames_between(kept, START + 8 * STEP, START + 201 * STEP)
    assert numbers(found) == [*range(8, 21), 200, 201]


def test_times_are_the_servers_and_a_damaged_picture_is_left_out(tmp_path: Path) -> None:
    (folder,) = keep(tmp_path, "a", range(1, 21))
    line = ClockLine()
    for second in range(5):
        at = START + second * 10**9
        line.add(at, at + 80_000_000, at + 80_000_000, at)  # The agent is 80 ms, two frames, ahead.
    line.save(folder / ring.CLOCK_FILE)
    records = frametable.read(folder).in_order()
    with (folder / "segment-0001.mjpeg").open("r+b") as segment:
        segment.seek(int(records[8]["offset"]) + 50)
        segment.write(b"\0\0\0\0\0\0")
    kept = ring.pieces(tmp_path, "a")
    assert numbers(ring.frames_between(kept, START + 5 * STEP, START + 8 * STEP)) == [7, 8, 10]


def test_a_piece_of_h264_begins_with_its_key_frame(tmp_path: Path) -> None:
    folder = tmp_path / ring.RING / "a" / "1"
    store = FrameStore(folder, uuid4())
    headers = [
        FrameHeader(n, START + n * STEP, 64, 48, CODEC_H264, FLAG_KEY if n % 10 == 0 else 0, START + n * STEP)
        for n in range(10, 40)
    ]
    store.write([Frame(header, b"\0\0\0\1" + bytes([header.sequence])) for header in headers])
    store.close()
    kept = ring.pieces(tmp_path, "a")
    assert numbers(ring.frames_between(kept, START + 25 * STEP, START + 31 * STEP)) == list(range(20, 32))


def test_what_is_old_goes_and_nothing_else(tmp_path: Path) -> None:
    keep(tmp_path, "a", range(1, 11), range(100_000, 100_011))
    keep(tmp_path, "off", range(1, 11))
    keep(tmp_path, "busy", range(1, 11))
    keep(tmp_path, "written", range(1, 11), age=0)
    store_frames(tmp_path / "video" / "a", uuid4(), [1, 2])
    outside = tmp_path / "elsewhere"
    store_frames(outside, uuid4(), [1, 2])
    (tmp_path / ring.RING / "link").symlink_to(outside)
    (tmp_path / ring.RING / "a" / "link").symlink_to(outside)
    # So many hours that they begin between the two pieces of a.
    hours = {"a": (time.time() - LONG_AGO - 2000) / 3600, "busy": 1.0, "written": 1.0}
    assert ring.prune(tmp_path, hours, busy={"busy": START}, free=lambda: 10**12, wanted_free=0) == 2
    assert [len(ring.pieces(tmp_path, slug)) for slug in ("a", "off", "busy", "written")] == [1, 0, 1, 1]
    assert len(frametable.read(outside)) == 2
    assert len(frametable.read(tmp_path / "video" / "a")) == 2


def test_a_piece_stays_while_its_writer_has_it_open_however_long_no_picture_came(tmp_path: Path) -> None:
    (folder,) = keep(tmp_path, "frozen", range(1, 11))
    writer = FrameStore(folder, frametable.read(folder).recording)
    assert ring.prune(tmp_path, {}, free=lambda: 0, wanted_free=1) == 0
    writer.close()
    assert ring.prune(tmp_path, {}, free=lambda: 0, wanted_free=1) == 1


def test_a_low_disk_takes_the_oldest_of_all_and_no_more_than_needed(tmp_path: Path) -> None:
    keep(tmp_path, "a", range(1, 11), range(300, 311))
    keep(tmp_path, "b", range(100, 111), range(500, 511))
    keep(tmp_path, "c", range(1, 11), age=0)
    left = iter([1, 1, 5])
    assert ring.prune(tmp_path, dict.fromkeys("abc", 10**9), free=lambda: next(left), wanted_free=5) == 2
    assert [[piece.start_ns for piece in ring.pieces(tmp_path, slug)] for slug in "ab"] == [
        [START + 300 * STEP], [START + 500 * STEP],
    ]  # fmt: skip
    assert ring.prune(tmp_path, dict.fromkeys("abc", 10**9), free=lambda: 0, wanted_free=5) == 2
    assert len(ring.pieces(tmp_path, "c")) == 1


@pytest.fixture
def kept(catalog: Catalog, settings: Any) -> Path:
    """A camera of which frames 1 to 100 are kept, in two pieces, and a disk with room."""
    settings.LAB_DISK_RESERVE = settings.LAB_DISK_ALARM = 0
    services.update_camera(by=catalog.experimenter, camera=catalog.cameras[0], keep_hours=24)
    root = Path(settings.LAB_DATA_ROOT)
    shutil.rmtree(root / ring.RING, ignore_errors=True)
    keep(root, catalog.cameras[0].slug, range(1, 51), range(51, 101))
    return root


def call(catalog: Catalog, method: str, path: str, body: Any = None, who: str = "exp") -> Any:
    client = Client(headers={"Authorization": f"Token {catalog.keys[who]}"} if who else {})
    return client.generic(method, f"/api/v1/cameras/{path}", json.dumps(body or {}), content_type="application/json")


def test_a_piece_becomes_a_recording(catalog: Catalog, kept: Path) -> None:
    slug = catalog.cameras[0].slug
    shown = call(catalog, "GET", f"{slug}/ring/").json()
    assert (shown["keep_hours"], shown["frames"], len(shown["spans"]), shown["cuts"]) == (24, 100, 1, [])
    asked = {"session": str(catalog.session.pk), "start": moment(40).isoformat(), "stop": moment(60).isoformat()}
    reply = call(catalog, "POST", f"{slug}/ring/cut/", asked)
    assert (reply.status_code, reply.json()["state"]) == (202, "queued")
    # Until it is copied, nothing of it is thrown away, however old.
    assert services.prune_ring() == 0
    tasks.make_cut(reply.json()["id"])
    tasks.make_cut(reply.json()["id"])
    saved = call(catalog, "GET", f"{slug}/ring/").json()["cuts"]
    row = CameraRecording.objects.get()
    assert [(cut["state"], cut["recording"]) for cut in saved] == [("done", str(row.pk))]
    assert (row.state, row.frames, row.lost, row.first_sequence, row.last_sequence) == ("finished", 21, 0, 40, 60)
    assert row.recording.name == "camera 0, kept"
    assert set(DataFile.objects.filter(recording=row.recording).values_list("role", flat=True)) >= {"segment", "frames"}
    copied = frametable.read(kept / row.folder).in_order()
    originals = ring.pieces(kept, slug)
    for record, frame in zip(copied, ring.frames_between(originals, START + 40 * STEP, START + 60 * STEP), strict=True):
        assert frametable.read_picture(kept / row.folder, record) == frame.picture
    # Now it is old and goes; the recording stays.
    assert services.prune_ring() == 2
    assert len(frametable.read(kept / row.folder)) == 21


def test_a_wrong_piece_is_refused_with_what_is_wrong(catalog: Catalog, kept: Path) -> None:
    slug = catalog.cameras[0].slug
    good = {"session": str(catalog.session.pk), "start": moment(1).isoformat(), "stop": moment(9).isoformat()}
    elsewhere = Session.objects.create(
        project=catalog.project, rig=Rig.objects.create(name="box 2", project=catalog.project), start=moment(0)
    )
    for change, status, field in (
        ({"stop": moment(0).isoformat()}, 400, "to"),
        ({"stop": (moment(1) + timedelta(days=2)).isoformat()}, 400, "to"),
        ({"start": moment(1000).isoformat(), "stop": moment(1001).isoformat()}, 400, "from"),
        ({"start": "2026-03-02T12:00:00"}, 400, "start"),
        ({"session": str(elsewhere.pk)}, 400, "session"),
        ({"session": str(uuid4())}, 404, None),
    ):
        reply = call(catalog, "POST", f"{slug}/ring/cut/", {**good, **change})
        assert reply.status_code == status, (change, reply.content)
        assert field is None or field in reply.json()["errors"]
    expected = {"": 401, "other": 404, "view": 403}
    assert {who: call(catalog, "POST", f"{slug}/ring/cut/", good, who).status_code for who in expected} == expected
    assert not RingCut.objects.exists()
    reply = call(catalog, "PATCH", f"{slug}/", {"keep_hours": 745})
    assert (reply.status_code, "keep_hours" in reply.json()["errors"]) == (400, True)
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("update cameras_camera set keep_hours = 745")


def test_a_piece_that_is_gone_leaves_no_recording(catalog: Catalog, kept: Path) -> None:
    cut = services.save_cut(
        by=catalog.experimenter, camera=catalog.cameras[0], session=catalog.session, start=moment(1), stop=moment(9)
    )
    shutil.rmtree(kept / ring.RING)
    tasks.make_cut(str(cut.pk))
    cut.refresh_from_db()
    assert (cut.state, cut.message) == ("failed", "Nothing is kept of this time any more.")
    assert not CameraRecording.objects.exists()
    assert not catalog.session.recordings.exists()
    with pytest.raises(Invalid, match="Nothing is kept"):
        services.save_cut(
            by=catalog.experimenter, camera=catalog.cameras[0], session=catalog.session, start=moment(1), stop=moment(9)
        )


def test_a_piece_for_which_the_disk_has_no_room_leaves_no_half_of_it(
    catalog: Catalog, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = services.save_cut(
        by=catalog.experimenter, camera=catalog.cameras[0], session=catalog.session, start=moment(1), stop=moment(100)
    )
    monkeypatch.setattr("cameras.services.ring.COPIED_AT_ONCE", 10)
    segment = next((kept / ring.RING).rglob("segment-*"))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (segment.stat().st_size, limit[1]))
    try:
        tasks.make_cut(str(cut.pk))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    cut.refresh_from_db()
    assert cut.state == "failed"
    assert "too large" in cut.message
    assert not list((kept / "video").rglob("*-kept-*"))
    assert sum(piece.frames for piece in ring.pieces(kept, catalog.cameras[0].slug)) == 100


def test_the_page_offers_a_piece_and_saves_it(catalog: Catalog, kept: Path) -> None:
    client, path = Client(), f"/cameras/{catalog.cameras[0].slug}/kept/"
    assert client.get(path).status_code == 302
    client.force_login(catalog.experimenter)
    page = client.get(path).content.decode()
    assert "the last 24 h" in page
    assert "00:00:04" in page
    assert str(catalog.session.pk) in page
    asked = {
        "session": catalog.session.pk,
        "from": moment(0).strftime("%Y-%m-%dT%H:%M:%S"),
        "to": "2023-11-14T22:13:30",
    }
    assert client.post(f"{path}save/", {**asked, "from": "yesterday"}).status_code == 400
    assert client.post(f"{path}save/", {**asked, "session": "x"}).status_code == 400
    assert client.post(f"{path}save/", asked).status_code == 302
    assert "being copied" in client.get(path).content.decode()
    client.force_login(catalog.stranger)
    assert client.get(path).status_code == 404


def test_a_second_click_orders_a_piece_once(catalog: Catalog, kept: Path) -> None:
    client, path = Client(), f"/cameras/{catalog.cameras[0].slug}/kept/save/"
    client.force_login(catalog.experimenter)
    asked = {"session": catalog.session.pk, "from": "2023-11-14T22:13:20", "to": "2023-11-14T22:13:30"}
    assert [client.post(path, asked).status_code for _ in range(2)] == [302, 302]
    cut = RingCut.objects.get()
    tasks.make_cut(str(cut.pk))
    assert client.post(path, asked).status_code == 302
    assert RingCut.objects.count() == CameraRecording.objects.count() == 1
    # Another end, and one that had not come when it was ordered, are other pieces.
    assert client.post(path, {**asked, "to": "2023-11-14T22:13:29"}).status_code == 302
    RingCut.objects.filter(pk=cut.pk).update(created=moment(1))
    assert client.post(path, asked).status_code == 302
    assert RingCut.objects.count() == 3


def test_a_live_camera_is_kept_beside_its_recording(running: tuple[Laboratory, Catalog], settings: Any) -> None:
    laboratory, catalog = running
    settings.LAB_DISK_ALARM = 0
    camera, other = catalog.cameras
    services.update_camera(by=catalog.experimenter, camera=camera, keep_hours=1)
    wait_for(lambda: ring.pieces(laboratory.data_root, camera.slug), "kept frames")
    services.start_recording(session=catalog.session, by=catalog.experimenter)
    wait_for(lambda: laboratory.state(camera.slug).get("recording"), "recording")
    wait_for(lambda: sum(piece.frames for piece in ring.pieces(laboratory.data_root, camera.slug)) > 40, "more kept")
    services.stop_recording(session=catalog.session, by=catalog.experimenter)
    wait_for(lambda: not CameraRecording.objects.exclude(state="finished").exists(), "finished recordings", 30)
    assert not CameraRecording.objects.exclude(lost=0).exists()
    assert not ring.pieces(laboratory.data_root, other.slug)
    services.update_camera(by=catalog.experimenter, camera=camera, keep_hours=0)
    kept = ring.pieces(laboratory.data_root, camera.slug)
    span = ring.spans(kept)[0]
    frames = list(ring.frames_between(kept, span.start_ns, span.start_ns + 10**9))
    assert frames
    first = frames[0].header.sequence
    assert numbers(frames) == list(range(first, first + len(frames)))
