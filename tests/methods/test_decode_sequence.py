"""``decode.sequence`` from files to numbers: the truth is found, and wrong inputs are named."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import kstest

from analysis.methods import odour_time, sequence
from analysis.methods.errors import InvalidDataError
from analysis.methods.odour_sessions import OdourTruth, simulate_odour_session
from analysis.methods.trials import OdourTable
from analysis.pipelines.base import PipelineError
from analysis.readers.spikes import read_spikes
from analysis.readers.trials import write_odours
from tests.methods.odour_files import write_triple
from tests.methods.running import recording, run_pipeline

BEFORE = 50


@pytest.fixture(scope="module")
def session():
    return simulate_odour_session(OdourTruth(peak=3.0, lag=70), seed=5, n_bins=150, before=BEFORE)


def rows(path):
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_the_truth_is_found_from_files(session, tmp_path):
    told = write_triple(tmp_path, session)
    output, heard = run_pipeline("decode.sequence", tmp_path / "run", told, poke=0.5, permutations=19, draws=2)
    metrics = {name: metric.value for name, metric in output.metrics.items()}
    trained = session.correct & session.in_sequence
    assert metrics["accuracy"] > 100 * session.ideal_accuracy(trained) - 3
    assert metrics["accuracy_low"] <= metrics["accuracy"] <= metrics["accuracy_high"]
    assert metrics["p"] == 1 / 20
    assert 10 < metrics["chance"] < 30
    assert metrics["theta_lag"] == pytest.approx(70, abs=20)
    assert metrics["theta_lag_low"] <= metrics["theta_lag"] <= metrics["theta_lag_high"]
    assert (metrics["decoder"], metrics["channel"], metrics["units"]) == ("theta", 1, 40)
    assert metrics["trials"] == trained.sum()
    # Odours drive the units of this simulation alike in and out of sequence.
    assert metrics["accuracy_out"] > 80
    assert abs(metrics["in_minus_out"]) < 0.15

    trials = rows(tmp_path / "run" / "trials.csv")
    assert [row["odour"] for row in trials] == [str(odour + 1) for odour in session.odour]
    assert sum(float(trials[0][f"p_{odour}"]) for odour in range(1, 6)) == pytest.approx(1)
    over_time = rows(tmp_path / "run" / "over_time.csv")
    share = {round(float(row["time_s"]), 3): float(row["share_right"]) for row in over_time}
    early = [value for time, value in share.items() if time <= -0.125]
    late = [value for time, value in share.items() if time >= 0.125]
    assert np.mean(early) < 0.35
    assert np.min(late) > np.max(early)
    assert np.mean(late) > 0.6
    assert {figure.name for figure in output.figures} == {
        "confusion", "null-distribution", "accuracy-over-time", "sequence-over-time", "sequence-over-theta",
        "generalisation", "in-and-out", "confusion-out", "responses",
    }  # fmt: skip
    assert heard.progress[-1] == 1
    assert set(output.artifacts) == {path.name for path in (tmp_path / "run").iterdir()}


def test_the_same_seed_gives_the_same_digits(session, tmp_path):
    told = write_triple(tmp_path, session)
    for name in ("one", "two"):
        run_pipeline("decode.sequence", tmp_path / name, told, poke=0.5, permutations=3, draws=1, seed=7)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_without_lfp_spikes_over_the_whole_time_are_decoded(session, tmp_path):
    write_triple(tmp_path, session)
    (tmp_path / "rat_lfp_data_sampled.npy").unlink()
    told = recording("units", "odour-triple", tmp_path / "rat_trial_info.npy")
    output, _ = run_pipeline("decode.sequence", tmp_path / "run", told, poke=0.5, permutations=0, draws=0)
    assert output.metrics["decoder"].value == "counts"
    assert output.metrics["accuracy"].value > 60
    assert "p" not in output.metrics
    assert "theta_lag" not in output.metrics
    with pytest.raises(PipelineError, match="'theta' needs LFP"):
        run_pipeline("decode.sequence", tmp_path / "theta", told, decoder="theta")


def test_silent_units_are_left_out_and_counted(session, tmp_path):
    told = write_triple(tmp_path, session)
    counts = session.counts.copy()
    counts[:, 3] = 0
    np.save(tmp_path / "rat_spike_data_binned.npy", counts)
    output, _ = run_pipeline("decode.sequence", tmp_path / "run", told, permutations=0, draws=0)
    assert (output.metrics["units"].value, output.metrics["units_left_out"].value) == (39, 1)


def test_times_outside_the_trials_and_wrong_parameters_are_refused(session, tmp_path):
    told = write_triple(tmp_path, session)
    with pytest.raises(PipelineError, match=r"last from -0.5 to 1 s after the poke; .* 0 to 1.2 s"):
        run_pipeline("decode.sequence", tmp_path / "a", told, poke=0.5, stop=1.2)
    with pytest.raises(ValidationError, match="stop must be after start"):
        run_pipeline("decode.sequence", tmp_path / "b", told, start=1, stop=0.5)
    with pytest.raises(PipelineError, match="There is no channel 2 of the LFP"):
        run_pipeline("decode.sequence", tmp_path / "c", told, channel=2)
    with pytest.raises(PipelineError, match=r"Odour \d has \d+ correct in-sequence trials; 60 folds"):
        run_pipeline("decode.sequence", tmp_path / "d", told, folds=60)


def test_a_wrong_rate_of_the_lfp_is_told(session, tmp_path):
    write_triple(tmp_path, session)
    told = recording("units", "odour-triple", tmp_path / "rat_trial_info.npy", lfp_rate=2000)
    with pytest.raises(PipelineError, match="is the rate of the LFP right"):
        run_pipeline("decode.sequence", tmp_path / "run", told)


def test_training_trials_are_balanced_within_every_fold():
    rng = np.random.default_rng(0)
    labels = rng.choice(4, 200, p=[0.4, 0.3, 0.2, 0.1])
    trained = rng.random(200) < 0.8
    fold = sequence.trial_folds(labels, trained, folds=4, rng=rng)
    kept = sequence.balanced(labels, trained, fold, rng)
    assert not (kept & ~trained).any()
    for number in range(4):
        per_odour = np.bincount(labels[kept & (fold == number)], minlength=4)
        assert per_odour.min() == per_odour.max() > 0


def test_a_decoder_of_one_time_tells_where_the_code_stays_and_not_where_it_changes():
    rng = np.random.default_rng(1)
    labels = np.tile(np.arange(3), 60)
    early, late = np.eye(3) * 4 + 0.5, np.roll(np.eye(3), 1, axis=0) * 4 + 0.5
    counts = np.zeros((180, 3, 4))
    for at, rates in enumerate((early, early, late, late)):
        counts[:, :, at] = rng.poisson(rates[labels])
    trained = np.ones(180, dtype=bool)
    windows = odour_time.sliding_windows(counts, width=1, step=1)
    np.testing.assert_array_equal(windows.centres, [0.5, 1.5, 2.5, 3.5])
    share = odour_time.generalisation(windows, labels, trained, labels.cumsum() % 5, n_odours=3)
    assert share[:2, :2].min() > 0.8
    assert share[2:, 2:].min() > 0.8
    assert share[:2, 2:].max() < 0.2


def test_in_against_out_is_uniform_without_a_difference_and_finds_one():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 5, 300)
    # Out of sequence is more frequent for later odours, whose values are higher: only balancing keeps them apart.
    in_sequence = rng.random(300) > labels * 0.08
    p = []
    for _ in range(100):
        value = labels * 0.1 + rng.normal(0, 0.1, 300)
        p.append(odour_time.in_against_out(value, labels, in_sequence, draws=0, permutations=99, rng=rng).p)
    assert kstest(p, "uniform").pvalue > 0.05
    found = odour_time.in_against_out(
        labels * 0.1 + 0.2 * in_sequence + rng.normal(0, 0.1, 300), labels, in_sequence, draws=50, permutations=99,
        rng=rng,
    )  # fmt: skip
    assert found.p == 0.01
    assert found.interval[0] < found.difference < found.interval[1]
    assert found.difference == pytest.approx(0.2, abs=0.06)
    none = odour_time.in_against_out(labels * 1.0, labels, labels >= 0, draws=1, permutations=1, rng=rng)
    assert none is None


def test_windows_longer_than_the_trial_are_refused():
    with pytest.raises(InvalidDataError, match="Windows of 9 bins do not fit into trials of 4 bins"):
        odour_time.sliding_windows(np.zeros((2, 2, 4)), width=9, step=1)


def test_odours_without_neighbours_are_left_out_of_past_and_next():
    posterior = np.tile([0.1, 0.2, 0.3, 0.4], (4, 1))
    labels = np.arange(4)
    along = odour_time.along_the_sequence(posterior, labels, np.ones(4, dtype=bool))
    np.testing.assert_allclose(along, [0.15, 0.25, 0.35])
    with pytest.raises(InvalidDataError, match="both neighbours"):
        odour_time.along_the_sequence(posterior[:1], labels[:1], np.ones(1, dtype=bool))


def whole_session(folder, session, *, gap=2.0):
    """Write the session as one recording: sorted units, a table of trials and LFP, all on one clock."""
    n_trials, _, n_bins = session.counts.shape
    begins = 5 + np.arange(n_trials) * (n_bins * 0.01 + gap)
    trial, unit, at = (np.repeat(index, session.counts[session.counts > 0]) for index in np.nonzero(session.counts))
    times = begins[trial] + (at + 0.5) * 0.01
    np.savez(folder / "units.npz", spike_times=np.r_[times, 0.0, begins[-1] + 10], spike_units=np.r_[unit, 0, 0])
    poke = begins + BEFORE * 0.01
    names = "EDCBA"
    table = OdourTable(
        poke, poke + 0.1, begins + n_bins * 0.01, tuple(names[odour] for odour in session.odour),
        session.position + 1, np.arange(n_trials) // 5 + 1, session.in_sequence, session.correct,
    )  # fmt: skip
    write_odours(folder / "trials.csv", table)
    rate = 500
    time = np.arange(0, begins[-1] + 20, 1 / rate)
    lfp = np.random.default_rng(0).normal(0, 0.2, (time.size, 2))
    middles = begins[:, None] + (np.arange(n_bins) + 0.5) * 0.01
    phase = np.unwrap(session.phase, axis=1)
    for mine, known in zip(middles, phase, strict=True):
        # Theta goes on for a while on either side, as it does in an animal.
        inside = (time > mine[0] - 0.5) & (time < mine[-1] + 0.5)
        slope = (known[-1] - known[0]) / (mine[-1] - mine[0])
        lfp[inside, 1] += np.cos(known[0] + slope * (time[inside] - mine[0]))
    np.save(folder / "lfp.npy", (200 * lfp).astype(np.float32))
    return (
        recording("units", "units-npz", folder / "units.npz"),
        recording("events", "csv", folder / "trials.csv", table="odours"),
        recording("lfp", "npy", folder / "lfp.npy", rate=rate, unit="uV"),
    )


def test_trials_cut_out_of_units_and_lfp_tell_the_same_truth(session, tmp_path):
    units, trials, lfp = whole_session(tmp_path, session)
    output, _ = run_pipeline("decode.sequence", tmp_path / "run", units, trials, lfp, permutations=9, draws=2)
    metrics = {name: metric.value for name, metric in output.metrics.items()}
    trained = session.correct & session.in_sequence
    assert metrics["trials"] == trained.sum()
    assert metrics["accuracy"] > 100 * session.ideal_accuracy(trained) - 3
    assert metrics["theta_lag"] == pytest.approx(70, abs=20)
    # The odours are in the order of their places in the sequence, whatever they are called.
    with (tmp_path / "run" / "trials.csv").open(newline="") as lines:
        assert [name for name in next(csv.reader(lines)) if name.startswith("p_")] == [f"p_{name}" for name in "EDCBA"]
    alone, _ = run_pipeline("decode.sequence", tmp_path / "alone", units, trials, permutations=0, draws=0)
    assert alone.metrics["decoder"].value == "counts"
    assert alone.metrics["accuracy"].value > 60


def test_only_good_units_are_decoded_when_asked_for(session, tmp_path):
    units, trials, lfp = whole_session(tmp_path, session)
    names = read_spikes(units).labels
    said = {name: "good" if number < 12 else "noise" for number, name in enumerate(names)}
    good = replace(units, parameters={**units.parameters, "only": "good", "labels": said})
    few = {"permutations": 0, "draws": 0, "which_units": "good"}
    output, _ = run_pipeline("decode.sequence", tmp_path / "good", good, trials, lfp, **few)
    assert output.metrics["units"].value == 12
    with pytest.raises(PipelineError, match="carry no labels of units"):
        run_pipeline(
            "stats.labels", tmp_path / "no", replace(write_triple(tmp_path, session), parameters={"only": "good"}),
            permutations=5, which_units="good",
        )  # fmt: skip


def test_lfp_elsewhere_in_time_and_lfp_without_trials_are_refused(session, tmp_path):
    units, trials, lfp = whole_session(tmp_path, session)
    away = replace(lfp, parameters={**lfp.parameters, "time_offset": 1e6})
    with pytest.raises(PipelineError, match="No trial lies within the"):
        run_pipeline("decode.sequence", tmp_path / "a", units, trials, away)
    with pytest.raises(PipelineError, match="read with a table of trials"):
        run_pipeline("decode.sequence", tmp_path / "b", units, lfp)
