"""Calling a function on a file that may be damaged or hostile: where its crash, or its endless loop, harms nobody.

``isolated`` asks a process that was started for this; it forks for every call, with bounded time and memory, without
the secrets of this process and without the right to write a byte. No Django.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SECONDS = 30.0
# While all of them are busy one is waited for so long (s): most files take a small part of that, and to start one takes
# seconds of processor time. Then a further one is started, which ends when it has answered.
KEPT = 2
PATIENCE = 10.0
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONPATH", "TMPDIR")
ROOT = Path(__file__).resolve().parents[1]

_lock = threading.Lock()
_given = threading.Condition(_lock)
# How many are asked something now, by the process that asks: one that was forked of this starts with none.
_busy: Counter[int] = Counter()
_idle: list[tuple[int, subprocess.Popen[bytes]]] = []


class IsolationError(Exception):
    """The function came to no value; the text says why, without naming the file."""


def isolated(function: str, *arguments: Any, seconds: float = SECONDS) -> Any:
    """Return what ``module:function`` returns of the arguments (as JSON); ``IsolationError`` when that is nothing.

    An exception of the function, a crash, more memory than a header needs, and more time than ``seconds`` all end so.
    """
    request = {"function": function, "arguments": arguments, "seconds": seconds}
    line = json.dumps(request).encode() + b"\n"
    for _ in range(2):
        with _turn():
            process = _taken()
            reply = _asked(process, line)
            if reply:
                _given_back(process)
            else:
                # It was ended from outside, perhaps while it was idle: another is asked, once.
                _ended(process)
        if reply:
            told = json.loads(reply)
            if "error" in told:
                raise IsolationError(told["error"])
            return told["value"]
    raise IsolationError("the process that reads headers was ended from outside; try again")


@contextmanager
def _turn() -> Iterator[None]:
    """Wait until one of those that are kept is free, or long enough."""
    owner = os.getpid()
    with _given:
        _given.wait_for(lambda: _busy[owner] < KEPT, PATIENCE)
        _busy[owner] += 1
    try:
        yield
    finally:
        with _given:
            _busy[owner] -= 1
            _given.notify()


def _taken() -> subprocess.Popen[bytes]:
    with _lock:
        while _idle:
            owner, process = _idle.pop()
            # One of the process that this one was forked of is not ours to talk to.
            if owner == os.getpid():
                return process
    paths = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return subprocess.Popen(
        [sys.executable, "-m", "sessions.isolated"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**kept, **threads, "PYTHONPATH": os.pathsep.join(paths)},
    )


def _asked(process: subprocess.Popen[bytes], line: bytes) -> bytes:
    if process.stdin is None or process.stdout is None:
        return b""
    try:
        process.stdin.write(line)
        process.stdin.flush()
        return process.stdout.readline()
    except OSError:
        return b""


def _given_back(process: subprocess.Popen[bytes]) -> None:
    with _lock:
        if len(_idle) < KEPT:
            _idle.append((os.getpid(), process))
            return
    _ended(process)


def _ended(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            try:
                stream.close()
            except OSError:
                # What was still to be written has nobody to read it.
                continue


@atexit.register
def _end_all() -> None:
    with _lock:
        mine = [process for owner, process in _idle if owner == os.getpid()]
        _idle.clear()
    for process in mine:
        _ended(process)
