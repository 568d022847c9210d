"""The embedded Postgres and Redis, as their users reach them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import psycopg
import pytest
import redis

from labsite.stack import services
from labsite.stack.home import prepare_home, socket_directory
from tests.stack.laboratory import ROOT, environment
from tests.waiting import until


@pytest.fixture
def home(tmp_path):
    place = tmp_path / "home"
    yield place
    services.stop_postgres(place)
    services.stop_redis(place)


def test_a_database_keeps_what_it_was_given(home):
    url = services.embedded_postgres(home, durable=False)
    with psycopg.connect(url) as connection:
        assert connection.info.server_version // 10000 == 18
        connection.execute("create table animal (name text)")
        connection.execute("insert into animal values ('Ångström')")
    # A second caller finds the one that runs.
    pid = services.running_postgres(home)
    assert services.embedded_postgres(home) == url
    assert services.running_postgres(home) == pid
    services.stop_postgres(home)
    assert services.running_postgres(home) == 0
    with psycopg.connect(services.embedded_postgres(home, durable=False)) as connection:
        assert connection.execute("select lower(name) from animal").fetchone() == ("ångström",)
        assert connection.execute("show data_checksums").fetchone() == ("on",)


def test_the_database_does_not_run_as_root_and_belongs_to_nobody_else(home):
    services.embedded_postgres(home, durable=False)
    process = psutil.Process(services.running_postgres(home))
    assert 0 not in process.uids()
    assert (home / "postgres").stat().st_mode & 0o077 == 0
    assert socket_directory(home, "pg", services.POSTGRES_SOCKET).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["with blanks, a comma and ü", "x" * 120])
def test_any_path_will_do(tmp_path, name):
    home = tmp_path / name / "home"
    try:
        with psycopg.connect(services.embedded_postgres(home, durable=False)) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        with redis.Redis.from_url(services.embedded_redis(home)) as client:
            assert client.ping()
    finally:
        services.stop_postgres(home)
        services.stop_redis(home)
        for service in ("pg", "redis"):
            directory = socket_directory(home, service, services.POSTGRES_SOCKET)
            if not directory.is_relative_to(home):
                directory.rmdir()


def test_redis_is_bounded_and_keeps_nothing(home):
    with redis.Redis.from_url(services.embedded_redis(home)) as client:
        settings = client.config_get("*")
        assert int(settings["maxmemory"]) == 1 << 30
        assert settings["maxmemory-policy"] == "noeviction"
        assert settings["save"] == ""
        assert settings["port"] == "0"


def test_services_end_with_the_process_that_started_them(tmp_path):
    home = tmp_path / "home"
    program = (
        "import sys; from pathlib import Path; from labsite.stack import services\n"
        "home = Path(sys.argv[1]); services.embedded_postgres(home, durable=False); services.embedded_redis(home)\n"
        "print(services.running_postgres(home), services.running_redis(home), flush=True); sys.stdin.read()\n"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", program, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(PYTHONPATH=str(ROOT)),
    )
    with starter:
        assert starter.stdout is not None
        pids = [int(word) for word in starter.stdout.readline().split()]
        assert len(pids) == 2
        assert all(pids)
        os.kill(starter.pid, signal.SIGKILL)
    until(lambda: not services.running_postgres(home) and not services.running_redis(home), 20, "both to end")
    assert "database system is shut down" in (home / "logs" / "postgres.log").read_text()


def test_a_database_that_was_killed_comes_back(home):
    url = services.embedded_postgres(home)
    with psycopg.connect(url) as connection:
        connection.execute("create table kept (number int)")
        connection.execute("insert into kept values (7)")
    os.kill(services.running_postgres(home), signal.SIGKILL)
    until(lambda: not services.running_postgres(home), 10, "its end")
    with psycopg.connect(services.embedded_postgres(home)) as connection:
        assert connection.execute("select number from kept").fetchone() == (7,)


def test_a_process_number_that_is_somebody_elses_now_is_no_database(home):
    prepare_home(home)
    services.prepare_postgres(home)
    (home / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n{home / 'postgres'}\n0\n5432\n/tmp\n")
    assert services.running_postgres(home) == 0
    services.embedded_postgres(home, durable=False)
    assert services.running_postgres(home) not in (0, os.getpid())
