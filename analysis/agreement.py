"""What was computed again beside what it was to reproduce: number by number, and the data of every figure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from analysis import drawings
from analysis.jobs.models import Result
from analysis.selectors import metrics
from sessions.errors import NotFound

# What was computed again on the same machine agrees to this (relative).
AGREES = 1e-9


@dataclass(frozen=True)
class Agreement:
    """One number, or one figure, of a result beside the same of the result that it reproduces.

    ``kind`` is ``number`` or ``figure``; of a figure, ``then`` and ``now`` are how many numbers it holds, ``None``
    where it cannot be read. ``said`` is in words whether they agree.
    """

    kind: str
    name: str
    label: str
    unit: str
    then: Any
    now: Any
    agrees: bool
    said: str


def agreement(of: Result) -> list[Agreement]:
    """Compare a result with the one that it was to reproduce; empty when it was to reproduce none."""
    original = of.job.reproduces
    return [] if original is None else [*_numbers(original, of), *_figures(original, of)]


def _numbers(original: Result, of: Result) -> list[Agreement]:
    before, after = metrics(original), metrics(of)
    rows = []
    for name in dict.fromkeys([*before, *after]):
        then, now = before.get(name, {}), after.get(name, {})
        known = now or then
        same = bool(then) and bool(now) and _same(then.get("value"), now.get("value"))
        rows.append(
            Agreement(
                kind="number",
                name=name,
                label=known.get("label") or name,
                unit=known.get("unit", ""),
                then=then.get("value"),
                now=now.get("value"),
                agrees=same,
                said="agrees" if same else "differs",
            )
        )
    return rows


def _figures(original: Result, of: Result) -> list[Agreement]:
    titles = {figure["name"]: figure["title"] for figure in [*of.figures, *original.figures]}
    order = dict.fromkeys(figure["name"] for figure in [*original.figures, *of.figures])
    return [_figure(name, titles[name], _data(original, name), _data(of, name)) for name in order]


def _figure(name: str, title: str, then: Any, now: Any) -> Agreement:
    from analysis.figures.comparing import compare

    if then is None or now is None:
        agrees, said = False, "cannot be read any more" if then is None else "is not there"
    else:
        compared = compare(then, now, "panels")
        agrees = compared.agrees(AGREES)
        said = "agrees" if agrees else f"differs by up to {compared.largest:.1e} of a value"
        said = f"differs at {compared.elsewhere}" if compared.elsewhere else said
    return Agreement(
        kind="figure",
        name=name,
        label=f"figure “{title}”",
        unit="numbers",
        then=None if then is None else compare(then, then).numbers,
        now=None if now is None else compare(now, now).numbers,
        agrees=agrees,
        said=said,
    )


def _data(result: Result, name: str) -> Any:
    """Return what a figure draws, or ``None`` where the result has none of that name or its file is gone.

    Its caption is left out: it may tell how long something took.
    """
    try:
        return json.loads(drawings.data_path(result, name).read_text())["panels"]
    except NotFound:
        return None


def _same(then: Any, now: Any) -> bool:
    if isinstance(then, int | float) and isinstance(now, int | float):
        return abs(then - now) <= AGREES * max(abs(then), abs(now))
    return bool(then == now)
