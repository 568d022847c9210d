"""How each process of the stack says that it lives: a key in Redis that it renews and that runs out by itself.

The parts are `web`, `ingest`, `supervise` and, for each queue that some worker reads, `worker.<queue>`.
`python -m labsite.stack.alive PART` exits with 0 where that part lives: the health check of a container.
"""

import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable

import redis
from django.conf import settings

LIFETIME_SECONDS = 15
PERIOD_SECONDS = 4

logger = logging.getLogger(__name__)


def key(part: str) -> str:
    """The Redis key that exists while `part` lives."""
    return f"lab:alive:{part}"


def connect(timeout: float = 2.0) -> redis.Redis:
    """A connection of its own to the laboratory's Redis, which gives up after `timeout` seconds."""
    return redis.Redis.from_url(settings.LAB_REDIS_URL, socket_timeout=timeout, socket_connect_timeout=timeout)


class Announcement:
    """Renews the keys of some parts from a thread until stopped, for as long as `lives()` holds."""

    def __init__(self, parts: tuple[str, ...], lives: Callable[[], bool]) -> None:
        self._parts = parts
        self._lives = lives
        self._ended = threading.Event()
        self._value = json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": int(time.time())})
        self._thread = threading.Thread(target=self._run, name="alive", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Say at once that the parts are gone, instead of letting the keys run out."""
        self._ended.set()
        self._thread.join(LIFETIME_SECONDS)

    def _run(self) -> None:
        client = connect()
        reachable = True
        while not self._ended.is_set():
            try:
                if self._lives():
                    with client.pipeline(transaction=False) as pipe:
                        for part in self._parts:
                            pipe.set(key(part), self._value, ex=LIFETIME_SECONDS)
                        pipe.execute()
                reachable = True
            except redis.RedisError as error:
                # Redis may be restarting; one line is enough, and a healthy one must know of us soon.
                if reachable:
                    logger.warning("Redis does not answer: %s", error)
                reachable = False
            self._ended.wait(PERIOD_SECONDS if reachable else 0.5)
        self._withdraw(client)

    def _withdraw(self, client: redis.Redis) -> None:
        try:
            for part in self._parts:
                # Another worker of the same queue may have written it since; its next renewal brings it back.
                if client.get(key(part)) == self._value.encode():
                    client.delete(key(part))
        except redis.RedisError as error:
            logger.info("The keys of %s run out by themselves: %s", ", ".join(self._parts), error)
        finally:
            client.close()


def is_alive(part: str) -> bool:
    """Whether `part` has said so in the last seconds; False too where Redis does not answer."""
    try:
        with connect() as client:
            return bool(client.exists(key(part)))
    except redis.RedisError as error:
        logger.warning("Redis does not answer: %s", error)
        return False


def announce(*parts: str, lives: Callable[[], bool] = lambda: True) -> Announcement:
    """Say from now on that `parts` live, while `lives()` is true; keep the result to stop it."""
    return Announcement(parts, lives)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "labsite.settings")
    sys.exit(0 if all(is_alive(part) for part in sys.argv[1:]) else 1)
