"""Power in bands is that of the waves put in, whatever is held at a time, and goes with speed only where it does."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from analysis.figures import page, paper
from analysis.figures.spec import Figure
from analysis.methods import bands, permutation, spectral
from analysis.methods.errors import InvalidDataError
from analysis.methods.position import mean_around
from analysis.pipelines import registry
from analysis.pipelines.base import PipelineError
from tests.methods.running import recording, run_pipeline

RATE = 1000.0
BANDS = {"delta": (1.0, 4.0), "theta": (6.0, 10.0), "beta": (12.0, 30.0), "low gamma": (30.0, 60.0)}
USUAL = {"window": 2.0, "step": 0.5, "half_bandwidth": 1.0}


def measured(signal, limits=None, **options):
    given = {**USUAL, **options}
    return bands.power_in_bands(lambda a, b: signal[a:b], signal.size, RATE, limits or BANDS, **given)


def test_waves_have_the_power_they_were_given():
    time = np.arange(60 * RATE) / RATE
    amplitudes = {2.5: 80.0, 8.0: 120.0, 20.0: 30.0, 45.0: 12.0}
    signal = sum(height * np.sin(2 * np.pi * f * time + f) for f, height in amplitudes.items())
    found = np.median(measured(signal).power, axis=0)
    assert found == pytest.approx([height**2 / 2 for height in amplitudes.values()], rel=0.03)


def test_bands_side_by_side_add_up_to_the_variance():
    signal = np.random.default_rng(0).normal(3.0, 20.0, 200_000)
    edges = [0.0, 40.0, 150.0, 320.0, RATE / 2]
    whole = measured(signal, {str(k): (edges[k], edges[k + 1]) for k in range(4)})
    assert whole.power.sum(axis=1).mean() == pytest.approx(400, rel=0.02)
    assert whole.power.mean(axis=0) / 400 == pytest.approx(np.diff(edges) / (RATE / 2), rel=0.05)


def test_the_estimate_scatters_less_than_that_of_one_taper():
    signal = np.random.default_rng(1).normal(0, 1, 300_000)
    many = np.concatenate(
        [each.power for each in spectral.multitaper(lambda a, b: signal[a:b], signal.size, RATE, highest=400, **USUAL)]
    )
    one = spectral.spectrogram(signal, RATE, window=2.0, step=0.5, highest=400).power
    assert many[:, 20:].mean() == pytest.approx(one[:, 20:].mean(), rel=0.02)
    assert many[:, 20:].std() < 0.65 * one[:, 20:].std()


@pytest.mark.parametrize("held", [1, 7_000, 10**9])
def test_what_is_held_at_a_time_changes_nothing(held):
    rng = np.random.default_rng(2)
    signal = rng.normal(0, 10, 45_678) + np.linspace(0, 500, 45_678)
    groups = rng.integers(-1, 2, 88)
    one, other = (measured(signal, held=size, groups=groups, columns=30) for size in (60_000, held))
    assert one.time.size == 88
    for name in ("time", "power", "spectra"):
        assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-9)
    assert other.spectrogram.power == pytest.approx(one.spectrogram.power, rel=1e-9)
    assert len(one.spectrogram.time) == 30
    assert one.spectrogram.time[0] == pytest.approx(one.time[:3].mean())


def test_hours_are_read_in_small_pieces():
    asked = []

    def read(start, stop):
        asked.append(stop - start)
        return np.broadcast_to(np.float32(1.0), stop - start)

    # Three hours, looked at rarely so that the test is quick.
    n = int(3 * 3600 * RATE)
    found = bands.power_in_bands(read, n, RATE, BANDS, window=2.0, step=2.0, half_bandwidth=1.0, held=500_000)
    assert found.time.size == n // 2000
    assert max(asked) <= 500_000
    assert found.spectrogram.power.shape[0] <= 900


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(InvalidDataError, match="less than one window of 2 s"):
        measured(np.zeros(100))
    with pytest.raises(InvalidDataError, match=r"cannot resolve 0\.2 Hz; make it 5 s or longer"):
        measured(np.zeros(5000), half_bandwidth=0.2)
    with pytest.raises(InvalidDataError, match="has nothing up to 600 Hz"):
        measured(np.zeros(5000), {"fast": (300.0, 600.0)})


def slow(n, rng):
    """Noise that changes over some ten bins."""
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(rng.normal(size=n), 5)


def correlated(values, other, seed, shifts=99):
    rng = np.random.default_rng(seed)
    return permutation.shifted_correlation(values, other, shifts=shifts, minimum_bins=40, rng=rng)


def test_a_tie_is_found_and_gaps_are_left_out():
    rng = np.random.default_rng(3)
    speed = slow(600, rng)
    # What rises with speed, in whatever shape, has a rank correlation of one.
    other = speed.copy()
    other[:50] = other[200:230] = np.nan
    found = correlated(np.exp(3 * speed), other, 0)
    assert found.rho == pytest.approx(1.0)
    assert found.n == 600 - 80
    assert found.p == pytest.approx(0.01)
    falling = correlated(-speed + 0.3 * slow(600, rng), other, 0)
    assert falling.rho < -0.7
    assert falling.p <= 0.02


def test_where_there_is_no_tie_every_p_is_as_likely():
    ps = []
    for seed in range(120):
        rng = np.random.default_rng([7, seed])
        ps.append(correlated(slow(400, rng), slow(400, rng), seed).p)
    # The p of a table would be below 0.05 in half of such series.
    levels = np.linspace(0.05, 0.95, 10)
    shares = np.array([np.mean(np.array(ps) <= level) for level in levels])
    assert np.abs(shares - levels).max() < 0.12


def test_a_series_that_never_changes_has_no_correlation():
    found = correlated(np.ones(300), np.arange(300.0), 0)
    assert np.isnan(found.rho)
    assert np.isnan(found.p)
    with pytest.raises(InvalidDataError, match="Fewer than three bins"):
        correlated(np.ones(300), np.full(300, np.nan), 0)


def test_a_mean_around_a_time_needs_half_of_its_values():
    time = np.arange(0, 20, 0.1)
    value = time.copy()
    value[(time > 9.95) & (time < 14.95)] = np.nan
    found = mean_around(time, value, np.array([5.0, 10.5, 12.5, 19.0, 25.0]), 2.0)
    assert found[[0, 3]] == pytest.approx([4.95, 18.95], abs=0.06)
    assert np.isnan(found[[1, 2, 4]]).all()


def session(folder, *, tied, seconds=240, rate=RATE, **parameters):
    """An animal that runs and rests; theta of 100 uV all the time, or in step with its speed."""
    rng = np.random.default_rng(5)
    time = np.arange(seconds * rate) / rate
    speed = np.interp(time, np.arange(0, seconds + 4, 4), np.clip(rng.normal(8, 8, seconds // 4 + 1), 0, 30))
    height = 20 + 8 * speed if tied else 100 + 40 * np.interp(time, np.arange(0, seconds + 4, 4), rng.normal(
        size=seconds // 4 + 1))  # fmt: skip
    slope = np.cumsum(rng.normal(0, 1.5, time.size))
    voltage = height * np.sin(2 * np.pi * 8 * time) + slope - slope.mean()
    np.save(folder / "lfp.npy", np.stack([rng.normal(0, 5, time.size), voltage], axis=1).astype(np.float32))
    source = recording("lfp", "npy", folder / "lfp.npy", rate=rate, unit="uV", **parameters)
    at = time[:: int(rate / 50)]
    x = np.cumsum(speed[:: int(rate / 50)]) / 50
    np.savez(folder / "position.npz", time=at, x=50 + 40 * np.sin(x / 40), y=50 + 40 * np.cos(x / 40), unit="cm")
    return source, recording("position", "position-npz", folder / "position.npz")


def drawn(output) -> None:
    for figure in output.figures:
        again = Figure.from_json(figure.to_json())
        assert page.json_item(again)
        assert paper.render(again, "svg").startswith(b"<?xml")


def test_theta_that_goes_with_speed_is_found_and_its_power_told(tmp_path):
    source, position = session(tmp_path, tied=True)
    output, heard = run_pipeline("lfp.bands", tmp_path / "run", source, position, shifts=199)
    told = {name: metric.value for name, metric in output.metrics.items()}
    assert told["channel"] == 1
    assert told["speed_correlation"] > 0.6
    assert told["speed_p"] == pytest.approx(1 / 200)
    assert told["theta_delta_running"] > 2 * told["theta_delta_resting"]
    with (tmp_path / "run" / "bands.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == told["windows"] == 477
    speed = np.array([float(row["speed_cm_per_s"]) for row in rows])
    theta = np.array([float(row["theta_uV2"]) for row in rows])
    # (20 + 8 v)^2 / 2, with a change of speed within the window.
    assert np.median(theta / ((20 + 8 * speed) ** 2 / 2)) == pytest.approx(1.0, abs=0.1)
    assert [figure.name for figure in output.figures] == [
        "spectrogram", "band-power", "spectrum", "theta-delta-speed", "null-distribution",
    ]  # fmt: skip
    assert len(output.figures[0].panels) == 3
    assert heard.progress == sorted(heard.progress)
    drawn(output)


def test_theta_that_does_not_go_with_speed_is_not_said_to(tmp_path):
    source, position = session(tmp_path, tied=False, time_offset=0.0)
    output, _ = run_pipeline("lfp.bands", tmp_path / "run", source, position, shifts=199)
    assert abs(output.metrics["speed_correlation"].value) < 0.35
    assert output.metrics["speed_p"].value > 0.05


def test_without_positions_and_with_own_bands(tmp_path):
    source, position = session(tmp_path, tied=True, seconds=40, rate=250)
    output, heard = run_pipeline(
        "lfp.bands", tmp_path / "a", source, bands=("delta 2-5", "theta 7-9", "Sigma 10-16", "ripple 150-250")
    )
    assert "sigma_power" in output.metrics
    assert "ripple_power" not in output.metrics
    assert any("left out: ripple" in line for line in heard.log)
    assert "speed_p" not in output.metrics
    assert len(output.figures) == 3
    drawn(output)
    with pytest.raises(PipelineError, match="too short a time to shift it by at least 20 s"):
        run_pipeline("lfp.bands", tmp_path / "b", source, position)
    without, _ = run_pipeline("lfp.bands", tmp_path / "c", source, position, shifts=0)
    assert without.metrics["speed_p"].value is None
    late = recording("position", "position-npz", tmp_path / "position.npz", time_offset=9000.0)
    with pytest.raises(PipelineError, match=r"no speed within the 40\.0 s of the LFP"):
        run_pipeline("lfp.bands", tmp_path / "d", source, late)


def test_a_channel_that_says_nothing_is_told(tmp_path):
    table = np.full((20_000, 2), 5.3, np.float32)
    table[:, 1] = np.random.default_rng(0).normal(size=20_000)
    table[12_345, 1] = np.nan
    np.save(tmp_path / "lfp.npy", table)
    source = recording("lfp", "npy", tmp_path / "lfp.npy", rate=RATE, unit="uV", time_offset=10.0)
    with pytest.raises(PipelineError, match="Channel 0 is dead"):
        run_pipeline("lfp.bands", tmp_path / "a", source, channel=0)
    with pytest.raises(PipelineError, match=r"Channel 1 has a value at 22\.345 s that is not a finite number"):
        run_pipeline("lfp.bands", tmp_path / "b", source, channel=1)
    with pytest.raises(PipelineError, match="no channel 2"):
        run_pipeline("lfp.bands", tmp_path / "c", source, channel=2)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"bands": ("delta 1-4", "beta 12-30")}, "bands must name theta"),
        ({"bands": ("delta 1-4", "theta 6")}, "'theta 6' is no band"),
        ({"bands": ("delta 1-4", "theta 10-6")}, "'theta 10-6' is no band"),
        ({"bands": ("delta 1-4", "theta 6-10", "Theta 5-9")}, "different names"),
        ({"window": 0.2, "half_bandwidth": 5}, "too short to tell frequencies within delta apart"),
        ({"window": 0.5, "half_bandwidth": 1}, "at least one over half_bandwidth"),
        ({"step": 3}, "step must not be longer than window"),
    ],
)
def test_wrong_settings_are_told(given, words):
    with pytest.raises(ValueError, match=words):
        registry.get("lfp.bands").parameters(**given)
