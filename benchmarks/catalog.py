"""Every list of the site and of REST over 100,000 sessions, 20,000 animals, 1,000,000 recordings and as many weighings.

Each list is asked for its first page of 250, unfiltered and by each of its filters, by an administrator who sees all
and by a member of one of 20 projects. It may cost at most 12 queries, as many for 10 rows as for 250, and its median
time, the reply rendered, may be at most 150 ms. The rows show the worst of each list, beside the bound. A search for
any part of any word reads every name, which no index shortens: it is shown beside the bound, but not held to it.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

# It fills a database of two gigabytes first.
ON_REQUEST = True
MOST_QUERIES = 12
MOST_MS = 150
ROWS = 250
TIMES = 5
STORAGE = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
# What the forms of the pages filter by.
PAGE_FILTERS: dict[str, list[dict[str, str]]] = {
    "lab:animals": [{"q": "R0123"}, {"q": "strain 3"}, {"status": "alive"}],
    "lab:sessions": [{"day": "2025-01-02"}, {"animal": "R01234"}, {"state": "ended"}, {"state": "running"}],
    "lab:recordings": [{"q": "R01234"}, {"q": "probe 2 lfp"}, {"kind": "lfp"}],
    "lab:search": [{"q": "R01234"}, {"q": "calm"}],
    "jobs": [{"state": "succeeded"}, {"state": "failed"}, {"pipeline": "decode.position"}],
}


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
    """Fill a catalog and return the worst query count and median time of every list."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "labsite.settings")
    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.test import override_settings

    from benchmarks._catalog_filling import fill

    call_command("migrate", verbosity=0)
    began = time.monotonic()
    fill()
    print(f"catalog: filled in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    with override_settings(STORAGES={**settings.STORAGES, "staticfiles": STORAGE}, ALLOWED_HOSTS=["*"]):
        rows = []
        for address in [*rest_lists(), *page_lists()]:
            rows += _measure(address)
        return rows


def _measure(address: ListAddress) -> list[dict[str, Any]]:
    """Return the two rows of a list; none of an address whose page is no list."""
    from django.contrib.auth import get_user_model

    worst: dict[str, tuple[float, str]] = {"queries": (0, ""), "ms": (0, ""), "search": (0, "")}
    # One reader who sees all, one who sees a twentieth.
    readers = {"administrator": get_user_model().objects.filter(is_superuser=True).first(), "member": None}
    readers["administrator"] = readers["administrator"] or get_user_model().objects.create_superuser("administrator")
    readers["member"] = get_user_model().objects.get(username="ana")
    for role, user in readers.items():
        for query in [{}, *filters_of(address)]:
            what = f"{role}, {urlencode(query) or 'unfiltered'}"
            queries, milliseconds = _one(address, user, query)
            if queries is None:
                return []
            worst["queries"] = max(worst["queries"], (queries, what))
            kind = "search" if "q" in query else "ms"
            worst[kind] = max(worst[kind], (milliseconds, what))
    search = {**_row(f"{address.path}: text search", "ms", MOST_MS, worst["search"]), "broken": False}
    return [
        _row(f"{address.path}: queries", "queries", MOST_QUERIES, worst["queries"]),
        _row(f"{address.path}: first page", "ms", MOST_MS, worst["ms"]),
        *([search] if worst["search"][1] else []),
    ]


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


def _one(address: ListAddress, user: Any, query: dict[str, str]) -> tuple[int | None, float]:
    """Return the query count and the median time (ms) of a first page; no count where it is not a page."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client = Client(raise_request_exception=True)
    client.force_login(user)
    counts, times = [], []
    for size in (10, ROWS):
        target = f"{address.path}?{urlencode({**query, address.size_parameter: str(size)})}"
        with CaptureQueriesContext(connection) as captured:
            reply = client.get(target)
        if reply.status_code != 200 or (not address.view and "text/html" not in reply["Content-Type"]):
            if address.view:
                raise RuntimeError(f"{target} answered {reply.status_code}: {reply.content[:300]!r}")
            return None, 0.0
        counts.append(len(captured))
    if counts[0] < counts[1] and counts[1] > MOST_QUERIES:
        raise RuntimeError(f"{target} costs {counts[0]} queries for 10 rows and {counts[1]} for {ROWS}")
    for _ in range(TIMES):
        began = time.perf_counter()
        client.get(target).getvalue()
        times.append((time.perf_counter() - began) * 1000)
        if times[-1] > MOST_MS * 20:
            break
    return max(counts), statistics.median(times)


def filters_of(address: ListAddress) -> list[dict[str, str]]:
    """Return a query for each filter that a list declares, with a value that a row in its middle has."""
    filterset = getattr(address.view, "filterset_class", None)
    if filterset is None:
        return PAGE_FILTERS.get(address.name, [])
    model = filterset._meta.model or address.view.serializer_class.Meta.model
    ids = model._default_manager.order_by().values_list("pk", flat=True)
    count = min(ids.count(), 5000)
    sample = model._default_manager.get(pk=ids[count // 2]) if count else None
    found = []
    for name, declared in filterset.base_filters.items():
        value = _value(name, declared, sample)
        if value not in {None, ""}:
            found.append({name: str(value)})
    return found


def _value(name: str, declared: Any, sample: Any) -> Any:
    """Return what to filter by: a choice, yes, or what the sample has at the end of the filter's path."""
    import django_filters as df
    from django.db.models import Manager

    if isinstance(declared, df.BooleanFilter):
        return "true"
    if choices := list(declared.extra.get("choices") or []):
        return next(value for value, _ in choices if value)
    if declared.method:
        return {"animal": "R01234"}.get(name)
    value: Any = sample
    for part in declared.field_name.split("__"):
        found = getattr(value, part, None)
        value = found.first() if isinstance(found, Manager) else found
    value = value.isoformat() if hasattr(value, "isoformat") else value
    return getattr(value, "pk", value)
