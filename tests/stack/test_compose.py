"""docker-compose.yml: Docker's own tool accepts it, and what its services run serves outside Docker, too.

The commands and variables are those of the file; only addresses differ, for the names of containers and the ports of a
machine mean nothing elsewhere. The servers are those of the system, as a container would have them: over TCP, with a
password, without anything of the embedded ones.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
import redis
import yaml

from labsite.stack.services import Command
from labsite.stack.supervisor import look_at_health
from tests.stack.laboratory import ROOT, environment
from tests.waiting import until

FILE = ROOT / "docker-compose.yml"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what a container listens on


def needed(found: str | None, what: str) -> str:
    """Return the program; skip without it, but fail on CI, where .ci/run installs it."""
    if found:
        return found
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(f"{what} is missing; .ci/run installs it")
    pytest.skip(f"{what} is not installed")


def system_postgres() -> Path:
    """Folder of the programs of the system's Postgres."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return Path(needed(str(found[-1]) if found else None, "the system's Postgres")).parent


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture(scope="module")
def servers(tmp_path_factory) -> Iterator[dict[str, int]]:
    """Ports of a Postgres and a Redis of the system that run for these tests."""
    binaries, redis_server = system_postgres(), needed(shutil.which("redis-server"), "the system's Redis")
    folder = tmp_path_factory.mktemp("servers")
    data, log = folder / "data", folder / "log"
    account = "nobody" if os.geteuid() == 0 else ""
    password = folder / "password"
    password.write_text("labsite\n")
    if account:
        entry = pwd.getpwnam(account)
        os.chown(folder, entry.pw_uid, entry.pw_gid)
    ports = {"postgres": free_port(), "redis": free_port()}
    options = ["--auth=scram-sha-256", "--username=labsite", f"--pwfile={password}", "--encoding=UTF8", "--locale=C"]
    initdb = (str(binaries / "initdb"), "-D", str(data), *options)
    assert Command(initdb, "KILL", account, bool(account)).start(log).wait() == 0, log.read_text()
    listen = ("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-p", str(ports["postgres"]))
    postgres = (str(binaries / "postgres"), "-D", str(data), "-c", "fsync=off", *listen)
    redis_options = ("--port", str(ports["redis"]), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder))
    running = [
        Command(postgres, "INT", account, bool(account)).start(log),
        Command((redis_server, *redis_options), "TERM").start(log),
    ]
    address = f"postgresql://labsite:labsite@127.0.0.1:{ports['postgres']}/postgres"

    def ready() -> bool:
        assert all(process.poll() is None for process in running), log.read_text()
        try:
            with psycopg.connect(address, autocommit=True) as connection:
                # What the image of Postgres does for POSTGRES_DB.
                connection.execute("create database labsite")
            return bool(redis.Redis(port=ports["redis"]).ping())
        except (psycopg.OperationalError, redis.RedisError):
            return False

    try:
        until(ready, 60, "the system's Postgres and Redis")
        yield ports
    finally:
        for process in running:
            process.terminate()
        postgres_process, redis_process = running
        redis_process.wait(10)
        postgres_process.send_signal(2)
        postgres_process.wait(30)


def services() -> dict[str, dict]:
    """The services as Docker's tool understands them, or as they are written where there is no such tool."""
    if tool := shutil.which("docker-compose"):
        told = subprocess.run(
            [tool, "-f", str(FILE), "config"], capture_output=True, text=True, check=True, env=environment()
        )
        return yaml.safe_load(told.stdout)["services"]
    needed(None, "docker-compose")
    raise AssertionError


def test_dockers_tool_accepts_the_file_as_it_is():
    tool = needed(shutil.which("docker-compose"), "docker-compose")
    told = subprocess.run(
        [tool, "-f", str(FILE), "config", "--quiet"], capture_output=True, text=True, check=False, env=environment()
    )
    assert told.returncode == 0, told.stderr
    assert told.stderr == ""


def test_every_part_of_the_health_check_has_a_container():
    found = services()
    assert set(found) == {
        *("postgres", "redis", "prepare", "web", "ingest"),
        *("worker-default", "worker-cpu", "supervise"),
    }
    for name, service in found.items():
        if name != "prepare":
            assert "test" in service["healthcheck"], name
            assert service["restart"] == "unless-stopped", name
    for name in ("postgres", "redis"):
        assert "ports" not in found[name], f"{name} must be reachable from the other containers alone"


def test_the_image_does_not_run_as_root_and_installs_from_the_locks():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users
    assert users[-1] not in ("root", "0")
    installs = "\n".join(lines)
    assert installs.count("--require-hashes") == 2
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {".git", ".venv", ".lab"} <= set(ignored)


def test_the_commands_of_the_services_serve(servers, tmp_path):
    found = services()
    ports = {"8000": str(free_port()), "8001": str(free_port())}
    home = tmp_path / "lab"

    def shell(service: dict) -> dict[str, str]:
        """The variables of a service, with the addresses of this machine."""
        given = {name: str(value) for name, value in service["environment"].items()}
        given["LAB_DATABASE_URL"] = given["LAB_DATABASE_URL"].replace(
            "@postgres:5432", f"@127.0.0.1:{servers['postgres']}"
        )
        given["LAB_REDIS_URL"] = given["LAB_REDIS_URL"].replace("//redis:6379", f"//127.0.0.1:{servers['redis']}")
        assert given["LAB_HOME"] == "/lab"
        given["LAB_HOME"] = str(home)
        # What the image sets; the folder of its static files is one of its own, outside the volume.
        return environment(**given, LAB_STATIC_ROOT=str(tmp_path / "static"), MPLBACKEND="agg")

    def command(words: list[str]) -> list[str]:
        assert words[0] == "python"
        changed = [ports[word] if last == "--port" else word for last, word in zip(["", *words], words, strict=False)]
        return [sys.executable, *["127.0.0.1" if word == EVERYWHERE else word for word in changed[1:]]]

    (tmp_path / "static").mkdir()
    prepare = found["prepare"]
    done = subprocess.run(
        command(prepare["command"]),
        cwd=ROOT,
        env=shell(prepare),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (home / "admin-password").exists()

    ours = {name: service for name, service in found.items() if "build" in service and name != "prepare"}
    assert len(ours) == 5
    with ExitStack() as running:
        processes = {}
        for name, service in ours.items():
            output = running.enter_context((tmp_path / f"{name}.log").open("wb"))
            process = subprocess.Popen(
                command(service["command"]), cwd=ROOT, env=shell(service), stdout=output, stderr=subprocess.STDOUT
            )
            processes[name] = process
            running.callback(process.wait, 30)
            running.callback(process.terminate)

        def serves() -> bool:
            for name, process in processes.items():
                assert process.poll() is None, (tmp_path / f"{name}.log").read_text()[-2000:]
            return look_at_health(f"http://127.0.0.1:{ports['8000']}/healthz").get("status") == "ok"

        until(serves, 120, "/healthz to be 200")
        health = look_at_health(f"http://127.0.0.1:{ports['8000']}/healthz")
        assert health["failing"] == [], json.dumps(health)
        for name, service in ours.items():
            check = service["healthcheck"]["test"]
            assert check[0] == "CMD"
            told = subprocess.run(command(check[1:]), cwd=ROOT, env=shell(service), check=False, timeout=60)
            assert told.returncode == 0, name
        # A container whose own process is gone says so.
        processes["worker-cpu"].terminate()
        processes["worker-cpu"].wait(30)
        check = ours["worker-cpu"]["healthcheck"]["test"][1:]
        told = subprocess.run(command(check), cwd=ROOT, env=shell(ours["worker-cpu"]), check=False, timeout=60)
        assert told.returncode == 1
