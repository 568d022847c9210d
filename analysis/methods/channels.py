"""Which channels of a probe cannot be used, and why: dead, constant, saturated, noisy, white, outside the brain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from analysis.methods import spike_band
from analysis.methods.errors import InvalidDataError
from analysis.methods.lfp import Read, read_exactly

Label = Literal["good", "dead", "constant", "saturated", "noisy", "white", "outside"]
LABELS: tuple[Label, ...] = ("good", "dead", "constant", "saturated", "noisy", "white", "outside")

# Noise in the spike band, over the median of the channels: above, a channel is noisy; below one over it, dead.
_NOISY = 4.0
# Share of samples that stand still at a channel's own extreme; real voltage hardly ever does.
_SATURATED = 1e-3
_STANDS = 4
# Low-frequency voltage is shared over hundreds of micrometres. Where channels share it, one that does not is told.
_SHARED, _ALONE = 0.5, 0.2
_NEIGHBOURS = 8
# Low-frequency power below this share of the other channels' at the end of a probe is that of the bath.
_OUTSIDE_POWER = 0.1
_OUTSIDE_RUN = 4


@dataclass(frozen=True)
class ChannelQuality:
    """What was found of each channel, all ``(channels,)``.

    ``noise`` (uV) is the robust noise in the spike band, ``shared`` the correlation of low frequencies with the nearest
    channels (NaN without signal), ``power`` (uV^2) that of low frequencies, ``saturated`` a share of samples.
    """

    labels: tuple[Label, ...]
    noise: NDArray[np.floating]
    shared: NDArray[np.floating]
    power: NDArray[np.floating]
    saturated: NDArray[np.floating]

    @property
    def good(self) -> NDArray[np.bool_]:
        """Return which channels are good ``(channels,)``."""
        return np.array([label == "good" for label in self.labels])


def assess(
    read: Read,
    n_samples: int,
    n_channels: int,
    rate: float,
    *,
    positions: NDArray[np.floating] | None = None,
    pieces: int = 20,
    seconds: float = 0.5,
) -> ChannelQuality:
    """Judge every channel on so many pieces of ``seconds``, spread evenly over the recording.

    ``positions`` ``(channels, 2)`` are the contacts (um), the second coordinate growing towards the surface; without
    them the order of the channels stands for their place. Judged in this order: *dead* (0 throughout, or a small part
    of the others' noise), *constant*, *saturated* (stands still at its own extreme), *noisy* (in the spike band),
    *outside* (a run from the surface without the power or the company of the others at low frequencies), *white* (does
    not share low frequencies although the others do). The idea of shared low frequencies is that of the International
    Brain Laboratory 2022, Spike sorting pipeline, figshare 19705522. ``InvalidDataError`` when the recording is
    shorter than a tenth of a second or the file ends early.
    """
    if n_samples < 0.1 * rate:
        raise InvalidDataError("The recording is shorter than a tenth of a second: its channels cannot be judged.")
    band = spike_band.band_pass(rate, 300.0, min(6000.0, 0.45 * rate))
    length = min(n_samples, round(seconds * rate))
    starts = np.linspace(0, n_samples - length, max(1, min(pieces, n_samples // length))).astype(int)
    lowest, highest = np.full(n_channels, np.inf), np.full(n_channels, -np.inf)
    every = np.ones(n_channels, bool)
    noise, low, parts = [], [], []
    for start in starts:
        held = read_exactly(read, int(start), int(start) + length, n_samples, n_channels)
        wrong = np.flatnonzero(~np.isfinite(held.sum(axis=0)))
        if wrong.size:
            raise InvalidDataError(f"Channel {wrong[0]} has values that are not finite numbers.")
        lowest, highest = np.minimum(lowest, held.min(axis=0)), np.maximum(highest, held.max(axis=0))
        noise.append(spike_band.noise_of(spike_band.filtered(held, band, every, reference=False)))
        low.append(_slow(held, rate))
        parts.append(_still(held))
    slow = np.concatenate(low)
    level = np.median(noise, axis=0)
    flat = ~(highest > lowest)
    live = level[~flat]
    typical = float(np.median(live)) if live.size else 0.0
    stuck = np.mean(parts, axis=0)
    power = slow.var(axis=0)
    labels: list[Label] = ["good"] * n_channels
    for channel in range(n_channels):
        if flat[channel]:
            labels[channel] = "dead" if highest[channel] == 0 else "constant"
        elif stuck[channel] > _SATURATED:
            labels[channel] = "saturated"
        elif level[channel] < typical / _NOISY:
            labels[channel] = "dead"
        elif level[channel] > typical * _NOISY:
            labels[channel] = "noisy"
    left = np.array([label == "good" for label in labels])
    shared = _shared(slow, left, positions)
    _judge_low_frequencies(labels, left, shared, power, positions)
    return ChannelQuality(tuple(labels), level, shared, power, stuck)


@dataclass(frozen=True)
class Faults:
    """Shares of samples over time: ``time`` (s, the middles of windows), ``saturated``, ``gaps``, all ``(n,)``."""

    time: NDArray[np.floating]
    saturated: NDArray[np.floating]
    gaps: NDArray[np.floating]


def faults_over_time(
    read: Read,
    n_samples: int,
    n_channels: int,
    rate: float,
    *,
    window: float = 1.0,
    progress: Callable[[float], None] = lambda _share: None,
) -> Faults:
    """Look at the whole recording in windows of ``window`` (s): how much stands at a rail, how much is missing.

    A sample is saturated when its channel stands at its lowest or highest value of the window for at least four
    samples; channels that do not move at all are left out. A gap is 2 ms or more in which no channel moves, which is
    how acquisition software fills samples that it lost.
    """
    length = max(2, round(window * rate))
    least = max(2, round(2e-3 * rate))
    time, saturated, gaps = [], [], []
    for start in range(0, n_samples, length):
        stop = min(start + length, n_samples)
        # One sample more on the left: whether the first one moved.
        held = read_exactly(read, max(0, start - 1), stop, n_samples, n_channels)
        still = ~(held[1:] != held[:-1]).any(axis=1)
        runs = _runs(still)
        gaps.append(runs[runs >= least].sum() / len(held))
        moves = np.ptp(held, axis=0) > 0
        saturated.append(float(_still(held[:, moves]).mean()) if moves.any() else 0.0)
        time.append((start + stop) / 2 / rate)
        progress(stop / n_samples)
    return Faults(np.array(time), np.array(saturated), np.array(gaps))


def power_densities(
    read: Read, n_samples: int, n_channels: int, rate: float, *, pieces: int = 10, seconds: float = 1.0
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return frequencies (Hz) and Welch's power spectral densities ``(frequencies, channels)`` (uV^2/Hz)."""
    from scipy.signal import welch

    length = min(n_samples, round(seconds * rate))
    starts = np.linspace(0, n_samples - length, max(1, min(pieces, n_samples // length))).astype(int)
    found = []
    for start in starts:
        held = read_exactly(read, int(start), int(start) + length, n_samples, n_channels)
        frequency, density = welch(held, rate, nperseg=min(length, 4096), axis=0)
        found.append(density)
    return frequency, np.mean(found, axis=0)


def _runs(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the lengths of the runs of true."""
    edges = np.flatnonzero(np.diff(np.r_[0, flags.astype(np.int8), 0]))
    return edges[1::2] - edges[::2]


def _slow(held: NDArray[np.float32], rate: float) -> NDArray[np.float32]:
    """Return the voltage as means of 5 ms, without each piece's line: up to about 100 Hz, ``(n, channels)``."""
    from scipy.signal import detrend

    group = max(1, round(5e-3 * rate))
    whole = len(held) // group
    means = held[: whole * group].reshape(whole, group, -1).mean(axis=1)
    return detrend(means, axis=0).astype(np.float32)


def _still(held: NDArray[np.float32]) -> NDArray[np.floating]:
    """Return the share of samples in runs of at least four equal ones at a channel's extreme, ``(channels,)``."""
    lowest, highest = held.min(axis=0), held.max(axis=0)
    share = np.zeros(held.shape[1])
    # Only a channel that reaches its extreme many times can stand there.
    ends = (held == lowest) | (held == highest)
    for channel in np.flatnonzero(ends.mean(axis=0) > _SATURATED):
        lengths = _runs(ends[:, channel])
        share[channel] = lengths[lengths >= _STANDS].sum() / len(held)
    return share


def _shared(
    slow: NDArray[np.float32], left: NDArray[np.bool_], positions: NDArray[np.floating] | None
) -> NDArray[np.floating]:
    """Return the correlation of each channel with the median of its nearest others that are left."""
    n = slow.shape[1]
    found = np.full(n, np.nan)
    numbers = np.flatnonzero(left)
    place = np.column_stack([np.zeros(n), np.arange(n)]) if positions is None else positions
    for channel in numbers:
        others = numbers[numbers != channel]
        if others.size < 2:
            continue
        away = np.hypot(*(place[others] - place[channel]).T)
        near = others[np.argsort(away, kind="stable")[:_NEIGHBOURS]]
        company = np.median(slow[:, near], axis=1)
        if company.std() > 0 and slow[:, channel].std() > 0:
            found[channel] = np.corrcoef(slow[:, channel], company)[0, 1]
    return found


def _judge_low_frequencies(
    labels: list[Label],
    left: NDArray[np.bool_],
    shared: NDArray[np.floating],
    power: NDArray[np.floating],
    positions: NDArray[np.floating] | None,
) -> None:
    """Label what lies outside the brain and what is white, where the channels share low frequencies at all."""
    known = left & np.isfinite(shared)
    if known.sum() < _NEIGHBOURS or np.median(shared[known]) < _SHARED:
        return
    typical = float(np.median(power[known]))
    alone = known & (shared < _ALONE)
    foreign = alone | (known & (power < _OUTSIDE_POWER * typical))
    depth = np.arange(len(labels)) if positions is None else positions[:, 1]
    # From the surface down; channels that are bad for another reason do not end the run.
    run = []
    for channel in np.argsort(-depth, kind="stable"):
        if not known[channel]:
            continue
        if not foreign[channel]:
            break
        run.append(channel)
    outside = run if len(run) >= _OUTSIDE_RUN else []
    for channel in outside:
        labels[channel] = "outside"
    for channel in np.flatnonzero(alone):
        if labels[channel] == "good":
            labels[channel] = "white"
