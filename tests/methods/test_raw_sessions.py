"""The simulated raw session: its voltage holds what its truth says, and nothing depends on how it is made."""

from __future__ import annotations

import json

import numpy as np
import pytest

from analysis.methods import channels
from analysis.methods.errors import InvalidDataError
from analysis.methods.raw_sessions import RawTruth, simulate_raw_session
from analysis.readers import open_signal, read_position, read_spikes
from labsite.demo.rawsession import write_raw_session
from tests.methods.running import recording

RATE = 30_000


@pytest.fixture(scope="module")
def session():
    return simulate_raw_session(RawTruth(seconds=20), seed=4)


def test_cells_fire_in_their_fields_and_in_their_direction():
    session = simulate_raw_session(RawTruth(seconds=300), seed=4)
    place = np.interp(session.spike_times, session.time, session.path)
    velocity = np.gradient(session.path, session.time)
    running = np.abs(velocity) > 5
    edges = np.linspace(0, session.truth.track, 41)
    for cell in range(session.truth.cells):
        mine = session.spike_units == cell
        rates = {}
        for way in (1, -1):
            here = running & (np.sign(velocity) == way)
            moving = np.interp(session.spike_times[mine], session.time, here.astype(float)) > 0.5
            spikes = np.histogram(place[mine][moving], edges)[0]
            rates[way] = spikes / (np.histogram(session.path[here], edges)[0] / 50)
        way = session.direction[cell] or 1
        peak = edges[np.argmax(rates[way])] + 2.5
        assert abs(peak - session.centre[cell]) < session.sigma[cell]
        assert rates[way].max() == pytest.approx(session.peak[cell], rel=0.5)
        if session.direction[cell]:
            assert rates[-way].max() < 0.4 * rates[way].max()


def test_each_spike_is_in_the_voltage_as_its_cell_s_template(session):
    voltage = session.voltage(0, 20 * RATE) * session.truth.gain
    at = np.rint(session.spike_times * RATE).astype(int) - session.spike_at
    length = session.templates.shape[1]
    for cell in (0, 9, 19):
        own = at[(session.spike_units == cell) & (at + length < len(voltage))]
        pieces = np.stack([voltage[start : start + length] for start in own])
        # Theta and noise are slower than a spike or average out.
        mean = (pieces - pieces[:, :10].mean(axis=1, keepdims=True)).mean(axis=0)
        channel = np.unravel_index(np.argmin(session.templates[cell]), (length, 16))[1]
        found, true = mean[:, channel], session.templates[cell][:, channel]
        assert np.corrcoef(found, true)[0, 1] > 0.95
        assert found.min() == pytest.approx(true.min(), rel=0.15)


def test_no_cell_fires_within_its_refractory_time(session):
    for cell in range(session.truth.cells):
        assert np.diff(session.spike_times[session.spike_units == cell]).min() >= 0.002


def test_the_field_potential_has_theta_and_all_channels_are_good(session):
    quality = channels.assess(
        lambda first, last: (session.voltage(first, last) * session.truth.gain).astype(np.float32),
        session.n_samples, session.truth.channels, session.truth.rate, positions=session.contacts,
    )  # fmt: skip
    assert quality.good.all()
    slow = session.voltage(0, 20 * RATE)[:, -1].reshape(-1, 30).mean(axis=1)
    power = np.abs(np.fft.rfft(slow - slow.mean())) ** 2
    frequency = np.fft.rfftfreq(slow.size, 1 / 1000)
    band = (frequency > 4) & (frequency < 30)
    assert 7 < frequency[band][np.argmax(power[band])] < 9


def test_pieces_change_no_sample_and_a_seed_gives_one_session(session):
    whole = session.voltage(RATE - 700, 2 * RATE + 900)
    pieces = [
        session.voltage(first, min(first + 999, 2 * RATE + 900)) for first in range(RATE - 700, 2 * RATE + 900, 999)
    ]
    assert np.array_equal(np.concatenate(pieces), whole)
    again = simulate_raw_session(session.truth, seed=4)
    assert np.array_equal(again.voltage(RATE - 700, 2 * RATE + 900), whole)
    assert np.array_equal(again.spike_times, session.spike_times)
    other = simulate_raw_session(session.truth, seed=5)
    assert not np.array_equal(other.spike_times, session.spike_times)
    assert session.voltage(session.n_samples - 5, session.n_samples + 5).shape == (5, 16)
    assert session.voltage(session.n_samples, session.n_samples + 5).shape == (0, 16)


def test_the_files_are_read_as_the_session_that_they_hold(tmp_path):
    session = simulate_raw_session(RawTruth(seconds=12), seed=4)
    files = write_raw_session(session, tmp_path / "raw")
    told = json.loads(files.voltage.with_suffix(".json").read_text())
    signal = open_signal(recording("ephys", "raw-binary", files.voltage, **told))
    assert (signal.n_samples, signal.n_channels, signal.rate) == (12 * RATE, 16, RATE)
    assert told["positions"][1] == [0.0, 25.0]
    assert np.allclose(signal.read(29_990, 30_010), session.voltage(29_990, 30_010) * session.truth.gain)
    spikes = read_spikes(recording("units", "units-npz", files.units))
    assert np.allclose(spikes.times, session.spike_times)
    assert spikes.labels[0] == f"cell {session.spike_units.min() + 1}"
    tracked = read_position(recording("position", "csv", files.position))
    assert tracked.unit == "cm"
    assert np.abs(tracked.xy - session.xy).max() < 0.001
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == [
        "position.csv", "probe-raw.bin", "probe-raw.json", "true-units.npz",
    ]  # fmt: skip


@pytest.mark.parametrize("wrong", [{"seconds": 5}, {"cells": 0}, {"channels": 0}])
def test_what_cannot_be_simulated_is_refused(wrong):
    with pytest.raises(InvalidDataError, match="at least 10 s, one place cell"):
        simulate_raw_session(RawTruth(**wrong), seed=1)
