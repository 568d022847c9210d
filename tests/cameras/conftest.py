"""Fixtures of the camera tests: a small catalog and, where asked for, the processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.utils import timezone

from cameras import services
from cameras.agent.simulation import Camera as SimulatedCamera
from cameras.agent.simulation import wandering
from cameras.framestore import Frame, FrameStore
from cameras.models import Camera, CameraRecording
from cameras.services import create_camera
from cameras.wire import FrameHeader
from sessions.models import Membership, Project, Rig, Session
from sessions.permissions import LABORATORY
from sessions.tokens import create_token
from tests.browser.chromium import executable
from tests.cameras.browsing import Browser
from tests.cameras.laboratory import ROOT, Laboratory, database_url, wait_for

START = 1_700_000_000_000_000_000


@dataclass
class Catalog:
    """A project, its people, a rig with two cameras and a session that runs."""

    project: Project
    experimenter: Any
    viewer: Any
    stranger: Any
    rig: Rig
    session: Session
    cameras: list[Camera]
    tokens: list[str]
    keys: dict[str, str]


def make_catalog(cameras: int = 2) -> Catalog:
    users = get_user_model().objects
    project = Project.objects.create(name="hippocampus")
    people = {name: users.create_user(name) for name in ("exp", "view", "other")}
    Membership.objects.create(user=people["exp"], project=project, role="experimenter")
    Membership.objects.create(user=people["view"], project=project, role="viewer")
    rig = Rig.objects.create(name="box 1", project=project)
    session = Session.objects.create(project=project, rig=rig, start=timezone.now())
    made = [create_camera(by=LABORATORY, slug=f"box-1-{n}", name=f"camera {n}", rig=rig) for n in range(cameras)]
    keys = {name: create_token(user=user, name="test")[1] for name, user in people.items()}
    return Catalog(
        project, people["exp"], people["view"], people["other"], rig, session,
        [camera for camera, _ in made], [token for _, token in made], keys,
    )  # fmt: skip


@pytest.fixture
def catalog(db: None) -> Catalog:
    return make_catalog()


def store_frames(folder: Path, recording: Any, numbers: list[int]) -> None:
    """Store frames of 320 x 240 pixels, 40 ms apart from the one of number 0 at START on, each with its number."""
    camera = SimulatedCamera(wandering(1), 320, 240)
    store = FrameStore(folder, recording)
    frames = []
    for n in numbers:
        captured = START + n * 40_000_000
        data = cv2.imencode(".jpg", camera.picture(captured, n))[1].tobytes()
        frames.append(Frame(FrameHeader(n, captured, 320, 240, received_ns=captured), data))
    store.write(frames)
    store.close()


@pytest.fixture
def recording(catalog: Catalog, settings: Any) -> CameraRecording:
    """A recording that was stopped, with frames 1 to 60 of which 20 to 29 are lost."""
    settings.LAB_DISK_RESERVE = 0
    made = services.start_recording(session=catalog.session, by=catalog.experimenter)[0]
    services.stop_recording(session=catalog.session, by=catalog.experimenter)
    store_frames(Path(settings.LAB_DATA_ROOT) / made.folder, made.pk, [*range(1, 20), *range(30, 61)])
    return made


@pytest.fixture(scope="package")
def processes(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """Start Redis, ingest and web once for all camera tests, against the test's database."""
    folder = tmp_path_factory.mktemp("lab")
    made = Laboratory(folder, folder / "data", database_url(connection.settings_dict))
    try:
        made.start_redis()
        made.start_server("ingest", "web")
        yield made
    finally:
        made.close()


@pytest.fixture
def laboratory(transactional_db: None, processes: Laboratory, settings: Any) -> Iterator[Laboratory]:
    """The processes, all of them alive; agents and sockets end with the test."""
    settings.LAB_REDIS_URL = processes.redis_url
    settings.LAB_DATA_ROOT = processes.data_root
    settings.LAB_DISK_RESERVE = 0
    processes.revive()
    yield processes
    processes.end_agents()


@pytest.fixture
def running(laboratory: Laboratory) -> Iterator[tuple[Laboratory, Catalog]]:
    """The processes with a catalog, and an agent for each camera that is online."""
    catalog = make_catalog()
    for camera, token in zip(catalog.cameras, catalog.tokens, strict=True):
        laboratory.start_agent(camera.slug, token)
    for camera in catalog.cameras:
        wait_for(lambda camera=camera: laboratory.state(camera.slug).get("fps"), f"picture of {camera.slug}")
    return laboratory, catalog


@pytest.fixture
def browser() -> Iterator[Browser]:
    executable()
    made = Browser()
    yield made
    made.close()


@pytest.fixture
def url(laboratory: Laboratory) -> str:
    """Return the address of a web process that has its static files."""
    if not Path(laboratory.environment["LAB_STATIC_ROOT"]).exists():
        collect = [sys.executable, "manage.py", "collectstatic", "--noinput", "-v", "0"]
        subprocess.run(collect, cwd=ROOT, env=laboratory.environment, check=True)
        laboratory.kill("web")
        laboratory.restart("web")
    return f"http://127.0.0.1:{laboratory.web_port}"
