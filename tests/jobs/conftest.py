"""A laboratory with one recording, and real Celery workers that compute on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import redis
from django.conf import settings as configured
from django.contrib.auth import get_user_model
from django.db import connection
from psycopg.conninfo import make_conninfo

from analysis.jobs.models import Job, JobState, Worker
from analysis.pipelines import registry
from sessions.models import Membership, Project, Session
from sessions.permissions import LABORATORY
from sessions.services import register_recording
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
ENTRY_POINTS = """[labsite.pipelines]
test.mean = tests.jobs.pipelines:Mean
test.gate = tests.jobs.pipelines:Gate
test.items = tests.jobs.pipelines:Items
"""


def ended(job: Job, seconds: float = 30.0) -> Job:
    """Wait until a job has ended."""

    def look() -> bool:
        job.refresh_from_db()
        return job.finished is not None

    until(look, seconds)
    return job


def running(job: Job, seconds: float = 30.0) -> Job:
    """Wait until a job runs."""

    def look() -> bool:
        job.refresh_from_db()
        return job.state == JobState.RUNNING

    until(look, seconds)
    return job


def alive(pid: int) -> bool:
    """Whether a process runs (one that ended and was not waited for does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


@pytest.fixture(scope="session")
def place(tmp_path_factory) -> Path:
    """The folder of all tests of jobs: data root, results, and a package with the small pipelines.

    The package is installed as a laboratory would install its own: found by its entry points.
    """
    folder = tmp_path_factory.mktemp("jobs")
    for name in ("data", "results", "logs"):
        (folder / name).mkdir()
    package = folder / "site" / "ourlab_pipelines-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: ourlab-pipelines\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder


@pytest.fixture(autouse=True)
def fast(settings, place, folders, monkeypatch) -> Iterator[None]:
    """Small pipelines, folders that the workers share, and a laboratory that loses patience within seconds."""
    settings.LAB_DATA_ROOT = place / "data"
    settings.LAB_RESULTS = place / "results"
    settings.LAB_JOB_HEARTBEAT = 0.25
    settings.LAB_JOB_STALE = 2.0
    settings.LAB_JOB_RESEND = 0.5
    with redis.Redis.from_url(configured.LAB_REDIS_URL) as client:
        client.delete("cpu", "default", "gpu", "shared")
    monkeypatch.syspath_prepend(str(place / "site"))
    registry.found.cache_clear()
    yield
    registry.found.cache_clear()


@pytest.fixture
def lab(db) -> SimpleNamespace:
    """A project with a person of each role, and a session with one LFP recording of 1,000 samples.

    Nobody has a password: deriving one costs more than most tests.
    """
    people = {name: get_user_model().objects.create_user(name) for name in (
        "viewer", "experimenter", "manager", "outsider")}  # fmt: skip
    people["administrator"] = get_user_model().objects.create_superuser("administrator")
    project = Project.objects.create(name="Memory")
    for role in ("viewer", "experimenter", "manager"):
        Membership.objects.create(project=project, user=people[role], role=role)
    session = Session.objects.create(
        project=project,
        title="run 1",
        start=datetime(2026, 3, 2, 12, tzinfo=UTC),
        end=datetime(2026, 3, 2, 13, tzinfo=UTC),
    )
    return SimpleNamespace(project=project, session=session, recording=record(session, "probe"), **people)


def record(session: Session, name: str, samples: int = 1000):
    """Register an LFP recording of ones."""
    path = Path(configured.LAB_DATA_ROOT) / f"{name}.npz"
    np.savez(path, lfp=np.ones((samples, 1), "f4"), rate=np.array(1000.0))
    return register_recording(
        by=LABORATORY,
        session=session,
        kind="lfp",
        files=[{"root": "default", "path": path.name}],
        name=name,
    )


def lab_environment(place: Path, *sites: Path) -> dict[str, str]:
    """Return the environment of a process of the laboratory that works on the test's database."""
    parameters = connection.get_connection_params()
    known = {name: parameters.get(name) for name in ("dbname", "user", "password", "host", "port")}
    return {
        **os.environ,
        "LAB_DATABASE_URL": make_conninfo(**{name: value for name, value in known.items() if value}),
        "LAB_REDIS_URL": configured.LAB_REDIS_URL,
        "LAB_DATA_ROOT": str(place / "data"),
        "LAB_RESULTS": str(place / "results"),
        "LAB_JOB_HEARTBEAT": "0.25",
        "LAB_JOB_STALE": "2",
        "PYTHONPATH": os.pathsep.join(map(str, (place / "site", *sites))),
    }


class WorkerProcess:
    """A real Celery worker on the test's database."""

    def __init__(
        self, place: Path, name: str, queues: str = "cpu", slots: int = 2, sites: tuple[Path, ...] = ()
    ) -> None:
        self.name = f"{name}@test"
        self._log = (place / "logs" / f"{name}.log").open("ab")
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "celery", "-A", "labsite.celery", "worker", "--pool", "threads", "-c", str(slots),
                "-Q", queues, "-n", self.name, "--without-gossip", "--without-mingle", "-l", "INFO",
            ],
            cwd=ROOT,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**lab_environment(place, *sites), "LAB_TEST_QUEUE": queues},
        )  # fmt: skip

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the worker alone."""
        self.process.send_signal(number)

    def wait(self, seconds: float = 20.0) -> int:
        """Wait for its end."""
        return self.process.wait(seconds)

    def stop(self) -> None:
        """End it, whatever state it is in."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait(20)
        self._log.close()


def ready(worker: WorkerProcess) -> WorkerProcess:
    """Wait until a worker has reported: on a busy machine it takes long to start."""
    until(lambda: Worker.objects.filter(name=worker.name).exists(), 120)
    return worker


@pytest.fixture
def workers(transactional_db, place) -> Iterator[Callable[..., WorkerProcess]]:
    """Start real workers, of the queue cpu unless told: ``workers("one", slots=1)``; all end with the test.

    ``sites`` are folders with packages that they have besides.
    """
    started: list[WorkerProcess] = []

    def start(name: str = "one", slots: int = 2, sites: tuple[Path, ...] = (), queues: str = "cpu") -> WorkerProcess:
        started.append(WorkerProcess(place, name, queues=queues, slots=slots, sites=sites))
        return started[-1]

    yield start
    for worker in started:
        worker.stop()


@pytest.fixture(scope="session")
def shared_process(django_db_setup, django_db_blocker, place) -> Iterator[WorkerProcess]:
    """One real worker for the tests that do it no harm."""
    with django_db_blocker.unblock():
        worker = WorkerProcess(place, "shared", queues="shared")
    yield worker
    worker.stop()


@pytest.fixture
def worker(transactional_db, shared_process, monkeypatch, fast) -> WorkerProcess:
    """A worker that computes what the test queues."""
    assert shared_process.process.poll() is None
    for name in ("test.mean", "test.gate", "test.items"):
        monkeypatch.setattr(type(registry.get(name)), "queue", "shared")
    return shared_process


def hand_over(job: Job) -> None:
    """Move a job to the queue of the shared worker."""
    Job.objects.filter(pk=job.pk).update(queue="shared")


@pytest.fixture
def gate(tmp_path) -> Path:
    """The folder of ``test.gate``."""
    folder = tmp_path / "gate"
    folder.mkdir()
    return folder


def pid_at(gate: Path, count: int = 1) -> int:
    """Wait until a computation stands at the gate for the ``count``-th time; return its process id."""
    until(lambda: len(list(gate.glob("started-*"))) >= count)
    newest = max(gate.glob("started-*"), key=lambda path: path.stat().st_mtime_ns)
    return int(until(newest.read_text))
