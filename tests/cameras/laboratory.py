"""Real processes for the tests of cameras: a Redis of their own, ingest, web, agents; killed and started at will."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import redis
from websockets.sync.client import ClientConnection, connect

from cameras import frametable
from labsite.stack import services
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 20.0) -> Any:
    """Return the first true value of a condition; AssertionError says what did not happen in time."""
    return until(condition, seconds, what)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def database_url(settings_dict: dict[str, Any]) -> str:
    """Return the URL of the database that the test itself uses."""
    user, host, port = settings_dict["USER"], settings_dict["HOST"], settings_dict["PORT"]
    password = f":{quote(settings_dict['PASSWORD'])}" if settings_dict["PASSWORD"] else ""
    query = f"host={quote(host, safe='')}" + (f"&port={port}" if port else "")
    return f"postgresql://{quote(user)}{password}@/{quote(settings_dict['NAME'])}?{query}"


class Laboratory:
    """The processes of one test; all of them end with it."""

    def __init__(self, folder: Path, data_root: Path, database: str, **environment: str):
        self.folder = folder
        self.data_root = data_root
        data_root.mkdir(exist_ok=True)
        self.web_port = free_port()
        self.ingest_port = free_port()
        self.redis_socket = folder / "redis.sock"
        self.redis_url = f"unix://{self.redis_socket}?db=0"
        self.environment = {
            **os.environ,
            "LAB_DATABASE_URL": database,
            "LAB_REDIS_URL": self.redis_url,
            "LAB_DATA_ROOT": str(data_root),
            "LAB_INGEST_URL": f"ws://127.0.0.1:{self.ingest_port}",
            "LAB_DISK_RESERVE": "0",
            "LAB_OFFLINE_GRACE": "2",
            "LAB_ALLOWED_HOSTS": "127.0.0.1,localhost",
            "PYTHONUNBUFFERED": "1",
            "LAB_STATIC_ROOT": str(folder / "static"),
            **environment,
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._sockets = ExitStack()
        self._commands: dict[str, list[str]] = {}

    # ---- processes

    def run(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        self._commands[name] = command
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.processes[name] = process
        return process

    def start_redis(self) -> None:
        self.redis_socket.unlink(missing_ok=True)
        argv = [
            str(services.redis_program()),
            "--unixsocket",
            str(self.redis_socket),
            "--port",
            "0",
            "--save",
            "",
            "--dir",
        ]
        self.run("redis", [*argv, str(self.folder), "--appendonly", "no"])
        client = redis.Redis.from_url(self.redis_url)

        def answers() -> bool:
            try:
                return client.ping()
            except redis.RedisError:
                return False

        wait_for(answers, "answer of Redis")
        client.close()

    def start_server(self, *parts: str, processes: int = 1) -> None:
        """Start web, ingest, or both at once, and wait until they listen."""
        ports = {"web": self.web_port, "ingest": self.ingest_port}
        more = ["--processes", str(processes)] if processes > 1 else []
        for part in parts:
            self.run(part, [sys.executable, "-m", "labsite.stack.serve", part, "--port", str(ports[part]), *more])
        for part in parts:
            self.wait_port(ports[part], part)

    def wait_port(self, port: int, part: str) -> None:
        def listens() -> bool:
            assert self.processes[part].poll() is None, self.log(part)
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_for(listens, f"{part} that listens", 40)

    def start_agent(
        self, slug: str, token: str, *, fps: float = 30, source: str = "sim:", name: str = "", **options: Any
    ) -> str:
        name = name or f"agent-{slug}"
        token_file = self.folder / f"{name}.token"
        token_file.write_text(token)
        command = [
            sys.executable, "-m", "cameras.agent", "--url", self.ingest_url(slug, options.pop("port", None)),
            "--token-file", str(token_file), "--source", source, "--fps", str(fps),
            "--size", options.pop("size", "320x240"), "--spool", str(self.folder / "spool"),
        ]  # fmt: skip
        for option, value in options.items():
            command += [f"--{option.replace('_', '-')}", str(value)]
        self.run(name, command)
        return name

    def kill(self, name: str) -> None:
        """SIGKILL, as a power cut or the kernel would."""
        process = self.processes[name]
        process.send_signal(signal.SIGKILL)
        process.wait(10)

    def restart(self, name: str) -> None:
        """Start again what was killed."""
        if name == "redis":
            self.start_redis()
        elif name in {"web", "ingest"}:
            self.start_server(name)
        else:
            self.run(name, self._commands[name])

    def revive(self) -> None:
        """Start again what an earlier test left dead."""
        for name in ("redis", "ingest", "web"):
            if self.processes[name].poll() is not None:
                self.restart(name)

    def end_agents(self) -> None:
        """End agents and sockets, and forget what the agents had kept."""
        self._sockets.close()
        for name in [name for name in self.processes if name.startswith("agent")]:
            process = self.processes.pop(name)
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait(10)
        shutil.rmtree(self.folder / "spool", ignore_errors=True)

    def terminate(self, name: str, seconds: float = 15) -> int:
        self.processes[name].send_signal(signal.SIGTERM)
        return self.processes[name].wait(seconds)

    def close(self) -> None:
        self._sockets.close()
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
        for process in self.processes.values():
            process.wait(10)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")[-4000:]

    def memory(self, name: str) -> int:
        """Return the resident bytes of a process."""
        return psutil.Process(self.processes[name].pid).memory_info().rss

    # ---- addresses and sockets

    def ingest_url(self, slug: str, port: int | None = None) -> str:
        return f"ws://127.0.0.1:{port or self.ingest_port}/ws/cameras/{slug}/ingest/"

    def connect_agent(self, slug: str, token: str) -> ClientConnection:
        """Open the socket of an agent that a test plays itself."""
        headers = {"Authorization": f"Bearer {token}"}
        return self._open(self.ingest_url(slug), headers)

    def connect_viewer(self, slug: str, key: str, query: str = "", **options: Any) -> ClientConnection:
        url = f"ws://127.0.0.1:{self.web_port}/ws/cameras/{slug}/live/{query}"
        headers = {"Authorization": f"Token {key}"} if key else {}
        return self._open(url, headers, **options)

    def _open(self, url: str, headers: dict[str, str], **options: Any) -> ClientConnection:
        """Open a websocket that ends with the laboratory, or earlier in a ``with`` of the test."""
        given = {"compression": None, "proxy": None, "open_timeout": 10, "close_timeout": 0.3, **options}
        return self._sockets.enter_context(connect(url, additional_headers=headers, **given))

    def state(self, slug: str) -> dict[str, Any]:
        """Return what ingest last said of a camera."""
        client = redis.Redis.from_url(self.redis_url)
        try:
            payload = client.get(f"camera-state:{slug}")
        except redis.RedisError:
            payload = None
        finally:
            client.close()
        return json.loads(payload) if payload else {}

    def table(self, folder: str) -> frametable.FrameTable:
        return frametable.read(self.data_root / folder)


def next_json(socket: ClientConnection, kind: str, seconds: float = 15.0) -> dict[str, Any]:
    """Return the next text message of a type; frames and other messages before it are passed over."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        message = socket.recv(timeout=left)
        if isinstance(message, str) and (found := json.loads(message)).get("type") == kind:
            return found
    raise AssertionError(f"no {kind} message came")


def next_frame(socket: ClientConnection, seconds: float = 15.0) -> bytes:
    """Return the next binary message."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        message = socket.recv(timeout=left)
        if isinstance(message, bytes):
            return message
    raise AssertionError("no frame came")
