"""Figures of decoded odours over time from the poke, over theta phase, and in against out of sequence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.figures.spec import Axis, Band, Figure, Image, Line, Panel, Points, Role, Rule

Array = NDArray[np.floating]
_STEPS: tuple[tuple[str, Role], ...] = (("odour before", "second"), ("present odour", "data"), ("next odour", "real"))


def accuracy_over_time(time: Array, share: Array, chance: Array, *, n_odours: int, width: float, trials: int) -> Figure:
    """Draw the share told right ``(n_windows,)`` over ``time`` (s) with that of shuffles ``(n_shuffles, n_windows)``.

    ``width`` (s) of the windows. The line above the band is what the best window of a shuffle rarely exceeds.
    """
    layers: list[Band | Line | Rule] = []
    told = "."
    if len(chance) > 1:
        low, high = np.quantile(chance, [0.025, 0.975], axis=0)
        most = float(np.quantile(chance.max(axis=1), 0.95))
        layers += [
            Band(time, low, high, label="shuffled, 95 %"),
            Rule(most, axis="y", role="chance", dash="dashed", label="best window of a shuffle, 95 %"),
        ]
        told = f"; {len(chance):,} shuffles of the labels."
    layers += [Rule(1 / n_odours, axis="y", dash="dotted"), Line(time, share, label="decoded right", width=2.0)]
    layers.append(Rule(0.0, axis="x", dash="dotted"))
    return Figure.wide(
        "accuracy-over-time",
        "Accuracy over time",
        f"Share of {trials:,} correct in-sequence trials told right out of fold from windows of {width:g} s, drawn at "
        f"their middle, trained at the same time{told} Dotted: 1 of {n_odours}, and the poke.",
        Panel(Axis("time from the poke", "s"), Axis("share told right", low=0.0, high=1.0), tuple(layers)),
    )


def neighbours_over_time(time: Array, probability: Array, *, decoded: tuple[float, float], n_odours: int) -> Figure:
    """Draw the probability ``(n_windows, 3)`` of the odour before, the present one and the next over ``time`` (s)."""
    lines = tuple(
        Line(time, probability[:, number], role=role, label=name, width=2.0)
        for number, (name, role) in enumerate(_STEPS)
    )
    rules = (Rule(1 / n_odours, axis="y", dash="dotted"), Rule(0.0, axis="x", dash="dotted"))
    return Figure.wide(
        "sequence-over-time",
        "Past, present and next",
        "Mean decoded probability of the odour before, the present one and the next in the sequence, of correct "
        f"in-sequence trials that have both; rates learned out of fold from {decoded[0]:g} to {decoded[1]:g} s. "
        f"Dotted: 1 of {n_odours}, and the poke.",
        Panel(
            Axis("time from the poke", "s"),
            Axis("probability", low=0.0, high=_top(probability)),
            lines + rules,
        ),
    )


def neighbours_over_theta(probability: Array, *, lag: str, n_odours: int) -> Figure:
    """Draw the probability ``(n_parts, 3)`` of the odour before, the present one and the next over theta, twice.

    ``lag`` is a sentence on the lag of the fitted rates.
    """
    parts = len(probability)
    degrees = (np.arange(2 * parts) + 0.5) * 360 / parts
    lines = tuple(
        Line(degrees, np.tile(probability[:, number], 2), role=role, label=name, width=2.0)
        for number, (name, role) in enumerate(_STEPS)
    )
    return Figure(
        name="sequence-over-theta",
        title="Within the theta cycle",
        caption=(
            "Mean decoded probability in each part of the cycle, two cycles drawn, from rates that are blind to phase; "
            f"0 and 360 degrees are the peaks of the filtered LFP. {lag}"
        ),
        panels=(
            Panel(
                Axis("theta phase", "°", low=0.0, high=720.0),
                Axis("probability", low=0.0, high=_top(probability)),
                (*lines, Rule(1 / n_odours, axis="y", dash="dotted")),
            ),
        ),
    )


def temporal_generalisation(time: Array, share: Array, *, n_odours: int) -> Figure:
    """Draw the share told right ``(n_windows trained on, n_windows tested on)``."""
    ends = (float(time[0]), float(time[-1]))
    return Figure(
        name="generalisation",
        title="Generalisation over time",
        caption=(
            "Share of correct in-sequence trials told right out of fold by a decoder that was trained at one time and "
            f"tested at another; 1 of {n_odours} by chance. Dotted: the poke."
        ),
        aspect=0.85,
        panels=(
            Panel(
                Axis("tested at", "s"),
                Axis("trained at", "s"),
                (
                    Image(share, *ends, *ends, label="share told right", low=0.0),
                    Rule(0.0, axis="x", dash="dotted"),
                    Rule(0.0, axis="y", dash="dotted"),
                ),
                equal=True,
            ),
        ),
    )


def in_and_out(inside: Array, outside: Array, names: tuple[str, ...], counts: tuple[int, int], told: str) -> Figure:
    """Draw the mean probability of the presented odour in and out of sequence ``(n_odours,)``, NaN where there is none.

    ``counts`` are the trials in and out; ``told`` is a sentence on their difference.
    """
    place = np.arange(1, len(names) + 1, dtype=float)
    return Figure(
        name="in-and-out",
        title="In and out of sequence",
        caption=(
            f"Mean decoded probability of the presented odour in correct trials, {counts[0]:,} in and {counts[1]:,} "
            f"out of sequence. {told}"
        ),
        panels=(
            Panel(
                Axis("presented odour", low=0.5, high=len(names) + 0.5, names=names),
                Axis("probability", low=0.0, high=1.05),
                (
                    Points(place - 0.1, inside, role="data", label="in sequence", size=9.0),
                    Points(place + 0.1, outside, role="second", label="out of sequence", size=9.0),
                    Rule(1 / len(names), axis="y", dash="dotted"),
                ),
            ),
        ),
    )


def responses(time: Array, rates: Array, names: tuple[str, ...], *, width: float) -> Figure:
    """Draw the rate (Hz) of every unit after each odour ``(n_odours, n_windows, n_units)``, by preferred odour.

    Each unit is scaled to its own highest rate.
    """
    mean = rates.mean(axis=1)
    order = np.lexsort((-mean.max(axis=0), mean.argmax(axis=0)))
    top = rates.max(axis=(0, 1))
    scaled = np.divide(rates, top, out=np.zeros_like(rates), where=top > 0)[:, :, order]
    units = len(order)
    panels = tuple(
        Panel(
            Axis("time from the poke", "s"),
            Axis("unit", low=0.5, high=units + 0.5, whole=True),
            (
                Image(
                    mine.T, float(time[0]), float(time[-1]), 0.5, units + 0.5, low=0.0, high=1.0,
                    label="of its highest rate",
                ),
                Rule(0.0, axis="x", dash="dotted"),
            ),
            title=f"odour {name}",
        )
        for mine, name in zip(scaled, names, strict=True)
    )  # fmt: skip
    return Figure(
        name="responses",
        title="Responses of the units",
        caption=(
            f"Mean rate of every unit in windows of {width:g} s of correct in-sequence trials, as a part of its "
            "highest; units in the order of the odour that they fire most for."
        ),
        span="full",
        aspect=0.28 * len(panels),
        shared=True,
        panels=panels,
    )


def _top(probability: Array) -> float:
    return min(1.0, 1.15 * float(np.nanmax(probability)))
