"""Arenas and a scale drawn on a frame: kept, started from by the next video of the camera, and used by tracking."""

from __future__ import annotations

import json
import os
from io import BytesIO

import cv2
import numpy as np
import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse
from PIL import Image

from analysis.models import FrameDrawing
from sessions import services
from sessions.permissions import LABORATORY
from tests.catalog.conftest import HOUR, NOON

pytestmark = pytest.mark.django_db
DRAWN = {
    "width": 64,
    "height": 48,
    "arenas": [{"name": "left", "shape": "polygon", "points": [[2, 2], [30, 2], [30, 46], [2, 46]]}],
    "calibration": {"points": [[2, 2], [42, 2]], "distance_cm": 20},
}


@pytest.fixture
def film(lab, settings):
    """Register a short video of a session of the rig that begins so many hours after noon."""

    def register(hours: int, name: str = "top"):
        path = settings.LAB_DATA_ROOT / f"{hours}.avi"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
        for number in range(12):
            writer.write(np.full((48, 64, 3), 100 + number, np.uint8))
        writer.release()
        session = services.start_session(
            by=LABORATORY, project=lab.project, rig=lab.rig, start=NOON + hours * HOUR, end=NOON + (hours + 1) * HOUR
        )
        return services.register_recording(
            by=LABORATORY, session=session, kind="video", format="video", name=name,
            files=[{"root": "default", "path": path.name}],
        )  # fmt: skip

    return register


def keep(client, recording, drawn, **more):
    return client.post(reverse("recording-arenas", args=[recording.pk]), {"drawing": json.dumps(drawn), **more})


def test_what_was_drawn_is_kept_and_the_next_video_of_the_camera_starts_from_it(client, lab, film):
    client.force_login(lab.experimenter)
    first, second, other = film(200), film(202), film(204, name="side")
    assert b"nothing drawn yet" in client.get(reverse("recording-arenas", args=[first.pk])).content
    assert keep(client, first, DRAWN).status_code == 302
    kept = FrameDrawing.objects.get()
    assert (kept.recording, kept.changed_by, kept.arenas[0]["name"]) == (first, lab.experimenter, "left")
    assert b"as last drawn for this camera" in client.get(reverse("recording-arenas", args=[second.pk])).content
    assert b"nothing drawn yet" in client.get(reverse("recording-arenas", args=[other.pk])).content
    keep(client, first, DRAWN | {"arenas": []})
    assert [version.arenas == [] for version in kept.history.order_by("pgh_id")] == [False, True]


def test_tracking_is_offered_with_what_was_drawn(client, lab, film):
    client.force_login(lab.experimenter)
    video = film(200)
    asked = keep(client, video, DRAWN, then="track")
    page = client.get(asked.url)
    fields = {field.name: field.value for field in page.context["fields"]}
    assert json.loads(fields["arenas"])[0]["points"] == [[2, 2], [30, 2], [30, 46], [2, 46]]
    assert json.loads(fields["calibration"])["distance_cm"] == 20
    posted = {f"p.{name}": value for name, value in fields.items() if value not in ("", False)}
    queued = client.post(
        reverse("job-new"), {"pipeline": "video.track", "filled": "1", "input-0": str(video.pk), **posted}
    )
    assert queued.status_code == 302
    job = video.jobs.get()
    assert job.parameters["arenas"][0]["name"] == "left"
    assert job.parameters["calibration"]["distance_cm"] == 20


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"arenas": [DRAWN["arenas"][0]] * 2}, "two arenas have the name left"),
        ({"arenas": [{"name": "x", "points": [[0, 0], [40, 40], [40, 0], [0, 40]]}]}, "cross each other"),
        ({"arenas": [{"name": "x", "points": [[900, 900], [940, 900], [940, 940]]}]}, "outside the picture"),
        ({"calibration": {"points": [[0, 0], [40, 0]]}}, "either the distance of two points"),
        ({"width": "wide"}, "width"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_kept(client, lab, film, change, words):
    client.force_login(lab.experimenter)
    reply = keep(client, film(200), DRAWN | change)
    assert reply.status_code == 400
    assert words in reply.content.decode()
    assert not FrameDrawing.objects.exists()


def test_a_frame_of_the_video_is_shown(client, lab, film):
    client.force_login(lab.viewer)
    video = film(200)
    reply = client.get(reverse("recording-frame", args=[video.pk]))
    assert reply["Content-Type"] == "image/jpeg"
    assert Image.open(BytesIO(reply.content)).size == (64, 48)


def test_a_damaged_video_ends_in_a_sentence(client, lab, film, settings):
    client.force_login(lab.viewer)
    video = film(200)
    path = settings.LAB_DATA_ROOT / "200.avi"
    stated = path.stat()
    path.write_bytes(bytes(stated.st_size))
    os.utime(path, ns=(stated.st_atime_ns, stated.st_mtime_ns))
    reply = client.get(reverse("recording-frame", args=[video.pk]))
    assert reply.status_code == 409
    assert "No frame of the video can be shown" in reply.content.decode()


def test_a_drawing_without_a_frame_is_refused_by_the_database(lab, film):
    with pytest.raises(IntegrityError), transaction.atomic():
        FrameDrawing.objects.create(recording=film(200), width=0, height=10)
