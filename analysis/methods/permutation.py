"""Permutation tests for time series.

What a decoder reaches when spikes and behaviour have nothing to do with each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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


def shift_lag(number: int, *, seed: int, n_bins: int, minimum_bins: int) -> int:
    """Draw the circular lag (bins) of permutation ``number``, at least ``minimum_bins`` from no shift both ways.

    It depends on the seed and the number alone, so that it does not matter who computes which permutations. Errors:
    ``InvalidDataError`` when the data are too short to be shifted that far.
    """
    if minimum_bins < 1:
        raise InvalidDataError("A circular shift must move the data by at least one bin.")
    if n_bins < 2 * minimum_bins:
        raise InvalidDataError(
            f"{n_bins} bins are too few to shift by at least {minimum_bins} bins in both directions."
        )
    return int(np.random.default_rng([seed, number]).integers(minimum_bins, n_bins - minimum_bins + 1))


def shuffled(labels: NDArray[Any], number: int, *, seed: int) -> NDArray[Any]:
    """Return the labels ``(n,)`` of one session in the order of permutation ``number``.

    As with ``shift_lag``, the seed and the number alone decide.
    """
    return np.random.default_rng([seed, number]).permutation(labels)


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


@dataclass(frozen=True)
class ShiftedCorrelation:
    """Spearman's ``rho`` of ``n`` bins, those of shifted data ``null`` ``(shifts,)``, and the two-sided ``p``.

    ``rho`` is NaN where one of the two never changes; ``p`` is NaN there and without shifts.
    """

    rho: float
    n: int
    null: NDArray[np.floating]
    p: float


def shifted_correlation(
    values: NDArray[Any],
    other: NDArray[Any],
    *,
    shifts: int,
    minimum_bins: int,
    rng: np.random.Generator,
    report: Report | None = None,
) -> ShiftedCorrelation:
    """Return the rank correlation of two series ``(n_bins,)`` and how it compares with one shifted against the other.

    Both are slow, so their bins are not independent, and the p of a table would be far too small. ``other`` may be NaN:
    those bins are left out, and what lies before its first and after its last value takes no part. Errors:
    ``InvalidDataError`` where fewer than three bins remain or they cannot be shifted by ``minimum_bins``. Source of the
    coefficient: Spearman 1904, Am. J. Psychol. 15, 72-101.
    """
    from scipy.stats import rankdata

    values, other = np.asarray(values, float), np.asarray(other, float)
    seen = np.flatnonzero(np.isfinite(other))
    if seen.size < 3:
        raise InvalidDataError("Fewer than three bins have a value in both series.")
    span = slice(int(seen[0]), int(seen[-1]) + 1)
    values, other = values[span], other[span]
    used = np.isfinite(other)
    ranks = rankdata(other[used])
    ranks -= ranks.mean()
    length = float(np.sqrt(np.sum(ranks**2)))

    def rho(moved: NDArray[np.floating]) -> float:
        mine = rankdata(moved[used])
        mine -= mine.mean()
        both = float(np.sqrt(np.sum(mine**2))) * length
        return float(np.sum(mine * ranks)) / both if both > 0 else np.nan

    real = rho(values)
    null: NDArray[np.floating] = np.zeros(0)
    p = np.nan
    if shifts and np.isfinite(real):
        lags = shift_lags(values.size, shifts=shifts, minimum_bins=minimum_bins, rng=rng)
        null = circular_shift_null(values, lags, rho, report=report)
        p = permutation_p(abs(real), np.abs(null), smaller_is_better=False)
    return ShiftedCorrelation(real, int(used.sum()), null, p)


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
