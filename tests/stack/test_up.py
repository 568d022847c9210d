"""`./lab up`: it says where it is, repairs what dies, and leaves nothing running."""

from __future__ import annotations

import json
import os
import signal
import stat
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from tests.stack.laboratory import Laboratory, alive, lab
from tests.waiting import until

PROCESSES = ("postgres", "redis", "web", "ingest", "worker-default", "worker-cpu", "supervise")
PARTS = {"postgres", "redis", "web", "ingest", "worker.default", "worker.cpu", "supervise", "disk"}


def test_every_part_serves(laboratory):
    status, health = laboratory.health()
    assert status == 200
    assert health["failing"] == []
    assert set(health["parts"]) == PARTS
    assert all(part["ok"] for part in health["parts"].values())


def test_the_banner_says_where_and_who(laboratory):
    banner = laboratory.output[laboratory.output.index("Labsite is running.") :]
    assert laboratory.url + "/" in banner
    assert "admin" in banner
    assert str(laboratory.home / "admin-password") in banner
    assert "--host 0.0.0.0" in banner
    assert "\x1b" not in laboratory.output
    assert laboratory.output.count("Ctrl-C stops everything.") == 1


def test_secrets_are_for_their_owner_alone(laboratory):
    for name in ("admin-password", "secret-key", "run/stack.json"):
        assert stat.S_IMODE((laboratory.home / name).stat().st_mode) == 0o600, name


def test_the_password_logs_in(laboratory):
    password = (laboratory.home / "admin-password").read_text().strip()
    status, reply = laboratory.post("/api/v1/auth/token/", {"username": "admin", "password": password})
    assert status == 200, reply
    assert reply["token"]
    status, reply = laboratory.post("/api/v1/auth/token/", {"username": "admin", "password": "wrong"})
    assert status in (400, 401), reply


def test_the_services_listen_on_no_port(laboratory):
    for name in ("postgres", "redis"):
        process = psutil.Process(laboratory.process(name)["pid"])
        assert [c for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN] == [], name


def test_status_tells_of_each_process(laboratory):
    told = lab("status", "--home", str(laboratory.home))
    assert told.returncode == 0, told.stdout + told.stderr
    for name in PROCESSES:
        assert f"{name} " in told.stdout
        assert str(laboratory.process(name)["pid"]) in told.stdout
    assert "PostgreSQL" in told.stdout
    assert "GB of disk free" in told.stdout
    assert "FAILS" not in told.stdout


def test_a_second_start_says_that_one_runs(laboratory):
    second = lab("up", "--home", str(laboratory.home), "--port", "0")
    assert second.returncode == 1
    assert "already runs" in second.stderr
    assert laboratory.url in second.stderr
    assert f"process {laboratory.running.pid}" in second.stderr
    assert laboratory.health()[0] == 200


def test_manage_works_on_the_running_laboratory(laboratory):
    program = "from django.contrib.auth import get_user_model as u; print('user', u().objects.get().username)"
    told = lab("manage", "shell", "--no-imports", "-c", program, LAB_HOME=str(laboratory.home))
    assert told.returncode == 0, told.stderr
    assert "user admin" in told.stdout


# The supervisor starts the others as it does the web and a worker: each of them is killed in the long run.
OFTEN = ("postgres", "redis", "web", "worker-cpu")


@pytest.mark.parametrize(
    "name", [name if name in OFTEN else pytest.param(name, marks=pytest.mark.long) for name in PROCESSES]
)
def test_what_is_killed_starts_again(laboratory, name):
    before = laboratory.process(name)
    os.kill(before["pid"], signal.SIGKILL)
    until(
        lambda: laboratory.process(name)["pid"] not in (0, before["pid"]),
        30,
        f"{name} to start again",
    )
    assert laboratory.process(name)["restarts"] > before["restarts"]
    until(lambda: laboratory.health()[0] == 200, 60, lambda: f"/healthz to be 200: {laboratory.health()}")


def test_healthz_names_what_does_not_serve(laboratory):
    redis = psutil.Process(laboratory.process("redis")["pid"])
    redis.suspend()
    try:
        began = time.monotonic()
        _, health = until(lambda: (answer := laboratory.health())[0] == 503 and answer, 20, "a 503 while Redis hangs")
        assert time.monotonic() - began < 20
        assert "redis" in health["failing"]
        assert not health["parts"]["redis"]["ok"]
        assert health["parts"]["redis"]["detail"]
        assert health["parts"]["postgres"]["ok"]
    finally:
        redis.resume()
    until(lambda: laboratory.health()[0] == 200, 60, "/healthz to be 200 again")


def test_healthz_answers_in_time_while_the_database_hangs(laboratory):
    postgres = psutil.Process(laboratory.process("postgres")["pid"])
    postgres.suspend()
    try:
        until(lambda: "postgres" in laboratory.health()[1].get("failing", []), 20, "the database to be named")
        began = time.monotonic()
        laboratory.health()
        assert time.monotonic() - began < 5
    finally:
        postgres.resume()
    until(lambda: laboratory.health()[0] == 200, 60, "/healthz to be 200 again")


@pytest.mark.long
def test_a_silent_worker_is_named(laboratory):
    worker = psutil.Process(laboratory.process("worker-cpu")["pid"])
    worker.suspend()
    try:
        # Another part that is late on a busy machine may be named for a moment, too.
        until(
            lambda: laboratory.health()[1].get("failing") == ["worker.cpu"],
            40,
            lambda: f"/healthz to name the worker that hangs and no other: {laboratory.health()}",
        )
    finally:
        worker.resume()
    until(lambda: laboratory.health()[0] == 200, 60, "/healthz to be 200 again")


def test_ctrl_c_ends_everything_even_what_hangs_and_a_second_start_makes_nothing_anew(tmp_path):
    laboratory = Laboratory(tmp_path / "home").wait_for_banner()
    started = laboratory.descendants()
    assert len(started) >= len(PROCESSES)
    psutil.Process(laboratory.process("supervise")["pid"]).suspend()
    assert laboratory.stop(signal.SIGINT) == 0
    assert alive(started) == []
    assert not (laboratory.home / "run" / "stack.json").exists()
    assert "Stopped" in laboratory.output
    log = (laboratory.home / "logs" / "postgres.log").read_text()
    assert "database system is shut down" in log

    made = _made(laboratory.home)
    assert len(made) > 100
    again = Laboratory(tmp_path / "home").wait_for_banner()
    # What makes a second start quick; `./lab bench start` says how quick.
    assert "Installing" not in again.output
    assert _made(again.home) == made
    migrations = (
        "from django.db.migrations.recorder import MigrationRecorder as r; "
        f"print('late', r.Migration.objects.filter(applied__gt={_moment(again)!r}).count())"
    )
    told = lab("manage", "shell", "--no-imports", "-c", migrations, LAB_HOME=str(again.home))
    assert "late 0" in told.stdout, told.stdout + told.stderr
    assert again.stop(signal.SIGTERM) == 0


def _made(home: Path) -> dict[str, tuple[int, int]]:
    """What the first start makes and a later one keeps: every file's inode and time."""
    kept = [*(home / "static").rglob("*"), home / "admin-password", home / "secret-key", home / "postgres/PG_VERSION"]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in kept}


def _moment(laboratory: Laboratory) -> str:
    """When a laboratory was started, in UTC."""
    return datetime.fromtimestamp(laboratory.state()["started"], UTC).isoformat()


@pytest.mark.long
def test_a_killed_supervisor_takes_its_children_along_and_the_next_start_goes_on(tmp_path):
    laboratory = Laboratory(tmp_path / "home").wait_for_banner()
    password = (laboratory.home / "admin-password").read_text()
    started = laboratory.descendants()
    laboratory.running.kill()
    laboratory.running.wait()
    until(lambda: not alive(started), 30, f"the end of {[process.name() for process in alive(started)]}")

    again = Laboratory(tmp_path / "home").wait_for_banner()
    assert (again.home / "admin-password").read_text() == password
    assert again.stop(signal.SIGTERM) == 0


def test_stopping_while_it_starts_leaves_nothing(tmp_path):
    laboratory = Laboratory(tmp_path / "home")
    until(lambda: "Database and static files" in laboratory.output, 60, "the preparation")
    assert laboratory.stop(signal.SIGTERM) == 0
    assert "Ctrl-C stops everything." not in laboratory.output


def test_leftovers_of_a_killed_supervisor_are_ended(tmp_path):
    """A child that the kernel could not end with its supervisor is ended by the next start."""
    import subprocess

    from labsite.stack import state
    from labsite.stack.home import prepare_home
    from labsite.stack.process import started_ticks

    home = tmp_path / "home"
    prepare_home(home)
    left = subprocess.Popen(["sleep", "300"], start_new_session=True)
    other = subprocess.Popen(["sleep", "300"], start_new_session=True)
    try:
        process = {"name": "web", "pid": left.pid, "ticks": started_ticks(left.pid)}
        # The same number as a process of long ago, which is now somebody else's.
        reused = {"name": "ingest", "pid": other.pid, "ticks": started_ticks(other.pid) - 1}
        (home / "run" / "stack.json").write_text(json.dumps({"pid": 1, "processes": [process, reused]}))
        assert state.end_leftovers(home) == ["web"]
        assert left.wait(10) == -signal.SIGKILL
        assert other.poll() is None
    finally:
        for one in (left, other):
            one.kill()
            one.wait()
