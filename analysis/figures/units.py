"""Figures of sorted units: mean waveforms, autocorrelograms, rates and amplitudes over time, quality."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.figures.spec import Axis, Figure, Image, Line, Panel, Points, Role, Rule
from analysis.methods.units import LABELS, Unit

Array = NDArray[np.floating]

ROLES: dict[str, Role] = {"good": "data", "multi-unit": "second", "noise": "muted"}
# More curves than these cannot be told apart in one picture; the table of units has them all.
_MOST_WAVEFORMS = 40
_TIME_BINS = 200


def _numbers(found: Sequence[Unit]) -> str:
    told = ", ".join(f"{number} {label}" for label in LABELS if (number := sum(unit.label == label for unit in found)))
    return f"{len(found)} units ({told})"


def waveforms(found: Sequence[Unit]) -> Figure:
    """Draw each unit's mean waveform on its channel, one beside the other in the order of the table."""
    shown = found[:_MOST_WAVEFORMS]
    columns = min(10, len(shown))
    rows = -(-len(shown) // columns)
    span = max(float(np.ptp(unit.waveform_time)) for unit in shown) * 1000
    depth = max(float(np.ptp(unit.waveform)) for unit in shown)
    layers: list = []
    told = set()
    for number, unit in enumerate(shown):
        column, row = number % columns, number // columns
        x = column * 1.15 * span + unit.waveform_time * 1000
        y = -row * 1.1 * depth + unit.waveform
        label = unit.label if unit.label not in told else ""
        told.add(unit.label)
        layers.append(Line(x, y, role=ROLES[unit.label], label=label, width=1.2))
    more = f", the first {len(shown)} of them" if len(found) > len(shown) else ""
    return Figure(
        name="waveforms",
        title="Waveforms",
        caption=f"Mean waveform of {_numbers(found)}{more}, each on the channel of its deepest trough, row by "
        "row in the order of the table.",
        span="full",
        aspect=min(1.2, 0.25 + 0.12 * rows),
        panels=(Panel(Axis("time, units side by side", "ms"), Axis("voltage", "µV"), tuple(layers)),),
    )


def autocorrelograms(found: Sequence[Unit], correlogram: Callable[[Array], tuple[Array, Array]]) -> Figure:
    """Draw the autocorrelogram of each unit as a row, as a share of its own largest value."""
    made = [correlogram(unit.times) for unit in found]
    lags = made[0][0] * 1000
    half = (lags[1] - lags[0]) / 2
    table = np.stack([rate / max(float(rate.max()), 1e-12) for _, rate in made])
    return Figure(
        name="autocorrelograms",
        title="Autocorrelograms",
        caption=f"Spikes around each spike of the same unit in bins of {2 * half:g} ms; each row over its own maximum. "
        "A single neuron leaves the middle empty.",
        panels=(
            Panel(
                Axis("lag", "ms"),
                Axis("unit", low=0.5, high=len(found) + 0.5, whole=True),
                (
                    Image(table, float(lags[0] - half), float(lags[-1] + half), 0.5, len(found) + 0.5,
                          label="share of maximum", low=0.0, high=1.0),
                    Rule(0.0, "x"),
                ),
                legend=False,
            ),
        ),
    )  # fmt: skip


def rates(found: Sequence[Unit], duration: float, *, start: float) -> Figure:
    """Draw the firing rate (1/s) of each unit over time (s)."""
    bins = int(min(_TIME_BINS, max(5, duration)))
    edges = np.linspace(0, duration, bins + 1)
    table = np.stack([np.histogram(unit.times, edges)[0] / (duration / bins) for unit in found])
    return Figure(
        name="rates",
        title="Firing rate over time",
        caption=f"Spikes per second of {_numbers(found)} in {bins} bins of {duration / bins:.3g} s; the scale ends at "
        "the 98th percentile.",
        span="full",
        aspect=0.4,
        panels=(
            Panel(
                Axis("time", "s"),
                Axis("unit", low=0.5, high=len(found) + 0.5, whole=True),
                (
                    Image(table, start, start + duration, 0.5, len(found) + 0.5, label="rate (1/s)", low=0.0,
                          high=max(float(np.quantile(table, 0.98)), 1e-9)),
                ),
            ),
        ),
    )  # fmt: skip


def amplitudes(found: Sequence[Unit], *, start: float) -> Figure:
    """Draw the amplitude (uV) of spikes over time (s): at most a few thousand, the same share of every unit."""
    total = sum(unit.times.size for unit in found)
    step = max(1, -(-total // 4000))
    layers = []
    for label in LABELS:
        mine = [unit for unit in found if unit.label == label]
        if mine:
            x = np.concatenate([unit.times[::step] for unit in mine]) + start
            y = np.concatenate([unit.amplitudes[::step] for unit in mine])
            layers.append(Points(x, y, role=ROLES[label], label=label, size=2.0))
    part = f"one spike in {step}" if step > 1 else "every spike"
    return Figure(
        name="amplitudes",
        title="Amplitudes over time",
        caption=f"Voltage at the trough on the unit's channel, {part} of {total:,}. A unit that drifts away fades.",
        span="full",
        aspect=0.35,
        panels=(Panel(Axis("time", "s"), Axis("amplitude", "µV"), tuple(layers)),),
    )


def quality(found: Sequence[Unit], least_snr: float, most_violations: float) -> Figure:
    """Draw refractory violations over the trough in units of noise, with the limits of a good unit."""
    layers: list = []
    untold = 0
    for label in LABELS:
        mine = [unit for unit in found if unit.label == label]
        known = [unit for unit in mine if np.isfinite(unit.violations)]
        untold += len(mine) - len(known)
        if known:
            x = np.array([unit.snr for unit in known])
            layers.append(Points(x, np.array([unit.violations for unit in known]), role=ROLES[label], label=label))
    layers += [Rule(least_snr, "x", dash="dashed"), Rule(most_violations, "y", dash="dashed")]
    few = f" {untold} have too few spikes to tell violations." if untold else ""
    return Figure(
        name="quality",
        title="Quality",
        caption="Spike pairs within 1.5 ms as a share of those of a Poisson train (an equal mix of two units has 0.5), "
        f"over the trough in units of noise; dashed: the limits of a good unit.{few}",
        panels=(Panel(Axis("trough", "noise", low=0.0), Axis("violations", low=0.0), tuple(layers)),),
    )
