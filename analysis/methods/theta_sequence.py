"""The lag between an odour and its neighbours within a theta cycle, from rates and their modulation by theta.

Mean and first harmonic of a unit's rate under odour o are taken as a sum of drives by the odour before, the
present one and the one after, cosines of theta around ``m - lag``, ``m`` and ``m + lag``. For every ``m``,
lag, depth and weight of the neighbours on a grid, the units' tuning is solved by least squares (variable
projection: Golub and Pereyra 1973, SIAM J. Numer. Anal. 10, 413-432); the best of the grid is returned. Peaks
of decoded probability by phase do not tell the lag: odours compete for probability, which drives the peaks of
neighbours apart whatever their lag.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.methods.errors import InvalidDataError

LAGS = np.arange(-175.0, 180.0, 5.0)
PHASES = np.arange(0.0, 360.0, 15.0)
DEPTHS = (0.3, 0.6, 1.0)
NEIGHBOURS = (0.3, 0.6, 0.9)


@dataclass(frozen=True)
class ThetaLag:
    """``lag`` (degrees, steps of 5), positive when what comes later in the sequence comes later in the cycle.

    ``interval`` (degrees): 95 %, by drawing trials of each odour with replacement.
    """

    lag: float
    interval: tuple[float, float]


@cache
def _projections(n_odours: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the lag of each grid point and its projection ``(n_points, 3 n_odours, 3 n_odours)`` on the model."""
    lags, projections = [], []
    for lag, phase, depth, weight in product(np.deg2rad(LAGS), np.deg2rad(PHASES), DEPTHS, NEIGHBOURS):
        design = np.zeros((3, n_odours, n_odours + 1))
        design[0, :, -1] = 1.0
        for step, strength in ((-1, weight), (0, 1.0), (1, weight)):
            shift = strength * np.eye(n_odours, k=step)
            angle = phase + step * lag
            design[:, :, :n_odours] += (
                np.array([1.0, depth * np.cos(angle), depth * np.sin(angle)])[:, None, None] * shift
            )
        left, values, _ = np.linalg.svd(design.reshape(3 * n_odours, -1), full_matrices=False)
        left = left[:, values > 1e-9 * values[0]]
        lags.append(float(np.rad2deg(lag)))
        projections.append(left @ left.T)
    return np.array(lags), np.array(projections)


def theta_lag(
    counts: NDArray[Any],
    phase: NDArray[Any],
    labels: NDArray[Any],
    trained: NDArray[Any],
    *,
    n_odours: int,
    rng: np.random.Generator,
    repeats: int = 100,
) -> ThetaLag:
    """Fit the lag to correct in-sequence trials.

    ``counts`` ``(n_trials, n_units, n_bins)``, ``phase`` (rad) ``(n_trials, n_bins)``, ``labels`` ``(n_trials,)`` from
    0, ``trained`` ``(n_trials,)``. Errors: ``InvalidDataError`` when an odour has fewer than two such trials.
    """
    members = [np.flatnonzero((labels == odour) & trained) for odour in range(n_odours)]
    for odour, trials in enumerate(members):
        if trials.size < 2:
            raise InvalidDataError(f"Odour {odour + 1} has {trials.size} correct in-sequence trials; the lag needs 2.")
    waves = np.stack([np.ones(phase.shape), 2 * np.cos(phase), 2 * np.sin(phase)], axis=2)
    parts = counts @ waves
    lags, projections = _projections(n_odours)
    flat = projections.reshape(lags.size, -1)

    def fitted(drawn: list[NDArray[Any]]) -> float:
        means = np.stack([parts[trials].mean(axis=0) for trials in drawn])
        rates = means.transpose(2, 0, 1).reshape(3 * n_odours, -1)
        return float(lags[np.argmax(flat @ (rates @ rates.T).ravel())])

    lag = fitted(members)
    again = np.array([fitted([rng.choice(trials, trials.size) for trials in members]) for _ in range(repeats)])
    # Around the estimate, so that an interval does not break where a turn ends.
    low, high = lag + np.quantile(np.mod(again - lag + 180, 360) - 180, [0.025, 0.975])
    return ThetaLag(lag, (float(low), float(high)))
