"""Decoders that are learnt rather than modelled: kernel regression, boosted trees and a perceptron.

Each sees the spike counts of windows around a bin. Spikes of bins outside the training bins are hidden while it
learns, and a stretch is decoded from its own spikes alone, so that a window never reaches across the guard. The choice
of units, the scaling of counts and the epoch at which a perceptron stops are part of ``fit``.

Sources: Nadaraya 1964, Theory Probab. Appl. 9, 141-142, and Watson 1964, Sankhya A 26, 359-372 (kernel regression);
Friedman 2001, Ann. Statist. 29, 1189-1232 (boosting); Glaser et al. 2020, eNeuro 7 (all of them as decoders).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from analysis.methods.decoders import Behaviour, Decoder, Prediction
from analysis.methods.errors import InvalidDataError
from analysis.methods.folds import validation_fold
from analysis.methods.grids import posterior_median
from analysis.methods.surroundings import Surroundings

Array = NDArray[np.floating]
Kind = Literal["kernel", "boosting", "perceptron"]

# A place that no training bin speaks for keeps so much probability.
_LEAST_PROBABILITY = 1e-6


@dataclass(frozen=True)
class KernelModel:
    """The ``examples`` ``(n_rows, n_features)``, how far a kernel ``reach``es, the ``place`` of each, ``units`` used.

    ``place`` is ``(n_rows, place_bins)``: where the animal was, a little spread out.
    """

    examples: Array
    reach: float
    place: Array
    units: NDArray[np.int64]


@dataclass(frozen=True)
class KernelDecoder:
    """Where the animal was when the counts were alike: training bins vote with a Gaussian of the distance of counts.

    ``bandwidth`` is the sigma of the kernel, as a share of the root of the total variance of the features; the votes
    are spread over places with a sigma of ``spread`` (%).
    """

    window_bins: int = 2
    lags: int = 2
    bandwidth: float = 0.3
    spread: float = 2.0
    place_bins: int = 50
    minimum_spikes: int = 10

    name: ClassVar[str] = "kernel"

    def fit(self, counts: Array, behaviour: Behaviour, train: NDArray[np.bool_]) -> KernelModel:
        """Keep the moving bins of ``train`` with their places."""
        rows, units, features = self._seen.training(counts, behaviour, train)
        centres = (np.arange(self.place_bins) + 0.5) * 100 / self.place_bins
        place = np.exp(-0.5 * ((behaviour.along_track[rows, None] - centres) / self.spread) ** 2)
        reach = self.bandwidth * float(np.sqrt(features.var(axis=0).sum()))
        # Units that never change tell nothing, and everything is equally alike.
        return KernelModel(features, reach or 1.0, place / place.sum(axis=1, keepdims=True), units)

    def predict(self, models: Sequence[KernelModel], counts: Sequence[Array]) -> list[Prediction]:
        """Decode each stretch; beyond its ends and in bins of NaN there are no spikes."""
        made = []
        for model, part in zip(models, counts, strict=True):
            features = self._seen.of(part[:, model.units])
            squares = (features**2).sum(axis=1)[:, None] + (model.examples**2).sum(axis=1)
            log = -(squares - 2 * features @ model.examples.T) / (2 * model.reach**2)
            votes = np.exp(log - log.max(axis=1, keepdims=True))
            posterior = votes @ model.place / votes.sum(axis=1, keepdims=True) + _LEAST_PROBABILITY
            posterior /= posterior.sum(axis=1, keepdims=True)
            made.append(Prediction(posterior_median(posterior), posterior))
        return made

    @property
    def _seen(self) -> Surroundings:
        return Surroundings(self.window_bins, self.lags, self.minimum_spikes)


def _one_thread() -> AbstractContextManager[Any]:
    """Keep trees to one thread: several wait for each other longer than they work, and share sums by their number.

    A limit set before scikit-learn was imported does not hold for it.
    """
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)


@dataclass(frozen=True)
class BoostedModel:
    """The ``trees`` of scikit-learn, and the ``units`` used."""

    trees: Any
    units: NDArray[np.int64]


@dataclass(frozen=True)
class BoostingDecoder:
    """Gradient-boosted trees that predict the median of the position: their loss is the absolute error.

    ``rounds`` trees of at most ``leaves`` leaves, each with ``rate`` of its step.
    """

    window_bins: int = 2
    lags: int = 2
    rounds: int = 100
    leaves: int = 31
    rate: float = 0.1
    minimum_spikes: int = 10
    seed: int = 0

    name: ClassVar[str] = "boosted trees"

    def fit(self, counts: Array, behaviour: Behaviour, train: NDArray[np.bool_]) -> BoostedModel:
        """Grow the trees on the moving bins of ``train``."""
        from sklearn.ensemble import HistGradientBoostingRegressor

        rows, units, features = self._seen.training(counts, behaviour, train)
        if units.size == 0:
            # A model without units says the same of every bin, which needs a column to say it with.
            features = np.zeros((rows.size, 1))
        trees = HistGradientBoostingRegressor(
            loss="absolute_error",
            max_iter=self.rounds,
            max_leaf_nodes=self.leaves,
            learning_rate=self.rate,
            # It would hold back bins at random, neighbours of those that it learns from.
            early_stopping=False,
            random_state=self.seed,
        )
        with _one_thread():
            return BoostedModel(trees.fit(features, behaviour.along_track[rows]), units)

    def predict(self, models: Sequence[BoostedModel], counts: Sequence[Array]) -> list[Prediction]:
        """Decode each stretch; beyond its ends and in bins of NaN there are no spikes."""
        made = []
        for model, part in zip(models, counts, strict=True):
            features = self._seen.of(part[:, model.units]) if model.units.size else np.zeros((len(part), 1))
            with _one_thread():
                made.append(Prediction(np.clip(model.trees.predict(features), 0, 100)))
        return made

    @property
    def _seen(self) -> Surroundings:
        return Surroundings(self.window_bins, self.lags, self.minimum_spikes)


@dataclass(frozen=True)
class PerceptronModel:
    """``weights`` ``(n_in, n_out)`` and ``biases`` of each layer, the features' ``mean`` and ``scale``, ``units`` used.

    ``places`` are the place bins that the last layer tells apart; ``epochs`` how long it learnt.
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    mean: Array
    scale: Array
    places: NDArray[np.int64]
    epochs: int
    units: NDArray[np.int64]


@dataclass(frozen=True)
class PerceptronDecoder:
    """A perceptron with one layer of ``hidden`` rectified units and a softmax over places.

    A contiguous block in the middle of the training bins, with a guard of ``guard_bins``, tells after how many epochs
    to stop: the one with the most probable true places, when ``patience`` epochs brought nothing better, and at most
    ``most_epochs``. It then learns anew, for so long, from all training bins. ``penalty`` is that on squared weights.
    """

    guard_bins: int
    window_bins: int = 2
    lags: int = 2
    hidden: int = 64
    penalty: float = 1.0
    place_bins: int = 25
    most_epochs: int = 40
    patience: int = 6
    minimum_spikes: int = 10
    seed: int = 0

    name: ClassVar[str] = "perceptron"

    def fit(self, counts: Array, behaviour: Behaviour, train: NDArray[np.bool_]) -> PerceptronModel:
        """Choose when to stop within ``train``, and learn from all its moving bins for so long."""
        held = validation_fold(train, behaviour.scored, guard_bins=self.guard_bins)
        rows = np.flatnonzero(held.test & behaviour.scored)
        place = behaviour.place(self.place_bins)[rows]
        features: Array | None = None
        best, best_epoch = -np.inf, 1
        for epoch, model in enumerate(self._epochs(counts, behaviour, held.train, self.most_epochs), start=1):
            if features is None:
                features = self._features(model.units, np.where(held.test[:, None], counts, np.nan))[rows]
            likely = self._posterior(model, features)[np.arange(rows.size), place]
            score = float(np.log(likely).mean())
            if score > best:
                best, best_epoch = score, epoch
            if epoch - best_epoch >= self.patience:
                break
        return list(self._epochs(counts, behaviour, train, best_epoch))[-1]

    def _epochs(
        self, counts: Array, behaviour: Behaviour, train: NDArray[np.bool_], epochs: int
    ) -> Iterator[PerceptronModel]:
        """Yield the model after every epoch."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier

        rows, units, features = self._seen.training(counts, behaviour, train)
        if units.size == 0:
            features = np.zeros((rows.size, 1))
        mean, scale = features.mean(axis=0), features.std(axis=0)
        scale[scale == 0] = 1.0
        standard = (features - mean) / scale
        place = behaviour.place(self.place_bins)[rows]
        places = np.unique(place)
        if places.size < 2:
            raise InvalidDataError("In the training bins the animal moves at one place only, so nothing is told apart.")
        network = MLPClassifier(
            (self.hidden,),
            alpha=self.penalty,
            batch_size=min(128, rows.size),
            learning_rate_init=0.002,
            random_state=self.seed,
        )
        for epoch in range(1, epochs + 1):
            with warnings.catch_warnings():
                # Each call is one epoch of many, and says that it has not converged.
                warnings.simplefilter("ignore", ConvergenceWarning)
                network.partial_fit(standard, place, classes=places if epoch == 1 else None)
            weights, biases = list(network.coefs_), list(network.intercepts_)
            if places.size == 2:
                # Of two places scikit-learn has the odds of the second alone.
                weights[-1] = np.hstack([np.zeros_like(weights[-1]), weights[-1]])
                biases[-1] = np.r_[0.0, biases[-1]]
            yield PerceptronModel(tuple(weights), tuple(biases), mean, scale, places, epoch, units)

    def _features(self, units: NDArray[np.int64], counts: Array) -> Array:
        return self._seen.of(counts[:, units]) if units.size else np.zeros((len(counts), 1))

    def _posterior(self, model: PerceptronModel, features: Array) -> Array:
        layer = (features - model.mean) / model.scale
        for weights, biases in zip(model.weights[:-1], model.biases[:-1], strict=True):
            layer = np.maximum(layer @ weights + biases, 0)
        log = layer @ model.weights[-1] + model.biases[-1]
        posterior = np.full((len(features), self.place_bins), _LEAST_PROBABILITY)
        weight = np.exp(log - log.max(axis=1, keepdims=True))
        posterior[:, model.places] += weight / weight.sum(axis=1, keepdims=True)
        return posterior / posterior.sum(axis=1, keepdims=True)

    def predict(self, models: Sequence[PerceptronModel], counts: Sequence[Array]) -> list[Prediction]:
        """Decode each stretch; beyond its ends and in bins of NaN there are no spikes."""
        made = []
        for model, part in zip(models, counts, strict=True):
            posterior = self._posterior(model, self._features(model.units, part))
            made.append(Prediction(posterior_median(posterior), posterior))
        return made

    @property
    def _seen(self) -> Surroundings:
        return Surroundings(self.window_bins, self.lags, self.minimum_spikes)


def candidates(
    kind: Kind, *, step: float, guard_bins: int, place_bins: int = 50, minimum_spikes: int = 10, seed: int = 0
) -> list[Decoder]:
    """Return the decoders of a kind that a cross-validation on bins of ``step`` (s) chooses from.

    Five windows of a quarter or a half second for all; for the kernel four bandwidths. Trees and perceptrons take up to
    a second to learn, so there are two of each.
    """
    windows = list(dict.fromkeys(max(1, round(seconds / step)) for seconds in (0.25, 0.5)))
    if kind == "kernel":
        return [
            KernelDecoder(window, bandwidth=bandwidth, place_bins=place_bins, minimum_spikes=minimum_spikes)
            for window, bandwidth in product(windows, (0.15, 0.2, 0.3, 0.45))
        ]
    if kind == "boosting":
        return [BoostingDecoder(window, minimum_spikes=minimum_spikes, seed=seed) for window in windows]
    return [
        PerceptronDecoder(guard_bins, window, place_bins=min(25, place_bins), minimum_spikes=minimum_spikes, seed=seed)
        for window in windows
    ]
