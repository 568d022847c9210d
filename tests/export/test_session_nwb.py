"""A session's page, or REST, has a job write the session as NWB with what the catalog knows of it."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from analysis.jobs.models import Job, JobState
from analysis.nwb_export import queue_export
from analysis.pipelines import registry
from sessions import services
from sessions.errors import Invalid
from sessions.models import Implant, Species
from sessions.permissions import LABORATORY

pytestmark = pytest.mark.django_db
RULE = {"trials": {"start": "poke", "end": "leave", "outcomes": {"reward": "correct"}, "otherwise": "wrong"}}


@pytest.fixture
def session(lab, recording):
    """A session of the rat R214 with LFP, an implant and two trials."""
    services.update_animal(by=LABORATORY, animal=lab.animal, birth_date=date(2025, 12, 1), sex="F")
    services.add_entry(
        Implant, by=LABORATORY, animal=lab.animal, device="64-channel probe", region="CA1", implanted=date(2026, 1, 5)
    )
    lab.task.parameters = RULE
    lab.task.save()
    start = lab.session.start
    kinds = ((2, "poke"), (3, "reward"), (4, "leave"), (10, "poke"), (11, "leave"))
    services.add_events(
        by=LABORATORY, session=lab.session, events=[{"time": start + timedelta(seconds=s), "kind": k} for s, k in kinds]
    )
    return lab.session


def test_the_catalog_says_what_the_file_will(lab, session, recording):
    job, created = queue_export(user=lab.experimenter, session=session)
    assert created
    assert (job.pipeline, list(job.recordings.all())) == ("export.nwb", [recording])
    told = job.parameters
    # What the pipeline takes is what was gathered.
    assert registry.get("export.nwb").parameters.model_validate(told)
    days = (session.start.date() - date(2025, 12, 1)).days
    assert told["animal"] | {"description": ""} == {
        "identifier": "R214", "species": "Rattus norvegicus", "sex": "F", "age": f"P{days}D", "strain": "",
        "genotype": "", "description": "",
    }  # fmt: skip
    assert told["trials"] == [
        {"start": 2.0, "stop": 4.0, "outcome": "correct", "measures": {}},
        {"start": 10.0, "stop": 11.0, "outcome": "wrong", "measures": {}},
    ]
    (probe,) = told["probes"]
    assert (probe["name"], probe["location"], probe["recording"]) == ("64-channel probe", "CA1", str(recording.pk))
    assert told["keywords"] == ["odour sequence", "CA1"]
    assert told["identifier"] == str(session.pk)


def test_days_are_those_of_the_laboratory(lab, session, recording):
    # Noon in Greenwich is past midnight here, on the day of the surgery.
    with timezone.override("Pacific/Auckland"):
        day = timezone.localdate(session.start)
        assert day == session.start.date() + timedelta(days=1)
        Implant.objects.update(implanted=day)
        told = queue_export(user=lab.experimenter, session=session).job.parameters
    assert told["animal"]["age"] == f"P{(day - date(2025, 12, 1)).days}D"
    assert told["probes"][0]["location"] == "CA1"


def test_asked_again_it_is_the_same_job_until_the_catalog_changes(lab, session):
    first = queue_export(user=lab.experimenter, session=session).job
    again, created = queue_export(user=lab.experimenter, session=session)
    assert (again.pk, created) == (first.pk, False)
    services.update_animal(by=LABORATORY, animal=lab.animal, sex="M")
    assert queue_export(user=lab.experimenter, session=session).created


def test_the_page_and_rest_lead_to_the_job(lab, session):
    client = APIClient()
    client.force_login(lab.experimenter)
    address = reverse("session-page-nwb", args=[session.pk])
    assert f'action="{address}"' in client.get(f"/sessions/{session.pk}/").content.decode()
    assert client.post(address)["Location"] == f"/jobs/{Job.objects.get().pk}/"
    reply = client.post(f"/api/v1/sessions/{session.pk}/nwb/", {}, format="json")
    assert (reply.status_code, reply.json()["id"]) == (200, str(Job.objects.get().pk))


def test_what_nwb_cannot_say_is_told_in_one_sentence(lab, session):
    other = services.create_animal(by=LABORATORY, identifier="R215", project=lab.project, species=lab.rat)
    services.update_session(by=lab.experimenter, session=session, animals=[lab.animal, other])
    with pytest.raises(Invalid, match=r"one animal; this session has R214, R215\."):
        queue_export(user=lab.experimenter, session=session)
    services.update_session(by=lab.experimenter, session=session, animals=[lab.animal])
    Species.objects.filter(pk=lab.rat.pk).update(name="gerbil")
    with pytest.raises(Invalid, match="does not tell that of gerbil"):
        queue_export(user=lab.experimenter, session=session)
    client = APIClient()
    client.force_login(lab.experimenter)
    page = client.post(reverse("session-page-nwb", args=[session.pk]), follow=True).content.decode()
    assert "does not tell that of gerbil" in page
    assert not Job.objects.exists()


def test_a_session_without_recordings_has_nothing_to_export(lab):
    with pytest.raises(Invalid, match="no units, position or LFP"):
        queue_export(user=lab.experimenter, session=lab.session)


def test_a_recording_that_was_made_again_is_exported_once(lab, session, recording, put):
    original = queue_export(user=lab.experimenter, session=session).job
    copy = services.register_recording(
        by=lab.experimenter, session=session, kind="lfp", files=[{"path": put("again.npy")}], parameters={"rate": 1000}
    )
    Job.objects.filter(pk=original.pk).update(state=JobState.SUCCEEDED, started=session.start, finished=session.end)
    first = original.__class__.objects.get(pk=original.pk)
    from analysis.jobs.models import Result

    result = Result.objects.create(job=first, attempt=1, folder="first")
    again = Job.objects.create(
        project=lab.project, pipeline="ephys.lfp", version="1", fingerprint="e" * 64, state=JobState.SUCCEEDED,
        anew=True, reproduces=result, started=session.start, finished=session.end,
    )  # fmt: skip
    Result.objects.create(job=again, attempt=1, folder="again").derived.set([copy])
    assert list(queue_export(user=lab.experimenter, session=session).job.recordings.all()) == [recording]
