"""Power of a field potential in bands over time, from hours of it in little memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.methods import spectral
from analysis.methods.errors import InvalidDataError
from analysis.methods.spectral import Spectrogram


@dataclass(frozen=True)
class BandPower:
    """``power`` (unit^2) ``(n_windows, n_bands)`` at ``time`` (s), the middles of the windows ``(n_windows,)``.

    ``spectrogram`` (unit^2/Hz) has columns of as many windows each as make it small; ``spectra`` ``(n_groups,
    n_frequencies)`` are means over the windows of each group, NaN where a group has none.
    """

    time: NDArray[np.floating]
    power: NDArray[np.floating]
    spectrogram: Spectrogram
    spectra: NDArray[np.floating]


def power_in_bands(
    read: Callable[[int, int], NDArray[Any]],
    n_samples: int,
    rate: float,
    bands: Mapping[str, tuple[float, float]],
    *,
    window: float,
    step: float,
    half_bandwidth: float,
    groups: NDArray[np.integer] | None = None,
    columns: int = 900,
    held: int = 2_000_000,
    report: Callable[[float], None] | None = None,
) -> BandPower:
    """Return the power in ``bands`` (name to Hz, both ends belong to it) by multitaper spectra of windows.

    ``read``, ``window``, ``step``, ``half_bandwidth`` and ``held`` are those of ``spectral.multitaper``; ``groups``
    ``(n_windows,)`` numbers windows from 0 for the mean spectra, -1 for none; ``columns`` are the most of the
    spectrogram. The power of a band is the integral of the density (unit^2), so that bands next to each other add up to
    the variance. ``report`` hears the share that is done.
    """
    highest = max(high for _, high in bands.values())
    if highest > rate / 2:
        raise InvalidDataError(f"A signal at {rate:g} Hz has nothing up to {highest:g} Hz.")
    time = spectral.window_times(n_samples, rate, window=window, step=step)
    together = -(-time.size // columns)
    column = np.arange(time.size) // together
    labels = np.zeros(time.size, np.int64) if groups is None else np.asarray(groups)
    power = np.empty((time.size, len(bands)))
    frequency: NDArray[np.floating] = np.zeros(0)
    shown = sums = np.zeros((0, 0))
    done = 0
    for piece in spectral.multitaper(
        read, n_samples, rate, window=window, step=step, highest=highest, half_bandwidth=half_bandwidth, held=held
    ):
        if done == 0:
            frequency = piece.frequency
            shown = np.zeros((int(column[-1]) + 1, frequency.size))
            sums = np.zeros((max(1, int(labels.max()) + 1), frequency.size))
        part = slice(done, done + piece.time.size)
        for number, (low, high) in enumerate(bands.values()):
            power[part, number] = spectral.band_power(piece.power, frequency, low, high)
        there, starts = np.unique(column[part], return_index=True)
        shown[there] += np.add.reduceat(piece.power, starts, axis=0)
        for group in range(len(sums)):
            sums[group] += piece.power[labels[part] == group].sum(axis=0)
        done += piece.time.size
        if report is not None:
            report(done / time.size)
    each = np.bincount(column)
    middles = np.bincount(column, weights=time) / each
    members = np.bincount(labels[labels >= 0], minlength=len(sums)).astype(float)
    members[members == 0] = np.nan
    return BandPower(time, power, Spectrogram(middles, frequency, shown / each[:, None]), sums / members[:, None])
