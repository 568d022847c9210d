"""What a token may be used for, and how often."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.urls import get_resolver
from rest_framework.test import APIClient

from cameras.services import create_camera
from sessions.permissions import LABORATORY
from sessions.tokens import create_token

pytestmark = pytest.mark.django_db


def client_with(user, scope: str = "write") -> APIClient:
    client = APIClient()
    _, key = create_token(user=user, name="script", scope=scope)
    client.credentials(HTTP_AUTHORIZATION=f"Token {key}")
    return client


def test_a_token_for_cameras_sees_and_records_them_and_nothing_else(lab):
    create_camera(by=LABORATORY, slug="top", name="top", rig=lab.rig)
    client = client_with(lab.experimenter, "camera")
    assert client.get("/api/v1/cameras/").json()["count"] == 1
    assert client.patch("/api/v1/cameras/top/", {"name": "above"}, format="json").status_code == 200
    # It may, and what is in the way is said: the session has ended.
    assert client.post(f"/api/v1/sessions/{lab.session.pk}/record/").status_code == 409
    for address in ("animals", "sessions", "recordings", "jobs", "tokens", "uploads", f"sessions/{lab.session.pk}"):
        reply = client.get(f"/api/v1/{address}/")
        assert reply.status_code == 403, address
        assert "see and record cameras" in reply.json()["detail"]
    reply = client.post("/api/v1/species/", {"name": "mouse"}, format="json")
    assert reply.status_code == 403


def test_only_the_addresses_of_cameras_are_for_a_token_of_cameras():
    from cameras.api.urls import urlpatterns

    def classes(patterns) -> set[type]:
        found = set()
        for pattern in patterns:
            if hasattr(pattern, "url_patterns"):
                found |= classes(pattern.url_patterns)
            else:
                found.add(getattr(pattern.callback, "cls", None))
        return found

    let = {view for view in classes(get_resolver().url_patterns) if getattr(view, "of_cameras", False)}
    assert let
    assert let <= classes(urlpatterns)


def test_a_token_that_reads_does_not_write(lab):
    client = client_with(lab.experimenter, "read")
    assert client.get("/api/v1/animals/").status_code == 200
    reply = client.post("/api/v1/species/", {"name": "mouse"}, format="json")
    assert reply.status_code == 403
    assert reply.json()["detail"] == "This token may only read."


def test_who_asks_too_often_is_told_when_to_come_again(lab, settings):
    settings.LAB_RATE_USER, settings.LAB_RATE_ANONYMOUS = 5, 2
    busy, calm = client_with(lab.experimenter), client_with(lab.experimenter)
    # A minute may end while this runs, and then as many again are let in, but never more.
    codes = [busy.get("/api/v1/species/").status_code for _ in range(11)]
    assert set(codes) == {200, 429}
    refused = busy.get("/api/v1/species/")
    if refused.status_code == 429:
        assert 1 <= int(refused["Retry-After"]) <= 60
        assert "throttled" in refused.json()["detail"]
    # Another token is counted by itself, and so are an address without one, and pieces of uploads not at all.
    assert calm.get("/api/v1/species/").status_code == 200
    nobody = APIClient()
    assert 429 in [nobody.get("/api/schema/").status_code for _ in range(5)]
    for _ in range(11):
        assert busy.get("/api/v1/uploads/").status_code == 200


def test_nobody_is_counted_where_there_is_no_limit(lab, settings):
    settings.LAB_RATE_USER = 0
    cache.clear()
    client = client_with(lab.experimenter)
    assert {client.get("/api/v1/species/").status_code for _ in range(8)} == {200}


def test_work_goes_on_while_redis_is_gone(lab, settings, caplog):
    client = client_with(lab.experimenter)
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"}}
    assert client.get("/api/v1/species/").status_code == 200
    assert "A request was not counted" in caplog.text
