"""Where the animal was: cleaning of tracked positions, the way along a track, and speed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.methods.errors import InvalidDataError


@dataclass(frozen=True)
class CleanPosition:
    """Positions in order of time. ``time`` (s) ``(n,)`` rising, ``xy`` ``(n, 2)`` with NaN where there is none.

    The counts say what was found wrong and taken out.
    """

    time: NDArray[np.floating]
    xy: NDArray[np.floating]
    duplicates: int = 0
    backward: int = 0
    zeros: int = 0
    teleports: int = 0


def clean_position(time: NDArray[Any], xy: NDArray[Any], *, zeros_are_missing: bool = True) -> CleanPosition:
    """Drop repeated and backward time stamps, and blank zeros and teleports, counting each.

    ``time`` (s) is ``(n,)``, ``xy`` ``(n, 2)`` in any unit. A *zero* is x = y = 0, which trackers write for nothing
    found. A *teleport* is a sample further than 10 % of the range from the median of the five around it. Nothing is
    interpolated here. Errors: ``InvalidDataError`` when the shapes do not match or fewer than two samples remain.
    """
    time, xy = np.asarray(time, float), np.array(xy, float)
    if time.ndim != 1 or xy.shape != (time.size, 2):
        raise InvalidDataError(f"Positions need one time and one x, y per sample, not {time.shape} and {xy.shape}.")
    finite = np.isfinite(time)
    time, xy = time[finite], xy[finite]
    # A stamp at or before the latest one so far tells nothing about when; the first of each is kept.
    latest = np.maximum.accumulate(time) if time.size else time
    step = np.diff(time, prepend=-np.inf)
    fresh = np.r_[True, time[1:] > latest[:-1]] if time.size else np.zeros(0, bool)
    duplicates = int(np.count_nonzero(~fresh & (step == 0)))
    backward = int(np.count_nonzero(~fresh)) - duplicates
    time, xy = time[fresh], xy[fresh]
    xy[~np.isfinite(xy).all(axis=1)] = np.nan
    zero = (xy == 0).all(axis=1) if zeros_are_missing else np.zeros(time.size, bool)
    xy[zero] = np.nan
    far = _teleports(xy)
    xy[far] = np.nan
    if np.count_nonzero(np.isfinite(xy[:, 0])) < 2:
        raise InvalidDataError("Fewer than two usable positions remain.")
    return CleanPosition(time, xy, duplicates, backward, int(zero.sum()), int(far.sum()))


def _teleports(xy: NDArray[np.floating]) -> NDArray[np.bool_]:
    from scipy.ndimage import median_filter

    found = np.isfinite(xy[:, 0])
    far = np.zeros(found.size, bool)
    if np.count_nonzero(found) < 5:
        return far
    seen = xy[found]
    scale = np.ptp(np.percentile(seen, [1, 99], axis=0), axis=0).max()
    if scale > 0:
        away = np.hypot(*(seen - median_filter(seen, size=(5, 1), mode="nearest")).T)
        far[np.flatnonzero(found)[away > 0.1 * scale]] = True
    return far


@dataclass(frozen=True)
class Linear:
    """Position along a track.

    ``percent`` ``(n,)`` 0-100, ``length`` in the unit of x and y, ``variance`` the explained share.
    """

    percent: NDArray[np.floating]
    length: float
    variance: float


def linearise(xy: NDArray[Any]) -> Linear:
    """Project positions ``(n, 2)`` on their first principal component and scale its range to 0-100 %.

    The direction is fixed: percent rises with the coordinate that varies most. NaN stays NaN. The coordinate is made
    from behaviour alone, before any fold; it defines what is decoded and sees no spike. Errors: ``InvalidDataError``
    when the animal does not move.
    """
    xy = np.asarray(xy, float)
    seen = np.isfinite(xy).all(axis=1)
    if np.count_nonzero(seen) < 2:
        raise InvalidDataError("Fewer than two usable positions remain.")
    centred = xy - xy[seen].mean(axis=0)
    variances, axes = np.linalg.eigh(np.cov(centred[seen].T))
    axis = axes[:, -1]
    axis = axis * np.sign(axis[np.argmax(np.abs(axis))])
    along = centred @ axis
    low, high = along[seen].min(), along[seen].max()
    if not high > low:
        raise InvalidDataError("The animal stays at one point, so there is no track to measure along.")
    return Linear((along - low) / (high - low) * 100, float(high - low), float(variances[-1] / variances.sum()))


def lap_ends(percent: NDArray[Any], *, end: float = 10.0) -> NDArray[np.int64]:
    """Return the bins in which the animal arrives at the other end of the track, rising.

    ``percent`` is ``(n_bins,)``, NaN where it was not seen; an end is the outermost ``end`` % of the track. A lap is
    one way from end to end, so there and back are two.
    """
    percent = np.asarray(percent, float)
    at = np.flatnonzero((percent <= end) | (percent >= 100 - end))
    side = percent[at] > 50
    return at[1:][side[1:] != side[:-1]] if at.size else at


@dataclass(frozen=True)
class BinnedPosition:
    """``position`` ``(n_bins,)`` or ``(n_bins, axes)`` and ``speed`` ``(n_bins,)``, NaN where there was none seen."""

    position: NDArray[np.floating]
    speed: NDArray[np.floating]


def bin_position(
    time: NDArray[Any], value: NDArray[Any], edges: NDArray[Any], *, smoothing: float = 0.0, longest_gap: float = 0.5
) -> BinnedPosition:
    """Put a position on time bins: its value at the centre of each bin and its mean speed from edge to edge.

    ``time`` (s) and ``value`` are ``(n,)``, ``edges`` (s) ``(n_bins + 1,)``; speed is in units of value per second.
    ``value`` may have several axes, ``(n, axes)``, each of which is binned, and speed is that across them.
    ``smoothing`` is the sigma (s) of a Gaussian over the samples, cut at 3 sigma. Bins that touch a gap between seen
    samples longer than ``longest_gap`` (s), or lie outside them, are NaN: nothing is interpolated across it.
    """
    time, value, edges = (np.asarray(a, float) for a in (time, value, edges))
    if value.ndim > 1:
        each = [bin_position(time, one, edges, smoothing=smoothing, longest_gap=longest_gap) for one in value.T]
        return BinnedPosition(
            np.stack([one.position for one in each], axis=1), np.hypot.reduce([one.speed for one in each], axis=0)
        )
    seen = np.isfinite(value)
    time, value = time[seen], value[seen]
    if time.size < 2:
        raise InvalidDataError("Fewer than two usable positions remain.")
    if smoothing > 0:
        value = _smooth(time, value, smoothing, longest_gap)
    centre = (edges[:-1] + edges[1:]) / 2
    position = np.interp(centre, time, value)
    at_edges = np.interp(edges, time, value)
    speed = np.abs(np.diff(at_edges)) / np.diff(edges)
    blind = (edges[:-1] < time[0]) | (edges[1:] > time[-1])
    gaps = np.flatnonzero(np.diff(time) > longest_gap)
    for gap in gaps:
        blind |= (edges[1:] > time[gap]) & (edges[:-1] < time[gap + 1])
    position[blind] = np.nan
    speed[blind] = np.nan
    return BinnedPosition(position, speed)


def _smooth(
    time: NDArray[np.floating], value: NDArray[np.floating], sigma: float, longest_gap: float
) -> NDArray[np.floating]:
    """Smooth each stretch without a long gap by itself, so that nothing leaks across it."""
    from scipy.ndimage import gaussian_filter1d

    smooth = value.copy()
    bounds = np.r_[0, np.flatnonzero(np.diff(time) > longest_gap) + 1, time.size]
    interval = float(np.median(np.diff(time)))
    for start, stop in pairwise(bounds):
        if stop - start > 1:
            smooth[start:stop] = gaussian_filter1d(value[start:stop], sigma / interval, truncate=3.0, mode="nearest")
    return smooth


def mean_around(time: NDArray[Any], value: NDArray[Any], centre: NDArray[Any], width: float) -> NDArray[np.floating]:
    """Return the mean of a sampled value within ``width`` (s) around each of the times ``centre`` ``(m,)``.

    ``time`` (s, rising) and ``value`` are ``(n,)``; where values cover less than half of the width it is NaN.
    """
    time, value, centre = (np.asarray(a, float) for a in (time, value, centre))
    seen = np.isfinite(value)
    time, value = time[seen], value[seen]
    if time.size < 2:
        return np.full(centre.shape, np.nan)
    first, last = np.searchsorted(time, centre - width / 2), np.searchsorted(time, centre + width / 2)
    count = last - first
    total = np.concatenate([[0.0], np.cumsum(value)])
    enough = (count > 0) & (count * float(np.median(np.diff(time))) >= width / 2)
    return np.where(enough, (total[last] - total[first]) / np.maximum(count, 1), np.nan)
