"""The look before a recording: each thing that can be in the way is named, in REST and on the page."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from django.test import Client

from cameras import disk
from cameras.wake import client as redis_client
from tests.cameras.conftest import Catalog
from tests.cameras.laboratory import Laboratory, wait_for


@pytest.fixture
def say(catalog: Catalog, settings: Any) -> Any:
    """Say of a camera what ingest would say."""
    settings.LAB_DISK_RESERVE = 0

    def state(slug: str, **changes: Any) -> None:
        good = {"online": True, "last_picture_ns": time.time_ns(), "fps": 30.0, "offset_ms": 1.5}
        redis_client().set(f"camera-state:{slug}", json.dumps({**good, "bytes_per_second": 1_000_000, **changes}), ex=5)

    for camera in catalog.cameras:
        state(camera.slug)
    return state


def look(catalog: Catalog, query: str = "", who: str = "exp") -> Any:
    headers = {"Authorization": f"Token {catalog.keys[who]}"}
    return Client(headers=headers).get(f"/api/v1/sessions/{catalog.session.pk}/preflight/{query}")


def failing(catalog: Catalog, query: str = "") -> dict[tuple[str, str], str]:
    found = look(catalog, query).json()
    bad = {(check["name"], check["camera"]): check["detail"] for check in found["checks"] if not check["ok"]}
    assert found["ok"] == (not bad)
    return bad


def test_a_session_that_can_be_recorded(catalog: Catalog, say: Any, django_assert_max_num_queries: Any) -> None:
    assert failing(catalog) == {}
    with django_assert_max_num_queries(8):
        found = look(catalog, "?minutes=30", who="view").json()
    assert found["bytes_needed"] == 2 * 1_000_000 * 60 * 30
    assert found["bytes_free"] == pytest.approx(disk.free_bytes(), rel=0.05)
    assert [check["name"] for check in found["checks"]] == ["session", "online", "clock", "online", "clock", "disk"]


def test_what_is_in_the_way_is_named(catalog: Catalog, say: Any, settings: Any) -> None:
    first, second = (camera.slug for camera in catalog.cameras)
    say(first, offset_ms=-100.0)
    assert failing(catalog) == {
        ("clock", first): "100.0 ms behind the server; less than 100 ms is needed, set the clock of its box"
    }
    say(first, offset_ms=99.9)
    assert failing(catalog) == {}
    say(first, offset_ms=None)
    assert "not been measured" in failing(catalog)["clock", first]
    say(first, last_picture_ns=time.time_ns() - 3_000_000_000)
    assert "frozen" in failing(catalog)["online", first]
    redis_client().delete(f"camera-state:{second}")
    assert set(failing(catalog)) == {
        ("online", first), ("online", second), ("clock", second), ("disk", "")
    }  # fmt: skip
    say(first)
    say(second, trouble="the spool is full")
    assert failing(catalog) == {("online", second): "the spool is full"}
    # Room for three minutes of both cameras, above the reserve.
    rate = 20_000_000
    settings.LAB_DISK_RESERVE = disk.free_bytes() - 2 * rate * 60 * 3
    for slug in (first, second):
        say(slug, bytes_per_second=rate)
    assert failing(catalog, "?minutes=1") == {}
    assert failing(catalog, "?minutes=600").keys() == {("disk", "")}
    assert "make room first" in failing(catalog, "?minutes=600")["disk", ""]


def test_a_session_without_cameras_or_time(catalog: Catalog, say: Any) -> None:
    for minutes in ("0", "-1", "a", "1e3", "99999999999", "²"):
        reply = look(catalog, f"?minutes={minutes}")
        assert reply.status_code == 400
        assert "minutes" in reply.json()["errors"]
    assert look(catalog, who="other").status_code == 404
    catalog.session.rig.cameras.update(enabled=False)
    assert "no camera that is switched on" in failing(catalog)["session", ""]


def test_the_page_says_it(catalog: Catalog, say: Any) -> None:
    browser = Client()
    path = f"/cameras/sessions/{catalog.session.pk}/preflight/"
    assert browser.get(path).status_code == 302
    browser.force_login(catalog.stranger)
    assert browser.get(path).status_code == 404
    browser.force_login(catalog.experimenter)
    assert "ready to record" in browser.get(path).content.decode()
    redis_client().delete(f"camera-state:{catalog.cameras[0].slug}")
    assert "3 checks fail" in browser.get(path).content.decode()
    assert path in browser.get(f"/sessions/{catalog.session.pk}/").content.decode()


def test_the_rate_is_measured(running: tuple[Laboratory, Catalog]) -> None:
    _, catalog = running
    found = wait_for(lambda: (reply := look(catalog).json())["ok"] and reply, "a laboratory that is ready", 15)
    # Two pictures of 320 x 240 pixels, 30 a second.
    assert 2 * 30 * 1_000 < found["bytes_needed"] / 3600 < 2 * 40 * 60_000
