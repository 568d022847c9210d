"""A track on its video: what the page is given is what the files hold, in px of the pictures."""

from __future__ import annotations

import base64

import cv2
import numpy as np
import pytest
from django.urls import reverse

from sessions import services
from sessions.permissions import LABORATORY

pytestmark = pytest.mark.django_db
POSES = """scorer,net,net,net,net,net,net
bodyparts,nose,nose,nose,tail,tail,tail
coords,x,y,likelihood,x,y,likelihood
0,10,20,0.99,30,40,0.2
1,11,21,0.40,31,41,0.9
2,12,22,0.95,32,42,0.9
"""


def register(lab, kind, name, **more):
    return services.register_recording(
        by=LABORATORY, session=lab.session, kind=kind, files=[{"root": "default", "path": name}], **more
    )


@pytest.fixture
def video(lab, settings):
    path = settings.LAB_DATA_ROOT / "a.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25, (64, 48))
    for number in range(12):
        writer.write(np.full((48, 64, 3), 100 + number, np.uint8))
    writer.release()
    return register(lab, "video", path.name, format="video")


def numbers(packed, name, kind):
    return np.frombuffer(base64.b64decode(packed[name]), kind)


def tracked(settings, **arrays):
    time = 7.0 + np.arange(5) / 25
    x = np.array([1.0, 2.0, np.nan, 4.0, 5.0])
    np.savez(settings.LAB_DATA_ROOT / "position.npz", time=time, x=x, y=2 * x, unit="cm", **arrays)
    return x


def test_a_track_in_cm_is_drawn_where_it_was_seen(client, lab, video, settings):
    x = tracked(settings)
    tracked(settings, x_px=10 * x, y_px=3 * x, heading_px_deg=np.full(5, 90.0))
    position = register(lab, "position", "position.npz", format="position-npz", derived_from=[video])
    client.force_login(lab.viewer)
    page = client.get(reverse("recording-watch", args=[position.pk]))
    assert (page.context["video"], page.context["own"]) == (video, True)
    packed = client.get(reverse("recording-track", args=[position.pk, video.pk])).json()
    assert (packed["width"], packed["height"], packed["unit"], packed["names"]) == (64, 48, "cm", ["animal"])
    assert numbers(packed, "time", "<f8") == pytest.approx(np.arange(5) / 25)
    points = numbers(packed, "points", "<f4").reshape(5, 1, 2)
    np.testing.assert_allclose(points[:, 0], np.stack([10 * x, 3 * x], axis=1), rtol=1e-6)
    assert numbers(packed, "heading", "<f4") == pytest.approx(np.full(5, np.pi / 2))


def test_all_body_parts_are_drawn_where_they_are_likely_enough(client, lab, video, put):
    stated = {"rate": 25, "point": "nose", "likelihood": 0.9}
    poses = register(lab, "position", put("a.csv", POSES.encode()), parameters=stated)
    client.force_login(lab.viewer)
    page = client.get(reverse("recording-watch", args=[poses.pk]))
    assert b"does not say that these positions come from this video" in page.content
    packed = client.get(reverse("recording-track", args=[poses.pk, video.pk])).json()
    assert packed["names"] == ["nose", "tail"]
    points = numbers(packed, "points", "<f4").reshape(3, 2, 2)
    np.testing.assert_array_equal(points[:, 0, 0], [10, np.nan, 12])
    np.testing.assert_array_equal(points[:, 1, 1], [np.nan, 41, 42])


def test_what_cannot_be_drawn_says_why(client, lab, video, settings):
    client.force_login(lab.viewer)
    tracked(settings)
    position = register(lab, "position", "position.npz", format="position-npz")
    reply = client.get(reverse("recording-track", args=[position.pk, video.pk]))
    assert reply.status_code == 409
    assert "says its positions in cm only; track the video again" in reply.content.decode()


def test_a_session_without_a_video_says_so(client, lab, settings):
    client.force_login(lab.viewer)
    tracked(settings)
    position = register(lab, "position", "position.npz", format="position-npz")
    assert b"There is no video to see it on" in client.get(reverse("recording-watch", args=[position.pk])).content
