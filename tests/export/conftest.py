"""The laboratory of the catalog's tests, with a result in it, and a result of two figures without a laboratory."""

from __future__ import annotations

import pytest

from analysis.export.bundle import BundledResult
from tests.catalog.conftest import fresh_throttle, lab, people, put, recording
from tests.export.bundling import bundled
from tests.roles.everything import things

__all__ = ["fresh_throttle", "lab", "people", "put", "recording", "things"]


@pytest.fixture(scope="session")
def drawn_result(tmp_path_factory: pytest.TempPathFactory) -> BundledResult:
    """The files of a result, drawn once; no test changes them."""
    return bundled(tmp_path_factory.mktemp("drawn") / "result")
