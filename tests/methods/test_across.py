"""Decoding across days: what is the same carries over, what is not does not, and what is forgotten shows."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

from analysis.methods import across, decoding
from analysis.methods.decoders import Behaviour
from analysis.methods.errors import InvalidDataError
from analysis.methods.folds import contiguous_folds
from analysis.pipelines.base import PipelineError
from tests.methods.conftest import run_laps
from tests.methods.running import recording, run_pipeline

UNITS = 24


def files_of(folder, number, *, order=None, duration=200.0):
    """Write one day; its units are those of ``order``, the same fields in the same order on every day unless given."""
    laps = run_laps(duration=duration, units=UNITS, seed=number)
    order = np.arange(UNITS) if order is None else order
    np.savez(
        folder / f"units-{number}.npz", spike_times=laps.spike_times, spike_units=np.argsort(order)[laps.spike_units]
    )
    np.savez(
        folder / f"position-{number}.npz", time=laps.time, x=laps.percent * 1.5, y=np.zeros(laps.time.size), unit="cm"
    )
    return tuple(
        replace(
            recording(kind, f"{kind}-npz", folder / f"{kind}-{number}.npz"), session=f"day {number}", start=f"{number}"
        )
        for kind in ("units", "position")
    )


def day(number, *, order=None, duration=200.0, bin_width=0.25, folds=5):
    laps = run_laps(duration=duration, units=UNITS, seed=number)
    edges = np.arange(0, duration + bin_width / 2, bin_width)
    middles = (edges[1:] + edges[:-1]) / 2
    counts = np.stack(
        [np.histogram(laps.spike_times[laps.spike_units == unit], edges)[0] for unit in range(UNITS)], axis=1
    ).astype(float)
    position = np.interp(middles, laps.time, laps.percent)
    moving = np.abs(np.gradient(position, bin_width)) > 5
    return across.Day(
        counts[:, np.arange(UNITS) if order is None else order],
        Behaviour(position, moving, bin_width),
        contiguous_folds(len(counts), folds=folds, guard_bins=4),
    )


def test_the_same_cells_carry_over_and_other_cells_do_not():
    other = np.random.default_rng(0).permutation(UNITS)
    days = [day(0), day(1), day(2, order=other)]
    found = across.transfer(
        days, decoding.candidates(step=0.25), inner_folds=5, guard_bins=4, shuffles=19, shortest_shift_bins=80,
        rng=np.random.default_rng(1),
    )  # fmt: skip
    same = found.error[[0, 1], [1, 0]]
    changed = found.error[[0, 1, 2, 2], [2, 2, 0, 1]]
    assert np.diag(found.error).max() < 5
    assert same.max() < 6
    assert changed.min() > 15
    # The controls are what the same cells must beat, and what other cells do not.
    assert (found.shuffled[0, 1] > same.max()).all()
    assert (found.shifted[0, 1] > same.max()).all()
    assert np.mean(found.shuffled[0, 2] < found.error[0, 2]) > 0.02
    assert np.isnan(found.shuffled[0, 0]).all()


def test_what_was_learnt_first_is_forgotten_unless_replayed():
    # All fields elsewhere on the second day: what is learnt then contradicts what was learnt before.
    days = [day(0, folds=10), day(1, order=np.roll(np.arange(UNITS), UNITS // 2), folds=10)]
    # In real life the animal knows which room it is in; here one more unit fires in the second.
    days = [
        replace(one, counts=np.column_stack([one.counts, np.full(len(one.counts), 25.0 * number)]))
        for number, one in enumerate(days)
    ]
    learnt = across.learn_in_turn(days, place_bins=25, epochs=60, hidden=32, replayed=0.4, repeats=1, seed=1)
    assert set(learnt.error) == set(across.REGIMES)
    for regime, error in learnt.error.items():
        assert error.shape == (1, 2, 2)
        # What was just trained on is known.
        assert error[:, 0, 0].max() < 10, regime
        assert error[:, 1, 1].max() < 10, regime
    lost = {regime: learnt.forgotten(regime).mean() for regime in across.REGIMES}
    assert lost["in turn"] > 10
    assert lost["replay"] < lost["in turn"] / 2
    assert lost["joint"] < lost["in turn"] / 2


def test_spikes_that_tell_nothing_are_not_carried_over():
    days = [day(number) for number in range(2)]
    days = [replace(one, counts=np.roll(one.counts, 300, axis=0)) for one in days]
    found = across.transfer(
        days, decoding.candidates(step=0.25), inner_folds=5, guard_bins=4, shuffles=19, shortest_shift_bins=80,
        rng=np.random.default_rng(1),
    )  # fmt: skip
    assert found.error.min() > 15


def test_the_pipeline_pairs_sessions_and_tells_the_errors_in_cm(tmp_path):
    days = [files_of(tmp_path, number) for number in (2, 1)]
    # Given in whatever order; the sessions say what belongs together, their starts what came first.
    given = [days[0][0], days[1][0], days[1][1], days[0][1]]
    output, _ = run_pipeline(
        "decode.across", tmp_path / "run", *given, align="times", folds=5, shuffles=9, repeats=1, epochs=5, hidden=16
    )
    metrics = {name: metric.value for name, metric in output.metrics.items()}
    assert (metrics["sessions"], metrics["units"]) == (2, UNITS)
    assert output.metrics["across"].unit == "cm"
    assert metrics["within"] < 1.5 * 6
    assert metrics["across"] < 1.5 * 8
    assert metrics["p"] == metrics["p_units"] == 1 / 10
    with (tmp_path / "run" / "transfer.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    away = [float(row["median_error_cm"]) for row in rows if row["trained_on"] != row["tested_on"]]
    assert np.mean(away) == pytest.approx(metrics["across"])
    assert {figure.name for figure in output.figures} == {"transfer", "distance", "forgetting"}
    assert sorted(output.artifacts) == ["learning.csv", "transfer.csv"]


def test_blocks_of_laps_are_those_of_each_session(tmp_path):
    sessions = [one for number in (1, 2) for one in files_of(tmp_path, number)]
    asked = {"align": "times", "folds": 5, "shuffles": 0, "repeats": 1, "epochs": 2, "hidden": 8}
    by_time, by_laps = (
        run_pipeline("decode.across", tmp_path / blocks, *sessions, blocks=blocks, **asked)[0].metrics
        for blocks in ("time", "laps")
    )
    # What is carried was chosen and trained on whole sessions, whatever they are cut into to be tested themselves.
    assert by_laps["across"].value == by_time["across"].value
    assert by_laps["within"].value != by_time["within"].value
    assert by_laps["within"].value < 1.5 * 6
    assert by_laps["forgotten_joint"].value != by_time["forgotten_joint"].value


def test_sessions_that_do_not_pair_or_share_too_few_units_are_refused(tmp_path):
    one, two = (files_of(tmp_path, number, duration=60.0) for number in (1, 2))
    with pytest.raises(PipelineError, match="2 of units and 1 of positions"):
        run_pipeline("decode.across", tmp_path / "a", *one, two[0])
    with pytest.raises(PipelineError, match="Every session needs one recording of units and one of positions"):
        run_pipeline("decode.across", tmp_path / "b", *one, two[0], replace(two[1], session="day 1"))
    np.savez(
        tmp_path / "units-2.npz", spike_times=np.arange(50.0), spike_units=np.repeat(np.arange(5), 10),
        unit_labels=np.array(["a", "b", "c", "d", "1"]),
    )  # fmt: skip
    with pytest.raises(PipelineError, match="1 units have the same name in all sessions"):
        run_pipeline("decode.across", tmp_path / "c", *one, two[0], two[1], align="times")


def test_days_with_other_numbers_of_units_and_short_ones_are_refused():
    one, two = day(0, duration=60.0), day(1, duration=60.0)
    fewer = replace(two, counts=two.counts[:, :5])
    options = {"inner_folds": 3, "guard_bins": 4, "shuffles": 2, "rng": np.random.default_rng(0)}
    with pytest.raises(InvalidDataError, match="Days have 5, 24 units"):
        across.transfer([one, fewer], decoding.candidates(step=0.25), shortest_shift_bins=80, **options)
    with pytest.raises(InvalidDataError, match="too short to shift by 200 bins"):
        across.transfer([one, two], decoding.candidates(step=0.25)[:1], shortest_shift_bins=200, **options)
