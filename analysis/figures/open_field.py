"""Figures of a position decoded in an arena: path, posterior at moments, error by place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.figures.decoding import busiest
from analysis.figures.place_fields import side_by_side, unvisited
from analysis.figures.spec import Axis, Figure, Image, Line, Panel, Points, every

Array = NDArray[np.floating]

# Enough to see where a decoder is sure and where not, and large enough to be seen on a phone.
_MOMENTS, _ABREAST = 4, 2
# A median of fewer bins says more about luck than about the place.
_LEAST_BINS = 3


def decoded_path(
    time: Array,
    true: Array,
    decoded: Array,
    moving: NDArray[np.bool_],
    visited: NDArray[np.bool_],
    *,
    unit: str,
    size: tuple[float, float],
    confined: bool = True,
    seconds: float = 30.0,
) -> Figure:
    """Draw the true and the decoded way through the arena in the stretch where the animal moves most.

    ``time`` (s) ``(n_bins,)`` of equal steps; ``true`` and ``decoded`` ``(n_bins, 2)``, x and y in ``unit``, of an
    arena of ``size``; ``visited`` ``(rows, columns)``, to which the decoder is ``confined`` or not.
    """
    window, step = busiest(time, moving & np.isfinite(true[:, 0]), seconds)
    shown, real, found = time[window], true[window], decoded[window]
    all_x, all_y = every(true[:, 0], true[:, 1])
    extent = (0.0, size[0], 0.0, size[1])
    return Figure(
        name="decoded-path",
        title="True and decoded path",
        caption=(
            f"The {len(shown) * step:.0f} s with most running, from {shown[0] - step / 2:.0f} s on, each bin of "
            f"{step * 1000:.0f} ms decoded from blocks of time that trained no part of it; dot: where both begin. "
            f"Thin: the whole session. Grey: unvisited{', and never decoded' if confined else ''}."
        ),
        aspect=_aspect(size),
        panels=(
            Panel(
                Axis("x", unit, low=0.0, high=size[0]),
                Axis("y", unit, low=0.0, high=size[1]),
                (
                    unvisited(visited, extent),
                    Line(all_x, all_y, role="chance", width=0.6),
                    Line(real[:, 0], real[:, 1], role="truth", label="true", width=2.5),
                    Line(found[:, 0], found[:, 1], role="data", label="decoded", width=1.5),
                    Points(real[:1, 0], real[:1, 1], role="truth", size=9.0),
                    Points(found[:1, 0], found[:1, 1], role="data", size=9.0),
                ),
                equal=True,
            ),
        ),
    )


def posterior_moments(
    time: Array,
    posterior: Array,
    true: Array,
    moving: NDArray[np.bool_],
    visited: NDArray[np.bool_],
    *,
    unit: str,
    size: tuple[float, float],
    seconds: float = 30.0,
) -> Figure:
    """Draw the decoded probability of each place at moments of the stretch that ``decoded_path`` draws.

    ``posterior`` is ``(n_bins, rows, columns)``; the others are as there.
    """
    window, step = busiest(time, moving & np.isfinite(true[:, 0]), seconds)
    running = np.flatnonzero(moving[window] & np.isfinite(posterior[window, 0, 0])) + window.start
    moments = running[np.linspace(0, running.size - 1, min(_MOMENTS, running.size)).round().astype(int)]
    tiles = side_by_side([np.where(visited, posterior[moment], np.nan) for moment in moments], _ABREAST)
    rows, columns = visited.shape
    wide, high = size[0] / columns, size[1] / rows
    height, width = tiles.values.shape
    extent = (0.0, width * wide, 0.0, height * high)
    corners = np.array([(left * wide, top * high) for top, left in tiles.corners])
    places = corners + true[moments]
    # Around each arena; the corner that is not a number lifts the pen.
    box = np.array([(0, 0), (size[0], 0), size, (0, size[1]), (0, 0), (np.nan, np.nan)])
    outline = (corners[:, None] + box).reshape(-1, 2)
    sure = float(np.nanmax(tiles.values))
    return Figure(
        name="posterior",
        title="Posterior and true place",
        caption=(
            f"Probability of each of {rows} x {columns} places at {len(moments)} moments of those {seconds:.0f} s, row "
            f"by row from the top left: {', '.join(f'{time[moment]:.1f} s' for moment in moments)}. Dots: where the "
            f"animal was; bins of {step * 1000:.0f} ms. Grey: unvisited, without probability."
        ),
        aspect=_aspect((extent[1], extent[3])),
        panels=(
            Panel(
                Axis("moments side by side", unit, low=0.0, high=extent[1]),
                Axis("rows of moments", unit, low=0.0, high=extent[3]),
                (
                    unvisited(tiles.known, extent),
                    Image(tiles.values, *extent, label="probability", low=0.0, high=sure),
                    Line(outline[:, 0], outline[:, 1], role="muted", width=0.8),
                    Points(places[:, 0], places[:, 1], role="truth", label="true place", size=5.5),
                ),
                equal=True,
            ),
        ),
    )


def error_map(true: Array, error: Array, *, unit: str, size: tuple[float, float], along: int = 10) -> Figure:
    """Draw the median error ``(n,)`` by true place ``(n, 2)``, in squares of which ``along`` lie on the longer side."""
    edge = max(size) / along
    columns, rows = (max(1, round(side / edge)) for side in size)
    column = np.clip((true[:, 0] / size[0] * columns).astype(int), 0, columns - 1)
    row = np.clip((true[:, 1] / size[1] * rows).astype(int), 0, rows - 1)
    square = row * columns + column
    middle = np.full(rows * columns, np.nan)
    for one in np.flatnonzero(np.bincount(square, minlength=middle.size) >= _LEAST_BINS):
        middle[one] = np.median(error[square == one])
    table = middle.reshape(rows, columns)
    extent = (0.0, size[0], 0.0, size[1])
    return Figure(
        name="error-by-place",
        title="Error by place",
        caption=(
            f"Median error of the moving bins in each of {rows} x {columns} places, by where the animal truly was. "
            f"Grey: fewer than {_LEAST_BINS} bins."
        ),
        aspect=_aspect(size),
        panels=(
            Panel(
                Axis("x", unit, low=0.0, high=size[0]),
                Axis("y", unit, low=0.0, high=size[1]),
                (unvisited(np.isfinite(table), extent), Image(table, *extent, label=f"median error ({unit})", low=0.0)),
                equal=True,
            ),
        ),
    )


def _aspect(size: tuple[float, float]) -> float:
    return float(np.clip(size[1] / size[0], 0.5, 1.2))
