"""Fixtures that all tests share."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.laboratory import ROOT, Laboratory

GROUP = pytest.StashKey[str]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together, when several processes share the tests, those that look at one laboratory, and those of a file."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    # The longest first, so that no process ends with them while the others have nothing left to do.
    order = {"demo": 0, "stack": 1}
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        group = "demo" if "demo_laboratory" in fixtures else "stack" if "running" in fixtures else item.path.stem
        item.add_marker(pytest.mark.xdist_group(group))
        item.stash[GROUP] = group

    def place(item: pytest.Item) -> tuple[int, str]:
        group = item.stash[GROUP]
        return (order[group], "") if group in order else (len(order), str(item.path))

    items.sort(key=place)


@pytest.fixture(autouse=True)
def folders(settings, tmp_path: Path) -> None:
    """Give every test its own data root and results."""
    settings.LAB_DATA_ROOT = tmp_path / "data"
    settings.LAB_RESULTS = tmp_path / "results"
    settings.LAB_DATA_ROOT.mkdir()
    settings.LAB_RESULTS.mkdir()
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }


@pytest.fixture(scope="session")
def demo_laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """``./lab demo`` in a fresh clone with an empty LAB_HOME, once for all tests that look at it."""
    folder = tmp_path_factory.mktemp("demo")
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    laboratory = Laboratory(folder / "home", "demo", root=clone)
    try:
        yield laboratory.wait_for_banner()
    finally:
        laboratory.stop()
