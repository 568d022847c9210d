"""The browser-playable copy: every picture at its time, made once, made again when it was forgotten."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import av
import cv2
import pytest
from django.test import Client
from django.utils import timezone

from cameras import proxy, services, tasks
from cameras.agent.strip import read_number
from cameras.models import CameraRecording
from sessions.errors import Conflict
from tests.cameras.conftest import START, Catalog


def test_the_copy_shows_every_picture_at_its_time(recording: CameraRecording, settings: Any) -> None:
    folder = Path(settings.LAB_DATA_ROOT) / recording.folder
    row = services.finish_recording(recording_id=recording.pk, first=1, last=62)
    assert (row.state, row.frames, row.lost, row.proxy) == ("finished", 50, 12, "queued")
    tasks.make_proxy(str(recording.pk))
    recording.refresh_from_db()
    assert recording.proxy == "ready"
    with av.open(str(folder / "proxy.mp4")) as video:
        stream = video.streams.video[0]
        assert stream.codec_context.name == "h264"
        shown = {read_number(frame.to_ndarray(format="gray")): float(frame.time) for frame in video.decode(stream)}
    assert sorted(shown) == [*range(1, 20), *range(30, 61)]
    for number, seconds in shown.items():
        assert seconds == pytest.approx((number - 1) * 0.04, abs=0.002)
    data = (folder / "proxy.mp4").read_bytes()
    assert data.find(b"moov") < data.find(b"mdat")
    assert cv2.imread(str(folder / "poster.jpg")).shape == (240, 320, 3)
    files = recording.recording.files
    assert set(files.values_list("role", flat=True)) == {"segment", "frames", "proxy", "poster"}
    browser = Client()
    browser.force_login(recording.session.project.memberships.get(role="viewer").user)
    reply = browser.get(f"/cameras/recordings/{recording.pk}/frames.csv")
    lines = b"".join(reply.streaming_content).decode().splitlines()
    assert len(lines) == 51
    assert lines[20].startswith(f"30,{START + 30 * 40_000_000},")
    # Asked for once more it changes nothing.
    tasks.make_proxy(str(recording.pk))
    assert services.finish_recording(recording_id=recording.pk).finished == row.finished
    assert files.count() == 4


def test_a_forgotten_copy_is_asked_for_again(recording: CameraRecording) -> None:
    services.finish_recording(recording_id=recording.pk)
    assert tasks.sweep_proxies() == 0
    CameraRecording.objects.update(proxy_since=timezone.now() - timedelta(hours=1))
    assert tasks.sweep_proxies() == 1
    assert tasks.sweep_proxies() == 0


def test_damaged_pictures_are_left_out_and_no_picture_at_all_fails(recording: CameraRecording, settings: Any) -> None:
    folder = Path(settings.LAB_DATA_ROOT) / recording.folder
    services.finish_recording(recording_id=recording.pk)
    segment = folder / "segment-0001.mjpeg"
    content = bytearray(segment.read_bytes())
    content[5000:9000] = bytes(4000)
    segment.write_bytes(bytes(content))
    assert 45 <= proxy.make_proxy(folder, folder / "a.mp4", folder / "a.jpg") < 50
    segment.write_bytes(bytes(len(content)))
    tasks.make_proxy(str(recording.pk))
    recording.refresh_from_db()
    assert recording.proxy == "failed"
    assert recording.proxy_message
    assert not (folder / "proxy.mp4").exists()


def test_a_recording_without_a_picture_says_so(catalog: Catalog, settings: Any) -> None:
    settings.LAB_DISK_RESERVE = 0
    made = services.start_camera_recording(camera=catalog.cameras[0], session=catalog.session, by=catalog.experimenter)
    services.stop_camera_recording(camera=catalog.cameras[0], by=catalog.experimenter)
    row = services.finish_recording(recording_id=made.pk)
    assert row.state == "failed"
    assert "No picture" in row.message
    with pytest.raises(Conflict):
        services.stop_camera_recording(camera=catalog.cameras[0], by=catalog.experimenter)
