"""What a device drops before its agent has it: counted where it tells, kept with the recording, shown."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from uuid import uuid4

import pytest
from django.test import Client

from cameras import selectors, services
from cameras.agent.sources import DeviceClock
from cameras.models import CameraRecording
from tests.cameras.conftest import Catalog
from tests.cameras.laboratory import Laboratory, wait_for
from tests.cameras.test_agent import drain, outbox, put


def times(*intervals: float) -> list[float]:
    found = [1000.0]
    for interval in intervals:
        found.append(found[-1] + interval)
    return found


@pytest.mark.parametrize(
    ("taken", "dropped"),
    [
        (times(*[33.3] * 60), 0),
        (times(*[33.3, 34.1, 32.6] * 20, 66.7, *[33.3] * 5, 166.4, 33.3), 1 + 4),
        # Longer exposure in the dark halves the rate: nothing is dropped, then or after the light is back.
        (times(*[33.3] * 30, *[66.7] * 90, *[33.3] * 90), 0),
        # A device that tells no time, and one that was plugged in again.
        ([0.0] * 50, 0),
        (times(*[33.3] * 30) + times(*[33.3] * 30, 99.9, 33.3), 2),
    ],
)
def test_holes_in_a_devices_times_are_counted(taken: list[float], dropped: int) -> None:
    clock = DeviceClock()
    for moment in taken:
        clock.add(moment)
    assert clock.dropped == dropped


def test_the_count_of_a_recording_outlives_the_agent(tmp_path: Path) -> None:
    box, recording = outbox(tmp_path), str(uuid4())
    box.connection_made()
    box.device_dropped(7)  # Nobody records yet.
    box.record(recording, 1)
    put(box, 1, 5)
    box.device_dropped(2)
    box.device_dropped(0)
    notes = json.loads(json.dumps(box.recordings()))
    again = outbox(tmp_path)
    again.recover(notes)
    again.connection_made()
    again.record(recording, 20)
    put(again, 20, 22)
    again.device_dropped(1)
    again.stop(recording, 22)
    assert drain(again)[1][-1]["dropped"] == 3


def test_a_device_that_does_not_tell_is_not_said_to_have_dropped_none(tmp_path: Path) -> None:
    box, recording = outbox(tmp_path), str(uuid4())
    box.connection_made()
    box.record(recording, 1)
    put(box, 1, 5)
    box.stop(recording, 5)
    assert drain(box)[1][-1]["dropped"] is None


@pytest.mark.long
def test_what_a_held_up_camera_dropped_is_kept_and_shown(running: tuple[Laboratory, Catalog]) -> None:
    laboratory, catalog = running
    held, other = catalog.cameras
    services.start_recording(session=catalog.session, by=catalog.experimenter)
    for camera in catalog.cameras:
        wait_for(lambda camera=camera: laboratory.state(camera.slug).get("recording"), f"recording of {camera.slug}")
    row = CameraRecording.objects.get(camera=held)
    wait_for(lambda: len(laboratory.table(row.folder)) > 5, "stored frames")
    agent = laboratory.processes[f"agent-{held.slug}"]
    agent.send_signal(signal.SIGSTOP)
    wait_for(lambda: (selectors.states([held.slug])[held.slug]["age_ms"] or 0) > 1000, "a camera without pictures")
    agent.send_signal(signal.SIGCONT)
    count = len(laboratory.table(row.folder))
    wait_for(lambda: len(laboratory.table(row.folder)) > count + 10, "pictures again")
    services.stop_recording(session=catalog.session, by=catalog.experimenter)
    wait_for(lambda: not CameraRecording.objects.exclude(state="finished").exists(), "finished recordings", 30)
    rows = {row.camera_id: row for row in CameraRecording.objects.select_related("recording")}
    # 30 pictures a second for a second and a little; nothing that had a number is lost.
    assert rows[held.pk].dropped >= 25
    assert rows[held.pk].lost == 0
    assert rows[held.pk].recording.facts["dropped_by_device"] == rows[held.pk].dropped
    assert rows[other.pk].dropped is not None
    client = Client()
    client.force_login(catalog.viewer)
    page = client.get(f"/cameras/recordings/{rows[held.pk].pk}/").content.decode()
    assert f"{rows[held.pk].dropped} dropped" in page
    timing = client.get(f"/api/v1/camera-recordings/{rows[held.pk].pk}/timing/").json()
    assert timing["dropped"] == rows[held.pk].dropped
