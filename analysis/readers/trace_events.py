"""Spikes, units and ripples beside the traces of the recording that they were found in, in samples of it.

``found`` is called through ``sessions.isolation``.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.pipelines.base import PipelineError
from analysis.pipelines.clocks import on_clock_of
from analysis.readers.frame import as_input
from analysis.readers.signal import open_signal
from analysis.readers.spikes import read_spikes

# Events that a reply has at most.
MOST = 20_000
FURTHEST = 2**53
_CHANNEL = re.compile(r"channel (\d+)")


@dataclass(frozen=True)
class _Events:
    """``peak``, ``start`` and ``stop`` (s) and ``units`` (numbers of ``labels``), all ``(n,)``, in order of peaks."""

    peak: NDArray[np.floating]
    start: NDArray[np.floating]
    stop: NDArray[np.floating]
    units: NDArray[np.integer]
    labels: tuple[str, ...]


def found(
    recording: Mapping[str, Any], source: Mapping[str, Any], table: str | None, asked: Mapping[str, Any]
) -> dict[str, Any]:
    """Return events in samples of ``recording``: the spikes of ``source``, or the ripples of the ``table`` found in it.

    Times of the source are put on the clock of the recording by what both say of theirs. ``asked`` has ``start`` and
    ``stop``, for what reaches into that window, or one of ``after`` and ``before`` for the next event on that side
    (samples), and may have ``unit``. The reply has ``events``, rows of peak, start and stop (samples) and the unit's
    number, ``more`` that were left out, and the ``units``: name and channel (``None`` where the name does not tell it)
    of each.
    """
    shown = as_input(recording)
    signal = open_signal(shown)
    events = _ripples(Path(table)) if table else _spikes(source)
    rows = on_clock_of(shown, as_input(source), np.column_stack([events.peak, events.start, events.stop]), "auto")
    # Beyond any recording all are alike; a whole number holds no more.
    samples = np.clip(np.rint((rows - signal.start) * signal.rate), -FURTHEST, FURTHEST).astype(np.int64)
    units = events.units
    if asked.get("unit") is not None:
        kept = units == int(asked["unit"])
        samples, units = samples[kept], units[kept]
    peaks = samples[:, 0]
    if asked.get("after") is not None:
        first = int(np.searchsorted(peaks, int(asked["after"]), side="right"))
        chosen = slice(first, first + 1)
    elif asked.get("before") is not None:
        last = int(np.searchsorted(peaks, int(asked["before"]), side="left"))
        chosen = slice(max(0, last - 1), last)
    else:
        # A ripple whose peak lies outside the window may reach into it; none is longer than the longest.
        longest = int((samples[:, 2] - samples[:, 1]).max(initial=0))
        start, stop = int(asked["start"]), int(asked["stop"])
        chosen = slice(*np.searchsorted(peaks, [start - longest, stop + longest]))
        inside = (samples[chosen, 2] >= start) & (samples[chosen, 1] < stop)
        samples, units = samples[chosen][inside], units[chosen][inside]
        chosen = slice(None)
    told = [[*map(int, row), int(unit)] for row, unit in zip(samples[chosen][:MOST], units[chosen][:MOST], strict=True)]
    return {
        "events": told,
        "more": max(0, len(samples[chosen]) - MOST),
        "units": [{"name": name, "channel": _channel(name, signal.n_channels)} for name in events.labels],
    }


def _channel(name: str, n_channels: int) -> int | None:
    told = _CHANNEL.search(name)
    return int(told[1]) if told and int(told[1]) < n_channels else None


def _spikes(source: Mapping[str, Any]) -> _Events:
    trains = read_spikes(as_input(source))
    return _Events(trains.times, trains.times, trains.times, trains.units, trains.labels)


def _ripples(path: Path) -> _Events:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [[float(row[name]) for name in ("peak_s", "start_s", "stop_s")] for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PipelineError("the table of the ripples is gone or damaged") from error
    table = np.array(rows, float).reshape(-1, 3)
    if not np.isfinite(table).all():
        raise PipelineError("the table of the ripples is damaged: it has times that are none")
    peak, start, stop = table[np.argsort(table[:, 0], kind="stable")].T
    return _Events(peak, start, stop, np.zeros(len(table), int), ("ripple",))
