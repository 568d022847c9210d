"""What the tests of promises share: a scientist's script with a token, and a real worker of all queues."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings as configured
from django.contrib.auth import get_user_model
from rest_framework.test import APIClient

from sessions.models import Membership, Project
from tests.jobs.conftest import WorkerProcess
from tests.waiting import until

PASSWORD = "a long enough pass phrase"
ENDED = ("succeeded", "failed", "cancelled")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data root, results and logs that the worker shares with the tests."""
    folder = tmp_path_factory.mktemp("promises")
    for name in ("data", "results", "logs"):
        (folder / name).mkdir()
    return folder


@pytest.fixture(scope="module")
def worker_process(django_db_setup, django_db_blocker, place) -> Iterator[WorkerProcess]:
    """One Celery worker of the queues that computations and hashes go to."""
    with redis.Redis.from_url(configured.LAB_REDIS_URL) as client:
        client.delete("cpu", "default")
    with django_db_blocker.unblock():
        worker = WorkerProcess(place, "promises", queues="cpu,default")
    yield worker
    worker.stop()


class Script:
    """A person's script: it knows a user name and a password, gets a token, and speaks REST."""

    def __init__(self, user: str) -> None:
        self.client = APIClient()
        reply = self.client.post("/api/v1/auth/token/", {"username": user, "password": PASSWORD}, format="json")
        assert reply.status_code == 200, reply.content
        self.client.credentials(HTTP_AUTHORIZATION=f"Token {reply.json()['token']}")

    def post(self, path: str, body: dict[str, Any], status: int = 201) -> dict[str, Any]:
        """Return the reply to a POST that has to be answered with ``status``."""
        reply = self.client.post(f"/api/v1/{path}", body, format="json")
        assert reply.status_code == status, reply.content
        return reply.json()

    def get(self, path: str, status: int = 200) -> dict[str, Any]:
        """Return the reply to a GET that has to be answered with ``status``."""
        reply = self.client.get(f"/api/v1/{path}")
        assert reply.status_code == status, reply.content
        return json.loads(reply.content, object_pairs_hook=dict)

    def download(self, url: str) -> bytes:
        """Return a file's content."""
        reply = self.client.get(url)
        assert reply.status_code == 200, url
        return b"".join(reply.streaming_content)

    def register(self, session: str, kind: str, root: str, *paths: Path | str, **more: Any) -> str:
        """Register files where they lie; returns the recording's id."""
        files = [{"root": root, "path": str(path)} for path in paths]
        return self.post("recordings/", {"session": session, "kind": kind, "files": files, **more})["id"]

    def compute(self, pipeline: str, *recordings: str, seconds: float = 60, **parameters: Any) -> dict[str, Any]:
        """Queue a computation and return its job when it has ended."""
        body = {"pipeline": pipeline, "recordings": list(recordings), "parameters": parameters}
        job = self.post("jobs/", body)
        until(lambda: self.get(f"jobs/{job['id']}/")["state"] in ENDED, seconds)
        return self.get(f"jobs/{job['id']}/")


@pytest.fixture
def script(transactional_db, worker_process: WorkerProcess, place: Path, settings, folders) -> Script:
    """The script of an experimenter, in a laboratory whose worker computes."""
    settings.LAB_DATA_ROOT = place / "data"
    settings.LAB_RESULTS = place / "results"
    assert worker_process.process.poll() is None
    user = get_user_model().objects.create_user("experimenter", password=PASSWORD)
    Membership.objects.create(project=Project.objects.create(name="Memory"), user=user, role="experimenter")
    return Script("experimenter")


@pytest.fixture
def session(script: Script) -> str:
    """A session of the past, to which recordings belong."""
    return script.post(
        "sessions/", {"project": "Memory", "start": "2026-03-02T12:00:00Z", "end": "2026-03-02T14:00:00Z"}
    )["id"]
