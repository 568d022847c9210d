"""`GET /healthz`: whether every part of the laboratory serves, in one bounded look."""

import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from pathlib import Path
from typing import Any

import psycopg
import redis
from django.conf import settings
from django.db import connections
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from labsite.stack import alive
from labsite.stack.home import LEAST_FREE_BYTES
from labsite.stack.workers import QUEUES

PART_SECONDS = 2.0
# However many ask, the parts are looked at once in this time.
CACHE_SECONDS = 1.0

ANNOUNCED = ("ingest", *(f"worker.{queue}" for queue in QUEUES), "supervise")

Part = dict[str, Any]


def _ok(**more: object) -> Part:
    return {"ok": True, **more}


def _bad(detail: str) -> Part:
    return {"ok": False, "detail": detail}


def _postgres() -> dict[str, Part]:
    # A connection of its own: one that the pages use may hang in the very way that is asked about.
    parameters = connections["default"].get_connection_params()
    known = {
        name: value for name, value in parameters.items() if name in ("dbname", "user", "password", "host", "port")
    }
    try:
        with psycopg.connect(**known, connect_timeout=2, options="-c statement_timeout=1500") as connection:
            connection.execute("select 1")
    except psycopg.Error as error:
        return {"postgres": _bad((str(error).strip() or type(error).__name__).splitlines()[0])}
    return {"postgres": _ok()}


def _redis() -> dict[str, Part]:
    try:
        with alive.connect(timeout=1.5) as client:
            found = client.mget([alive.key(part) for part in ANNOUNCED])
    except redis.RedisError as error:
        # Whether the others live is told through Redis, so nothing is known of them.
        return {"redis": _bad(str(error))} | {part: _bad("not known while redis is away") for part in ANNOUNCED}
    parts = {"redis": _ok()}
    for part, value in zip(ANNOUNCED, found, strict=True):
        parts[part] = _ok() if value else _bad(f"has not been heard of for {alive.LIFETIME_SECONDS} s")
    return parts


def _disk() -> dict[str, Part]:
    least, frees = LEAST_FREE_BYTES, []
    for directory in {Path(settings.LAB_HOME), Path(settings.LAB_DATA_ROOT)}:
        try:
            free = shutil.disk_usage(directory).free
        except OSError as error:
            return {"disk": _bad(f"{error.strerror}")}
        if free < least:
            return {"disk": _bad(f"{free / 1e9:.2f} GB free, {least / 1e9:.2f} GB are needed")}
        frees.append(free)
    return {"disk": _ok(free_bytes=min(frees))}


class HealthCheck:
    """Looks at all parts at the same time, each for a bounded time, and remembers the answer for a moment."""

    def __init__(self, looks: dict[Callable[[], dict[str, Part]], tuple[str, ...]]) -> None:
        self._looks = looks
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(max_workers=len(looks), thread_name_prefix="health")
        # A look that hangs keeps its thread; it is not started again before it came back.
        self._running: dict[Callable[[], dict[str, Part]], Future[dict[str, Part]]] = {}
        self._answer: dict[str, Part] = {}
        self._until = 0.0

    def look(self) -> dict[str, Part]:
        """Return `{part: {"ok": bool, "detail": why not}}`, at most `CACHE_SECONDS` old."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._answer = self._look()
                self._until = time.monotonic() + CACHE_SECONDS
            return self._answer

    def _look(self) -> dict[str, Part]:
        for look in self._looks:
            running = self._running.get(look)
            if running is None or running.done():
                self._running[look] = self._pool.submit(look)
        deadline = time.monotonic() + PART_SECONDS
        answer: dict[str, Part] = {"web": _ok()}
        for look, parts in self._looks.items():
            try:
                answer |= self._running[look].result(max(0.0, deadline - time.monotonic()))
            except NotInTime:
                answer |= {part: _bad(f"did not answer within {PART_SECONDS:.0f} s") for part in parts}
        return answer


_check = HealthCheck({_postgres: ("postgres",), _redis: ("redis", *ANNOUNCED), _disk: ("disk",)})


@never_cache
@require_safe
def healthz(_request: HttpRequest) -> JsonResponse:
    """200 with each part when all of it serves; 503 naming the parts that do not."""
    parts = _check.look()
    failing = sorted(name for name, part in parts.items() if not part["ok"])
    body: dict[str, object] = {"status": "ok" if not failing else "failing", "failing": failing, "parts": parts}
    return JsonResponse(body, status=503 if failing else 200)
