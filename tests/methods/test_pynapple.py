"""Our Bayesian decoder beside pynapple's ``decode_bayes`` on a real rat: same maps, prior and bins, bin by bin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pynapple as nap
import pytest
import xarray

from analysis.methods import decoders, decoding, folds, position, spikes
from analysis.readers import read_position, read_spikes
from tests.data import shared_data
from tests.methods.running import recording

pytestmark = pytest.mark.long
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
    centres = (np.arange(PLACE_BINS) + 0.5) * 100 / PLACE_BINS
    curves = xarray.DataArray(model.rate, dims=("unit", "place"), coords={"unit": model.units, "place": centres})
    curves.attrs["occupancy"] = np.exp(model.log_prior)
    group = nap.TsGroup({int(unit): nap.Ts(trains.times[trains.units == unit]) for unit in model.units})
    epoch = nap.IntervalSet(start, stop)
    decoded, posterior = nap.decode_bayes(
        curves, group, epochs=epoch, bin_size=STEP, sliding_window_size=window, uniform_prior=uniform
    )
    return np.asarray(decoded.values), np.asarray(posterior.values)


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
