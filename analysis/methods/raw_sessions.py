"""Simulated raw sessions whose truth is known: an animal that runs laps, and its place cells as voltage on a probe.

What a chain from raw voltage to decoded position is measured against. The voltage is made piece by piece on demand, the
same to the last digit whatever the pieces, so that ten minutes of it need no more memory than a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.methods.errors import InvalidDataError

Floats = NDArray[np.float64]

# The grid on which behaviour, rates and field potentials are made, and on which positions are tracked, Hz.
_GRID_HZ = 1000
POSITION_HZ = 50
_REFRACTORY = 0.002
_BEFORE, _AFTER = 0.001, 0.002
_PRECESSION = 1.5 * np.pi
# Streams of random numbers: one for each purpose, so that one more spike changes no sample of the noise.
_PATH, _CELLS, _SPIKES, _SHAPES, _FIELD, _NOISE = range(6)


@dataclass(frozen=True)
class RawTruth:
    """What is simulated: times in s, lengths in cm, speeds in cm/s, rates in Hz, voltages in uV, ``pitch`` in um.

    Pairs are the ends of what is drawn evenly. ``both_ways`` is the part of the cells that fire in both directions of
    running; the others fire in one. ``gain`` is the voltage of one step of the converter.
    """

    seconds: float = 600.0
    rate: float = 30_000.0
    channels: int = 16
    pitch: float = 25.0
    cells: int = 20
    track: float = 200.0
    speed: tuple[float, float] = (35.0, 60.0)
    rest: tuple[float, float] = (0.5, 2.0)
    peak: tuple[float, float] = (12.0, 25.0)
    sigma: tuple[float, float] = (8.0, 16.0)
    both_ways: float = 0.3
    base: float = 0.1
    trough: tuple[float, float] = (90.0, 220.0)
    noise: float = 7.0
    theta: float = 110.0
    background: float = 75.0
    gain: float = 0.195


@dataclass(frozen=True)
class RawSession:
    """One simulated session.

    ``time`` (s) ``(n,)`` and ``xy`` (cm) ``(n, 2)`` are the tracked positions; ``path`` (cm) ``(n,)`` is the place on
    the track without the tracker's jitter. ``spike_times`` (s) and ``spike_units`` are ``(n_spikes,)`` in order of
    time. Of each cell: ``centre`` and ``sigma`` of its field (cm), ``direction`` (1 towards the far end, -1 back, 0
    both), ``peak`` (Hz), ``templates`` (uV) ``(n_cells, n_samples, n_channels)`` with the spike at ``spike_at``.
    ``contacts`` (um) is ``(n_channels, 2)``; ``theta`` and ``background`` (uV) are on a grid of 1 kHz.
    """

    truth: RawTruth
    seed: int
    time: Floats
    xy: Floats
    path: Floats
    spike_times: Floats
    spike_units: NDArray[np.int64]
    scales: Floats
    centre: Floats
    sigma: Floats
    direction: NDArray[np.int64]
    peak: Floats
    templates: NDArray[np.float32]
    spike_at: int
    contacts: Floats
    theta: Floats
    background: Floats

    @property
    def n_samples(self) -> int:
        """Samples of each channel."""
        return round(self.truth.seconds * self.truth.rate)

    def voltage(self, first: int, last: int) -> NDArray[np.int16]:
        """Return the samples ``first`` to ``last`` ``(last - first, n_channels)`` in steps of the converter."""
        truth = self.truth
        first, last = max(0, first), min(self.n_samples, last)
        if last <= first:
            return np.zeros((0, truth.channels), np.int16)
        traces = self._noise(first, last)
        moments = np.arange(first, last) / truth.rate * _GRID_HZ
        grid = np.arange(self.theta.size)
        depth = np.linspace(0.45, 1.0, truth.channels)
        traces += np.interp(moments, grid, self.theta)[:, None] * depth
        traces += np.interp(moments, grid, self.background)[:, None]
        length = self.templates.shape[1]
        at = np.rint(self.spike_times * truth.rate).astype(np.int64) - self.spike_at
        begin, end = np.searchsorted(at, [first - length + 1, last])
        for start, unit, scale in zip(at[begin:end], self.spike_units[begin:end], self.scales[begin:end], strict=True):
            left, right = max(start, first), min(start + length, last)
            traces[left - first : right - first] += scale * self.templates[unit, left - start : right - start]
        return np.clip(np.rint(traces / truth.gain), -32768, 32767).astype(np.int16)

    def _noise(self, first: int, last: int) -> Floats:
        """White noise, drawn a second at a time: the pieces that are asked for do not change it."""
        block = round(self.truth.rate)
        pieces = []
        for number in range(first // block, (last - 1) // block + 1):
            rng = np.random.default_rng([self.seed, _NOISE, number])
            drawn = rng.standard_normal((block, self.truth.channels), np.float32)
            pieces.append(drawn[max(0, first - number * block) : last - number * block])
        return np.asarray(np.concatenate(pieces) * float(self.truth.noise), float)


def simulate_raw_session(truth: RawTruth, *, seed: int) -> RawSession:
    """Draw a session: laps from end to end with rests, place cells with theta and phase precession, a linear probe.

    Rates follow a Gaussian over the place, in one direction of running or both, fall while the animal rests, and are
    modulated by theta at a phase that advances through the field (O'Keefe and Recce 1993, Hippocampus 3, 317-330).
    Spikes are Poisson with 2 ms of refractoriness. Errors: ``InvalidDataError`` for less than 10 s, no cell or no
    channel.
    """
    if truth.seconds < 10 or truth.cells < 1 or truth.channels < 1:
        raise InvalidDataError("A raw session has at least 10 s, one place cell and one channel.")
    path, speed = _laps(truth, np.random.default_rng([seed, _PATH]))
    phase = 2 * np.pi * np.cumsum(7.5 + 0.018 * np.minimum(np.abs(speed), 60.0)) / _GRID_HZ
    rng = np.random.default_rng([seed, _CELLS])
    # Fields tile the track with some scatter, in an order that has nothing to do with the depth of the cells.
    spread = np.linspace(0.03, 0.97, truth.cells) * truth.track + rng.normal(0, 0.02 * truth.track, truth.cells)
    centre = rng.permutation(np.clip(spread, 0, truth.track))
    sigma, peak = rng.uniform(*truth.sigma, truth.cells), rng.uniform(*truth.peak, truth.cells)
    one_way = rng.permutation(np.where(np.arange(truth.cells) % 2, 1, -1))
    direction = np.where(rng.random(truth.cells) < truth.both_ways, 0, one_way)
    trains = [
        _train(
            _rate(truth, path, speed, phase, field=(centre[cell], sigma[cell], peak[cell], direction[cell])),
            np.random.default_rng([seed, _SPIKES, cell]),
        )
        for cell in range(truth.cells)
    ]
    times, units = np.concatenate(trains), np.repeat(np.arange(truth.cells), [train.size for train in trains])
    whole = (times > _BEFORE) & (times < truth.seconds - _AFTER)
    order = np.argsort(times[whole], kind="stable")
    times, units = times[whole][order], units[whole][order]
    shapes = np.random.default_rng([seed, _SHAPES])
    contacts = np.column_stack([np.zeros(truth.channels), np.arange(truth.channels) * truth.pitch])
    theta, background = _field_potentials(truth, speed, phase, np.random.default_rng([seed, _FIELD]))
    seen = np.arange(0, round(truth.seconds * _GRID_HZ) + 1, _GRID_HZ // POSITION_HZ)
    jitter = np.random.default_rng([seed, _PATH, 1]).normal(0, 0.3, (seen.size, 2))
    return RawSession(
        truth=truth,
        seed=seed,
        time=seen / _GRID_HZ,
        xy=np.column_stack([path[seen], np.full(seen.size, 5.0)]) + jitter,
        path=path[seen],
        spike_times=times,
        spike_units=units,
        scales=shapes.normal(1.0, 0.05, times.size),
        centre=centre,
        sigma=sigma,
        direction=direction,
        peak=peak,
        templates=_templates(truth, contacts, np.random.default_rng([seed, _SHAPES, 1])),
        spike_at=round(_BEFORE * truth.rate),
        contacts=contacts,
        theta=theta,
        background=background,
    )


def _laps(truth: RawTruth, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return place (cm) and velocity (cm/s) on the grid: runs from end to end that start and stop softly, and rests."""
    wanted = round(truth.seconds * _GRID_HZ) + 1
    pieces: list[Floats] = []
    total, there = 0, False
    while total < wanted:
        end = truth.track if there else 0.0
        pieces.append(np.full(round(rng.uniform(*truth.rest) * _GRID_HZ), end))
        cruise = truth.track / rng.uniform(*truth.speed)
        steps = round(cruise * _GRID_HZ)
        phase = np.linspace(0, 1, steps)
        # Soft at both ends, with a pace that wanders a little on the way.
        pace = np.minimum(1, np.minimum(phase, 1 - phase) / 0.12 + 0.05)
        pace *= 1 + 0.25 * np.sin(2 * np.pi * (rng.uniform(0.5, 1.5) * phase + rng.random()))
        run = np.cumsum(pace) / pace.sum() * truth.track
        pieces.append(truth.track - run if there else run)
        total += pieces[-1].size + pieces[-2].size
        there = not there
    path = np.concatenate(pieces)[:wanted]
    return path, np.gradient(path) * _GRID_HZ


def _rate(
    truth: RawTruth, path: Floats, velocity: Floats, phase: Floats, *, field: tuple[float, float, float, int]
) -> Floats:
    """Return the rate (Hz) of one cell on the grid."""
    centre, sigma, peak, direction = field
    awake = 1 / (1 + np.exp(-(np.abs(velocity) - 5.0) / 1.5))
    heading = np.sign(velocity)
    likes = np.ones(path.size) if direction == 0 else np.where(heading == direction, 1.0, 0.05)
    place = np.exp(-0.5 * ((path - centre) / sigma) ** 2)
    preferred = np.pi - _PRECESSION * (path - centre) * heading / (4 * sigma)
    return truth.base + peak * place * likes * awake * (1 + 0.5 * np.cos(phase - preferred))


def _train(rate: Floats, rng: np.random.Generator) -> Floats:
    """Draw spike times (s) from a rate on the grid; of two within the refractory time the first stays."""
    counts = rng.poisson(rate / _GRID_HZ)
    bins = np.repeat(np.arange(rate.size), counts)
    times = np.sort((bins + rng.random(bins.size)) / _GRID_HZ)
    kept, last = [], -np.inf
    for moment in times:
        if moment - last >= _REFRACTORY:
            kept.append(moment)
            last = moment
    return np.array(kept)


def _templates(truth: RawTruth, contacts: Floats, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the spike of each cell on each contact (uV): a trough, the slower peak after it, weaker and later far off.

    The cells lie along the probe, at random distances from it; width, delay and height of the after-peak are each
    cell's own.
    """
    time = (np.arange(round(_BEFORE * truth.rate) + round(_AFTER * truth.rate)) / truth.rate - _BEFORE) * 1000
    shaft = contacts[:, 1].max()
    depth = np.linspace(0, shaft, truth.cells) + rng.uniform(-0.2, 0.2, truth.cells) * truth.pitch
    aside = rng.uniform(8.0, 20.0, truth.cells)
    made = np.empty((truth.cells, time.size, truth.channels))
    for cell in range(truth.cells):
        away = np.hypot(contacts[:, 0] - aside[cell], contacts[:, 1] - depth[cell])
        weight = (1 + (away / 28.0) ** 2) ** -1.5
        late = (away - away.min()) / 600.0
        trough, peak = rng.uniform(0.08, 0.16), rng.uniform(0.18, 0.34)
        after, height = rng.uniform(0.35, 0.7), rng.uniform(0.15, 0.5)
        moved = time[:, None] - late
        shape = height * np.exp(-0.5 * ((moved - after) / peak) ** 2) - np.exp(-0.5 * (moved / trough) ** 2)
        made[cell] = shape * weight
        made[cell] *= rng.uniform(*truth.trough) / -made[cell].min()
    return made.astype(np.float32)


def _field_potentials(
    truth: RawTruth, velocity: Floats, phase: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return theta (uV) at the strongest contact, stronger the faster the animal runs, and what all contacts share."""
    strength = truth.theta * (0.3 + 0.7 * np.minimum(np.abs(velocity) / 30.0, 1.0))
    theta = strength * (np.cos(phase) + 0.18 * np.cos(2 * phase + 0.6))
    spectrum = np.fft.rfft(rng.normal(size=phase.size))
    frequency = np.maximum(np.fft.rfftfreq(phase.size, 1 / _GRID_HZ), 1.0)
    background = np.fft.irfft(spectrum / np.sqrt(frequency), n=phase.size)
    return theta, np.asarray(truth.background * background / background.std())


def as_parameters(session: RawSession) -> dict[str, Any]:
    """Return what a reader of the raw samples has to know, as the description beside a file says it."""
    truth = session.truth
    return {
        "channels": truth.channels,
        "rate": truth.rate,
        "dtype": "int16",
        "gain_to_uV": truth.gain,
        "positions": session.contacts.tolist(),
    }
