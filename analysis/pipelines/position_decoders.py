"""The decoders that ``decode.position`` offers, each on the same bins, folds and guard."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.methods import decoders, decoding, learned, linear, networks, statespace
from analysis.methods.folds import Fold, NestedFolds
from analysis.pipelines.decode_position import IN_THE_OPEN

if TYPE_CHECKING:
    from analysis.pipelines.decode_position import TrackDecodingParameters
    from analysis.pipelines.position_behaviour import AnimalBehaviour

LABELS = {
    "bayesian": "Bayesian, as set",
    "bayesian-chosen": "Bayesian",
    "state-space": "state space, smoothed",
    "state-space-causal": "state space, causal",
    "ridge": "ridge",
    "kernel": "kernel regression",
    "boosting": "boosted trees",
    "perceptron": "perceptron",
    "recurrent": "recurrent network",
    "convolutional": "convolutional network",
}
_NETWORKS: dict[str, networks.Kind] = {"recurrent": "recurrent", "convolutional": "convolutional"}
_LEARNED: dict[str, learned.Kind] = {"kernel": "kernel", "boosting": "boosting", "perceptron": "perceptron"}
# Those whose whole cross-validation takes a minute rather than seconds.
SLOW = ("boosting", "perceptron", *_NETWORKS)


@dataclass(frozen=True)
class Attempt:
    """What one decoder found out of fold, with NaN where nothing is tested, and in how many seconds.

    ``position`` and ``posterior`` are those of ``methods.decoders.Prediction``; ``units_used`` and ``chosen``, the
    settings in words, and ``models``, per fold.
    """

    name: str
    position: NDArray[np.floating]
    posterior: NDArray[np.floating] | None
    units_used: NDArray[np.int64]
    chosen: tuple[str, ...]
    seconds: float
    models: tuple[Any, ...] = ()

    @property
    def label(self) -> str:
        """Return the decoder's name for people."""
        return LABELS[self.name]


class DecoderBench:
    """Every decoder on one session: ``single`` counts of bins and ``windowed`` ones, both ``(n_bins, n_units)``.

    ``seed`` is where those that draw numbers while they learn begin; ``gpu`` whether networks may learn on one.
    """

    def __init__(
        self,
        settings: TrackDecodingParameters,
        animal: AnimalBehaviour,
        folds: Sequence[Fold],
        *,
        single: NDArray[np.floating],
        windowed: NDArray[np.floating],
        guard_bins: int,
        seed: int,
        gpu: bool,
    ) -> None:
        self._settings = settings
        self._single, self._windowed = single, windowed
        self._folds, self._guard_bins, self._seed = folds, guard_bins, seed
        self._gpu = gpu
        self.as_set = decoding.BlockDecoder(
            animal.position,
            animal.speed > animal.threshold,
            folds,
            decoding.DecoderSettings(
                window=settings.window or settings.bin,
                place_bins=settings.bins_along,
                smoothing=settings.map_smoothing,
                prior=settings.prior,
                minimum_spikes=settings.minimum_spikes,
            ),
            animal.sides,
        )
        self.behaviour = decoders.Behaviour(
            animal.position, animal.speed > animal.threshold, settings.bin, animal.sides
        )
        self.rows = self.as_set.rows

    @property
    def visited(self) -> NDArray[np.bool_]:
        """Return the places that count as visited in the moving bins, in the shape of the grid."""
        grid = self.as_set.grid
        place = grid.place(self.behaviour.position[self.rows])
        return grid.visited(np.bincount(place, minlength=grid.cells))

    def given(self, name: str) -> NDArray[np.floating]:
        """Return the counts that a decoder works on; those that choose their own window take single bins."""
        return self._windowed if name == "bayesian" else self._single

    def decode(self, name: str) -> Attempt:
        """Decode every tested bin."""
        began = time.perf_counter()
        if name == "bayesian":
            decoded = self.as_set.decode(self._windowed)
            words = ("as set",) * len(self._folds)
            seconds = time.perf_counter() - began
            return Attempt(name, decoded.decoded, decoded.posterior, decoded.units_used, words, seconds)
        made = self._chosen(name, self._single)
        seconds = time.perf_counter() - began
        chosen = tuple(_words(decoder) for decoder in made.chosen)
        return Attempt(name, made.position, made.posterior, made.units_used, chosen, seconds, made.models)

    def offered(self) -> list[str]:
        """Return the decoders of this arena that can be computed here: networks where PyTorch is installed."""
        known = IN_THE_OPEN if self.behaviour.in_the_open else LABELS
        return [name for name in known if name not in _NETWORKS or networks.installed()]

    def errors(self, name: str, counts: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the error (%) of every moving bin with the whole cross-validation repeated on ``counts``."""
        if name == "bayesian":
            return self.as_set.errors(counts)
        return self.behaviour.error(self._chosen(name, counts).position)[self.rows]

    def real(self, name: str) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
        """Return the error (%) of every moving bin of the session itself, and the units used in each fold."""
        if name == "bayesian":
            return self.as_set.errors(self._windowed), self.as_set.units_used(self._windowed)
        made = self._chosen(name, self._single)
        return self.behaviour.error(made.position)[self.rows], made.units_used

    def _chosen(self, name: str, counts: NDArray[np.floating]) -> decoders.CrossValidated:
        return decoders.cross_validate(
            self._candidates(name),
            counts,
            self.behaviour,
            NestedFolds(self._folds, self._guard_bins, self._settings.inner_folds),
        )

    def _candidates(self, name: str) -> list[decoders.Decoder]:
        in_the_open = self.behaviour.in_the_open
        bins, least, step = self._settings.bins_along, self._settings.minimum_spikes, self._settings.bin
        if name == "ridge":
            return linear.candidates(step=step, minimum_spikes=least)
        if network := _NETWORKS.get(name):
            return networks.candidates(
                network,
                guard_bins=self._guard_bins,
                place_bins=bins,
                minimum_spikes=least,
                seed=self._seed,
                gpu=self._gpu,
            )
        if kind := _LEARNED.get(name):
            return learned.candidates(
                kind, step=step, guard_bins=self._guard_bins, place_bins=bins, minimum_spikes=least, seed=self._seed
            )
        if name == "bayesian-chosen":
            return decoding.candidates(step=step, place_bins=bins, minimum_spikes=least, in_the_open=in_the_open)
        return statespace.candidates(
            place_bins=bins, smoothed=name == "state-space", minimum_spikes=least, in_the_open=in_the_open
        )


def _words(decoder: decoders.Decoder) -> str:
    """Return the settings of a decoder as one line."""
    return ", ".join(f"{name} {value}" for name, value in asdict(decoder).items())  # type: ignore[call-overload]
