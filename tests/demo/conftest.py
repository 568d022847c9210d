"""Worlds of the simulated laboratory, made once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from labsite.demo.arenas import Arena
from labsite.demo.world import World, open_world


@pytest.fixture(scope="session")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which worlds are kept during the tests: ``demo`` in a LAB_HOME."""
    folder = tmp_path_factory.mktemp("home") / "demo"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def world_of(worlds: Path) -> Callable[[Arena], World]:
    """Return the world of an arena; the second call reads what the first one made."""
    return lambda arena: open_world(worlds, arena)


@pytest.fixture(autouse=True)
def quick_passwords(settings) -> None:
    """Hash passwords quickly: here nobody has to be slowed down."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
