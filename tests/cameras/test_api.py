"""Cameras over REST and as pages: tokens shown once, roles, states, orders."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from cameras.models import Camera, CameraRecording
from cameras.services import create_camera
from cameras.wake import client as redis_client
from sessions.permissions import LABORATORY
from sessions.tokens import digest_of
from tests.cameras.conftest import Catalog


@pytest.fixture
def rest(catalog: Catalog, settings: Any) -> Any:
    settings.LAB_DISK_RESERVE = 0

    def call(method: str, path: str, body: Any = None, who: str = "exp") -> Any:
        headers = {"Authorization": f"Token {catalog.keys[who]}"} if who else {}
        data = json.dumps(body) if body is not None else ""
        return Client(headers=headers).generic(method, f"/api/v1/{path}", data, content_type="application/json")

    return call


def test_a_new_camera_shows_its_token_once(catalog: Catalog, rest: Any) -> None:
    reply = rest("POST", "cameras/", {"slug": "box-1-side", "name": "side", "rig": "box 1"})
    assert reply.status_code == 201, reply.content
    token = reply.json()["token"]
    camera = Camera.objects.get(slug="box-1-side")
    assert camera.token_digest == digest_of(token)
    assert token not in rest("GET", "cameras/box-1-side/").content.decode()
    assert reply.json()["rig"] == "box 1"
    again = rest("POST", "cameras/box-1-side/token/").json()["token"]
    camera.refresh_from_db()
    assert again != token
    assert camera.token_digest == digest_of(again)


@pytest.mark.parametrize(
    ("body", "field", "status"),
    [
        ({"slug": "Box 1", "name": "x", "rig": "box 1"}, "slug", 400),
        ({"slug": "box-1-0", "name": "x", "rig": "box 1"}, "slug", 409),
        ({"slug": "ok", "name": " ", "rig": "box 1"}, "name", 400),
        ({"slug": "ok", "name": "x", "rig": "no such"}, "rig", 400),
        ({"slug": "ok", "name": "x"}, "rig", 400),
        ({"slug": "ok", "name": "x", "rig": "box 1", "token_digest": "0"}, "token_digest", 400),
        ({"slug": "ok", "name": "x", "rig": "box 1", "codec": "vp9"}, "codec", 400),
    ],
)
def test_a_wrong_camera_is_named(rest: Any, body: dict[str, str], field: str, status: int) -> None:
    reply = rest("POST", "cameras/", body)
    assert reply.status_code == status
    assert field in reply.json()["errors"]
    assert Camera.objects.count() == 2


def test_the_codec_is_set_and_said(catalog: Catalog, rest: Any) -> None:
    made = rest("POST", "cameras/", {"slug": "side", "name": "side", "rig": "box 1", "codec": "h264"}).json()
    assert made["codec"] == "h264"
    assert rest("GET", "cameras/box-1-0/").json()["codec"] == "jpeg"
    assert rest("PATCH", "cameras/box-1-0/", {"codec": "h264"}).json()["codec"] == "h264"
    assert rest("PATCH", "cameras/box-1-0/", {"codec": "H264"}).status_code == 400
    assert Camera.objects.filter(codec="h264").count() == 2
    with pytest.raises(IntegrityError, match="camera_codec_known"), transaction.atomic():
        Camera.objects.filter(slug="side").update(codec="vp9")


def test_roles(catalog: Catalog, rest: Any) -> None:
    slug, session = catalog.cameras[0].slug, catalog.session.pk
    calls = [
        ("GET", "cameras/", {"": 401, "other": 200, "view": 200, "exp": 200}),
        ("GET", f"cameras/{slug}/", {"": 401, "other": 404, "view": 200, "exp": 200}),
        ("POST", f"cameras/{slug}/token/", {"": 401, "other": 404, "view": 403, "exp": 200}),
        ("POST", f"sessions/{session}/record/", {"": 401, "other": 404, "view": 403, "exp": 201}),
        ("POST", f"sessions/{session}/stop/", {"": 401, "other": 404, "view": 403, "exp": 200}),
        ("POST", f"cameras/{slug}/record/", {"": 401, "other": 404, "view": 403, "exp": 201}),
        ("POST", f"cameras/{slug}/stop/", {"": 401, "other": 404, "view": 403, "exp": 200}),
    ]
    for method, path, expected in calls:
        for who, status in expected.items():
            assert rest(method, path, who=who).status_code == status, (method, path, who)
    assert rest("GET", "cameras/", who="other").json()["count"] == 0
    assert rest("GET", "cameras/").json()["count"] == 2


def test_orders_of_a_session(catalog: Catalog, rest: Any) -> None:
    path = f"sessions/{catalog.session.pk}"
    assert rest("POST", f"{path}/stop/").status_code == 409
    started = rest("POST", f"{path}/record/")
    assert {row["camera"] for row in started.json()["recordings"]} == {"box-1-0", "box-1-1"}
    assert rest("POST", f"{path}/record/").status_code == 409
    row = CameraRecording.objects.first()
    assert (row.recording.kind, row.recording.format) == ("video", "mjpeg-segments")
    listed = rest("GET", "cameras/box-1-0/").json()
    assert listed["recording"] in {str(row.pk) for row in CameraRecording.objects.all()}
    assert rest("POST", f"{path}/stop/").json()["recordings"][0]["state"] == "stopping"
    assert rest("POST", "sessions/00000000-0000-0000-0000-000000000000/record/").status_code == 404


def test_an_ended_session_stops_its_cameras(
    catalog: Catalog, rest: Any, django_capture_on_commit_callbacks: Any
) -> None:
    from sessions.services import end_session

    rest("POST", f"sessions/{catalog.session.pk}/record/")
    with django_capture_on_commit_callbacks(execute=True):
        end_session(by=catalog.experimenter, session=catalog.session)
    assert set(CameraRecording.objects.values_list("state", flat=True)) == {"stopping"}
    assert rest("POST", f"sessions/{catalog.session.pk}/record/").status_code == 409
    assert rest("POST", "cameras/box-1-0/record/").status_code == 409


def test_a_list_says_what_cameras_do_in_a_constant_number_of_queries(
    catalog: Catalog, rest: Any, django_assert_max_num_queries: Any
) -> None:
    for number in range(20):
        create_camera(by=LABORATORY, slug=f"more-{number}", name=f"more {number}", rig=catalog.rig)
    now = {"online": True, "last_picture_ns": time.time_ns(), "fps": 30.0, "recording": None}
    redis_client().set("camera-state:more-3", json.dumps(now), ex=5)
    with django_assert_max_num_queries(12):
        rows = rest("GET", "cameras/?page_size=100").json()["results"]
    assert len(rows) == 22
    by_slug = {row["slug"]: row["state"] for row in rows}
    assert by_slug["more-3"]["live"]
    assert by_slug["more-3"]["age_ms"] < 2000
    assert not by_slug["more-4"]["online"]
    assert by_slug["more-4"]["reason"].startswith("offline")


def test_pages(catalog: Catalog, settings: Any) -> None:
    settings.LAB_DISK_RESERVE = 0
    browser = Client()
    for path in ("/", "/wall/", "/cameras/box-1-0/"):
        assert browser.get(path).status_code == 302
    browser.force_login(catalog.viewer)
    assert b"/ws/cameras/box-1-0/live/?rendition=preview" in browser.get("/wall/").content
    page = browser.get("/cameras/box-1-0/")
    assert b"Record this camera" not in page.content
    assert browser.post("/cameras/box-1-0/record/").status_code == 403
    browser.force_login(catalog.experimenter)
    assert b"Record this camera" in browser.get("/cameras/box-1-0/").content
    assert browser.post("/cameras/box-1-0/record/").status_code == 302
    recording = CameraRecording.objects.get()
    assert b"Stop recording" in browser.get("/cameras/box-1-0/controls/").content
    page = browser.get(f"/cameras/recordings/{recording.pk}/")
    assert page.status_code == 200
    # Nothing is counted yet, so nothing is said to be lost or not.
    assert b" lost<" not in page.content
    assert browser.post("/cameras/box-1-0/record/").status_code == 409
    settings.LAB_DISK_RESERVE = 1 << 60
    low = browser.post("/cameras/box-1-1/record/", headers={"HX-Request": "true"})
    assert low.status_code == 507
    assert b"disk of the recordings is low" in low.content
    browser.force_login(catalog.stranger)
    assert browser.get("/cameras/box-1-0/").status_code == 404
    assert browser.get(f"/cameras/recordings/{recording.pk}/").status_code == 404


def test_what_is_no_slug_is_no_camera(catalog: Catalog) -> None:
    browser = Client()
    browser.force_login(catalog.experimenter)
    for slug in ("%00", "box-1-0%00", "..%2f", "box 1"):
        assert browser.get(f"/api/v1/cameras/{slug}/").status_code == 404
        assert browser.post(f"/api/v1/cameras/{slug}/token/").status_code == 404
        assert browser.get(f"/cameras/{slug}/").status_code == 404
