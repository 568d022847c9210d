"""Decoders that are learnt: right on known truth, at chance on nothing, and blind to what they are tested on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.methods import decoders, folds, learned, permutation, spikes
from analysis.methods.errors import InvalidDataError
from tests.methods.conftest import run_laps
from tests.methods.leaking import leakage
from tests.methods.test_decoders import STEP, binned, median_error, otherwise, validated

GUARD = 8
KINDS = {
    "kernel": learned.KernelDecoder(minimum_spikes=1),
    "boosting": learned.BoostingDecoder(rounds=20, leaves=8, minimum_spikes=1),
    "perceptron": learned.PerceptronDecoder(GUARD, most_epochs=12, minimum_spikes=1),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def short_laps():
    return binned(run_laps(duration=240))


@every_kind
def test_the_place_is_found_where_cells_tell_it(short_laps, kind):
    counts, behaviour = short_laps
    made = validated([KINDS[kind]], counts, behaviour)
    error = np.abs(made.position - behaviour.position)[behaviour.scored]
    assert np.median(error) < 5
    assert np.all(made.units_used == counts.shape[1])
    assert (made.posterior is None) == (kind == "boosting")
    if made.posterior is not None:
        assert np.allclose(made.posterior.sum(axis=1), 1)


@every_kind
def test_nothing_of_a_tested_block_reaches_what_decodes_it(short_laps, kind):
    """Neither spikes nor behaviour of a block, nor of its guard, may change what is learnt for it."""
    counts, behaviour = short_laps
    hidden = ~folds.contiguous_folds(len(counts), folds=6, guard_bins=GUARD)[2].train
    spoilt, elsewhere = otherwise(counts, behaviour, hidden)
    decoder = replace(KINDS[kind], minimum_spikes=15)
    one, other = (decoder.fit(given, shown, ~hidden) for given, shown in ((counts, behaviour), (spoilt, elsewhere)))
    assert np.array_equal(one.units, other.units)
    found = decoder.predict([one, other], [counts, counts])
    assert np.array_equal(found[0].position, found[1].position)


def test_what_a_perceptron_learns_does_not_hang_on_what_lies_between_its_parts(short_laps):
    """When to stop is judged on a block whose guard no part of the training sees."""
    counts, behaviour = short_laps
    train = np.ones(len(counts), bool)
    held = folds.validation_fold(train, behaviour.scored, guard_bins=GUARD)
    index = np.arange(train.size)
    test = np.flatnonzero(held.test)
    assert np.array_equal(test, np.arange(test[0], test[-1] + 1))
    assert np.array_equal(held.train, (index < test[0] - GUARD) | (index > test[-1] + GUARD))
    share = np.count_nonzero(held.test & behaviour.scored) / np.count_nonzero(behaviour.scored)
    assert share == pytest.approx(0.2, abs=0.01)
    train[test[10:30]] = False
    fold = folds.validation_fold(train, behaviour.scored, guard_bins=GUARD)
    assert not ((fold.train | fold.test) & ~train).any()


@every_kind
def test_the_same_seed_learns_the_same(short_laps, kind):
    counts, behaviour = short_laps
    train = np.arange(len(counts)) < 700
    models = [KINDS[kind].fit(counts, behaviour, train) for _ in range(2)]
    one, other = KINDS[kind].predict(models, [counts, counts])
    assert np.array_equal(one.position, other.position)


def leaves_chance(decoder, counts, behaviour, *, smoothing, shifts):
    """Return p of spikes shifted by 100 s, smoothed, and p of the spikes as they are, against other shifts."""
    smooth = spikes.sliding_counts(counts, round(smoothing / STEP))

    def error(values):
        return median_error([decoder], values, behaviour, guard=smoothing + 2.0)

    lags = permutation.shift_lags(len(counts), shifts=shifts, minimum_bins=80, rng=np.random.default_rng(2))
    null = permutation.circular_shift_null(smooth, lags, error)
    free = permutation.permutation_p(error(np.roll(smooth, round(100 / STEP), axis=0)), null, smaller_is_better=True)
    return free, permutation.permutation_p(error(smooth), null, smaller_is_better=True)


def test_information_free_data_stay_at_chance_for_a_kernel(short_laps):
    """The decoder that keeps every training bin would be the first to find their neighbours."""
    free, real = leaves_chance(KINDS["kernel"], *short_laps, smoothing=2.0, shifts=19)
    assert free > 0.1
    assert real == pytest.approx(0.05)


@pytest.mark.long
@every_kind
@pytest.mark.parametrize("smoothing", [STEP, 1.0, 2.0, 4.0])
def test_information_free_data_stay_at_chance_for_every_decoder_and_smoothing(short_laps, kind, smoothing):
    free, real = leaves_chance(KINDS[kind], *short_laps, smoothing=smoothing, shifts=19)
    assert free > 0.1
    assert real == pytest.approx(0.05)


def test_the_data_would_leak_through_folds_drawn_at_random(short_laps):
    """The same spikes, shifted and smoothed: what the guard keeps out is there to be kept out."""
    counts, behaviour = short_laps
    random, blocked = leakage(counts, behaviour.position, STEP)
    assert random > 0.8
    assert blocked < 0.1


@pytest.mark.long
@every_kind
def test_choosing_does_not_lift_noise(kind):
    """Without a place cell, what is chosen between settings and epochs does no better on tested blocks."""
    gains = []
    for seed in range(4):
        counts, behaviour = binned(run_laps(duration=240, units=15, peak=0.0, seed=seed))
        made = learned.candidates(kind, step=STEP, guard_bins=GUARD, minimum_spikes=1)
        each = [median_error([candidate], counts, behaviour) for candidate in made]
        gains.append(np.mean(each) / median_error(made, counts, behaviour))
    assert 0.8 < np.mean(gains) < 1.25


def test_a_perceptron_gains_nothing_from_its_best_epoch_on_noise():
    """The error of tested blocks is that of guessing the middle, whatever epoch looked best in training bins."""
    counts, behaviour = binned(run_laps(duration=240, units=15, peak=0.0, seed=7))
    found = median_error([KINDS["perceptron"]], counts, behaviour)
    middle = np.median(np.abs(behaviour.position - 50)[behaviour.scored])
    assert found > 0.9 * middle


def test_two_places_are_told_apart_and_one_is_refused():
    rng = np.random.default_rng(0)
    position = np.repeat(np.tile([10.0, 90.0], 15), 10)
    counts = rng.poisson(np.where(position[:, None] > 50, [6.0, 0.5], [0.5, 6.0])).astype(float)
    behaviour = decoders.Behaviour(position, np.ones(position.size, bool), STEP)
    decoder = learned.PerceptronDecoder(2, lags=0, place_bins=2, minimum_spikes=1)
    model = decoder.fit(counts, behaviour, np.arange(position.size) < 200)
    found = decoder.predict([model], [counts[200:]])[0]
    assert np.mean(found.posterior.argmax(axis=1) == (position[200:] > 50)) > 0.95
    still = decoders.Behaviour(np.full(position.size, 10.0), np.ones(position.size, bool), STEP)
    with pytest.raises(InvalidDataError, match="one place only"):
        decoder.fit(counts, still, np.arange(position.size) < 200)


@every_kind
def test_units_that_fire_too_seldom_leave_a_decoder_that_says_the_same_of_every_bin(short_laps, kind):
    counts, behaviour = short_laps
    decoder = replace(KINDS[kind], minimum_spikes=10**9)
    model = decoder.fit(counts, behaviour, np.arange(len(counts)) < 700)
    assert model.units.size == 0
    found = decoder.predict([model], [counts[700:]])[0].position
    assert np.isfinite(found[0])
    assert np.all(found == found[0])


def test_too_few_bins_are_told():
    moving = np.ones(40, bool)
    behaviour = decoders.Behaviour(np.linspace(0, 100, 40), moving, STEP)
    for decoder in KINDS.values():
        with pytest.raises(InvalidDataError, match=r"no training bin|too few moving"):
            decoder.fit(np.zeros((40, 3)), behaviour, np.zeros(40, bool))
    with pytest.raises(InvalidDataError, match="too few moving"):
        KINDS["perceptron"].fit(np.zeros((40, 3)), behaviour, np.arange(40) < 9)
