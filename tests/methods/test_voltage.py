"""Raw voltage with known spikes and planted faults: spikes are hit, LFP is that of one shot, faults are found."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.signal import butter, resample_poly, sosfiltfilt

from analysis.methods import channels, lfp, spike_band, voltage
from analysis.methods.errors import InvalidDataError

RATE = 30_000.0
FAULTS = {3: "dead", 9: "constant", 17: "noisy", 22: "white"}


@dataclass(frozen=True)
class Truth:
    """Voltage (uV) ``(samples, channels)`` with the spikes that are in it."""

    signal: np.ndarray
    positions: np.ndarray
    spike_samples: np.ndarray
    spike_channels: np.ndarray
    spike_units: np.ndarray

    def read(self, start, stop):
        return self.signal[start:stop]

    @property
    def shape(self) -> tuple[int, int]:
        return self.signal.shape


def simulate(n_channels: int, seconds: float, units: int) -> Truth:
    """Add to SpikeInterface's ground truth what it lacks: low frequencies that neighbouring channels share."""
    from spikeinterface.core import generate_ground_truth_recording

    recording, sorting = generate_ground_truth_recording(
        durations=[seconds], sampling_frequency=RATE, num_channels=n_channels, num_units=units, seed=0
    )
    signal = recording.get_traces().astype(np.float32)
    positions = recording.get_channel_locations()
    rng = np.random.default_rng(1)
    depth = positions[:, 1] / 400
    time = np.arange(len(signal)) / RATE
    slow = np.repeat(rng.normal(size=(int(seconds * 50) + 2, 1)), 600, axis=0)[: len(signal), 0]
    signal += (60 * np.sin(2 * np.pi * 8 * time)[:, None] * np.cos(depth)).astype(np.float32)
    signal += (20 * sosfiltfilt(butter(2, 40, fs=RATE, output="sos"), slow)[:, None] * np.cos(depth / 2)).astype("f4")
    spikes = sorting.to_spike_vector()
    extremes = sorting.get_property("max_channel_index")
    if extremes is None:
        places = np.array([p[:2] for p in sorting.get_property("gt_unit_locations")])
        extremes = np.array([np.hypot(*(positions - place).T).argmin() for place in places])
    return Truth(
        signal, positions, spikes["sample_index"], np.asarray(extremes)[spikes["unit_index"]], spikes["unit_index"]
    )


@pytest.fixture(scope="module")
def truth() -> Truth:
    return simulate(32, 12.0, 10)


def planted(truth: Truth, faults=None) -> np.ndarray:
    signal = truth.signal.copy()
    rng = np.random.default_rng(2)
    for channel, fault in (faults or FAULTS).items():
        column = signal[:, channel]
        noise = rng.normal(size=len(column))
        if fault == "dead":
            column[:] = 0
        elif fault == "constant":
            column[:] = 37.5
        elif fault == "noisy":
            # Eight times the noise, on top of the voltage that is there.
            column += np.sqrt(63) * 5 * noise
        elif fault == "white":
            # As large altogether as the voltage was, so that its size does not give it away.
            column[:] = noise * min(column.std(), 15)
    return signal


def assess(signal: np.ndarray, positions) -> channels.ChannelQuality:
    return channels.assess(lambda a, b: signal[a:b], *signal.shape, RATE, positions=positions)


def found_peaks(truth: Truth, **options) -> spike_band.Peaks:
    band = spike_band.band_pass(RATE, 300, 6000)
    good = np.ones(truth.shape[1], bool)
    noise = voltage.measure_noise(truth.read, *truth.shape, RATE, band=band, good=good)
    how = voltage.detection(noise, good, RATE, band, positions=truth.positions)
    return voltage.joined([c.peaks for c in voltage.scan(truth.read, *truth.shape, RATE, peaks=how, **options)])


def hits(truth: Truth, peaks: spike_band.Peaks, radius: float) -> np.ndarray:
    """Return of every true spike whether a peak lies within 0.5 ms and within ``radius`` (um) of its unit's channel."""
    hit = np.zeros(len(truth.spike_samples), bool)
    for number, (sample, channel) in enumerate(zip(truth.spike_samples, truth.spike_channels, strict=True)):
        low, high = np.searchsorted(peaks.samples, [sample - 15, sample + 16])
        near = truth.positions[peaks.channels[low:high]] - truth.positions[channel]
        hit[number] = (np.hypot(*near.T) <= radius).any()
    return hit


def visible(truth: Truth) -> np.ndarray:
    """Return of every true spike whether its unit's mean trough is 7.5 times the noise or deeper.

    Some simulated units lie so far off that their spikes are smaller than any threshold that noise does not cross.
    """
    band = spike_band.band_pass(RATE, 300, 6000)
    voltage_of_all = spike_band.filtered(truth.signal, band, np.ones(truth.shape[1], bool))
    noise = spike_band.noise_of(voltage_of_all)
    seen = np.zeros(len(truth.spike_samples), bool)
    inside = (truth.spike_samples > 30) & (truth.spike_samples < len(truth.signal) - 30)
    for unit in np.unique(truth.spike_units):
        mine = truth.spike_units == unit
        at = truth.spike_samples[mine & inside]
        mean = voltage_of_all[at[:, None] + np.arange(-15, 16)].mean(axis=0)
        seen[mine] = (-mean.min(axis=0) / noise).max() >= 7.5
    return seen


def peaks_of_spikeinterface(truth: Truth) -> spike_band.Peaks:
    """Return what SpikeInterface finds with the same band, reference, threshold and neighbourhood."""
    import spikeinterface.full as si
    from probeinterface import Probe
    from spikeinterface.sortingcomponents.peak_detection import detect_peaks

    probe = Probe(ndim=2, si_units="um")
    probe.set_contacts(truth.positions, shapes="circle", shape_params={"radius": 5})
    probe.set_device_channel_indices(np.arange(truth.shape[1]))
    recording = si.NumpyRecording([truth.signal], RATE)
    recording = recording.set_probe(probe) or recording
    filtered = si.bandpass_filter(recording, freq_min=300, freq_max=6000, dtype="float32")
    found = detect_peaks(
        si.common_reference(filtered),
        method="locally_exclusive",
        method_kwargs={"peak_sign": "neg", "detect_threshold": 5.0, "exclude_sweep_ms": 0.1, "radius_um": 50.0},
        job_kwargs={"n_jobs": 1, "progress_bar": False},
    )
    return spike_band.Peaks(found["sample_index"], found["channel_index"], found["amplitude"])


def rms_away(made, wanted, edge) -> float:
    return float(np.sqrt(np.mean((made - wanted)[edge:-edge] ** 2) / np.mean(wanted[edge:-edge] ** 2)))


def test_true_spikes_are_hit(truth):
    peaks = found_peaks(truth)
    seen = visible(truth)
    assert np.count_nonzero(seen) > 500
    assert hits(truth, peaks, 100.0)[seen].mean() >= 0.99
    # Hitting everything by calling everything a peak would be easy.
    assert len(peaks.samples) < 2 * len(truth.spike_samples)
    assert (np.diff(peaks.samples) >= 0).all()


@pytest.mark.parametrize(("chunk", "workers"), [(0.5, 2), (3.0, 4), (20.0, 3)])
def test_results_do_not_depend_on_chunks_or_workers(truth, chunk, workers):
    band = spike_band.band_pass(RATE, 300, 6000)
    good = np.arange(32) != 5
    noise = voltage.measure_noise(truth.read, *truth.shape, RATE, band=band, good=good)
    how = voltage.detection(noise, good, RATE, band, positions=truth.positions)

    def run(**options):
        made = list(voltage.scan(truth.read, *truth.shape, RATE, decimator=lfp.Decimator(30), peaks=how, **options))
        return np.concatenate([c.lfp for c in made]), voltage.joined([c.peaks for c in made])

    one_lfp, one_peaks = run(chunk=1.0, workers=1)
    low, peaks = run(chunk=chunk, workers=workers)
    assert np.array_equal(low, one_lfp)
    assert len(peaks.samples) > 100
    assert np.array_equal(peaks.samples, one_peaks.samples)
    assert np.array_equal(peaks.channels, one_peaks.channels)
    assert np.array_equal(peaks.amplitudes, one_peaks.amplitudes)
    assert 5 not in peaks.channels


@pytest.mark.parametrize(("chunk", "workers"), [(0.5, 1), (2.0, 2), (20.0, 4)])
def test_lfp_is_that_of_one_shot(truth, chunk, workers):
    decimator = lfp.Decimator(30)
    made = np.concatenate(
        [c.lfp for c in voltage.scan(truth.read, *truth.shape, RATE, decimator=decimator, chunk=chunk, workers=workers)]
    )
    wanted = resample_poly(truth.signal.astype(float), 1, 30, axis=0, window=lfp.low_pass(30).astype(float))
    assert rms_away(made, wanted, 50) < 1e-3


def test_the_spike_band_is_that_of_one_shot(truth):
    band = spike_band.band_pass(RATE, 300, 6000)
    good = np.arange(32) != 7
    start, stop = 60_000, 90_000
    piece = truth.signal[start - band.margin : stop + band.margin]
    made = spike_band.filtered(piece, band, good)[band.margin : -band.margin]
    sections = butter(3, (300, 6000), btype="bandpass", fs=RATE, output="sos")
    wanted = sosfiltfilt(sections, truth.signal.astype(float), axis=0)[start:stop]
    wanted -= np.median(wanted[:, good], axis=1)[:, None]
    assert rms_away(made[:, good], wanted[:, good], 1) < 1e-3
    assert not made[:, 7].any()


@pytest.mark.parametrize("n", [1, 2, 3, 31, 384])
def test_the_fast_median_is_the_median(n):
    rng = np.random.default_rng(n)
    for table in (
        rng.normal(size=(300, n)),
        rng.integers(-2, 3, (300, n)),
        rng.normal(size=(300, n)) ** 5 * 1e4 + 1e3,
        np.zeros((3, n)),
        np.where(rng.random((300, n)) < 0.4, 1e6, rng.normal(size=(300, n))),
    ):
        rows = table.astype(np.float32)
        assert np.array_equal(spike_band.median_of_rows(rows), np.median(rows, axis=1))


def test_planted_faults_are_found_and_no_good_channel_is_lost(truth):
    quality = assess(planted(truth), truth.positions)
    assert {n: label for n, label in enumerate(quality.labels) if label != "good"} == FAULTS
    assert quality.noise[0] == pytest.approx(5, rel=0.4)


def test_a_sound_probe_loses_nothing(truth):
    assert set(assess(truth.signal, truth.positions).labels) == {"good"}
    assert set(assess(truth.signal, None).labels) == {"good"}


def test_channels_that_share_nothing_are_not_called_white():
    noise = np.random.default_rng(0).normal(0, 5, (90_000, 16)).astype(np.float32)
    assert set(assess(noise, None).labels) == {"good"}


def test_saturation_and_the_bath_are_told(truth):
    signal = truth.signal.copy()
    signal[:, 4] = np.clip(signal[:, 4] * 4, -120, 120)
    surface = np.argsort(-truth.positions[:, 1], kind="stable")[:6]
    signal[:, surface] = np.random.default_rng(5).normal(0, 5, (len(signal), 6))
    labels = assess(signal, truth.positions).labels
    assert labels[4] == "saturated"
    assert {labels[channel] for channel in surface} == {"outside"}
    assert [label for n, label in enumerate(labels) if n != 4 and n not in surface] == ["good"] * 25


def test_what_cannot_be_used_is_told(truth):
    with pytest.raises(InvalidDataError, match="does not fit a recording at 1250 Hz"):
        spike_band.band_pass(1250, 300, 6000)
    band = spike_band.band_pass(RATE, 300, 6000)
    with pytest.raises(InvalidDataError, match="No channel is good"):
        voltage.detection(np.ones(3, np.float32), np.zeros(3, bool), RATE, band)
    broken = truth.signal[:30_000].copy()
    broken[400, 6] = np.nan
    with pytest.raises(InvalidDataError, match="Channel 6 has values that are not finite"):
        spike_band.filtered(broken, band, np.ones(32, bool))
    with pytest.raises(InvalidDataError, match="Channel 6 has values that are not finite"):
        assess(broken, None)
    with pytest.raises(InvalidDataError, match="ended early"):
        list(voltage.scan(truth.read, truth.shape[0] + 50_000, 32, RATE, decimator=lfp.Decimator(30), workers=2))


@pytest.mark.long
def test_384_channels_are_no_different():
    large = simulate(384, 10.0, 100)
    peaks = found_peaks(large, workers=2)
    seen = visible(large)
    assert seen.mean() > 0.5
    assert hits(large, peaks, 100.0)[seen].mean() >= 0.99
    theirs = peaks_of_spikeinterface(large)
    ours = hits(large, peaks, 100.0).mean()
    assert ours >= hits(large, theirs, 100.0).mean() - 0.005
    assert len(peaks.samples) < 1.1 * len(theirs.samples)
    quality = assess(planted(large), large.positions)
    assert {n: label for n, label in enumerate(quality.labels) if label != "good"} == FAULTS


def test_a_pass_uses_every_core_unless_it_is_told_otherwise(monkeypatch):
    """A worker's slots share OpenMP, which spins; threads that sleep need not be so few."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("LAB_THREADS", raising=False)
    assert voltage.threads() == len(os.sched_getaffinity(0))
    monkeypatch.setenv("LAB_THREADS", "3")
    assert voltage.threads() == 3
