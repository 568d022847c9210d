"""REST: what scripts rely on."""

# ruff: noqa: PLR0917 - a test takes the fixtures it needs
from __future__ import annotations

import csv
import io
import json

import pytest
from django.contrib.auth import get_user_model
from rest_framework.test import APIClient

from sessions import services
from sessions.models import Animal, ApiToken, Event, Recording, Session
from sessions.permissions import LABORATORY
from tests.catalog.conftest import HOUR, NOON, PASSWORD

pytestmark = pytest.mark.django_db
API = "/api/v1"


def test_token_from_name_and_password_opens_the_rest(lab, password):
    password(lab.viewer)
    client = APIClient()
    reply = client.post(f"{API}/auth/token/", {"username": "viewer", "password": PASSWORD}, format="json")
    assert reply.status_code == 200
    key = reply.json()["token"]
    assert not ApiToken.objects.filter(digest__contains=key).exists()
    client.credentials(HTTP_AUTHORIZATION=f"Token {key}")
    assert [row["identifier"] for row in client.get(f"{API}/animals/").json()["results"]] == ["R214"]
    token = client.get(f"{API}/tokens/").json()["results"][0]
    assert "digest" not in token
    # A write by a token is in the audit trail with its user.
    assert client.post(f"{API}/tokens/{token['id']}/revoke/").json()["revoked"]
    assert client.get(f"{API}/animals/").status_code == 401


def test_wrong_password_is_refused_and_throttled(lab, password):
    password(lab.viewer)
    client = APIClient()
    codes = [
        client.post(f"{API}/auth/token/", {"username": "viewer", "password": "no"}, format="json").status_code
        for _ in range(22)
    ]
    assert codes[0] == 400
    assert codes[-1] == 429


def test_who_changed_by_token_is_in_the_history(lab, password):
    password(lab.experimenter)
    client = APIClient()
    key = client.post(f"{API}/auth/token/", {"username": "experimenter", "password": PASSWORD}, format="json").json()
    client.credentials(HTTP_AUTHORIZATION=f"Token {key['token']}")
    assert client.patch(f"{API}/animals/{lab.animal.pk}/", {"cage": "14"}, format="json").status_code == 200
    newest = lab.animal.history.order_by("-pgh_id").first()
    assert newest.pgh_context.metadata["user"] == lab.experimenter.pk
    assert newest.pgh_context.metadata["url"] == f"{API}/animals/{lab.animal.pk}/"


def test_a_read_only_token_does_not_write(lab):
    from sessions.tokens import create_token

    _, key = create_token(user=lab.experimenter, name="reader", scope="read")
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {key}")
    assert client.get(f"{API}/animals/").status_code == 200
    reply = client.post(f"{API}/species/", {"name": "mouse"}, format="json")
    assert reply.status_code == 403
    assert reply.json() == {"detail": "This token may only read.", "errors": {}}


def test_a_session_is_started_with_names_and_ended(lab, api):
    reply = api().post(
        f"{API}/sessions/",
        {"animals": ["R214"], "rig": "box 1", "task": "odour sequence", "start": "2026-03-03T12:00:00+01:00"},
        format="json",
    )
    body = reply.json()
    assert reply.status_code == 201, body
    assert body["animals"] == [{"id": str(lab.animal.pk), "identifier": "R214"}]
    assert (body["project"], body["number"], body["running"]) == (str(lab.project.pk), 2, True)
    assert body["start"] == "2026-03-03T11:00:00Z"
    ended = api().post(f"{API}/sessions/{body['id']}/end/", {"end": "2026-03-03T12:30:00Z"}, format="json")
    assert ended.json()["end"] == "2026-03-03T12:30:00Z"
    again = api().post(f"{API}/sessions/{body['id']}/end/", {}, format="json")
    assert again.status_code == 409
    assert "ended already" in again.json()["detail"]


def test_overlapping_sessions_are_a_conflict_with_a_sentence(lab, api):
    body = {"project": "Memory", "rig": "box 1", "start": NOON.isoformat(), "end": (NOON + HOUR).isoformat()}
    reply = api().post(f"{API}/sessions/", body, format="json")
    assert reply.status_code == 409
    assert reply.json() == {
        "detail": "Another session is on this rig at that time.",
        "errors": {"rig": ["Another session is on this rig at that time."]},
    }
    body = {"animals": ["R214"], "start": NOON.isoformat(), "end": (NOON + HOUR).isoformat()}
    reply = api().post(f"{API}/sessions/", body, format="json")
    assert reply.json()["errors"] == {"animals": ["This animal is in another session at that time."]}
    assert Session.objects.count() == 1


WRONG = [
    ("animals", {"identifier": "R1", "project": "Memory", "species": "rat", "wings": 2}, "wings"),
    ("animals", {"identifier": "", "project": "Memory", "species": "rat"}, "identifier"),
    ("animals", {"identifier": "R1", "project": "Memory", "species": "dragon"}, "species"),
    ("animals", {"identifier": "R1", "project": "Other", "species": "rat"}, "project"),
    ("animals", {"identifier": "R1", "project": "Memory", "species": "rat", "birth_date": "yesterday"}, "birth_date"),
    (
        "animals",
        {"identifier": "R1", "project": "Memory", "species": "rat", "birth_date": "2026-02-02",
         "death_date": "2026-02-01", "status": "dead"},
        "death_date",
    ),
    ("animals", {"identifier": "R1\0", "project": "Memory", "species": "rat"}, "identifier"),
    ("animals", {"id": "x", "identifier": "R1", "project": "Memory", "species": "rat"}, "id"),
    ("sessions", {"animals": ["R214"], "start": "2026-03-03T12:00:00"}, "start"),
    ("sessions", {"animals": ["R214"], "start": "0001-01-01T00:00:00+14:00"}, "start"),
    ("sessions", {"animals": ["nobody"]}, "animals"),
    ("sessions", {"animals": "R214"}, "animals"),
    ("sessions", {"project": "Memory", "rig": "no such rig"}, "rig"),
    ("sessions", {}, "project"),
    ("sessions", {"project": "Memory", "start": "2026-03-05T12:00:00Z", "end": "2026-03-05T11:00:00Z"}, "end"),
    ("sessions", {"project": "Memory", "number": -1}, "number"),
    ("tasks", {"name": "t", "parameters": [1]}, "parameters"),
    ("tasks", {"name": "t", "parameters": {"a": "\0"}}, "parameters"),
    ("recordings", {"session": "nonsense", "kind": "lfp", "files": [{"path": "x"}]}, "session"),
    ("recordings", {"kind": "lfp", "files": []}, "files"),
    ("events", [{"kind": "poke"}], "[0].session"),
]  # fmt: skip


@pytest.mark.parametrize(("collection", "body", "field"), WRONG)
def test_a_wrong_body_is_refused_naming_the_field(lab, api, collection, body, field):
    counts = [model.objects.count() for model in (Animal, Session, Recording, Event)]
    reply = api().post(f"{API}/{collection}/", body, format="json")
    answer = reply.json()
    assert reply.status_code == 400, answer
    assert field in answer["errors"], answer
    assert answer["detail"]
    assert [model.objects.count() for model in (Animal, Session, Recording, Event)] == counts


@pytest.mark.parametrize(
    "body", [b"{", b'{"rate": NaN}', b'{"rate": 1e999}', b"\xff\xfe", b"[" * 100_000, b'"text"', b"null", b"[]"]
)
def test_what_is_no_json_object_is_refused(api, body):
    reply = api().generic("POST", f"{API}/animals/", body, content_type="application/json")
    assert reply.status_code == 400
    assert reply.json()["detail"]


def test_a_body_without_end_is_too_large(api):
    body = b'{"notes": "' + b"x" * (17 * 1024 * 1024) + b'"}'
    assert api().generic("POST", f"{API}/animals/", body, content_type="application/json").status_code == 413


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("colour=red", "colour"),
        ("status=undead", "status"),
        ("ordering=password", "ordering"),
        ("project=not-a-uuid", "project"),
        ("born_from=soon", "born_from"),
    ],
)
def test_a_wrong_filter_is_refused_not_ignored(api, query, name):
    reply = api().get(f"{API}/animals/?{query}")
    assert reply.status_code == 400
    assert name in reply.json()["errors"]


@pytest.mark.parametrize("collection", ["animals", "sessions", "recordings", "files", "events", "rigs", "tasks"])
@pytest.mark.parametrize("pk", ["nonsense", "00000000-0000-0000-0000-000000000000", "%00"])
def test_what_is_not_there_is_404_in_json(api, collection, pk):
    reply = api().get(f"{API}/{collection}/{pk}/")
    assert reply.status_code == 404
    assert reply.json() == {"detail": "There is no such thing here.", "errors": {}}


def test_lists_are_pages_filters_and_orders(lab, api):
    for number in range(5):
        services.create_animal(
            by=LABORATORY, identifier=f"M{number}", project=lab.project, species=lab.rat, sex="F", cage=str(number % 2)
        )
    reply = api().get(f"{API}/animals/?sex=F&cage=1&ordering=-identifier&page_size=1").json()
    assert reply["count"] == 2
    assert [row["identifier"] for row in reply["results"]] == ["M3"]
    assert "page=2" in reply["next"]
    assert api().get(f"{API}/animals/?page=99").status_code == 404


def test_csv_has_every_row_and_no_formula(lab, api):
    for number in range(60):
        services.create_animal(
            by=LABORATORY, identifier=f"M{number:02}", project=lab.project, species=lab.rat, notes="=1+1"
        )
    for reply in (api().get(f"{API}/animals/?format=csv"), api().get(f"{API}/animals/", HTTP_ACCEPT="text/csv")):
        assert reply["Content-Type"] == "text/csv; charset=utf-8"
        rows = list(csv.DictReader(io.StringIO(reply.content.decode())))
        assert len(rows) == 61
        assert rows[0]["notes"] == "'=1+1"
    empty = api("outsider").get(f"{API}/animals/?format=csv").content.decode()
    assert empty.startswith("id,identifier,project")
    assert len(empty.splitlines()) == 1


QUERIES = {"animals": 1, "sessions": 3, "recordings": 4, "files": 2, "events": 1}


@pytest.mark.parametrize("collection", QUERIES)
def test_a_list_costs_the_same_queries_for_1_row_and_for_50(
    lab, api, put, recording, collection, django_assert_num_queries
):
    services.add_events(by=LABORATORY, session=lab.session, events=[{"time": NOON, "kind": "poke"}])
    client = api("administrator")
    with django_assert_num_queries(QUERIES[collection]):
        assert client.get(f"{API}/{collection}/").json()["count"] == 1
    for n in range(1, 50):
        animal = services.create_animal(by=LABORATORY, identifier=f"M{n}", project=lab.project, species=lab.rat)
        session = services.start_session(
            by=lab.experimenter, animals=[animal], task=lab.task, start=NOON + n * HOUR, end=NOON + (n + 1) * HOUR
        )
        services.add_events(by=LABORATORY, session=session, events=[{"time": NOON, "kind": "poke"}])
        services.register_recording(
            by=LABORATORY, session=session, kind="lfp", files=[{"path": put(f"{n}.npy")}], derived_from=[recording]
        )
    with django_assert_num_queries(QUERIES[collection]):
        assert len(client.get(f"{API}/{collection}/").json()["results"]) == 50


def test_events_are_taken_once(lab, api):
    events = [
        {"session": str(lab.session.pk), "time": "2026-03-02T12:00:01.5Z", "kind": "poke", "source": "box", "number": n,
         "value": {"port": 1, "in": True}}
        for n in range(100)
    ]  # fmt: skip
    reply = api().post(f"{API}/events/", events, format="json")
    assert (reply.status_code, reply.json()) == (201, {"added": 100, "already": 0})
    more = [*events, {**events[0], "number": 100}, {**events[0], "number": 100}]
    reply = api().post(f"{API}/events/", more, format="json")
    assert (reply.status_code, reply.json()) == (201, {"added": 1, "already": 101})
    reply = api().post(f"{API}/events/", events[0], format="json")
    assert (reply.status_code, reply.json()) == (200, {"added": 0, "already": 1})
    assert lab.session.events.count() == 101
    wrong = [{**events[0], "number": 200}, {**events[0], "number": 201, "time": "2026-03-02T12:00:00"}]
    reply = api().post(f"{API}/events/", wrong, format="json")
    assert reply.status_code == 400
    assert list(reply.json()["errors"]) == ["[1].time"]
    assert lab.session.events.count() == 101
    assert api().get(f"{API}/events/?session={lab.session.pk}&kind=poke").json()["count"] == 101


def test_the_schema_is_complete_and_without_warnings(tmp_path):
    from django.core.management import call_command

    out = tmp_path / "schema.json"
    call_command("spectacular", "--validate", "--fail-on-warn", "--format=openapi-json", f"--file={out}")
    schema = json.loads(out.read_text())
    post = schema["paths"]["/api/v1/recordings/"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    one, several = post["oneOf"]
    assert one["$ref"].endswith("RecordingBody")
    assert several["items"] == one
    names = {p["name"] for p in schema["paths"]["/api/v1/animals/"]["get"]["parameters"]}
    assert {"identifier", "status", "ordering", "page", "page_size"} <= names


def test_inactive_people_are_nobody(lab, api):
    get_user_model().objects.filter(username="viewer").update(is_active=False)
    lab.viewer.refresh_from_db()
    assert api("viewer").get(f"{API}/animals/").json()["count"] == 0


@pytest.mark.parametrize(
    "time", ["0001-01-01T00:00:00%2B23:59", "9999-12-31T23:59:59-23:59", "2026-03-02T12:00:00%2B23:59"]
)
@pytest.mark.parametrize("address", ["sessions/?started_from", "recordings/?created_until", "events/?time_from"])
def test_times_at_the_edge_of_the_calendar_are_filtered_or_refused(api, address, time):
    reply = api().get(f"{API}/{address}={time}")
    if time.startswith("2026"):
        assert reply.status_code == 200
    else:
        assert reply.status_code == 400
        assert "outside the calendar" in reply.content.decode()


@pytest.mark.parametrize("field", ["sex", "status", "identifier", "responsible"])
def test_half_a_surrogate_pair_is_refused(api, field):
    body = json.dumps({field: "\ud800"})
    reply = api().generic("POST", f"{API}/animals/", body, content_type="application/json")
    assert reply.status_code == 400
    assert "surrogate" in reply.json()["detail"]


def test_a_user_name_with_a_nul_is_nobody(api):
    reply = api().post(f"{API}/animals/", {"responsible": "\0"}, format="json")
    assert reply.status_code == 400
    assert "responsible" in reply.json()["errors"]
    reply = api().post(f"{API}/sessions/", {"people": ["\0"]}, format="json")
    assert reply.status_code == 400
