"""Decoding across days: what a decoder of one session tells of others, and what one that goes on learning forgets.

Sessions have the same units in the same columns. Two controls belong to every transfer: units whose identities are
shuffled, which says whether the columns are the same cells, and spikes shifted against behaviour, which says what
chance is. Forgetting of a network that is trained on one thing after another: McCloskey and Cohen 1989, Psychology of
Learning and Motivation 24, 109-165; rehearsal of what was learnt before: Robins 1995, Connection Science 7, 123-146.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from analysis.methods.decoders import Behaviour, Decoder, choose, cross_validate
from analysis.methods.errors import InvalidDataError
from analysis.methods.folds import Fold, NestedFolds
from analysis.methods.grids import posterior_median

if TYPE_CHECKING:
    from sklearn.neural_network import MLPClassifier

Array = NDArray[np.floating]
Regime = Literal["in turn", "replay", "joint"]
REGIMES: tuple[Regime, ...] = ("in turn", "replay", "joint")


@dataclass(frozen=True)
class Day:
    """One session: ``counts`` ``(n_bins, n_units)`` of consecutive bins, and what the animal did in them.

    Its ``folds`` are contiguous blocks of time or of laps, each tested once, with a guard.
    """

    counts: Array
    behaviour: Behaviour
    folds: Sequence[Fold]


@dataclass(frozen=True)
class Transfer:
    """Median error (%) of a decoder trained on one day (row) and tested on another (column), ``(n_days, n_days)``.

    On the diagonal, out of fold within the day with settings chosen fold by fold. ``shuffled`` and ``shifted``
    ``(n_days, n_days, n)`` are the errors with the tested day's units shuffled, and with its spikes shifted; NaN on the
    diagonal. ``chosen`` are the decoders that were carried, chosen on their own day alone.
    """

    error: Array
    shuffled: Array
    shifted: Array
    chosen: tuple[Decoder, ...]


def transfer(
    days: Sequence[Day],
    candidates: Sequence[Decoder],
    *,
    inner_folds: int,
    guard_bins: int,
    shuffles: int,
    shortest_shift_bins: int,
    rng: np.random.Generator,
    report: Callable[[float], None] | None = None,
) -> Transfer:
    """Train on each day and test on every other.

    Settings are chosen by ``inner_folds`` contiguous blocks within what trains, with a guard of ``guard_bins``. Errors:
    ``InvalidDataError`` where days have other numbers of units, or a day is too short to be cut or shifted.
    """
    _same_units(days)
    n = len(days)
    error = np.full((n, n), np.nan)
    shuffled, shifted = np.full((n, n, shuffles), np.nan), np.full((n, n, shuffles), np.nan)
    chosen = []
    for train, day in enumerate(days):
        n_bins = len(day.counts)
        whole = Fold(np.ones(n_bins, dtype=bool), np.zeros(n_bins, dtype=bool))
        decoder = choose(candidates, day.counts, day.behaviour, NestedFolds([whole], guard_bins, inner_folds))[0]
        chosen.append(decoder)
        model = decoder.fit(day.counts, day.behaviour, whole.train)
        nested = NestedFolds(day.folds, guard_bins, inner_folds)

        for test, other in enumerate(days):
            if test == train:
                found = cross_validate(candidates, day.counts, day.behaviour, nested).position
                error[train, test] = _median(other, found)
            else:
                lags = _lags(other, shortest_shift_bins, shuffles, rng)
                orders = [rng.permutation(day.counts.shape[1]) for _ in range(shuffles)]
                given = [other.counts]
                given += [other.counts[:, order] for order in orders]
                given += [np.roll(other.counts, lag, axis=0) for lag in lags]
                errors = [_median(other, decoder.predict([model], [counts])[0].position) for counts in given]
                error[train, test] = errors[0]
                shuffled[train, test], shifted[train, test] = errors[1 : shuffles + 1], errors[shuffles + 1 :]
            if report is not None:
                report((train * n + test + 1) / n**2)
    return Transfer(error, shuffled, shifted, tuple(chosen))


@dataclass(frozen=True)
class Learning:
    """Median error (%) on every day's held-out blocks after each stage of training, by regime.

    ``error[regime]`` is ``(n_repeats, n_days trained on, n_days tested on)``.
    """

    error: dict[Regime, Array]

    def forgotten(self, regime: Regime) -> Array:
        """Return by how much (%) the error on earlier days grew after training on the last one, ``(n_repeats,)``."""
        error = self.error[regime]
        earlier = np.arange(error.shape[1] - 1)
        return np.asarray((error[:, -1, earlier] - error[:, earlier, earlier]).mean(axis=1))


def learn_in_turn(
    days: Sequence[Day],
    *,
    place_bins: int,
    epochs: int,
    hidden: int,
    replayed: float,
    repeats: int,
    seed: int,
    report: Callable[[float], None] | None = None,
) -> Learning:
    """Train a perceptron on the days in turn and measure it on held-out blocks of all of them after each.

    Three regimes: on each day alone ("in turn"); on each day with a share ``replayed`` of the training bins of every
    earlier one ("replay"); anew on all days so far ("joint"). Of each day's folds every third is held out, with its
    guard; nothing is chosen on them. ``epochs`` passes through each stage's bins, ``hidden`` units in one layer. Needs
    scikit-learn. Errors: ``InvalidDataError`` for fewer than two days, and where a day has nothing to train on.
    """
    _same_units(days)
    if len(days) < 2:
        raise InvalidDataError("What is forgotten shows on two days or more.")
    # Scaled by what the first day trains on, which every regime has seen from its first stage on.
    prepared = [_Trial.of(day, place_bins) for day in days]
    first = prepared[0].train_counts
    centre, spread = first.mean(axis=0), first.std(axis=0)
    scaled = [trial.scaled(centre, np.where(spread > 0, spread, 1.0)) for trial in prepared]
    n = len(days)
    error: dict[Regime, Array] = {regime: np.full((repeats, n, n), np.nan) for regime in REGIMES}
    done = 0
    for repeat in range(repeats):
        for number, regime in enumerate(REGIMES):
            rng = np.random.default_rng([seed, repeat, number])
            network = _network(hidden, [seed, repeat])
            for stage in range(n):
                if regime == "joint":
                    network = _network(hidden, [seed, repeat])
                counts, places = _seen(scaled[: stage + 1], regime, replayed, rng)
                for _ in range(epochs):
                    order = rng.permutation(len(counts))
                    network.partial_fit(counts[order], places[order], classes=np.arange(place_bins))
                for test, trial in enumerate(scaled):
                    posterior = network.predict_proba(trial.test_counts)
                    missed = np.abs(posterior_median(posterior) - trial.test_position)
                    error[regime][repeat, stage, test] = float(np.median(missed))
                done += 1
                if report is not None:
                    report(done / (repeats * len(REGIMES) * n))
    return Learning(error)


@dataclass(frozen=True)
class _Trial:
    """What of a day trains and what is held out; places are bins, positions %."""

    train_counts: Array
    train_place: NDArray[np.int64]
    test_counts: Array
    test_position: Array

    @classmethod
    def of(cls, day: Day, place_bins: int) -> _Trial:
        held = day.folds[1::3]
        test = np.any([fold.test for fold in held], axis=0) & day.behaviour.scored
        train = np.all([fold.train for fold in held], axis=0) & day.behaviour.scored
        if not train.any() or not test.any():
            raise InvalidDataError("A day has too little movement to train on and to test; use fewer blocks.")
        # The square root makes the spread of Poisson counts alike (Anscombe 1948, Biometrika 35, 246-254).
        counts = np.sqrt(day.counts)
        place = day.behaviour.place(place_bins)
        return cls(counts[train], place[train], counts[test], day.behaviour.position[test])

    def scaled(self, centre: Array, spread: Array) -> _Trial:
        return _Trial(
            (self.train_counts - centre) / spread,
            self.train_place,
            (self.test_counts - centre) / spread,
            self.test_position,
        )


def _network(hidden: int, seed: list[int]) -> MLPClassifier:
    from sklearn.neural_network import MLPClassifier

    state = int(np.random.default_rng(seed).integers(2**31))
    return MLPClassifier((hidden,), alpha=1e-3, learning_rate_init=2e-3, random_state=state, shuffle=False)


def _seen(
    trials: Sequence[_Trial], regime: Regime, replayed: float, rng: np.random.Generator
) -> tuple[Array, NDArray[np.int64]]:
    """Return what is trained on at a stage: the last of the days, with all, a share or none of those before."""
    *earlier, last = trials
    share = {"in turn": 0.0, "replay": replayed, "joint": 1.0}[regime]
    parts = [(last.train_counts, last.train_place)]
    for trial in earlier:
        kept = rng.permutation(len(trial.train_place))[: round(share * len(trial.train_place))]
        parts.append((trial.train_counts[kept], trial.train_place[kept]))
    return np.concatenate([counts for counts, _ in parts]), np.concatenate([place for _, place in parts])


def _same_units(days: Sequence[Day]) -> None:
    units = {day.counts.shape[1] for day in days}
    if len(units) != 1:
        raise InvalidDataError(f"Days have {', '.join(map(str, sorted(units)))} units; all need the same ones.")


def _lags(day: Day, least: int, number: int, rng: np.random.Generator) -> NDArray[Any]:
    n_bins = len(day.counts)
    if n_bins < 2 * least:
        raise InvalidDataError(f"A day of {n_bins} bins is too short to shift by {least} bins in both directions.")
    return rng.integers(least, n_bins - least + 1, number)


def _median(day: Day, position: Array) -> float:
    scored = day.behaviour.scored & np.isfinite(position)
    return float(np.median(np.abs(position - day.behaviour.position)[scored]))
