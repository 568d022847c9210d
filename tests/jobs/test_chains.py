"""Chains: steps queued when what they wait for has succeeded, whoever dies in between."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from analysis.chains import advancing, selectors, services
from analysis.chains.models import Chain, ChainState, ChainStep, StepState
from analysis.jobs import transitions
from analysis.jobs.models import Job, JobState, Result
from analysis.services import submit
from sessions.errors import Conflict, Forbidden, Invalid, NotFound
from sessions.models import DataFile, Membership, Project, Recording, Session
from tests.jobs.conftest import alive, ended, pid_at, record
from tests.waiting import until

HOUR = timedelta(hours=1)
SESSION = {"kind": "lfp"}


def step(name: str, *inputs, pipeline: str = "test.mean", **parameters) -> dict:
    """A step of an own chain; an input is the name of a step, or the session's LFP."""
    made = [{"kind": "lfp", "step": one} if isinstance(one, str) else one for one in inputs]
    return {"name": name, "pipeline": pipeline, "inputs": made or [SESSION], "parameters": parameters}


def begin(lab, *steps, **more) -> Chain:
    (chain,) = services.start(user=lab.experimenter, sessions=[lab.session.pk], steps=list(steps), **more)
    return chain


def states(chain: Chain) -> dict[str, str]:
    return {one.name: selectors.shown_state(one) for one in chain.steps.select_related("job")}


def finished(chain: Chain, seconds: float = 60.0) -> Chain:
    def look() -> bool:
        advancing.sweep_chains()
        chain.refresh_from_db()
        return chain.finished is not None

    until(look, seconds, lambda: str(states(chain)))
    return chain


def pretend(job: Job, state: JobState, derived: Recording | None = None) -> None:
    """End a job as a worker would that is killed before it can move the chain on."""
    held = transitions.claim(job_id=job.pk, worker="doomed@test")
    with transaction.atomic():
        if state == JobState.SUCCEEDED:
            transitions.succeed(held)
            result = Result.objects.create(job=job, attempt=held.attempt, folder=f"{job.pk}/1")
            result.derived.set([derived] if derived else [])
        elif state == JobState.FAILED:
            transitions.fail(held, error="There is no signal.")
        else:
            transitions.cancel(job_id=job.pk)
            transitions.cancelled(held)


def job_of(chain: Chain, name: str) -> Job:
    return chain.steps.get(name=name).job


@pytest.mark.django_db(transaction=True)
def test_steps_run_after_each_other_on_what_the_ones_before_made_and_are_computed_once(lab, worker):
    steps = (step("smooth"), step("both", SESSION, "smooth", window=2))
    chain = begin(lab, *steps)
    assert states(chain)["smooth"] in ("queued", "running")
    assert states(chain)["both"] == "waiting"

    def look() -> bool:
        chain.refresh_from_db()
        return chain.finished is not None

    # Workers move the chain on by themselves; nothing sweeps here.
    until(look, 60.0, lambda: str(states(chain)))
    assert chain.state == ChainState.SUCCEEDED
    smoothed = job_of(chain, "smooth").result.derived.get()
    both = job_of(chain, "both")
    assert [row.recording for row in both.inputs.all()] == [lab.recording, smoothed]
    assert (both.parameters["window"], both.user) == (2, lab.experimenter)
    same = begin(lab, *steps)
    assert same.pk != chain.pk
    same.refresh_from_db()
    assert same.state == ChainState.SUCCEEDED
    assert [one.reused for one in same.steps.all()] == [True] * 2
    assert Job.objects.count() == 2
    anew = begin(lab, *steps, anew=True)
    assert job_of(anew, "smooth") != job_of(chain, "smooth")


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
def test_a_failed_step_stops_what_needs_it_and_can_be_tried_again_from_there(lab, worker):
    record(lab.session, "other")
    chosen = [lab.recording.pk]
    file = lab.recording.files.get()
    path = Path(file.root.path) / file.path
    kept = path.read_bytes()
    path.write_bytes(b"short")
    chain = finished(begin(lab, step("smooth"), step("next", "smooth"), step("last", "next"), recordings=chosen))
    assert chain.state == ChainState.FAILED
    assert states(chain) == {"smooth": "failed", "next": "stopped", "last": "stopped"}
    told = dict(chain.steps.values_list("name", "reason"))
    assert "has 5 bytes but had" in told["smooth"]
    assert told["next"] == "It needs the lfp that smooth makes, which failed."
    assert told["last"] == "It needs the lfp that next makes, which was stopped."
    with pytest.raises(Invalid, match="No step 'next' of the chain has failed"):
        services.try_again(user=lab.experimenter, chain=chain, step="next")
    path.write_bytes(kept)
    os.utime(path, (file.modified.timestamp(), file.modified.timestamp()))
    failed = job_of(chain, "smooth")
    again = services.try_again(user=lab.manager, chain=chain, step="smooth")
    assert again.state == ChainState.RUNNING
    assert finished(chain).state == ChainState.SUCCEEDED
    assert job_of(chain, "smooth") != failed
    assert job_of(chain, "last").user == lab.manager
    with pytest.raises(Conflict, match="Nothing of the chain failed"):
        services.try_again(user=lab.experimenter, chain=chain)


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
def test_cancel_ends_what_runs_and_what_waits(lab, worker, gate):
    chain = begin(lab, step("gate", pipeline="test.gate", folder=str(gate), makes=True), step("next", "gate"))
    pid = pid_at(gate)
    services.cancel(user=lab.experimenter, chain=chain)
    assert states(chain)["next"] == "cancelled"
    ended(job_of(chain, "gate"))
    assert finished(chain).state == ChainState.CANCELLED
    assert not alive(pid)
    with pytest.raises(Conflict, match="already ended: it is cancelled"):
        services.cancel(user=lab.experimenter, chain=chain)
    (gate / "go").touch()
    services.try_again(user=lab.experimenter, chain=chain)
    assert finished(chain).state == ChainState.SUCCEEDED


@pytest.mark.django_db
def test_a_cancel_leaves_what_others_wait_for(lab):
    mine = submit(user=lab.manager, pipeline="test.mean", recordings=[lab.recording.pk]).job
    one = begin(lab, step("smooth"), step("own", window=3))
    other = begin(lab, step("own", window=3))
    services.cancel(user=lab.experimenter, chain=one)
    one.refresh_from_db()
    assert one.state == ChainState.CANCELLED
    assert {row.reason for row in one.steps.all()} == {services.GOES_ON}
    mine.refresh_from_db()
    assert (mine.state, job_of(other, "own").state) == (JobState.QUEUED, JobState.QUEUED)
    services.cancel(user=lab.experimenter, chain=other)
    assert job_of(other, "own").state == JobState.QUEUED
    alone = begin(lab, step("alone", window=4))
    services.cancel(user=lab.experimenter, chain=alone)
    assert job_of(alone, "alone").state == JobState.CANCELLED


@pytest.mark.django_db
def test_what_a_killed_worker_did_not_move_on_the_sweep_does_once(lab):
    chain = begin(lab, step("a"), step("b", "a"), step("c", "b"))
    assert advancing.sweep_chains() == 0
    for name in ("a", "b", "c"):
        assert advancing.sweep_chains() == 0
        pretend(job_of(chain, name), JobState.SUCCEEDED, record(lab.session, f"of {name}"))
        assert advancing.sweep_chains() == 1
    chain.refresh_from_db()
    assert (chain.state, Job.objects.count()) == (ChainState.SUCCEEDED, 3)
    # One that was killed after its rows were written and before its first job was queued.
    Chain.objects.filter(pk=chain.pk).update(state=ChainState.RUNNING, finished=None)
    chain.steps.update(state=StepState.WAITING, job=None)
    assert advancing.sweep_chains() == 1
    chain.refresh_from_db()
    assert (chain.state, Job.objects.count()) == (ChainState.SUCCEEDED, 3)


@pytest.mark.django_db
def test_branches_do_not_wait_for_each_other(lab):
    chain = begin(lab, step("a"), step("b", window=2), step("of-a", "a"), step("of-b", "b"), step("ab", "a", "b"))
    assert states(chain) == {"a": "queued", "b": "queued", "of-a": "waiting", "of-b": "waiting", "ab": "waiting"}
    pretend(job_of(chain, "a"), JobState.FAILED)
    advancing.sweep_chains()
    assert states(chain) == {"a": "failed", "b": "queued", "of-a": "stopped", "of-b": "waiting", "ab": "stopped"}
    pretend(job_of(chain, "b"), JobState.SUCCEEDED, record(lab.session, "of b"))
    advancing.sweep_chains()
    assert states(chain)["of-b"] == "queued"
    services.try_again(user=lab.experimenter, chain=chain, step="a")
    assert states(chain) == {"a": "queued", "b": "succeeded", "of-a": "waiting", "of-b": "queued", "ab": "waiting"}
    pretend(job_of(chain, "a"), JobState.SUCCEEDED)
    advancing.sweep_chains()
    reason = chain.steps.get(name="ab").reason
    assert reason == "a succeeded but made no recording of lfp, which this step reads."
    pretend(job_of(chain, "of-b"), JobState.CANCELLED)
    advancing.sweep_chains()
    chain.refresh_from_db()
    assert chain.state == ChainState.FAILED


@pytest.mark.django_db(transaction=True)
def test_two_that_move_a_chain_at_the_same_time_queue_each_step_once(lab):
    chains = [begin(lab, step("a"), step("b", "a", window=2), step("c", "a", window=3)) for _ in range(2)]
    pretend(job_of(chains[0], "a"), JobState.SUCCEEDED, record(lab.session, "of a"))
    barrier = threading.Barrier(4)

    def move(chain: Chain) -> None:
        try:
            barrier.wait(20)
            advancing.advance(chain.pk)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=move, args=(chain,)) for chain in chains for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    advancing.sweep_chains()
    assert Job.objects.count() == 3
    for chain in chains:
        assert states(chain) == {"a": "succeeded", "b": "queued", "c": "queued"}


@pytest.mark.django_db
def test_steps_are_queued_with_the_roles_of_who_started_them(lab):
    for who, error in ((lab.viewer, Forbidden), (lab.outsider, Invalid)):
        with pytest.raises(error):
            services.start(user=who, sessions=[lab.session.pk], steps=[step("a")])
    chain = begin(lab, step("a"), step("b", "a"))
    for who, error in ((lab.viewer, Forbidden), (lab.outsider, NotFound)):
        with pytest.raises(error):
            services.cancel(user=who, chain=chain)
        with pytest.raises(error):
            services.try_again(user=who, chain=chain)
    pretend(job_of(chain, "a"), JobState.SUCCEEDED, record(lab.session, "of a"))
    Membership.objects.filter(user=lab.experimenter).update(role="viewer")
    advancing.sweep_chains()
    assert "You may see this but not change it" in chain.steps.get(name="b").reason
    lab.experimenter.delete()
    chain.refresh_from_db()
    services.try_again(user=lab.manager, chain=chain)
    Chain.objects.update(user=None)
    chain.steps.filter(name="b").update(state=StepState.WAITING, job=None)
    advancing.sweep_chains()
    assert chain.steps.get(name="b").reason == advancing.GONE
    assert set(chain.history.values_list("pgh_label", flat=True)) == {"insert", "update"}


WRONG = {
    "unknown chain": ({"chain": "nothing"}, "There is no chain 'nothing'; there are lfp-spikes"),
    "neither": ({}, "There is no chain ''"),
    "both": ({"chain": "theta", "steps": [step("a")]}, "not both"),
    "no steps": ({"steps": []}, "1 to 30 steps"),
    "bad name": ({"steps": [step("A b")]}, "'A b' is no name of a step"),
    "twice": ({"steps": [step("a"), step("a")]}, "Two steps have the name 'a'"),
    "a circle": ({"steps": [step("a", "b"), step("b", "a")]}, "reads what 'b' makes, which is no step before it"),
    "of itself": ({"steps": [step("a", "a")]}, "no step before it"),
    "no pipeline": ({"steps": [step("a", pipeline="no.such")]}, "There is no pipeline 'no.such'"),
    "kind": ({"steps": [step("a", {"kind": "video"})]}, "test.mean does not take video; it takes lfp"),
    "no kind": ({"steps": [step("a", {"kind": "smell"})]}, "there is no kind of recording 'smell'"),
    "missing input": (
        {"steps": [step("a", pipeline="decode.position") | {"inputs": [{"kind": "units"}]}]},
        "decode.position needs position, too",
    ),
    "no inputs": ({"steps": [step("a") | {"inputs": []}]}, "Step a reads nothing"),
    "input": ({"steps": [step("a") | {"inputs": [{"step": "b"}]}]}, "An input has a kind"),
    "step": ({"steps": [{"name": "a"}]}, "A step has a name"),
    "parameter": ({"steps": [step("a", window=40)]}, "Step a: parameters.window: Write at most 10."),
    "parameter of no step": ({"steps": [step("a")], "parameters": {"b": {}}}, "no step 'b'; it has a"),
    "parameters": ({"steps": [step("a") | {"parameters": [1]}]}, "an object of names and values"),
    "seed": ({"steps": [step("a")], "seed": -1}, "The seed is a whole number"),
    "no recording": ({"chain": "units-position"}, "It has no recording of raw voltage with files."),
    "unread": ({"steps": [step("a")], "recordings": [uuid4()]}, "reads no recording"),
    "unknown session": ({"steps": [step("a")], "sessions": [uuid4()]}, "There is no session"),
    "no session": ({"steps": [step("a")], "sessions": []}, "1 to 250 sessions"),
}


@pytest.mark.django_db
@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_told_before_anything_is_queued(lab, wrong):
    asked, sentence = WRONG[wrong]
    with pytest.raises(Invalid) as told:
        services.start(**{"user": lab.experimenter, "sessions": [lab.session.pk], **asked})
    assert sentence in told.value.detail
    assert told.value.errors
    assert not Chain.objects.exists()
    assert not Job.objects.exists()


@pytest.mark.django_db
def test_of_several_recordings_one_is_chosen_and_what_was_recorded_comes_first(lab):
    derived = record(lab.session, "made of it")
    derived.derived_from.add(lab.recording)
    chain = begin(lab, step("gate", pipeline="test.gate", folder="x", wait=False))
    assert [row.recording for row in job_of(chain, "gate").inputs.all()] == [lab.recording]
    chain = begin(lab, step("gate", pipeline="test.gate", folder="x", wait=False), recordings=[derived.pk])
    assert [row.recording for row in job_of(chain, "gate").inputs.all()] == [derived]
    record(lab.session, "second probe")
    with pytest.raises(Invalid, match=r"It has 2 recordings of LFP \(probe, second probe\): choose one."):
        begin(lab, step("gate", pipeline="test.gate", folder="x"))
    # Two are no more than test.mean takes.
    assert job_of(begin(lab, step("a")), "a").inputs.count() == 2


@pytest.mark.django_db
def test_a_hundred_sessions_are_started_together_or_not_at_all(lab):
    start = datetime(2026, 4, 1, tzinfo=UTC)
    sessions = Session.objects.bulk_create(
        Session(project=lab.project, title=f"run {n}", start=start + n * HOUR, end=start + n * HOUR) for n in range(100)
    )
    recordings = Recording.objects.bulk_create(
        Recording(session=one, kind="lfp", format="lfp-npz", name="probe") for one in sessions[:-1]
    )
    file = lab.recording.files.get()
    DataFile.objects.bulk_create(
        DataFile(recording=one, root=file.root, path=f"{one.pk}.npz", size=1, modified=file.modified)
        for one in recordings
    )
    asked = {"user": lab.experimenter, "sessions": [one.pk for one in sessions], "steps": [step("a"), step("b", "a")]}
    with pytest.raises(Invalid) as told:
        services.start(**asked)
    assert list(told.value.errors) == ["sessions[99]"]
    assert not Chain.objects.exists()
    started = services.start(**asked | {"sessions": asked["sessions"][:-1]})
    assert len({one.batch for one in started}) == 1
    assert Job.objects.count() == services.MOVED_AT_ONCE
    assert advancing.sweep_chains() == 99 - services.MOVED_AT_ONCE
    assert Job.objects.count() == 99
    counts = []
    for size in (10, 90):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            for chain in selectors.chains(lab.experimenter)[:size]:
                [selectors.shown_state(one) for one in chain.steps.all()]
                str(chain.session), list(chain.session.animals.all())
        counts.append(len(queries))
    assert counts[0] == counts[1]


@pytest.mark.django_db
def test_a_chain_goes_with_its_session_to_another_project(lab):
    chain = begin(lab, step("a"))
    other = Project.objects.create(name="Other")
    Session.objects.filter(pk=lab.session.pk).update(project=other)
    with pytest.raises(NotFound):
        selectors.chain(lab.experimenter, chain.pk)
    assert selectors.chain(lab.administrator, chain.pk).project == other


BROKEN = {
    "chain_state_known": (Chain, {"state": "asleep", "finished": datetime(2026, 1, 1, tzinfo=UTC)}),
    "chain_ended_has_time": (Chain, {"state": "failed"}),
    "chain_step_state_known": (ChainStep, {"state": "asleep"}),
    "chain_step_started_has_job": (ChainStep, {"state": "succeeded", "job": None}),
    "chain_step_waiting_has_no_job": (ChainStep, {"state": "waiting"}),
    "chain_step_failed_has_reason": (ChainStep, {"state": "failed", "reason": ""}),
}


@pytest.mark.django_db
@pytest.mark.parametrize("constraint", BROKEN)
def test_the_database_refuses_what_cannot_be(lab, constraint):
    begin(lab, step("a"))
    model, values = BROKEN[constraint]
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        model.objects.update(**values)


@pytest.mark.django_db
def test_time_left_is_the_longest_way_by_what_such_jobs_took_before(lab):
    chain = begin(lab, step("a"), step("b", "a", window=2), step("c", window=3))
    assert selectors.graph(selectors.chain(lab.experimenter, chain.pk)).left is None
    for seconds in (10, 20, 60):
        start = datetime(2026, 4, 1, tzinfo=UTC)
        Job.objects.create(
            project=lab.project, pipeline="test.mean", version="1", fingerprint=str(seconds), state="succeeded",
            started=start, finished=start + timedelta(seconds=seconds),
        )  # fmt: skip
    found = selectors.graph(selectors.chain(lab.experimenter, chain.pk))
    assert found.left.total_seconds() == 40
    assert [[node.step.name for node in layer] for layer in found.layers] == [["a", "c"], ["b"]]
    assert (found.done, found.steps) == (0, 3)
