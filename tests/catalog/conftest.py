"""A small laboratory: a project with one person of each role, an animal, a rig, a session, and a file on the disk."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import connections
from rest_framework.test import APIClient

from sessions import services
from sessions.models import Membership, Project, Role, Species, Task
from sessions.permissions import LABORATORY

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
PASSWORD = "a long enough pass phrase"


@pytest.fixture(autouse=True)
def fresh_throttle():
    cache.clear()


@pytest.fixture
async def connections_of_threads():
    """Close the connections that an asynchronous test opened in the thread of its synchronous parts."""
    yield
    await sync_to_async(connections.close_all)()


@pytest.fixture
def people(db):
    users = get_user_model().objects
    found = {name: users.create_user(name) for name in ("outsider", *Role.values)}
    found["administrator"] = users.create_superuser("administrator")
    return found


@pytest.fixture
def password(settings):
    """Give a person a password; hashed quickly, since here nobody has to be slowed down."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

    def give(user) -> str:
        user.set_password(PASSWORD)
        user.save()
        return PASSWORD

    return give


@pytest.fixture
def lab(people):
    project = Project.objects.create(name="Memory")
    other = Project.objects.create(name="Other")
    for role in Role.values:
        Membership.objects.create(project=project, user=people[role], role=role)
    rat = Species.objects.create(name="rat")
    task = Task.objects.create(name="odour sequence")
    rig = services.create_rig(by=LABORATORY, name="box 1", project=project)
    animal = services.create_animal(by=LABORATORY, identifier="R214", project=project, species=rat)
    session = services.start_session(
        by=people["experimenter"], animals=[animal], rig=rig, task=task, start=NOON, end=NOON + HOUR
    )
    return SimpleNamespace(
        project=project, other=other, rat=rat, task=task, rig=rig, animal=animal, session=session, **people
    )


@pytest.fixture
def put(settings):
    """Write a file below the data root and return its relative path."""

    def write(name: str = "day1/lfp.npy", content: bytes | None = None) -> str:
        path = Path(settings.LAB_DATA_ROOT) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            np.save(path, np.arange(1000, dtype="float32"))
        else:
            path.write_bytes(content)
        return name

    return write


@pytest.fixture
def recording(lab, put):
    return services.register_recording(
        by=lab.experimenter, session=lab.session, kind="lfp", files=[{"path": put()}], parameters={"rate": 1000}
    )


@pytest.fixture
def api(lab):
    """Return a REST client of a person by role; ``None`` is nobody."""

    def client(role: str | None = "experimenter") -> APIClient:
        found = APIClient()
        if role is not None:
            found.force_authenticate(getattr(lab, role))
        return found

    return client
