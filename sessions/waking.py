"""Waking a worker for a row. A message may be lost: the row says what is missing, and a sweep asks again."""

from __future__ import annotations

import logging
from typing import Any

from celery import Task
from kombu.exceptions import OperationalError

log = logging.getLogger(__name__)


def wake_worker(task: Task, row_id: Any, what: str) -> None:
    """Ask a worker to do a task for a row; without a broker the log says that ``what`` of it waits."""
    try:
        task.delay(str(row_id))
    except (OperationalError, OSError):
        log.warning("%s %s waits for the sweep: the broker does not answer", what, row_id)
