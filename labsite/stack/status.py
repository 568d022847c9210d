"""`./lab status`: what runs on a LAB_HOME, how it does, which versions, and how much disk is left."""

import os
import platform
import signal
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from labsite.stack import services, state
from labsite.stack.home import free_bytes, home_path
from labsite.stack.process import ROOT
from labsite.stack.supervisor import look_at_health

NOT_RUNNING = 3
PACKAGES = ("django", "channels", "celery", "uvicorn", "psycopg", "redis", "numpy", "scipy", "opencv-python-headless")


def duration(seconds: float) -> str:
    """Seconds as a person says it: `42 s`, `7 min`, `3 h 5 min`, `2 d 3 h`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{rest} s"


def processes(home: Path) -> list[str]:
    """A line for each process that the supervisor keeps running."""
    rows = [f"{'process':<22}{'pid':>9}  {'state':<20}{'for':>12}{'memory':>10}{'restarts':>10}"]
    for process in state.read_state(home).get("processes", []):
        now = state.described(process["pid"]) if process["pid"] else {}
        age = duration(now["age"]) if now else "-"
        memory = f"{now['memory'] / 1e6:.0f} MB" if now else "-"
        last = f"  last ended with {process['ended']}" if process["ended"] else ""
        rows.append(
            f"{process['name']:<22}{process['pid'] or '-':>9}  {process['state']:<20}{age:>12}{memory:>10}"
            f"{process['restarts']:>10}{last}"
        )
    return rows


def versions() -> list[str]:
    """The versions that a bug report needs."""
    described = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--tags"],
        capture_output=True,
        text=True,
        check=False,
    )
    rows = [
        f"labsite {described.stdout.strip() or version_of('labsite')}",
        f"Python {platform.python_version()} on {platform.platform()}",
        _first_line([str(services.postgres_program("postgres")), "--version"]),
        _first_line([str(services.redis_program()), "--version"]),
    ]
    return [*rows, ", ".join(f"{name} {version_of(name)}" for name in PACKAGES)]


def version_of(package: str) -> str:
    """Version of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _first_line(command: list[str]) -> str:
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return (answer.stdout or answer.stderr).strip().partition("\n")[0]


def main() -> int:
    """Print it; returns 0 when all serves, 1 when a part does not, 3 when nothing runs."""
    # `./lab status | head` is no error.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    home = home_path(os.environ.get("LAB_HOME", ROOT / ".lab"))
    lines = [f"LAB_HOME {home}"]
    status = NOT_RUNNING
    if state.is_running(home):
        said = state.read_state(home)
        lines += [f"Running at {said.get('url', '?')} (process {said.get('pid', '?')})", "", *processes(home), ""]
        health = look_at_health(f"{said.get('url', '')}healthz") if said.get("url") else {}
        parts = health.get("parts", {})
        for name, part in sorted(parts.items()):
            lines.append(f"{name:<22}{'serves' if part['ok'] else 'FAILS: ' + part.get('detail', '')}")
        if not parts:
            lines.append(f"{'web':<22}FAILS: no answer from {said.get('url', 'it')}healthz")
        status = 0 if parts and not health.get("failing") else 1
    else:
        lines.append("Not running; ./lab up or ./lab demo starts it.")
    lines += ["", *versions(), f"{free_bytes(home) / 1e9:.1f} GB of disk free"]
    print("\n".join(lines))
    return status


if __name__ == "__main__":
    sys.exit(main())
