"""Fixtures that all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest


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
