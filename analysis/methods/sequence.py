"""Decoding of odours in the odour-sequence task: trained on correct in-sequence trials, tested on all.

Poisson likelihood of the counts of each unit with a uniform prior over odours (Zhang, Ginzburg, McNaughton and
Sejnowski 1998, J. Neurophysiol. 79, 1017-1044). A trial is never decoded with rates that it took part in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.methods.errors import InvalidDataError
from analysis.methods.permutation import permutation_p

# Trials by which the mean over odours weighs in each odour's mean count (a gamma prior), and the least mean count:
# one spike of a silent unit must not forbid an odour.
PRIOR_TRIALS = 2.0
LEAST_COUNT = 1e-3


def trial_folds(labels: NDArray[Any], trained: NDArray[Any], *, folds: int, rng: np.random.Generator) -> NDArray[Any]:
    """Return the fold of every trial ``(n_trials,)``, those that train spread evenly within each label.

    Errors: ``InvalidDataError`` when a label has fewer trials to train on than there are folds.
    """
    fold = rng.integers(0, folds, labels.size)
    for label in np.unique(labels):
        members = np.flatnonzero((labels == label) & trained)
        if folds < 2 or members.size < folds:
            raise InvalidDataError(
                f"Odour {int(label) + 1} has {members.size} correct in-sequence trials; "
                f"{folds} folds need at least {max(folds, 2)}, and at least 2 folds."
            )
        fold[members] = rng.permutation(np.arange(members.size) % folds)
    return fold


def balanced(labels: NDArray[Any], trained: NDArray[Any], fold: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Return which of the ``trained`` trials train when every odour has as many in every fold, by subsampling."""
    kept = np.zeros(labels.size, dtype=bool)
    for number in np.unique(fold):
        members = [
            np.flatnonzero(trained & (fold == number) & (labels == odour)) for odour in np.unique(labels[trained])
        ]
        least = min(trials.size for trials in members)
        for trials in members:
            kept[rng.permutation(trials)[:least]] = True
    return kept


def _held_out(
    counts: NDArray[Any], labels: NDArray[Any], trained: NDArray[Any], fold: NDArray[Any], n_odours: int
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield tested trials and the mean count of each odour and unit from the other folds' training trials."""
    for number in np.unique(fold):
        trains = trained & (fold != number)
        one_hot = labels[..., trains, None] == np.arange(n_odours)
        sums = np.swapaxes(one_hot, -1, -2).astype(float) @ counts[trains]
        common = counts[trains].mean(axis=0)
        means = (sums + PRIOR_TRIALS * common) / (one_hot.sum(axis=-2)[..., None] + PRIOR_TRIALS)
        yield fold == number, np.maximum(means, LEAST_COUNT)


def _posterior(counts: NDArray[Any], means: NDArray[Any]) -> NDArray[Any]:
    """Return the posterior ``(..., n, n_odours)`` of counts ``(n, n_units)``; means ``(..., n_odours, n_units)``."""
    log = counts @ np.swapaxes(np.log(means), -1, -2) - means.sum(axis=-1)[..., None, :]
    posterior = np.exp(log - log.max(axis=-1, keepdims=True))
    return np.asarray(posterior / posterior.sum(axis=-1, keepdims=True))


def decode_odours(
    counts: NDArray[Any], labels: NDArray[Any], trained: NDArray[Any], fold: NDArray[Any], *, n_odours: int
) -> NDArray[Any]:
    """Return the posterior of every trial out of fold, ``(..., n_trials, n_odours)``.

    ``counts`` ``(n_trials, n_units)`` over the window; ``labels`` ``(..., n_trials)`` from 0, leading axes being
    independent labellings such as permutations; ``trained`` ``(n_trials,)`` marks what may train.
    """
    posterior = np.empty((*labels.shape, n_odours))
    for tested, means in _held_out(counts, labels, trained, fold, n_odours):
        posterior[..., tested, :] = _posterior(counts[tested], means)
    return posterior


def confusion(posterior: NDArray[Any], labels: NDArray[Any], trials: NDArray[Any]) -> NDArray[Any]:
    """Return the trials of each true odour (rows) decoded as each odour (columns), ``(n_odours, n_odours)``."""
    n_odours = posterior.shape[-1]
    table = np.zeros((n_odours, n_odours), dtype=int)
    np.add.at(table, (labels[trials], posterior[trials].argmax(axis=-1)), 1)
    return table


@dataclass(frozen=True)
class LabelTest:
    """``real`` and ``null`` ``(n_permutations,)`` mean decoded probability of the true odour; ``p``."""

    real: float
    null: NDArray[Any]
    p: float


def told_apart(counts: NDArray[Any], labellings: NDArray[Any], fold: NDArray[Any], *, n_odours: int) -> NDArray[Any]:
    """Return the mean decoded probability of the odour that each labelling says, ``(n_labellings,)``.

    ``counts`` ``(n_trials, n_units)``, ``labellings`` ``(n_labellings, n_trials)`` from 0, ``fold`` ``(n_trials,)``;
    every labelling has its own whole cross-validation. Errors: ``InvalidDataError`` where a fold would train without
    one of the odours.
    """
    for number in np.unique(fold):
        present = (labellings[:, fold != number, None] == np.arange(n_odours)).any(axis=1)
        if not present.all():
            raise InvalidDataError("Too few correct in-sequence trials: a fold would train without one of the odours.")
    every = np.ones(fold.size, dtype=bool)
    posterior = decode_odours(counts, labellings, every, fold, n_odours=n_odours)
    return np.asarray(np.take_along_axis(posterior, labellings[..., None], axis=-1)[..., 0].mean(axis=-1))


def label_test(
    counts: NDArray[Any],
    labels: NDArray[Any],
    trained: NDArray[Any],
    *,
    n_odours: int,
    folds: int,
    permutations: int,
    rng: np.random.Generator,
) -> LabelTest:
    """Test whether correct in-sequence trials tell their odour: labels permuted within the session, all folds again.

    Folds take no notice of labels here, so that real and permuted labels are exchangeable.
    """
    values, real_labels = counts[trained], labels[trained]
    labellings = np.stack([real_labels, *(rng.permutation(real_labels) for _ in range(permutations))])
    fold = rng.permutation(np.arange(real_labels.size) % folds)
    told = told_apart(values, labellings, fold, n_odours=n_odours)
    return LabelTest(float(told[0]), told[1:], permutation_p(float(told[0]), told[1:], smaller_is_better=False))


def counts_by_phase(counts: NDArray[Any], phase: NDArray[Any], *, n_phases: int) -> NDArray[Any]:
    """Return the spikes of each unit in each part of the theta cycle, ``(n_trials, n_units, n_phases)``.

    ``counts`` ``(n_trials, n_units, n_bins)``, ``phase`` (rad) ``(n_trials, n_bins)``; nothing crosses trials.
    """
    turn = 2 * np.pi
    member = np.minimum((np.mod(phase, turn) / turn * n_phases).astype(int), n_phases - 1)
    weights = (member[..., None] == np.arange(n_phases)).astype(float)
    return np.asarray(counts @ weights)
