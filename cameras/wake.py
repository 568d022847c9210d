"""Tells ingest that Postgres has something new for it; without Redis it looks once a second by itself."""

from __future__ import annotations

import logging
from functools import cache

import redis
from django.conf import settings

from cameras.redisline import WAKE_CHANNEL

log = logging.getLogger(__name__)


@cache
def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_connect_timeout=1, socket_timeout=1)


def client() -> redis.Redis:
    """Return this process's client of Redis for small things; frames go another way (cameras.redisline)."""
    return _client(settings.LAB_REDIS_URL)


def wake_ingest() -> None:
    """Let ingest look now rather than within a second."""
    try:
        client().publish(WAKE_CHANNEL, b"1")
    except redis.RedisError as error:
        log.info("Ingest was not woken (%s); it looks by itself.", error)
