"""Figures of two clocks that were brought together: residuals of the pulses, and the intervals that were matched."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.figures.spec import MOST_POINTS, Axis, Bars, Figure, Line, Panel, Points, Rule, every, reduce_trace
from analysis.methods.alignment import Alignment

Array = NDArray[np.floating]

# So many pulses are shown one by one, around the first that was lost.
_SHOWN = 60


def residuals_over_time(found: Alignment, reference: Array, other: Array, *, tolerance: float) -> Figure:
    """Draw how far each pair lies off the line (ms) over the reference clock (s), and where pulses were lost."""
    time = reference[found.reference]
    x, y = reduce_trace(time, found.residual * 1000)
    lost = reference[found.lost_reference], found.line.of(other[found.lost_other])
    layers: list = [Points(x, y, label="pairs", size=4.0)]
    edge = 1.05 * max(float(np.abs(found.residual).max()) * 1000, 1e-6)
    for times, height, label in ((lost[0], -edge, "only in the reference"), (lost[1], edge, "only in the other")):
        if times.size:
            shown, _ = every(times, times, points=MOST_POINTS // 4)
            layers.append(Points(shown, np.full(shown.size, height), role="lost", label=label, size=5.0))
    return Figure.wide(
        "residuals",
        "Residuals over time",
        f"The reference's pulse less where the line puts the other's, of {time.size:,} pairs within "
        f"±{tolerance * 1000:g} ms. At the edges: {lost[0].size:,} pulses that only the reference has (bottom) and "
        f"{lost[1].size:,} that only the other has (top).",
        Panel(Axis("time on the reference clock", "s"), Axis("residual", "ms"), (*layers, Rule(0.0, "y"))),
    )


def residual_histogram(found: Alignment) -> Figure:
    """Draw the distribution of the residuals (ms)."""
    values = found.residual * 1000
    edges = np.histogram_bin_edges(values, bins=min(60, max(5, values.size // 5)))
    return Figure(
        name="histogram",
        title="Distribution of the residuals",
        caption=f"{values.size:,} pairs; root mean square {np.sqrt((values**2).mean()):.3g} ms, largest "
        f"{np.abs(values).max():.3g} ms.",
        panels=(
            Panel(
                Axis("residual", "ms"),
                Axis("pairs", whole=True, low=0.0),
                (Bars(edges, np.histogram(values, edges)[0].astype(float)),),
                legend=False,
            ),
        ),
    )


def intervals_matched(found: Alignment, reference: Array, other: Array) -> Figure:
    """Draw the time since the pulse before (s) of either train, around the first pulse that was lost."""
    placed = found.line.of(other)
    time = reference[found.reference]
    lost = np.concatenate([reference[found.lost_reference], placed[found.lost_other]])
    middle = int(np.searchsorted(time, lost.min())) if lost.size else _SHOWN // 2
    first = max(0, min(middle - _SHOWN // 2, time.size - _SHOWN))
    last = min(first + _SHOWN, time.size) - 1
    between = time[first], time[last]
    layers: list = []
    for times, numbers, kind in ((reference, found.reference, "reference"), (placed, found.other, "other")):
        shown = np.arange(max(numbers[first], 1), numbers[last] + 1)
        step = times[shown] - times[shown - 1]
        layers.append(
            Line(times[shown], step, label=kind)
            if kind == "reference"
            else Points(times[shown], step, role="second", label=kind, size=7.0)
        )
    layers += [
        Rule(float(at), role="lost", dash="dotted") for at in np.sort(lost[(lost > between[0]) & (lost < between[1])])
    ]
    around = "; dotted where one of them lost a pulse, after which its interval is longer" if lost.size else ""
    return Figure(
        name="intervals",
        title="Intervals, matched",
        caption=f"Time since the pulse before, in each train by itself, of {last - first + 1} pairs{around}.",
        panels=(Panel(Axis("time on the reference clock", "s"), Axis("interval", "s", low=0.0), tuple(layers)),),
    )
