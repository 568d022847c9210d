"""How strongly each odour drives each unit, learned from few trials: most odours drive a unit not at all.

A unit's rate is a sum of a base and of drives by some of the odours, each seen through a known course over the trial
(``theta_sequence.ThetaModel.design``). Which odours drive a unit is taken case by case: every set of them, or, where
odours are too many for that, none, one, two or all. In every case base and drives have gamma priors and are fitted by
variational Bayes with each spike shared out among its possible sources (Cemgil 2009, Computational Intelligence and
Neuroscience, 785152); the cases are then averaged by their evidence. What units have in common, how many odours drive
one, how strongly, and how high bases are, is learned from all units together (empirical Bayes): it is what tells a
weak drive from the noise of a few trials.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, gammaln

# So many odours have few enough sets; of more, those that drive a unit in a case, but for the case of all of them.
_FEW_ODOURS, _MOST_DRIVING = 6, 2
_ROUNDS, _STEPS = 4, 10
# Spikes in a bin: what priors never fall below.
_LEAST = 1e-6
# Shapes of the gamma priors: units that differ by more than their mean, or by less than a quarter of it, are not taken
# for such on the word of a few dozen units.
_FIRST_SHAPE, _SHAPES = 4.0, (0.5, 20.0)
_NEVER = -700.0


@dataclass(frozen=True)
class _Prior:
    """Gamma ``shape`` and ``mean`` ``(n_odours + 1,)`` of drives and base, and ``cases``: the log of each case's."""

    shape: NDArray[np.floating]
    mean: NDArray[np.floating]
    cases: NDArray[np.floating]


@dataclass(frozen=True)
class _Fit:
    """Every case of every unit, ``(n_units, n_cases)``, and of its drives and base ``(..., n_odours + 1)``."""

    evidence: NDArray[np.floating]
    mean: NDArray[np.floating]
    log_mean: NDArray[np.floating]


def fit_drives(design: NDArray[Any], spikes: NDArray[Any], bins: NDArray[Any]) -> NDArray[np.floating]:
    """Return the mean drives in spikes for each bin, the base last, ``(n_odours + 1, n_units)``.

    ``design`` ``(n_odours presented, n_parts, n_odours + 1)``: what each drive, and last the base, adds in each part of
    a trial; ``spikes`` ``(n_odours, n_units, n_parts)`` and ``bins`` ``(n_odours, n_parts)`` summed over the trials.
    """
    n_odours = len(design)
    rows = design.reshape(-1, n_odours + 1)
    seen = spikes.transpose(1, 0, 2).reshape(spikes.shape[1], -1)
    exposure = bins.reshape(-1) @ rows
    driving = _cases(n_odours)
    sizes = driving[:, :-1].sum(axis=1).astype(int)
    among = np.bincount(sizes, minlength=n_odours + 1)

    half = max(seen.sum() / max(bins.sum() * len(seen), 1.0) / 2, _LEAST)
    first = 1.0 / ((1.0 + np.arange(n_odours + 1)) * np.maximum(among, 1))
    prior = _Prior(np.full(n_odours + 1, _FIRST_SHAPE), np.full(n_odours + 1, half), np.log(first)[sizes])
    start = np.broadcast_to(prior.mean, (len(seen), len(driving), n_odours + 1)) * driving
    fit = _Fit(np.empty(0), start, np.where(driving > 0, np.log(half), _NEVER))
    for _ in range(_ROUNDS):
        fit = _fit_cases(fit.log_mean, rows=rows, seen=seen, exposure=exposure, driving=driving, prior=prior)
        log = fit.evidence + prior.cases
        share = np.exp(log - log.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        # One more unit of each number of odours, so that none is ruled out.
        units = np.bincount(sizes, weights=share.sum(axis=0), minlength=n_odours + 1) + (among > 0)
        cases = np.log(np.maximum(units / units.sum() / np.maximum(among, 1), 1e-300))[sizes]
        each = share[:, :, None] * driving
        drive = _gamma(each[..., :-1], fit.mean[..., :-1], fit.log_mean[..., :-1])
        base = _gamma(each[..., -1], fit.mean[..., -1], fit.log_mean[..., -1])
        shape, mean = (np.array([d] * n_odours + [b]) for d, b in zip(drive, base, strict=True))
        prior = _Prior(shape, mean, cases)
    return np.asarray((share[:, :, None] * fit.mean).sum(axis=1).T)


def _cases(n_odours: int) -> NDArray[np.floating]:
    """Return which odours drive a unit in each case, 0 or 1 and for the base 1, ``(n_cases, n_odours + 1)``."""
    sizes = range(n_odours + 1) if n_odours <= _FEW_ODOURS else [*range(_MOST_DRIVING + 1), n_odours]
    cases = [case for size in sizes for case in combinations(range(n_odours), size)]
    table = np.zeros((len(cases), n_odours + 1))
    for number, case in enumerate(cases):
        table[number, list(case)] = 1
    table[:, -1] = 1
    return table


def _fit_cases(
    log_mean: NDArray[Any],
    *,
    rows: NDArray[Any],
    seen: NDArray[Any],
    exposure: NDArray[Any],
    driving: NDArray[Any],
    prior: _Prior,
) -> _Fit:
    """Fit every case from ``log_mean`` on; ``seen`` ``(n_units, n_rows)`` spikes, ``exposure`` ``(n_odours + 1,)``."""
    before = prior.shape / prior.mean
    rate = before + exposure
    for _ in range(_STEPS):
        typical = np.exp(log_mean) * driving
        ratio = seen[:, None, :] / np.maximum(typical @ rows.T, 1e-300)
        shape = prior.shape + typical * (ratio @ rows)
        log_mean = np.where(driving > 0, digamma(shape) - np.log(rate), _NEVER)
    mean = shape / rate * driving
    expected = np.maximum((np.exp(log_mean) * driving) @ rows.T, 1e-300)
    likelihood = np.einsum("ur,ucr->uc", seen, np.log(expected)) - mean @ exposure
    # Kullback-Leibler divergence of the gamma posterior from its prior.
    apart = (
        (shape - prior.shape) * digamma(shape)
        - gammaln(shape)
        + gammaln(prior.shape)
        + prior.shape * np.log(rate / before)
        + shape * (before - rate) / rate
    )
    return _Fit(likelihood - (apart * driving).sum(axis=-1), mean, log_mean)


def _gamma(weight: NDArray[Any], mean: NDArray[Any], log_mean: NDArray[Any]) -> tuple[float, float]:
    """Return shape and mean of the gamma distribution that drives with these means and mean logarithms come from.

    The shape is the closed form close to its maximum likelihood by Minka 2002 ("Estimating a Gamma distribution").
    """
    total = max(float(weight.sum()), 1e-12)
    centre = max(float((weight * mean).sum()) / total, _LEAST)
    gap = max(np.log(centre) - float((weight * log_mean).sum()) / total, 1e-4)
    shape = (3 - gap + np.sqrt((gap - 3) ** 2 + 24 * gap)) / (12 * gap)
    return float(np.clip(shape, *_SHAPES)), centre
