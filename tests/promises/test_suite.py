"""`./lab test` itself: warnings are errors, servers are real, and a process that a test leaves behind fails the run."""

from __future__ import annotations

import psutil
import pytest

from tests.stack.laboratory import ROOT, lab

pytestmark = pytest.mark.timeout(180)

TESTS = """
import subprocess
import warnings

import pytest
import redis
from django.conf import settings
from django.db import connection


def test_that_leaves_a_process():
    # In a session of its own and given up by its parent: nobody but the kernel knows whose it was.
    subprocess.run(["sh", "-c", "setsid sleep 4321 & echo $! > {pid}"], check=True)


def test_that_is_warned():
    with pytest.raises(FutureWarning):
        warnings.warn("this will be an error one day", FutureWarning)


@pytest.mark.django_db
def test_that_uses_the_servers():
    with connection.cursor() as cursor:
        cursor.execute("select version()")
        assert cursor.fetchone()[0].startswith("PostgreSQL")
    with redis.Redis.from_url(settings.LAB_REDIS_URL) as client:
        assert client.info("server")["redis_version"]
"""


@pytest.mark.long
def test_a_run_that_leaves_a_process_fails_though_its_tests_pass(tmp_path):
    pid_file = tmp_path / "pid"
    path = tmp_path / "test_careless.py"
    path.write_text(TESTS.format(pid=pid_file))
    told = lab("test", "-c", str(ROOT / "pyproject.toml"), f"--rootdir={tmp_path}", str(path))
    assert "3 passed" in told.stdout, told.stdout + told.stderr
    assert told.returncode == 1
    pid = int(pid_file.read_text())
    assert f"lab: the tests left process {pid} running: sleep 4321" in told.stderr
    assert not psutil.pid_exists(pid)
    # Of all else that the run started, Postgres and Redis first of all, nothing was left.
    assert told.stderr.count("the tests left process") == 1
