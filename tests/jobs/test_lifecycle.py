"""A job from its request to its result, through real workers, and every way in which that can be disturbed."""

from __future__ import annotations

import hashlib
import os
import signal
from pathlib import Path

import pytest
import redis
from django.conf import settings

from analysis.jobs import transitions, wake
from analysis.jobs.models import Job, JobState, Result, Worker
from analysis.jobs.storing import store
from analysis.jobs.sweep import Sweep
from analysis.selectors import metrics
from analysis.services import cancel, reproduce, run_again, submit
from tests.jobs.conftest import alive, ended, hand_over, pid_at
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)


def queue_gate(lab, gate, **parameters) -> Job:
    parameters = {"folder": str(gate), **parameters}
    return submit(user=lab.experimenter, pipeline="test.gate", recordings=[lab.recording.pk], parameters=parameters).job


def test_a_job_runs_to_a_result_with_everything_that_is_needed_to_repeat_it(lab, worker):
    job, created = submit(user=lab.experimenter, pipeline="test.mean", recordings=[lab.recording.pk])
    assert created
    ended(job)
    assert (job.state, job.error, job.attempt, job.progress) == (JobState.SUCCEEDED, "", 1, 1.0)
    assert "1000 samples" in job.log
    assert "printed by the pipeline" in job.log
    result = job.result
    assert metrics(result)["mean"] == {
        "value": 1.0, "unit": "mV", "label": "mean value", "definition": "of all samples", "headline": True,
    }  # fmt: skip
    folder = settings.LAB_RESULTS / result.folder
    artifact = result.artifacts.get()
    stored = folder / "artifacts" / artifact.name
    assert artifact.sha256 == hashlib.sha256(stored.read_bytes()).hexdigest()
    assert artifact.size == stored.stat().st_size
    assert (folder / result.figures[0]["file"]).is_file()
    derived = result.derived.get()
    assert list(derived.derived_from.all()) == [lab.recording]
    file = derived.files.get()
    assert file.path.startswith(f"derived/{lab.recording.pk}/{job.pk}/1/")
    assert (Path(file.root.path) / file.path).is_file()
    came_from = result.provenance
    assert came_from["inputs"][0]["files"][0]["sha256"] == lab.recording.files.get().sha256
    assert came_from["environment"]["packages"]["numpy"]
    assert came_from["environment"]["threads"]["OMP_NUM_THREADS"] == str(max(1, len(os.sched_getaffinity(0)) // 2))
    assert came_from["parameters"] == {"window": 0.5, "mode": "mean", "shifts": 10, "rectify": False}
    assert came_from["code"]["commit"]
    assert came_from["worker"] == "shared@test"
    until(lambda: not list((settings.LAB_RESULTS / ".work").glob(f"{job.pk}-*")))


def test_the_same_request_again_is_the_same_job_and_anew_is_another_that_agrees(lab, worker):
    asked = {"user": lab.experimenter, "pipeline": "test.mean", "recordings": [lab.recording.pk]}
    first = submit(**asked).job
    assert submit(**asked) == (first, False)
    ended(first)
    assert submit(**asked) == (first, False)
    other = submit(**asked, parameters={"window": 0.25}).job
    assert other != first
    again = reproduce(user=lab.experimenter, result=first.result).job
    assert again != first
    ended(again)
    ended(other)
    assert again.reproduces == first.result
    assert again.result.metrics == first.result.metrics


FAILURES = {
    "sentence": ("The recording has 3 units; decoding needs at least 5.", ""),
    "exception": ("ValueError: bin 7 is empty", "Traceback"),
    "memory": ("ran out of memory", ""),
    "segfault": ("crashed inside compiled code (SIGSEGV)", ""),
    "disk": ("The disk for results is full", ""),
}


@pytest.mark.parametrize("how", FAILURES)
def test_a_failure_is_told_in_a_sentence(lab, worker, gate, how):
    sentence, logged = FAILURES[how]
    job = queue_gate(lab, gate, wait=False, fail=how)
    ended(job)
    assert job.state == JobState.FAILED
    assert sentence in job.error
    assert logged in job.log
    assert not Result.objects.exists()
    until(lambda: not list((settings.LAB_RESULTS / ".work").glob(f"{job.pk}-*")))
    assert run_again(user=lab.experimenter, job=job).created


def test_a_changed_input_file_fails_with_its_name(lab, worker):
    file = lab.recording.files.get()
    path = Path(file.root.path) / file.path
    path.write_bytes(b"\0" * path.stat().st_size)
    job = submit(user=lab.experimenter, pipeline="test.mean", recordings=[lab.recording.pk]).job
    ended(job)
    assert job.state == JobState.FAILED
    assert "probe.npz" in job.error
    assert "has changed since it was registered" in job.error
    path.write_bytes(b"short")
    again = run_again(user=lab.experimenter, job=job).job
    ended(again)
    assert "has 5 bytes but had" in again.error


def test_cancel_ends_a_queued_job_at_once_and_kills_what_runs(lab, worker, gate):
    queued = Job.objects.create(project=lab.project, pipeline="test.gate", version="1.0", queue="nobody")
    assert cancel(user=lab.experimenter, job=queued).state == JobState.CANCELLED
    job = queue_gate(lab, gate, fail="exception")
    pid = pid_at(gate)
    assert alive(pid)
    cancel(user=lab.experimenter, job=job)
    ended(job)
    assert job.state == JobState.CANCELLED
    assert not alive(pid)
    assert not Result.objects.exists()


def test_a_killed_worker_takes_its_child_along_and_the_job_ends_once_on_another(lab, workers, gate, shared_process):
    job = queue_gate(lab, gate)
    first = workers("first")
    pid = pid_at(gate)
    first.signal(signal.SIGKILL)
    until(lambda: not alive(pid))
    hand_over(job)
    sweep = Sweep()
    (gate / "go").touch()

    def look() -> bool:
        sweep()
        job.refresh_from_db()
        return job.finished is not None

    until(look)
    assert (job.state, job.attempt, job.lost, job.worker) == (JobState.SUCCEEDED, 2, 1, "shared@test")
    assert Result.objects.get().attempt == 2
    assert [path.name for path in (settings.LAB_RESULTS / str(job.pk)).iterdir()] == ["2"]


def test_a_job_that_loses_every_worker_fails_with_a_sentence(lab, gate):
    job = queue_gate(lab, gate)
    for attempt in range(1, 4):
        held = transitions.claim(job_id=job.pk, worker="doomed@test")
        assert held.attempt == attempt
        assert transitions.reap() == {"queued": 0, "failed": 0, "cancelled": 0}
        Job.objects.filter(pk=job.pk).update(heartbeat="2026-01-01T00:00Z")
        transitions.reap()
    job.refresh_from_db()
    assert (job.state, job.lost) == (JobState.FAILED, 3)
    assert "doomed@test was lost while it computed (3 times in all)" in job.error


def test_a_zombie_can_neither_beat_nor_store_nor_fail(lab, gate, tmp_path):
    job = queue_gate(lab, gate)
    zombie = transitions.claim(job_id=job.pk, worker="zombie@test")
    Job.objects.filter(pk=job.pk).update(heartbeat="2026-01-01T00:00Z")
    transitions.reap()
    heir = transitions.claim(job_id=job.pk, worker="heir@test")
    assert transitions.claim(job_id=job.pk, worker="third@test") is None
    assert transitions.beat(zombie) is None
    assert not transitions.fail(zombie, error="late")
    assert not transitions.give_back(zombie)
    work = tmp_path / "work"
    (work / "made").mkdir(parents=True)
    manifest = {"summary": "", "metrics": {}, "figures": [], "artifacts": [], "recordings": []}
    assert store(zombie, work, manifest, {}, "") is False
    assert not (settings.LAB_RESULTS / str(job.pk)).exists()
    assert transitions.beat(heir) is False
    job.refresh_from_db()
    assert (job.state, job.worker) == (JobState.RUNNING, "heir@test")


def test_a_stopped_worker_that_wakes_up_drops_its_computation(lab, workers, gate, shared_process):
    job = queue_gate(lab, gate)
    frozen = workers("frozen")
    pid = pid_at(gate)
    frozen.signal(signal.SIGSTOP)
    sweep = Sweep()
    hand_over(job)

    def taken_over() -> bool:
        sweep()
        job.refresh_from_db()
        return job.worker == "shared@test"

    until(taken_over)
    frozen.signal(signal.SIGCONT)
    until(lambda: not alive(pid))
    (gate / "go").touch()
    ended(job)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2)
    assert Result.objects.count() == 1


def test_a_worker_that_is_asked_to_end_gives_its_job_back(lab, workers, gate, shared_process):
    job = queue_gate(lab, gate)
    first = workers("first")
    pid = pid_at(gate)
    first.signal(signal.SIGTERM)
    assert first.wait() == 0
    assert not alive(pid)
    job.refresh_from_db()
    assert (job.state, job.lost, job.sent) == (JobState.QUEUED, 0, None)
    assert Worker.objects.get(name="first@test").stopped
    hand_over(job)
    assert wake.resend() == 1
    (gate / "go").touch()
    ended(job)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2)


def test_what_redis_forgot_is_sent_again(lab, workers):
    job = submit(user=lab.experimenter, pipeline="test.mean", recordings=[lab.recording.pk]).job
    job.refresh_from_db()
    assert job.sent is not None
    with redis.Redis.from_url(settings.LAB_REDIS_URL) as client:
        assert client.llen("cpu") == 1
        assert wake.resend() == 0
        client.flushdb()
    assert until(wake.resend) == 1
    workers()
    ended(job)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1)


def test_a_log_without_end_stays_bounded(lab, gate):
    job = queue_gate(lab, gate)
    held = transitions.claim(job_id=job.pk, worker="one@test")
    for number in range(30):
        transitions.beat(held, log=f"{number} " + "x" * 5000 + "\n")
    job.refresh_from_db()
    assert len(job.log) == transitions.LOG_CHARACTERS
    assert "29 x" in job.log
