"""Tracked positions are cleaned with every change counted, and never bridged across a long gap."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.methods import position
from analysis.methods.errors import InvalidDataError


def straight(n=200):
    return np.arange(n) / 50, np.stack([100 + np.linspace(0, 100, n), 50 + np.linspace(0, 5, n)], axis=1)


def test_repeated_and_backward_stamps_zeros_and_teleports_are_taken_out_and_counted():
    time, xy = straight()
    time[10] = time[9]
    time[50] = time[40] - 0.001
    xy[70] = 0
    xy[90] = [500, 400]
    clean = position.clean_position(time, xy)
    assert (clean.duplicates, clean.backward, clean.zeros, clean.teleports) == (1, 1, 1, 1)
    assert np.all(np.diff(clean.time) > 0)
    assert clean.time.size == 198
    assert np.count_nonzero(np.isnan(clean.xy[:, 0])) == 2


def test_after_a_leap_of_the_clock_backward_samples_are_dropped_until_it_is_caught_up():
    time, xy = straight()
    time[100] = 3.0
    clean = position.clean_position(time, xy)
    assert np.all(np.diff(clean.time) > 0)
    assert clean.backward + clean.duplicates == np.count_nonzero(time[101:] <= 3.0)


def test_the_track_is_the_direction_that_varies_most():
    _, xy = straight()
    along = position.linearise(xy)
    assert along.percent[0] == pytest.approx(0)
    assert along.percent[-1] == pytest.approx(100)
    assert along.length == pytest.approx(np.hypot(100, 5))
    assert along.variance == pytest.approx(1)


def test_an_animal_at_one_point_has_no_track():
    with pytest.raises(InvalidDataError, match="stays at one point"):
        position.linearise(np.ones((10, 2)))


def test_speed_is_in_units_a_second_and_gaps_stay_open():
    time = np.arange(0, 20, 0.02)
    value = 5 * time
    value[(time > 8) & (time < 10)] = np.nan
    edges = np.arange(0, 20, 0.25)
    binned = position.bin_position(time, value, edges, smoothing=0.1, longest_gap=0.5)
    open_bins = (edges[1:] > 8.1) & (edges[:-1] < 9.9)
    assert np.isnan(binned.position[open_bins]).all()
    assert np.isnan(binned.speed[open_bins]).all()
    middle = np.isfinite(binned.speed) & (edges[1:] < 7.5) & (edges[:-1] > 0.5)
    assert binned.speed[middle] == pytest.approx(5, rel=1e-6)


def test_bins_outside_the_positions_have_none():
    binned = position.bin_position(np.array([1.0, 1.2, 1.4, 1.6]), np.arange(4.0), np.array([0, 0.5, 1.1, 1.5, 3]))
    assert np.isnan(binned.position).tolist() == [True, True, False, True]


@pytest.mark.parametrize("xy", [np.zeros((10, 2)), np.full((10, 2), np.nan)])
def test_no_usable_position_is_said(xy):
    with pytest.raises(InvalidDataError, match="Fewer than two usable"):
        position.clean_position(np.arange(10.0), xy)
