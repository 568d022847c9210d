"""Every address of the catalog x everybody: one table. It fails when an address is missing from it."""

# ruff: noqa: PLR0917 - a test takes the fixtures it needs
from __future__ import annotations

import pytest
from django.test import Client
from django.urls import URLPattern, get_resolver

from sessions import services
from sessions.models import Membership
from sessions.permissions import LABORATORY
from sessions.services.sheets import send_sheet
from sessions.services.uploads import begin_upload
from sessions.tokens import create_token
from tests.catalog.conftest import HOUR, NOON
from tests.catalog.test_care_roles import TABLE

pytestmark = pytest.mark.django_db
ROLES = (None, "outsider", "viewer", "experimenter", "manager", "administrator")
# What each of them gets, in that order.
READ = (401, 404, 200, 200, 200, 200)
LIST = (401, 200, 200, 200, 200, 200)
SHARED = (401, 200, 200, 200, 200, 200)
CHANGE = (401, 404, 403, 200, 200, 200)
ADD = (401, 400, 403, 201, 201, 201)
PAGE = (302, 200, 200, 200, 200, 200)
PAGE_OF_ONE = (302, 404, 200, 200, 200, 200)
PAGE_OF_MINE = (302, 404, 404, 200, 404, 404)
PAGE_TO_CHANGE = (302, 404, 403, 200, 200, 200)
PAGE_AFTER_POST = (302, 404, 403, 302, 302, 302)
NEW_ANIMAL = b"identifier,project,species\nN7,Memory,rat\n"
START = "2026-03-04T12:00:00Z"

REST = [
    ("get", "project-list", None, LIST),
    ("post", "project-list", {"name": "New"}, (401, 403, 403, 403, 403, 201)),
    ("get", "project-detail", None, READ),
    ("get", "species-list", None, SHARED),
    ("post", "species-list", {"name": "mouse"}, (401, 403, 403, 201, 201, 201)),
    ("get", "species-detail", None, SHARED),
    ("get", "strain-list", None, SHARED),
    ("post", "strain-list", {"name": "Wistar", "species": "rat"}, (401, 403, 403, 201, 201, 201)),
    ("get", "strain-detail", None, SHARED),
    ("get", "animal-list", None, LIST),
    ("post", "animal-list", {"identifier": "N1", "project": "Memory", "species": "rat"}, ADD),
    ("get", "animal-detail", None, READ),
    ("patch", "animal-detail", {"cage": "7"}, CHANGE),
    ("delete", "animal-detail", None, (401, 405, 405, 405, 405, 405)),
    ("get", "rig-list", None, LIST),
    ("post", "rig-list", {"name": "box 9", "project": "Memory"}, ADD),
    ("get", "rig-detail", None, READ),
    ("patch", "rig-detail", {"location": "cellar"}, CHANGE),
    ("get", "task-list", None, SHARED),
    ("post", "task-list", {"name": "maze"}, (401, 403, 403, 201, 201, 201)),
    ("get", "task-detail", None, SHARED),
    ("patch", "task-detail", {"protocol": "run"}, (401, 403, 403, 200, 200, 200)),
    ("get", "session-list", None, LIST),
    ("post", "session-list", {"animals": ["R214"], "start": START}, ADD),
    ("get", "session-detail", None, READ),
    ("patch", "session-detail", {"narrative": "calm"}, CHANGE),
    ("post", "session-end", {}, CHANGE),
    ("get", "session-trials", None, READ),
    ("post", "session-move", {"from_animal": "R214", "to_animal": "R214"}, CHANGE),
    ("get", "recording-list", None, LIST),
    ("post", "recording-list", {"session": "{session}", "kind": "lfp", "files": [{"path": "b.npy"}]}, ADD),
    ("get", "recording-detail", None, READ),
    ("patch", "recording-detail", {"quality": "good"}, CHANGE),
    ("get", "file-list", None, LIST),
    ("get", "file-detail", None, READ),
    ("get", "file-download", None, READ),
    ("post", "file-revision", {}, (401, 404, 403, 409, 409, 409)),
    ("get", "event-list", None, LIST),
    ("post", "event-list", {"session": "{session}", "time": START, "kind": "poke"}, ADD),
    ("get", "event-detail", None, READ),
    ("get", "token-list", None, LIST),
    ("get", "token-detail", None, (401, 404, 404, 200, 404, 404)),
    ("post", "token-revoke", {}, (401, 404, 404, 200, 404, 404)),
    ("get", "upload-list", None, LIST),
    ("post", "upload-list", {}, (401, 412, 412, 412, 412, 412)),
    ("get", "upload-detail", None, (401, 404, 404, 200, 404, 404)),
    ("patch", "upload-detail", {}, (401, 412, 412, 412, 412, 412)),
    ("delete", "upload-detail", None, (401, 412, 412, 412, 412, 412)),
    ("post", "auth-token", {"username": "x", "password": "y"}, (400,) * 6),
]
PAGES = [
    ("get", "lab:animals", None, PAGE),
    ("get", "lab:animal-new", None, PAGE),
    ("post", "lab:animal-new", {}, (302, 400, 400, 400, 400, 400)),
    ("get", "lab:animal", None, PAGE_OF_ONE),
    ("get", "lab:animal-change", None, PAGE_TO_CHANGE),
    ("get", "lab:cage", None, PAGE),
    ("get", "lab:care", None, PAGE),
    ("get", "lab:care-find", None, (302,) * 6),
    ("get", "lab:care-labels", None, PAGE),
    ("get", "lab:care-note", None, (302,) * 6),
    ("get", "lab:care-water", None, PAGE),
    ("get", "lab:care-weigh", None, PAGE),
    ("get", "lab:care-who", None, PAGE),
    ("get", "lab:sessions", None, PAGE),
    ("get", "lab:session-start", None, (302, 403, 403, 200, 200, 200)),
    ("get", "lab:session", None, PAGE_OF_ONE),
    ("get", "lab:session-recordings", None, PAGE_OF_ONE),
    ("get", "lab:session-trials", None, PAGE_OF_ONE),
    ("post", "lab:session-end", {}, PAGE_AFTER_POST),
    ("get", "lab:session-move", None, PAGE_TO_CHANGE),
    ("post", "lab:session-move", {}, (302, 404, 403, 400, 400, 400)),
    ("post", "lab:session-notes", {"narrative": "x"}, PAGE_AFTER_POST),
    ("get", "lab:session-register", None, PAGE_TO_CHANGE),
    ("get", "lab:recordings", None, PAGE),
    ("get", "lab:recording", None, PAGE_OF_ONE),
    ("get", "lab:file-download", None, PAGE_OF_ONE),
    ("get", "lab:search", None, PAGE),
    ("get", "lab:sheets", None, PAGE),
    ("post", "lab:sheet-send", {}, (302, 400, 400, 400, 400, 400)),
    ("get", "lab:sheet-take", None, PAGE),
    ("get", "lab:sheet", None, PAGE_OF_MINE),
    ("post", "lab:sheet-import", {}, (302, 404, 404, 302, 404, 404)),
    ("post", "lab:sheet-discard", {}, (302, 404, 404, 302, 404, 404)),
    ("get", "lab:account", None, PAGE),
    ("post", "lab:token-new", {"name": "", "scope": "read"}, (302, 400, 400, 400, 400, 400)),
    ("post", "lab:token-revoke", {}, (302, 404, 404, 302, 404, 404)),
    ("post", "lab:password-change", {}, (302, 400, 400, 400, 400, 400)),
]


@pytest.fixture
def things(lab, recording, put):
    put("b.npy")
    strain = services.create_strain(by=LABORATORY, name="Long-Evans", species=lab.rat)
    services.add_events(by=LABORATORY, session=lab.session, events=[{"time": NOON, "kind": "poke"}])
    running = services.start_session(by=lab.experimenter, project=lab.project, start=NOON + 100 * HOUR)
    cage = services.create_cage(by=LABORATORY, name="14")
    token, _ = create_token(user=lab.experimenter, name="script")
    sheet = send_sheet(by=lab.experimenter, kind="animals", name="new.csv", content=NEW_ANIMAL)
    upload = begin_upload(by=lab.experimenter, session=lab.session, kind="lfp", length=9, file_name="c.npy")
    event, file = lab.session.events.get(), recording.files.get()
    return {
        "project": lab.project, "species": lab.rat, "strain": strain, "animal": lab.animal, "rig": lab.rig,
        "task": lab.task, "session": lab.session, "recording": recording, "file": file, "event": event,
        "token": token, "session-end": running, "sheet": sheet, "upload": upload,
        "cage": cage,
    }  # fmt: skip


def address(name: str, things) -> str:
    from django.urls import reverse

    plain = name.removeprefix("lab:")
    if plain.endswith("-list") or plain in {
        "animals", "animal-new", "sessions", "session-start", "recordings", "search", "account", "token-new",
        "password-change", "auth-token", "sheets", "sheet-send",
        "care", "care-find", "care-labels", "care-note", "care-water", "care-weigh", "care-who",
    }:  # fmt: skip
        return reverse(name)
    if plain == "sheet-take":
        return reverse(name, args=["animals", "csv"])
    thing = things.get(plain) or things[plain.partition("-")[0]]
    return reverse(name, args=[thing.pk])


@pytest.mark.parametrize(("method", "name", "body", "expected"), REST, ids=lambda v: v if isinstance(v, str) else "")
def test_rest(api, things, method, name, body, expected):
    body = {k: v.format(session=things["session"].pk) if isinstance(v, str) else v for k, v in (body or {}).items()}
    # The least powerful first: what one may not do was not done when the next comes.
    for role, code in zip(ROLES[:4], expected, strict=False):
        reply = getattr(api(role), method)(address(name, things), body or None, format="json")
        content = reply.getvalue()
        assert reply.status_code == code, (role, content[:300])


@pytest.mark.parametrize("role", ["manager", "administrator"])
@pytest.mark.parametrize(("method", "name", "body", "expected"), REST, ids=lambda v: v if isinstance(v, str) else "")
def test_rest_for_who_manages(api, things, role, method, name, body, expected):
    body = {k: v.format(session=things["session"].pk) if isinstance(v, str) else v for k, v in (body or {}).items()}
    reply = getattr(api(role), method)(address(name, things), body or None, format="json")
    content = reply.getvalue()
    assert reply.status_code == expected[ROLES.index(role)], content[:300]


@pytest.mark.parametrize(("method", "name", "body", "expected"), PAGES, ids=lambda v: v if isinstance(v, str) else "")
@pytest.mark.parametrize("role", ROLES)
def test_pages(lab, things, role, method, name, body, expected):
    client = Client()
    if role is not None:
        client.force_login(getattr(lab, role))
    reply = getattr(client, method)(address(name, things), body or {})
    content = reply.getvalue()
    assert reply.status_code == expected[ROLES.index(role)], content[:300]
    if role is None:
        assert reply["Location"].startswith("/login/")


def test_no_address_is_missing_from_the_table():
    import sessions.api.urls
    import sessions.urls

    rest = {p.name for p in sessions.api.urls.urlpatterns if isinstance(p, URLPattern)}
    assert rest == {name for _, name, _, _ in [*REST, *TABLE]}
    pages = {f"lab:{p.name}" for p in sessions.urls.urlpatterns if isinstance(p, URLPattern)}
    assert pages == {name for _, name, _, _ in PAGES}
    assert get_resolver().namespace_dict["lab"]


def test_a_post_without_the_csrf_token_is_refused(lab, things):
    client = Client(enforce_csrf_checks=True)
    client.force_login(lab.experimenter)
    assert client.post(address("lab:session-end", things)).status_code == 403
    reply = client.post("/api/v1/species/", {"name": "mouse"}, content_type="application/json")
    assert reply.status_code == 403


@pytest.mark.parametrize("model", ["animal", "session", "recording", "rig", "event", "datafile", "project", "strain"])
def test_staff_see_their_projects_only_in_the_admin(lab, things, model):
    for role in ("outsider", "viewer", "manager"):
        user = getattr(lab, role)
        user.is_staff = True
        user.save()
    thing = things.get(model) or things["file"]
    for role, listed, opened in (("outsider", 403, 403), ("viewer", 200, 200), ("manager", 200, 200)):
        client = Client()
        client.force_login(getattr(lab, role))
        assert client.get(f"/admin/lab/{model}/").status_code == listed, role
        assert client.get(f"/admin/lab/{model}/{thing.pk}/change/").status_code == opened, role
    # Somebody who manages another project has the admin, but not this row.
    Membership.objects.create(project=lab.other, user=lab.outsider, role="manager")
    client = Client()
    client.force_login(lab.outsider)
    assert client.get(f"/admin/lab/{model}/").status_code == 200
    assert client.get(f"/admin/lab/{model}/{thing.pk}/change/").status_code == (200 if model == "strain" else 302)
    client.force_login(lab.administrator)
    assert client.get(f"/admin/lab/{model}/").status_code == 200
