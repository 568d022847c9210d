"""What chance gives beside what was found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from analysis.figures.spec import Axis, Bars, Figure, Panel, Rule


def against_chance(null: NDArray[np.floating], real: float, p: float, axis: Axis, *, caption: str) -> Figure:
    """Draw a histogram of what shifted data gave ``(n,)`` with the real value and its p.

    ``axis`` names the value; its ``low`` is the least that the value can be.
    """
    low, high = min(real, float(null.min())), max(real, float(null.max()))
    counts, edges = np.histogram(null, bins=min(30, max(8, null.size // 8)))
    margin = 0.06 * (high - low) or 1.0
    least = low - margin if axis.low is None else max(axis.low, low - margin)
    return Figure(
        name="null-distribution",
        title="Against chance",
        caption=caption,
        panels=(
            Panel(
                replace(axis, low=least, high=high + margin),
                Axis("shifts", low=0.0, high=float(counts.max()) * 1.08),
                (
                    Bars(edges, counts.astype(float), role="chance", label="shifted"),
                    Rule(real, role="real", label=f"real, p = {p:.2g}", width=3.0),
                ),
            ),
        ),
    )
