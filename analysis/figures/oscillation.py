"""Figures of spikes on a rhythm's phase, and of ripples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.figures.spec import Axis, Bars, Figure, Image, Line, Panel, Points, Rule, Spans, reduce_trace
from analysis.methods.oscillation import Locking, Ripples

Array = NDArray[np.floating]

_PHASE_BINS = 24


def phase_histograms(phases: Sequence[Array], labels: Sequence[str], band: str) -> Figure:
    """Draw at which phases each unit fires, over two cycles: ``phases`` (rad) are one array ``(spikes,)`` a unit."""
    edges = np.linspace(-np.pi, np.pi, _PHASE_BINS + 1)
    table = np.stack([np.histogram(phase, edges)[0] / max(phase.size, 1) * _PHASE_BINS for phase in phases])
    n = len(phases)
    twice = np.concatenate([table, table], axis=1)
    cycle = np.linspace(-180, 540, 289)
    return Figure(
        name="phases",
        title="Phase of the spikes",
        caption=f"Spikes of {n} units by phase of the {band} rhythm, twice around; 1 is what no preference gives. "
        "Below, the filtered voltage: 0° is its peak.",
        aspect=1.0,
        shared=True,
        panels=(
            Panel(
                Axis("phase", "°", low=-180.0, high=540.0),
                Axis("unit", low=0.5, high=n + 0.5, whole=n > 12, names=() if n > 12 else tuple(labels)),
                (Image(twice, -180.0, 540.0, 0.5, n + 0.5, label="times chance", low=0.0,
                       high=max(2.0, float(np.quantile(table, 0.99)))),),
            ),
            Panel(
                Axis("phase", "°", low=-180.0, high=540.0),
                Axis("", low=-1.2, high=1.2),
                (Line(cycle, np.cos(np.radians(cycle)), role="reference"),),
                weight=0.2,
                legend=False,
            ),
        ),
    )  # fmt: skip


def locking(found: Sequence[Locking], alpha: float) -> Figure:
    """Draw mean phase (degrees) and pairwise phase consistency of each unit; those with p below ``alpha`` apart."""
    known = [one for one in found if np.isfinite(one.ppc)]
    layers = []
    for tied, label, role in ((True, f"p < {alpha:.2g}", "data"), (False, "not locked", "muted")):
        mine = [one for one in known if (one.p < alpha) is tied]
        if mine:
            x = np.degrees([one.phase for one in mine])
            layers.append(Points(x, np.array([one.ppc for one in mine]), role=role, label=label))  # type: ignore[arg-type]
    return Figure(
        name="locking",
        title="Phase locking",
        caption=f"Mean phase and pairwise phase consistency of {len(known)} units. It does not grow where spikes are "
        "few; 0 is no preference.",
        panels=(
            Panel(
                Axis("mean phase", "°", low=-180.0, high=180.0),
                Axis("pairwise phase consistency"),
                (*layers, Rule(0.0, "y", dash="dashed")),
            ),
        ),
    )


def average_ripple(lag: Array, mean: Array, filtered: Array, *, count: int, band: str) -> Figure:
    """Draw the mean voltage (uV) around the troughs of ripples, whole and within the band, over ``lag`` (s)."""
    return Figure(
        name="average",
        title="Average ripple",
        caption=f"Mean voltage around the largest trough of {count:,} ripples; below, within {band}.",
        aspect=0.9,
        shared=True,
        panels=(
            Panel(Axis("time", "ms"), Axis("voltage", "µV"), (Line(lag * 1000, mean),), legend=False),
            Panel(Axis("time", "ms"), Axis(band, "µV"), (Line(lag * 1000, filtered),), legend=False),
        ),
    )


def ripples_over_time(found: Ripples, duration: float, moving: tuple[Array, Array], *, start: float) -> Figure:
    """Draw ripples a minute over time (s); ``moving`` are starts and stops (s) of what was not looked at."""
    bins = int(np.clip(duration / 10, 5, 200))
    edges = np.linspace(0, duration, bins + 1)
    rate = np.histogram(found.peak, edges)[0] / (duration / bins) * 60
    x, y = reduce_trace(np.repeat(edges, 2)[1:-1] + start, np.repeat(rate, 2))
    layers: list = [Line(x, y, label="ripples")]
    if moving[0].size:
        layers.insert(
            0, Spans(moving[0] + start, moving[1] + start, role="muted", label="not looked at: the animal moves")
        )
    return Figure.wide(
        "rate",
        "Ripples over time",
        f"{found.peak.size:,} ripples in {bins} bins of {duration / bins:.3g} s.",
        Panel(Axis("time", "s"), Axis("ripples", "1/min", low=0.0), tuple(layers)),
    )


def ripple_shapes(found: Ripples) -> Figure:
    """Draw how long ripples last (ms) and how fast they are (Hz)."""
    lasts = (found.stop - found.start) * 1000
    panels = []
    for values, axis in ((lasts, Axis("duration", "ms")), (found.frequency, Axis("frequency", "Hz"))):
        edges = np.histogram_bin_edges(values, bins=min(40, max(5, values.size // 5)))
        bars = Bars(edges, np.histogram(values, edges)[0].astype(float))
        panels.append(Panel(axis, Axis("ripples", whole=True, low=0.0), (bars,), legend=False))
    middle = f"{np.median(lasts):.0f} ms and {np.median(found.frequency):.0f} Hz"
    return Figure(
        name="shapes",
        title="Duration and frequency",
        caption=f"Of {lasts.size:,} ripples; medians {middle}.",
        aspect=1.1,
        panels=tuple(panels),
    )
