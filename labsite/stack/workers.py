"""What the Celery workers of the stack are called and serve, and how a worker says that it lives."""

import time
from typing import Any

from celery.signals import heartbeat_sent, worker_ready, worker_shutting_down

from labsite.stack.alive import Announcement, announce

# Every queue that a working laboratory needs somebody to read. A gpu queue is read where there is a GPU.
QUEUES = ("default", "cpu")
# The consumer's own timer beats every two seconds; a consumer that lost the broker does not.
SILENT_SECONDS = 20.0

_announcements: list[Announcement] = []


class Pulse:
    """When this worker's consumer last went round its loop."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def beat(self) -> None:
        self._last = time.monotonic()

    def lives(self) -> bool:
        return time.monotonic() - self._last < SILENT_SECONDS


_pulse = Pulse()


@worker_ready.connect
def say_ready(sender: Any, **_: object) -> None:
    """A worker reads its queues from now on."""
    _pulse.beat()
    queues = sorted(sender.app.amqp.queues.consume_from)
    parts = [f"worker.{name}" for name in queues]
    _announcements.append(announce(*parts, lives=_pulse.lives))


@heartbeat_sent.connect
def beat(**_: object) -> None:
    """The worker's consumer went round its loop."""
    _pulse.beat()


@worker_shutting_down.connect
def say_gone(**_: object) -> None:
    """The worker takes no more work."""
    while _announcements:
        _announcements.pop().stop()
