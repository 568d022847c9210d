"""Numbers with units, spans of time and states as pages show them."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

from django import template
from django.utils.html import format_html

from analysis.jobs.models import JobState
from analysis.selectors import in_words

register = template.Library()

LOG_LINES = 40
# A parameter of more items than a page can show, such as every trial of a session, is shown by its first.
ITEMS_SHOWN, ITEMS_BEFORE = 64, 3
NOTHING = "\N{EN DASH}"

# Shape, class and word: colour never stands alone.
STATES: dict[str, tuple[str, str, str]] = {
    JobState.QUEUED: ("◷", "chip", "queued"),
    JobState.RUNNING: ("▶", "chip chip-accent", "running"),
    JobState.SPLIT: ("▥", "chip chip-accent", "in parts"),
    JobState.SUCCEEDED: ("✓", "chip chip-good", "succeeded"),
    JobState.FAILED: ("▲", "chip chip-bad", "failed"),
    JobState.CANCELLED: ("■", "chip", "cancelled"),
    # Of steps of a chain that have no job yet, or get none.
    "waiting": ("○", "chip", "waiting"),
    "stopped": ("⊘", "chip chip-warn", "stopped"),
}


@register.filter
def number(value: Any) -> str:
    """Write a number with three significant digits, whole numbers in full with separators, nothing as a dash."""
    if value is None:
        return NOTHING
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer() and abs(value) < 1e9):  # noqa: PLR2004
        return f"{int(value):,}"
    if not math.isfinite(value):
        return NOTHING
    size = abs(value)
    if size >= 1000:  # noqa: PLR2004
        return f"{value:,.0f}"
    if size >= 100:  # noqa: PLR2004
        return f"{value:.0f}"
    if size >= 10:  # noqa: PLR2004
        return f"{value:.1f}"
    if size >= 1:
        return f"{value:.2f}"
    return f"{value:.2g}" if size >= 1e-4 else f"{value:.1e}"  # noqa: PLR2004


@register.filter
def quantity(metric: dict[str, Any]) -> str:
    """Write a metric's value with its unit; a unit that only repeats the label is left out."""
    text = number(metric.get("value"))
    unit = metric.get("unit") or ""
    if not unit or text == NOTHING or (unit.isalpha() and unit in (metric.get("label") or "").split()):
        return text
    return f"{text} {unit}"


@register.filter
def compared(cell: Any) -> str:
    """Write a number of a comparison; a pair is a number with a unit of its own."""
    if isinstance(cell, tuple):
        value, unit = cell
        return quantity({"value": value, "unit": unit})
    return number(cell)


@register.filter
def span(value: timedelta | None) -> str:
    """Write a span of time: 0.4 s, 40 s, 3 min, 2 h 10 min."""
    if value is None:
        return ""
    seconds = value.total_seconds()
    return f"{seconds:.1f} s" if 0 <= seconds < 10 else in_words(value)  # noqa: PLR2004


@register.filter
def percent(fraction: float) -> str:
    """Write a share from 0 to 1 as whole percent."""
    return f"{math.floor(fraction * 100)} %"


@register.inclusion_tag("analysis/_state.html")
def state_chip(state: str) -> dict[str, str]:
    """Show the state of a job, or of a step of a chain, as shape and word."""
    shape, css, word = STATES[state]
    return {"shape": shape, "css": css, "word": word, "state": state}


@register.simple_tag
def step_mark(state: str, name: str) -> str:
    """Show a step of a chain as its state's shape and its name; the state in words for who does not see the shape."""
    shape, css, word = STATES[state]
    colour = css.removeprefix("chip").strip().replace("chip-", "mark-")
    return format_html('<span class="{}" role="img" aria-label="{}">{}</span> {}', colour, word, shape, name)


@register.filter
def last_lines(log: str) -> str:
    """Return the end of a log that fits a page that is read again every second."""
    lines = log.splitlines()
    left_out = len(lines) - LOG_LINES
    return "\n".join([f"... {left_out} lines before", *lines[-LOG_LINES:]] if left_out > 0 else lines)


@register.filter
def parameter(value: Any) -> str:
    """Write a parameter's value in full: parameters are not rounded. Of a very long list the beginning is shown."""
    if value is None or value in ("", [], {}):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {parameter(each)}" for name, each in value.items())
    if isinstance(value, list):
        return (
            _between(value).join(parameter(item) for item in value) if len(value) <= ITEMS_SHOWN else _beginning(value)
        )
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def _between(values: list[Any]) -> str:
    """Return what stands between the items of a list: of groups and lists, more than within them."""
    return "; " if any(isinstance(item, dict | list) for item in values) else ", "


def _beginning(values: list[Any]) -> str:
    told = [*(parameter(item) for item in values[:ITEMS_BEFORE]), f"… {len(values):,} in all"]
    return _between(values).join(told)


@register.filter
def unlocalised(value: float) -> str:
    """Write a limit for an attribute of an input."""
    return f"{value:g}"


@register.filter
def all_agree(rows: Any) -> bool:
    """Return whether every number and figure agrees."""
    return all(row.agrees for row in rows)


@register.filter
def how_many(rows: Any, kind: str) -> int:
    """Return how many rows of a comparison are of a kind: numbers or figures."""
    return sum(row.kind == kind for row in rows)
