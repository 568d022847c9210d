"""Power spectra, spectrograms and rhythms of field potentials."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.methods.errors import InvalidDataError


@dataclass(frozen=True)
class Spectrogram:
    """``power`` (unit^2/Hz) ``(n_windows, n_frequencies)``, ``time`` (s, middle of each window), ``frequency`` (Hz)."""

    time: NDArray[np.floating]
    frequency: NDArray[np.floating]
    power: NDArray[np.floating]


def spectrogram(signal: NDArray[Any], rate: float, *, window: float, step: float, highest: float) -> Spectrogram:
    """Return the power spectral density of Hann windows along a signal ``(n,)``, one-sided, means removed.

    ``window`` and ``step`` are seconds; frequencies up to ``highest`` Hz are kept. Works through the signal in
    pieces, so memory stays small. Errors: ``InvalidDataError`` when the signal is shorter than one window. Source:
    Welch 1967, IEEE Trans. Audio Electroacoust. 15, 70-73.
    """
    signal = np.asarray(signal)
    time = window_times(signal.size, rate, window=window, step=step)
    length, hop = round(window * rate), max(1, round(step * rate))
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    frequency = np.fft.rfftfreq(length, 1 / rate)
    keep = frequency <= highest
    frames = np.lib.stride_tricks.sliding_window_view(signal, length)[::hop]
    power = np.empty((frames.shape[0], int(keep.sum())))
    for start in range(0, frames.shape[0], 256):
        power[start : start + 256] = _densities(frames[start : start + 256], taper[None], rate, keep)
    return Spectrogram(time, frequency[keep], power)


def _densities(
    frames: NDArray[Any], tapers: NDArray[np.floating], rate: float, keep: NDArray[np.bool_]
) -> NDArray[np.floating]:
    """Return the one-sided densities of windows ``(n, length)``, means removed, averaged over ``(tapers, length)``."""
    length = frames.shape[1]
    piece = frames.astype(np.float64)
    piece -= piece.mean(axis=1, keepdims=True)
    power = np.zeros((len(frames), int(keep.sum())))
    for taper in tapers:
        power += np.abs(np.fft.rfft(piece * taper, axis=1)[:, keep]) ** 2 / np.sum(taper**2)
    power *= 2 / (rate * len(tapers))
    # Frequencies that have no mirror image: 0, and half the rate.
    power[:, 0] /= 2
    if length % 2 == 0 and keep[-1]:
        power[:, -1] /= 2
    return power


def window_times(n_samples: int, rate: float, *, window: float, step: float) -> NDArray[np.floating]:
    """Return the middles (s) of the windows of ``window`` s, every ``step`` s, that fit into so many samples.

    Errors: ``InvalidDataError`` when none does or a window is too short.
    """
    length, hop = round(window * rate), max(1, round(step * rate))
    if length < 8:
        raise InvalidDataError(f"A window of {window:g} s holds only {length} samples at {rate:g} Hz.")
    if n_samples < length:
        raise InvalidDataError(f"The signal lasts {n_samples / rate:.3g} s, less than one window of {window:g} s.")
    return (np.arange((n_samples - length) // hop + 1) * hop + length / 2) / rate


def multitaper(
    read: Callable[[int, int], NDArray[Any]],
    n_samples: int,
    rate: float,
    *,
    window: float,
    step: float,
    highest: float,
    half_bandwidth: float,
    held: int = 2_000_000,
) -> Iterator[Spectrogram]:
    """Yield the multitaper spectrogram of a signal piece by piece, so that hours of it need little memory.

    ``read(start, stop)`` returns samples ``(stop - start,)``; about ``held`` of them, overlaps counted, are worked on
    at a time. ``window``, ``step`` are seconds; each density is smoothed over ``half_bandwidth`` (Hz) to both sides by
    all tapers that keep their power within it, and those up to ``highest`` Hz are kept. Together the pieces are the
    same for every ``held``. Errors: ``InvalidDataError`` when the signal is shorter than a window, or the window
    shorter than one over the half bandwidth. Source: Thomson 1982, Proc. IEEE 70, 1055-1096; with discrete prolate
    sequences as in Mitra and Pesaran 1999, Biophys. J. 76, 691-708.
    """
    from scipy.signal.windows import dpss

    time = window_times(n_samples, rate, window=window, step=step)
    length, hop = round(window * rate), max(1, round(step * rate))
    product = half_bandwidth * length / rate
    if product < 1:
        raise InvalidDataError(
            f"A window of {window:g} s cannot resolve {half_bandwidth:g} Hz; make it {1 / half_bandwidth:g} s or "
            "longer."
        )
    # The last of 2 NW tapers leak; what the others keep within the bandwidth is nearly all.
    tapers = dpss(length, product, max(1, int(2 * product) - 1))
    frequency = np.fft.rfftfreq(length, 1 / rate)
    keep = frequency <= highest
    at_once = max(1, held // length)
    for first in range(0, time.size, at_once):
        count = min(at_once, time.size - first)
        start = first * hop
        piece = np.asarray(read(start, start + (count - 1) * hop + length))
        frames = np.lib.stride_tricks.sliding_window_view(piece, length)[::hop]
        yield Spectrogram(time[first : first + count], frequency[keep], _densities(frames, tapers, rate, keep))


def power_spectrum(signal: NDArray[Any], rate: float, *, window: float, highest: float) -> Spectrogram:
    """Return Welch's power spectral density with half overlapping windows.

    ``power`` has one row, its time the middle.
    """
    pieces = spectrogram(signal, rate, window=window, step=window / 2, highest=highest)
    return Spectrogram(pieces.time[[pieces.time.size // 2]], pieces.frequency, pieces.power.mean(axis=0, keepdims=True))


def band_power(power: NDArray[np.floating], frequency: NDArray[np.floating], low: float, high: float) -> NDArray:
    """Integrate power spectral densities ``(..., n_frequencies)`` from ``low`` to ``high`` Hz: unit^2, ``(...)``."""
    inside = (frequency >= low) & (frequency <= high)
    if np.count_nonzero(inside) < 2:
        raise InvalidDataError(
            f"From {low:g} to {high:g} Hz there are fewer than two frequencies; use a longer window."
        )
    return np.trapezoid(power[..., inside], frequency[inside], axis=-1)


@dataclass(frozen=True)
class Rhythm:
    """A peak of a spectrum inside a band, and the falling background it stands on.

    ``frequency`` (Hz) of the largest power above the background and ``height`` (dB) there, both None when no peak
    stands out; ``raw`` the frequency of the largest power with the background left in; ``background`` (unit^2/Hz)
    ``(n_frequencies,)``; ``exponent`` of 1/f^exponent fitted across ``fit`` (Hz).
    """

    frequency: float | None
    height: float | None
    raw: float
    background: NDArray[np.floating]
    exponent: float
    fit: tuple[float, float]


def find_rhythm(
    power: NDArray[Any],
    frequency: NDArray[Any],
    *,
    band: tuple[float, float],
    fit: tuple[float, float] = (2.0, 40.0),
    minimum_height: float = 1.0,
) -> Rhythm:
    """Find the peak of a spectrum ``(n_frequencies,)`` in ``band`` (Hz) above its own 1/f background.

    The background is a line in log power over log frequency across ``fit`` (Hz), refitted on what lies near or below
    it, so that the peak and its harmonics do not lift it. A maximum at an edge of the band, or lower than
    ``minimum_height`` (dB), is slope and not rhythm: then ``frequency`` is None. The maximum is refined by a parabola
    through its neighbours. Source: the separation of aperiodic and periodic power of Donoghue et al. 2020, Nat.
    Neurosci. 23, 1655-1665, in its simplest form.
    """
    power, frequency = np.asarray(power, float), np.asarray(frequency, float)
    low, high = band
    inside = np.flatnonzero((frequency >= low) & (frequency <= high))
    if inside.size < 3:
        raise InvalidDataError(
            f"From {low:g} to {high:g} Hz there are fewer than three frequencies; use a longer window."
        )
    if not np.all(power[inside] > 0):
        raise InvalidDataError("The signal has no power in the band: the channel is dead or constant.")
    use = (frequency >= fit[0]) & (frequency <= fit[1]) & (power > 0)
    log_f, log_p = np.log10(frequency[use]), np.log10(power[use])
    slope, offset = np.polyfit(log_f, log_p, 1)
    for _ in range(20):
        residual = log_p - (slope * log_f + offset)
        near = residual <= np.median(residual) + 1.0 * _spread(residual)
        near &= (frequency[use] < low - 1) | (frequency[use] > high + 1)
        if np.count_nonzero(near) < 5:
            break
        slope, offset = np.polyfit(log_f[near], log_p[near], 1)
    background = np.full(frequency.size, np.nan)
    positive = frequency > 0
    background[positive] = 10 ** (slope * np.log10(frequency[positive]) + offset)
    above = 10 * np.log10(power[inside] / background[inside])
    best = int(np.argmax(above))
    raw = float(frequency[inside[np.argmax(power[inside])]])
    if best in (0, inside.size - 1) or above[best] < minimum_height:
        return Rhythm(None, None, raw, background, float(-slope), fit)
    left, middle, right = above[best - 1 : best + 2]
    curve = left - 2 * middle + right
    shift = 0.5 * (left - right) / curve if curve < 0 else 0.0
    step = frequency[1] - frequency[0]
    return Rhythm(float(frequency[inside[best]] + shift * step), float(middle), raw, background, float(-slope), fit)


def _spread(values: NDArray[np.floating]) -> float:
    return float(1.4826 * np.median(np.abs(values - np.median(values))))
