"""Position in an arena: found as an ideal observer finds it, at chance on nothing, never where nobody was."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import norm, poisson

from analysis.methods import decoders, decoding, folds, grids, linear, permutation, position, spikes, statespace
from analysis.methods.errors import InvalidDataError
from tests.methods.test_decoders import otherwise
from tests.methods.wandering import wander

STEP, BINS, GUARD = 0.25, 20, 8
KINDS = {
    "Bayesian": decoding.candidates(step=STEP, place_bins=BINS, in_the_open=True),
    "state space": statespace.candidates(place_bins=BINS, in_the_open=True),
    "causal state space": statespace.candidates(place_bins=BINS, smoothed=False, in_the_open=True),
    "ridge": linear.candidates(step=STEP),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def binned(walk, step=STEP):
    """Return counts, behaviour in % of the longer side, and where 0 % and how long 100 % are in cm."""
    edges = spikes.time_edges(0, walk.time[-1], step)
    low, extent = walk.xy.min(axis=0), np.ptp(walk.xy, axis=0)
    side = float(extent.max())
    each = [position.bin_position(walk.time, column, edges, smoothing=0.1) for column in ((walk.xy - low) / side).T]
    percent = 100 * np.stack([one.position for one in each], axis=1)
    speed = side * np.hypot(each[0].speed, each[1].speed)
    counts = spikes.bin_spikes(walk.spike_times, walk.spike_units, edges, n_units=walk.peaks.size)
    sides = tuple(float(reach) for reach in extent / side * 100)
    return counts, decoders.Behaviour(percent, speed > 5, step, sides), (low, side)


def validated(candidates, counts, behaviour):
    blocks = folds.contiguous_folds(len(counts), folds=6, guard_bins=GUARD)
    return decoders.cross_validate(candidates, counts, behaviour, folds.NestedFolds(blocks, GUARD, inner=3))


def median_error(candidates, counts, behaviour):
    return float(np.median(behaviour.error(validated(candidates, counts, behaviour).position)[behaviour.scored]))


@pytest.fixture(scope="module")
def field():
    return binned(wander(peak=8.0))


@every_kind
def test_the_place_is_found_where_cells_tell_it(field, kind):
    counts, behaviour, _ = field
    made = validated(KINDS[kind], counts, behaviour)
    error = behaviour.error(made.position)[behaviour.scored]
    assert np.median(error) < {"ridge": 7, "state space": 3.5}.get(kind, 5)
    assert made.position.shape == (len(counts), 2)
    assert np.nanmax(made.position[:, 1]) <= behaviour.sides[1] < 75
    assert set(made.chosen) <= set(KINDS[kind])
    if kind != "ridge":
        assert made.posterior.shape == (len(counts), 14, BINS)
        assert np.allclose(made.posterior.sum(axis=(1, 2)), 1)


@pytest.mark.parametrize("kind", ["Bayesian", "state space", "causal state space"])
def test_learnt_maps_decode_nearly_as_well_as_the_true_ones(field, kind):
    """The ideal observer has the decoder's settings and the rates by which the spikes were drawn."""
    counts, behaviour, (low, side) = field
    made = validated(KINDS[kind], counts, behaviour)
    grid = behaviour.grid(BINS)
    true = wander(peak=8.0).rates(grid.centres / 100 * side + low).T
    ideal = np.full(behaviour.position.shape, np.nan)
    for fold, chosen, model in zip(
        folds.contiguous_folds(len(counts), folds=6, guard_bins=GUARD), made.chosen, made.models, strict=True
    ):
        if kind == "Bayesian":
            knowing = decoding.PlaceModel(true, model.log_prior, STEP, np.arange(len(true)), grid)
        else:
            expected = np.tile(true * STEP, (1, model.modes))
            knowing = statespace.Learnt(
                np.log(expected), expected.sum(axis=0), model.switching, model.start, STEP,
                np.arange(len(true)), grid, model.visited,
            )  # fmt: skip
        ideal[fold.test] = chosen.predict([knowing], [counts[fold.test]])[0].position
    best, found = (float(np.median(behaviour.error(xy)[behaviour.scored])) for xy in (ideal, made.position))
    assert found < 1.2 * best


def test_what_comes_before_and_after_helps_where_spikes_are_few():
    counts, behaviour, _ = binned(wander(units=25, peak=6.0, seed=3))
    alone = median_error([decoding.BayesianDecoder(2, BINS, 1.5)], counts, behaviour)
    causal = median_error([statespace.StateSpaceDecoder(BINS, 5.0, 8.0, smoothed=False)], counts, behaviour)
    smoothed = median_error([statespace.StateSpaceDecoder(BINS, 5.0, 8.0)], counts, behaviour)
    assert smoothed < 0.85 * causal < 0.85 * alone


def test_the_chain_is_the_sum_over_every_path_through_visited_places():
    """Forward-backward against all 10**4 paths through five of six places and two modes, added up one by one."""
    rng = np.random.default_rng(5)
    grid = grids.Grid((2, 3), (100.0, 60.0))
    visited = np.array([True, True, False, True, True, True])
    switching = rng.dirichlet(np.ones(2), size=2)
    rate = rng.uniform(0.2, 3.0, size=(2, 12))
    start = rng.dirichlet(np.ones(12)) * np.tile(visited, 2)
    start /= start.sum()
    model = statespace.Learnt(np.log(rate), rate.sum(axis=0), switching, start, 0.5, np.arange(2), grid, visited)
    counts = rng.poisson(1.5, size=(4, 2)).astype(float)
    counts[2] = np.nan
    jump = 0.2 * 0.5
    walk = []
    for sigma in (60 * 0.5**0.5, 12 * 0.5**0.5):
        x = norm.pdf(np.subtract.outer(np.arange(3), np.arange(3)) * 100 / 3, scale=sigma)
        y = norm.pdf(np.subtract.outer(np.arange(2), np.arange(2)) * 30, scale=sigma)
        both = np.kron(y / y.sum(axis=1, keepdims=True), x / x.sum(axis=1, keepdims=True)) * visited
        walk.append(both / both.sum(axis=1, keepdims=True))
    likely = [np.ones(12) if np.isnan(row).any() else poisson.pmf(row[:, None], rate).prod(axis=0) for row in counts]
    states = [mode * 6 + place for mode in range(2) for place in np.flatnonzero(visited)]
    step = np.zeros((12, 12))
    for before, now in product(states, states):
        (was, place), (mode, there) = divmod(before, 6), divmod(now, 6)
        step[before, now] = (1 - jump) * switching[was, mode] * walk[mode][place, there] + jump / len(states)
    assert np.allclose(step.sum(axis=1)[states], 1)
    total, causal = np.zeros((4, 12)), np.zeros((4, 12))
    for stop in (1, 2, 3, 4):
        for path in product(states, repeat=stop):
            weight = start[path[0]] * likely[0][path[0]]
            for now in range(1, stop):
                weight *= step[path[now - 1], path[now]] * likely[now][path[now]]
            causal[stop - 1, path[-1]] += weight
            if stop == 4:
                total[np.arange(4), path] += weight
    for weights, smoothed in ((total, True), (causal, False)):
        expected = weights.reshape(4, 2, 2, 3).sum(axis=1)
        made = statespace.StateSpaceDecoder(3, 3.0, 60.0, jumps=0.2, smoothed=smoothed, minimum_spikes=0)
        found = made.predict([model], [counts])[0].posterior
        assert np.allclose(found, expected / expected.sum(axis=(1, 2), keepdims=True), atol=1e-5)


@pytest.mark.parametrize("prior", ["occupancy", "uniform"])
def test_places_never_visited_are_never_decoded(field, prior):
    """The corners of the box around an oval arena have no probability at all, whatever the prior."""
    counts, behaviour, _ = field
    blocks = folds.contiguous_folds(len(counts), folds=6, guard_bins=GUARD)
    settings = decoding.DecoderSettings(STEP, 40, prior=prior)
    quick = decoding.BlockDecoder(behaviour.position, behaviour.moving, blocks, settings, behaviour.sides)
    chain = validated([statespace.StateSpaceDecoder(40)], counts, behaviour)
    middle = np.array(behaviour.sides) / 2
    corners = np.hypot(*((quick.grid.centres - middle) / middle).T) > 1.2
    assert corners.sum() > 40
    for posterior in (quick.decode(counts).posterior, chain.posterior):
        assert posterior.reshape(len(counts), -1)[:, corners].max() == 0
        assert (posterior.max(axis=0) > 0).mean() > 0.75


@pytest.mark.parametrize("smoothed", [True, False])
def test_between_two_likely_places_of_a_ring_the_hole_in_it_is_not_decoded(smoothed):
    """Every unit fires on two sides of the ring, so that the medians of x and of y often meet in the middle."""
    rng = np.random.default_rng(0)
    way = np.cumsum(rng.normal(0, 0.35, 1500))
    circle = 50 + rng.normal(45, 2, way.size) * np.array([np.cos(way), np.sin(way)])
    place = (circle - circle.min(axis=1, keepdims=True)).T
    place *= 100 / np.ptp(place, axis=0).max()
    preferred = rng.uniform(0, 2 * np.pi, 12)
    rates = 0.2 + 4 * np.exp(2 * (np.cos(2 * (way[:, None] - preferred)) - 1))
    counts = rng.poisson(rates * STEP).astype(float)
    behaviour = decoders.Behaviour(place, np.ones(way.size, bool), STEP, tuple(np.ptp(place, axis=0)))
    made = validated([statespace.StateSpaceDecoder(BINS, smoothed=smoothed)], counts, behaviour)
    grid = behaviour.grid(BINS)
    between = 0
    for fold, model in zip(folds.contiguous_folds(len(counts), folds=6, guard_bins=GUARD), made.models, strict=True):
        hole = ~model.visited
        assert hole.sum() > 40
        between += hole[grid.place(grids.posterior_median(made.posterior[fold.test], grid.sides))].sum()
        assert not hole[grid.place(made.position[fold.test])].any()
    assert between > 20


def test_a_place_that_nobody_visited_becomes_the_nearest_one_that_somebody_did():
    grid = grids.Grid.with_bins(5, (100.0, 40.0))
    allowed = np.zeros(grid.cells, bool)
    allowed[[0, 4]] = True
    moved = grid.nearest(np.array([[3.0, 4.0], [45.0, 10.0], [99.0, 39.0]]), allowed)
    assert moved.tolist() == [[3, 4], [10, 10], [90, 10]]


def test_the_quick_errors_are_those_of_the_same_decoder_behind_the_interface(field):
    counts, behaviour, _ = field
    blocks = folds.contiguous_folds(len(counts), folds=6, guard_bins=GUARD)
    quick = decoding.BlockDecoder(
        behaviour.position, behaviour.moving, blocks, decoding.DecoderSettings(STEP, BINS), behaviour.sides
    )
    slow = validated([decoding.BayesianDecoder(1, BINS)], counts, behaviour)
    assert np.allclose(quick.decode(counts).posterior, slow.posterior, atol=1e-12)
    assert np.allclose(quick.errors(counts), behaviour.error(slow.position)[quick.rows])


@every_kind
def test_nothing_of_a_tested_block_reaches_what_decodes_it(field, kind):
    counts, behaviour, _ = field
    blocks = folds.contiguous_folds(len(counts), folds=6, guard_bins=GUARD)
    nested = folds.NestedFolds(blocks, guard_bins=GUARD, inner=3)
    hidden = ~blocks[2].train
    spoilt, elsewhere = otherwise(counts, behaviour, hidden)
    before = decoders.choose(KINDS[kind][::3], counts, behaviour, nested)[2]
    assert before == decoders.choose(KINDS[kind][::3], spoilt, elsewhere, nested)[2]
    one, other = (
        before.fit(given, shown, blocks[2].train) for given, shown in ((counts, behaviour), (spoilt, elsewhere))
    )
    for name, value in vars(one).items():
        assert np.array_equal(value, getattr(other, name)), name


@every_kind
def test_information_free_data_stay_at_chance(field, kind):
    """Spikes shifted by 200 s decode no better than with other shifts; unshifted they do."""
    counts, behaviour, _ = field
    candidates = [KINDS[kind][0]]
    lags = permutation.shift_lags(len(counts), shifts=9, minimum_bins=80, rng=np.random.default_rng(2))
    null = permutation.circular_shift_null(counts, lags, lambda moved: median_error(candidates, moved, behaviour))
    free = median_error(candidates, np.roll(counts, round(200 / STEP), axis=0), behaviour)
    assert permutation.permutation_p(free, null, smaller_is_better=True) > 0.1
    assert free > 0.8 * np.median(null)
    real = median_error(candidates, counts, behaviour)
    assert permutation.permutation_p(real, null, smaller_is_better=True) == pytest.approx(0.1)


def test_a_grid_knows_its_places():
    grid = grids.Grid.with_bins(10, (100.0, 50.0))
    assert grid.shape == (5, 10)
    assert grid.cells == 50
    assert np.array_equal(grid.place(grid.centres), np.arange(50))
    assert grid.place(np.array([[100.0, 50.0], [np.nan, 3], [0, 0]])).tolist() == [49, -1, 0]
    alone = np.zeros(50)
    alone[23] = 1
    assert np.flatnonzero(grid.visited(alone)).tolist() == [12, 13, 14, 22, 23, 24, 32, 33, 34]
    spread = grid.spread(alone.reshape(5, 10), grid.gaussians(10.0))
    assert spread.sum() == pytest.approx(1)
    # Nearly as wide in y as in x, in %: one place is 10 % both ways.
    assert spread[2, 4] == pytest.approx(spread[3, 3], rel=0.05)
    assert grids.posterior_median(spread[None], grid.sides)[0] == pytest.approx([35, 25], abs=0.1)
    assert grids.distance(np.array([[0, 0]]), np.array([[3, 4]])) == pytest.approx([5])


def test_what_is_only_known_along_a_track_is_refused_in_an_arena(field):
    _, behaviour, _ = field
    with pytest.raises(InvalidDataError, match="those of a track, not of an arena"):
        _ = behaviour.direction
    with pytest.raises(InvalidDataError, match="one position and one mark"):
        decoders.Behaviour(behaviour.position, behaviour.moving, STEP)
