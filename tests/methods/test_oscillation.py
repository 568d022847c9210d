"""Phase locking and ripples on signals whose truth is known, and on none at all."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from analysis.figures import page, paper
from analysis.figures.spec import Figure
from analysis.methods import oscillation
from analysis.methods.errors import InvalidDataError
from analysis.pipelines.base import PipelineError
from tests.methods.running import recording, run_pipeline

RATE = 1250.0
SECONDS = 240.0
TIME = np.arange(round(RATE * SECONDS)) / RATE


def background(seed: int) -> np.ndarray:
    """Return noise that falls with frequency, as field potentials do, of about 50 uV."""
    white = np.random.default_rng(seed).normal(size=TIME.size)
    spectrum = np.fft.rfft(white)
    spectrum /= np.sqrt(np.maximum(np.fft.rfftfreq(TIME.size, 1 / RATE), 1.0))
    pink = np.fft.irfft(spectrum, TIME.size)
    return 50 * pink / pink.std()


def theta() -> tuple[np.ndarray, np.ndarray]:
    """Return voltage with a rhythm whose frequency wanders around 8 Hz, and its true phase (rad)."""
    wander = sosfiltfilt(butter(2, 0.2, fs=RATE, output="sos"), np.random.default_rng(1).normal(size=TIME.size))
    frequency = 8 + 0.7 * wander / wander.std()
    phase = 2 * np.pi * np.cumsum(np.clip(frequency, 6.5, 9.5)) / RATE
    return 200 * np.cos(phase) + background(2), np.angle(np.exp(1j * phase))


def locked_spikes(phase: np.ndarray, preferred: float, kappa: float, seed: int, rate: float = 12.0) -> np.ndarray:
    """Return spikes (s) whose chance follows a von Mises curve of the phase."""
    rng = np.random.default_rng(seed)
    chance = rate / RATE * np.exp(kappa * np.cos(phase - preferred)) / np.i0(kappa)
    return TIME[rng.random(TIME.size) < chance] + rng.uniform(0, 1 / RATE)


def angle_between(a: float, b: float) -> float:
    return float(np.degrees(np.abs(np.angle(np.exp(1j * (a - b))))))


@pytest.mark.parametrize("preferred", [0.0, 2.0, np.pi, -1.2])
def test_the_phase_of_spikes_is_found(preferred):
    voltage, phase = theta()
    signal = oscillation.analytic(voltage, RATE, 6, 10)
    assert np.median(np.degrees(np.abs(np.angle(signal * np.exp(-1j * phase))))) < 10
    found = oscillation.phase_locking(oscillation.at_times(signal, RATE, locked_spikes(phase, preferred, 1.0, 3)))
    assert angle_between(found.phase, preferred) < 6
    # The mean vector of a von Mises distribution with kappa 1 is I1(1) / I0(1).
    assert found.length == pytest.approx(0.446, abs=0.05)
    assert found.ppc == pytest.approx(0.446**2, abs=0.05)
    assert found.p < 1e-10


def test_consistency_does_not_grow_where_spikes_are_few():
    rng = np.random.default_rng(0)
    few = [oscillation.phase_locking(rng.uniform(-np.pi, np.pi, 8)) for _ in range(4000)]
    assert np.mean([one.length for one in few]) > 0.25
    assert np.mean([one.ppc for one in few]) == pytest.approx(0, abs=0.01)
    assert np.mean([one.p < 0.05 for one in few]) == pytest.approx(0.05, abs=0.015)
    assert np.isnan(oscillation.phase_locking(np.array([0.3])).ppc)


def test_phases_are_taken_between_samples_around_the_circle():
    signal = np.exp(1j * np.radians([170.0, -170.0, -150.0]))
    made = np.degrees(oscillation.at_times(signal, 1.0, np.array([0.5, 1.5, 2.5])))
    assert abs(made[0]) == pytest.approx(180)
    assert made[1] == pytest.approx(-160, abs=0.5)
    assert np.isnan(made[2])


def with_ripples(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return voltage (uV), and the middle (s) and frequency (Hz) of the ripples in it."""
    rng = np.random.default_rng(seed)
    voltage = background(seed)
    middles = np.arange(2.0, SECONDS - 2, 2.0) + rng.uniform(-0.5, 0.5, 118)
    frequencies = rng.uniform(165, 205, middles.size)
    for middle, frequency in zip(middles, frequencies, strict=True):
        near = np.abs(TIME - middle) < 0.12
        away = TIME[near] - middle
        voltage[near] += 90 * np.exp(-0.5 * (away / 0.025) ** 2) * np.cos(2 * np.pi * frequency * away)
    return voltage, middles, frequencies


def test_ripples_are_found_where_they_are():
    voltage, middles, frequencies = with_ripples(4)
    found = oscillation.ripples(voltage, RATE)
    nearest = np.abs(found.peak[:, None] - middles[None, :])
    assert np.mean(nearest.min(axis=0) < 0.02) >= 0.98
    assert np.mean(nearest.min(axis=1) < 0.06) >= 0.98
    matched = nearest.argmin(axis=1)
    close = nearest.min(axis=1) < 0.02
    assert np.median(np.abs(found.frequency[close] - frequencies[matched[close]])) < 4
    assert np.all(found.start < found.peak)
    assert np.all(found.peak < found.stop)
    assert np.median(found.stop - found.start) == pytest.approx(0.09, abs=0.03)


def test_noise_holds_hardly_any_ripple():
    found = oscillation.ripples(background(5), RATE)
    assert found.peak.size <= SECONDS / 60


def test_what_cannot_be_looked_at_is_refused():
    with pytest.raises(InvalidDataError, match="does not fit a trace at 300 Hz"):
        oscillation.analytic(np.ones(3000), 300.0, 150, 250)
    with pytest.raises(InvalidDataError, match="too short for a rhythm of 6 Hz"):
        oscillation.analytic(np.ones(100), RATE, 6, 10)
    with pytest.raises(InvalidDataError, match="constant"):
        oscillation.ripples(np.zeros(5000), RATE)


def lfp(folder, *channels, rate=RATE, **parameters):
    np.save(folder / "lfp.npy", np.stack(channels, axis=1).astype(np.float32))
    return recording("lfp", "npy", folder / "lfp.npy", rate=rate, unit="uV", **parameters)


def units(folder, *trains, **parameters):
    times = np.concatenate(trains)
    numbers = np.repeat(np.arange(len(trains)), [train.size for train in trains])
    np.savez(folder / "units.npz", spike_times=times, spike_units=numbers)
    return recording("units", "units-npz", folder / "units.npz", **parameters)


def rows_of(path):
    with path.open() as lines:
        return list(csv.DictReader(lines))


def drawn(output) -> None:
    for figure in output.figures:
        again = Figure.from_json(figure.to_json())
        assert page.json_item(again)
        assert paper.render(again, "svg").startswith(b"<?xml")


def test_locked_units_are_told_from_those_that_are_not(tmp_path):
    voltage, phase = theta()
    rng = np.random.default_rng(8)
    trains = [
        *(locked_spikes(phase, np.pi, 0.8, seed) for seed in (10, 11, 12)),
        *(np.sort(rng.uniform(0, SECONDS, 2500)) for _ in range(4)),
        rng.uniform(0, SECONDS, 12),
    ]
    # The rhythm is on the second channel; the LFP begins 5 s into the clock of the spikes.
    source = lfp(tmp_path, background(9), voltage, time_offset=5.0)
    sorted_units = units(tmp_path, *(train + 5.0 for train in trains))
    output, heard = run_pipeline("lfp.phase", tmp_path / "run", source, sorted_units, shifts=300)
    assert output.metrics["channel"].value == 1
    assert output.metrics["units"].value == 7
    assert output.metrics["locked"].value == 3
    assert abs(output.metrics["phase"].value) == pytest.approx(180, abs=10)
    rows = rows_of(tmp_path / "run" / "units.csv")
    assert [float(row["p"]) < 0.01 for row in rows] == [True] * 3 + [False] * 4
    assert all(abs(abs(float(row["phase_deg"])) - 180) < 10 for row in rows[:3])
    assert any("fewer than 50 spikes" in line for line in heard.log)
    assert heard.progress == sorted(heard.progress)
    drawn(output)
    (tmp_path / "late").mkdir()
    apart = units(tmp_path / "late", *(train + 9000 for train in trains))
    with pytest.raises(PipelineError, match=r"No spike lies within the 240\.0 s of the LFP"):
        run_pipeline("lfp.phase", tmp_path / "b", source, apart)
    with pytest.raises(PipelineError, match="too short to shift spikes by at least 130 s"):
        run_pipeline("lfp.phase", tmp_path / "c", source, sorted_units, shortest_shift=130)
    with pytest.raises(PipelineError, match="no channel 2"):
        run_pipeline("lfp.phase", tmp_path / "d", source, sorted_units, channel=2)


def test_ripples_of_a_running_animal_are_not_looked_at(tmp_path):
    voltage, middles, _ = with_ripples(6)
    source = lfp(tmp_path, voltage, np.zeros_like(voltage), time_offset=100.0)
    everything, _ = run_pipeline("lfp.ripples", tmp_path / "a", source)
    assert everything.metrics["channel"].value == 0
    assert everything.metrics["ripples"].value == pytest.approx(middles.size, rel=0.05)
    assert everything.metrics["frequency"].value == pytest.approx(185, abs=6)
    drawn(everything)
    peaks = np.array([float(row["peak_s"]) for row in rows_of(tmp_path / "a" / "ripples.csv")])
    assert np.median(np.abs(peaks[:, None] - 100 - middles[None, :]).min(axis=1)) < 0.01
    # It runs at 20 cm/s in the second half.
    time = 100 + np.arange(0, SECONDS, 0.04)
    x = np.maximum(0, time - 220) * 20
    np.savez(tmp_path / "position.npz", time=time, x=x, y=np.zeros_like(x), unit="cm")
    tracked = recording("position", "position-npz", tmp_path / "position.npz")
    resting, _ = run_pipeline("lfp.ripples", tmp_path / "b", source, tracked)
    expected = np.count_nonzero(middles < 120)
    assert resting.metrics["ripples"].value == pytest.approx(expected, abs=3)
    assert resting.metrics["looked_at"].value == pytest.approx(120, abs=1)
    assert resting.metrics["rate"].value == pytest.approx(expected / 2, rel=0.06)
    drawn(resting)
    np.savez(tmp_path / "position.npz", time=time + 9000, x=x, y=x, unit="cm")
    with pytest.raises(PipelineError, match="never slower than 4 cm/s while there is LFP"):
        run_pipeline("lfp.ripples", tmp_path / "c", source, tracked)
    with pytest.raises(PipelineError, match="not faithful up to 250 Hz"):
        run_pipeline("lfp.ripples", tmp_path / "d", lfp(tmp_path, voltage[::3], rate=RATE / 3), low=100, high=250)
    nothing, _ = run_pipeline("lfp.ripples", tmp_path / "e", lfp(tmp_path, background(7)), threshold=40)
    assert nothing.metrics["ripples"].value == 0
    assert nothing.metrics["frequency"].value is None
