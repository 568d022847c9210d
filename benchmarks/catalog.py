"""Every list of the site and of REST over 100,000 sessions, 20,000 animals, 1,000,000 recordings and as many weighings.

Each list is asked for its first page of 250 by an administrator, who sees all, and by a member of one of 20 projects:
plainly, by each of its filters, in each of its orders, and by words where it is searched. A page may cost at most 12
queries, as many for 10 rows as for 250, and its median, the reply rendered, at most 150 ms. The worst of each list is
shown, the list nearest to its bound first.

What is judged is time on the processor, of this process and of its Postgres together: that says the same whatever else
the machine does. ``waited`` is what a clock said. With ``--home DIR`` the filled database stays there for the next run.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

# It fills a database of two gigabytes first.
ON_REQUEST = True
MOST_QUERIES = 12
MOST_MS = 150
ROWS = 250
# A request that is far below the bound is not asked for so often.
TIMES, FEWEST_TIMES = 5, 2
STORAGE = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
WORDS = ["R01234", "R0", "calm", "lfp", "probe 2 lfp", "day12 npy", "nowhere"]
# What the forms of the pages filter by.
PAGE_FILTERS: dict[str, list[dict[str, str]]] = {
    "lab:animals": [*({"q": words} for words in (*WORDS, "strain 3")), {"status": "alive"}],
    "lab:sessions": [
        {"day": "2025-01-02"}, {"animal": "R01234"}, {"animal": "R0"}, {"state": "ended"}, {"state": "running"}
    ],
    "lab:recordings": [*({"q": words} for words in WORDS), {"kind": "lfp"}, {"kind": "lfp", "q": "R01234"}],
    "lab:search": [{"q": words} for words in WORDS],
    "jobs": [{"state": "succeeded"}, {"state": "failed"}, {"pipeline": "decode.position"}],
}  # fmt: skip


@dataclass(frozen=True)
class ListAddress:
    """An address that answers a list: its name in the URL configuration, its path, the view set of REST."""

    name: str
    path: str
    view: Any = None

    @property
    def size_parameter(self) -> str:
        """How many rows a page has, in its query."""
        return "page_size" if self.view else "rows"


def rest_lists() -> list[ListAddress]:
    """Return every collection of REST, found by walking the URL configuration."""
    return [
        ListAddress(name, path, callback.cls)
        for name, path, callback in _walked()
        if path.startswith("/api/") and "get" in getattr(callback, "actions", {}) and name.endswith("-list")
    ]


def page_lists() -> list[ListAddress]:
    """Return every page whose address has no part to fill in, as that of one thing has; forms for a new one aside."""
    return [
        ListAddress(name, path)
        for name, path, _ in _walked()
        if name and not path.startswith(("/api/", "/admin/", "/static/")) and not path.endswith("/new/")
    ]


def _walked() -> Iterator[tuple[str, str, Any]]:
    from django.urls import get_resolver

    def below(resolver: Any, path: str, space: str) -> Iterator[tuple[str, str, Any]]:
        for pattern in resolver.url_patterns:
            route = path + str(pattern.pattern).removeprefix("^").removesuffix("$").removesuffix("\\Z")
            if hasattr(pattern, "url_patterns"):
                namespace = getattr(pattern, "namespace", None)
                yield from below(pattern, route, f"{space}{namespace}:" if namespace else space)
            elif not any(sign in route for sign in "<(\\"):
                yield f"{space}{pattern.name or ''}", route, pattern.callback

    return below(get_resolver(), "/", "")


def run() -> list[dict[str, Any]]:
    """Fill a catalog, unless it is filled already, and return the worst query count and median time of every list."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "labsite.settings")
    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection
    from django.test import override_settings

    from benchmarks._catalog_filling import fill
    from sessions.models import Project

    call_command("migrate", verbosity=0)
    if not Project.objects.exists():
        began = time.monotonic()
        fill()
        print(f"catalog: filled in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    with connection.cursor() as cursor:
        # What helpers of Postgres compute would not be counted.
        cursor.execute("SET max_parallel_workers_per_gather = 0")
    with override_settings(STORAGES={**settings.STORAGES, "staticfiles": STORAGE}, ALLOWED_HOSTS=["*"]):
        rows = []
        for address in [*rest_lists(), *page_lists()]:
            rows += _measure(address)
    return sorted(rows, key=lambda row: -row["ratio"])


def _measure(address: ListAddress) -> list[dict[str, Any]]:
    """Return the two rows of a list; none of an address whose page is no list."""
    queries: tuple[float, str] = (0, "")
    slowest: tuple[float, str] = (0, "")
    for role, user in _readers().items():
        for query in [{}, *filters_of(address), *orders_of(address)]:
            found = _one(address, user, query)
            if found is None:
                return []
            count, milliseconds, waited = found
            what = f"{role}, {urlencode(query) or 'plainly'}"
            queries = max(queries, (count, what))
            slowest = max(slowest, (milliseconds, f"{what}; waited {waited:.0f} ms"))
    print(f"catalog: {address.path}: {slowest[0]:.0f} ms ({slowest[1]})", file=sys.stderr, flush=True)
    return [
        _row(f"{address.path} queries", "queries", MOST_QUERIES, queries),
        _row(f"{address.path} first page", "ms", MOST_MS, slowest),
    ]


def _readers() -> dict[str, Any]:
    """Return one who sees all, and one who sees a twentieth."""
    from django.contrib.auth import get_user_model

    users = get_user_model().objects
    administrator = users.filter(is_superuser=True).first() or users.create_superuser("administrator")
    return {"administrator": administrator, "member": users.get(username="ana")}


def _row(name: str, unit: str, most: float, worst: tuple[float, str]) -> dict[str, Any]:
    value, where = worst
    return {
        "name": f"{name} ({where})",
        "value": value,
        "unit": unit,
        "peer": "at most",
        "peer_value": most,
        "ratio": value / most,
        "broken": value > most,
    }


def _one(address: ListAddress, user: Any, query: dict[str, str]) -> tuple[int, float, float] | None:
    """Return query count, median time on the processor and on the clock (ms) of a page; none where it is not one."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client(raise_request_exception=True)
    client.force_login(user)
    counts = []
    for size in (10, ROWS):
        target = f"{address.path}?{urlencode({**query, address.size_parameter: str(size)})}"
        with CaptureQueriesContext(connection) as captured:
            reply = client.get(target)
            _read(reply)
        if reply.status_code != 200 or "text/" not in f"{reply['Content-Type']} {'text/' if address.view else ''}":
            if address.view:
                raise RuntimeError(f"{target} answered {reply.status_code}: {reply.content[:300]!r}")
            return None
        counts.append(len(captured))
    if counts[0] < counts[1] and counts[1] > MOST_QUERIES:
        raise RuntimeError(f"{target} costs {counts[0]} queries for 10 rows and {counts[1]} for {ROWS}")
    on_processor, on_clock = [], []
    for done in range(TIMES):
        began, busy = time.perf_counter(), _processor_seconds()
        _read(client.get(target))
        on_clock.append((time.perf_counter() - began) * 1000)
        on_processor.append((_processor_seconds() - busy) * 1000 if busy else on_clock[-1])
        if done + 1 >= FEWEST_TIMES and not MOST_MS / 2 < statistics.median(on_processor) < MOST_MS * 4:
            break
    return max(counts), statistics.median(on_processor), statistics.median(on_clock)


def _read(reply: Any) -> None:
    """Read a reply as far as it is judged: whole, or the first piece of what comes in pieces."""
    if reply.streaming:
        next(iter(reply))
        reply.close()


def _processor_seconds() -> float:
    """Return how long this process and its Postgres computed, s; 0 where the system does not tell."""
    from django.db import connection

    with connection.cursor() as cursor:
        told = Path(f"/proc/{cursor.connection.info.backend_pid}/schedstat")
    try:
        return time.process_time() + int(told.read_text().split()[0]) / 1e9
    except (OSError, IndexError):
        return 0.0


def filters_of(address: ListAddress) -> list[dict[str, str]]:
    """Return queries for each filter that a list declares: what a row in its middle has, each choice, and nothing."""
    filterset = getattr(address.view, "filterset_class", None)
    if filterset is None:
        return PAGE_FILTERS.get(address.name, [])
    model = filterset._meta.model or address.view.serializer_class.Meta.model
    ids = model._default_manager.order_by().values_list("pk", flat=True)
    count = min(ids.count(), 5000)
    sample = model._default_manager.get(pk=ids[count // 2]) if count else None
    return [
        {name: str(value)}
        for name, declared in filterset.base_filters.items()
        for value in _values(name, declared, sample)
        if value not in {None, ""}
    ]


def _values(name: str, declared: Any, sample: Any) -> list[Any]:
    """Return what to filter by: every choice, or what the sample has at the end of the filter's path, or no row."""
    import django_filters as df
    from django.db.models import Manager

    if isinstance(declared, df.BooleanFilter):
        return ["true", "false"]
    if choices := list(declared.extra.get("choices") or []):
        return [value for value, _ in choices]
    nothing = ["nowhere"] if isinstance(declared, df.CharFilter) else []
    if declared.method:
        return [{"animal": "R01234"}.get(name), *nothing]
    value: Any = sample
    for part in declared.field_name.split("__"):
        found = getattr(value, part, None)
        value = found.first() if isinstance(found, Manager) else found
    value = value.isoformat() if hasattr(value, "isoformat") else value
    return [getattr(value, "pk", value), *nothing]


def orders_of(address: ListAddress) -> list[dict[str, str]]:
    """Return a query for each order that a list of REST declares, both ways."""
    fields = getattr(address.view, "ordering_fields", [])
    return [{"ordering": sign + field} for field in fields for sign in ("", "-")]
