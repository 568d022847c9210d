"""Figures of decoded odours: one function each, from arrays to a ``Figure``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.figures.spec import Axis, Bars, Figure, Image, Panel, Rule


def label_null(null: NDArray[np.floating], real: float, p: float) -> Figure:
    """Draw the decoded probability of the true odour under shuffled labels ``(n,)``, with the real one and its p."""
    low, high = min(real, float(null.min())), max(real, float(null.max()))
    counts, edges = np.histogram(null, bins=min(30, max(8, null.size // 8)))
    margin = 0.06 * (high - low) or 0.05
    return Figure(
        name="null-distribution",
        title="Against chance",
        caption=(
            f"Mean decoded probability of the odour that a trial's label says, for {null.size:,} shuffles of the labels"
            f" within the session, each with the whole cross-validation; p = (1 + k) / (1 + n) = {p:.2g}."
        ),
        panels=(
            Panel(
                Axis("probability of the true odour", low=max(0.0, low - margin), high=min(1.0, high + margin)),
                Axis("shuffles", low=0.0, high=float(counts.max()) * 1.08),
                (
                    Bars(edges, counts.astype(float), role="chance", label="shuffled"),
                    Rule(real, role="real", label=f"real, p = {p:.2g}", width=3.0),
                ),
            ),
        ),
    )


def odour_confusion(
    table: NDArray[np.integer],
    names: tuple[str, ...],
    *,
    name: str = "confusion",
    title: str = "Confusion",
    trials: str = "trials",
) -> Figure:
    """Draw how many trials of each odour (row) were decoded as each odour (column), ``(n_odours, n_odours)``.

    ``trials`` says which they are, for the caption.
    """
    visits = table.sum(axis=1, keepdims=True)
    shares = np.divide(table, visits, out=np.full(table.shape, np.nan), where=visits > 0)
    ends = (0.5, len(names) + 0.5)
    return Figure(
        name=name,
        title=title,
        caption=f"Share of the trials of each odour that were decoded as each odour; {int(table.sum()):,} {trials}.",
        aspect=0.85,
        panels=(
            Panel(
                Axis("true odour", low=ends[0], high=ends[1], names=names),
                Axis("decoded odour", low=ends[0], high=ends[1], names=names),
                (Image(shares.T, *ends, *ends, label="share of trials", low=0.0),),
            ),
        ),
    )
