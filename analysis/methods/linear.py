"""Regularised linear decoding of position: a Wiener filter with a ridge penalty, the baseline for every other one.

Sources: Hoerl and Kennard 1970, Technometrics 12, 55-67 (ridge); Glaser et al. 2020, eNeuro 7 (as a decoder).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from analysis.methods.decoders import Behaviour, Decoder, Prediction
from analysis.methods.surroundings import Surroundings

Array = NDArray[np.floating]


@dataclass(frozen=True)
class LinearModel:
    """``weights`` (% per standard deviation) ``(n_features,)``, the features' ``mean`` and ``scale``, ``units`` used.

    ``intercept`` is the mean position (%) of the training bins, and ``sides`` (%) how far positions reach. In an arena
    weights are ``(n_features, 2)`` and the intercept ``(2,)``, for x and y.
    """

    weights: Array
    intercept: Array
    mean: Array
    scale: Array
    units: NDArray[np.int64]
    sides: tuple[float, ...]


@dataclass(frozen=True)
class RidgeDecoder:
    """Position as a weighted sum of spike counts in windows around the bin, kept on the track or in the arena.

    Each unit gives ``2 * lags + 1`` counts, of neighbouring windows of ``window_bins`` time bins. ``penalty`` is that
    on the squared weights of standardised counts, per training bin. Units with fewer than ``minimum_spikes`` in the
    training bins are left out.
    """

    window_bins: int = 5
    lags: int = 2
    penalty: float = 0.1
    minimum_spikes: int = 10

    name: ClassVar[str] = "ridge"

    def fit(self, counts: Array, behaviour: Behaviour, train: NDArray[np.bool_]) -> LinearModel:
        """Learn standardisation and weights from the moving bins of ``train``; spikes of other bins are not seen."""
        rows, units, features = self._seen.training(counts, behaviour, train)
        mean, scale = features.mean(axis=0), features.std(axis=0)
        scale[scale == 0] = 1.0
        standard = (features - mean) / scale
        position = behaviour.position[rows]
        intercept = position.mean(axis=0)
        square = standard.T @ standard + self.penalty * rows.size * np.eye(standard.shape[1])
        weights = np.linalg.solve(square, standard.T @ (position - intercept))
        return LinearModel(weights, intercept, mean, scale, units, behaviour.sides)

    def predict(self, models: Sequence[LinearModel], counts: Sequence[Array]) -> list[Prediction]:
        """Decode each stretch; beyond its ends and in bins of NaN there are no spikes."""
        made = []
        for model, part in zip(models, counts, strict=True):
            standard = (self._seen.of(part[:, model.units]) - model.mean) / model.scale
            reach = model.sides if model.weights.ndim > 1 else model.sides[0]
            made.append(Prediction(np.clip(standard @ model.weights + model.intercept, 0, reach)))
        return made

    @property
    def _seen(self) -> Surroundings:
        return Surroundings(self.window_bins, self.lags, self.minimum_spikes, roots=False)


def candidates(*, step: float, minimum_spikes: int = 10) -> list[Decoder]:
    """Return the decoders that a cross-validation on bins of ``step`` (s) chooses from: windows and penalties."""
    windows = dict.fromkeys(max(1, round(seconds / step)) for seconds in (0.25, 0.5))
    return [
        RidgeDecoder(window, penalty=penalty, minimum_spikes=minimum_spikes)
        for window, penalty in product(windows, (0.01, 0.1, 1.0))
    ]
