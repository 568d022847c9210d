"""``kill -9`` of workers and of the supervisor while chains run: nothing is lost and nothing comes twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from django.db import connection, transaction

from analysis.chains.models import Chain, ChainState, ChainStep
from analysis.jobs.models import Job, JobState, Result
from sessions.models import Recording
from tests.jobs.conftest import ROOT, lab_environment
from tests.jobs.test_chains import begin, job_of, states, step
from tests.waiting import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]
KILLS, CHAINS = 4, 2
STEPS = (step("a"), step("b", "a"), step("c", "a", "b"))


@pytest.fixture
def supervisors(transactional_db, place) -> Iterator[Callable[[], subprocess.Popen]]:
    """Start supervisors that look after jobs and chains; all end with the test."""
    started: list[subprocess.Popen] = []
    environment = {**lab_environment(place), "LAB_SUPERVISE_PERIOD": "0.2", "LAB_JOB_RESEND": "0.5"}
    with (place / "logs" / "supervise.log").open("ab") as log:

        def start() -> subprocess.Popen:
            command = [sys.executable, "manage.py", "supervise"]
            started.append(subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=environment))
            return started[-1]

        yield start
        for process in started:
            process.kill()
            process.wait(20)


def waiting_for_locks() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return int(cursor.fetchone()[0])


def all_ended(chains: list[Chain], seconds: float) -> None:
    def look() -> bool:
        return not Chain.objects.filter(pk__in=[chain.pk for chain in chains], state=ChainState.RUNNING).exists()

    until(look, seconds, lambda: str([states(chain) for chain in chains]))


def check(chains: list[Chain]) -> None:
    """Every step has succeeded by one job of its own with one result, and each read what the one before made."""
    for chain in chains:
        chain.refresh_from_db()
        assert chain.state == ChainState.SUCCEEDED, list(chain.steps.values_list("name", "state", "reason"))
    steps = ChainStep.objects.filter(chain__in=chains)
    jobs = Job.objects.all()
    assert jobs.count() == len({step.job_id for step in steps}) == 3 * len(chains)
    assert set(jobs.values_list("state", flat=True)) == {JobState.SUCCEEDED}
    assert Result.objects.count() == jobs.count()
    assert Recording.objects.filter(made_by__isnull=False).count() == jobs.count()
    for chain in chains:
        made = [job_of(chain, name).result.derived.get() for name in ("a", "b")]
        assert [row.recording for row in job_of(chain, "c").inputs.all()] == made


def test_a_worker_killed_between_success_and_the_next_step_and_a_supervisor_killed_in_its_place(
    lab, workers, supervisors
):
    chain = begin(lab, *STEPS)
    with transaction.atomic():
        # Whoever wants to move the chain on has to wait for this row, with the success already written.
        Chain.objects.select_for_update().get(pk=chain.pk)
        first = workers("first")
        until(lambda: Job.objects.get().state == JobState.SUCCEEDED)
        until(waiting_for_locks)
        first.signal(signal.SIGKILL)
        first.wait()
        doomed = supervisors()
        # The backend of the killed worker still waits, too: it hears of its client's end when it gets the row.
        until(lambda: waiting_for_locks() > 1)
        doomed.kill()
        doomed.wait(20)
    assert states(chain) in ({"a": "succeeded", "b": "waiting", "c": "waiting"}, {
        "a": "succeeded", "b": "queued", "c": "waiting",
    })  # fmt: skip
    supervisors()
    workers("second")
    all_ended([chain], 60.0)
    check([chain])
    assert set(Job.objects.values_list("attempt", flat=True)) == {1}


def test_chains_outlive_random_kills(lab, workers, supervisors):
    # A step whose worker is lost more often than that would fail, and rightly so.
    Job._meta.get_field("max_attempts").default, usual = KILLS + 1, Job._meta.get_field("max_attempts").default
    try:
        chains = [begin(lab, *[one | {"parameters": {"window": n + 1}} for one in STEPS]) for n in range(CHAINS)]
    finally:
        Job._meta.get_field("max_attempts").default = usual
    chance = random.Random(7)
    running = {"one": workers("one"), "two": workers("two")}
    supervisor = supervisors()
    for number in range(KILLS):
        before = Job.objects.filter(state=JobState.SUCCEEDED).count()
        started = Job.objects.filter(state=JobState.RUNNING).count()

        def moved(before: int = before, started: int = started) -> bool:
            succeeded = Job.objects.filter(state=JobState.SUCCEEDED).count()
            return succeeded > before or Job.objects.filter(state=JobState.RUNNING).count() > started

        if not Chain.objects.filter(state=ChainState.RUNNING).exists():
            break
        until(moved, 60.0)
        if number % 3 == 2:
            supervisor.kill()
            supervisor.wait(20)
            supervisor = supervisors()
        else:
            name = chance.choice(list(running))
            running[name].signal(signal.SIGKILL)
            running[name].wait()
            running[name] = workers(name)
    assert number >= KILLS // 2
    all_ended(chains, 120.0)
    check(chains)
