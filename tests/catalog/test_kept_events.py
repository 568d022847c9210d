"""The events of a session become a recording that analyses read: once, and again when more were reported."""

from __future__ import annotations

import csv
from datetime import timedelta
from pathlib import Path

import pytest
from rest_framework.test import APIClient

from analysis.jobs.inputs import describe
from analysis.readers.frame import as_input
from analysis.readers.trials import read_events
from sessions import services
from sessions.errors import Conflict, Forbidden
from sessions.models import Recording
from tests.catalog.conftest import NOON

pytestmark = pytest.mark.django_db


def report(lab, *kinds: str, after: float = 0.0) -> None:
    services.add_events(
        by=lab.experimenter,
        session=lab.session,
        events=[
            {"time": NOON + timedelta(seconds=after + number + 0.25), "kind": kind,
             "value": {"odour": "B", "position": 2}, "source": "box-1", "number": round(after) + number}
            for number, kind in enumerate(kinds)
        ],
    )  # fmt: skip


def test_events_are_kept_as_a_table_that_readers_take(lab):
    report(lab, "poke_in", "odour", "poke_out")
    recording, made = services.keep_events(by=lab.experimenter, session=lab.session)
    assert made
    assert (recording.kind, recording.format, recording.start) == ("events", "csv", lab.session.start)
    assert recording.parameters == {"clock": "recording"}
    file = recording.files.get()
    assert file.sha256
    with (Path(file.root.path) / file.path).open() as table:
        assert [row["source"] for row in csv.DictReader(table)] == ["box-1"] * 3
    found = read_events(as_input(describe(recording)))
    assert [(event.time, event.kind) for event in found] == [(0.25, "poke_in"), (1.25, "odour"), (2.25, "poke_out")]
    assert (found[1].said["odour"], found[1].said["position"]) == ("B", 2)


def test_the_same_events_are_kept_once_and_later_ones_make_another(lab):
    with pytest.raises(Conflict, match="nothing to keep"):
        services.keep_events(by=lab.experimenter, session=lab.session)
    report(lab, "poke_in", "poke_out")
    first, _ = services.keep_events(by=lab.experimenter, session=lab.session)
    again, made = services.keep_events(by=lab.manager, session=lab.session)
    assert (again, made) == (first, False)
    report(lab, "reward", after=10)
    later, made = services.keep_events(by=lab.experimenter, session=lab.session)
    assert made
    assert later != first
    assert [file.size for r in (first, later) for file in r.files.all()] == sorted(
        file.size for r in (first, later) for file in r.files.all()
    )
    with pytest.raises(Forbidden):
        services.keep_events(by=lab.viewer, session=lab.session)


def test_a_file_that_an_interrupted_request_left_is_taken(lab, monkeypatch):
    report(lab, "poke_in", "poke_out")
    monkeypatch.setattr("sessions.services.eventfiles.register_recording", lambda **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        services.keep_events(by=lab.experimenter, session=lab.session)
    assert not Recording.objects.filter(kind="events").exists()
    monkeypatch.undo()
    recording, made = services.keep_events(by=lab.experimenter, session=lab.session)
    assert made
    folder = (Path(recording.files.get().root.path) / recording.files.get().path).parent
    assert [path.name for path in folder.iterdir()] == [Path(recording.files.get().path).name]


def test_over_rest_the_recording_comes_back_and_on_the_page_it_is_led_to(lab, client):
    rest = APIClient()
    rest.force_authenticate(lab.experimenter)
    url = f"/api/v1/sessions/{lab.session.pk}/keep-events/"
    assert rest.post(url).status_code == 409
    report(lab, "poke_in", "poke_out")
    first, second = rest.post(url), rest.post(url)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    assert first.json()["kind"] == "events"
    client.force_login(lab.experimenter)
    page = client.get(f"/sessions/{lab.session.pk}/")
    assert "Keep as a recording" in page.content.decode()
    led = client.post(f"/sessions/{lab.session.pk}/keep-events/", follow=True)
    assert led.redirect_chain[0][0] == f"/recordings/{first.json()['id']}/"
    assert "are a recording already" in led.content.decode()
