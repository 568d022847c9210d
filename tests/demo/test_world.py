"""The simulated world is one: the clock alone decides where the animal is, what it does, and which neurons fire."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from analysis.methods.decoding import BlockDecoder, DecoderSettings
from analysis.methods.folds import contiguous_folds
from analysis.methods.permutation import circular_shift_null, permutation_p, shift_lags
from analysis.methods.position import bin_position, linearise
from analysis.methods.spikes import bin_spikes, time_edges
from cameras.agent.strip import strip_height
from labsite.demo.arenas import ARENAS, HOLD_SECONDS, ODOUR, SQUARE, TRACK
from labsite.demo.motion import make_path
from labsite.demo.world import open_world

# Some moment of some day, off the grid of chunks on purpose.
NOON = 1_790_000_003.7
ALL = pytest.mark.parametrize("arena", ARENAS.values(), ids=list(ARENAS))


def test_the_same_seed_gives_the_same_animal_and_leaves_the_global_generator_alone():
    short = dataclasses.replace(TRACK, loop_seconds=40.0)
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = make_path(short), make_path(short)
    assert np.array_equal(first.xy, second.xy)
    assert np.array_equal(first.heading, second.heading)
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002
    assert not np.array_equal(first.xy, make_path(dataclasses.replace(short, seed=99)).xy)


@ALL
def test_a_world_is_read_back_as_it_was_made(world_of, worlds, arena):
    made = world_of(arena)
    read = open_world(worlds, arena)
    assert np.array_equal(read.path.xy, made.path.xy)
    assert read.trials == made.trials
    assert np.array_equal(read.spikes(NOON, NOON + 20).time, made.spikes(NOON, NOON + 20).time)


def test_a_file_of_another_arena_or_model_is_made_anew(tmp_path):
    short = dataclasses.replace(SQUARE, loop_seconds=20.0, place_cells=6)
    open_world(tmp_path, short)
    changed = dataclasses.replace(short, place_cells=8)
    assert open_world(tmp_path, changed).n_units == 8 + changed.interneurons
    assert not list(tmp_path.glob("*.part"))


@ALL
def test_the_animal_stays_inside_never_jumps_and_goes_round_the_loop_without_a_seam(world_of, arena):
    walk = world_of(arena).path
    x0, y0, x1, y1 = arena.bounds
    assert ((walk.xy > (x0, y0)) & (walk.xy < (x1, y1))).all()
    steps = np.hypot(*np.diff(walk.xy, axis=0).T)
    assert steps.max() < 1.6, "over 80 cm/s is no rat in a box"
    assert walk.xy[-1] == pytest.approx(walk.xy[0], abs=1e-6)
    assert np.exp(1j * walk.heading[-1]) == pytest.approx(np.exp(1j * walk.heading[0]), abs=1e-6)
    assert np.abs(np.diff(walk.heading)).max() < 0.3


def test_on_the_track_the_rat_runs_from_end_to_end_and_rests(world_of):
    world = world_of(TRACK)
    x = world.path.xy[:, 0]
    share = x / TRACK.size[0]
    ends = np.diff(np.sign(share[(share < 0.1) | (share > 0.9)] - 0.5))
    assert np.count_nonzero(ends) > 60, "laps in ten minutes"
    assert 0.3 < np.mean(world.speed > 5) < 0.7
    assert 30 < np.percentile(world.speed[world.speed > 5], 75) < 60


@ALL
def test_any_interval_of_spikes_is_the_same_whoever_asks_and_however_it_is_cut(world_of, arena):
    world = world_of(arena)
    whole = world.spikes(NOON, NOON + 30)
    again = world.spikes(NOON, NOON + 30)
    assert np.array_equal(whole.time, again.time)
    assert np.array_equal(whole.unit, again.unit)
    parts = [world.spikes(NOON, NOON + 11.3), world.spikes(NOON + 11.3, NOON + 30)]
    assert np.array_equal(whole.time, np.concatenate([part.time for part in parts]))
    assert np.array_equal(whole.unit, np.concatenate([part.unit for part in parts]))
    assert whole.time[0] >= NOON
    assert whole.time[-1] < NOON + 30
    assert (np.diff(whole.time) >= 0).all()
    next_loop = world.spikes(NOON + arena.loop_seconds, NOON + arena.loop_seconds + 30)
    assert not np.array_equal(next_loop.time - arena.loop_seconds, whole.time), "noise does not repeat with the path"


def test_units_fire_at_rates_of_the_brain_and_some_hardly_at_all(world_of):
    world = world_of(TRACK)
    spikes = world.spikes(NOON, NOON + 300)
    rate = np.bincount(spikes.unit, minlength=world.n_units) / 300
    place, fast = rate[world.ensemble.kinds == "place"], rate[world.ensemble.kinds == "interneuron"]
    assert 0.3 < np.median(place) < 4
    assert np.count_nonzero(place * 300 < 100) >= 3
    assert (fast > 10).all()
    for unit in range(world.n_units):
        train = spikes.time[spikes.unit == unit]
        # Chunks are drawn apart from one another, so a pair may be closer than that only across their border.
        close = np.diff(train) < 0.00199
        borders = np.floor(train[1:] / 10) != np.floor(train[:-1] / 10)
        assert not (close & ~borders).any()


def test_spikes_come_at_the_theta_phase_that_the_cells_prefer(world_of):
    world = world_of(TRACK)
    spikes = world.spikes(NOON, NOON + 120)
    unit = int(np.flatnonzero(world.ensemble.kinds == "interneuron")[0])
    phase = world.theta_phase(spikes.time[spikes.unit == unit])
    mean = np.exp(1j * phase).mean()
    assert abs(mean) > 0.1
    assert abs(np.angle(mean * np.exp(-1j * world.ensemble.preferred[unit]))) < 0.4


def test_the_position_of_the_track_is_decoded_from_its_neurons_within_centimetres(world_of):
    world = world_of(TRACK)
    start, stop = NOON, NOON + 240
    position = world.true_position(start, stop)
    spikes = world.spikes(start, stop)
    edges = time_edges(start, stop, 0.25)
    line = linearise(position.xy)
    binned = bin_position(position.time, line.percent, edges)
    counts = bin_spikes(spikes.time, spikes.unit, edges, n_units=world.n_units)
    folds = contiguous_folds(edges.size - 1, folds=10, guard_bins=4)
    decoder = BlockDecoder(binned.position, binned.speed > 5, folds, DecoderSettings(window=0.25))
    error = decoder.median_error(counts)
    assert error / 100 * line.length < 5.0
    lags = shift_lags(edges.size - 1, shifts=50, minimum_bins=80, rng=np.random.default_rng(1))
    null = circular_shift_null(counts, lags, decoder.median_error)
    assert permutation_p(error, null, smaller_is_better=True) == pytest.approx(1 / 51)
    assert np.median(null) > 5 * error


@ALL
@pytest.mark.parametrize("size", [(640, 480), (320, 240)])
def test_centimetres_become_the_pixels_at_which_the_camera_draws_the_animal(world_of, arena, size):
    world = world_of(arena)
    moment = NOON + 4.2
    true = world.true_position(moment, moment + 0.001)
    camera = world.camera(size)
    assert world.camera_pixels(true.xy)[0] == pytest.approx(world.camera().to_pixels(*true.xy[0]))
    picture = camera.picture(round(moment * 1e9), 7).astype(int)
    empty = camera._background.astype(int)
    lowest = strip_height(size[1]) + 1
    dark = (empty - picture) > 60
    dark[:lowest] = dark[-size[1] // 16 :] = False
    y, x = np.nonzero(dark)
    seen = np.array([x.mean(), y.mean()])
    body = arena.body_cm * camera.pixels_per_cm
    assert np.hypot(*(seen - world.camera_pixels(true.xy, size)[0])) < 0.15 * body


def test_odour_trials_are_those_of_a_trained_rat(world_of):
    world = world_of(ODOUR)
    trials = world.trials
    inside = [trial for trial in trials if trial.in_sequence]
    outside = [trial for trial in trials if not trial.in_sequence]
    assert len(trials) > 80
    assert 4 < len(inside) / len(outside) < 15
    assert 0.8 <= np.mean([trial.correct for trial in trials]) <= 0.95
    assert np.mean([t.correct for t in inside]) > np.mean([t.correct for t in outside]) > 0.5
    assert all(trial.position > 1 for trial in outside)
    for trial, following in itertools.pairwise(trials):
        assert trial.poke_in < trial.poke_out < following.poke_in
        assert (trial.reward is not None) == trial.correct
        assert trial.correct == ((trial.held >= HOLD_SECONDS) == trial.in_sequence)
        expected = (
            (trial.sequence, trial.position + 1) if trial.correct and trial.position < 5 else (trial.sequence + 1, 1)
        )
        assert (following.sequence, following.position) == expected


def test_while_the_nose_is_in_the_port_the_animal_stands_at_it_and_odour_cells_tell_the_odour(world_of):
    world = world_of(ODOUR)
    port = ODOUR.clearance
    base = NOON // ODOUR.loop_seconds * ODOUR.loop_seconds
    cells = np.flatnonzero(world.ensemble.kinds == "odour")
    counts: dict[str, list[np.ndarray]] = {}
    for trial in world.trials:
        where = world.true_position(base + trial.poke_in, base + trial.poke_out)
        assert np.abs(where.xy[:, 0] - port).max() < 3
        assert where.speed[5:-5].max() < 15
        spikes = world.spikes(base + trial.poke_in, base + trial.poke_out)
        counts.setdefault(trial.odour, []).append(np.bincount(spikes.unit, minlength=world.n_units)[cells] / trial.held)
    best = {odour: np.argmax(np.mean(rates, axis=0)) for odour, rates in counts.items()}
    assert len(set(best.values())) == 5, "each odour has cells of its own"


def test_trials_between_two_times_are_whole_and_told_once(world_of):
    world = world_of(ODOUR)
    start = NOON // ODOUR.loop_seconds * ODOUR.loop_seconds
    stop = start + 2 * ODOUR.loop_seconds
    whole = list(world.trials_between(start, stop))
    assert len(whole) == 2 * len(world.trials)
    cut = start + world.trials[10].poke_in + 0.1
    before, after = list(world.trials_between(start, cut)), list(world.trials_between(cut, stop))
    assert len(before) == 10
    assert len(before) + len(after) == len(whole) - 1, "the one that was going on is in neither"
