"""``stats.permutation`` in parts and as a whole, against chance and with an effect."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest

from analysis.methods.errors import InvalidDataError
from analysis.methods.odour_sessions import OdourTruth, simulate_odour_session
from analysis.methods.permutation import shift_lag
from analysis.pipelines import registry
from analysis.pipelines.base import PipelineError, Run
from analysis.pipelines.sharded import ROWS, Shard
from tests.methods.running import recording, run_pipeline


def begin(track, folder: Path, *, seed: int = 1, **parameters) -> Run:
    folder.mkdir()
    settled = registry.get("stats.permutation").parameters(align="times", **parameters)
    return Run(track, settled, seed, folder, lambda _share, _message="": None, lambda _line: None)


def part(track, folder: Path, items: range, **parameters) -> Shard:
    registry.get("stats.permutation").run_shard(begin(track, folder, **parameters), items)
    return Shard(items, folder / ROWS, hashlib.sha256((folder / ROWS).read_bytes()).hexdigest())


def test_the_split_changes_no_digit_and_the_seed_does(track, tmp_path):
    pipeline = registry.get("stats.permutation")
    whole = pipeline.run(begin(track, tmp_path / "whole", permutations=60))
    shards = [
        part(track, tmp_path / f"part-{items.start}", items, permutations=60)
        for items in (range(43, 60), range(7), range(7, 43))
    ]
    gathered = pipeline.run_gathered(begin(track, tmp_path / "gathered", permutations=60), shards)
    assert gathered.metrics == whole.metrics
    rows = [(tmp_path / name / "permutations.csv").read_bytes() for name in ("whole", "gathered")]
    assert rows[0] == rows[1]
    assert whole.metrics["p"].value == 1 / 61
    assert whole.metrics["median_error"].value < 6
    assert whole.metrics["chance_median_error"].value > 30
    with (tmp_path / "whole" / "permutations.csv").open(newline="") as lines:
        lags = [float(row["lag_s"]) for row in csv.DictReader(lines)]
    assert len(lags) == 60
    assert min(lags) >= 20
    assert max(lags) <= 600 - 20
    pipeline.run(begin(track, tmp_path / "other", permutations=60, seed=2))
    assert (tmp_path / "other" / "permutations.csv").read_bytes() != rows[0]


def test_a_part_that_is_missing_or_was_changed_is_told(track, tmp_path):
    pipeline = registry.get("stats.permutation")
    first = part(track, tmp_path / "first", range(4), permutations=8)
    last = part(track, tmp_path / "last", range(4, 8), permutations=8)
    run = begin(track, tmp_path / "gathered", permutations=8)
    with pytest.raises(PipelineError, match="items from 4 on are in no part"):
        pipeline.run_gathered(run, [first])
    with pytest.raises(PipelineError, match="items 0 to 3 are in no part"):
        pipeline.run_gathered(run, [last])
    content = last.path.read_bytes()
    last.path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(PipelineError, match="has changed on the disk"):
        pipeline.run_gathered(run, [first, last])
    last.path.unlink()
    with pytest.raises(PipelineError, match="needs the same folder"):
        pipeline.run_gathered(run, [first, last])


def test_without_an_effect_p_is_uniform(track, tmp_path, laps):
    """Rate and rhythm as they are, but spikes that have nothing to do with where the animal is."""
    pipeline = registry.get("stats.permutation")
    found = []
    for number in range(20):
        away = np.mod(laps.spike_times + 25 + 27.5 * number, laps.duration)
        order = np.argsort(away)
        np.savez(tmp_path / "units.npz", spike_times=away[order], spike_units=laps.spike_units[order])
        units = recording("units", "units-npz", tmp_path / "units.npz")
        run = begin((units, track[1]), tmp_path / f"{number}", seed=number, permutations=39, folds=4, bin=0.5, guard=2)
        found.append(pipeline.run(run).metrics["p"].value)
    # Of 20 uniform ones 4 and 10 are expected; these bounds are three standard deviations away.
    assert sum(p <= 0.2 for p in found) <= 9
    assert 3 <= sum(p <= 0.5 for p in found) <= 17


def test_lags_keep_their_distance_and_are_every_one_of_them():
    drawn = {shift_lag(number, seed=4, n_bins=50, minimum_bins=20) for number in range(400)}
    assert drawn == set(range(20, 31))
    with pytest.raises(InvalidDataError, match="39 bins are too few"):
        shift_lag(0, seed=4, n_bins=39, minimum_bins=20)


def odours(folder: Path, *, peak: float, seed: int = 1):
    """Write a simulated session of the odour task as the three files of a laboratory."""
    folder.mkdir()
    session = simulate_odour_session(OdourTruth(units=20, rounds=12, peak=peak), seed=seed)
    info = np.zeros((session.odour.size, 5))
    info[:, 0], info[:, 1], info[:, 3] = session.correct, session.in_sequence, session.odour + 1
    np.save(folder / "rat_trial_info.npy", info)
    np.save(folder / "rat_spike_data_binned.npy", session.counts)
    return recording("units", "odour-triple", folder / "rat_trial_info.npy"), session


def test_shuffled_labels_test_odours_and_the_split_changes_no_digit(tmp_path):
    units, session = odours(tmp_path / "rat", peak=6.0)
    output, _ = run_pipeline("stats.labels", tmp_path / "whole", units, seed=2, permutations=150)
    metrics = output.metrics
    assert metrics["p"].value == 1 / 151
    assert metrics["probability"].value > 0.5
    assert metrics["chance"].value == pytest.approx(0.2, abs=0.05)
    assert metrics["trials"].value == np.count_nonzero(session.correct & session.in_sequence)
    pipeline = registry.get("stats.labels")

    def run(name: str) -> Run:
        (tmp_path / name).mkdir()
        settled = pipeline.parameters(permutations=150)
        return Run((units,), settled, 2, tmp_path / name, lambda _share, _message="": None, lambda _line: None)

    shards = []
    for items in (range(1), range(1, 66), range(66, 150)):
        pipeline.run_shard(run(f"{items.start}"), items)
        path = tmp_path / f"{items.start}" / ROWS
        shards.append(Shard(items, path, hashlib.sha256(path.read_bytes()).hexdigest()))
    assert pipeline.run_gathered(run("gathered"), shards).metrics == metrics
    tables = [(tmp_path / name / "permutations.csv").read_bytes() for name in ("whole", "gathered")]
    assert tables[0] == tables[1]


def test_units_that_know_nothing_of_odours_have_a_uniform_p(tmp_path):
    found = []
    for seed in range(20):
        units, _ = odours(tmp_path / f"rat-{seed}", peak=0.0, seed=seed)
        output, _ = run_pipeline("stats.labels", tmp_path / f"{seed}", units, seed=seed, permutations=39)
        found.append(output.metrics["p"].value)
    assert sum(p <= 0.2 for p in found) <= 9
    assert 3 <= sum(p <= 0.5 for p in found) <= 17


def test_what_has_no_odours_is_told(track, tmp_path):
    with pytest.raises(PipelineError, match="has no odour for each trial"):
        run_pipeline("stats.labels", tmp_path / "one", track[0], permutations=5)
    units, _ = odours(tmp_path / "rat", peak=6.0)
    with pytest.raises(PipelineError, match="The trials last 1 s"):
        run_pipeline("stats.labels", tmp_path / "two", units, permutations=5, stop=2.0)
