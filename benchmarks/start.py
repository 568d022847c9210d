"""From `./lab up` to the banner: in an empty directory, and again in the same one.

Everything is started and ended as a person does it, with databases of its own. The second start installs, creates and
migrates nothing; what remains is loading the programs, so a busy machine takes a multiple of an idle one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BANNER = "Ctrl-C stops everything."
AGAIN_SECONDS = 45.0


def run() -> list[dict[str, Any]]:
    """Return the seconds of both starts; broken where the second takes longer than promised for two busy cores."""
    with tempfile.TemporaryDirectory(prefix="labsite-start-") as home:
        first, second = _seconds(home), _seconds(home)
    return [
        _row("first start, nothing there yet", first, None),
        _row("second start", second, AGAIN_SECONDS),
    ]


def _seconds(home: str) -> float:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LAB_", "DJANGO_"))}
    began = time.monotonic()
    running = subprocess.Popen(
        [str(ROOT / "lab"), "up", "--home", home, "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        env=inherited,
    )
    assert running.stdout is not None
    said = []
    with running.stdout as lines:
        for line in lines:
            said.append(line)
            if BANNER in line:
                taken = time.monotonic() - began
                running.send_signal(signal.SIGINT)
                lines.read()
                break
    if running.wait() or BANNER not in said[-1]:
        raise RuntimeError(f"./lab up did not come to its banner: {''.join(said)}")
    return taken


def _row(name: str, seconds: float, promise: float | None) -> dict[str, Any]:
    return {
        "name": f"start: {name}",
        "value": seconds,
        "unit": "s",
        "peer": None if promise is None else "promise",
        "peer_value": promise,
        "ratio": None if promise is None else seconds / promise,
        "broken": promise is not None and seconds > promise,
    }
