"""Writing to a Postgres that may be restarting."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

AGAIN_SECONDS = 0.5

T = TypeVar("T")
logger = logging.getLogger(__name__)


def persist(write: Callable[[], T]) -> T:
    """Write, trying again while Postgres is away, for as long as a job's claim can hold."""
    deadline = time.monotonic() + settings.LAB_JOB_STALE
    while True:
        try:
            return write()
        except (OperationalError, InterfaceError) as error:
            connection.close()
            if time.monotonic() > deadline:
                raise
            logger.warning("Postgres does not answer, trying again: %s", error)
            time.sleep(AGAIN_SECONDS)
