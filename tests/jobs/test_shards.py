"""Wide jobs in parts: the same result however they are split, whoever dies, and with one slot as with many."""

from __future__ import annotations

import signal
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from analysis import selectors
from analysis.agreement import agreement
from analysis.jobs import sharding, transitions
from analysis.jobs.models import ENDED, Job, JobState, Result, Worker
from analysis.jobs.sweep import Sweep
from analysis.services import cancel, follow_session, reproduce, run_again, submit
from sessions.errors import Conflict, NotFound
from sessions.models import Project
from sessions.permissions import LABORATORY
from sessions.services import register_recording
from tests.jobs.conftest import alive, ended, pid_at
from tests.methods.conftest import run_laps
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)


def queue(lab, gate, **parameters) -> Job:
    parameters = {"folder": str(gate), **parameters}
    return submit(
        user=lab.experimenter, pipeline="test.items", recordings=[lab.recording.pk], parameters=parameters, seed=5
    ).job


def numbers(job: Job) -> list[float]:
    return np.load(settings.LAB_RESULTS / job.result.folder / "artifacts" / "all.npy").ravel().tolist()


def drawn(count: int = 12) -> list[float]:
    return [np.random.default_rng([5, item]).random() for item in range(count)]


def split_by_hand(job: Job, *items: range) -> list[Job]:
    """Split a queued job as a worker does, without one."""
    held = transitions.claim(job_id=job.pk, worker="splitter@test")
    sharding.split(held, job.queue, list(items))
    job.refresh_from_db()
    return list(job.shards.order_by("shard_start"))


def swept(job: Job, seconds: float = 60.0) -> Job:
    """Wait until a job has ended while somebody looks after all jobs."""
    sweep = Sweep()

    def look() -> bool:
        sweep()
        job.refresh_from_db()
        return job.finished is not None

    until(look, seconds, lambda: str(list(job.shards.values_list("state", "worker", "progress", "error"))))
    return job


def test_a_wide_job_is_computed_in_parts_and_its_pages_and_lists_show_one_job(lab, worker, gate, client):
    job = queue(lab, gate, waits_at=3, least=6)
    pid_at(gate)
    until(lambda: job.shards.filter(state=JobState.SUCCEEDED).exists())

    def told() -> bool:
        job.refresh_from_db()
        return job.message == "1 of 2 parts computed"

    until(told)
    assert (job.state, job.worker) == (JobState.SPLIT, "shared@test")
    assert 0.45 <= job.progress < 0.9
    assert [(shard.shard_start, shard.shard_stop) for shard in selectors.shards(job)] == [(0, 6), (6, 12)]
    client.force_login(lab.viewer)
    page = client.get(f"/jobs/{job.pk}/").content.decode()
    assert "1 of 2 parts computed" in page
    part = job.shards.get(shard_start=0)
    assert f'href="/jobs/{part.pk}/"' in page
    of_part = client.get(f"/jobs/{part.pk}/").content.decode()
    assert "items 0 to 5" in of_part
    assert f'href="/jobs/{job.pk}/"' in of_part
    (gate / "go").touch()
    ended(job)
    assert (job.state, job.error, job.attempt, job.progress) == (JobState.SUCCEEDED, "", 2, 1.0)
    assert numbers(job) == drawn()
    assert [shard["items"] for shard in job.result.provenance["shards"]] == [[0, 6], [6, 12]]
    assert list(selectors.jobs(lab.viewer)) == [job]
    assert list(selectors.results(lab.viewer)) == [job.result]
    with pytest.raises(NotFound):
        selectors.result(lab.viewer, part.result.pk)
    assert client.get("/api/v1/jobs/").json()["count"] == 1
    parts = client.get(f"/api/v1/jobs/?parent={job.pk}").json()["results"]
    assert {row["id"] for row in parts} == {str(shard.pk) for shard in job.shards.all()}
    assert {row["result"] for row in parts} == {None}
    assert f'href="/jobs/{part.pk}/"' in client.get(f"/jobs/{job.pk}/").content.decode()


def test_a_cancel_ends_every_part_and_a_part_is_nobodys_to_cancel(lab, worker, gate):
    job = queue(lab, gate, waits_at=0)
    pid = pid_at(gate)
    part = job.shards.get(shard_start=0)
    with pytest.raises(Conflict, match="part of another job"):
        cancel(user=lab.experimenter, job=part)
    job.refresh_from_db()
    assert cancel(user=lab.experimenter, job=job).state == JobState.CANCELLED
    until(lambda: not job.shards.exclude(state__in=ENDED).exists())
    assert not alive(pid)
    assert not Result.objects.exclude(job__parent=job).exists()
    part.refresh_from_db()
    with pytest.raises(Conflict, match="part of another job"):
        run_again(user=lab.experimenter, job=part)


def test_a_part_that_fails_ends_the_job_with_its_sentence_and_the_other_parts(lab, worker, gate):
    job = ended(queue(lab, gate, waits_at=0, bad=7, least=6))
    assert job.state == JobState.FAILED
    assert job.error == "Part 2 of 2 failed: Item 7 has no spikes."
    until(lambda: not job.shards.exclude(state__in=ENDED).exists())
    assert job.shards.get(shard_start=0).state == JobState.CANCELLED
    assert run_again(user=lab.experimenter, job=job).created


def test_a_part_that_loses_every_worker_fails_as_its_attempts_say_and_then_its_parent(lab, gate):
    job = queue(lab, gate)
    first, second = split_by_hand(job, range(6), range(6, 12))
    assert job.state == JobState.SPLIT
    for _ in range(first.max_attempts):
        transitions.claim(job_id=first.pk, worker="doomed@test")
        Job.objects.filter(pk=first.pk).update(heartbeat=timezone.now() - timedelta(hours=1))
        assert sharding.sweep() == 0
        transitions.reap()
    assert sharding.sweep() == 1
    job.refresh_from_db()
    assert job.state == JobState.FAILED
    assert job.error.startswith("Part 1 of 2 failed: The worker doomed@test was lost")
    second.refresh_from_db()
    assert second.state == JobState.CANCELLED
    assert sharding.sweep() == 0


def test_a_lost_splitter_a_cancel_in_between_and_a_late_one_make_no_parts(lab, gate):
    job = queue(lab, gate)
    zombie = transitions.claim(job_id=job.pk, worker="zombie@test")
    Job.objects.filter(pk=job.pk).update(heartbeat=timezone.now() - timedelta(hours=1))
    transitions.reap()
    heir = transitions.claim(job_id=job.pk, worker="heir@test")
    assert transitions.split(zombie, [range(6), range(6, 12)]) == []
    transitions.cancel(job_id=job.pk)
    sharding.split(heir, job.queue, [range(6), range(6, 12)])
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED
    assert not job.shards.exists()


def test_the_database_keeps_parts_apart(lab, gate):
    job = queue(lab, gate)
    _, second = split_by_hand(job, range(6), range(6, 12))
    parts = Job.objects.filter(pk=second.pk)
    for wrong in ({"shard_start": 5}, {"shard_start": 12}, {"shard_stop": None}, {"parent": None}, {"state": "split"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            parts.update(**wrong)
    with pytest.raises(IntegrityError), transaction.atomic():
        Job.objects.filter(pk=job.pk).update(shard_start=0, shard_stop=1)
    other = Project.objects.create(name="Elsewhere")
    lab.session.project = other
    lab.session.save()
    assert follow_session(session=lab.session) == 1
    assert set(Job.objects.values_list("project", flat=True)) == {other.pk}


def test_a_job_is_split_only_where_it_is_worth_it():
    from analysis.pipelines import registry

    def sizes(name: str, slots: int, **parameters) -> list[int]:
        return [len(items) for items in sharding.parts(registry.get(name), parameters, slots)]

    assert sizes("test.items", 1, folder="") == []
    assert sizes("test.items", 2, folder="") == [3, 3, 3, 3]
    assert sizes("test.items", 2, folder="", count=3) == [1, 1, 1]
    assert sizes("test.items", 4, folder="", least=7) == []
    assert sum(sizes("test.items", 300, folder="", count=10_000)) == 10_000
    assert sizes("test.mean", 8) == []
    assert sizes("stats.permutation", 4, decoder="bayesian", permutations=1000) == [500, 500]
    assert sizes("stats.permutation", 4, decoder="state-space", permutations=80) == [10] * 8


@pytest.fixture
def track(lab) -> list:
    """Units and positions of a simulated animal, in the catalog."""
    laps = run_laps(duration=240.0, units=12)
    root = Path(settings.LAB_DATA_ROOT)
    np.savez(root / "units.npz", spike_times=laps.spike_times, spike_units=laps.spike_units)
    np.savez(root / "position.npz", time=laps.time, x=laps.percent * 1.5, y=np.full(laps.time.size, 3.0), unit="cm")
    return [
        register_recording(
            by=LABORATORY,
            session=lab.session,
            kind=kind,
            files=[{"root": "default", "path": f"{kind}.npz"}],
            name=kind,
        ).pk
        for kind in ("units", "position")
    ]


def table(job: Job) -> bytes:
    return (settings.LAB_RESULTS / job.result.folder / "artifacts" / "permutations.csv").read_bytes()


@pytest.mark.long
def test_p_is_the_same_to_the_digit_on_one_worker_on_two_and_when_one_of_them_is_killed(lab, workers, track):
    asked = {"decoder": "ridge", "permutations": 32, "align": "times", "folds": 5}
    alone = workers("alone", slots=1)
    job = submit(user=lab.experimenter, pipeline="stats.permutation", recordings=track, parameters=asked, seed=3).job
    swept(job)
    assert (job.state, job.error) == (JobState.SUCCEEDED, "")
    assert not job.shards.exists()
    alone.signal(signal.SIGTERM)
    alone.wait()
    assert 0 < job.result.metrics["p"]["value"] <= 1

    two = [workers("first"), workers("second")]
    until(lambda: sharding.slots("cpu") == 4)
    four = swept(reproduce(user=lab.experimenter, result=job.result).job)
    assert four.shards.count() == 8
    assert set(four.shards.values_list("worker", flat=True)) == {"first@test", "second@test"}

    killed = reproduce(user=lab.experimenter, result=job.result).job
    computing = killed.shards.filter(state=JobState.RUNNING, worker="first@test")
    until(computing.filter(progress__gt=0).exists, 60.0)

    def held_in_the_middle() -> bool:
        two[0].signal(signal.SIGSTOP)
        if computing.exists():
            return True
        two[0].signal(signal.SIGCONT)
        return False

    until(held_in_the_middle, 60.0)
    two[0].signal(signal.SIGKILL)
    two[0].wait()
    swept(killed)
    assert max(killed.shards.values_list("attempt", flat=True)) > 1
    for other in (four, killed):
        assert (other.state, other.error) == (JobState.SUCCEEDED, "")
        assert table(other) == table(job)
        assert all(row.now == row.then for row in agreement(other.result))


@pytest.mark.long
def test_one_worker_with_one_slot_gets_to_the_end_of_what_was_split_for_many(lab, workers, gate):
    Worker.objects.create(
        name="gone@test", queues=["cpu"], slots=7, started=timezone.now(), seen=timezone.now() + timedelta(hours=1)
    )
    job = queue(lab, gate, least=3)
    workers("alone", slots=1)
    swept(job)
    assert (job.state, job.error) == (JobState.SUCCEEDED, "")
    assert job.shards.count() == 4
    assert set(job.shards.values_list("worker", flat=True)) == {"alone@test"}
    assert numbers(job) == drawn()
