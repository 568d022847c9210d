"""Spike trains on a grid of time bins."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.methods.errors import InvalidDataError


def time_edges(start: float, stop: float, bin_width: float) -> NDArray[np.floating]:
    """Return the edges (s) of the whole bins that fit into start..stop, ``(n_bins + 1,)``."""
    if not bin_width > 0:
        raise InvalidDataError("The width of a time bin must be above zero.")
    n_bins = int(np.floor((stop - start) / bin_width + 1e-9))
    if n_bins < 1:
        raise InvalidDataError(f"From {start:g} s to {stop:g} s there is no whole bin of {bin_width:g} s.")
    return start + np.arange(n_bins + 1) * bin_width


def bin_spikes(times: NDArray[Any], units: NDArray[Any], edges: NDArray[Any], *, n_units: int) -> NDArray[np.floating]:
    """Count the spikes of every unit in bins of equal width: ``(n_bins, n_units)``.

    ``times`` (s) and ``units`` (0 .. n_units-1) are ``(n_spikes,)``; spikes outside the edges are not counted.
    """
    times, units, edges = np.asarray(times, float), np.asarray(units, int), np.asarray(edges, float)
    n_bins = edges.size - 1
    inside = (times >= edges[0]) & (times < edges[-1])
    where = np.searchsorted(edges, times[inside], side="right") - 1
    flat = np.bincount(where * n_units + units[inside], minlength=n_bins * n_units)
    return flat.reshape(n_bins, n_units).astype(float)


def sliding_counts(counts: NDArray[np.floating], width: int) -> NDArray[np.floating]:
    """Sum counts ``(n_bins, n_units)`` over a centred window of ``width`` bins; beyond the ends there are no spikes."""
    if width <= 1:
        return counts
    before = width // 2
    padded = np.zeros((counts.shape[0] + width, counts.shape[1]))
    padded[before + 1 : before + 1 + counts.shape[0]] = counts
    total = np.cumsum(padded, axis=0)
    return total[width:] - total[:-width]


def counts_around(counts: NDArray[np.floating], *, window_bins: int, lags: int) -> NDArray[np.floating]:
    """Return the counts of windows around every bin, ``(n_bins, n_units * (2 * lags + 1))``, window by window.

    ``counts`` is ``(n_bins, n_units)``; each window is ``window_bins`` long and follows the one before, the middle one
    is centred on the bin. Beyond the ends and in bins of NaN there are no spikes: hide what must not be seen as NaN.
    """
    within = sliding_counts(np.nan_to_num(counts), window_bins)
    reach = lags * window_bins
    padded = np.pad(within, ((reach, reach), (0, 0)))
    starts = range(0, 2 * reach + 1, window_bins)
    return np.concatenate([padded[start : start + len(counts)] for start in starts], axis=1)
