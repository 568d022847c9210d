"""Trials, made from the events of a session by the rule in its task's parameters.

Nothing is stored: the same events give the same trials, one that comes late takes its place, and a better rule holds
for the sessions of last year, too. The rule is the entry ``trials`` of a task's ``parameters``::

    {"trials": {
        "start": "trial_start",                                # an event of this kind begins a trial
        "end": "trial_end",                                    # ... ends it; without it the next start does
        "timeout": 60,                                         # or so many seconds after its start
        "outcomes": {"reward": "correct", "error": "wrong"},   # the first of these in the trial is its outcome
        "otherwise": "omission",                               # ... and this, where there is none of them
        "measure": {"latency": "poke"},                        # seconds from the start to the first event of a kind
        "source": "box-1"                                      # only events of this device
    }}

Only ``start`` is needed. No Django: events in, trials out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sessions.errors import Invalid

RULE = "trials"
LONGEST_NAME = 64
MOST_NAMES = 50


class Reported(NamedTuple):
    """An event, as far as trials need it."""

    time: datetime
    kind: str
    value: Any
    source: str


@dataclass(frozen=True)
class Rule:
    """How a task's events become trials; the names are those of the task's parameters."""

    start: str
    end: str | None = None
    timeout: float | None = None
    outcomes: Mapping[str, str] = field(default_factory=dict)
    otherwise: str = ""
    measure: Mapping[str, str] = field(default_factory=dict)
    source: str | None = None

    @property
    def kinds(self) -> set[str]:
        """The kinds of events that it looks at."""
        return {self.start, *([self.end] if self.end else []), *self.outcomes, *self.measure.values()}


@dataclass
class Trial:
    """One trial; ``stop`` and ``outcome`` are ``None`` while it runs, ``measures`` are in s since its start."""

    number: int
    start: datetime
    stop: datetime | None
    outcome: str | None
    measures: dict[str, float | None]
    value: Any


def rule_of(parameters: Mapping[str, Any]) -> Rule | None:
    """Return the rule in a task's parameters, ``None`` where there is none; ``Invalid`` names what is wrong in it."""
    given = parameters.get(RULE)
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise _wrong("", 'is an object such as {"start": "trial_start"}')
    known = Rule.__dataclass_fields__
    for name in given:
        if name not in known:
            raise _wrong(f".{name}", f"is not known; known are {', '.join(known)}")
    if "start" not in given:
        raise _wrong(".start", "is needed: the kind of the event that begins a trial")
    words = (name for name in ("start", "end", "otherwise", "source") if name in given)
    found: dict[str, Any] = {name: _name(name, given[name]) for name in words}
    found |= {name: _names(name, given[name]) for name in ("outcomes", "measure") if name in given}
    if "timeout" in given:
        timeout = given["timeout"]
        good = isinstance(timeout, int | float) and not isinstance(timeout, bool) and math.isfinite(timeout)
        if not good or not 0 < timeout <= 24 * 3600:
            raise _wrong(".timeout", "is a number of seconds above 0, at most a day")
        found["timeout"] = float(timeout)
    if found.get("end") == found["start"]:
        raise _wrong(".end", "is the same kind as start; leave it out, and each start ends the trial before it")
    return Rule(**found)


def trials(events: Iterable[Reported], rule: Rule, *, now: datetime) -> list[Trial]:
    """Return the trials that events (in the order of their times) make.

    A start ends a trial that still runs. The last one runs on until its timeout, seen at ``now``: the end of the
    session, or the present.
    """
    found: list[Trial] = []
    running: Trial | None = None
    for event in events:
        if rule.source is not None and event.source != rule.source:
            continue
        running = _timed_out(running, rule, event.time)
        if event.kind == rule.start:
            if running is not None:
                _end(running, rule, event.time)
            running = Trial(len(found) + 1, event.time, None, None, dict.fromkeys(rule.measure), event.value)
            found.append(running)
        elif running is not None:
            _take(running, rule, event)
            if event.kind == rule.end:
                _end(running, rule, event.time)
                running = None
    _timed_out(running, rule, now)
    return found


def narrowed(
    made: Iterable[Trial],
    *,
    outcome: str | None = None,
    running: bool | None = None,
    started_from: datetime | None = None,
    started_until: datetime | None = None,
) -> list[Trial]:
    """Return those of one outcome, that run or do not, that started between two moments; ``None`` asks for nothing."""
    return [
        trial
        for trial in made
        if (outcome is None or trial.outcome == outcome)
        and (running is None or (trial.stop is None) == running)
        and (started_from is None or trial.start >= started_from)
        and (started_until is None or trial.start <= started_until)
    ]


def ordered(made: Iterable[Trial], names: Iterable[str]) -> list[Trial]:
    """Order trials by fields, the first name above the others, ``-`` before one for descending.

    What has no value comes last in ascending order, as in Postgres.
    """
    found = list(made)
    for name in reversed(list(names)):
        values = [getattr(trial, name.removeprefix("-")) for trial in found]
        keys = [(value is None, value if value is not None else 0) for value in values]
        order = sorted(range(len(found)), key=keys.__getitem__, reverse=name.startswith("-"))
        found = [found[index] for index in order]
    return found


def _take(trial: Trial, rule: Rule, event: Reported) -> None:
    for name, kind in rule.measure.items():
        if event.kind == kind and trial.measures[name] is None:
            trial.measures[name] = (event.time - trial.start).total_seconds()
    if trial.outcome is None:
        trial.outcome = rule.outcomes.get(event.kind)


def _end(trial: Trial, rule: Rule, moment: datetime) -> None:
    trial.stop = moment
    if trial.outcome is None:
        trial.outcome = rule.otherwise


def _timed_out(trial: Trial | None, rule: Rule, moment: datetime) -> Trial | None:
    """Return a trial that still runs at a moment; one whose time is over by then ends when it was."""
    if trial is None or rule.timeout is None:
        return trial
    over = trial.start + timedelta(seconds=rule.timeout)
    if moment <= over:
        return trial
    _end(trial, rule, over)
    return None


def _name(name: str, value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME:
        raise _wrong(f".{name}", f"is a word of 1 to {LONGEST_NAME} characters")
    return value


def _names(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or len(value) > MOST_NAMES:
        raise _wrong(f".{name}", f"is an object of at most {MOST_NAMES} words")
    return {_name(name, key): _name(f"{name}.{key}", word) for key, word in value.items()}


def _wrong(where: str, problem: str) -> Invalid:
    sentence = f"{RULE}{where} {problem}."
    return Invalid(sentence, {f"parameters.{RULE}{where}": [sentence]})
