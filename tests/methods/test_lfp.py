"""Decimation and spectra keep phase and power, and call a rhythm only what stands above the slope."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.methods import lfp, spectral
from analysis.methods.errors import InvalidDataError


def decimated(signal, factor, **options):
    table = signal[:, None] if signal.ndim == 1 else signal
    pieces = lfp.decimate(lambda a, b: table[a:b], len(table), table.shape[1], factor, **options)
    return np.concatenate(list(pieces))


def test_pieces_join_without_a_seam():
    signal = np.random.default_rng(0).normal(size=(60_000, 3)).astype(np.float32)
    whole = decimated(signal, 24, chunk=10**9)
    pieces = decimated(signal, 24, chunk=3_000)
    assert whole.shape == pieces.shape == (2500, 3)
    assert np.abs(whole - pieces).max() < 1e-5


def test_a_slow_wave_keeps_phase_and_height():
    time = np.arange(300_000) / 30_000
    made = decimated(np.sin(2 * np.pi * 8 * time).astype(np.float32), 24)[:, 0]
    wanted = np.sin(2 * np.pi * 8 * np.arange(made.size) / 1250)
    # The filter holds the edge value beyond the ends, so half a filter on both sides is not compared.
    assert np.abs(made - wanted)[20:-20].max() < 1e-3


@pytest.mark.parametrize("frequency", [760, 1242, 1258, 5000, 14_000])
def test_what_would_fold_back_is_gone(frequency):
    time = np.arange(150_000) / 30_000
    made = decimated(np.sin(2 * np.pi * frequency * time).astype(np.float32), 24)[20:-20]
    assert np.abs(made).max() < 2e-4


def test_rates_become_the_nearest_whole_division():
    assert lfp.decimation_factor(30_000, 1250) == 24
    assert lfp.decimation_factor(1250, 1000) == 1
    assert lfp.decimation_factor(2000, 1250) == 2
    assert lfp.decimation_factor(500, 1250) == 1


def test_memory_stays_small_whatever_the_length():
    asked = []

    def read(start, stop):
        asked.append(stop - start)
        return np.zeros((stop - start, 4), np.float32)

    for _ in lfp.decimate(read, 3_000_000, 4, 24, chunk=60_000):
        pass
    assert max(asked) < 70_000


def test_a_file_that_ends_early_is_told():
    def read(start, stop):
        return np.zeros((max(0, min(stop, 50_000) - start), 2), np.float32)

    with pytest.raises(InvalidDataError, match="ended early"):
        list(lfp.decimate(read, 100_000, 2, 24, chunk=20_000))


def noise(n, exponent, rate, seed=0):
    """Gaussian noise with power falling as 1/f^exponent."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.normal(size=n))
    frequency = np.fft.rfftfreq(n, 1 / rate)
    spectrum[1:] /= frequency[1:] ** (exponent / 2)
    spectrum[0] = 0
    return np.fft.irfft(spectrum, n)


def rhythm_of(signal, rate=1250, band=(6, 10)):
    density = spectral.power_spectrum(signal, rate, window=4, highest=200)
    return spectral.find_rhythm(density.power[0], density.frequency, band=band, minimum_height=3)


def test_power_is_the_variance():
    signal = np.random.default_rng(0).normal(2.0, 3.0, 125_000)
    density = spectral.power_spectrum(signal, 1250, window=2, highest=625)
    assert np.trapezoid(density.power[0], density.frequency) == pytest.approx(9, rel=0.02)


@pytest.mark.parametrize("frequency", [6.6, 7.3, 8.0, 9.2])
def test_a_rhythm_on_a_steep_slope_is_found_where_it_is(frequency):
    n, rate = 1250 * 120, 1250
    slope = noise(n, 2.0, rate)
    wave = np.sin(2 * np.pi * frequency * np.arange(n) / rate)
    found = rhythm_of(slope / slope.std() + 0.5 * wave)
    assert found.frequency == pytest.approx(frequency, abs=0.1)
    assert found.height > 6
    assert found.exponent == pytest.approx(2, abs=0.35)


@pytest.mark.parametrize("seed", range(8))
def test_a_slope_alone_is_no_rhythm(seed):
    """The largest power in the band is at its lower edge, yet nothing is called a peak."""
    found = rhythm_of(noise(1250 * 300, 2.0, 1250, seed))
    assert found.raw < 7
    assert found.frequency is None
    assert found.height is None


def test_a_dead_channel_is_told_and_short_signals_are_refused():
    with pytest.raises(InvalidDataError, match="dead or constant"):
        rhythm_of(np.zeros(12_500))
    with pytest.raises(InvalidDataError, match="less than one window"):
        spectral.spectrogram(np.zeros(100), 1250, window=2, step=0.5, highest=100)


def test_a_spectrogram_says_when():
    rate = 1250
    time = np.arange(rate * 40) / rate
    signal = np.where(time < 20, np.sin(2 * np.pi * 8 * time), np.sin(2 * np.pi * 30 * time))
    made = spectral.spectrogram(signal, rate, window=2, step=0.5, highest=100)
    strongest = made.frequency[made.power.argmax(axis=1)]
    assert np.all(strongest[made.time < 18.9] == 8)
    assert np.all(strongest[made.time > 21.1] == 30)
    assert made.time[0] == pytest.approx(1.0)
