"""Power spectra, spectrograms and rhythms of field potentials."""

from __future__ import annotations

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
    length, hop = round(window * rate), max(1, round(step * rate))
    if length < 8:
        raise InvalidDataError(f"A window of {window:g} s holds only {length} samples at {rate:g} Hz.")
    if signal.size < length:
        raise InvalidDataError(f"The signal lasts {signal.size / rate:.3g} s, less than one window of {window:g} s.")
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    frequency = np.fft.rfftfreq(length, 1 / rate)
    keep = frequency <= highest
    frames = np.lib.stride_tricks.sliding_window_view(signal, length)[::hop]
    power = np.empty((frames.shape[0], int(keep.sum())))
    for start in range(0, frames.shape[0], 256):
        piece = frames[start : start + 256].astype(np.float64)
        piece -= piece.mean(axis=1, keepdims=True)
        power[start : start + 256] = np.abs(np.fft.rfft(piece * taper, axis=1)[:, keep]) ** 2
    power *= 2 / (rate * np.sum(taper**2))
    single = frequency[keep] == 0
    if length % 2 == 0:
        single |= frequency[keep] == rate / 2
    power[:, single] /= 2
    middle = (np.arange(frames.shape[0]) * hop + length / 2) / rate
    return Spectrogram(middle, frequency[keep], power)


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
