"""The camera side of a laboratory for benchmarks: its processes, agents, links, and a disk that may be filled."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from labsite.stack import services

ROOT = Path(__file__).resolve().parents[1]
_CLONE_NEWNS = 0x00020000
SERVERS = ("web", "ingest")


def free_port() -> int:
    """Return a TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_port(port: int) -> None:
    """Wait until somebody listens on a port; RuntimeError after a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port} after 60 s")


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def say(process: subprocess.Popen[str], line: str) -> None:
    """Write one line to a process."""
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


class Link:
    """A TCP link in front of a port; see ``_camera_proxy``."""

    def __init__(self, target: int, **plan: float) -> None:
        command = [sys.executable, "-m", "benchmarks._camera_proxy"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        say(self.process, json.dumps({"host": "127.0.0.1", "port": target, **plan}))
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def tell(self, order: str) -> None:
        """``cut`` or ``join`` the link; returns when it is done."""
        say(self.process, order)
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@dataclass
class SimulatedCamera:
    """A camera of the catalog with the token of its agent."""

    slug: str
    token: str


class Stack:
    """Web, ingest, supervise and agents on the Postgres and Redis of a LAB_HOME; killed and started at will."""

    def __init__(self, home: Path, folder: Path, data_root: Path, **environment: str) -> None:
        self.home, self.folder, self.data_root = home, folder, data_root
        self.ports = {part: free_port() for part in SERVERS}
        self._environment = {**os.environ, "LAB_DATA_ROOT": str(data_root), "LAB_LOG_LEVEL": "WARNING", **environment}
        self._commands: dict[str, list[str]] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, name: str, command: list[str]) -> None:
        """Start a process; its output goes to ``<name>.log``."""
        self._commands[name] = command
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, cwd=ROOT, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def start_servers(self) -> None:
        """Start web, ingest and what raises alerts; returns when both servers listen."""
        for part in SERVERS:
            self.run(part, [sys.executable, "-m", "labsite.stack.serve", part, "--port", str(self.ports[part])])
        self.run("supervise", [sys.executable, "manage.py", "supervise"])
        for part in SERVERS:
            wait_port(self.ports[part])

    def start_box(self, name: str, cameras: list[SimulatedCamera], port: int, *, fps: int, size: str) -> None:
        """Start one agent with several simulated cameras that sends to ``port``."""
        config = self.folder / f"{name}.toml"
        lines = [f'server = "ws://127.0.0.1:{port}"', f'spool = "{self.folder / name}"']
        for seed, camera in enumerate(cameras):
            lines += ["[[camera]]", f'slug = "{camera.slug}"', f'token = "{camera.token}"']
            lines += [f'source = "sim:?seed={seed}&drawn=60"', f"fps = {fps}", f'size = "{size}"']
        config.write_text("\n".join(lines) + "\n")
        self.run(name, [sys.executable, "-m", "cameras.agent", "--config", str(config)])

    def pid(self, name: str) -> int:
        """Return the process id of a part, Postgres and Redis among them; 0 where it does not run."""
        if name == "postgres":
            return services.running_postgres(self.home)
        if name == "redis":
            return services.running_redis(self.home)
        return self.processes[name].pid

    def kill(self, name: str) -> int:
        """SIGKILL, as the kernel or a power cut would; returns when (ns since the Unix epoch)."""
        os.kill(self.pid(name), signal.SIGKILL)
        killed = time.time_ns()
        if name in self.processes:
            self.processes[name].wait()
        return killed

    def stop(self, name: str) -> None:
        """End a process as its owner would."""
        self.processes[name].terminate()
        self.processes.pop(name).wait()

    def restart(self, name: str) -> None:
        """Start again what was killed; returns when it serves."""
        if name == "postgres":
            services.embedded_postgres(self.home)
        elif name == "redis":
            services.embedded_redis(self.home)
        else:
            self.run(name, self._commands[name])
            if name in self.ports:
                wait_port(self.ports[name])

    def print_logs(self) -> None:
        """Print the end of what each process said."""
        for name in self.processes:
            said = (self.folder / f"{name}.log").read_text(errors="replace")[-4000:]
            print(f"---- {name}\n{said}", file=sys.stderr)

    def close(self) -> None:
        # The agents first: they would complain of servers that go.
        for process in reversed(self.processes.values()):
            process.kill()
        for process in self.processes.values():
            process.wait()


def make_cameras(count: int, prefix: str) -> tuple[Any, list[SimulatedCamera]]:
    """Make a rig with so many cameras in the catalog; returns the rig and the cameras."""
    from cameras.services import create_camera
    from sessions.models import Rig
    from sessions.permissions import LABORATORY

    rig = Rig.objects.create(name=f"{prefix} {time.time_ns()}")
    made = []
    for number in range(count):
        slug = f"{prefix}-{rig.pk.hex[:6]}-{number}"
        made.append(SimulatedCamera(slug, create_camera(by=LABORATORY, slug=slug, name=slug, rig=rig)[1]))
    return rig, made


def make_session(rig: Any) -> Any:
    """Return a session that runs on a rig from now on."""
    from django.utils import timezone

    from sessions.models import Project, Session

    project, _ = Project.objects.get_or_create(name="benchmark")
    return Session.objects.create(project=project, rig=rig, start=timezone.now())


def viewer_key() -> str:
    """Return a token that may see every camera."""
    from django.contrib.auth import get_user_model

    from sessions.tokens import create_token

    user, _ = get_user_model().objects.get_or_create(
        username="benchmark", defaults={"is_superuser": True, "is_active": True}
    )
    return create_token(user=user, name="benchmark")[1]


@contextmanager
def disk_of_its_own(folder: Path, size: int) -> Iterator[tuple[Path, str]]:
    """Give a folder on a small ext4 of its own, and why not where that may not be mounted (then a plain folder).

    The mount is seen by this process and its children only, and goes with the last of them however they end.
    """
    data = folder / "data"
    data.mkdir()
    reason = _mount(folder / "disk.img", data, size)
    try:
        yield data, reason
    finally:
        if not reason:
            subprocess.run(["umount", "--lazy", str(data)], check=False)


def _mount(image: Path, data: Path, size: int) -> str:
    if os.geteuid() != 0:
        return "only root may mount a disk"
    if missing := [program for program in ("mkfs.ext4", "mount", "fsfreeze") if not shutil.which(program)]:
        return f"there is no {missing[0]} here"
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS):
        return f"no mount namespace: {os.strerror(ctypes.get_errno())}"
    with image.open("wb") as file:
        file.truncate(size)
    for command in (
        ["mount", "--make-rprivate", "/"],
        ["mkfs.ext4", "-q", "-m", "0", str(image)],
        ["mount", "-o", "loop", str(image), str(data)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"{command[0]}: {done.stderr.strip()}"
    return ""
