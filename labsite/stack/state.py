"""What runs on a LAB_HOME: the lock that one supervisor holds, and the file in which it says what it started."""

import fcntl
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

from labsite.stack import services
from labsite.stack.home import HomeError, write_private
from labsite.stack.process import kill_group, send, started_ticks


def _state_file(home: Path) -> Path:
    return home / "run" / "stack.json"


class HomeLock:
    """Held by the one process that runs services on a LAB_HOME; the kernel frees it however that process ends."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._file = (home / "run" / "lock").open("a")

    def take(self) -> None:
        """Take the lock; raises HomeError that says who has it."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            state = read_state(self._home)
            where = f" at {state['url']} (process {state['pid']})" if state.get("url") else ""
            raise HomeError(
                f"A laboratory already runs on LAB_HOME {self._home}{where}; stop it first, or choose another --home."
            ) from None


def is_running(home: Path) -> bool:
    """Whether a supervisor holds the LAB_HOME."""
    path = home / "run" / "lock"
    try:
        file = path.open("a")
    except OSError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def read_state(home: Path) -> dict[str, Any]:
    """What the last supervisor said: url, pid, addresses of the services, and each process. Empty if nothing."""
    try:
        state = json.loads(_state_file(home).read_text())
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def write_state(home: Path, state: dict[str, Any]) -> None:
    """Say what runs; only this user can read it, for it names the database."""
    write_private(_state_file(home), json.dumps(state, indent=1) + "\n")


def forget_state(home: Path) -> None:
    """Nothing runs any more."""
    _state_file(home).unlink(missing_ok=True)


def end_leftovers(home: Path) -> list[str]:
    """End what a killed supervisor left running on this LAB_HOME; returns the names of what was found.

    Call it with the lock held. The kernel ends the children of a supervisor that dies; this is for what hung then,
    for a database that is still closing, and for systems whose kernel does not do that.
    """
    found = []
    for process in read_state(home).get("processes", []):
        pid, ticks, name = process.get("pid", 0), process.get("ticks", 0), process.get("name", "")
        if name in ("postgres", "redis") or not pid or not ticks or started_ticks(pid) != ticks:
            continue
        found.append(name)
        kill_group(pid)
        send(pid, signal.SIGKILL)
    if services.running_postgres(home):
        found.append("postgres")
        services.stop_postgres(home)
    if services.running_redis(home):
        found.append("redis")
        services.stop_redis(home)
    forget_state(home)
    return found


def described(pid: int) -> dict[str, float]:
    """Age in seconds and resident memory in bytes of a process, where the kernel tells; else empty."""
    try:
        resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return {}
    return {"age": uptime - started_ticks(pid) / os.sysconf("SC_CLK_TCK"), "memory": resident, "now": time.time()}
