"""What this worker process is called, whether it is leaving, and its row that tells the pages that somebody computes.

The row is in Postgres, so that a page knows how the workers do also when Redis is away.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from typing import Any

from celery.signals import worker_ready, worker_shutting_down
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.models.functions import Now

from analysis.jobs import routing
from analysis.jobs.models import Worker

# Set when the worker was asked to end: its jobs are given back rather than waited for, which may take hours.
leaving = threading.Event()

logger = logging.getLogger(__name__)
_reports: list[Report] = []


def worker_name() -> str:
    """Return the name under which this process computes."""
    return _reports[-1].name if _reports else f"{socket.gethostname()}:{os.getpid()}"


def threads_per_job() -> int:
    """Return how many threads one computation may use: the cores, shared by the jobs that run here at a time."""
    if settings.LAB_JOB_THREADS > 0:
        return settings.LAB_JOB_THREADS
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // (_reports[-1].slots if _reports else 1))


class Report:
    """Writes the worker's row every heartbeat until it leaves."""

    def __init__(self, *, name: str, queues: list[str], slots: int) -> None:
        self.name, self.queues, self.slots = name, queues, slots
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="worker's row", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Write that the worker is gone."""
        self._ended.set()

    def _run(self) -> None:
        started = False
        while True:
            ending = self._ended.wait(settings.LAB_JOB_HEARTBEAT if started else 0)
            try:
                values: dict[str, Any] = {
                    "queues": self.queues,
                    "slots": self.slots,
                    "packages": routing.installed(),
                    "seen": Now(),
                }
                values["stopped"] = Now() if ending else None
                if not started:
                    values["started"] = Now()
                Worker.objects.update_or_create(
                    name=self.name, defaults=values, create_defaults={"started": Now()} | values
                )
                started = True
            except (DatabaseError, InterfaceError) as error:
                # Postgres may be restarting, and the next report is soon.
                logger.warning("The worker's row could not be written: %s", error)
                connection.close()
                if not ending and self._ended.wait(1.0):
                    break
            if ending:
                break
        connection.close()


@worker_ready.connect
def _say_ready(sender: Any, **_: Any) -> None:
    leaving.clear()
    queues = sorted(sender.app.amqp.queues.consume_from)
    _reports.append(Report(name=sender.hostname, queues=queues, slots=sender.pool.limit or 1))


@worker_shutting_down.connect
def _say_leaving(**_: Any) -> None:
    leaving.set()
    while _reports:
        _reports.pop().end()
