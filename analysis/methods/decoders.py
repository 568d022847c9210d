"""What every decoder of position is, and how one is cross-validated with its settings chosen inside the training bins.

A decoder is a set of settings. ``fit`` learns from the training bins that it is given and from nothing else;
``predict`` says where the animal is from spikes alone. What is chosen between settings is chosen by inner folds that
lie within the training bins of the outer one, with the same guard: a tested bin is seen by nothing before it is
decoded.

Source of nested cross-validation: Varma and Simon 2006, BMC Bioinformatics 7, 91; of the log score: Gneiting and
Raftery 2007, J. Am. Stat. Assoc. 102, 359-378.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from analysis.methods.errors import InvalidDataError
from analysis.methods.folds import Fold, NestedFolds, contiguous_folds
from analysis.methods.grids import TRACK, Grid, distance

Array = NDArray[np.floating]

# Time bins times places times outer folds whose inner folds are decoded abreast; bounds the memory of a long recording.
_CELLS_ABREAST = 20_000_000
# A place that a decoder called impossible costs no more than this probability: one such bin must not decide alone.
_LEAST_PROBABILITY = 1e-6


@dataclass(frozen=True)
class Behaviour:
    """What the animal did in every time bin of ``step`` seconds.

    ``position`` is in % of the track ``(n_bins,)``, or of the longer side of an arena ``(n_bins, 2)``, x and y; NaN
    where it was not seen. ``moving`` ``(n_bins,)`` bool; ``sides`` (%) are how far x and y reach, ``(100,)`` a track.
    """

    position: Array
    moving: NDArray[np.bool_]
    step: float
    sides: tuple[float, ...] = TRACK

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together, and behaviour in which nothing can be scored."""
        axes = () if len(self.sides) == 1 else (len(self.sides),)
        if self.moving.ndim != 1 or self.position.shape != (*self.moving.shape, *axes):
            raise InvalidDataError(
                f"Behaviour needs one position and one mark of moving per time bin, not {self.position.shape} and "
                f"{self.moving.shape}."
            )
        if not self.scored.any():
            raise InvalidDataError("In no time bin does the animal move fast enough, so there is nothing to decode.")

    @cached_property
    def scored(self) -> NDArray[np.bool_]:
        """Return the bins that are scored, ``(n_bins,)``: those where the animal moves and is seen."""
        return self.moving & self.seen

    @cached_property
    def seen(self) -> NDArray[np.bool_]:
        """Return the bins in which the animal was seen, ``(n_bins,)``."""
        return np.all(np.isfinite(self.position.reshape(self.moving.size, -1)), axis=1)

    @property
    def in_the_open(self) -> bool:
        """Return whether places lie in an arena and not along a track."""
        return len(self.sides) > 1

    @property
    def along_track(self) -> Array:
        """Return the position (%) ``(n_bins,)``; ``InvalidDataError`` for an arena, where there is no way along."""
        if self.in_the_open:
            raise InvalidDataError("Directions, and decoders that learn them, are those of a track, not of an arena.")
        return self.position

    @cached_property
    def direction(self) -> NDArray[np.int64]:
        """Return 1 where the position rises and 0 where it falls, ``(n_bins,)``; unseen neighbours count as falling."""
        along = self.along_track
        if along.size < 2:
            return np.zeros(along.shape, dtype=np.int64)
        return (np.gradient(along) > 0).astype(np.int64)

    def grid(self, place_bins: int) -> Grid:
        """Return places of which ``place_bins`` lie along the track, or the longer side of the arena."""
        return Grid.with_bins(place_bins, self.sides)

    def place(self, place_bins: int) -> NDArray[np.int64]:
        """Return the number of the place in every time bin, ``(n_bins,)``; -1 where the animal was not seen."""
        return self.grid(place_bins).place(self.position)

    def error(self, decoded: Array) -> Array:
        """Return how far decoded positions, as ``position``, lie from the true ones, ``(n_bins,)``."""
        return distance(self.position, decoded)


@dataclass(frozen=True)
class Prediction:
    """``position`` (%) ``(n_bins,)``, or ``(n_bins, 2)`` in an arena; ``posterior`` ``(n_bins, *shape)`` of a grid.

    A posterior sums to 1 over places; a decoder of points has None.
    """

    position: Array
    posterior: Array | None = None


class Decoder(Protocol):
    """Settings of a decoder. Implementations are frozen dataclasses, so that a chosen one can be written down."""

    @property
    def name(self) -> str:
        """Return the name of the kind of decoder."""

    def fit(self, counts: Array, behaviour: Behaviour, train: NDArray[np.bool_]) -> Any:
        """Learn from the bins of ``train`` ``(n_bins,)`` of ``counts`` ``(n_bins, n_units)``.

        Return what was learnt, with ``units``, the columns that were used. Errors: ``InvalidDataError`` when there is
        nothing to learn from.
        """

    def predict(self, models: Sequence[Any], counts: Sequence[Array]) -> list[Prediction]:
        """Decode with each model its own counts ``(n_bins, n_units)``, consecutive bins in order of time.

        Rows of NaN are bins without a measurement. Several at once, because a decoder that goes bin by bin through
        time can take them abreast.
        """


@dataclass(frozen=True)
class CrossValidated:
    """What was decoded out of fold.

    ``position`` (%) and ``posterior`` or None are those of a ``Prediction``, NaN where no fold tests; ``chosen`` the
    decoder of every fold and ``models`` what it learnt; ``units_used`` ``(n_folds,)``.
    """

    position: Array
    posterior: Array | None
    chosen: tuple[Decoder, ...]
    units_used: NDArray[np.int64]
    models: tuple[Any, ...] = ()


def cross_validate(
    candidates: Sequence[Decoder], counts: Array, behaviour: Behaviour, folds: NestedFolds
) -> CrossValidated:
    """Decode every tested bin, each fold with the candidate that does best on inner folds of its training bins.

    ``counts`` is ``(n_bins, n_units)``. With a single candidate nothing is chosen. Errors:
    ``InvalidDataError`` when a fold has nothing to train on.
    """
    chosen = choose(candidates, counts, behaviour, folds)
    outer = folds.outer
    position = np.full(behaviour.position.shape, np.nan)
    posterior: Array | None = None
    used = np.zeros(len(outer), dtype=np.int64)
    learnt: list[Any] = [None] * len(outer)
    for decoder in dict.fromkeys(chosen):
        numbers = [number for number, of_fold in enumerate(chosen) if of_fold == decoder]
        models = [_fitted(decoder, counts, behaviour, outer[number], number) for number in numbers]
        tested = [np.flatnonzero(outer[number].test) for number in numbers]
        made = decoder.predict(models, [counts[rows] for rows in tested])
        for number, model, rows, prediction in zip(numbers, models, tested, made, strict=True):
            used[number] = model.units.size
            learnt[number] = model
            position[rows] = prediction.position
            if prediction.posterior is not None:
                if posterior is None:
                    posterior = np.full((len(position), *prediction.posterior.shape[1:]), np.nan)
                posterior[rows] = prediction.posterior
    return CrossValidated(position, posterior, tuple(chosen), used, tuple(learnt))


def _fitted(decoder: Decoder, counts: Array, behaviour: Behaviour, fold: Fold, number: int) -> Any:
    if not (fold.train & behaviour.scored).any():
        raise InvalidDataError(f"Fold {number + 1} has no moving bin to train on; use fewer folds or a lower speed.")
    return decoder.fit(counts, behaviour, fold.train)


def choose(candidates: Sequence[Decoder], counts: Array, behaviour: Behaviour, folds: NestedFolds) -> list[Decoder]:
    """Return for every fold the candidate with the best mean score over the moving bins of its inner folds.

    The score of a bin is the log of the probability of the true place, or the negative absolute error of a decoder
    without a posterior; among equals the first candidate. Bins outside a fold's training bins are hidden: they train
    nothing, their spikes are not seen, and they are not scored.
    """
    if not candidates:
        raise InvalidDataError("There is no decoder to choose from.")
    outer = folds.outer
    if len(candidates) == 1:
        return [candidates[0]] * len(outer)
    n_bins = behaviour.moving.size
    inner = contiguous_folds(n_bins, folds=folds.inner, guard_bins=folds.guard_bins)
    scores = np.zeros((len(outer), len(candidates)))
    most_places = max(behaviour.grid(getattr(candidate, "place_bins", 1)).cells for candidate in candidates)
    abreast = max(1, _CELLS_ABREAST // (n_bins * most_places))
    groups = [range(start, min(start + abreast, len(outer))) for start in range(0, len(outer), abreast)]
    for group in groups:
        parts = [part for number in group for part in _inner_parts(number, outer[number], inner, behaviour)]
        if {part.number for part in parts} != set(group):
            raise InvalidDataError("A fold has too little movement to choose settings in; use fewer folds.")
        hidden = []
        for part in parts:
            seen = counts[part.rows].copy()
            seen[~outer[part.number].train[part.rows]] = np.nan
            hidden.append(seen)
        for which, candidate in enumerate(candidates):
            models = [candidate.fit(counts, behaviour, part.train) for part in parts]
            for part, prediction in zip(parts, candidate.predict(models, hidden), strict=True):
                scores[part.number, which] += _score(prediction, behaviour, part)
    return [candidates[best] for best in scores.argmax(axis=1)]


@dataclass(frozen=True)
class _Part:
    """One inner fold of outer fold ``number``: the ``rows`` that it decodes, those ``scored``, and what trains."""

    number: int
    rows: NDArray[np.int64]
    scored: NDArray[np.bool_]
    train: NDArray[np.bool_]


def _inner_parts(number: int, outer: Fold, inner: Sequence[Fold], behaviour: Behaviour) -> Iterator[_Part]:
    for fold in inner:
        rows = np.flatnonzero(fold.test)
        scored = (outer.train & behaviour.scored)[rows]
        train = fold.train & outer.train
        if scored.any() and (train & behaviour.scored).any():
            yield _Part(number, rows, scored, train)


def _score(prediction: Prediction, behaviour: Behaviour, part: _Part) -> float:
    """Return the sum over scored bins: every candidate is scored on the same ones, so a sum ranks like a mean."""
    true = part.rows[part.scored]
    if prediction.posterior is None:
        return -float(distance(behaviour.position[true], prediction.position[part.scored]).sum())
    grid = Grid(prediction.posterior.shape[1:], behaviour.sides)
    likely = prediction.posterior[part.scored].reshape(true.size, grid.cells)
    likely = likely[np.arange(true.size), grid.place(behaviour.position[true])]
    return float(np.log(np.maximum(likely, _LEAST_PROBABILITY)).sum())
