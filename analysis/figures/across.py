"""Figures of decoding across days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.figures.spec import Axis, Band, Figure, Image, Line, Panel, Points, Role, Rule

Array = NDArray[np.floating]
_ROLES: tuple[Role, ...] = ("real", "second", "data")


def transfer_matrix(error: Array, names: Sequence[str], *, unit: str) -> Figure:
    """Draw the median error of decoders trained on one day (row) and tested on another, ``(n_days, n_days)``."""
    ends = (0.5, len(names) + 0.5)
    return Figure(
        name="transfer",
        title="From day to day",
        caption=(
            "Median error of a decoder trained on one session and tested on another; on the diagonal out of fold "
            "within the session. " + _numbered(names)
        ),
        aspect=0.85,
        panels=(
            Panel(
                Axis("tested on session", low=ends[0], high=ends[1], whole=True),
                Axis("trained on session", low=ends[0], high=ends[1], whole=True),
                (Image(error, *ends, *ends, label=f"median error ({unit})", low=0.0),),
                equal=True,
            ),
        ),
    )


def transfer_with_distance(error: Array, shuffled: Array, shifted: Array, *, unit: str) -> Figure:
    """Draw the error over the number of sessions between training and test, with its two controls.

    ``error`` ``(n_days, n_days)``; ``shuffled`` (units) and ``shifted`` (spikes) ``(n_days, n_days, n)``.
    """
    days = np.arange(len(error))
    apart = days[None, :] - days[:, None]
    steps = np.arange(-len(error) + 1, len(error))

    def spread(control: Array) -> tuple[Array, Array]:
        ends = np.full((2, steps.size), np.nan)
        for number, step in enumerate(steps):
            values = control[apart == step]
            values = values[np.isfinite(values)]
            if values.size:
                ends[:, number] = np.quantile(values, [0.025, 0.975])
        return ends[0], ends[1]

    x = steps.astype(float)
    layers: list[Band | Line | Points] = []
    for control, role, label in ((shifted, "chance", "spikes shifted"), (shuffled, "muted", "units shuffled")):
        if control.shape[2] > 1:
            low, high = spread(control)
            seen = np.isfinite(low)
            for side in (x < 0, x > 0) if label == "units shuffled" else (np.ones(x.size, dtype=bool),):
                if (seen & side).any():
                    layers.append(
                        Band(x[seen & side], low[seen & side], high[seen & side], role=role, label=label)  # type: ignore[arg-type]
                    )
                    label = "" if label == "units shuffled" else label  # noqa: PLW2901 - named once in the legend
    layers.append(
        Line(x, np.array([np.mean(error[apart == step]) for step in steps]), role="data", label="mean", width=2.0)
    )
    layers.append(Points(apart.ravel().astype(float), error.ravel(), role="data", label="decoded"))
    return Figure(
        name="distance",
        title="With the days between",
        caption=(
            "Median error over the sessions from training to test. Shaded: 95 % with spikes shifted against behaviour, "
            "and with the tested session's units shuffled; where decoding is no better than that, the units are not "
            "the same cells or code otherwise."
        ),
        panels=(
            Panel(
                Axis("sessions from training to test", whole=True), Axis("median error", unit, low=0.0), tuple(layers)
            ),
        ),
    )


def forgetting(error: Mapping[str, Array], names: Sequence[str], *, unit: str) -> Figure:
    """Draw the error on each session's held-out blocks after every stage, by regime.

    ``error[regime]`` is ``(n_repeats, n_stages, n_days)``.
    """
    stages = np.arange(1, len(names) + 1, dtype=float)
    top = 1.1 * max(float(values.mean(axis=0).max()) for values in error.values())
    panels = []
    for day in range(len(names)):
        layers: list[Line | Rule] = [
            Line(stages, values.mean(axis=0)[:, day], role=role, label=regime, width=2.0)
            for (regime, values), role in zip(error.items(), _ROLES, strict=True)
        ]
        layers.append(Rule(float(day + 1), axis="x", dash="dotted"))
        panels.append(
            Panel(
                Axis("sessions trained on", low=0.8, high=len(names) + 0.2, whole=True),
                Axis("error", unit, low=0.0, high=top),
                tuple(layers),
                title=f"tested on session {day + 1}",
                legend=day == 0,
            )
        )
    return Figure(
        name="forgetting",
        title="Learnt in turn",
        caption=(
            "Median error of a perceptron on held-out blocks of each session after it was trained on the sessions one "
            "after another: on each alone, with a share of the earlier ones replayed, or anew on all so far. Dotted: "
            "when that session itself was trained on. " + _numbered(names)
        ),
        span="full",
        aspect=0.22 * len(panels),
        shared=True,
        panels=tuple(panels),
    )


def _numbered(names: Sequence[str]) -> str:
    return "Sessions: " + "; ".join(f"{number}, {name}" for number, name in enumerate(names, 1)) + "."
