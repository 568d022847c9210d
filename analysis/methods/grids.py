"""Places of equal size, along a track or over an arena, and what smooths or moves values between them.

Positions are in %: of the track ``(n,)``, or of the longer side of the arena ``(n, 2)``, x and y. Values over places
end in the axes of a grid: ``(..., bins)`` on a track, ``(..., rows, columns)`` in an arena, so that y is before x.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

# How far the coordinates of a position reach (%) on a track; an arena has two sides, x and y, the longer one of 100 %.
TRACK: tuple[float, ...] = (100.0,)


@dataclass(frozen=True)
class Grid:
    """``shape`` is (bins,) or (rows, columns), ``sides`` (%) how far each coordinate of a position reaches."""

    shape: tuple[int, ...]
    sides: tuple[float, ...] = TRACK

    @classmethod
    def with_bins(cls, place_bins: int, sides: tuple[float, ...] = TRACK) -> Grid:
        """Return places of which ``place_bins`` lie along 100 %, as square in an arena as its sides allow."""
        return cls(tuple(max(1, round(place_bins * side / 100)) for side in reversed(sides)), sides)

    @property
    def cells(self) -> int:
        """Return how many places there are."""
        return int(np.prod(self.shape))

    @property
    def centres(self) -> Array:
        """Return the middle of every place (%), ``(cells,)`` on a track and ``(cells, 2)`` in an arena."""
        axes = [
            (np.arange(bins) + 0.5) * side / bins for bins, side in zip(reversed(self.shape), self.sides, strict=True)
        ]
        if len(axes) == 1:
            return axes[0]
        x, y = np.meshgrid(*axes)
        return np.stack([x.ravel(), y.ravel()], axis=1)

    def place(self, position: Array) -> NDArray[np.int64]:
        """Return the number of the place of each position, row by row in an arena; -1 where there is none, NaN."""
        columns = position.reshape(len(position), len(self.sides))
        seen = np.isfinite(columns).all(axis=1)
        place = np.full(len(position), -1, dtype=np.int64)
        at = [
            np.clip((columns[seen, axis] / side * bins).astype(np.int64), 0, bins - 1)
            for axis, (side, bins) in enumerate(zip(self.sides, reversed(self.shape), strict=True))
        ]
        place[seen] = at[0] if len(at) == 1 else at[1] * self.shape[1] + at[0]
        return place

    def visited(self, seconds: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which places of an arena count as visited, ``shape``, from the time in each; all on a track.

        Those where the animal was, and the places around them: between two time bins it runs over places that it is
        seen in at neither, and those are no holes in the arena.
        """
        from scipy.ndimage import maximum_filter

        if len(self.shape) == 1:
            return np.ones(self.shape, dtype=bool)
        return maximum_filter(seconds.reshape(self.shape) > 0, size=3, mode="constant")

    def nearest(self, position: Array, allowed: NDArray[np.bool_]) -> Array:
        """Return positions ``(n,)`` or ``(n, 2)`` (%), each that is in no place of ``allowed`` ``(cells,)`` moved.

        It goes to the middle of the nearest one that is.
        """
        if allowed.all():
            return position
        moved, centres = np.array(position, float), self.centres[allowed]
        for row in np.flatnonzero(~allowed[self.place(position)]):
            moved[row] = centres[distance(moved[row][None], centres).argmin()]
        return moved

    def gaussians(self, percent: float) -> tuple[Array, ...]:
        """Return for each axis of ``shape`` a Gaussian of sigma ``percent`` (%) over its places."""
        return tuple(
            gaussian(bins, percent / side * bins) for bins, side in zip(self.shape, reversed(self.sides), strict=True)
        )

    def smoothing(self, sigma: float) -> tuple[Array, ...]:
        """Return for each axis of ``shape`` a Gaussian of ``sigma`` places that ends at four of them."""
        return tuple(gaussian(bins, sigma, reach=4.0) for bins in self.shape)

    def spread(self, values: Array, kernels: Sequence[Array]) -> Array:
        """Return values ``(..., *shape)`` when every place gives to others as its row of ``kernels`` says."""
        spread = values @ kernels[-1]
        return spread if len(self.shape) == 1 else np.matmul(kernels[0].T, spread)


def gaussian(bins: int, sigma: float, *, reach: float = np.inf) -> Array:
    """Return a Gaussian over places ``(bins, bins)``; ``sigma`` in places, each row sums to 1.

    What would leave the track or the arena stays in it. ``reach`` (sigmas) is where it ends; without a sigma nothing
    is smoothed.
    """
    if sigma <= 0:
        return np.eye(bins)
    distance = np.arange(bins)[:, None] - np.arange(bins)[None, :]
    kernel = np.exp(-0.5 * (distance / sigma) ** 2)
    if np.isfinite(reach):
        kernel = np.where(np.abs(distance) <= np.ceil(reach * sigma), kernel, 0)
    return kernel / kernel.sum(axis=1, keepdims=True)


def posterior_median(posterior: Array, sides: tuple[float, ...] = TRACK) -> Array:
    """Return the median (%) of posteriors ``(n_bins, *shape)``, linear within a place, ``(n_bins,)``.

    Of all point estimates it has the least expected absolute error. In an arena it is that of x and that of y,
    ``(n_bins, 2)``.
    """
    if posterior.ndim == 2:
        return _median(posterior, sides[0])
    return np.stack([_median(posterior.sum(axis=1), sides[0]), _median(posterior.sum(axis=2), sides[1])], axis=1)


def _median(posterior: Array, side: float) -> Array:
    bins = posterior.shape[1]
    cumulative = np.cumsum(posterior, axis=1)
    half = cumulative[:, -1:] / 2
    at = (cumulative >= half).argmax(axis=1)[:, None]
    inside = np.take_along_axis(posterior, at, axis=1)
    before = np.take_along_axis(cumulative, at, axis=1) - inside
    share = np.divide(half - before, inside, out=np.full_like(inside, 0.5), where=inside > 0)
    return (at + share)[:, 0] * side / bins


def distance(true: NDArray[Any], decoded: NDArray[Any]) -> Array:
    """Return how far decoded positions lie from true ones (%), along the track or straight across the arena."""
    apart = np.asarray(decoded, float) - np.asarray(true, float)
    return np.abs(apart) if apart.ndim == 1 else np.hypot(apart[:, 0], apart[:, 1])
