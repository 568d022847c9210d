"""What the three pipelines reach on recordings that nobody here made."""

from __future__ import annotations

import csv
import time

import numpy as np
import pytest

from analysis.methods import position
from analysis.methods import spikes as binning
from analysis.methods.tracking import Lost
from analysis.readers import read_position, read_spikes
from tests.data import shared_data
from tests.methods.leaking import leakage
from tests.methods.running import recording, run_pipeline

EPOCH = {"epoch_start": 4442.86, "epoch_stop": 5361.97}


@pytest.fixture(scope="module")
def linear_track():
    folder = shared_data("nelpy_linear_track") / "linear-track"
    return (
        recording("units", "matclust-mat", folder / "spikes.mat"),
        recording("position", "trodes-position", folder / "trajectory.videoPositionTracking"),
    )


def test_the_linear_track_is_read_as_its_makers_describe_it(linear_track):
    spikes, position = read_spikes(linear_track[0]), read_position(linear_track[1])
    assert len(spikes.labels) == 31
    inside = (spikes.times >= EPOCH["epoch_start"]) & (spikes.times < EPOCH["epoch_stop"])
    assert np.count_nonzero(inside) == 13_912
    assert position.time.size == 118_965
    assert np.count_nonzero(np.diff(position.time) == 0) == 1
    assert position.unit == "px"


def test_position_is_decoded_on_the_linear_track(linear_track, tmp_path):
    began = time.perf_counter()
    output, heard = run_pipeline("decode.position", tmp_path, *linear_track, **EPOCH, shifts=200)
    assert time.perf_counter() - began < 30
    metrics = output.metrics
    assert metrics["median_error_percent"].value <= 6.5
    assert metrics["p"].value <= 0.01
    assert metrics["shifts"].value == 200
    # The peers on this recording find chance at a median of 34 %.
    assert 30 <= metrics["chance_median_error"].value <= 38
    assert metrics["median_error_low"].value < metrics["median_error"].value < metrics["median_error_high"].value
    assert 30 <= metrics["moving_share"].value <= 36
    assert any("1 repeated" in line for line in heard.log)
    assert heard.progress == sorted(heard.progress)
    assert {figure.name for figure in output.figures} >= {
        "posterior",
        "error-distribution",
        "null-distribution",
        "confusion",
        "error-by-place",
        "error-by-block",
    }


@pytest.fixture(scope="module")
def state_space(linear_track, tmp_path_factory):
    """The rat decoded by a state space, and the folder with the files of the result."""
    folder = tmp_path_factory.mktemp("state-space")
    output, _ = run_pipeline("decode.position", folder, *linear_track, **EPOCH, decoder="state-space", shifts=0)
    return output, folder


def test_a_state_space_that_chooses_its_settings_in_training_bins_finds_the_rat(state_space):
    metrics = state_space[0].metrics
    assert 30 <= metrics["moving_share"].value <= 36
    assert metrics["median_error_percent"].value <= 3.3
    assert metrics["p90_error"].value <= 22
    assert metrics["within_10_percent"].value >= 84
    assert metrics["laps"].value == 47


def test_the_figures_of_the_rat_come_out_of_the_files_of_the_result_again(state_space):
    """By plain NumPy from the posterior and the true path, with nothing of the project's but the files."""
    output, folder = state_space
    with np.load(folder / "decoded.npz") as made:
        posterior, centres, true = made["posterior"], made["place_centres_percent"], made["true_percent"]
        scored = made["moving"] & np.isfinite(true)
        decoded, block = made["decoded_percent"], made["block"]
    assert np.array_equal(np.unique(block), np.arange(10))
    assert np.allclose(posterior.sum(axis=1), 1, atol=1e-5)
    half = (centres[1] - centres[0]) / 2
    ends = np.r_[centres - half, centres[-1] + half]
    medians = [
        np.interp(0.5, np.r_[0, np.cumsum(row) / row.sum()], ends) for row in posterior[scored].astype(np.float64)
    ]
    assert np.allclose(medians, decoded[scored], atol=1e-3)
    errors = np.sort(np.abs(np.array(medians) - true[scored]))
    found = {
        "median_error_percent": np.interp(0.5, np.linspace(0, 1, errors.size), errors),
        "p90_error": np.interp(0.9, np.linspace(0, 1, errors.size), errors),
        "within_10_percent": 100 * np.searchsorted(errors, 10, side="right") / errors.size,
    }
    assert output.metrics["bins"].value == errors.size
    for name, value in found.items():
        assert value == pytest.approx(output.metrics[name].value, abs=0.01), name
    assert found["median_error_percent"] <= 3.3
    assert found["p90_error"] <= 22
    assert found["within_10_percent"] >= 84


def test_information_free_data_decode_only_in_random_folds(linear_track):
    spikes, tracked = read_spikes(linear_track[0]), read_position(linear_track[1])
    start, stop = EPOCH.values()
    inside = (tracked.time >= start) & (tracked.time <= stop)
    clean = position.clean_position(tracked.time[inside], tracked.xy[inside])
    edges = binning.time_edges(start + 0.1, stop - 0.1, 0.1)
    target = position.bin_position(clean.time, position.linearise(clean.xy).percent, edges).position
    counts = binning.bin_spikes(spikes.times, spikes.units, edges, n_units=len(spikes.labels))
    leaking, blocked = leakage(counts, target, 0.1)
    assert leaking > 0.95
    assert blocked < 0


def test_resting_bins_are_what_the_speed_threshold_is_for(linear_track, tmp_path):
    moving, _ = run_pipeline("decode.position", tmp_path / "moving", *linear_track, **EPOCH, shifts=0)
    every, _ = run_pipeline("decode.position", tmp_path / "all", *linear_track, **EPOCH, shifts=0, speed_threshold=0)
    assert every.metrics["bins"].value > 2 * moving.metrics["bins"].value
    assert every.metrics["median_error"].value > 1.2 * moving.metrics["median_error"].value


def test_a_mouse_is_tracked_like_tracktor_does(tmp_path):
    folder = shared_data("tracktor_mouse")
    output, _ = run_pipeline(
        "video.track", tmp_path, recording("video", "video", folder / "videos" / "mouse_video.mp4")
    )
    with (folder / "output" / "mouse_video_tracked.csv").open(newline="") as lines:
        tracktor = np.array([(float(row["pos_x"]), float(row["pos_y"])) for row in csv.DictReader(lines)])
    with np.load(tmp_path / "position.npz") as made:
        xy, reason = np.stack([made["x"], made["y"]], axis=1), made["reason"]
    assert len(xy) == len(tracktor) == 10_000
    distance = np.hypot(*(xy - tracktor).T)
    found = np.isfinite(distance)
    assert np.median(distance[found]) <= 1.0
    # The mouse is in the arena throughout and its body about 30 px across: a position further than that from where
    # Tracktor has it is one where there is no mouse.
    assert np.count_nonzero(distance[found] > 30) == 0
    assert output.metrics["lost"].value == np.count_nonzero(~found) <= 20
    assert np.array_equal(reason == Lost.FOUND, found)
    assert [made.format for made in output.recordings] == ["position-npz"]
    again = read_position(recording("position", "position-npz", tmp_path / "position.npz"))
    assert np.allclose(again.xy, xy, equal_nan=True)


def test_ca1_shows_theta_at_eight_hertz(tmp_path):
    path = shared_data("bycycle_ca1_ec3_lfp") / "data" / "ca1.npy"
    output, _ = run_pipeline("ephys.lfp", tmp_path, recording("lfp", "npy", path, rate=1250.0, unit="mV"))
    assert output.metrics["theta_peak"].value == pytest.approx(8.0, abs=0.25)
    assert output.metrics["theta_height"].value > 6
    assert output.metrics["theta_delta"].value > 1
    assert {figure.name for figure in output.figures} == {"trace", "spectrogram", "spectrum", "theta-power"}


def test_units_of_a_real_nwb_file_are_read():
    folder = shared_data("pynapple_nwb") / "tests" / "nwbfilestest" / "phy" / "pynapplenwb"
    spikes = read_spikes(recording("units", "nwb", folder / "A8604-211122.nwb"))
    assert len(spikes.labels) == 3
    assert spikes.times.size == 21_354
    assert np.all(np.diff(spikes.times) >= 0)
