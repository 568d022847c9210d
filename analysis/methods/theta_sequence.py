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


@dataclass(frozen=True)
class ThetaModel:
    """What all units share: ``lag`` and ``phase`` (rad) of the present odour, ``depth`` of the cosine, from 0 to 1.

    ``neighbours`` is the drive by the odours before and after as a part of that by the present one.
    """

    lag: float
    phase: float
    depth: float
    neighbours: float

    def design(self, phases: NDArray[Any], n_odours: int) -> NDArray[Any]:
        """Return what each odour's drive, and last the base, adds to a rate.

        ``(n_odours presented, n_phases, n_odours + 1)`` at ``phases`` (rad) ``(n_phases,)``.
        """
        table = np.zeros((n_odours, len(phases), n_odours + 1))
        table[..., -1] = 1.0
        for step, strength in self._steps():
            wave = strength * (1 + self.depth * np.cos(phases - self.phase - step * self.lag))
            table[..., :n_odours] += np.eye(n_odours, k=step)[:, None] * wave[:, None]
        return table

    def harmonics(self, n_odours: int) -> NDArray[Any]:
        """Return the same as mean and first harmonic (cosine, sine), ``(3, n_odours, n_odours + 1)``."""
        table = np.zeros((3, n_odours, n_odours + 1))
        table[0, :, -1] = 1.0
        for step, strength in self._steps():
            angle = self.phase + step * self.lag
            wave = np.array([1.0, self.depth * np.cos(angle), self.depth * np.sin(angle)])
            table[:, :, :n_odours] += wave[:, None, None] * strength * np.eye(n_odours, k=step)
        return table

    def _steps(self) -> tuple[tuple[int, float], ...]:
        return (-1, self.neighbours), (0, 1.0), (1, self.neighbours)


@cache
def _grid(n_odours: int) -> tuple[tuple[ThetaModel, ...], NDArray[Any]]:
    """Return every model of the grid and its projection, flat ``(n_models, (3 n_odours) ** 2)``."""
    models, projections = [], []
    for lag, phase, depth, neighbours in product(np.deg2rad(LAGS), np.deg2rad(PHASES), DEPTHS, NEIGHBOURS):
        model = ThetaModel(float(lag), float(phase), depth, neighbours)
        left, values, _ = np.linalg.svd(model.harmonics(n_odours).reshape(3 * n_odours, -1), full_matrices=False)
        left = left[:, values > 1e-9 * values[0]]
        models.append(model)
        projections.append((left @ left.T).ravel())
    return tuple(models), np.array(projections)


def best_model(parts: NDArray[Any]) -> ThetaModel:
    """Return the model of the grid that explains most of ``parts`` ``(3, n_odours, n_units)``.

    ``parts`` are each unit's mean count and twice its means weighed by cosine and sine of theta, odour by odour.
    """
    models, projections = _grid(parts.shape[1])
    rates = parts.reshape(-1, parts.shape[2])
    return models[int(np.argmax(projections @ (rates @ rates.T).ravel()))]


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

    def fitted(drawn: list[NDArray[Any]]) -> float:
        means = np.stack([parts[trials].mean(axis=0) for trials in drawn])
        return round(float(np.rad2deg(best_model(means.transpose(2, 0, 1)).lag)))

    lag = fitted(members)
    again = np.array([fitted([rng.choice(trials, trials.size) for trials in members]) for _ in range(repeats)])
    # Around the estimate, so that an interval does not break where a turn ends.
    low, high = lag + np.quantile(np.mod(again - lag + 180, 360) - 180, [0.025, 0.975])
    return ThetaLag(lag, (float(low), float(high)))
