"""`./lab test`: pytest with a LAB_HOME of its own, and then a look whether anything was left running."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from labsite.stack.process import ROOT

PR_SET_CHILD_SUBREAPER = 36
# What is ending as the tests end may take this long.
GRACE_SECONDS = 10.0
REAP_SECONDS = 5.0
MOST_PROCESSES = 4


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that none is lost from sight (Linux)."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children() -> dict[int, str]:
    """Command lines of the living children of this process by number; those that ended are waited for."""
    import psutil

    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                break
        except ChildProcessError:
            return {}
    found = {}
    for child in psutil.Process().children(recursive=True):
        try:
            if child.status() != psutil.STATUS_ZOMBIE:
                found[child.pid] = " ".join(child.cmdline())[:160] or child.name()
        except psutil.NoSuchProcess:
            continue
    return found


def left_behind(seconds: float = GRACE_SECONDS) -> dict[int, str]:
    """Children that still live after `seconds`; they are killed."""
    import psutil

    deadline = time.monotonic() + seconds
    while found := children():
        if time.monotonic() > deadline:
            for pid in found:
                try:
                    os.kill(pid, 9)
                except ProcessLookupError:
                    continue
            # Waited for, so that not even a zombie is left; one that the kernel holds in a system call may take long.
            deadline = time.monotonic() + REAP_SECONDS
            while (children() or any(map(psutil.pid_exists, found))) and time.monotonic() < deadline:
                time.sleep(0.05)
            return found
        time.sleep(0.1)
    return {}


def in_parallel(rest: list[str]) -> list[str]:
    """Pytest's options that share all tests between processes; none where a part of them was named.

    Every process starts a Postgres and a Redis, which it cannot where the caller names servers.
    """
    named = any(not argument.startswith("-") for argument in rest)
    cores = os.cpu_count() or 1
    if named or cores < 2 or "LAB_REDIS_URL" in os.environ or "LAB_DATABASE_URL" in os.environ:  # noqa: PLR2004
        return []
    return ["-n", str(min(cores, MOST_PROCESSES)), "--dist", "loadscope", "--no-loadscope-reorder"]


def main(arguments: list[str]) -> int:
    """Run the tests; returns pytest's exit status, or 1 where they left a process behind."""
    long = "--long" in arguments
    rest = [argument for argument in arguments if argument != "--long"]
    adopt_orphans()
    home = Path(tempfile.mkdtemp(prefix="labsite-test-"))
    environment = {
        name: value
        for name, value in os.environ.items()
        # The laboratory that runs on this machine is none of the tests' business; its servers may be named.
        if not name.startswith("LAB_") or name in ("LAB_DATABASE_URL", "LAB_REDIS_URL", "LAB_VENV")
    }
    environment |= {"LAB_HOME": str(home), "MPLBACKEND": "agg"}
    command = [sys.executable, "-m", "pytest", *([] if long else ["-m", "not long"]), *in_parallel(rest), *rest]
    # A shell starts what it puts into the background with SIGINT ignored, which pytest would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    running = subprocess.Popen(command, cwd=ROOT, env=environment)
    # Told to stop, pytest must still end what its tests started.
    signal.signal(signal.SIGTERM, lambda *_: running.send_signal(signal.SIGINT))
    status = None
    while status is None:
        try:
            status = running.wait()
        except KeyboardInterrupt:
            # The terminal sent it to pytest, too, which ends its tests and what they started.
            continue
    found = left_behind()
    shutil.rmtree(home, ignore_errors=True)
    for pid, words in found.items():
        print(f"lab: the tests left process {pid} running: {words}", file=sys.stderr)
    return status or (1 if found else 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
