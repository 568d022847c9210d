"""One laboratory for the tests that only look at it or kill a part of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stack.laboratory import LABORATORIES, Laboratory
from tests.waiting import until


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Laboratory]:
    """A laboratory started by `./lab up` on an empty LAB_HOME."""
    laboratory = Laboratory(tmp_path_factory.mktemp("stack") / "home")
    pytestconfig.stash[LABORATORIES]["stack"] = laboratory
    try:
        yield laboratory.wait_for_banner()
    finally:
        laboratory.stop()


@pytest.fixture
def laboratory(running: Laboratory) -> Laboratory:
    """The laboratory, with all its parts serving."""
    until(lambda: running.health()[0] == 200, 60, lambda: f"/healthz to be 200: {running.health()}")
    return running
