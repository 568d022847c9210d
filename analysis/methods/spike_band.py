"""The spike band of extracellular voltage: zero-phase filter, common median reference, noise, peaks.

Arrays are time-major ``(samples, channels)`` float32: a step in time then works on neighbouring numbers of memory,
which the compiler turns into vector instructions, and a row is filtered, referenced and looked at while it is in the
cache.
All functions release the interpreter's lock, so that threads share the work.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from analysis.methods.errors import InvalidDataError

# What is left of a filter's past beyond its margin.
_FORGOTTEN = 1e-7
# The largest whole number of 32 bits.
_HIGHEST = 2**31 - 1
# The median absolute deviation of a Gaussian, in standard deviations.
_MAD = 0.6744897501960817


@dataclass(frozen=True)
class BandPass:
    """Three second-order sections ``(3, 6)``, their states for a constant 1 ``(3, 2)``, samples until they forget."""

    sections: NDArray[np.float32]
    settled: NDArray[np.float32]
    margin: int


@dataclass(frozen=True)
class Peaks:
    """Peaks in order of time: ``samples``, ``channels`` and ``amplitudes`` (uV, negative), each ``(n,)``."""

    samples: NDArray[np.int64]
    channels: NDArray[np.int32]
    amplitudes: NDArray[np.float32]


def band_pass(rate: float, low: float, high: float) -> BandPass:
    """Return the Butterworth band pass of third order from ``low`` to ``high`` (Hz) at ``rate`` (Hz).

    Raises ``InvalidDataError`` when the band does not lie below half the rate.
    """
    from scipy.signal import butter, sosfilt_zi

    if not 0 < low < high < rate / 2:
        raise InvalidDataError(
            f"A band from {low:g} to {high:g} Hz does not fit a recording at {rate:g} Hz, which holds frequencies up "
            f"to {rate / 2:g} Hz."
        )
    sections = butter(3, (low, high), btype="bandpass", fs=rate, output="sos")
    poles = np.concatenate([np.abs(np.roots(section[3:])) for section in sections])
    margin = int(np.ceil(np.log(_FORGOTTEN) / np.log(poles.max())))
    return BandPass(sections.astype(np.float32), sosfilt_zi(sections).astype(np.float32), margin)


def filtered(
    signal: NDArray[np.float32], band: BandPass, good: NDArray[np.bool_], *, reference: bool = True
) -> NDArray[np.float32]:
    """Return ``signal`` ``(n, channels)`` (uV) filtered forward and backward; channels that are not good become 0.

    With ``reference`` the median over the good channels is subtracted from each sample. Values within ``band.margin``
    of the ends depend on what lies beyond them. Raises ``InvalidDataError`` naming a channel with NaN or infinity.
    """
    out = np.empty(signal.shape, np.float32)
    filter_into(out, signal, band, np.flatnonzero(good), reference=reference)
    out[:, ~good] = 0
    return out


def filter_into(
    out: NDArray[np.float32],
    signal: NDArray[np.float32],
    band: BandPass,
    good: NDArray[np.int64],
    *,
    reference: bool,
    thresholds: NDArray[np.float32] | None = None,
) -> NDArray[np.bool_]:
    """Do what ``filtered`` does in memory of the caller; return which rows go below ``-thresholds`` ``(channels,)``.

    ``good`` are the numbers of the good channels; what is in the other columns of ``out`` means nothing.
    """
    states = _forward(signal, out, band.sections, band.settled)
    wrong = good[~np.isfinite(states[good])]
    if wrong.size:
        raise InvalidDataError(f"Channel {wrong[0]} has values that are not finite numbers.")
    limits = np.full(signal.shape[1], np.inf, np.float32) if thresholds is None else thresholds
    # A step towards the median for each place that it is away: the spacing of Gaussian noise about its middle.
    spread = float(np.median(np.abs(out[:: max(1, len(out) // 64)][:, good]))) / _MAD if good.size else 0.0
    step = np.float32(2.5 * spread / max(1, good.size))
    return _backward(out, band.sections, band.settled, good, reference and good.size > 1, step, limits)


def median_of_rows(table: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the median of each row of ``table`` ``(n, channels)``; exact, as ``np.median`` gives it."""
    return _medians(np.ascontiguousarray(table, np.float32))


def noise_of(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the noise of each channel of ``signal`` ``(n, channels)``: the median absolute value over 0.6745.

    Source: Quiroga et al. 2004, Neural Computation 16:1661. Unlike a standard deviation it does not grow with spikes.
    """
    return (np.median(np.abs(signal), axis=0) / _MAD).astype(np.float32)


def neighbours_within(positions: NDArray[np.floating] | None, n_channels: int, radius: float) -> NDArray[np.int32]:
    """Return for each channel the others within ``radius`` (um), ``(channels, most)`` filled up with -1.

    ``positions`` ``(channels, 2)`` are the probe's contacts (um); without them channels have no neighbours.
    """
    if positions is None:
        return np.full((n_channels, 1), -1, np.int32)
    away = np.hypot(*(positions[:, None] - positions[None]).transpose(2, 0, 1))
    near = (away <= radius) & ~np.eye(n_channels, dtype=bool)
    table = np.full((n_channels, max(1, int(near.sum(axis=1).max()))), -1, np.int32)
    for channel, row in enumerate(near):
        found = np.flatnonzero(row)
        table[channel, : found.size] = found
    return table


def find_peaks(
    table: NDArray[np.float32],
    first: int,
    last: int,
    *,
    thresholds: NDArray[np.float32],
    neighbours: NDArray[np.int32],
    sweep: int,
    rows: NDArray[np.bool_] | None = None,
) -> Peaks:
    """Return the negative peaks of rows ``first`` to ``last`` of ``table`` ``(n, channels)``, locally exclusive.

    A peak lies below ``-thresholds`` ``(channels,)`` (infinite for channels to leave out) and nothing within ``sweep``
    samples on its channel or on one of its ``neighbours`` is lower; of equals the first counts. ``rows`` names rows
    where a crossing is known to be. Samples are counted from row ``first``.
    """
    look = np.ones(len(table), np.bool_) if rows is None else rows
    samples, channels, amplitudes = _find(table, first, last, look, thresholds, neighbours, sweep)
    return Peaks(samples, channels, amplitudes)


@njit(nogil=True, cache=True, fastmath={"contract"})
def _forward(signal, out, sections, settled):  # noqa: ANN001, ANN202
    n, channels = signal.shape
    states = np.empty((len(sections), 2, channels), np.float32)
    # Start as if the first sample had been there for ever: no step to answer to.
    for k in range(len(sections)):
        for c in range(channels):
            states[k, 0, c] = settled[k, 0] * signal[0, c]
            states[k, 1, c] = settled[k, 1] * signal[0, c]
    for t in range(n):
        row = out[t]
        for c in range(channels):
            row[c] = signal[t, c]
        _step(row, sections, states)
    total = np.zeros(channels, np.float32)
    for k in range(len(sections)):
        for c in range(channels):
            total[c] += states[k, 0, c] + states[k, 1, c]
    return total


@njit(nogil=True, cache=True, fastmath={"contract"})
def _step(row, s, z):  # noqa: ANN001, ANN202
    # All three sections in one walk along the row: written as a loop over sections it is six times slower.
    z0, z1, z2, z3, z4, z5 = z[0, 0], z[0, 1], z[1, 0], z[1, 1], z[2, 0], z[2, 1]
    for c in range(row.shape[0]):
        x = row[c]
        y = s[0, 0] * x + z0[c]
        z0[c] = s[0, 1] * x - s[0, 4] * y + z1[c]
        z1[c] = s[0, 2] * x - s[0, 5] * y
        x = s[1, 0] * y + z2[c]
        z2[c] = s[1, 1] * y - s[1, 4] * x + z3[c]
        z3[c] = s[1, 2] * y - s[1, 5] * x
        y = s[2, 0] * x + z4[c]
        z4[c] = s[2, 1] * x - s[2, 4] * y + z5[c]
        z5[c] = s[2, 2] * x - s[2, 5] * y
        row[c] = y


@njit(nogil=True, cache=True, fastmath={"contract"})
def _backward(out, sections, settled, good, reference, step, limits):  # noqa: ANN001, ANN202, PLR0917
    n, channels = out.shape
    states = np.empty((len(sections), 2, channels), np.float32)
    for k in range(len(sections)):
        for c in range(channels):
            states[k, 0, c] = settled[k, 0] * out[n - 1, c]
            states[k, 1, c] = settled[k, 1] * out[n - 1, c]
    crossed = np.zeros(n, np.bool_)
    values = np.empty(len(good), np.float32)
    keys = np.empty(len(good) + 2, np.int32)
    middle = np.float32(0)
    for t in range(n - 1, -1, -1):
        row = out[t]
        _step(row, sections, states)
        if reference:
            for k in range(len(good)):
                values[k] = row[good[k]]
            middle = _median(values, keys, middle, step)
            for c in range(channels):
                row[c] -= middle
        crossed[t] = _any_below(row, limits)
    return crossed


@njit(nogil=True, cache=True, fastmath={"reassoc"})
def _any_below(row, limits):  # noqa: ANN001, ANN202
    n = np.float32(0)
    for c in range(row.shape[0]):
        n += np.float32(1) if row[c] < -limits[c] else np.float32(0)
    return n > 0


@njit(nogil=True, cache=True)
def _medians(table):  # noqa: ANN001, ANN202
    made = np.empty(len(table), np.float32)
    keys = np.empty(table.shape[1] + 2, np.int32)
    middle = np.float32(0)
    for t in range(len(table)):
        step = np.float32(np.std(table[t]) * 2.5 / table.shape[1])
        middle = _median(table[t], keys, middle, step)
        made[t] = middle
    return made


@njit(nogil=True, cache=True, fastmath={"reassoc"})
def _count_below(values, limit):  # noqa: ANN001, ANN202
    n = np.float32(0)
    for k in range(len(values)):
        n += np.float32(1) if values[k] < limit else np.float32(0)
    return np.int64(n)


@njit(nogil=True, cache=True, fastmath={"reassoc"})
def _count_up_to(keys, limit):  # noqa: ANN001, ANN202
    n = np.float32(0)
    for k in range(keys.shape[0]):
        n += np.float32(1) if keys[k] <= limit else np.float32(0)
    return np.int64(n)


@njit(nogil=True, cache=True)
def _least_above(keys, limit):  # noqa: ANN001, ANN202
    least = np.int32(_HIGHEST)
    top = np.int32(_HIGHEST)
    for k in range(keys.shape[0]):
        key = keys[k]
        least = min(least, key if key > limit else top)
    return least


@njit(nogil=True, cache=True)
def _greatest_up_to(keys, limit):  # noqa: ANN001, ANN202
    greatest = np.int32(-_HIGHEST)
    bottom = np.int32(-_HIGHEST)
    for k in range(keys.shape[0]):
        key = keys[k]
        greatest = max(greatest, key if key <= limit else bottom)
    return greatest


@njit(nogil=True, cache=True)
def _ordered(bits, keys):  # noqa: ANN001, ANN202
    """Turn bits of floats into whole numbers of the same order, or back: their minima are vector instructions."""
    for k in range(bits.shape[0]):
        bit = bits[k]
        keys[k] = bit ^ ((bit >> np.int32(31)) & np.int32(_HIGHEST))


@njit(nogil=True, cache=True)
def _median(values, keys, guess, step):  # noqa: ANN001, ANN202
    """Return the exact median: counts of what lies below a guess lead near it, then value by value to it.

    A count over a few hundred numbers is a handful of vector instructions, where a partition takes microseconds.
    ``keys`` is room for whole numbers, as many as ``values`` and two more.
    """
    n = len(values)
    wanted = (n - 1) // 2
    at = guess
    for _ in range(6):
        below = _count_below(values, at)
        if abs(below - wanted) <= 1:
            break
        at -= (below - wanted) * step
    ends = np.empty(2, np.float32)
    ends[0] = at
    _ordered(values.view(np.int32), keys[:n])
    _ordered(ends.view(np.int32), keys[n:])
    # Whatever the guesses led to, the walk ends at the median: slower from further away, never wrong.
    row = keys[:n]
    found = _greatest_up_to(row, keys[n])
    up_to = _count_up_to(row, found)
    while up_to <= wanted:
        found = _least_above(row, found)
        up_to = _count_up_to(row, found)
    while True:
        lower = _count_up_to(row, found - np.int32(1))
        if lower <= wanted:
            break
        up_to = lower
        found = _greatest_up_to(row, found - np.int32(1))
    keys[n] = found
    keys[n + 1] = found if n % 2 or up_to > wanted + 1 else _least_above(row, found)
    _ordered(keys[n:], ends.view(np.int32))
    return ends[0] if n % 2 else np.float32(0.5) * (ends[0] + ends[1])


@njit(nogil=True, cache=True)
def _is_peak(table, t, c, neighbours, sweep):  # noqa: ANN001, ANN202
    value = table[t, c]
    for d in range(-sweep, sweep + 1):
        other = table[t + d, c]
        if other < value or (other == value and d < 0):
            return False
    for k in range(neighbours.shape[1]):
        near = neighbours[c, k]
        if near < 0:
            break
        for d in range(-sweep, sweep + 1):
            other = table[t + d, near]
            if other < value or (other == value and (d < 0 or (d == 0 and near < c))):
                return False
    return True


@njit(nogil=True, cache=True)
def _find(table, first, last, look, thresholds, neighbours, sweep):  # noqa: ANN001, ANN202, PLR0917
    room = 1024
    samples = np.empty(room, np.int64)
    channels = np.empty(room, np.int32)
    amplitudes = np.empty(room, np.float32)
    found = 0
    # Columns of bad channels hold nothing that may outshine a neighbour.
    kept = np.full_like(neighbours, -1)
    for c in range(len(neighbours)):
        at = 0
        for k in range(neighbours.shape[1]):
            near = neighbours[c, k]
            if near >= 0 and thresholds[near] < np.inf:
                kept[c, at] = near
                at += 1
    for t in range(max(first, sweep), min(last, len(table) - sweep)):
        if not look[t]:
            continue
        for c in range(table.shape[1]):
            if table[t, c] < -thresholds[c] and _is_peak(table, t, c, kept, sweep):
                if found == room:
                    room *= 2
                    samples = np.concatenate((samples, np.empty(found, np.int64)))
                    channels = np.concatenate((channels, np.empty(found, np.int32)))
                    amplitudes = np.concatenate((amplitudes, np.empty(found, np.float32)))
                samples[found] = t - first
                channels[found] = c
                amplitudes[found] = table[t, c]
                found += 1
    return samples[:found].copy(), channels[:found].copy(), amplitudes[:found].copy()
