"""The instruments of the simulated boxes add what belongs to the sessions of people, once and of the right moments."""

from __future__ import annotations

import time
from datetime import timedelta

import numpy as np
import pytest
from django.utils import timezone

from analysis.jobs.models import Job, Result
from analysis.services import submit
from cameras.models import Camera, CameraRecording, RecordingState
from labsite.demo import pastsessions
from labsite.demo.acquisition import PAUSE, POSITION, RUNNING_MINUTES, RUNNING_TITLE, UNITS, Instruments
from labsite.demo.analyses import FOLLOWING
from labsite.demo.boxes import ODOUR_BOX, ROUND_BOX, TRACK_BOX
from labsite.demo.fieldsession import FieldSession
from labsite.demo.film import write_film
from labsite.demo.laboratory import ODOUR_TASK, furnish
from labsite.demo.pastsessions import FIELD_TITLE, MAIN_TITLE, RAW_TITLE, VIDEO, past_sessions
from labsite.demo.pastsessions import UNITS as MAIN_UNITS
from labsite.demo.rawtrack import RawTrack
from labsite.demo.recordings import write_position_npz, write_units_npz
from labsite.management.commands.simulate_acquisition import follow
from sessions.models import Rig, Session
from sessions.permissions import LABORATORY
from sessions.services.recordings import open_recording, register_recording
from sessions.services.sessions import end_session, start_session
from tests.waiting import until

pytestmark = pytest.mark.django_db


@pytest.fixture
def laboratory(settings, worlds, world_of):
    settings.LAB_HOME = worlds.parent
    for box in (TRACK_BOX, ODOUR_BOX):
        world_of(box.arena)
    return furnish(worlds.parent)


@pytest.fixture
def instruments(laboratory, worlds):
    return Instruments(worlds)


def recorded(session, seconds, *, state=RecordingState.FINISHED, ago=100.0):
    """A recording of the box's camera, as ingest leaves it."""
    start = timezone.now() - timedelta(seconds=ago)
    camera = Camera.objects.get(rig=session.rig)
    recording = open_recording(
        by=LABORATORY, session=session, kind="video", format="mjpeg-segments", name=camera.name, start=start
    )
    return CameraRecording.objects.create(
        camera=camera,
        session=session,
        recording=recording,
        state=state,
        folder=f"video/{recording.pk}",
        started=start,
        stopped=start + timedelta(seconds=seconds),
    )


def by_hand(laboratory, rig="Linear track", rat="R215", **more):
    return start_session(by=LABORATORY, rig=laboratory.rigs[rig], animals=[laboratory.animals[rat]], **more)


def test_a_recorded_session_gets_units_and_position_of_just_that_time_once(laboratory, instruments, settings, world_of):
    session = by_hand(laboratory)
    row = recorded(session, 20)
    added = instruments.add_recordings()
    assert {recording.name for recording in added} == {UNITS, POSITION}
    assert all(recording.simulated and recording.session == session for recording in added)
    assert all(recording.start == row.recording.start and recording.duration == 20 for recording in added)
    first, last = row.recording.start.timestamp(), row.stopped.timestamp()
    world = world_of(TRACK_BOX.arena)
    paths = {recording.kind: settings.LAB_DATA_ROOT / recording.files.get().path for recording in added}
    with np.load(paths["units"]) as units:
        truth = world.spikes(first, last)
        assert units["spike_times"] == pytest.approx(truth.time - first, abs=1e-6)
        assert np.array_equal(units["spike_units"], truth.unit)
    with np.load(paths["position"]) as position:
        assert position["x"] == pytest.approx(world.true_position(first, last).xy[:, 0])
    assert instruments.add_recordings() == []
    assert Instruments(instruments._folder).add_recordings() == []


def test_two_recordings_of_one_session_are_two_and_running_failed_or_empty_ones_give_none(laboratory, instruments):
    session = by_hand(laboratory)
    recorded(session, 10, ago=100)
    recorded(session, 12, ago=60)
    recorded(session, 0.5, ago=40)
    recorded(session, 10, ago=30, state=RecordingState.FAILED)
    recorded(session, 10, ago=20, state=RecordingState.STOPPING)
    added = instruments.add_recordings()
    assert sorted(recording.duration for recording in added) == [10, 10, 12, 12]


def test_a_box_that_is_not_simulated_gets_nothing(laboratory, instruments):
    session = by_hand(laboratory)
    recorded(session, 10)
    Rig.objects.filter(pk=session.rig_id).update(simulated=False)
    assert instruments.add_recordings() == []


def test_events_come_while_a_session_runs_and_none_twice(laboratory, instruments, worlds):
    session = by_hand(laboratory, rig="Odour box 1", rat="R221", start=timezone.now() - timedelta(seconds=200))
    began = session.start.timestamp()
    first = instruments.report_events(began + 100)
    second = instruments.report_events(began + 200)
    assert first > 10
    assert second > 10
    assert instruments.report_events(began + 200) == 0
    assert Instruments(worlds).report_events(began + 200) == 0, "after a restart the controller sends all again"
    assert session.events.count() == first + second
    end_session(by=LABORATORY, session=session)
    assert instruments.report_events(began + 300) == 0
    opening = session.events.order_by("time", "number").first()
    assert opening.kind == "poke_in"
    assert session.events.filter(kind="odour").order_by("time").first().value["odour"] == "A"


def test_an_odour_session_runs_by_itself_for_a_while_and_then_another_one(laboratory, instruments):
    now = timezone.now()
    session = instruments.keep_session(now)
    assert session.title == RUNNING_TITLE
    assert session.simulated
    assert session.task.name == ODOUR_TASK
    assert instruments.keep_session(now + timedelta(seconds=1)) is None
    instruments.report_events(time.time() + 60 * RUNNING_MINUTES)
    following = instruments.keep_session(now + timedelta(minutes=RUNNING_MINUTES, seconds=1))
    assert following is not None
    session.refresh_from_db()
    assert session.end == following.start


def test_one_that_an_earlier_start_left_running_ends_at_its_last_event(laboratory, instruments, worlds):
    now = timezone.now()
    session = instruments.keep_session(now - timedelta(hours=1))
    instruments.report_events((now - timedelta(minutes=30)).timestamp())
    last = session.events.latest("time").time
    assert Instruments(worlds).keep_session(now) is not None
    session.refresh_from_db()
    assert session.end == last


def test_who_ends_the_session_or_uses_the_box_has_it_for_himself_for_a_while(laboratory, instruments):
    now = timezone.now()
    session = instruments.keep_session(now)
    end_session(by=LABORATORY, session=session, end=now + timedelta(seconds=1))
    assert instruments.keep_session(now + timedelta(seconds=2)) is None
    mine = by_hand(laboratory, rig="Odour box 1", rat="R221", start=now + timedelta(seconds=10))
    assert instruments.keep_session(now + PAUSE * 3) is None
    end_session(by=LABORATORY, session=mine, end=now + PAUSE * 3)
    assert instruments.keep_session(now + PAUSE * 3 + timedelta(seconds=5)) is None
    assert instruments.keep_session(now + PAUSE * 4 + timedelta(seconds=5)) is not None
    assert Session.objects.filter(title=RUNNING_TITLE).count() == 2


def test_the_other_boxes_stay_free(laboratory, instruments):
    instruments.keep_session()
    running = Session.objects.filter(end__isnull=True)
    assert [session.rig.name for session in running] == ["Odour box 1"]


def test_what_was_tracked_is_decoded_once_it_is_there(laboratory, settings, world_of):
    session = past_sessions(laboratory)[MAIN_TITLE]
    world, root = world_of(TRACK_BOX.arena), settings.LAB_DATA_ROOT
    start = session.start.timestamp()
    write_units_npz(world, root / "units.npz", start=start, stop=start + 10)
    write_film(world.camera((160, 120)), root / "overhead.mp4", start=start, seconds=1, fps=15)
    write_position_npz(world, root / "tracked.npz", start=start, stop=start + 10)

    def registered(kind, name, path):
        return register_recording(by=LABORATORY, session=session, kind=kind, name=name, files=[{"path": path}])

    units, video = registered("units", MAIN_UNITS, "units.npz"), registered("video", VIDEO, "overhead.mp4")
    decoding, _ = FOLLOWING
    assert not follow(decoding), "it waits for the track"
    tracking = submit(user=laboratory.experimenter, pipeline="video.track", recordings=[video.pk]).job
    Job.objects.filter(pk=tracking.pk).update(state="succeeded", finished=timezone.now())
    result = Result.objects.create(job=tracking, attempt=1, folder="somewhere")
    result.derived.add(tracked := registered("position", "Overhead", "tracked.npz"))
    assert follow(decoding)
    assert follow(decoding)
    job = Job.objects.get(pipeline="decode.position")
    assert list(job.inputs.values_list("recording_id", flat=True)) == [units.pk, tracked.pk]
    assert job.parameters["shifts"] == 200


def test_a_chain_from_raw_voltage_to_position_is_started_once_when_nothing_else_is_computed(
    laboratory, worlds, settings
):
    session = past_sessions(laboratory)[RAW_TITLE]
    path = settings.LAB_DATA_ROOT / "lfp.npz"
    np.savez(path, lfp=np.zeros((5000, 1), "f4"), rate=np.array(1000.0))
    other = past_sessions(laboratory)[MAIN_TITLE]
    lfp = register_recording(by=LABORATORY, session=other, kind="lfp", files=[{"path": path.name}])
    job = submit(user=laboratory.experimenter, pipeline="lfp.ripples", recordings=[lfp.pk]).job
    raw = RawTrack(worlds, seconds=12)
    assert raw.go_on() is None
    assert raw.go_on() is None
    assert not (settings.LAB_DATA_ROOT / "demo").exists(), "it waits for the job"
    Job.objects.filter(pk=job.pk).update(state="cancelled", finished=timezone.now())
    chain = until(raw.go_on, 60, "the chain")
    assert chain.session == session
    assert {(row.kind, row.simulated, row.duration) for row in session.recordings.all()} == {
        ("ephys", True, 12), ("position", True, 12), ("units", True, 12),
    }  # fmt: skip
    steps = {step.name: step for step in chain.steps.all()}
    assert list(steps) == ["preprocess", "sort", "phase", "fields", "decode"]
    assert [steps[name].job.state for name in ("preprocess", "sort")] == ["queued", "queued"]
    assert steps["sort"].sources.get().recording.parameters["positions"][1] == [0, 25]
    assert raw.go_on() is None
    assert RawTrack(worlds, seconds=12).go_on() is None
    assert session.chains.count() == 1


def test_the_open_field_is_decoded_once_when_nothing_else_is_computed(laboratory, worlds, world_of, monkeypatch):
    world_of(ROUND_BOX.arena)
    monkeypatch.setattr(pastsessions, "RECORDED_SECONDS", 20.0)
    session = past_sessions(laboratory)[FIELD_TITLE]
    field = FieldSession(worlds)
    (job,) = until(field.go_on, 60, "the decoding of the open field")
    recordings = {recording.kind: recording for recording in session.recordings.all()}
    assert set(recordings) == {"units", "position"}
    assert all(recording.simulated and recording.duration == 20 for recording in recordings.values())
    assert (job.pipeline, job.parameters["arena"]) == ("decode.position", "open-field")
    assert set(job.inputs.values_list("recording_id", flat=True)) == {row.pk for row in recordings.values()}
    assert field.go_on() == []
    started_again = FieldSession(worlds)
    assert started_again.go_on() == [], "it waits for the job"
    Job.objects.filter(pk=job.pk).update(state="cancelled", finished=timezone.now())
    assert len(started_again.go_on()) == 1
    assert session.recordings.count() == 2
