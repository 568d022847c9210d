"""Starting, hearing and ending the child process of a job."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from django.conf import settings

from analysis.jobs.surroundings import THREAD_VARIABLES

# The computation reads files and numbers; what opens the laboratory's doors is none of its business.
WITHHELD = ("LAB_SECRET_KEY", "LAB_DATABASE_URL", "LAB_REDIS_URL")
# A cancelled computation may use so long to end by itself.
GRACE_SECONDS = 2.0
MESSAGE_CHARACTERS = 4 << 20

logger = logging.getLogger(__name__)


class Child:
    """``python -m analysis.jobs.child FOLDER`` in a process group of its own; every message goes to ``hear``."""

    def __init__(self, folder: Path, threads: int, hear: Callable[[dict[str, Any]], None]) -> None:
        self._hear = hear
        self._process = subprocess.Popen(
            [sys.executable, "-m", "analysis.jobs.child", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=self._environment(threads),
            start_new_session=True,
        )
        readers = ((self._read_messages, self._process.stdout), (self._read_prints, self._process.stderr))
        self._readers = [
            threading.Thread(target=read, args=(stream,), name="words of a job", daemon=True)
            for read, stream in readers
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _environment(threads: int) -> dict[str, str]:
        paths = [str(settings.BASE_DIR), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        kept = {name: value for name, value in os.environ.items() if name not in WITHHELD}
        limits = dict.fromkeys(THREAD_VARIABLES, str(threads))
        if settings.LAB_JOB_THREADS > 0:
            limits["LAB_THREADS"] = str(settings.LAB_JOB_THREADS)
        models = str(settings.LAB_MODELS)
        return {
            **kept,
            **limits,
            "LAB_MODELS": models,
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONUNBUFFERED": "1",
            "MPLBACKEND": "agg",
        }

    @property
    def pid(self) -> int:
        """The process id, which is its group's too."""
        return self._process.pid

    def wait(self, seconds: float) -> int | None:
        """Return the exit status, negative for a signal, or ``None`` if it still runs after so long."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def end(self) -> None:
        """End the computation and all that it started: asked first, killed after a moment."""
        self._signal(signal.SIGTERM)
        if self.wait(GRACE_SECONDS) is None:
            logger.info("The computation %s did not end when asked and is killed", self.pid)

    def close(self) -> None:
        """Leave nothing of the process group, and hear the messages to their end."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        for reader in self._readers:
            # Something that left the group may still hold the pipes; its words are not waited for.
            reader.join(GRACE_SECONDS)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            # Nothing is left of the group.
            return

    def _read_messages(self, stream: IO[bytes]) -> None:
        for line in iter(lambda: stream.readline(MESSAGE_CHARACTERS), b""):
            try:
                message = json.loads(line)
            except ValueError:
                message = {"log": line.decode(errors="replace")}
            self._hear(message if isinstance(message, dict) else {"log": str(message)})

    def _read_prints(self, stream: IO[bytes]) -> None:
        for line in iter(lambda: stream.readline(MESSAGE_CHARACTERS), b""):
            self._hear({"log": line.decode(errors="replace")})


def ending(status: int) -> str:
    """Return a sentence on a computation that ended by itself without saying why."""
    if status == -signal.SIGKILL:
        return (
            "The computation was killed (SIGKILL) by something outside of it, most often because the machine ran out of"
            " memory. Run it on a shorter recording, or on a worker with more memory."
        )
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        return f"The computation crashed inside compiled code ({name}); the log has what it printed last."
    return f"The computation ended with status {status} and said nothing; the log has what it printed last."
