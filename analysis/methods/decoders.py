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

Array = NDArray[np.floating]

# Time bins times outer folds whose inner folds are decoded abreast; bounds the memory of a long recording.
_BINS_ABREAST = 400_000
# A place that a decoder called impossible costs no more than this probability: one such bin must not decide alone.
_LEAST_PROBABILITY = 1e-6


@dataclass(frozen=True)
class Behaviour:
    """What the animal did in every time bin of ``step`` seconds.

    ``position`` (% of the track) ``(n_bins,)``, NaN where it was not seen; ``moving`` ``(n_bins,)`` bool.
    """

    position: Array
    moving: NDArray[np.bool_]
    step: float

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together, and behaviour in which nothing can be scored."""
        if self.position.ndim != 1 or self.position.shape != self.moving.shape:
            raise InvalidDataError(
                f"Behaviour needs one position and one mark of moving per time bin, not {self.position.shape} and "
                f"{self.moving.shape}."
            )
        if not self.scored.any():
            raise InvalidDataError("In no time bin does the animal move fast enough, so there is nothing to decode.")

    @cached_property
    def scored(self) -> NDArray[np.bool_]:
        """Return the bins that are scored, ``(n_bins,)``: those where the animal moves and is seen."""
        return self.moving & np.isfinite(self.position)

    @cached_property
    def direction(self) -> NDArray[np.int64]:
        """Return 1 where the position rises and 0 where it falls, ``(n_bins,)``; unseen neighbours count as falling."""
        if self.position.size < 2:
            return np.zeros(self.position.shape, dtype=np.int64)
        return (np.gradient(self.position) > 0).astype(np.int64)

    def place(self, place_bins: int) -> NDArray[np.int64]:
        """Return the place bin of every time bin, ``(n_bins,)``; -1 where the animal was not seen."""
        seen = np.isfinite(self.position)
        place = np.full(self.position.shape, -1, dtype=np.int64)
        place[seen] = np.clip((self.position[seen] / 100 * place_bins).astype(np.int64), 0, place_bins - 1)
        return place


@dataclass(frozen=True)
class Prediction:
    """``position`` (%) ``(n_bins,)``; ``posterior`` ``(n_bins, place_bins)`` summing to 1, None for point decoders."""

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


def posterior_median(posterior: Array) -> Array:
    """Return the median (%) of posteriors ``(n_bins, place_bins)``, linear within a bin, ``(n_bins,)``.

    Of all point estimates it has the least expected absolute error.
    """
    bins = posterior.shape[1]
    cumulative = np.cumsum(posterior, axis=1)
    half = cumulative[:, -1:] / 2
    at = (cumulative >= half).argmax(axis=1)[:, None]
    inside = np.take_along_axis(posterior, at, axis=1)
    before = np.take_along_axis(cumulative, at, axis=1) - inside
    share = np.divide(half - before, inside, out=np.full_like(inside, 0.5), where=inside > 0)
    return (at + share)[:, 0] * 100 / bins


@dataclass(frozen=True)
class CrossValidated:
    """What was decoded out of fold.

    ``position`` (%) ``(n_bins,)`` and ``posterior`` ``(n_bins, place_bins)`` or None, NaN where no fold tests;
    ``chosen`` the decoder of every fold and ``models`` what it learnt; ``units_used`` ``(n_folds,)``.
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
                    posterior = np.full((position.size, prediction.posterior.shape[1]), np.nan)
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
    inner = contiguous_folds(behaviour.position.size, folds=folds.inner, guard_bins=folds.guard_bins)
    scores = np.zeros((len(outer), len(candidates)))
    abreast = max(1, _BINS_ABREAST // behaviour.position.size)
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
        return -float(np.abs(prediction.position[part.scored] - behaviour.position[true]).sum())
    place = behaviour.place(prediction.posterior.shape[1])[true]
    likely = prediction.posterior[np.flatnonzero(part.scored), place]
    return float(np.log(np.maximum(likely, _LEAST_PROBABILITY)).sum())
