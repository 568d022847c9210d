"""Place fields: rate maps on a track by running direction or in two dimensions, and whether a place is told by spikes.

Everything is computed over the time bins in which the animal runs, one after the other. Shifted spikes move along this
running time, so that every shift keeps their number, and a cell that only cares for rest or running is no place cell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.methods import permutation
from analysis.methods.errors import InvalidDataError

Floats = NDArray[np.floating]

# Shifted spikes that are looked up at a time: 8 bytes each, twice.
_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Places:
    """Where the animal was in each running time bin.

    ``cell`` ``(n_bins,)`` numbers the places of all groups, row by row; a group is a running direction, or all there
    is. ``shape`` is (groups, bins) on a track and (1, rows, columns) in two dimensions; ``size`` the length of a place
    bin along the last axes; ``seconds`` one time bin. Places that were visited for less than ``least`` s count as
    unvisited; ``smoothing`` is the sigma of a Gaussian over spikes and time, in place bins.
    """

    cell: NDArray[np.int64]
    shape: tuple[int, ...]
    size: float
    seconds: float
    smoothing: float
    least: float

    @property
    def occupancy(self) -> Floats:
        """Seconds in each place ``shape``."""
        counts = np.bincount(self.cell, minlength=int(np.prod(self.shape)))
        return counts.reshape(self.shape) * self.seconds

    @property
    def visited(self) -> NDArray[np.bool_]:
        """Places with enough time ``shape``."""
        return self.occupancy >= max(self.least, 0.5 * self.seconds)


def on_track(
    percent: NDArray[Any],
    *,
    bins: int,
    length: float,
    seconds: float,
    smoothing: float,
    least: float,
    forward: NDArray[Any],
) -> Places:
    """Return the places of running bins on a track: group 0 is running towards 100 %, group 1 back.

    ``percent`` ``(n,)`` is the position, ``forward`` ``(n,)`` whether it rises; ``length`` is that of the track.
    """
    percent = np.asarray(percent, float)
    _enough(percent.size)
    place = np.clip((percent / 100 * bins).astype(np.int64), 0, bins - 1)
    cell = place + bins * (~np.asarray(forward, bool)).astype(np.int64)
    return Places(cell, (2, bins), length / bins, seconds, smoothing, least)


def in_the_open(xy: NDArray[Any], *, size: float, seconds: float, smoothing: float, least: float) -> Places:
    """Return the places of running bins in two dimensions: squares of ``size`` from the least x and y on."""
    xy = np.asarray(xy, float)
    _enough(len(xy))
    column, row = ((xy - xy.min(axis=0)) / size).astype(np.int64).T
    columns, rows = int(column.max()) + 1, int(row.max()) + 1
    if rows * columns > 40_000:
        raise InvalidDataError(
            f"Squares of {size:g} make a map of {columns} x {rows} places, more than can be filled: use larger ones."
        )
    return Places(row * columns + column, (1, rows, columns), size, seconds, smoothing, least)


def _enough(n: int) -> None:
    if n == 0:
        raise InvalidDataError("In no time bin does the animal run, so there is nothing to map.")


def rate_map(places: Places, counts: NDArray[Any]) -> Floats:
    """Return rates (Hz) ``(..., *shape)`` from spikes in each place ``(..., *shape)``, NaN where unvisited.

    Spikes and time are smoothed alike and then divided, so that neither ends of a track nor holes lower a rate.
    """
    occupancy = np.where(places.visited, places.occupancy, 0.0)
    spikes = _smooth(places, np.where(places.visited, counts, 0.0))
    seconds = _smooth(places, occupancy)
    return np.where(places.visited, spikes / np.where(places.visited, seconds, 1.0), np.nan)


def _smooth(places: Places, values: Floats) -> Floats:
    from scipy.ndimage import gaussian_filter

    if places.smoothing <= 0:
        return values
    sigma = np.zeros(values.ndim)
    sigma[values.ndim - len(places.shape) + 1 :] = places.smoothing
    return gaussian_filter(values, sigma, mode="constant", truncate=4.0)


def information(places: Places, rates: NDArray[Any]) -> tuple[Floats, Floats]:
    """Return what one spike tells of the place: bits per spike ``(...)``, and by group ``(..., groups)``.

    ``rates`` ``(..., *shape)`` are those of ``rate_map``. Within a group it is sum p (r / m) log2 (r / m), p the share
    of time in a place, r its rate and m the mean rate. Of several groups it is their mean weighted by spikes: what the
    place tells when the direction is known, so that a cell that cares for the direction alone tells nothing. NaN where
    a unit has no spike. Source: Skaggs, McNaughton, Gothard and Markus 1993, NIPS 5, 1030-1037.
    """
    groups = places.shape[0]
    seconds = np.where(places.visited, places.occupancy, 0.0).reshape(groups, -1)
    rates = np.nan_to_num(np.asarray(rates, float)).reshape(*np.shape(rates)[: -len(places.shape)], groups, -1)
    spent = seconds.sum(axis=1)
    share = seconds / np.where(spent > 0, spent, 1.0)[:, None]
    mean = (share * rates).sum(axis=-1)
    ratio = rates / np.where(mean > 0, mean, 1.0)[..., None]
    bits = np.sum(share * ratio * np.log2(np.where(ratio > 0, ratio, 1.0)), axis=-1)
    weight = mean * spent
    total = weight.sum(axis=-1)
    pooled = np.sum(weight * bits, axis=-1) / np.where(total > 0, total, 1.0)
    return np.where(total > 0, pooled, np.nan), np.where(mean > 0, bits, np.nan)


@dataclass(frozen=True)
class Tested:
    """``bits`` per spike, those of shifted spikes ``null`` ``(shifts,)``, and ``p``, NaN without shifts or spikes."""

    bits: float
    by_group: Floats
    null: Floats
    p: float


def tested_information(places: Places, spikes: NDArray[Any], lags: NDArray[Any]) -> Tested:
    """Return the information of one unit and that of its spikes shifted along the running time.

    ``spikes`` ``(n_spikes,)`` are running time bins, one entry for each spike; ``lags`` ``(shifts,)`` in bins. Each
    shift repeats the whole: map, smoothing, information.
    """
    spikes, lags = np.asarray(spikes, np.int64), np.asarray(lags, np.int64)
    real, by_group = information(places, rate_map(places, _counts(places, spikes, np.zeros(1, np.int64))))
    if not spikes.size or not lags.size:
        return Tested(float(real[0]), by_group[0], np.zeros(0), np.nan)
    cells = int(np.prod(places.shape))
    step = max(1, min(_AT_ONCE // spikes.size, _AT_ONCE // cells))
    null = np.concatenate(
        [
            information(places, rate_map(places, _counts(places, spikes, lags[first : first + step])))[0]
            for first in range(0, lags.size, step)
        ]
    )
    # A shift that puts all spikes where the animal hardly was leaves nothing to measure; it counts as as good.
    p = permutation.permutation_p(float(real[0]), np.nan_to_num(null, nan=np.inf), smaller_is_better=False)
    return Tested(float(real[0]), by_group[0], null, p if np.isfinite(real[0]) else np.nan)


def _counts(places: Places, spikes: NDArray[np.int64], lags: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return spikes in each place for every lag ``(lags, *shape)``."""
    cells = int(np.prod(places.shape))
    place = places.cell[(spikes + lags[:, None]) % places.cell.size]
    place += np.arange(lags.size)[:, None] * cells
    return np.bincount(place.ravel(), minlength=lags.size * cells).reshape(lags.size, *places.shape)


def stability(places: Places, spikes: NDArray[Any]) -> float:
    """Return the correlation of the maps of the first and the second half of the running time.

    Of places that were visited in both halves; NaN where a half has no spike or fewer than three such places.
    """
    middle = places.cell.size // 2
    maps = []
    for half, mine in (
        (slice(0, middle), spikes[spikes < middle]),
        (slice(middle, None), spikes[spikes >= middle] - middle),
    ):
        part = Places(places.cell[half], places.shape, places.size, places.seconds, places.smoothing, places.least / 2)
        maps.append(rate_map(part, _counts(part, mine, np.zeros(1, np.int64))[0]).ravel())
    both = np.isfinite(maps[0]) & np.isfinite(maps[1])
    first, second = maps[0][both], maps[1][both]
    if first.size < 3 or first.std() == 0 or second.std() == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


@dataclass(frozen=True)
class Field:
    """The field with the highest rate of one map.

    ``peak`` (Hz); ``at`` is its place from the map's beginning, one number for each axis (along; or x, y); ``width``
    the extent along a track, or the area in two dimensions, of the places around it above a share of the peak; ``mask``
    those places. All NaN where nothing was visited or no spike fell.
    """

    peak: float
    at: tuple[float, ...]
    width: float
    mask: NDArray[np.bool_]


def field_of(rates: NDArray[Any], size: float, *, share: float = 0.5) -> Field:
    """Return the main field of a map ``(bins,)`` or ``(rows, columns)``, its places above ``share`` of the peak."""
    from scipy.ndimage import label

    rates = np.asarray(rates, float)
    known = np.nan_to_num(rates, nan=-1.0)
    peak = float(known.max())
    if not peak > 0:
        return Field(float("nan"), (float("nan"),) * rates.ndim, float("nan"), np.zeros(rates.shape, bool))
    top = np.unravel_index(int(known.argmax()), rates.shape)
    parts, _ = label(known >= share * peak)
    mask = parts == parts[top]
    return Field(
        peak, tuple(float((place + 0.5) * size) for place in reversed(top)), float(mask.sum() * size**rates.ndim), mask
    )


@dataclass(frozen=True)
class UnitFields:
    """One unit: ``rates`` (Hz) ``shape``, running ``spikes``, mean ``rate`` (Hz), and what was made of them."""

    rates: Floats
    spikes: int
    rate: float
    information: Tested
    stability: float
    fields: tuple[Field, ...]


def map_units(
    places: Places,
    trains: list[NDArray[np.int64]],
    *,
    shifts: int,
    shortest_shift: float,
    share: float,
    rng: np.random.Generator,
    report: Callable[[float], None] | None = None,
) -> list[UnitFields]:
    """Return maps and tests of every unit from the running time bins of its spikes.

    All units are shifted by the same ``shifts`` lags, each at least ``shortest_shift`` (s of running) from none.
    Errors: ``InvalidDataError`` where the animal runs too little to be shifted that far.
    """
    lags = np.zeros(0, np.int64)
    if shifts:
        least = int(np.ceil(shortest_shift / places.seconds - 1e-9))
        if places.cell.size < 2 * least:
            raise InvalidDataError(
                f"The animal runs for {places.cell.size * places.seconds:.0f} s, too little to shift spikes by at "
                f"least {shortest_shift:g} s in both directions; set shifts to 0 to do without."
            )
        lags = permutation.shift_lags(places.cell.size, shifts=shifts, minimum_bins=least, rng=rng)
    made = []
    for number, spikes in enumerate(trains):
        rates = rate_map(places, _counts(places, spikes, np.zeros(1, np.int64))[0])
        made.append(
            UnitFields(
                rates,
                int(spikes.size),
                spikes.size / (places.cell.size * places.seconds),
                tested_information(places, spikes, lags),
                stability(places, spikes),
                tuple(field_of(group, places.size, share=share) for group in rates),
            )
        )
        if report is not None:
            report((number + 1) / len(trains))
    return made
