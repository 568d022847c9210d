"""Fixtures of the camera tests: a small catalog and, where asked for, the processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.utils import timezone

from cameras.models import Camera
from cameras.services import create_camera
from sessions.models import Membership, Project, Rig, Session
from sessions.permissions import LABORATORY
from sessions.tokens import create_token
from tests.cameras.laboratory import Laboratory, database_url, wait_for


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
    people = {name: users.create_user(name, password="long enough 123") for name in ("exp", "view", "other")}
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
