"""Numbers, times and ids in the query of an address or in a form; ``Invalid`` names the one that is none."""

from __future__ import annotations

import math
from datetime import datetime
from uuid import UUID

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from sessions.errors import Invalid


def whole_number(name: str, text: str | None, *, default: int, most: int, least: int = 1) -> int:
    """Return a whole number from ``least`` to ``most``, ``default`` where none was given."""
    if text is None or text == "":
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
        sentence = f"{name} is {text[:40]!r}, must be a whole number from {least} to {most}."
        raise Invalid(sentence, {name: [sentence]})
    return int(text)


def seconds(name: str, text: str | None, default: float) -> float:
    """Return a time in s since a recording's first frame, ``default`` where none was given."""
    if text is None or text.strip() == "":
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        sentence = f"{name} is {text[:40]!r}, must be a number of seconds since the first frame."
        raise Invalid(sentence, {name: [sentence]})
    return value


def local_time(name: str, text: str | None) -> datetime:
    """Return a time that a form gives in the laboratory's zone, such as ``2026-03-02T12:00:05``."""
    try:
        value = parse_datetime(text or "")
    except ValueError:
        value = None
    if value is None:
        sentence = f"{name} is {(text or '')[:40]!r}, must be a time such as 2026-03-02T12:00:05."
        raise Invalid(sentence, {name: [sentence]})
    return timezone.make_aware(value) if timezone.is_naive(value) else value


def uuid_of(name: str, text: str | None) -> UUID:
    """Return an id."""
    try:
        return UUID(text or "")
    except ValueError:
        sentence = f"{name} is {(text or '')[:40]!r}, must be an id."
        raise Invalid(sentence, {name: [sentence]}) from None
