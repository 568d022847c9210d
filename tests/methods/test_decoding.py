"""Decoding finds what is there and nothing that is not."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.methods import decoding, folds, permutation, position, spikes
from analysis.methods.errors import InvalidDataError
from tests.methods.conftest import run_laps
from tests.methods.leaking import leakage

BIN = 0.25


def binned(laps, *, smoothing=0.1):
    edges = spikes.time_edges(0, laps.duration - 1, BIN)
    where = position.bin_position(laps.time, laps.percent, edges, smoothing=smoothing)
    counts = spikes.bin_spikes(laps.spike_times, laps.spike_units, edges, n_units=int(laps.spike_units.max()) + 1)
    return where, counts


def decoder(where, n_bins, *, guard=1.0, window=BIN, **settings):
    blocks = folds.contiguous_folds(n_bins, folds=10, guard_bins=int(np.ceil(guard / BIN)))
    return decoding.BlockDecoder(
        where.position, where.speed > 5, blocks, decoding.DecoderSettings(window=window, **settings)
    )


def test_place_cells_tell_where_the_animal_is(laps):
    where, counts = binned(laps)
    model = decoder(where, len(counts))
    result = model.decode(counts)
    found = decoding.accuracy(where.position[model.rows], result.decoded[model.rows])
    assert found.median < 5
    assert found.within > 0.9
    assert found.r2 > 0.9
    assert np.allclose(np.nansum(result.posterior, axis=1), 1)


def test_the_quick_errors_are_those_of_the_full_posterior(laps):
    where, counts = binned(laps)
    model = decoder(where, len(counts), prior="uniform")
    full = np.abs(model.decode(counts).decoded - where.position)[model.rows]
    assert np.array_equal(model.errors(counts), full)


def test_sums_less_what_is_left_out_are_the_sums_over_training_bins(laps):
    where, counts = binned(laps)
    model = decoder(where, len(counts), smoothing=0, minimum_spikes=0)
    fold = model.folds[3]
    train = fold.train & model.usable
    place = np.clip((where.position[train] / 2).astype(int), 0, 49)
    seconds = np.bincount(place, minlength=50) * BIN
    spikes_here = np.stack([np.bincount(place, weights=c, minlength=50) for c in counts[train].T])
    expected = np.maximum(np.divide(spikes_here, seconds, where=seconds > 0, out=np.zeros_like(spikes_here)), 0.01)
    log_rate, _, log_prior, units = list(model._models(counts))[3]
    assert units.size == counts.shape[1]
    visited = seconds > 0
    assert np.allclose(np.exp(log_rate[:, visited]) / BIN, expected[:, visited])
    assert np.allclose(np.exp(log_prior[visited]), seconds[visited] / seconds.sum())


def test_nothing_in_a_block_changes_how_it_is_decoded(laps):
    """The spikes of a tested block may not reach the fields, the units or the prior that decode it."""
    where, counts = binned(laps)
    model = decoder(where, len(counts))
    before = list(model._models(counts))[4]
    tampered = counts.copy()
    tampered[model.folds[4].test] = 50
    after = list(model._models(tampered))[4]
    for one, other in zip(before, after, strict=True):
        assert np.array_equal(one, other)


def test_spikes_shifted_and_smoothed_decode_at_chance_in_blocks(laps):
    """Information-free data: shifted by 300 s and smoothed. Random folds decode it all the same; blocks do not."""
    fine = spikes.time_edges(0, laps.duration - 1, 0.1)
    target = position.bin_position(laps.time, laps.percent, fine).position
    free = spikes.bin_spikes(laps.spike_times, laps.spike_units, fine, n_units=40)
    leaking, blocked = leakage(free, target, 0.1)
    assert leaking > 0.95
    assert blocked < 0
    where, counts = binned(laps)
    model = decoder(where, len(counts), guard=2.6, window=2.0)
    smooth = spikes.sliding_counts(counts, round(2 / BIN))
    lags = permutation.shift_lags(len(counts), shifts=100, minimum_bins=80, rng=np.random.default_rng(1))
    null = permutation.circular_shift_null(smooth, lags, model.median_error)
    shifted = model.median_error(np.roll(smooth, round(300 / BIN), axis=0))
    assert np.quantile(null, 0.01) * 0.9 <= shifted
    assert permutation.permutation_p(shifted, null, smaller_is_better=True) > 0.05
    assert model.median_error(smooth) < np.quantile(null, 0.01)


def test_noise_does_not_beat_chance():
    """Over independent data sets without any place cell, p is as often below a half as above, and seldom small."""
    p = []
    for seed in range(20):
        laps = run_laps(duration=240, units=15, peak=0.0, seed=seed)
        where, counts = binned(laps)
        model = decoder(where, len(counts), minimum_spikes=1)
        rng = np.random.default_rng(seed)
        lags = permutation.shift_lags(len(counts), shifts=39, minimum_bins=80, rng=rng)
        null = permutation.circular_shift_null(counts, lags, model.median_error)
        p.append(permutation.permutation_p(model.median_error(counts), null, smaller_is_better=True))
    assert np.count_nonzero(np.array(p) <= 0.05) <= 4
    assert 0.2 < np.mean(p) < 0.8


def test_units_with_few_spikes_sit_out_the_folds_they_are_few_in(laps):
    where, counts = binned(laps)
    sparse = counts.copy()
    sparse[:, 0] = 0
    sparse[: len(sparse) // 10, 0] = 1
    result = decoder(where, len(sparse), minimum_spikes=10).decode(sparse)
    # Unit 0 fires only in the first block, so only that block has nothing of it to train on.
    assert result.units_used[0] == counts.shape[1] - 1
    assert np.all(result.units_used[2:] == counts.shape[1])


def test_places_never_visited_in_training_are_never_decoded(laps):
    where, counts = binned(laps)
    half = np.where(where.position < 50, where.position, np.nan)
    model = decoder(position.BinnedPosition(half, where.speed), len(counts), smoothing=0, prior="uniform")
    decoded = model.decode(counts).decoded
    assert np.nanmax(decoded) < 51


def test_folds_are_blocks_with_a_guard():
    blocks = folds.contiguous_folds(100, folds=5, guard_bins=4)
    assert np.array_equal(np.sum([block.test for block in blocks], axis=0), np.ones(100))
    for block in blocks:
        tested, trained = np.flatnonzero(block.test), np.flatnonzero(block.train)
        assert np.array_equal(tested, np.arange(tested[0], tested[-1] + 1))
        assert np.abs(tested[:, None] - trained).min() == 5
    assert np.array_equal(folds.block_of(blocks), np.repeat(np.arange(5), 20))


@pytest.mark.parametrize(
    ("n_bins", "number", "guard", "words"),
    [(100, 1, 0, "at least 2 folds"), (3, 5, 0, "cannot be cut"), (20, 2, 15, "nothing is left"), (9, 3, -1, "guard")],
)
def test_impossible_folds_are_refused(n_bins, number, guard, words):
    with pytest.raises(InvalidDataError, match=words):
        folds.contiguous_folds(n_bins, folds=number, guard_bins=guard)


def test_a_permutation_p_is_never_zero():
    assert permutation.permutation_p(0.0, np.ones(199), smaller_is_better=True) == pytest.approx(1 / 200)
    assert permutation.permutation_p(1.0, np.ones(199), smaller_is_better=True) == 1.0
    assert permutation.permutation_p(2.0, [1, 2, 3], smaller_is_better=False) == pytest.approx(3 / 4)


def test_shifts_keep_their_distance_from_none():
    lags = permutation.shift_lags(400, shifts=200, minimum_bins=80, rng=np.random.default_rng(0))
    assert lags.min() >= 80
    assert lags.max() <= 320
    assert len(set(lags.tolist())) == 200
    with pytest.raises(InvalidDataError, match="too few to shift"):
        permutation.shift_lags(100, shifts=5, minimum_bins=80, rng=np.random.default_rng(0))


def test_all_units_are_shifted_together():
    values = np.arange(12.0).reshape(6, 2)
    seen = []
    permutation.circular_shift_null(values, [2], lambda shifted: seen.append(shifted) or 0.0)
    assert np.array_equal(np.diff(seen[0], axis=1), np.ones((6, 1)))


def test_a_null_put_together_from_pieces_is_the_null_to_the_digit(laps):
    """Whoever computes which shifts: with the lags drawn first, the p of a seed is the same."""
    where, counts = binned(laps)
    model = decoder(where, len(counts))

    def drawn():
        return permutation.shift_lags(len(counts), shifts=60, minimum_bins=80, rng=np.random.default_rng(7))

    whole = permutation.circular_shift_null(counts, drawn(), model.median_error)
    another = decoder(where, len(counts))
    pieces = [permutation.circular_shift_null(counts, part, another.median_error) for part in np.split(drawn(), 4)]
    assert np.array_equal(whole, np.concatenate(pieces))


def test_laps_end_where_the_animal_arrives():
    way = np.array([50, 5, 2, 20, 60, 9, 40, 95, np.nan, 99, 70, 92, 30, 3.0])
    assert position.lap_ends(way).tolist() == [7, 13]
    assert position.lap_ends(np.full(5, 50.0)).size == 0


def test_blocks_of_laps_hold_whole_laps():
    ends = np.array([12, 30, 41, 66, 80, 95])
    blocks = folds.lap_folds(100, ends, folds=3, guard_bins=2)
    assert [int(np.flatnonzero(block.test)[0]) for block in blocks] == [0, 30, 66]
    assert np.array_equal(np.sum([block.test for block in blocks], axis=0), np.ones(100))
    assert not blocks[1].train[28:68].any()
    with pytest.raises(InvalidDataError, match="6 laps cannot be cut into 7"):
        folds.lap_folds(100, ends, folds=7, guard_bins=2)


def test_accuracy_is_what_its_definitions_say():
    found = decoding.accuracy([5, 15, 25, 95], [5, 25, 25, 5])
    assert found.median == pytest.approx(5)
    assert found.within == pytest.approx(0.75)
    assert found.zone_accuracy == pytest.approx(0.5)
    assert found.confusion[1, 2] == 1
    assert np.isnan(found.confusion[5]).all()


def test_sliding_counts_are_sums_over_centred_windows():
    counts = np.random.default_rng(0).poisson(2, (50, 3)).astype(float)
    for width in (1, 2, 3, 8):
        made = spikes.sliding_counts(counts, width)
        for k in (0, 1, 20, 49):
            start = k - width // 2
            assert np.array_equal(made[k], counts[max(0, start) : start + width].sum(axis=0)), (width, k)


def test_spikes_are_counted_once_and_only_inside():
    counts = spikes.bin_spikes([-1, 0, 0.5, 0.99, 1.0, 2.0], [0, 0, 1, 1, 0, 1], [0, 1, 2], n_units=2)
    assert counts.tolist() == [[1, 2], [1, 0]]
