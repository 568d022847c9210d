"""A pytest plugin: one real Postgres and one real Redis for all tests, in a folder that goes when the tests end.

It is loaded by ``-p tests.services``, before pytest-django reads the settings, so run ``python -m pytest`` (or
``./lab test``) in the project's root. ``LAB_DATABASE_URL`` and ``LAB_REDIS_URL`` of the caller are used when set.
Each process of pytest-xdist has a Postgres and a Redis of its own, since queues and live news are shared in Redis.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from labsite.stack import services
from labsite.stack.home import prepare_home

HOME = Path(tempfile.mkdtemp(prefix="labtest-"))
STARTED: list[str] = []
# Set beside what this plugin started, so that a worker of pytest-xdist does not take it for the caller's.
OURS = "LAB_TESTS_STARTED"


def _start() -> None:
    prepare_home(HOME)
    os.environ["LAB_HOME"] = str(HOME)
    os.environ["LAB_SECRET_KEY"] = "only-for-tests-" + "x" * 50
    for name in os.environ.pop(OURS, "").split():
        os.environ.pop(name, None)
    if "LAB_DATABASE_URL" not in os.environ:
        os.environ["LAB_DATABASE_URL"] = services.embedded_postgres(HOME, durable=False)
        STARTED.append("postgres")
    if "LAB_REDIS_URL" not in os.environ:
        os.environ["LAB_REDIS_URL"] = services.embedded_redis(HOME)
        STARTED.append("redis")
    named = {"postgres": "LAB_DATABASE_URL", "redis": "LAB_REDIS_URL"}
    os.environ[OURS] = " ".join(named[service] for service in STARTED)


_start()


def pytest_unconfigure() -> None:
    """Stop what was started and leave no file behind."""
    if "postgres" in STARTED:
        services.stop_postgres(HOME)
    if "redis" in STARTED:
        services.stop_redis(HOME)
    shutil.rmtree(HOME, ignore_errors=True)
