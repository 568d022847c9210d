"""Whether two figures hold the same data: every number of every layer, however deep it lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.figures.spec import restored


@dataclass(frozen=True)
class Comparison:
    """How many numbers were compared, and by how much the two that differ most differ, relative to the larger.

    ``elsewhere`` names the first place where they differ in more than a number (another text, shape or gap), or is
    empty.
    """

    numbers: int = 0
    largest: float = 0.0
    elsewhere: str = ""

    def agrees(self, tolerance: float) -> bool:
        """Return whether nothing differs by more than a relative tolerance."""
        return not self.elsewhere and self.largest <= tolerance

    def __add__(self, other: Comparison) -> Comparison:
        return Comparison(
            self.numbers + other.numbers, max(self.largest, other.largest), self.elsewhere or other.elsewhere
        )


def compare(then: Any, now: Any, place: str = "figure") -> Comparison:
    """Compare two figures as ``Figure.to_json`` gives them; lost values (NaN) are the same where both are lost."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        if ("list" in then and "list" in now) or ("zlib" in then and "zlib" in now):
            return _arrays(restored(then), restored(now), place)
        if then.keys() != now.keys():
            return Comparison(elsewhere=place)
        return sum((compare(then[name], now[name], f"{place}.{name}") for name in then), Comparison())
    if isinstance(then, list | tuple) and isinstance(now, list | tuple):
        if len(then) != len(now):
            return Comparison(elsewhere=place)
        parts = (compare(one, other, f"{place}[{n}]") for n, (one, other) in enumerate(zip(then, now, strict=True)))
        return sum(parts, Comparison())
    if _is_number(then) and _is_number(now):
        return _arrays(np.array([then], float), np.array([now], float), place)
    return Comparison() if then == now else Comparison(elsewhere=place)


def _arrays(then: np.ndarray, now: np.ndarray, place: str) -> Comparison:
    if then.shape != now.shape:
        return Comparison(then.size, elsewhere=place)
    then, now = then.astype(float), now.astype(float)
    lost = np.isnan(then)
    if not np.array_equal(lost, np.isnan(now)):
        return Comparison(then.size, elsewhere=place)
    larger = np.maximum(np.abs(then), np.abs(now))[~lost]
    apart = np.abs(then - now)[~lost]
    share = np.divide(apart, larger, out=np.zeros_like(apart), where=larger > 0)
    return Comparison(then.size, float(share.max(initial=0.0)))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
