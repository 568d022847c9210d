"""Jobs and results over REST: the contract, its errors, and who may do what."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from django.db import connection
from django.urls import reverse
from rest_framework.test import APIClient

from analysis.jobs.models import Job, JobState
from analysis.services import submit
from sessions.models import Animal, Membership, Project, Session, SessionAnimal, Species
from sessions.services import move_session
from tests.jobs.conftest import ended, record

UNKNOWN = "00000000-0000-0000-0000-000000000000"


def client_of(user) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


def body(lab, **changes) -> dict:
    return {"pipeline": "test.mean", "recordings": [str(lab.recording.pk)], "parameters": {"window": 0.5}} | changes


@pytest.mark.django_db
def test_pipelines_say_what_they_take(lab):
    reply = client_of(lab.viewer).get("/api/v1/pipelines/")
    assert reply.status_code == 200
    pipelines = {row["name"]: row for row in reply.json()}
    assert {"decode.position", "ephys.lfp", "video.track", "test.mean"} <= set(pipelines)
    mean = pipelines["test.mean"]
    assert mean["inputs"] == [{"kinds": ["lfp"], "summary": "numbers to average", "minimum": 1, "maximum": 2}]
    window = mean["parameters"]["properties"]["window"]
    assert (window["unit"], window["default"], window["maximum"]) == ("s", 0.5, 10)
    assert client_of(lab.viewer).get("/api/v1/pipelines/?nmae=x").status_code == 400


@pytest.mark.django_db
def test_jobs_go_with_their_session_to_another_project(lab):
    rat = Species.objects.create(name="rat")
    newcomer = Project.objects.create(name="Fear")
    Membership.objects.create(project=newcomer, user=lab.experimenter, role="experimenter")
    Membership.objects.create(project=newcomer, user=lab.outsider, role="viewer")
    mine, theirs = (Animal.objects.create(identifier=p.name, project=p, species=rat) for p in (lab.project, newcomer))
    SessionAnimal.objects.create(session=lab.session, animal=mine)
    beside = record(Session.objects.create(project=lab.project, start=lab.session.end), "beside")
    alone = submit(user=lab.experimenter, pipeline="test.mean", recordings=[lab.recording.pk]).job
    of_both = submit(user=lab.experimenter, pipeline="test.mean", recordings=[lab.recording.pk, beside.pk]).job

    def seen_by(user) -> set[str]:
        return {row["id"] for row in client_of(user).get("/api/v1/jobs/").json()["results"]}

    move_session(by=lab.experimenter, session=lab.session, from_animal=mine, to_animal=theirs)
    assert seen_by(lab.outsider) == {str(alone.pk)}
    assert seen_by(lab.viewer) == {str(of_both.pk)}
    move_session(by=lab.experimenter, session=lab.session, from_animal=theirs, to_animal=mine)
    assert seen_by(lab.outsider) == set()
    assert seen_by(lab.viewer) == {str(alone.pk), str(of_both.pk)}


@pytest.mark.django_db(transaction=True)
def test_the_contract_from_request_to_files(lab, worker):
    client = client_of(lab.experimenter)
    reply = client.post("/api/v1/jobs/", body(lab), format="json")
    assert reply.status_code == 201
    job = reply.json()
    expected = {
        "id", "pipeline", "state", "progress", "message", "attempt", "error", "result", "created", "started",
        "finished",
    }  # fmt: skip
    assert expected <= set(job)
    # A worker may have taken it before the reply was written.
    assert job["state"] in ("queued", "running")
    assert 0 <= job["progress"] < 1
    assert job["result"] is None
    again = client.post("/api/v1/jobs/", body(lab), format="json")
    assert (again.status_code, again.json()["id"]) == (200, job["id"])
    ended(Job.objects.get(pk=job["id"]))
    job = client.get(f"/api/v1/jobs/{job['id']}/").json()
    assert (job["state"], job["progress"], job["error"]) == ("succeeded", 1.0, "")
    result = client.get(f"/api/v1/results/{job['result']}/").json()
    assert result["metrics"]["mean"]["unit"] == "mV"
    (figure,) = result["figures"]
    for kind, start in (("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("data", b"{")):
        file = client.get(figure[kind])
        assert file.status_code == 200
        content = b"".join(file.streaming_content)
        assert content.startswith(start)
        assert int(file["Content-Length"]) == len(content)
    assert file["Content-Type"] == "application/json"
    (artifact,) = result["artifacts"]
    part = client.get(artifact["url"], headers={"Range": "bytes=0-5"})
    assert part.status_code == 206
    assert b"".join(part.streaming_content) == b"\x93NUMPY"
    assert part["Content-Range"] == f"bytes 0-5/{artifact['size']}"
    assert client.get(artifact["url"], headers={"Range": "bytes=99999999-"}).status_code == 416
    assert client.get(figure["png"].replace("values", "nothing")).status_code == 404
    assert client.get(figure["png"].replace(".png", ".gif")).status_code == 404
    repeated = client.post(f"/api/v1/results/{result['id']}/reproduce/")
    assert repeated.status_code == 201
    ended(Job.objects.get(pk=repeated.json()["id"]))
    # Nobody outside the project has any of it.
    stranger = client_of(lab.outsider)
    for url in (figure["png"], artifact["url"], f"/api/v1/results/{result['id']}/", f"/api/v1/jobs/{job['id']}/"):
        assert stranger.get(url).status_code == 404
    assert stranger.get("/api/v1/results/").json()["count"] == 0
    assert client_of(lab.viewer).get("/api/v1/results/").json()["count"] == 2


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"pipeline": "decode.everything"}, "pipeline", "There is no pipeline 'decode.everything'"),
        ({"recordings": []}, "recordings", "at least 1"),
        ({"recordings": ["rat"]}, "recordings[0]", "UUID"),
        ({"recordings": [UNKNOWN]}, "recordings", "There is no recording"),
        ({"parameters": {"window": 0}}, "parameters.window", "Write more than 0."),
        ({"parameters": {"window": "wide"}}, "parameters.window", "Write a number."),
        ({"parameters": {"widnow": 1}}, "parameters.widnow", "no such parameter; it has window, mode"),
        ({"parameters": {"mode": "mode", "shifts": 1.5}}, "parameters.shifts", "Write a whole number."),
        ({"parameters": []}, "parameters", "object"),
        ({"seed": -1}, "seed", "0"),
        ({"sead": 1}, "sead", "no such field"),
        ({"pipeline": "decode.position", "parameters": {}}, "recordings", "does not take lfp; it takes 1 units"),
    ],
)
def test_each_wrong_field_is_named(lab, changes, field, said):
    reply = client_of(lab.experimenter).post("/api/v1/jobs/", body(lab, **changes), format="json")
    assert reply.status_code == 400
    assert said in " ".join(reply.json()["errors"][field])
    assert not Job.objects.exists()


@pytest.mark.django_db
def test_counts_and_projects_of_the_inputs_are_checked(lab):
    client = client_of(lab.administrator)
    more = [str(record(lab.session, f"more{number}").pk) for number in range(2)]
    reply = client.post("/api/v1/jobs/", body(lab, recordings=[str(lab.recording.pk), *more]), format="json")
    assert "test.mean got 3 of lfp; it takes 1 to 2 lfp." in reply.json()["errors"]["recordings"]
    elsewhere = Session.objects.create(project=Project.objects.create(name="Other"), start=lab.session.start)
    other = record(elsewhere, "other")
    reply = client.post("/api/v1/jobs/", body(lab, recordings=[str(lab.recording.pk), str(other.pk)]), format="json")
    assert "different projects" in reply.json()["detail"]
    # Who does not belong to the other project is not told that the recording exists.
    reply = client_of(lab.experimenter).post("/api/v1/jobs/", body(lab, recordings=[str(other.pk)]), format="json")
    assert (reply.status_code, "There is no recording" in reply.json()["detail"]) == (400, True)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("who", "post", "read", "cancel"),
    [
        (None, 401, 401, 401),
        ("outsider", 400, 404, 404),
        ("viewer", 403, 200, 403),
        ("experimenter", 201, 200, 200),
        ("manager", 201, 200, 200),
        ("administrator", 201, 200, 200),
    ],
)
def test_roles(lab, who, post, read, cancel):
    job = submit(
        user=lab.administrator, pipeline="test.mean", recordings=[lab.recording.pk], parameters={"window": 9}
    ).job
    client = client_of(getattr(lab, who)) if who else APIClient()
    assert client.post("/api/v1/jobs/", body(lab), format="json").status_code == post
    assert client.get(f"/api/v1/jobs/{job.pk}/").status_code == read
    assert client.post(f"/api/v1/jobs/{job.pk}/cancel/").status_code == cancel
    if cancel == 200:
        assert client.post(f"/api/v1/jobs/{job.pk}/cancel/").status_code == 409
        job.refresh_from_db()
        assert job.state == JobState.CANCELLED


@pytest.mark.django_db
def test_lists_are_filtered_by_declared_fields_only(lab, django_assert_max_num_queries):
    client = client_of(lab.experimenter)
    for window in (1, 2, 3):
        client.post("/api/v1/jobs/", body(lab, parameters={"window": window}), format="json")
    job = Job.objects.first()
    with django_assert_max_num_queries(12):
        assert client.get("/api/v1/jobs/").json()["count"] == 3
    for query, count in (
        ("state=queued", 3),
        ("state=running", 0),
        ("state=running&state=queued", 3),
        ("pipeline=test.mean", 3),
        ("pipeline=test.gate", 0),
        (f"recording={lab.recording.pk}", 3),
        (f"recording={UNKNOWN}", 0),
        (f"project={lab.project.pk}", 3),
    ):
        assert client.get(f"/api/v1/jobs/?{query}").json()["count"] == count, query
    assert client.get("/api/v1/jobs/?stat=queued").status_code == 400
    assert client.get("/api/v1/jobs/?state=tired").status_code == 400
    assert client.get("/api/v1/jobs/?ordering=-created").json()["results"][0]["id"] == str(job.pk)
    assert client.get("/api/v1/jobs/nonsense/").status_code == 404
    assert client.get(f"/api/v1/results/?job={job.pk}").json()["count"] == 0


@pytest.mark.django_db
def test_a_repeated_post_with_its_key_happens_once(lab):
    client = client_of(lab.experimenter)
    key = {"Idempotency-Key": "the-same"}
    first = client.post("/api/v1/jobs/", body(lab, anew=True), format="json", headers=key)
    second = client.post("/api/v1/jobs/", body(lab, anew=True), format="json", headers=key)
    assert first.json()["id"] == second.json()["id"]
    assert Job.objects.count() == 1
    other = client.post("/api/v1/jobs/", body(lab, anew=True), format="json")
    assert other.json()["id"] != first.json()["id"]


@pytest.mark.django_db(transaction=True)
def test_the_same_request_in_many_threads_is_one_job(lab):
    replies = []
    together = threading.Barrier(6)

    def ask() -> None:
        together.wait()
        replies.append(submit(user=lab.experimenter, pipeline="test.mean", recordings=[lab.recording.pk]))
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({reply.job.pk for reply in replies}) == 1
    assert [reply.created for reply in replies].count(True) == 1
    assert Job.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_redis_that_is_away_does_not_fail_the_request(lab, settings):
    from labsite.celery import app

    reachable = app.conf.broker_url
    app.conf.broker_url = f"redis+socket://{Path(settings.LAB_RESULTS) / 'nobody.sock'}"
    try:
        reply = client_of(lab.experimenter).post("/api/v1/jobs/", body(lab), format="json")
    finally:
        app.conf.broker_url = reachable
    assert reply.status_code == 201
    job = Job.objects.get()
    assert (job.state, job.sent) == (JobState.QUEUED, None)


@pytest.mark.django_db
def test_the_schema_describes_all_of_it_without_warnings(lab):
    from drf_spectacular.drainage import GENERATOR_STATS
    from drf_spectacular.generators import SchemaGenerator

    GENERATOR_STATS.reset()
    with GENERATOR_STATS.silence():
        schema = SchemaGenerator().get_schema(request=None, public=True)
    told = [*GENERATOR_STATS._warn_cache, *GENERATOR_STATS._error_cache]
    assert [line for line in told if "analysis" in line] == []
    paths = schema["paths"]
    assert {"200", "201"} <= set(paths["/api/v1/jobs/"]["post"]["responses"])
    names = {parameter["name"] for parameter in paths["/api/v1/jobs/"]["get"]["parameters"]}
    assert {"state", "pipeline", "recording", "project"} <= names
    assert reverse("result-figure", args=[UNKNOWN, "a", "png"]).startswith("/api/v1/results/")
