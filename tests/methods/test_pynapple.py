"""Our Bayesian decoder beside pynapple's ``decode_bayes``: same maps, prior and bins, bin by bin.

On a track it is a real rat, in an arena a simulated one.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pynapple as nap
import pytest
import xarray

from analysis.methods import decoders, decoding, folds, position, spikes
from analysis.readers import read_position, read_spikes
from tests.data import shared_data
from tests.methods.running import recording
from tests.methods.wandering import wander

START, STOP, STEP, PLACE_BINS = 4442.86, 5361.97, 0.25, 50
AGREES = 1e-6


@pytest.fixture(scope="module")
def rat():
    """Behaviour of the real rat, its spike times, and the edges (s) of the time bins."""
    folder = shared_data("nelpy_linear_track") / "linear-track"
    trains = read_spikes(recording("units", "matclust-mat", folder / "spikes.mat"))
    tracked = read_position(recording("position", "trodes-position", folder / "trajectory.videoPositionTracking"))
    inside = (tracked.time >= START) & (tracked.time <= STOP)
    clean = position.clean_position(tracked.time[inside], tracked.xy[inside])
    edges = spikes.time_edges(float(clean.time[0]), float(clean.time[-1]), STEP)
    binned = position.bin_position(clean.time, position.linearise(clean.xy).percent, edges, smoothing=0.1)
    return decoders.Behaviour(binned.position, binned.speed > 5, STEP), trains, edges


def theirs(model, trains, start: float, stop: float, *, uniform: bool, window: int | None = None):
    """Return pynapple's posterior from spike times with the maps and prior that our decoder learnt."""
    grid = model.grid
    axes = {
        name: (np.arange(bins) + 0.5) * side / bins
        for name, bins, side in zip(("x", "y"), reversed(grid.shape), grid.sides, strict=False)
    }
    # As many axes as the grid has, y before x.
    rates = model.rate.reshape(-1, *grid.shape)
    names = ("unit", *reversed(axes))
    curves = xarray.DataArray(rates, dims=names, coords={"unit": model.units, **axes})
    curves.attrs["occupancy"] = np.exp(model.log_prior).reshape(grid.shape)
    group = nap.TsGroup({int(unit): nap.Ts(trains.times[trains.units == unit]) for unit in model.units})
    epoch = nap.IntervalSet(start, stop)
    # The logarithm of an occupancy of zero is what it should be, but NumPy warns of it.
    with np.errstate(divide="ignore"):
        decoded, posterior = nap.decode_bayes(
            curves, group, epochs=epoch, bin_size=STEP, sliding_window_size=window, uniform_prior=uniform
        )
    return np.asarray(decoded.values), np.asarray(posterior.values)


@pytest.mark.long
@pytest.mark.parametrize("prior", ["occupancy", "uniform"])
def test_every_bin_of_every_fold_has_the_posterior_that_pynapple_finds(rat, prior):
    behaviour, trains, edges = rat
    counts = spikes.bin_spikes(trains.times, trains.units, edges, n_units=len(trains.labels))
    blocks = folds.contiguous_folds(counts.shape[0], folds=10, guard_bins=4)
    decoder = decoding.BayesianDecoder(place_bins=PLACE_BINS, prior=prior)
    ours = decoders.cross_validate([decoder], counts, behaviour, decoders.NestedFolds(blocks, 4))
    # The one that decode.position uses as set, and by which permutations are quick, is the same decoder again.
    quick = decoding.BlockDecoder(
        behaviour.position, behaviour.moving, blocks, decoding.DecoderSettings(STEP, PLACE_BINS, prior=prior)
    ).decode(counts)
    compared = 0
    for fold in blocks:
        rows = np.flatnonzero(fold.test)
        model = decoder.fit(counts, behaviour, fold.train)
        assert np.isfinite(model.log_prior).all()
        place, posterior = theirs(model, trains, edges[rows[0]], edges[rows[-1] + 1], uniform=prior == "uniform")
        assert posterior.shape == (rows.size, PLACE_BINS)
        assert np.abs(ours.posterior[rows] - posterior).max() < AGREES
        assert np.abs(quick.posterior[rows] - posterior).max() < AGREES
        assert np.array_equal(ours.position[rows], place)
        compared += rows.size
    assert compared == edges.size - 1 == 3676


@pytest.mark.long
def test_a_sliding_window_is_pynapples_where_it_lies_within_the_recording(rat):
    behaviour, trains, edges = rat
    counts = spikes.bin_spikes(trains.times, trains.units, edges, n_units=len(trains.labels))
    decoder = decoding.BayesianDecoder(window_bins=3, place_bins=PLACE_BINS)
    model = decoder.fit(counts, behaviour, np.ones(edges.size - 1, dtype=bool))
    (ours,) = decoder.predict([model], [counts])
    _, posterior = theirs(model, trains, edges[0], edges[-1], uniform=False, window=3)
    assert np.abs(ours.posterior - posterior)[1:-1].max() < AGREES
    # Maps that differ by half a per cent are told apart.
    _, other = theirs(replace(model, rate=model.rate * 1.005), trains, edges[0], edges[-1], uniform=False, window=3)
    assert np.abs(ours.posterior - other)[1:-1].max() > 100 * AGREES


@pytest.mark.parametrize("prior", ["occupancy", "uniform"])
def test_in_an_arena_every_bin_has_the_posterior_that_pynapple_finds(prior):
    walk = wander(peak=8.0)
    edges = spikes.time_edges(0, walk.time[-1], STEP)
    low, extent = walk.xy.min(axis=0), np.ptp(walk.xy, axis=0)
    each = [position.bin_position(walk.time, column, edges) for column in ((walk.xy - low) / extent.max()).T]
    place = 100 * np.stack([one.position for one in each], axis=1)
    sides = tuple(float(side) for side in extent / extent.max() * 100)
    behaviour = decoders.Behaviour(place, np.hypot(each[0].speed, each[1].speed) > 0.05, STEP, sides)
    counts = spikes.bin_spikes(walk.spike_times, walk.spike_units, edges, n_units=walk.peaks.size)
    trains = SimpleNamespace(times=walk.spike_times, units=walk.spike_units)
    decoder = decoding.BayesianDecoder(place_bins=20, prior=prior)
    compared = 0
    for fold in folds.contiguous_folds(counts.shape[0], folds=5, guard_bins=4):
        rows = np.flatnonzero(fold.test)
        model = decoder.fit(counts, behaviour, fold.train)
        (ours,) = decoder.predict([model], [counts[rows]])
        unvisited = ~np.isfinite(model.log_prior.reshape(model.grid.shape))
        assert unvisited.sum() >= 8
        _, posterior = theirs(model, trains, edges[rows[0]], edges[rows[-1] + 1], uniform=prior == "uniform")
        assert posterior.shape == ours.posterior.shape == (rows.size, 14, 20)
        # Its uniform prior holds for places where nobody was, too; among the others, both say the same.
        posterior[:, unvisited] = 0
        posterior /= posterior.sum(axis=(1, 2), keepdims=True)
        assert np.abs(ours.posterior - posterior).max() < AGREES
        compared += rows.size
    assert compared == edges.size - 1
