"""Simulated animals with known truth, for the methods."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from analysis.pipelines.base import InputRecording
from tests.methods.running import recording


@dataclass(frozen=True)
class Laps:
    """An animal that runs to and fro on a track, and place cells that fire where it is."""

    time: np.ndarray
    percent: np.ndarray
    spike_times: np.ndarray
    spike_units: np.ndarray
    duration: float


def run_laps(*, duration: float = 600.0, units: int = 40, peak: float = 15.0, seed: int = 0) -> Laps:
    """Simulate laps of about 20 s with rests at both ends; Poisson spikes from Gaussian fields 8 % wide (sigma)."""
    rng = np.random.default_rng(seed)
    rate = 60.0
    time = np.arange(0, duration, 1 / rate)
    corners, places, now, end = [0.0], [0.0], 0.0, 100.0
    while now < duration:
        rest, lap = rng.uniform(1, 5), rng.uniform(4, 8)
        corners += [now + rest, now + rest + lap]
        places += [places[-1], end]
        now, end = now + rest + lap, 100.0 - end
    percent = np.clip(np.interp(time, corners, places) + rng.normal(0, 0.05, time.size), 0, 100)
    centres = np.linspace(2, 98, units)
    rates = 0.2 + peak * np.exp(-0.5 * ((percent[:, None] - centres) / 8) ** 2)
    spikes = rng.random(rates.shape) < rates / rate
    sample, unit = np.nonzero(spikes)
    return Laps(time, percent, time[sample] + rng.uniform(0, 1 / rate, sample.size), unit, duration)


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Compute as workers do: small products on several threads spend their time waiting for each other."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session")
def laps() -> Laps:
    return run_laps()


@pytest.fixture
def track(tmp_path: Path, laps: Laps) -> tuple[InputRecording, InputRecording]:
    """Files of the simulated animal, positions in cm on a track of 150 cm."""
    np.savez(tmp_path / "units.npz", spike_times=laps.spike_times, spike_units=laps.spike_units)
    np.savez(tmp_path / "position.npz", time=laps.time, x=laps.percent * 1.5, y=np.full(laps.time.size, 3.0), unit="cm")
    return (
        recording("units", "units-npz", tmp_path / "units.npz"),
        recording("position", "position-npz", tmp_path / "position.npz"),
    )
