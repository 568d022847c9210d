"""Permutation tests for time series.

What a decoder reaches when spikes and behaviour have nothing to do with each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.methods.errors import InvalidDataError

Report = Callable[[float], None]


def shift_lags(n_bins: int, *, shifts: int, minimum_bins: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw ``shifts`` circular lags (bins), each at least ``minimum_bins`` from no shift in both directions.

    Lags are drawn without repetition while there are enough different ones. Errors: ``InvalidDataError`` when the
    data are too short to be shifted that far.
    """
    if minimum_bins < 1:
        raise InvalidDataError("A circular shift must move the data by at least one bin.")
    choices = np.arange(minimum_bins, n_bins - minimum_bins + 1)
    if choices.size == 0:
        raise InvalidDataError(
            f"{n_bins} bins are too few to shift by at least {minimum_bins} bins in both directions."
        )
    return rng.choice(choices, size=shifts, replace=shifts > choices.size)


def circular_shift_null(
    values: NDArray[np.floating],
    lags: NDArray[Any],
    statistic: Callable[[NDArray[np.floating]], float],
    *,
    report: Report | None = None,
) -> NDArray[np.floating]:
    """Return the statistic for every lag, with all columns of ``values`` ``(n_bins, n_units)`` rolled together.

    Rolling all units together keeps their rates, their correlations and their rhythms; only the tie to behaviour is
    cut. ``statistic`` must repeat everything that was done to the real data, the whole cross-validation included.
    """
    lags = np.asarray(lags, dtype=int)
    null = np.empty(lags.size)
    for number, lag in enumerate(lags):
        null[number] = statistic(np.roll(values, lag, axis=0))
        if report is not None:
            report((number + 1) / lags.size)
    return null


def permutation_p(real: float, null: NDArray[Any], *, smaller_is_better: bool) -> float:
    """Return ``p = (1 + k) / (1 + n)``, k the number of permutations at least as good as the real value.

    Source: Phipson and Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9, 39: a permutation p is never zero.
    """
    null = np.asarray(null, dtype=float)
    if null.size == 0:
        raise InvalidDataError("A permutation test needs at least one permutation.")
    better = null <= real if smaller_is_better else null >= real
    return float((1 + np.count_nonzero(better)) / (1 + null.size))


def block_bootstrap(
    values: NDArray[Any],
    blocks: NDArray[Any],
    statistic: Callable[[NDArray[np.floating]], float],
    *,
    repeats: int,
    rng: np.random.Generator,
    level: float = 0.95,
) -> tuple[float, float]:
    """Return the confidence interval of a statistic by drawing whole blocks with replacement.

    ``values`` and ``blocks`` are ``(n,)``; bins within a block are not independent, so the block is what is drawn.
    Source: Kuensch 1989, Ann. Statist. 17, 1217-1241. NaN for both ends when there are fewer than two blocks.
    """
    values, blocks = np.asarray(values, dtype=float), np.asarray(blocks)
    members = [values[blocks == block] for block in np.unique(blocks)]
    if len(members) < 2:
        return float("nan"), float("nan")
    drawn = rng.integers(0, len(members), size=(repeats, len(members)))
    results = [statistic(np.concatenate([members[k] for k in row])) for row in drawn]
    low, high = np.quantile(results, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
