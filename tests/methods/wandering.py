"""A simulated animal that wanders in an oval arena, with place cells whose rates are known everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

WIDTH, HEIGHT = 100.0, 70.0
SIGMA = 12.0


@dataclass(frozen=True)
class Wander:
    """``xy`` (cm) ``(n, 2)`` at ``time`` (s) from the lower left of the oval's box; spikes by time and unit.

    ``centres`` (cm) ``(units, 2)`` and ``peaks`` (Hz) ``(units,)`` are those of the fields.
    """

    time: np.ndarray
    xy: np.ndarray
    spike_times: np.ndarray
    spike_units: np.ndarray
    centres: np.ndarray
    peaks: np.ndarray
    baseline: float

    def rates(self, xy: np.ndarray) -> np.ndarray:
        """Return the true rates (Hz) ``(n, units)`` at places (cm) ``(n, 2)``."""
        square = ((xy[:, None] - self.centres) ** 2).sum(axis=2)
        return self.baseline + self.peaks * np.exp(-0.5 * square / SIGMA**2)


def _inside(xy: np.ndarray) -> np.ndarray:
    return (((xy - (WIDTH / 2, HEIGHT / 2)) / (WIDTH / 2, HEIGHT / 2)) ** 2).sum(axis=-1) <= 1


@cache
def wander(*, duration: float = 600.0, units: int = 60, peak: float = 12.0, seed: int = 0) -> Wander:
    """Run at about 15 cm/s with turns and some rests, for ``duration`` (s); Poisson spikes of Gaussian fields."""
    rng = np.random.default_rng(seed)
    rate = 30.0
    time = np.arange(0, duration, 1 / rate)
    xy = np.empty((time.size, 2))
    at, heading, speed, rests = np.array([WIDTH / 2, HEIGHT / 2]), 0.0, 15.0, 0.0
    for number in range(time.size):
        xy[number] = at
        if rests > 0:
            rests -= 1 / rate
            continue
        if rng.random() < 0.05 / rate:
            rests = rng.uniform(1, 4)
        heading += rng.normal(0, 1.2 / np.sqrt(rate))
        speed = np.clip(speed + rng.normal(0, 10 / np.sqrt(rate)) + (15 - speed) / rate, 6, 35)
        ahead = at + speed / rate * np.array([np.cos(heading), np.sin(heading)])
        if _inside(ahead):
            at = ahead
        else:
            heading = rng.uniform(0, 2 * np.pi)
    centres = rng.uniform(0, 1, (40 * units, 2)) * (WIDTH, HEIGHT)
    centres = centres[_inside(centres)][:units]
    peaks = peak * rng.uniform(0.5, 1.5, units)
    made = Wander(time, xy, np.zeros(0), np.zeros(0), centres, peaks, 0.2)
    sample, unit = np.nonzero(rng.random((time.size, units)) < made.rates(xy) / rate)
    times = time[sample] + rng.uniform(0, 1 / rate, sample.size)
    return Wander(time, xy, times, unit, centres, peaks, 0.2)
