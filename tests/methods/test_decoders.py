"""Every decoder behind the one interface: right on known truth, at chance on nothing, and blind to what it tests."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy.stats import norm, poisson

from analysis.methods import decoders, decoding, folds, grids, linear, permutation, position, spikes, statespace
from analysis.methods.errors import InvalidDataError
from tests.methods.conftest import run_laps

STEP = 0.25
KINDS = {
    "Bayesian": decoding.candidates(step=STEP, minimum_spikes=1),
    "state space": statespace.candidates(minimum_spikes=1),
    "causal state space": statespace.candidates(smoothed=False, minimum_spikes=1),
    "ridge": linear.candidates(step=STEP, minimum_spikes=1),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def binned(laps, step=STEP):
    edges = spikes.time_edges(0, laps.duration - 1, step)
    where = position.bin_position(laps.time, laps.percent, edges, smoothing=0.1)
    counts = spikes.bin_spikes(laps.spike_times, laps.spike_units, edges, n_units=int(laps.spike_units.max()) + 1)
    return counts, decoders.Behaviour(where.position, where.speed > 5, step)


def otherwise(counts, behaviour, hidden):
    """Return other spikes and other places in the hidden bins; all else stays."""
    rng = np.random.default_rng(0)
    spoilt, place = counts.copy(), behaviour.position.copy()
    spoilt[hidden] = rng.poisson(9, spoilt[hidden].shape)
    place[hidden] = rng.uniform(0, min(behaviour.sides), place[hidden].shape)
    return spoilt, replace(behaviour, position=place)


def validated(candidates, counts, behaviour, *, guard=2.0):
    guard_bins = int(np.ceil(guard / behaviour.step))
    blocks = folds.contiguous_folds(len(counts), folds=6, guard_bins=guard_bins)
    return decoders.cross_validate(candidates, counts, behaviour, folds.NestedFolds(blocks, guard_bins, inner=3))


def median_error(candidates, counts, behaviour, **settings):
    made = validated(candidates, counts, behaviour, **settings)
    return float(np.median(np.abs(made.position - behaviour.position)[behaviour.scored]))


@every_kind
def test_the_place_is_found_where_cells_tell_it(laps, kind):
    counts, behaviour = binned(laps)
    made = validated(KINDS[kind], counts, behaviour)
    error = np.abs(made.position - behaviour.position)[behaviour.scored]
    assert np.median(error) < {"ridge": 8}.get(kind, 4)
    assert np.all(made.units_used == counts.shape[1])
    assert (made.posterior is None) == (kind == "ridge")
    if made.posterior is not None:
        assert np.allclose(made.posterior.sum(axis=1), 1)
    assert len(made.chosen) == 6
    assert set(made.chosen) <= set(KINDS[kind])


def test_what_comes_before_and_after_helps_where_spikes_are_few():
    """With three weak cells a bin alone says little: the walk adds to it, and the spikes to come add more."""
    counts, behaviour = binned(run_laps(duration=400, units=6, peak=4, seed=3), step=0.1)
    alone = median_error([decoding.BayesianDecoder(window_bins=3)], counts, behaviour)
    causal = median_error([statespace.StateSpaceDecoder(smoothed=False)], counts, behaviour)
    smoothed = median_error([statespace.StateSpaceDecoder()], counts, behaviour)
    assert smoothed < 0.8 * causal < 0.8 * alone


def test_the_chain_is_the_sum_over_every_path():
    """Forward-backward against all 6**4 paths through two places and three modes, added up one by one."""
    rng = np.random.default_rng(5)
    decoder = statespace.StateSpaceDecoder(place_bins=2, walk=60.0, jumps=0.2, minimum_spikes=0)
    switching = rng.dirichlet(np.ones(3), size=3)
    rate = rng.uniform(0.2, 3.0, size=(2, 6))
    start = rng.dirichlet(np.ones(6))
    model = statespace.Learnt(
        np.log(rate), rate.sum(axis=0), switching, start, 0.5, np.arange(2), grids.Grid((2,)), np.ones(2, bool)
    )
    counts = rng.poisson(1.5, size=(4, 2)).astype(float)
    counts[2] = np.nan
    jump = 0.2 * 0.5
    walk = {}
    for mode, sigma in enumerate((60 * 0.5**0.5, 60 * 0.5**0.5, 12 * 0.5**0.5)):
        steps = norm.pdf([0, 50], scale=sigma)
        walk[mode] = steps / steps.sum()
    likely = [np.ones(6) if np.isnan(row).any() else poisson.pmf(row[:, None], rate).prod(axis=0) for row in counts]
    total, causal = np.zeros((4, 6)), np.zeros((4, 6))
    for stop in (1, 2, 3, 4):
        for path in product(range(6), repeat=stop):
            weight = start[path[0]] * likely[0][path[0]]
            for now in range(1, stop):
                (was, before), (mode, place) = divmod(path[now - 1], 2), divmod(path[now], 2)
                weight *= (1 - jump) * switching[was, mode] * walk[mode][abs(place - before)] + jump / 6
                weight *= likely[now][path[now]]
            causal[stop - 1, path[-1]] += weight
            if stop == 4:
                total[np.arange(4), path] += weight
    for weights, made in ((total, decoder), (causal, replace(decoder, smoothed=False))):
        expected = weights.reshape(4, 3, 2).sum(axis=1)
        found = made.predict([model], [counts])[0].posterior
        assert np.allclose(found, expected / expected.sum(axis=1, keepdims=True), atol=1e-5)


def test_stretches_of_any_length_are_decoded_abreast_as_they_are_alone(laps):
    counts, behaviour = binned(laps)
    decoder = statespace.StateSpaceDecoder()
    train = np.arange(len(counts)) < 1500
    models = [decoder.fit(counts, behaviour, train), decoder.fit(counts, behaviour, ~train)]
    parts = [counts[1600:1900], counts[:37]]
    for alone, abreast in zip(
        [decoder.predict([model], [part])[0] for model, part in zip(models, parts, strict=True)],
        decoder.predict(models, parts),
        strict=True,
    ):
        assert np.allclose(alone.posterior, abreast.posterior, atol=1e-4)


def test_one_step_decoding_is_bayes_rule_with_poisson_counts(laps):
    """The formula of the field's tools, probability by probability: the same maps, prior and bins."""
    counts, behaviour = binned(laps)
    decoder = decoding.BayesianDecoder()
    model = decoder.fit(counts, behaviour, np.arange(len(counts)) < 1500)
    tested = counts[1600:1900]
    found = decoder.predict([model], [tested])[0]
    joint = poisson.pmf(tested[:, :, None], model.rate * STEP).prod(axis=1) * np.exp(model.log_prior)
    assert np.abs(found.posterior - joint / joint.sum(axis=1, keepdims=True)).max() < 1e-9
    assert np.array_equal(found.position, (joint.argmax(axis=1) + 0.5) * 2)


def test_a_window_at_the_end_of_a_stretch_knows_that_it_is_shorter():
    rate = np.array([[2.0, 6.0]])
    model = decoding.PlaceModel(rate, np.log([0.5, 0.5]), STEP, np.array([0]), grids.Grid((2,)))
    found = decoding.BayesianDecoder(window_bins=3, place_bins=2).predict([model], [np.ones((4, 1))])[0]
    for row, (spike_count, bins) in enumerate(((2, 2), (3, 3), (3, 3), (2, 2))):
        joint = poisson.pmf(spike_count, rate[0] * bins * STEP)
        assert np.allclose(found.posterior[row], joint / joint.sum()), row


@every_kind
def test_nothing_of_a_tested_block_reaches_what_decodes_it(laps, kind):
    """Neither spikes nor behaviour of a block, nor of its guard, may change what is learnt or chosen for it."""
    counts, behaviour = binned(laps)
    blocks = folds.contiguous_folds(len(counts), folds=6, guard_bins=8)
    nested = folds.NestedFolds(blocks, guard_bins=8, inner=3)
    hidden = ~blocks[2].train
    spoilt, elsewhere = otherwise(counts, behaviour, hidden)
    candidates = KINDS[kind][::3]
    before = decoders.choose(candidates, counts, behaviour, nested)[2]
    after = decoders.choose(candidates, spoilt, elsewhere, nested)[2]
    assert before == after
    one, other = (
        before.fit(given, shown, blocks[2].train) for given, shown in ((counts, behaviour), (spoilt, elsewhere))
    )
    for name, value in vars(one).items():
        assert np.array_equal(value, getattr(other, name)), name


@every_kind
@pytest.mark.parametrize("smoothing", [STEP, 2.0])
def test_information_free_data_stay_at_chance(laps, kind, smoothing):
    """Spikes shifted by 300 s, smoothed or not, decode no better than with other shifts; unshifted they do."""
    counts, behaviour = binned(replace(laps, duration=400.0))
    width = round(smoothing / STEP)
    smooth = spikes.sliding_counts(counts, width)
    candidates = [KINDS[kind][0], KINDS[kind][-1]]

    def error(values):
        return median_error(candidates, values, behaviour, guard=smoothing + 2.0)

    lags = permutation.shift_lags(len(counts), shifts=9, minimum_bins=80, rng=np.random.default_rng(2))
    null = permutation.circular_shift_null(smooth, lags, error)
    free = error(np.roll(smooth, round(300 / STEP), axis=0))
    assert permutation.permutation_p(free, null, smaller_is_better=True) > 0.1
    assert free > 0.8 * np.median(null)
    assert permutation.permutation_p(error(smooth), null, smaller_is_better=True) == pytest.approx(0.1)


@every_kind
def test_choosing_does_not_lift_noise(kind):
    """Without a place cell, what the inner folds choose does no better on tested blocks than any candidate."""
    gains = []
    for seed in range(4):
        counts, behaviour = binned(run_laps(duration=240, units=15, peak=0.0, seed=seed))
        each = [median_error([candidate], counts, behaviour) for candidate in KINDS[kind][::4]]
        gains.append(np.mean(each) / median_error(KINDS[kind][::4], counts, behaviour))
    assert 0.8 < np.mean(gains) < 1.25


def test_a_median_of_a_posterior_lies_where_half_of_it_is():
    found = grids.posterior_median(np.array([[0.5, 0.5, 0, 0], [0, 0, 1, 0], [0.1, 0.2, 0.3, 0.4]]))
    assert found == pytest.approx([25, 62.5, 50 + 25 * 2 / 3])


def test_wrong_settings_and_data_are_told():
    moving = np.ones(40, bool)
    with pytest.raises(InvalidDataError, match="nothing to decode"):
        decoders.Behaviour(np.full(40, np.nan), moving, STEP)
    with pytest.raises(InvalidDataError, match="one position and one mark"):
        decoders.Behaviour(np.zeros(39), moving, STEP)
    with pytest.raises(InvalidDataError, match="above zero"):
        statespace.StateSpaceDecoder(jumps=0.0)
    half = decoders.Behaviour(np.linspace(0, 100, 40), np.arange(40) < 20, STEP)
    blocks = folds.contiguous_folds(40, folds=2, guard_bins=0)
    for candidates, words in (
        ([], "no decoder to choose"),
        ([statespace.StateSpaceDecoder()], "Fold 1 has no moving bin"),
        (statespace.candidates(), "too little movement"),
    ):
        with pytest.raises(InvalidDataError, match=words):
            decoders.cross_validate(candidates, np.zeros((40, 3)), half, folds.NestedFolds(blocks, guard_bins=0))
    for decoder in (decoding.BayesianDecoder(), statespace.StateSpaceDecoder(), linear.RidgeDecoder()):
        with pytest.raises(InvalidDataError, match="no training bin"):
            decoder.fit(np.zeros((40, 3)), half, np.zeros(40, bool))
