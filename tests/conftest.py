"""Fixtures that all tests share."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError
from django.db import OperationalError
from django.test import TransactionTestCase
from xdist.scheduler import LoadScopeScheduling

from tests.stack.laboratory import LABORATORIES, ROOT, Laboratory

# Files whose tests look at one laboratory that takes long to start; together, so that one process starts it.
SHARED = {
    "demo": (
        "tests/browser/test_main_job.py",
        "tests/browser/test_tracking_pages.py",
        "tests/promises/test_decoded_page.py",
        "tests/promises/test_reproduced.py",
        "tests/stack/test_demo.py",
    ),
    "stack": ("tests/stack/test_uploads.py", "tests/stack/test_backup.py", "tests/stack/test_up.py"),
}
# What starts processes of its own and takes long comes before the many quick tests: all end at about the same time.
SLOW = ("tests/promises/", "tests/stack/", "tests/cameras/", "tests/jobs/", "tests/demo/")
FLUSHES = 5
GROUP_OF = {file: group for group, files in SHARED.items() for file in files}


def group_of(nodeid: str) -> str:
    """Return which tests one process runs together: those that share a laboratory, or else those of a file."""
    file = nodeid.partition("::")[0]
    return GROUP_OF.get(file, file)


class TogetherScheduling(LoadScopeScheduling):
    """Shares tests between processes by `group_of`."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> TogetherScheduling:
    return TogetherScheduling(config, log)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LABORATORIES] = {}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that share a laboratory first and together, then the other slow ones; the laboratory ends with its last."""
    order = list(GROUP_OF)

    def place(item: pytest.Item) -> int:
        # In the order of `SHARED`: what kills every part many times, which then start again after a pause, comes last.
        file = item.nodeid.partition("::")[0]
        if file in order:
            return order.index(file)
        return len(order) + (not file.startswith(SLOW))

    items.sort(key=place)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End a shared laboratory after its last test: its cameras would take their part of the cores from all others."""
    group = group_of(item.nodeid)
    if nextitem is None or group_of(nextitem.nodeid) != group:
        laboratory = item.config.stash[LABORATORIES].pop(group, None)
        if laboratory is not None:
            laboratory.stop()


@pytest.fixture(scope="session", autouse=True)
def _emptied_though_workers_look() -> Iterator[None]:
    """Empty the tables after a test again where a worker that still reads them made Postgres give up (a deadlock)."""
    empty = TransactionTestCase._fixture_teardown

    def patient(case: TransactionTestCase) -> None:
        for _ in range(FLUSHES - 1):
            try:
                return empty(case)
            except CommandError as error:
                # Postgres has taken back the whole of it, so it can be done again.
                if not isinstance(error.__cause__, OperationalError):
                    raise
        return empty(case)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", patient)
        yield


@pytest.fixture(autouse=True)
def folders(settings, tmp_path: Path) -> None:
    """Give every test its own data root and results."""
    settings.LAB_DATA_ROOT = tmp_path / "data"
    settings.LAB_RESULTS = tmp_path / "results"
    settings.MEDIA_ROOT = tmp_path / "media"
    settings.LAB_DATA_ROOT.mkdir()
    settings.LAB_RESULTS.mkdir()
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }


@pytest.fixture(scope="session")
def demo_laboratory(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Laboratory]:
    """``./lab demo`` in a fresh clone with an empty LAB_HOME, once for all tests that look at it (`SHARED`)."""
    folder = tmp_path_factory.mktemp("demo")
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    laboratory = Laboratory(folder / "home", "demo", root=clone)
    pytestconfig.stash[LABORATORIES]["demo"] = laboratory
    try:
        yield laboratory.wait_for_banner()
    finally:
        laboratory.stop()
