"""Events: what a box's controller reports, in bulk and as often as it likes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone

from sessions.errors import Invalid, TooLarge
from sessions.live import tell
from sessions.models import Event, Session
from sessions.permissions import require
from sessions.services.transaction import checked_json, one_write

MOST_AT_ONCE = 10_000
# Pages show the newest only; they read the rest from the rows.
MOST_TOLD = 50
LONGEST_NAME = 64
KNOWN = {"time", "kind", "value", "source", "number", "device_ns", "offset_ms"}


def add_events(*, by: Any, session: Session, events: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Add events of one session; return (how many were new, how many were already there).

    Each has ``time`` (with a zone) and ``kind``, and may have ``value`` (JSON), ``source`` and ``number``, and of the
    device's own clock what it said (``device_ns``) and how far it was from the server's (``offset_ms``): both are kept
    as they came, ``time`` is not changed by them. An event of a source and number that is already there is taken once,
    so that a controller may send again what was not answered.
    """
    require(by, "change", session)
    if len(events) > MOST_AT_ONCE:
        raise TooLarge(f"{len(events)} events were sent; at most {MOST_AT_ONCE} are taken at once.")
    rows = [_row(session, position, event) for position, event in enumerate(events)]
    with one_write():
        # Deliveries of one session take turns, so that what is told as new is new; others are not held up.
        Session.objects.select_for_update(of=("self",), no_key=True).get(pk=session.pk)
        known = _known_numbers(session, [row for row in rows if row.number is not None])
        fresh = []
        for row in rows:
            if row.number is not None:
                if (row.source, row.number) in known:
                    continue
                known.add((row.source, row.number))
            fresh.append(row)
        Event.objects.bulk_create(fresh, batch_size=1000)
        if fresh:
            newest = sorted(fresh, key=lambda row: row.time)[-MOST_TOLD:]
            total = Event.objects.filter(session=session).count()
            news = {"added": len(fresh), "total": total, "events": [as_message(row) for row in newest]}
            tell(session.pk, {"type": "events", **news})
    return len(fresh), len(rows) - len(fresh)


def as_message(event: Event) -> dict[str, Any]:
    """Return an event as the websocket says it; ``clock`` is its time of day in the laboratory's zone."""
    local = timezone.localtime(event.time)
    return {
        "id": event.pk,
        "clock": f"{local:%H:%M:%S}.{local.microsecond // 1000:03}",
        "time": event.time.isoformat(),
        "kind": event.kind,
        "value": event.value,
        "source": event.source,
        "number": event.number,
        "device_ns": event.device_ns,
        "offset_ms": event.offset_ms,
    }


def _known_numbers(session: Session, rows: Sequence[Event]) -> set[tuple[str, int]]:
    if not rows:
        return set()
    found = Event.objects.filter(session=session, number__in=[row.number for row in rows])
    return {(source, number) for source, number in found.values_list("source", "number") if number is not None}


def _row(session: Session, position: int, event: Mapping[str, Any]) -> Event:
    def wrong(field: str, problem: str) -> Invalid:
        return Invalid(f"Event {position}: {field} {problem}.", {f"[{position}].{field}": [f"{field} {problem}."]})

    if not isinstance(event, Mapping):
        raise Invalid(f"Event {position} is not an object.", {f"[{position}]": ["This is not an object."]})
    for field in event:
        if field not in KNOWN:
            raise wrong(str(field), "is not a field of an event")
    time, kind, number = event.get("time"), event.get("kind"), event.get("number")
    source = event.get("source") or ""
    if not isinstance(time, datetime) or timezone.is_naive(time):
        raise wrong("time", "needs a time with a zone, such as 2026-03-02T12:00:00.123Z")
    if not isinstance(kind, str) or not 0 < len(kind) <= LONGEST_NAME or "\0" in kind:
        raise wrong("kind", "is a word of 1 to 64 characters")
    if not isinstance(source, str) or len(source) > LONGEST_NAME or "\0" in source:
        raise wrong("source", "is a name of at most 64 characters")
    if number is not None and (not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**63):
        raise wrong("number", "is a whole number from 0 on")
    device_ns, offset = event.get("device_ns"), event.get("offset_ms")
    if device_ns is not None and (type(device_ns) is not int or not -(2**63) <= device_ns < 2**63):
        raise wrong("device_ns", "is a whole number of nanoseconds")
    if offset is not None and (type(offset) not in {int, float} or not math.isfinite(offset)):
        raise wrong("offset_ms", "is a number of milliseconds")
    value = checked_json(f"value of event {position}", event.get("value", {}))
    return Event(
        session=session, time=time, kind=kind, value={} if value is None else value, source=source, number=number,
        device_ns=device_ns, offset_ms=offset,
    )  # fmt: skip
