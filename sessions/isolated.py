"""The other end of ``sessions.isolation``: ``python -m sessions.isolated``. It knows no Django and no secrets.

It reads requests, one JSON object a line, and forks for each of them. What the function of a request does, it does to
that fork: crash, never end, or ask for all memory.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import select
import signal
import sys
import time
from typing import Any

MEMORY_BYTES = 3 << 30
FILES_OPEN = 128
REPLY_BYTES = 16 << 20
# What most headers and pages need, loaded once and shared by all forks.
PRELOADED = (
    "numpy", "h5py", "scipy.io", "scipy.signal", "av", "neo.rawio", "probeinterface", "analysis.readers.describing",
    "analysis.readers.traces", "analysis.readers.unitsheet",
)  # fmt: skip


def main() -> None:
    """Answer requests until the standard input ends."""
    # A person's Ctrl-C at the terminal reaches this process too; it ends when the one that asks does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.dont_write_bytecode = True
    for name in PRELOADED:
        importlib.import_module(name)
    for line in sys.stdin.buffer:
        request = json.loads(line)
        sys.stdout.write(json.dumps(answer(request)) + "\n")
        sys.stdout.flush()


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Return ``{"value": ...}``, or ``{"error": sentence}`` when the fork came to no value."""
    seconds = float(request["seconds"])
    source, sink = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(source)
        _work(request, sink, seconds)
    os.close(sink)
    try:
        told = _heard(source, time.monotonic() + seconds)
    finally:
        os.close(source)
        if told_late := os.waitpid(pid, os.WNOHANG) == (0, 0):
            os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1] if told_late else 0
    if told is None:
        return {"error": f"reading it took longer than {seconds:g} s and was given up"}
    if len(told) >= REPLY_BYTES:
        return {"error": f"there is more in it than the {REPLY_BYTES >> 20} MB that are read at once"}
    try:
        return dict(json.loads(told))
    except ValueError:
        return {"error": _ending(status)}


def _heard(source: int, deadline: float) -> bytearray | None:
    """Return all that comes before the fork closes its end, or the beginning of too much; ``None`` at the deadline."""
    told = bytearray()
    while len(told) < REPLY_BYTES:
        if not select.select([source], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return None
        part = os.read(source, 1 << 16)
        if not part:
            return told
        told += part
    return told


def _ending(status: int) -> str:
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if number == signal.SIGXCPU:
        return "reading it needs more time than a header should and was given up"
    named = f" ({signal.Signals(number).name})" if number else ""
    return f"it is damaged in such a way that reading it crashed{named}"


def _work(request: dict[str, Any], sink: int, seconds: float) -> None:
    """Do what is asked and end the process; nothing of it returns to the loop of the parent."""
    try:
        _limit(seconds)
        for descriptor in (0, 1, 2):
            os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)
        reply = json.dumps(_value(request), allow_nan=False).encode()
        while reply:
            reply = reply[os.write(sink, reply) :]
        os._exit(0)
    finally:
        os._exit(1)


def _value(request: dict[str, Any]) -> dict[str, Any]:
    module, _, name = request["function"].partition(":")
    try:
        return {"value": _plain(getattr(importlib.import_module(module), name)(*request["arguments"]))}
    except MemoryError:
        return {"error": "it asks for more memory than a header should: it is damaged"}
    except RecursionError:
        return {"error": "it is nested deeper than a header should be: it is damaged"}
    except Exception as error:  # noqa: BLE001
        # Whatever a parser raises on a damaged file ends here, as one sentence for who registers it.
        told = (str(error).splitlines() or [""])[0][:300]
        return {"error": told or type(error).__name__, "kind": type(error).__name__}


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it: numbers of NumPy as Python's, those that are not finite as ``None``."""
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not abs(value) < float("inf"):
        return None
    return value


def _limit(seconds: float) -> None:
    """Bound memory, time and what can be written: a header is read, nothing more."""
    cpu = max(1, int(seconds) + 1)
    for name, soft in (
        (resource.RLIMIT_DATA, MEMORY_BYTES), (resource.RLIMIT_CPU, cpu), (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_NOFILE, FILES_OPEN),
    ):  # fmt: skip
        hard = resource.getrlimit(name)[1]
        bound = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
        resource.setrlimit(name, (bound, bound))


if __name__ == "__main__":
    main()
