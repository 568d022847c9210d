"""Recording with real agents: what was promised is on the disk, whoever was killed on the way."""

from __future__ import annotations

import random
import time

import cv2
import numpy as np
import pytest

from cameras import frametable, services
from cameras.agent.strip import read_number
from cameras.models import CameraRecording
from tests.cameras.conftest import Catalog
from tests.cameras.laboratory import Laboratory, wait_for

pytestmark = pytest.mark.timeout(150)


def frames_on_disk(laboratory: Laboratory, recording: CameraRecording) -> int:
    try:
        return len(laboratory.table(recording.folder))
    except (FileNotFoundError, frametable.TableError):
        return 0


def grown(laboratory: Laboratory, recordings: list[CameraRecording], frames: int) -> None:
    """Wait until each recording has so many frames more than now."""
    for recording in recordings:
        start = frames_on_disk(laboratory, recording)
        wait_for(
            lambda r=recording, s=start: frames_on_disk(laboratory, r) >= s + frames,
            f"{frames} more frames of {recording.camera.slug}",
            40,
        )


def finished(recording: CameraRecording) -> CameraRecording:
    def done() -> CameraRecording | None:
        recording.refresh_from_db()
        return recording if recording.state in {"finished", "failed"} else None

    found = wait_for(done, "end of the recording", 40)
    assert found.state == "finished", found.message
    return found


def check_pictures(laboratory: Laboratory, recording: CameraRecording, sample: int = 40) -> frametable.FrameTable:
    """Check that the numbers in the pictures are those of the table, and that segments and table agree byte by byte."""
    folder = laboratory.data_root / recording.folder
    table = frametable.read(folder)
    assert table.torn_bytes == 0
    assert table.missing == 0
    for record in random.Random(1).sample(list(table.records), min(sample, len(table))):
        picture = cv2.imdecode(np.frombuffer(frametable.read_picture(folder, record), np.uint8), cv2.IMREAD_GRAYSCALE)
        assert read_number(picture) == record["sequence"]
    for segment in np.unique(table.records["segment"]):
        mine = table.records[table.records["segment"] == segment]
        size = (folder / frametable.segment_name(int(segment))).stat().st_size
        assert mine["length"].sum() == size
        assert (mine["offset"][1:] == mine["offset"][:-1] + mine["length"][:-1]).all()
    return table


def test_two_cameras_are_recorded_and_come_into_the_catalog(running: tuple[Laboratory, Catalog]) -> None:
    laboratory, catalog = running
    recordings = services.start_recording(session=catalog.session, by=catalog.experimenter)
    assert len(recordings) == 2
    grown(laboratory, recordings, 45)
    for camera in catalog.cameras:
        assert laboratory.state(camera.slug)["recording"]["id"] in {str(recording.pk) for recording in recordings}
    services.stop_recording(session=catalog.session, by=catalog.experimenter)
    for recording in recordings:
        row = finished(recording)
        table = check_pictures(laboratory, row)
        assert row.lost == 0
        assert row.frames == len(table) >= 45
        roles = set(row.recording.files.values_list("role", flat=True))
        assert {"segment", "frames", "clock"} <= roles
        row.recording.refresh_from_db()
        assert row.recording.facts["frames"] == row.frames
        assert 25 < row.recording.rate < 35
        assert abs(row.offset_ms) < 50
    # The agents keep nothing of what is stored.
    for camera in catalog.cameras:
        wait_for(lambda c=camera: laboratory.state(c.slug).get("held_frames") == 0, "empty outbox")


@pytest.mark.long
def test_no_frame_is_lost_when_servers_are_killed(running: tuple[Laboratory, Catalog]) -> None:
    laboratory, catalog = running
    recordings = services.start_recording(session=catalog.session, by=catalog.experimenter)
    grown(laboratory, recordings, 15)
    for victim in ("ingest", "redis", "web"):
        laboratory.kill(victim)
        down = time.monotonic() + 1.2
        wait_for(lambda end=down: time.monotonic() > end, "outage")
        laboratory.restart(victim)
        grown(laboratory, recordings, 30)
    services.stop_recording(session=catalog.session, by=catalog.experimenter)
    for recording in recordings:
        row = finished(recording)
        table = check_pictures(laboratory, row)
        assert table.gaps() == []
        assert row.lost == 0
        # Nothing of the outages is missing: the frames in them are as dense as the others.
        captured = table.in_order()["captured_ns"].astype(np.int64)
        assert np.diff(captured).max() < 0.5e9


def test_a_killed_agent_leaves_a_gap_and_no_lie(running: tuple[Laboratory, Catalog]) -> None:
    laboratory, catalog = running
    recordings = services.start_recording(session=catalog.session, by=catalog.experimenter)
    grown(laboratory, recordings, 20)
    name = f"agent-{catalog.cameras[0].slug}"
    laboratory.kill(name)
    laboratory.restart(name)
    grown(laboratory, recordings, 30)
    services.stop_recording(session=catalog.session, by=catalog.experimenter)
    broken, whole = finished(recordings[0]), finished(recordings[1])
    table = check_pictures(laboratory, broken)
    assert len(table.gaps()) == 1
    first, last = table.gaps()[0]
    assert broken.lost == last - first + 1
    after = table.in_order()[np.flatnonzero(table.in_order()["sequence"] == last + 1)[0]]
    assert after["flags"] & 4
    check_pictures(laboratory, whole)
    assert whole.lost == 0


def test_everything_is_killed_in_the_middle(running: tuple[Laboratory, Catalog]) -> None:
    laboratory, catalog = running
    recordings = services.start_recording(session=catalog.session, by=catalog.experimenter)
    grown(laboratory, recordings, 30)
    agents = [f"agent-{camera.slug}" for camera in catalog.cameras]
    for name in (*agents, "web", "ingest", "redis"):
        laboratory.kill(name)
    for recording in recordings:
        # As it lies there after a power cut: what the table says is there, decodes.
        folder = laboratory.data_root / recording.folder
        table = frametable.read(folder)
        assert len(table) >= 30
        for record in table.records:
            picture = cv2.imdecode(
                np.frombuffer(frametable.read_picture(folder, record), np.uint8), cv2.IMREAD_GRAYSCALE
            )
            assert read_number(picture) == record["sequence"]
    for name in ("redis", "ingest", *agents):
        laboratory.restart(name)
    grown(laboratory, recordings, 30)
    services.stop_recording(session=catalog.session, by=catalog.experimenter)
    for recording in recordings:
        row = finished(recording)
        assert len(check_pictures(laboratory, row).gaps()) == 1
