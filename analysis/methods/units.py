"""Quality of sorted units: what a spike train and a mean waveform say of how well a unit is isolated.

Sources: refractory violations after Hill, Mehta and Kleinfeld 2011, J. Neurosci. 31, 8699-8705; presence ratio and
signal to noise as in the Allen Institute's ecephys tools (Siegle et al. 2021, Nature 592, 86-92).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LABELS = ("good", "multi-unit", "noise")
# Below so many channels a spike is a large part of their median.
LEAST_REFERENCED = 8
# No neuron fires twice within this, s.
_REFRACTORY = 1.5e-3
# Sorters do not report two spikes of a unit closer than this, s.
_CENSORED = 0.3e-3
_PARTS = 20
# A mean waveform smaller than this times the noise is none.
_LEAST_WAVEFORM = 2.0


@dataclass(frozen=True)
class Limits:
    """What a good unit keeps: trough over noise, refractory violations, share of the recording, number of spikes."""

    least_snr: float = 5.0
    most_violations: float = 0.2
    least_presence: float = 0.9
    least_spikes: int = 50


@dataclass(frozen=True)
class Unit:
    """One unit: ``times`` (s) and ``amplitudes`` (uV) ``(spikes,)``, its channel, and its mean waveform there.

    ``waveform`` (uV) and ``waveform_time`` (s, 0 at the trough) are ``(samples,)``. ``rate`` is in 1/s; ``snr`` the
    trough over the channel's noise; ``violations`` and ``presence`` as of the functions of these names.
    """

    times: NDArray[np.floating]
    amplitudes: NDArray[np.floating]
    channel: int
    waveform: NDArray[np.floating]
    waveform_time: NDArray[np.floating]
    rate: float
    snr: float
    amplitude: float
    violations: float
    presence: float
    label: str


def describe(
    times: NDArray[np.floating],
    amplitudes: NDArray[np.floating],
    template: NDArray[np.floating],
    *,
    noise: NDArray[np.floating],
    channels: NDArray[np.integer],
    duration: float,
    rate: float,
    limits: Limits | None = None,
) -> Unit:
    """Return a unit with its quality from its spikes ``(spikes,)`` and mean waveforms ``(samples, channels)`` (uV).

    ``noise`` (uV) and ``channels``, the numbers of the columns, are ``(channels,)``; ``duration`` is in s, ``rate`` the
    samples per second.
    """
    limits = limits or Limits()
    times = np.asarray(times, float)
    at = int(np.argmin(template.min(axis=0)))
    trough = int(np.argmin(template[:, at]))
    depth = float(-template[trough, at])
    snr = depth / float(noise[at]) if noise[at] > 0 else 0.0
    violated = violations(times, duration)
    present = presence(times, duration)
    if times.size < limits.least_spikes or snr < _LEAST_WAVEFORM:
        label = "noise"
    elif snr >= limits.least_snr and present >= limits.least_presence and not violated > limits.most_violations:
        label = "good"
    else:
        label = "multi-unit"
    return Unit(
        times=times,
        amplitudes=np.asarray(amplitudes, float),
        channel=int(channels[at]),
        waveform=template[:, at],
        waveform_time=(np.arange(len(template)) - trough) / rate,
        rate=times.size / duration,
        snr=snr,
        amplitude=-depth,
        violations=violated,
        presence=present,
        label=label,
    )


def violations(times: NDArray[np.floating], duration: float) -> float:
    """Return the pairs of spikes of a train (s) within the refractory period, as a share of those of a Poisson train.

    0 is a train without any, 0.5 an equal mix of two units, 1 a train without refractoriness. NaN when a Poisson train
    of this rate would have fewer than three such pairs: then none says nothing.
    """
    if times.size < 2 or duration <= 0:
        return np.nan
    gaps = np.diff(np.sort(times))
    found = np.count_nonzero((gaps > _CENSORED) & (gaps < _REFRACTORY))
    random = times.size**2 * (_REFRACTORY - _CENSORED) / duration
    return float(found / random) if random >= 3 else np.nan


def presence(times: NDArray[np.floating], duration: float) -> float:
    """Return the share of twenty equal parts of the recording (s) in which a train ``(spikes,)`` (s) has a spike."""
    if duration <= 0:
        return 0.0
    parts = np.clip((times / duration * _PARTS).astype(int), 0, _PARTS - 1)
    return np.unique(parts).size / _PARTS


def autocorrelogram(
    times: NDArray[np.floating], *, reach: float = 0.05, bin_size: float = 0.001
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return lags (s) and the rate (1/s) of a train's other spikes around each of its spikes, both ``(bins,)``.

    ``reach`` is how far to both sides, ``bin_size`` the width of a bin (s). A spike is not its own neighbour.
    """
    half = round(reach / bin_size)
    edges = (np.arange(2 * half + 1) - half) * bin_size
    counts = np.zeros(2 * half, float)
    ordered = np.sort(np.asarray(times, float))
    # The k-th neighbour of every spike at once; there are as many rounds as spikes fall into the reach.
    for step in range(1, ordered.size):
        lags = ordered[step:] - ordered[:-step]
        near = lags[lags < reach]
        if near.size == 0:
            break
        bins = np.minimum((near / bin_size).astype(int), half - 1)
        found = np.bincount(bins, minlength=half)
        counts[half:] += found
        counts[:half] += found[::-1]
    return (edges[:-1] + edges[1:]) / 2, counts / max(ordered.size, 1) / bin_size
