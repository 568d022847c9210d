"""Figures of raw voltage: the probe with its faults, noise, spectra, faults over time, peaks by depth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.figures.spec import Axis, Bars, Figure, Image, Line, Panel, Points, Role, Rule, reduce_trace

Array = NDArray[np.floating]

ROLES: dict[str, Role] = {
    "good": "data",
    "noisy": "real",
    "white": "second",
    "saturated": "lost",
    "dead": "reference",
    "constant": "chance",
    "outside": "muted",
}


def probe_map(positions: Array | None, labels: Sequence[str], noise: Array) -> Figure:
    """Draw the contacts ``(channels, 2)`` (um) by label, and the noise (uV) ``(channels,)`` at the same height."""
    n = len(labels)
    place = np.column_stack([np.zeros(n), np.arange(n)]) if positions is None else positions
    along = Axis("channel", whole=True) if positions is None else Axis("along the probe", "µm")
    across = Axis("place not stated", low=-1.0, high=1.0, names=("",)) if positions is None else Axis("across", "µm")
    groups = [(label, np.array([found == label for found in labels])) for label in ROLES if label in labels]
    size = 8.0 if n <= 64 else 4.5
    return Figure(
        name="probe",
        title="Probe",
        caption=f"{n} channels. Above, the probe; below, the noise of each: "
        + ", ".join(f"{int(mine.sum())} {label}" for label, mine in groups)
        + ("." if positions is not None else "; the recording does not state where its contacts lie."),
        aspect=1.5,
        panels=(
            Panel(
                along,
                across,
                tuple(
                    Points(place[m, 1], place[m, 0], role=ROLES[label], label=label, size=size) for label, m in groups
                ),
                weight=0.7,
            ),
            Panel(
                along,
                Axis("noise", "µV", low=0.0),
                tuple(Points(place[m, 1], noise[m], role=ROLES[label], label=label, size=size) for label, m in groups),
                legend=False,
            ),
        ),
    )


def spectra(frequency: Array, density: Array, good: NDArray[np.bool_]) -> Figure:
    """Draw power spectral densities ``(frequencies, channels)`` (uV^2/Hz): median of the good, each of the others."""
    keep = frequency > 0
    layers: list = []
    if good.any():
        layers.append(
            Line(*reduce_trace(frequency[keep], np.median(density[keep][:, good], axis=1)), label="good, median")
        )
        for share, label in ((0.1, "good, 10 and 90 %"), (0.9, "")):
            edge = np.quantile(density[keep][:, good], share, axis=1)
            layers.append(Line(*reduce_trace(frequency[keep], edge), role="chance", label=label, width=1.0))
    bad = [k for k in np.flatnonzero(~good) if (density[keep][:, k] > 0).all()][:12]
    layers += [
        Line(frequency[keep], density[keep][:, k], role="real", label="" if number else "not good", width=0.8)
        for number, k in enumerate(bad)
    ]
    drawn = density[keep][:, good] if good.any() else density[keep]
    drawn = drawn[drawn > 0]
    low, high = (drawn.min(), drawn.max()) if drawn.size else (0.1, 10.0)
    return Figure(
        name="spectra",
        title="Power spectrum",
        caption=f"Welch's power spectral density of {int(good.sum())} good channels and at most 12 others.",
        panels=(
            Panel(
                Axis("frequency", "Hz", log=True),
                Axis("power", "µV²/Hz", log=True, low=float(10 ** np.floor(np.log10(low))), high=float(high) * 3),
                tuple(layers),
            ),
        ),
    )


def faults_over_time(time: Array, saturated: Array, gaps: Array) -> Figure:
    """Draw the shares of samples that are saturated and in gaps (%), both ``(n,)``, over ``time`` (s)."""
    return Figure(
        name="faults",
        title="Saturation and gaps",
        caption="Above: samples that stand at their channel's extreme, of all channels that move. Below: time in which "
        "no channel moves for 2 ms or longer.",
        span="full",
        aspect=0.35,
        shared=True,
        panels=(
            Panel(
                Axis("time", "s"),
                Axis("saturated", "%", low=0.0),
                (Line(*reduce_trace(time, 100 * saturated), role="lost"),),
                legend=False,
            ),
            Panel(
                Axis("time", "s"),
                Axis("gaps", "%", low=0.0),
                (Line(*reduce_trace(time, 100 * gaps), role="real"),),
                legend=False,
            ),
        ),
    )


def peaks_by_depth(times: Array, depths: Array, duration: float, *, start: float, known: bool) -> Figure:
    """Draw how many peaks there are by time (s) and depth (um, or channel when not ``known``), both ``(n,)``."""
    low, high = (float(depths.min()), float(depths.max())) if depths.size else (0.0, 1.0)
    rows = int(min(96, max(1, np.unique(depths).size)))
    columns = int(min(400, max(1, duration)))
    counts, depth_edges, time_edges = np.histogram2d(
        depths, times, bins=(rows, columns), range=((low, max(high, low + 1)), (start, start + duration))
    )
    image = Image(
        counts / (duration / columns),
        float(time_edges[0]),
        float(time_edges[-1]),
        float(depth_edges[0]),
        float(depth_edges[-1]),
        label="peaks / s",
        low=0.0,
        high=float(np.quantile(counts, 0.995)) / (duration / columns) or 1.0,
    )
    along = Axis("along the probe", "µm") if known else Axis("channel")
    where = "place along the probe" if known else "channel"
    caption = f"{times.size:,} peaks by time and {where}."
    return Figure.wide("peaks", "Peaks", caption, Panel(Axis("time", "s"), along, (image,)))


def amplitudes(values: Array, threshold: float) -> Figure:
    """Draw the histogram of the peaks' amplitudes (uV, negative) ``(n,)`` and the median threshold (uV)."""
    low = float(np.quantile(values, 0.001)) if values.size else -2 * threshold
    heights, edges = np.histogram(np.clip(values, low, 0), bins=60, range=(low, 0))
    return Figure(
        name="amplitudes",
        title="Amplitudes",
        caption="Depth of the peaks in the spike band; dotted: median threshold of the good channels.",
        panels=(
            Panel(
                Axis("amplitude", "µV"),
                Axis("peaks", low=0.0),
                (Bars(edges, heights.astype(float)), Rule(-threshold, dash="dotted", label="threshold")),
            ),
        ),
    )


def range_over_time(spread: Array, *, start: float, duration: float) -> Figure:
    """Draw highest minus lowest (uV) ``(bins, channels)`` of every channel over time (s), as a picture in decibels."""
    bins, channels = spread.shape
    known = np.isfinite(spread) & (spread > 0)
    values = np.where(known, 20 * np.log10(np.where(known, spread, 1.0)), np.nan).T
    low, high = np.percentile(values[np.isfinite(values)], (1, 99)) if known.any() else (0.0, 1.0)
    return Figure(
        name="range",
        title="Range of every channel",
        caption=(
            f"Highest minus lowest value of {channels} channels in {bins:,} bins of {duration / bins:.3g} s. What "
            "moves on all channels at once is a stripe across them; a channel that does not move is left open."
        ),
        panels=(
            Panel(
                Axis("time", "s"),
                Axis("channel", whole=True),
                (
                    Image(
                        values, start, start + duration, -0.5, channels - 0.5, label="dB of 1 µV",
                        low=float(low), high=float(high),
                    ),
                ),
            ),
        ),
    )  # fmt: skip
