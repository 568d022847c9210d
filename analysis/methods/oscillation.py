"""Phase of a field potential's rhythm, how spikes keep to it, and ripples.

Phases are radians, 0 at the peak of the filtered voltage and pi (or -pi) at its trough. All filters are run forwards
and backwards: a causal one would shift every phase.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.methods.errors import InvalidDataError

# The smoothing of the ripple envelope of Karlsson and Frank 2009, s.
_ENVELOPE_SIGMA = 0.004
_MAD = 0.6744897501960817


@dataclass(frozen=True)
class Locking:
    """How ``n`` spikes keep to a rhythm: mean ``phase`` (rad), mean vector ``length`` (0 to 1), ``ppc`` and ``p``.

    ``ppc`` is the pairwise phase consistency, which does not grow where spikes are few: 0 for none, 1 for all at one
    phase (Vinck et al. 2010, NeuroImage 51, 112-122). ``p`` is that of Rayleigh's test. NaN with fewer than two spikes.
    """

    n: int
    phase: float
    length: float
    ppc: float
    p: float


@dataclass(frozen=True)
class Ripples:
    """Ripples in order of time: ``start``, ``peak``, ``stop`` (s), ``height`` (SD) and ``frequency`` (Hz) ``(n,)``."""

    start: NDArray[np.floating]
    peak: NDArray[np.floating]
    stop: NDArray[np.floating]
    height: NDArray[np.floating]
    frequency: NDArray[np.floating]


def analytic(trace: NDArray[np.floating], rate: float, low: float, high: float) -> NDArray[np.complexfloating]:
    """Return the analytic signal of a trace ``(n,)`` between ``low`` and ``high`` (Hz): its angle is the phase.

    Errors: ``InvalidDataError`` where the band does not lie below half the rate or the trace is shorter than three
    cycles of its lower end.
    """
    from scipy.signal import butter, hilbert, sosfiltfilt

    if not 0 < low < high < rate / 2:
        raise InvalidDataError(f"A band from {low:g} to {high:g} Hz does not fit a trace at {rate:g} Hz.")
    if trace.size < 3 * rate / low:
        raise InvalidDataError(f"{trace.size / rate:.3g} s are too short for a rhythm of {low:g} Hz.")
    sections = butter(3, (low, high), btype="bandpass", fs=rate, output="sos")
    return np.asarray(hilbert(sosfiltfilt(sections, np.asarray(trace, float))))


def at_times(signal: NDArray[np.complexfloating], rate: float, times: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the phase (rad) of an analytic signal ``(n,)`` at times (s from its first sample), between its samples.

    Interpolation is of the complex values: between 179 and -179 degrees lie 180, not 0. NaN outside.
    """
    place = np.asarray(times, float) * rate
    inside = (place >= 0) & (place <= signal.size - 1)
    before = np.minimum(place[inside].astype(int), signal.size - 2)
    share = place[inside] - before
    phase = np.full(place.shape, np.nan)
    phase[inside] = np.angle(signal[before] * (1 - share) + signal[before + 1] * share)
    return phase


def phase_locking(phase: NDArray[np.floating]) -> Locking:
    """Return how phases (rad) ``(n,)`` keep together; those that are NaN are left out."""
    phase = phase[np.isfinite(phase)]
    n = phase.size
    if n < 2:
        return Locking(n, np.nan, np.nan, np.nan, np.nan)
    mean = np.mean(np.exp(1j * phase))
    length = float(np.abs(mean))
    resultant = n * length
    # Zar, Biostatistical Analysis, 27.4: right to three digits from ten spikes on.
    p = float(np.exp(np.sqrt(1 + 4 * n + 4 * (n**2 - resultant**2)) - (1 + 2 * n)))
    return Locking(n, float(np.angle(mean)), length, float((resultant**2 - n) / (n * (n - 1))), min(1.0, p))


def ripples(
    trace: NDArray[np.floating],
    rate: float,
    *,
    low: float = 150.0,
    high: float = 250.0,
    threshold: float = 6.0,
    edge: float = 1.0,
    shortest: float = 0.015,
    longest: float = 0.5,
    usable: NDArray[np.bool_] | None = None,
) -> Ripples:
    """Return the ripples of a trace ``(n,)``: its smoothed envelope in the band rises above ``threshold``.

    The envelope is measured in standard deviations from its median, both taken robustly, so that ripples do not raise
    the bar for ripples. An event lasts while it stays above ``edge``; those outside ``shortest`` to ``longest`` (s) are
    no ripples. ``usable`` ``(n,)`` says where to look (where the animal rests, say): an event's peak must lie there.
    Source: Karlsson and Frank 2009, Nat. Neurosci. 12, 913-918, with the median in place of the mean.
    """
    from scipy.ndimage import gaussian_filter1d

    signal = analytic(trace, rate, low, high)
    envelope = gaussian_filter1d(np.abs(signal), _ENVELOPE_SIGMA * rate)
    looked = envelope if usable is None else envelope[usable]
    if looked.size == 0:
        return Ripples(*(np.zeros(0) for _ in range(5)))
    middle = float(np.median(looked))
    spread = float(np.median(np.abs(looked - middle))) / _MAD
    if not spread > 0:
        raise InvalidDataError("The trace is constant: there is nothing to find ripples in.")
    height = (envelope - middle) / spread
    change = np.diff(np.concatenate([[0], (height > edge).astype(np.int8), [0]]))
    starts, stops = np.flatnonzero(change == 1), np.flatnonzero(change == -1)
    found = []
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        peak = start + int(np.argmax(height[start:stop]))
        lasts = (stop - start) / rate
        if height[peak] < threshold or not shortest <= lasts <= longest or (usable is not None and not usable[peak]):
            continue
        turned = np.unwrap(np.angle(signal[start:stop]))
        cycles = (turned[-1] - turned[0]) / (2 * np.pi)
        found.append((start / rate, peak / rate, stop / rate, height[peak], cycles * rate / max(stop - start - 1, 1)))
    table = np.array(found, float).reshape(-1, 5)
    return Ripples(*table.T)
