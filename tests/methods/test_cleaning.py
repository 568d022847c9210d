"""Stretches made fit to look at: slow waves and what all channels share go, spikes stay."""

import numpy as np
import pytest

from analysis.methods import cleaning
from analysis.methods.errors import InvalidDataError

RATE = 30_000.0


def _wave(frequency: float, seconds: float = 0.2) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * RATE)) / RATE)


@pytest.mark.parametrize(("frequency", "left"), [(8.0, 0.0), (100.0, 0.0014), (300.0, 0.5), (3000.0, 1.0)])
def test_what_is_left_of_a_wave_is_that_of_a_butterworth_filter_there_and_back(frequency, left):
    wave = _wave(frequency)
    inner = slice(cleaning.margin(RATE), -cleaning.margin(RATE))
    made = cleaning.high_passed(500 * wave[:, None] + 30_000, RATE)[inner, 0]
    # Forward and backward: the square of 1 / sqrt(1 + (edge / f)^6), without a shift in time.
    expected = 500 * left
    assert np.dot(made, wave[inner]) / np.dot(wave[inner], wave[inner]) == pytest.approx(expected, abs=1.5)


def test_a_stretch_with_its_margins_is_filtered_as_the_whole_is():
    voltage = np.random.default_rng(3).normal(0, 100, (9000, 3)) + 4000
    further = cleaning.margin(RATE)
    whole = cleaning.high_passed(voltage, RATE)[4000:5000]
    cut = cleaning.high_passed(voltage[4000 - further : 5000 + further], RATE)[further:-further]
    assert np.abs(whole - cut).max() < 0.1


def test_a_common_wave_goes_and_a_spike_of_one_channel_stays():
    rng = np.random.default_rng(2)
    voltage = rng.normal(0, 1, (600, 16)) + 300 * _wave(50, 0.02)[:, None]
    voltage[200, 5] -= 120
    made = cleaning.referenced(voltage, voltage[:, rng.permutation(16)[:12]])
    assert made.std() < 4
    assert made[200, 5] == pytest.approx(-120, abs=5)


def test_what_cannot_be_is_said():
    with pytest.raises(InvalidDataError, match="8 good channels or more, and there are 4"):
        cleaning.referenced(np.zeros((5, 4)), np.zeros((5, 4)))
    with pytest.raises(InvalidDataError, match="1250 Hz"):
        cleaning.high_passed(np.zeros((50, 4)), 1250.0)
    with pytest.raises(InvalidDataError, match="not finite"):
        cleaning.high_passed(np.full((50, 4), np.nan), RATE)
