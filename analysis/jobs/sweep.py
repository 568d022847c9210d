"""Looking after all jobs, from a process that computes none: lost workers' jobs, and those nobody was told of."""

from __future__ import annotations

import logging
import time

from django.conf import settings

from analysis.jobs import routing, sharding, transitions, wake

# After the sweep could not look for a while (a restart, Postgres away), workers get so many heartbeats to speak first.
GRACE_HEARTBEATS = 3

logger = logging.getLogger(__name__)


class Sweep:
    """One look at all jobs, each time it is called."""

    def __init__(self) -> None:
        self._watching_since: float | None = None

    def __call__(self) -> None:
        """Take jobs from lost workers, move on jobs in parts or of a gone GPU, and wake workers for forgotten ones."""
        try:
            self._reap()
            sharding.sweep()
            if moved := routing.reroute():
                logger.warning("%d jobs no longer wait for a worker with a GPU", moved)
        except BaseException:
            # What was silent while nobody looked may speak again first.
            self._watching_since = None
            raise
        try:
            sent = wake.resend()
        except wake.UNREACHABLE as error:
            logger.warning("Redis does not answer; queued jobs wait: %s", error)
            return
        if sent:
            logger.info("%d queued jobs were sent again", sent)

    def _reap(self) -> None:
        now = time.monotonic()
        if self._watching_since is None:
            self._watching_since = now
        if now - self._watching_since < GRACE_HEARTBEATS * settings.LAB_JOB_HEARTBEAT:
            return
        counts = transitions.reap()
        if any(counts.values()):
            logger.warning("Jobs of lost workers: %s", counts)
