"""Figures of a decoded position: one function each, from arrays to a ``Figure``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from analysis.figures.chance import against_chance
from analysis.figures.spec import Axis, Bars, Figure, Image, Line, Panel, Points, Rule, Spans

Array = NDArray[np.floating]


def posterior_heat_map(
    time: Array,
    posterior: Array,
    true: Array,
    moving: NDArray[np.bool_],
    *,
    unit: str,
    length: float,
    seconds: float = 60.0,
) -> Figure:
    """Draw the decoded probability over time with the true path, in the stretch where the animal moves most.

    ``time`` (s) ``(n_bins,)`` of equal steps, ``posterior`` ``(n_bins, place_bins)``, ``true`` ``(n_bins,)`` from 0
    to ``length`` in ``unit``.
    """
    window, step = busiest(time, moving & np.isfinite(true), seconds)
    shown, path, fast = posterior[window], true[window], moving[window]
    start, stop = time[window][0] - step / 2, time[window][-1] + step / 2
    finite = shown[np.isfinite(shown)]
    rests = _stretches(~fast, start, step)
    return Figure(
        name="posterior",
        title="Posterior and true path",
        caption=(
            "Probability of each place, decoded from blocks of time that trained no part of it, in the "
            f"{stop - start:.0f} s with "
            f"most running; bins of {step * 1000:.0f} ms. Strip: where the animal rests and nothing is scored."
        ),
        span="full",
        aspect=0.36,
        shared=True,
        panels=(
            Panel(
                Axis("time", "s"),
                Axis("position", unit, low=0.0, high=length),
                (
                    Image(
                        shown.T, start, stop, 0.0, length, label="probability", low=0.0,
                        high=float(np.quantile(finite, 0.995)) if finite.size else 1.0,
                    ),
                    Line(time[window], path, role="truth", label="true path", width=1.2),
                ),
                weight=1.0,
            ),
            Panel(
                Axis("time", "s", low=start, high=stop),
                Axis("rest", low=0.0, high=1.0),
                (Spans(*rests, role="muted"),),
                weight=0.08,
                legend=False,
            ),
        ),
    )  # fmt: skip


def busiest(time: Array, moving: NDArray[np.bool_], seconds: float) -> tuple[slice, float]:
    """Return the bins of the stretch of ``seconds`` in which the animal moves most, and the width of a bin (s)."""
    step = float(np.median(np.diff(time))) if time.size > 1 else 1.0
    width = min(time.size, max(2, round(seconds / step)))
    run = np.concatenate([[0], np.cumsum(moving)])
    first = int(np.argmax(run[width:] - run[:-width])) if time.size >= width else 0
    return slice(first, first + width), step


def _stretches(mask: NDArray[np.bool_], start: float, step: float) -> tuple[NDArray, NDArray]:
    """Return where a mask is on, as starts and stops in seconds."""
    change = np.diff(np.concatenate([[0], mask.astype(int), [0]]))
    return start + np.flatnonzero(change == 1) * step, start + np.flatnonzero(change == -1) * step


def error_distribution(error: Array, shifted: Array | None, *, unit: str, length: float) -> Figure:
    """Draw the cumulative share of bins by error ``(n,)``, and of shifted data ``(m,)`` when given."""
    levels = np.linspace(0, length, 301)

    def share(values: Array) -> Array:
        return np.searchsorted(np.sort(values), levels, side="right") / values.size

    layers: list = []
    if shifted is not None and shifted.size:
        layers.append(Line(levels, share(shifted), role="muted", label="shifted", width=2.0, dash="dashed"))
    layers.append(Line(levels, share(error), label="decoded", width=2.5))
    median = float(np.median(error))
    layers.append(Rule(median, role="reference", label=f"median {median:.1f} {unit}", dash="dotted"))
    return Figure(
        name="error-distribution",
        title="Error",
        caption=f"Share of {error.size:,} moving bins with at most this error; dotted: the median.",
        panels=(
            Panel(
                Axis("error", unit, low=0.0, high=length), Axis("fraction of bins", low=0.0, high=1.02), tuple(layers)
            ),
        ),
    )


def null_histogram(null: Array, real: float, p: float, *, unit: str, shortest_shift: float) -> Figure:
    """Draw the median errors of circularly shifted data ``(n,)`` with the real one and its p."""
    return against_chance(
        null,
        real,
        p,
        Axis("median error", unit, low=0.0),
        caption=(
            f"Median error of {null.size:,} data sets whose spikes were shifted circularly against "
            "behaviour by at least "
            f"{shortest_shift:g} s, all units together, each decoded with the whole cross-validation; p = "
            f"(1 + k) / (1 + n) = {p:.2g}."
        ),
    )


def null_by_lag(lags: Array, null: Array, real: float, *, unit: str) -> Figure:
    """Draw the median error of every shifted data set ``(n,)`` over its lag (s) ``(n,)``, with the real one."""
    return Figure(
        name="null-by-lag",
        title="Chance by lag",
        caption=(
            f"Median error of each of {null.size:,} shifted data sets over how far its spikes were shifted. Errors that"
            " fall near some lags show behaviour that repeats itself there."
        ),
        panels=(
            Panel(
                Axis("lag", "s", low=0.0),
                Axis("median error", unit, low=0.0),
                (
                    Points(lags, null, role="chance", label="shifted", size=3.0),
                    Rule(real, axis="y", role="real", label="real", width=2.0),
                ),
            ),
        ),
    )


def confusion(table: Array, *, unit: str, length: float) -> Figure:
    """Draw how often each true zone ``(row)`` was decoded as each zone ``(column)``.

    Rows sum to 1, NaN rows never visited.
    """
    ends = (0.0, length)
    return _confusion(
        table,
        Axis("true position", unit),
        Axis("decoded position", unit),
        ends,
        f"{len(table)} zones of equal length",
    )


def zone_confusion(table: Array, shape: tuple[int, int]) -> Figure:
    """Draw the same of zones of an arena, in ``shape`` rows and columns, numbered row by row from the lower left."""
    ends = (0.5, len(table) + 0.5)
    return _confusion(
        table,
        Axis("true zone", whole=True),
        Axis("decoded zone", whole=True),
        ends,
        f"{len(table)} zones of equal size, {shape[0]} rows of {shape[1]}, numbered row by row from the least x and y",
    )


def _confusion(table: Array, x: Axis, y: Axis, ends: tuple[float, float], zones: str) -> Figure:
    low, high = ends
    across, up = (replace(axis, low=low, high=high) for axis in (x, y))
    return Figure(
        name="confusion",
        title=f"Confusion, {len(table)} zones",
        caption=f"Share of the bins of each true zone that were decoded into each zone; {zones}.",
        aspect=0.85,
        panels=(Panel(across, up, (Image(table.T, low, high, low, high, label="share of bins", low=0.0),)),),
    )


def error_by_place(true: Array, error: Array, *, unit: str, length: float, zones: int = 20) -> Figure:
    """Draw the median error ``(n,)`` in zones of the true position ``(n,)``, and how many bins each zone has."""
    edges = np.linspace(0, length, zones + 1)
    zone = np.clip(np.searchsorted(edges, true, side="right") - 1, 0, zones - 1)
    counts = np.bincount(zone, minlength=zones)
    # A median of fewer than five bins says more about luck than about the place.
    middle = np.array([np.median(error[zone == k]) if counts[k] >= 5 else np.nan for k in range(zones)])
    centres = (edges[:-1] + edges[1:]) / 2
    return Figure(
        name="error-by-place",
        title="Error by place",
        caption=f"Median error in {zones} zones of the track (zones with fewer than 5 bins left out), and "
        "the bins in each.",
        shared=True,
        panels=(
            Panel(
                Axis("position", unit),
                Axis("median error", unit, low=0.0),
                (Line(centres, middle, width=2.0), Points(centres, middle, size=5.0)),
                weight=0.65,
                legend=False,
            ),
            Panel(
                Axis("position", unit, low=0.0, high=length),
                Axis("bins", low=0.0),
                (Bars(edges, counts.astype(float), role="chance"),),
                weight=0.35,
                legend=False,
            ),
        ),
    )


def error_by_fold(medians: Array, bins: NDArray[np.integer], chance: float | None, *, unit: str) -> Figure:
    """Draw the median error of every fold ``(n_folds,)``, the median over folds, and chance when known."""
    numbers = np.arange(1, medians.size + 1, dtype=float)
    layers: list = [Points(numbers, medians, size=9.0, label="block")]
    layers.append(Rule(float(np.nanmedian(medians)), axis="y", dash="dotted", label="median of blocks"))
    top = float(np.nanmax(medians))
    if chance is not None:
        layers.append(Rule(chance, axis="y", role="muted", dash="dashed", label="chance"))
        top = max(top, chance)
    return Figure(
        name="error-by-block",
        title="Error by block",
        caption=(
            f"Median error of each of {medians.size} contiguous blocks, tested once each "
            f"({int(bins.min()):,} to {int(bins.max()):,} moving bins a block); dashed: median of shifted data."
        ),
        panels=(
            Panel(
                Axis("block of time", whole=True, low=0.3, high=medians.size + 0.7),
                Axis("median error", unit, low=0.0, high=top * 1.1),
                tuple(layers),
            ),
        ),
    )


def place_field_map(rates: Array, *, unit: str, length: float) -> Figure:
    """Draw the rate maps ``(n_units, place_bins)`` of units as shares of their peaks, in the order of the peaks."""
    peak = np.nanmax(rates, axis=1)
    shown = rates[peak > 0] / peak[peak > 0, None]
    order = np.argsort(np.nanargmax(shown, axis=1), kind="stable")
    return Figure(
        name="place-fields",
        title="Place fields",
        caption=f"Firing of {len(order)} units by place, as a share of each unit's peak, in the order of "
        "their peaks; all moving bins.",
        aspect=0.85,
        panels=(
            Panel(
                Axis("position", unit),
                Axis("unit", whole=True),
                (
                    Image(
                        shown[order], 0.0, length, 0.5, len(order) + 0.5, label="share of peak rate", low=0.0, high=1.0
                    ),
                ),
            ),
        ),
    )


def decoder_comparison(
    labels: Sequence[str], errors: Sequence[Array], seconds: Sequence[float], block: NDArray[np.integer], *, unit: str
) -> Figure:
    """Draw the errors ``(n,)`` of several decoders of the same bins: dots are medians of blocks ``(n,)``, bars of all.

    The caption has for each the 90th percentile and the seconds that each took.
    """
    layers: list = []
    top = 0.0
    for number, error in enumerate(errors, start=1):
        medians = np.array([np.median(error[block == k]) for k in np.unique(block)])
        top = max(top, float(medians.max()))
        # Dots of a decoder stand side by side in the order of the blocks, so that none hides another.
        across = number + np.linspace(-0.25, 0.25, medians.size)
        middle = float(np.median(error))
        first = number == 1
        layers.append(Points(across, medians, size=5.0, role="muted", label="block" if first else ""))
        layers.append(
            Line(
                np.array([number - 0.35, number + 0.35]),
                np.array([middle, middle]),
                role="data",
                label="all bins" if first else "",
                width=3.0,
            )
        )
    told = "; ".join(
        f"{label}: {np.median(error):.1f} {unit}, 90th percentile {np.quantile(error, 0.9):.1f} {unit}, {took:.2g} s"
        for label, error, took in zip(labels, errors, seconds, strict=True)
    )
    return Figure.wide(
        "decoders",
        "Decoders side by side",
        f"Median error on the same {errors[0].size:,} moving bins and the same blocks. {told}.",
        Panel(
            Axis("decoder", low=0.4, high=len(labels) + 0.6, names=tuple(labels)),
            Axis("median error", unit, low=0.0, high=top * 1.1),
            tuple(layers),
        ),
    )
