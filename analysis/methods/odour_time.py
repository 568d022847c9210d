"""Decoded odours over time from the poke, over theta phase, and in against out of sequence.

All is out of fold: a trial is decoded with rates that it took no part in. The probability of the odours before and
after the present one along a theta cycle follows Shahbaba et al. 2022 (Nature Communications 13, 787), temporal
generalisation King and Dehaene 2014 (Trends in Cognitive Sciences 18, 203-210).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.methods.errors import InvalidDataError
from analysis.methods.permutation import permutation_p
from analysis.methods.sequence import LEAST_COUNT, PRIOR_TRIALS, decode_odours


@dataclass(frozen=True)
class Windows:
    """Sliding windows: ``counts`` ``(n_windows, n_trials, n_units)``, ``centres`` ``(n_windows,)`` in bins."""

    counts: NDArray[np.floating]
    centres: NDArray[np.floating]
    width: int


def sliding_windows(counts: NDArray[Any], *, width: int, step: int) -> Windows:
    """Return counts ``(n_trials, n_units, n_bins)`` summed over windows of ``width`` bins, ``step`` bins apart.

    Errors: ``InvalidDataError`` where a window is longer than the trials.
    """
    n_bins = counts.shape[2]
    if not 0 < width <= n_bins or step < 1:
        raise InvalidDataError(f"Windows of {width} bins do not fit into trials of {n_bins} bins.")
    starts = np.arange(0, n_bins - width + 1, step)
    total = np.concatenate([np.zeros((*counts.shape[:2], 1)), np.cumsum(counts, axis=2, dtype=float)], axis=2)
    summed = total[:, :, starts + width] - total[:, :, starts]
    return Windows(np.moveaxis(summed, 2, 0), starts + width / 2, width)


def decode_over_time(
    windows: Windows, labels: NDArray[Any], trained: NDArray[Any], fold: NDArray[Any], *, n_odours: int
) -> NDArray[np.floating]:
    """Return the posterior of every trial from rates of the same window, ``(n_windows, n_trials, n_odours)``."""
    return np.stack([decode_odours(counts, labels, trained, fold, n_odours=n_odours) for counts in windows.counts])


def chance_over_time(
    windows: Windows,
    labels: NDArray[Any],
    trained: NDArray[Any],
    *,
    n_odours: int,
    folds: int,
    shuffles: int,
    rng: np.random.Generator,
) -> NDArray[np.floating]:
    """Return the share decoded right with labels shuffled among ``trained`` trials, ``(shuffles, n_windows)``.

    A shuffle is the same for all windows, so that the largest of a row is a draw of the largest over time.
    """
    mine = labels[trained]
    labellings = np.array([rng.permutation(mine) for _ in range(shuffles)]).reshape(shuffles, mine.size)
    fold = rng.permutation(np.arange(mine.size) % folds)
    every = np.ones(mine.size, dtype=bool)
    right = np.empty((shuffles, len(windows.counts)))
    for number, counts in enumerate(windows.counts):
        posterior = decode_odours(counts[trained], labellings, every, fold, n_odours=n_odours)
        right[:, number] = np.mean(posterior.argmax(axis=-1) == labellings, axis=1)
    return right


def generalisation(
    windows: Windows, labels: NDArray[Any], trained: NDArray[Any], fold: NDArray[Any], *, n_odours: int
) -> NDArray[np.floating]:
    """Return the share of ``trained`` trials told right, ``(n_windows trained on, n_windows tested on)``."""
    n_windows = len(windows.counts)
    right = np.zeros((n_windows, n_windows))
    for number in np.unique(fold):
        tested = trained & (fold == number)
        trains = trained & (fold != number)
        one_hot = (labels[trains, None] == np.arange(n_odours)).astype(float)
        means = np.maximum(_means(windows.counts[:, trains], one_hot), LEAST_COUNT)
        for window, rates in enumerate(means):
            log = windows.counts[:, tested] @ np.log(rates).T - rates.sum(axis=1)
            right[window] += np.sum(log.argmax(axis=-1) == labels[tested], axis=1)
    return right / np.count_nonzero(trained)


def _means(counts: NDArray[Any], one_hot: NDArray[Any]) -> NDArray[Any]:
    """Return mean counts ``(..., n_odours, n_units)``, drawn towards the mean over odours as for whole trials."""
    sums = one_hot.T @ counts
    common = counts.mean(axis=-2, keepdims=True)
    return np.asarray((sums + PRIOR_TRIALS * common) / (one_hot.sum(axis=0)[:, None] + PRIOR_TRIALS))


def decode_pieces(
    pieces: NDArray[Any],
    exposure: NDArray[Any],
    counts: NDArray[Any],
    bins: NDArray[Any],
    *,
    labels: NDArray[Any],
    trained: NDArray[Any],
    fold: NDArray[Any],
    n_odours: int,
) -> NDArray[np.floating]:
    """Return the posterior of pieces of trials under the rates of their whole windows, out of fold.

    ``pieces`` ``(n_pieces, n_trials, n_units)`` with ``exposure`` ``(n_pieces, n_trials)`` in bins; ``counts``
    ``(n_trials, n_units)`` over ``bins`` ``(n_trials,)``, from which rates are learned, blind to phase and time.
    Returns ``(n_pieces, n_trials, n_odours)``.
    """
    posterior = np.empty((len(pieces), labels.size, n_odours))
    for number in np.unique(fold):
        tested, trains = fold == number, trained & (fold != number)
        one_hot = (labels[trains, None] == np.arange(n_odours)).astype(float)
        rates = np.maximum(_means(counts[trains], one_hot), LEAST_COUNT) / bins[trains].mean()
        log = pieces[:, tested] @ np.log(rates).T - exposure[:, tested, None] * rates.sum(axis=1)
        likely = np.exp(log - log.max(axis=-1, keepdims=True))
        posterior[:, tested] = likely / likely.sum(axis=-1, keepdims=True)
    return posterior


def along_the_sequence(posterior: NDArray[Any], labels: NDArray[Any], trials: NDArray[Any]) -> NDArray[np.floating]:
    """Return the mean probability of the odour before, the present one and the next, ``(..., 3)``.

    ``posterior`` ``(..., n_trials, n_odours)``, ``labels`` from 0 in the order of the sequence, ``trials`` a mask; of
    these, trials of the first and last odour are left out, as they lack a neighbour. Errors: ``InvalidDataError``
    where none is left.
    """
    inner = trials & (labels > 0) & (labels < posterior.shape[-1] - 1)
    if not inner.any():
        raise InvalidDataError("No trial has an odour with both neighbours in the sequence.")
    kept, mine = posterior[..., inner, :], labels[inner]
    each = np.arange(mine.size)
    return np.stack([kept[..., each, mine + step].mean(axis=-1) for step in (-1, 0, 1)], axis=-1)


@dataclass(frozen=True)
class InAgainstOut:
    """Mean value in and out of sequence with the same odours in both, the trials out, and p of the difference.

    ``interval`` of the difference: 95 % of the draws of as many in-sequence trials of each odour as there are out.
    """

    inside: float
    outside: float
    interval: tuple[float, float]
    trials: int
    p: float

    @property
    def difference(self) -> float:
        """Return in minus out of sequence."""
        return self.inside - self.outside


def in_against_out(
    value: NDArray[Any],
    labels: NDArray[Any],
    in_sequence: NDArray[Any],
    *,
    draws: int,
    permutations: int,
    rng: np.random.Generator,
) -> InAgainstOut | None:
    """Compare ``value`` ``(n_trials,)`` in and out of sequence, with as many trials of each odour in as out.

    p (two-sided) by shuffling which trials of each odour are out of sequence. None where no odour has both kinds.
    """
    groups = [(np.flatnonzero((labels == odour) & in_sequence), np.flatnonzero((labels == odour) & ~in_sequence))
              for odour in np.unique(labels)]  # fmt: skip
    groups = [(inside, outside) for inside, outside in groups if inside.size >= outside.size > 0]
    if not groups:
        return None
    weights = np.array([outside.size for _, outside in groups], float)

    def means(split: list[tuple[NDArray[Any], NDArray[Any]]]) -> NDArray[np.floating]:
        each = np.array([[value[inside].mean(), value[outside].mean()] for inside, outside in split])
        return np.asarray(weights @ each / weights.sum())

    # What subsampling without end tends to: the mean of each odour, weighed by its trials out of sequence.
    inside, outside = means(groups)
    drawn = [
        np.subtract(*means([(rng.choice(ins, outs.size, replace=False), outs) for ins, outs in groups]))
        for _ in range(draws)
    ]
    null = np.empty(permutations)
    for number in range(permutations):
        mixed = [rng.permutation(np.concatenate(group)) for group in groups]
        null[number] = abs(
            np.subtract(*means([(m[outs.size :], m[: outs.size]) for m, (_, outs) in zip(mixed, groups, strict=True)]))
        )
    p = permutation_p(abs(inside - outside), null, smaller_is_better=False)
    low, high = np.quantile(drawn, [0.025, 0.975]) if draws else (np.nan, np.nan)
    return InAgainstOut(float(inside), float(outside), (float(low), float(high)), int(weights.sum()), p)
