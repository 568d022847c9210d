"""The process that looks after jobs: it finds the lost and the lost by itself."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from analysis.jobs import transitions
from analysis.jobs.models import Job, JobState
from labsite.management.commands import supervise as supervise_command
from labsite.management.commands.supervise import Duty
from labsite.stack import alive
from tests.jobs.conftest import ROOT, ended, hand_over, lab_environment
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def supervise(transactional_db, place) -> Iterator[subprocess.Popen]:
    with (place / "logs" / "supervise.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "supervise"],
            cwd=ROOT,
            stdout=log,
            stderr=log,
            env={**lab_environment(place), "LAB_SUPERVISE_PERIOD": "0.2", "LAB_JOB_RESEND": "0.5"},
        )
        yield process
        process.kill()
        process.wait(20)


def test_a_duty_that_rests_is_alive_and_one_that_hangs_is_not(monkeypatch):
    now = time.monotonic()
    rests = Duty("uploads", do=lambda: None, period=300.0, ended=threading.Event(), came_back=now)
    hangs = Duty("cameras", do=lambda: None, period=1.0, ended=threading.Event(), came_back=now)
    monkeypatch.setattr(supervise_command.time, "monotonic", lambda: now + 299)
    assert rests.alive
    assert not hangs.alive


def test_supervise_takes_jobs_from_the_lost_wakes_workers_and_ends_when_asked(lab, worker, supervise):
    parameters = {"window": 0.5, "mode": "mean", "shifts": 10, "rectify": False}
    lost = Job.objects.create(
        project=lab.project, pipeline="test.mean", version="1.0", queue="nobody", parameters=parameters
    )
    lost.inputs.create(recording=lab.recording, order=0)
    assert transitions.claim(job_id=lost.pk, worker="dead@test").attempt == 1
    Job.objects.filter(pk=lost.pk).update(heartbeat="2026-01-01T00:00Z")
    hand_over(lost)
    ended(lost)
    assert (lost.state, lost.attempt, lost.lost) == (JobState.SUCCEEDED, 2, 1)
    with alive.connect() as client:
        until(lambda: client.get(alive.key("supervise")))
    supervise.send_signal(signal.SIGTERM)
    assert supervise.wait(20) == 0
    with alive.connect() as client:
        assert client.get(alive.key("supervise")) is None
