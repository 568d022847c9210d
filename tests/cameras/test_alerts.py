"""What is wrong with a camera or the disk is raised once, resolved when it is over, and told to who is named."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from django.core import mail
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from cameras import disk
from cameras.alerts import Watch, tell_alerts
from cameras.models import CameraAlert, CameraHealth
from cameras.wake import client as redis_client
from tests.cameras.conftest import Catalog
from tests.cameras.laboratory import Laboratory, wait_for


@pytest.fixture
def say(catalog: Catalog, settings: Any) -> Any:
    """Say of a camera what ingest would say; both have been seen before."""
    settings.LAB_DISK_ALARM = 0

    def state(number: int, **changes: Any) -> None:
        now = {"online": True, "last_picture_ns": time.time_ns(), "fps": 30.0, **changes}
        redis_client().set(f"camera-state:{catalog.cameras[number].slug}", json.dumps(now), ex=60)

    for number, camera in enumerate(catalog.cameras):
        CameraHealth.objects.create(camera=camera, last_seen=timezone.now())
        state(number)
    return state


@pytest.fixture
def webhook(settings: Any) -> Iterator[list[dict[str, Any]]]:
    """A receiver of webhooks; ``answers`` holds what it replies before it takes any."""
    heard: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            refused = server.refuse > 0  # type: ignore[attr-defined]
            server.refuse -= 1  # type: ignore[attr-defined]
            if not refused:
                heard.append(body)
            self.send_response(500 if refused else 200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.refuse = 1  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.LAB_ALERT_WEBHOOK = f"http://127.0.0.1:{server.server_port}/"
    yield heard
    server.shutdown()
    server.server_close()


def alerts() -> list[tuple[str, str | None, bool]]:
    rows = CameraAlert.objects.select_related("camera").order_by("raised", "kind")
    return [(row.kind, row.camera.slug if row.camera else None, row.resolved is None) for row in rows]


def test_a_camera_that_goes_is_one_alert_until_it_is_back(catalog: Catalog, say: Any) -> None:
    watch, slug = Watch(), catalog.cameras[0].slug
    watch(0.0)
    assert alerts() == []
    redis_client().delete(f"camera-state:{slug}")
    for second in (1.0, 2.0):
        watch(second)
        assert alerts() == []
    for second in range(3, 60):
        watch(float(second))
        assert alerts() == [("offline", slug, True)]
    # It comes and goes: that is the same trouble.
    for second in range(60, 90):
        if second % 2:
            redis_client().delete(f"camera-state:{slug}")
        else:
            say(0)
        watch(float(second))
    assert alerts() == [("offline", slug, True)]
    say(0)
    for second in range(90, 100):
        say(0)
        say(1)
        watch(float(second))
    assert alerts() == [("offline", slug, False)]


def test_frozen_and_dark_are_told_apart(catalog: Catalog, say: Any) -> None:
    watch = Watch()
    say(0, last_picture_ns=time.time_ns() - 60_000_000_000)
    say(1, dark=True)
    for second in (0.0, 2.0):
        watch(second)
    assert sorted(alerts()) == [("dark", "box-1-1", True), ("frozen", "box-1-0", True)]


def test_a_recording_that_is_not_stored_is_an_alert_beside_the_live_picture(catalog: Catalog, say: Any) -> None:
    watch, said = Watch(), "the disk does not take the recording: No space left on device"
    for second in range(30):
        say(0, unstored=said if second < 15 else "")
        say(1)
        watch(float(second))
        if second == 14:
            assert alerts() == [("unstored", "box-1-0", True)]
            assert CameraAlert.objects.get().message == said
    assert alerts() == [("unstored", "box-1-0", False)]


def test_nothing_is_concluded_while_redis_is_silent_and_of_cameras_never_seen(
    catalog: Catalog, say: Any, settings: Any
) -> None:
    watch = Watch()
    CameraHealth.objects.filter(camera=catalog.cameras[0]).delete()
    redis_client().delete("camera-state:box-1-0")
    working = settings.LAB_REDIS_URL
    for second in range(10):
        settings.LAB_REDIS_URL = "redis://127.0.0.1:1/0" if second > 4 else working
        watch(float(second))
    assert alerts() == []


def test_a_disk_that_fills(catalog: Catalog, say: Any, settings: Any) -> None:
    watch = Watch()
    settings.LAB_DISK_ALARM = disk.free_bytes() * 2
    for second in range(5):
        watch(float(second))
    assert alerts() == [("disk", None, True)]
    settings.LAB_DISK_ALARM = 1
    for second in range(5, 12):
        watch(float(second))
    assert alerts() == [("disk", None, False)]


def test_the_database_keeps_one_open_alert_of_a_kind(catalog: Catalog) -> None:
    for camera, kind in ((None, "disk"), (catalog.cameras[0], "offline")):
        CameraAlert.objects.create(camera=camera, kind=kind, message="x")
        with pytest.raises(IntegrityError, match="open_once"), transaction.atomic():
            CameraAlert.objects.create(camera=camera, kind=kind, message="x")
    for camera, kind in ((None, "offline"), (catalog.cameras[0], "disk")):
        with pytest.raises(IntegrityError, match="of_a_camera_or_the_laboratory"), transaction.atomic():
            CameraAlert.objects.create(camera=camera, kind=kind, message="x")


def test_who_is_named_is_told_once(catalog: Catalog, settings: Any, webhook: list[dict[str, Any]]) -> None:
    settings.LAB_ALERT_EMAIL = ["ana@lab.example"]
    alert = CameraAlert.objects.create(camera=catalog.cameras[0], kind="frozen", message="no new picture")
    old = timezone.now() - timedelta(days=2)
    CameraAlert.objects.create(kind="disk", message="long over", raised=old, resolved=old)
    # The receiver refuses at first: it is told again, until it takes it.
    assert tell_alerts() == 0
    assert tell_alerts() == 2
    assert tell_alerts() == 0
    alert.refresh_from_db()
    alert.resolved = timezone.now()
    alert.save()
    assert tell_alerts() == 2
    assert tell_alerts() == 0
    assert [(body["state"], body["camera"], body["kind"]) for body in webhook] == [
        ("raised", "box-1-0", "frozen"), ("resolved", "box-1-0", "frozen")
    ]  # fmt: skip
    assert "box 1 · camera 0: no new picture" in webhook[0]["text"]
    assert [message.to for message in mail.outbox] == [["ana@lab.example"]] * 2
    assert mail.outbox[1].subject == "Labsite: over: box 1 · camera 0 frozen"
    settings.LAB_ALERT_EMAIL, settings.LAB_ALERT_WEBHOOK = [], ""
    CameraAlert.objects.create(camera=catalog.cameras[0], kind="frozen", message="again")
    assert tell_alerts() == 0


def test_alerts_on_pages_and_in_rest(catalog: Catalog, django_assert_max_num_queries: Any) -> None:
    for kind in ("offline", "dark"):
        CameraAlert.objects.create(camera=catalog.cameras[0], kind=kind, message=f"it is {kind}")
    CameraAlert.objects.filter(kind="dark").update(resolved=timezone.now() + timedelta(seconds=1))
    CameraAlert.objects.create(kind="disk", message="1.0 GB are free")
    browser = Client()
    assert browser.get("/cameras/alerts/").status_code == 302
    browser.force_login(catalog.viewer)
    with django_assert_max_num_queries(8):
        now = browser.get("/cameras/alerts/now/").content.decode()
    assert "it is offline" in now
    assert "1.0 GB are free" in now
    assert "it is dark" not in now
    assert "it is dark" in browser.get("/cameras/alerts/").content.decode()
    assert "/cameras/alerts/now/" in browser.get("/wall/").content.decode()
    browser.force_login(catalog.stranger)
    assert browser.get("/cameras/alerts/now/").content.decode().strip() == ""

    def listed(who: str, query: str = "") -> Any:
        headers = {"Authorization": f"Token {catalog.keys[who]}"}
        return Client(headers=headers).get(f"/api/v1/camera-alerts/{query}").json()

    assert listed("view")["count"] == 3
    assert {row["kind"] for row in listed("view", "?open=true")["results"]} == {"offline", "disk"}
    assert [row["message"] for row in listed("view", "?open=false")["results"]] == ["it is dark"]
    assert listed("other")["count"] == 0
    assert Client().get("/api/v1/camera-alerts/").status_code == 401


@pytest.mark.long
@pytest.mark.timeout(150)
def test_supervise_raises_what_a_covered_lens_shows(laboratory: Laboratory, tmp_path: Path) -> None:
    from tests.cameras.conftest import make_catalog

    catalog = make_catalog()
    film = cv2.VideoWriter(str(tmp_path / "dark.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (320, 240))
    for _ in range(10):
        film.write(np.full((240, 320, 3), 2, np.uint8))
    film.release()
    first, second = catalog.cameras
    laboratory.start_agent(first.slug, catalog.tokens[0], source=f"file:{tmp_path / 'dark.avi'}", fps=10)
    seeing = laboratory.start_agent(second.slug, catalog.tokens[1])
    laboratory.environment["LAB_DISK_ALARM"] = "0"
    laboratory.run("supervise", [sys.executable, "manage.py", "supervise"])
    try:
        wait_for(lambda: ("dark", first.slug, True) in alerts(), "alert of the dark camera", 40)
        assert laboratory.state(first.slug)["trouble"] == "dark: no light"
        wait_for(lambda: CameraHealth.objects.filter(camera=second, last_seen__isnull=False).exists(), "health")
        laboratory.kill(seeing)
        wait_for(lambda: ("offline", second.slug, True) in alerts(), "alert of the killed agent", 20)
        laboratory.restart(seeing)
        wait_for(lambda: ("offline", second.slug, False) in alerts(), "the end of that alert", 30)
    finally:
        laboratory.processes["supervise"].terminate()
        try:
            laboratory.processes["supervise"].wait(20)
        except subprocess.TimeoutExpired:
            laboratory.kill("supervise")
        del laboratory.processes["supervise"], laboratory.environment["LAB_DISK_ALARM"]
