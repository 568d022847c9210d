"""Every list costs few queries, as many for one row as for many; all are found by walking the addresses."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from analysis.jobs.models import Job, JobInput, JobState, Result
from benchmarks.catalog import MOST_QUERIES, page_lists, rest_lists
from cameras.models import AlertKind, Camera, CameraAlert, CameraRecording
from sessions import pagination, services
from sessions.models import Animal, Recording
from sessions.permissions import LABORATORY
from sessions.tokens import create_token
from tests.catalog.conftest import HOUR, NOON

pytestmark = pytest.mark.django_db
ROWS = 4


@pytest.fixture
def several(lab, put, recording):
    """Several of everything that lists show."""
    for n in range(1, ROWS):
        rig = services.create_rig(by=LABORATORY, name=f"box {n + 1}", project=lab.project)
        animal = services.create_animal(by=LABORATORY, identifier=f"M{n}", project=lab.project, species=lab.rat)
        session = services.start_session(
            by=lab.experimenter,
            animals=[animal],
            rig=rig,
            task=lab.task,
            start=NOON + n * HOUR,
            end=NOON + 2 * n * HOUR,
        )
        services.add_events(by=LABORATORY, session=session, events=[{"time": NOON, "kind": "poke"}])
        taken = services.register_recording(
            by=LABORATORY, session=session, kind="lfp", files=[{"path": put(f"{n}.npy")}], derived_from=[recording]
        )
        camera = Camera.objects.create(slug=f"top-{n}", name="top", rig=rig, token_digest=str(n) * 64)
        CameraRecording.objects.create(
            camera=camera,
            session=session,
            recording=taken,
            folder=str(n),
            state="finished",
            stopped=timezone.now() + HOUR,
        )
        CameraAlert.objects.create(kind=AlertKind.DARK, camera=camera, message="It is dark.")
        job = Job.objects.create(
            project=lab.project, pipeline="decode.position", version="1", fingerprint=str(n) * 64,
            state=JobState.SUCCEEDED, attempt=1, started=NOON, finished=NOON, user=lab.experimenter,
        )  # fmt: skip
        JobInput.objects.create(job=job, recording=taken, order=0)
        Result.objects.create(job=job, attempt=1, folder=str(n))
        create_token(user=lab.viewer, name=f"script {n}")


def queries(client: Client, address: str) -> tuple[int, object]:
    with CaptureQueriesContext(connection) as captured:
        reply = client.get(address)
    return len(captured), reply


def test_every_list_of_rest_costs_few_queries_whatever_its_size(lab, several):
    member, administrator = Client(), Client()
    member.force_login(lab.viewer)
    administrator.force_login(lab.administrator)
    found = rest_lists()
    assert {"animal-list", "recording-list", "camera-list", "job-list"} <= {address.name for address in found}
    for address in found:
        # Some lists are for administrators alone; who may see which is told by tests/roles.
        client = administrator if member.get(address.path).status_code == 403 else member
        client.get(address.path)
        one, reply = queries(client, f"{address.path}?page_size=1")
        assert reply.status_code == 200, address.path
        many, reply = queries(client, f"{address.path}?page_size=250")
        assert one <= MOST_QUERIES, address.path
        # A page that shows the end of the list is not counted, so it may cost less.
        assert many <= one, address.path


def test_every_page_without_an_identifier_costs_few_queries_whatever_its_size(lab, several):
    client = Client()
    client.force_login(lab.viewer)
    found = page_lists()
    assert {"lab:animals", "lab:sessions", "lab:recordings", "jobs"} <= {address.name for address in found}
    for address in found:
        few, reply = queries(client, f"{address.path}?rows=1")
        if reply.status_code == 200 and reply["Content-Type"].startswith("text/html"):
            many, _ = queries(client, f"{address.path}?rows=250")
            assert few <= MOST_QUERIES, address.path
            assert many <= few, address.path


def test_a_long_list_is_estimated_and_its_pages_still_lead_to_the_end(lab, api, monkeypatch):
    monkeypatch.setattr(pagination, "COUNTED_EXACTLY", 5)
    Animal.objects.bulk_create(Animal(identifier=f"N{n}", project=lab.project, species=lab.rat) for n in range(9))
    client = api()
    reply = client.get("/api/v1/animals/?page_size=4").json()
    assert reply["estimated"]
    assert reply["count"] >= 6
    seen = [row["identifier"] for row in reply["results"]]
    while reply["next"]:
        reply = client.get(reply["next"]).json()
        seen += [row["identifier"] for row in reply["results"]]
    assert len(seen) == len(set(seen)) == 10
    # The end of the list was seen: now it is counted.
    assert (reply["count"], reply["estimated"]) == (10, False)
    assert client.get("/api/v1/animals/?page_size=4&page=4").status_code == 404
    assert client.get(f"/api/v1/animals/?page={10**40}").status_code == 404


def test_a_page_of_the_site_takes_a_number_of_rows_and_a_page_beyond_the_end(lab, monkeypatch):
    monkeypatch.setattr(pagination, "COUNTED_EXACTLY", 5)
    Animal.objects.bulk_create(Animal(identifier=f"N{n}", project=lab.project, species=lab.rat) for n in range(9))
    client = Client()
    client.force_login(lab.viewer)
    assert "of about " in client.get("/animals/?rows=4").content.decode()
    for page in ("3", "99", str(10**40)):
        text = client.get(f"/animals/?rows=4&page={page}").content.decode()
        assert "10 of 10</span>" in text
        assert "page=4" not in text
    for rows in ("0", "-1", "x", "9" * 30, ""):
        assert client.get(f"/animals/?rows={rows}&page=x").status_code == 200


def test_a_search_finds_every_word_in_whatever_it_names(lab, several):
    client = Client()
    client.force_login(lab.viewer)
    first = Recording.objects.get(files__path="1.npy")
    assert str(first.pk) in client.get("/recordings/?q=1.npy+M1+lfp+odour").content.decode()
    assert str(first.pk) not in client.get("/recordings/?q=1.npy+M2").content.decode()
