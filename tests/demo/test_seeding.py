"""The simulated laboratory is filled once, is complete, and says everywhere that it is simulated."""

from __future__ import annotations

import json
import re
import stat
from io import StringIO

import numpy as np
import pytest
from django.apps import apps
from django.core.management import call_command
from django.utils import timezone

from analysis.jobs.inputs import describe
from analysis.jobs.models import Job
from analysis.readers.frame import as_input
from cameras.agent.config import from_toml
from cameras.agent.sources import open_source
from cameras.models import Camera
from labsite.demo import making, pastsessions
from labsite.demo.boxes import BOXES, ODOUR_BOX, ODOUR_BOX_TWO, TRACK_BOX
from labsite.demo.laboratory import RATS, furnish
from labsite.demo.pastsessions import (
    BOX_PULSES,
    CLOCKS_TITLE,
    EVENTS,
    MAIN_TITLE,
    PROBE_PULSES,
    WEEK,
    past_clocks,
    past_events,
    past_sessions,
)
from labsite.demo.processes import processes
from labsite.demo.world import is_made
from sessions.models import Animal, Event, Project, Recording, Rig, Session
from sessions.tokens import digest_of
from tests.methods.running import run_pipeline

pytestmark = pytest.mark.django_db
ODOURS = "ABCDE"


@pytest.fixture
def home(settings, worlds):
    """A LAB_HOME whose worlds the other tests have made, or will use."""
    settings.LAB_HOME = worlds.parent
    return worlds.parent


def everything() -> dict[str, str]:
    """All rows of the project's own apps, as text."""
    return {
        model._meta.label: json.dumps(sorted(map(str, model.objects.order_by("pk").values_list())))
        for app in ("lab", "cameras", "analysis", "auth")
        for model in apps.get_app_config(app).get_models()
    }


@pytest.mark.long
def test_seeding_fills_the_laboratory_and_a_second_time_changes_nothing(home, settings, monkeypatch):
    monkeypatch.setattr(pastsessions, "RECORDED_SECONDS", 30.0)
    monkeypatch.setattr(pastsessions, "VOLTAGE_SECONDS", 3.0)
    call_command("seed_demo", stdout=StringIO())
    before = everything()
    kept = {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()}

    assert Animal.objects.count() == len(RATS)
    assert Session.objects.count() == len(WEEK)
    assert all(is_made(home / "demo", box.arena) for box in BOXES)
    session = Session.objects.get(title=MAIN_TITLE)
    recordings = {recording.kind: recording for recording in session.recordings.all()}
    assert set(recordings) == {"units", "position", "video", "ephys"}
    assert len({recording.start for recording in recordings.values()}) == 1
    for recording in recordings.values():
        file = recording.files.get()
        assert (settings.LAB_DATA_ROOT / file.path).stat().st_size == file.size
    assert recordings["units"].format == "nwb"
    assert recordings["video"].facts["frames"] == 450
    jobs = list(Job.objects.order_by("created").values_list("pipeline", "state"))
    assert jobs == [
        ("decode.position", "queued"),
        ("video.track", "queued"),
        ("ephys.overview", "queued"),
        ("ephys.lfp", "queued"),
        ("ephys.spikes", "queued"),
        ("events.trials", "queued"),
        ("sync.align", "queued"),
        ("decode.sequence", "queued"),
    ]
    assert Job.objects.get(pipeline="decode.position").parameters["shifts"] == 200

    # Nothing here may be taken for an animal that lived.
    for model in (Rig, Session, Recording, Camera):
        assert model.objects.filter(simulated=False).count() == 0, model
        assert model.objects.exists(), model
    assert all("imulated" in project.name + project.description for project in Project.objects.all())
    assert all("simulated" in animal.notes for animal in Animal.objects.all())

    call_command("seed_demo", stdout=StringIO())
    assert everything() == before
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()} == kept


def test_what_only_the_owner_may_read_only_the_owner_can(home):
    furnish(home)
    secrets = [*(home / "demo").glob("*.token"), *(home / "demo").glob("*-password")]
    assert len(secrets) == len(BOXES) + 2
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in secrets)
    for box in BOXES:
        token = (home / "demo" / box.token_name).read_text().strip()
        assert Camera.objects.get(slug=box.camera).token_digest == digest_of(token)


def test_a_camera_whose_token_was_lost_gets_another_that_works(home):
    furnish(home)
    file = home / "demo" / ODOUR_BOX.token_name
    lost = file.read_text()
    file.unlink()
    furnish(home)
    assert file.read_text() != lost
    assert Camera.objects.get(slug=ODOUR_BOX.camera).token_digest == digest_of(file.read_text().strip())


def test_sessions_are_of_the_past_and_each_has_its_animal_rig_task_and_people(home):
    sessions = past_sessions(furnish(home))
    now = timezone.now()
    days = {session.start.date() for session in sessions.values()}
    assert len(days) >= 6
    for session in sessions.values():
        assert session.start < session.end < now
        assert session.rig
        assert session.task
        assert session.animals.count() == session.people.count() == 1
        assert session.animals.get().project == session.project
    lap = [s.number for s in sorted(sessions.values(), key=lambda s: s.start) if s.title.startswith("R215")]
    assert lap == list(range(1, len(lap) + 1))


def test_odour_sessions_have_the_events_of_the_task(home, world_of):
    for box in (ODOUR_BOX, ODOUR_BOX_TWO):
        world_of(box.arena)
    sessions = past_sessions(furnish(home))
    past_events(sessions, home / "demo")
    told = [session for session in sessions.values() if session.events.exists()]
    assert len(told) == 2
    for session in told:
        events = list(session.events.order_by("time", "number"))
        assert all(session.start <= event.time < session.end for event in events)
        assert len({event.number for event in events}) == len(events)
        assert all("simulated" in event.source for event in events)
        pokes = [event.kind for event in events if event.kind.startswith("poke")]
        assert pokes[::2] == ["poke_in"] * len(pokes[::2])
        assert pokes[1::2] == ["poke_out"] * len(pokes[1::2])
        trials = [event.value for event in events if event.kind == "trial"]
        assert [trial["trial"] for trial in trials] == list(range(1, len(trials) + 1))
        assert len(trials) > 150
        for trial in trials:
            assert trial["odour"] in ODOURS
            assert trial["in_sequence"] == (ODOURS[trial["position"] - 1] == trial["odour"])
            assert trial["correct"] == ((trial["held_s"] >= 1.2) == trial["in_sequence"])
        first = [trial for trial in trials if trial["position"] == 1]
        assert [trial["sequence"] for trial in first] == list(range(1, len(first) + 1))
        inside = [trial["correct"] for trial in trials if trial["in_sequence"]]
        outside = [trial["correct"] for trial in trials if not trial["in_sequence"]]
        assert len(inside) > 4 * len(outside) > 0
        assert 0.78 <= np.mean(inside + outside) <= 0.96
        kinds = [event.kind for event in events]
        assert kinds.count("reward") == sum(trial["correct"] for trial in trials)
        assert kinds.count("error_tone") == len(trials) - kinds.count("reward")
    count = Event.objects.count()
    past_events(sessions, home / "demo")
    assert Event.objects.count() == count


def test_the_clocks_of_one_odour_session_can_be_aligned_and_its_events_are_trials(home, world_of, tmp_path):
    for box in (ODOUR_BOX, ODOUR_BOX_TWO):
        world_of(box.arena)
    sessions = past_sessions(furnish(home))
    past_events(sessions, home / "demo")
    found = past_clocks(sessions)
    assert past_clocks(sessions) == found
    assert all(recording.simulated for recording in found.values())
    probe, controller, events = (as_input(describe(found[name])) for name in (PROBE_PULSES, BOX_PULSES, EVENTS))
    output, _ = run_pipeline("sync.align", tmp_path / "clocks", probe, controller)
    assert output.metrics["drift"].value == pytest.approx(40, abs=1)
    assert output.metrics["offset"].value == pytest.approx(3.2, abs=1e-3)
    assert output.metrics["largest_residual"].value <= 1
    assert output.metrics["lost_reference"].value > 0
    output, _ = run_pipeline("events.trials", tmp_path / "trials", events)
    verdicts = sessions[CLOCKS_TITLE].events.filter(kind="trial")
    assert output.metrics["trials"].value == verdicts.count()
    right = np.mean([event.value["correct"] for event in verdicts])
    assert output.metrics["correct"].value == pytest.approx(100 * right)


def test_one_agent_runs_all_cameras_on_the_worlds_of_their_boxes(home, world_of):
    furnish(home)
    agent, instruments = processes(home, 8700, 8701)
    assert agent.argv[1:4] == ("-m", "cameras.agent", "--config")
    assert instruments.argv[-1] == "simulate_acquisition"
    cameras = from_toml(home / "demo" / "cameras.toml")
    assert {camera.slug for camera in cameras} == set(Camera.objects.values_list("slug", flat=True))
    for camera, box in zip(cameras, BOXES, strict=True):
        world = world_of(box.arena)
        assert camera.url == f"ws://127.0.0.1:8701/ws/cameras/{box.camera}/ingest/"
        source = open_source(camera.source, fps=1000, size=camera.size)
        picture, captured = source.read(3)
        assert source.simulated
        same = world.camera(box.size, seed=box.arena.seed).picture(captured, 3)
        assert np.array_equal(picture, same), "the live picture is that of the world at its capture time"


def test_what_cannot_be_made_says_why(tmp_path):
    in_the_way = tmp_path / "worlds"
    in_the_way.write_text("not a folder")
    with making.Makers(1) as makers, pytest.raises(making.MakingError, match=re.escape(str(in_the_way))):
        makers.submit(making.world, TRACK_BOX, in_the_way).result()
