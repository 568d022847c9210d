"""Cross-validation folds for data with memory: contiguous blocks of time with a guard on both sides.

Neighbouring time bins of neural and behavioural data are nearly the same bin. Folds drawn at random over bins put one
of the twins into training and the other into testing, and anything decodes. Blocks with a guard do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from analysis.methods.errors import InvalidDataError


@dataclass(frozen=True)
class Fold:
    """One fold: which bins train and which are tested. Both ``(n_bins,)`` bool, disjoint; guard bins are in neither."""

    train: NDArray[np.bool_]
    test: NDArray[np.bool_]


@dataclass(frozen=True)
class NestedFolds:
    """Folds to test in, ``outer``, and how many ``inner`` ones choose settings within the training bins of each.

    ``guard_bins`` is the guard of both.
    """

    outer: Sequence[Fold]
    guard_bins: int
    inner: int = 5


def required_guard(*, window: float, smoothing: float = 0.0) -> float:
    """Return the shortest guard (s) that keeps training and test bins from sharing a spike or a position sample.

    ``window`` is the full length (s) of what one bin counts, ``smoothing`` the full width (s) of any kernel over time.
    """
    return float(window) + float(smoothing)


def contiguous_folds(n_bins: int, *, folds: int, guard_bins: int) -> list[Fold]:
    """Cut ``n_bins`` consecutive bins into ``folds`` blocks; each is tested once, trained on all bins beyond the guard.

    Errors: ``InvalidDataError`` when there are fewer than two folds, or when blocks are so short that a fold would
    have no training bins left. Source: the blocked cross-validation of Roberts et al. 2017, Ecography 40, 913-929.
    """
    if n_bins < folds:
        raise InvalidDataError(f"{n_bins} time bins cannot be cut into {folds} blocks.")
    return _between(np.linspace(0, n_bins, max(folds, 1) + 1).round().astype(int), guard_bins)


def _between(bounds: NDArray[np.int64], guard_bins: int) -> list[Fold]:
    folds = bounds.size - 1
    if folds < 2:
        raise InvalidDataError(f"Cross-validation needs at least 2 folds, not {folds}.")
    if guard_bins < 0:
        raise InvalidDataError("A guard cannot be shorter than nothing.")
    index = np.arange(bounds[-1])
    made = []
    for start, stop in pairwise(bounds):
        train = (index < start - guard_bins) | (index >= stop + guard_bins)
        if not train.any():
            raise InvalidDataError(f"With {folds} folds and a guard of {guard_bins} bins nothing is left to train on.")
        made.append(Fold(train=train, test=(index >= start) & (index < stop)))
    return made


def lap_folds(n_bins: int, lap_ends: Sequence[int] | NDArray[np.int64], *, folds: int, guard_bins: int) -> list[Fold]:
    """Cut ``n_bins`` consecutive bins into ``folds`` blocks of whole laps, as many in each as can be.

    ``lap_ends`` are the bins in which laps end, rising. What comes after the last lap belongs to the last block.
    Errors: ``InvalidDataError`` when there are fewer laps than folds, and those of ``contiguous_folds``.
    """
    if len(lap_ends) < folds:
        raise InvalidDataError(f"{len(lap_ends)} laps cannot be cut into {folds} blocks of laps; use fewer folds.")
    last = np.linspace(0, len(lap_ends), folds + 1).round().astype(int)[1:-1] - 1
    return _between(np.r_[0, np.asarray(lap_ends)[last], n_bins], guard_bins)


def validation_fold(
    train: NDArray[np.bool_], scored: NDArray[np.bool_], *, guard_bins: int, share: float = 0.2
) -> Fold:
    """Split training bins for choosing when to stop: one block in their middle tests, what lies beyond a guard trains.

    ``train`` and ``scored`` are ``(n_bins,)``; the block holds ``share`` of the scored training bins, and nothing
    outside ``train`` is in either part. Errors: ``InvalidDataError`` when there are too few bins for both parts.
    """
    rows = np.flatnonzero(train & scored)
    first, last = round(rows.size * (0.5 - share / 2)), round(rows.size * (0.5 + share / 2)) - 1
    if last < first:
        raise InvalidDataError("There are too few moving training bins to hold some back.")
    index = np.arange(train.size)
    start, stop = rows[first], rows[last] + 1
    inside = (index >= start) & (index < stop)
    beyond = (index < start - guard_bins) | (index >= stop + guard_bins)
    if not (train & scored & beyond).any():
        raise InvalidDataError("There are too few moving training bins to hold some back.")
    return Fold(train=train & beyond, test=train & inside)


def block_of(folds: list[Fold]) -> NDArray[np.int64]:
    """Return for every bin the number of the fold that tests it, ``(n_bins,)``; -1 where none does."""
    block = np.full(folds[0].test.shape, -1, dtype=np.int64)
    for number, fold in enumerate(folds):
        block[fold.test] = number
    return block
