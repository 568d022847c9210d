"""Fixtures that all tests share."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.laboratory import ROOT, Laboratory


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
