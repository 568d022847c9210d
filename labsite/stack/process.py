"""One process of the stack: how it is started, watched, logged and ended."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labsite.stack.logs import Log
from labsite.stack.services import Command

# Everything runs in the project's directory, where its packages are found.
ROOT = Path(__file__).resolve().parent.parent.parent
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 30.0
# One that ran this long had started well: the next crash is a new story.
SETTLED_SECONDS = 60.0


@dataclass(frozen=True)
class Process:
    """What the supervisor keeps running.

    `argv` begins with the program; `environment` is added to the stack's. On stopping it gets `stop_signal` and, after
    `stop_seconds`, is killed with everything in its process group.
    """

    name: str
    argv: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    pass_fds: tuple[int, ...] = ()
    nice: int = 0
    # What a service of the stack needs besides: another account, another signal when the supervisor dies.
    command: Command | None = None


def python(name: str, *arguments: str, **more: Any) -> Process:
    """A process that runs this environment's Python with `arguments`."""
    return Process(name, (sys.executable, *arguments), **more)


def servers(part: str, listener: socket.socket, count: int) -> list[Process]:
    """`count` servers of pages or of cameras that take connections from one listening socket.

    Whoever is idle takes the next one; one that has died leaves its share to the others.
    """
    number = listener.fileno()
    names = [part if each == 1 else f"{part}-{each}" for each in range(1, count + 1)]
    arguments = ("-m", "labsite.stack.serve", part, "--fd", str(number))
    return [python(name, *arguments, pass_fds=(number,), stop_seconds=10.0) for name in names]


class Child:
    """A process that is started again, after a growing pause, whenever it ends by itself."""

    def __init__(self, process: Process, log: Log, environment: dict[str, str], changed: Callable[[], None]) -> None:
        self.process = process
        self.restarts = 0
        # How its last run ended, empty while it never did.
        self.ended = ""
        self.pid = 0
        self.started_at = 0.0
        self.state = "waiting"
        self._log = log
        self._environment = environment
        self._changed = changed
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Keep it running from now on."""
        self._task = asyncio.create_task(self._keep(), name=self.process.name)

    async def _keep(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            began = time.monotonic()
            status = await self._run_once()
            if self._stopping.is_set():
                break
            if time.monotonic() - began > SETTLED_SECONDS:
                pause = FIRST_PAUSE
            self.ended = ending(status)
            self.state = f"restarting in {pause:.1f} s"
            self._note(f"ended with {self.ended}; starts again in {pause:.1f} s")
            self._changed()
            try:
                await asyncio.wait_for(self._stopping.wait(), pause)
            except TimeoutError:
                self.restarts += 1
            pause = min(LONGEST_PAUSE, pause * 2)
        self.pid = 0
        self.state = "stopped"

    async def _run_once(self) -> int:
        command = self.process.command or Command(self.process.argv, nice=self.process.nice)
        running = await asyncio.create_subprocess_exec(
            *command.launched(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**self._environment, **command.environment, **self.process.environment},
            pass_fds=self.process.pass_fds,
        )
        self.pid, self.started_at, self.state = running.pid, time.time(), "running"
        self._changed()
        reading = asyncio.create_task(self._log.copy(running.stdout))  # type: ignore[arg-type]
        stopping = asyncio.create_task(self._stop_when_asked(running))
        status = await running.wait()
        stopping.cancel()
        # What it started may have outlived it, and would hold its port, its files and the pipe of the log.
        kill_group(running.pid)
        try:
            await asyncio.wait_for(reading, 2)
        except TimeoutError:
            self._note("something that it started still holds its output")
        return status

    async def _stop_when_asked(self, running: asyncio.subprocess.Process) -> None:
        await self._stopping.wait()
        self.state = "stopping"
        send(running.pid, self.process.stop_signal)
        # One that was paused would not see it otherwise.
        send(running.pid, signal.SIGCONT)
        await asyncio.sleep(self.process.stop_seconds)
        self._note(f"did not stop within {self.process.stop_seconds:.0f} s and is killed")
        kill_group(running.pid)
        send(running.pid, signal.SIGKILL)

    def _note(self, text: str) -> None:
        self._log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} supervisor: {self.process.name} {text}\n".encode())

    async def stop(self) -> None:
        """End it and wait until it is gone."""
        self._stopping.set()
        if self._task is not None:
            await self._task
        self._log.close()

    def kill(self) -> None:
        """End it without asking; `stop` is waiting for that."""
        if self.pid:
            kill_group(self.pid)
            send(self.pid, signal.SIGKILL)


def ending(status: int) -> str:
    """How a process ended, in words."""
    if status < 0:
        try:
            return signal.Signals(-status).name
        except ValueError:
            return f"signal {-status}"
    return f"status {status}"


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may be gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def kill_group(pid: int) -> None:
    """Kill what is left of the group that a process of the stack led."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        # Nothing is left of it; macOS says the latter for a group of ended processes.
        return


def started_ticks(pid: int) -> int:
    """When a process started, in clock ticks (0: not known); with its number it names a process for good."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0
