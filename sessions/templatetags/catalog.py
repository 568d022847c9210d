"""How quantities, times and names of the catalog are written on pages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html

from sessions.models import Session

register = template.Library()

SECONDS_OF_DAY = 86_400
NOTHING = "\N{EN DASH}"


@register.filter
def bytes_text(count: int | None) -> str:
    """Return a size as people say it: 4.3 GB."""
    if count is None:
        return NOTHING
    value = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 999.5 or unit == "TB":  # noqa: PLR2004 - what rounds to 1000 takes the next unit
            digits = 0 if unit == "B" or value >= 99.5 else 1  # noqa: PLR2004
            return f"{value:.{digits}f} {unit}"
        value /= 1000
    return ""


@register.filter
def seconds_text(seconds: float | None) -> str:
    """Return a duration as hours, minutes and seconds: 00:18:42; with days before them when there are any."""
    if seconds is None:
        return NOTHING
    days, rest = divmod(max(0, round(seconds)), SECONDS_OF_DAY)
    text = f"{rest // 3600:02}:{rest % 3600 // 60:02}:{rest % 60:02}"
    return f"{days} d {text}" if days else text


@register.filter
def rate_text(rate: float | None) -> str:
    """Return a rate with its unit: 30 kHz, 59.9 Hz."""
    if rate is None:
        return NOTHING
    return f"{rate / 1000:g} kHz" if rate >= 1000 else f"{rate:.4g} Hz"  # noqa: PLR2004


@register.filter
def lab_time(time: datetime | None) -> str:
    """Return a time in the laboratory's zone: short in the text, in full on hover."""
    if time is None:
        return NOTHING
    local = timezone.localtime(time)
    full = f"{local:%A} {local.day} {local:%B %Y, %H:%M:%S %Z}"
    return format_html('<time datetime="{}" title="{}">{}</time>', time.isoformat(), full, lab_time_plain(time))


@register.filter
def lab_time_plain(time: datetime | None) -> str:
    """Return what `lab_time` shows, without markup: for an attribute or an option."""
    if time is None:
        return NOTHING
    local, now = timezone.localtime(time), timezone.localtime()
    if local.date() == now.date():
        return f"{local:%H:%M}"
    if local.year == now.year:
        return f"{local.day} {local:%b %H:%M}"
    return f"{local:%Y-%m-%d %H:%M}"


@register.filter
def iso_time(text: str) -> str:
    """Return a time that Postgres wrote into JSON as `lab_time` writes it."""
    return lab_time(datetime.fromisoformat(text))


@register.filter
def lab_time_long(time: datetime | None) -> str:
    """Return a time with its day in words, for the head of a page."""
    if time is None:
        return NOTHING
    local = timezone.localtime(time)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        time.isoformat(),
        f"{local:%H:%M:%S %Z}",
        f"{local:%A} {local.day} {local:%B %Y, %H:%M}",
    )


@register.filter
def clock_time(time: datetime) -> str:
    """Return hours to milliseconds in the laboratory's zone, for events."""
    local = timezone.localtime(time)
    return f"{local:%H:%M:%S}.{local.microsecond // 1000:03}"


@register.filter
def age(birth: date | None, until: date | None = None) -> str:
    """Return an age as the field says it: days, then weeks, then months."""
    if birth is None:
        return ""
    days = ((until or timezone.localdate()) - birth).days
    if days < 0:
        return ""
    if days < 28:  # noqa: PLR2004
        return f"{days} d"
    return f"{days // 7} weeks" if days < 365 else f"{days / 30.44:.0f} months"  # noqa: PLR2004


@register.filter
def running_seconds(session: Session) -> float:
    """Return how long a session has run, or ran, in seconds."""
    return max(timedelta(), (session.end or timezone.now()) - session.start).total_seconds()


@register.filter
def heading(session: Session) -> str:
    """Return what a session is called: its title, or its animals, task and number. Animals should be prefetched."""
    if session.title:
        return session.title
    names = ", ".join(animal.identifier for animal in session.animals.all())
    task = str(session.task) if session.task else ""
    if session.number is not None and task:
        task = f"{task}, day {session.number}"
    return (
        " · ".join(part for part in (names, task) if part) or f"Session of {timezone.localtime(session.start):%Y-%m-%d}"
    )


@register.filter
def value_text(value: Any) -> str:
    """Return an event's value in words: its parts separated by dots, with their names where they tell something."""
    if value in (None, {}, ""):
        return ""
    if isinstance(value, dict):
        parts = []
        for name, part in value.items():
            if part is True:
                parts.append(str(name).replace("_", " "))
            elif part is False:
                parts.append(f"not {str(name).replace('_', ' ')}")
            else:
                parts.append(f"{str(name).replace('_', ' ')} {_plain(part)}")
        return " · ".join(parts)
    return _plain(value)


@register.filter
def plain(value: Any) -> str:
    """Return a value of a header for reading: numbers rounded, the parts of a structure with their names."""
    return _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        deep = any(isinstance(part, list | dict) for part in value)
        return ("; " if deep else ", ").join(_plain(part) for part in value)
    if isinstance(value, dict):
        parts = (f"{name} ({_plain(part)})" if isinstance(part, dict) else f"{name} {_plain(part)}".rstrip()
                 for name, part in value.items())  # fmt: skip
        return "; ".join(parts)
    return str(value)


@register.filter
def file_name(path: str) -> str:
    """Return the last part of a path."""
    return path.rpartition("/")[2]


@register.inclusion_tag("sessions/_pager.html", takes_context=True)
def pager(context: Any, page: Any) -> dict[str, Any]:
    """Show where one is in a list, with links that keep its filters."""
    query = context["request"].GET.copy()
    query.pop("page", None)
    return {"page": page, "query": query.urlencode()}


@register.inclusion_tag("sessions/_weight_chart.html")
def weight_chart(weighings: Sequence[Any], restriction: Any) -> dict[str, Any]:
    """Draw weights (g, newest first) over time, with what a restriction expects and where its alarm is."""
    rows = list(reversed(weighings))
    limits = []
    if restriction is not None:
        limits = [
            (kind, percentage * restriction.reference_weight / 100, f"{percentage:g} %")
            for kind, percentage in (("low", restriction.expected_percentage), ("alarm", restriction.alarm_percentage))
        ]
    values = [row.weight for row in rows] + [value for _, value, _ in limits]
    low, high = min(values), max(values)
    margin = 0.05 * (high - low) or 0.05 * high
    low, high = low - margin, high + margin
    begin, seconds = rows[0].time, (rows[-1].time - rows[0].time).total_seconds()

    def x(time: datetime) -> str:
        part = (time - begin).total_seconds() / seconds if seconds else 0.5
        return f"{44 + 584 * part:.1f}"

    def y(weight: float) -> str:
        return f"{176 - 164 * (weight - low) / (high - low):.1f}"

    dots = [(x(r.time), y(r.weight), f"{r.weight:g} g, {timezone.localtime(r.time):%Y-%m-%d %H:%M}") for r in rows]
    return {
        "points": " ".join(f"{px},{py}" for px, py, _ in dots),
        "dots": dots,
        "limits": [(kind, y(value), label) for kind, value, label in limits],
        "least": f"{low:.3g}",
        "most": f"{high:.3g}",
        "first": rows[0].time,
        "last": rows[-1].time,
        "days": round(seconds / SECONDS_OF_DAY),
    }
