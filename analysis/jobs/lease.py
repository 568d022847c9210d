"""Holding a job while it is computed: a thread that says that it lives, tells how it goes, and hears of a cancel."""

from __future__ import annotations

import logging
import threading
import time

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from analysis.jobs import transitions
from analysis.jobs.transitions import Claim

# So often the row is looked at: a cancel is heard, and progress seen, within this.
LOOK_SECONDS = 1.0
# What a job prints between two looks is kept up to this; the rest is counted.
PENDING_CHARACTERS = 20_000
LINE_CHARACTERS = 2_000

logger = logging.getLogger(__name__)


class Lease:
    """Renews a claim until it is closed, and says through ``ended`` that the computation must stop."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.lost = False
        self.cancel = False
        self.ended = threading.Event()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._lines: list[str] = []
        self._characters = 0
        self._left_out = 0
        self._progress: float | None = None
        self._message: str | None = None
        self._last = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"lease {claim.job_id}", daemon=True)
        self._thread.start()

    def progress(self, fraction: float, message: str) -> None:
        """Tell with the next look how much is done."""
        with self._lock:
            self._progress, self._message = fraction, message

    def log(self, line: str) -> None:
        """Add a line to the log with the next look."""
        line = line.replace("\0", "").rstrip()[:LINE_CHARACTERS]
        with self._lock:
            if self._characters + len(line) > PENDING_CHARACTERS:
                self._left_out += 1
                return
            self._lines.append(line)
            self._characters += len(line) + 1

    def drain(self) -> str:
        """Return the part of the log that was not written yet; whoever ends the job writes it."""
        return self._take()[2]

    def close(self) -> None:
        """Stop renewing."""
        self._closing.set()
        self._thread.join()

    def _take(self) -> tuple[float | None, str | None, str]:
        with self._lock:
            if self._left_out:
                self._lines.append(f"... {self._left_out} lines left out")
            text = "".join(f"{line}\n" for line in self._lines)
            news = (self._progress, self._message, text)
            self._lines, self._characters, self._left_out = [], 0, 0
            self._progress = self._message = None
        return news

    def _run(self) -> None:
        look = min(LOOK_SECONDS, settings.LAB_JOB_HEARTBEAT)
        while not self._closing.wait(look):
            try:
                self._look()
            except (DatabaseError, InterfaceError) as error:
                # Postgres may be restarting. The computation goes on; when the rows are back, they say whose job it is.
                logger.warning("Job %s could not say that it lives: %s", self.claim.job_id, error)
                connection.close()
        connection.close()

    def _look(self) -> None:
        progress, message, log = self._take()
        due = time.monotonic() - self._last >= settings.LAB_JOB_HEARTBEAT
        if due or log or progress is not None:
            cancel = transitions.beat(self.claim, progress=progress, message=message, log=log)
            self._last = time.monotonic()
        else:
            cancel = self.claim.rows().values_list("cancel_requested", flat=True).first()
        if cancel is None:
            self.lost = True
        elif cancel:
            self.cancel = True
        if self.lost or self.cancel:
            self.ended.set()
