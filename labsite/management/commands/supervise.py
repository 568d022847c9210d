"""What nobody waits for but somebody must do: jobs of lost workers, forgotten jobs, unhashed files, alerts.

A process of its own, watching what it is no part of. Each duty has a thread and a period of its own, so that a slow one
does not keep the lost workers' jobs waiting.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import connections

from analysis.jobs.sweep import Sweep
from labsite.stack.alive import announce

# A duty that did not come back for so long after its time makes the process not alive, and /healthz says so.
STUCK_SECONDS = 120.0
# Duties of the other apps: module, function, seconds between two calls. An app without such a module has no duty.
DUTIES = (
    ("sessions.tasks", "sweep_unhashed", 60.0),
    ("sessions.tasks", "sweep_sheets", 30.0),
    ("sessions.tasks", "sweep_uploads", 300.0),
    ("sessions.tasks", "sweep_copies", 30.0),
    ("sessions.tasks", "look_at_files", 10.0),
    ("sessions.tasks", "read_files", 10.0),
    ("analysis.chains.advancing", "sweep_chains", 2.0),
    ("cameras.tasks", "sweep_proxies", 30.0),
    ("cameras.tasks", "sweep_ring", 20.0),
    ("cameras.tasks", "watch_cameras", 1.0),
    ("cameras.tasks", "tell_alerts", 2.0),
)

logger = logging.getLogger("labsite.supervise")


@dataclass
class Duty:
    """Something done again and again until the process ends."""

    name: str
    do: Callable[[], object]
    period: float
    ended: threading.Event
    came_back: float = field(default_factory=time.monotonic)

    @property
    def alive(self) -> bool:
        """Whether it came back lately: a duty that rests until its next time is not stuck."""
        return time.monotonic() - self.came_back < self.period + STUCK_SECONDS

    def run(self) -> None:
        """Do it every period; what goes wrong is logged, and the next time tries again."""
        while not self.ended.is_set():
            try:
                self.do()
            except Exception:
                # A duty must outlive a database that restarts and a row that surprises it; the log has the reason.
                logger.exception("%s failed; it is tried again in %g s", self.name, self.period)
                connections.close_all()
            self.came_back = time.monotonic()
            self.ended.wait(self.period)
        connections.close_all()


class Command(BaseCommand):
    help = "Look after jobs, files and proxies until told to stop."

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        ended = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        duties = [Duty("jobs", Sweep(), settings.LAB_SUPERVISE_PERIOD, ended)]
        for place, name, period in DUTIES:
            if find_spec(place) is None:
                continue
            duties.append(Duty(f"{place}.{name}", getattr(import_module(place), name), period, ended))
        threads = [threading.Thread(target=duty.run, name=duty.name, daemon=True) for duty in duties]
        for thread in threads:
            thread.start()
        alive = announce("supervise", lives=lambda: all(duty.alive for duty in duties))
        ended.wait()
        alive.stop()
        for thread in threads:
            thread.join(5)
