"""Figures of place fields: rate maps, spikes on the path, information against its null, stability, occupancy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.figures.spec import MOST_POINTS, Axis, Band, Figure, Image, Layer, Line, Panel, Points, every
from analysis.methods.place_fields import Places, UnitFields

Array = NDArray[np.floating]

DIRECTIONS = ("running forth", "running back")
# More maps than these are too small to be seen side by side; the file of maps has them all.
_MOST_MAPS = 30
_MOST_PATHS = 3


def unvisited(known: NDArray[np.bool_], extent: tuple[float, float, float, float]) -> Image:
    """Grey where the animal was not: neither a low rate nor an empty page."""
    return Image(np.where(known, np.nan, 1.0), *extent, palette="unknown", low=0.0, high=1.0)


def track_maps(found: Sequence[UnitFields], size: float, unit: str) -> Figure:
    """Draw the rate of each unit along the track as a share of its peak, sorted by the place of the peak.

    One panel for each running direction, each sorted by itself; ``size`` is the length of a place bin in ``unit``.
    """
    rates = np.stack([one.rates for one in found])
    n, bins = len(found), rates.shape[-1]
    panels = []
    for group, title in enumerate(DIRECTIONS):
        mine = rates[:, group]
        top = np.nanmax(np.where(np.isfinite(mine), mine, 0.0), axis=1)
        # A unit that is silent in this direction is shown against its peak in the other, not blown up to full scale.
        best = np.nanmax(np.where(np.isfinite(rates), rates, 0.0), axis=(1, 2))
        scale = np.where(top > 0.2 * best, top, best)
        place = np.array([field.at[0] for field in (one.fields[group] for one in found)])
        order = np.argsort(np.where(np.isfinite(place), place, np.inf), kind="stable")
        shown = (mine / np.where(scale > 0, scale, 1.0)[:, None])[order]
        extent = (0.0, bins * size, 0.5, n + 0.5)
        panels.append(
            Panel(
                Axis("place", unit, low=0.0, high=bins * size),
                Axis("unit, by peak", low=0.5, high=n + 0.5, whole=True),
                (
                    unvisited(np.isfinite(shown), extent),
                    Image(shown, *extent, label="rate / peak", low=0.0, high=1.0),
                ),
                title=title,
            )
        )
    return Figure(
        name="fields",
        title="Fields along the track",
        caption=f"Rate of {n} units in {bins} bins of {size:.3g} {unit}, each as a share of its peak in that direction "
        "(of its higher peak where it hardly fires in this one), sorted by the place of the peak in each direction by "
        "itself. Grey: unvisited.",
        span="full",
        aspect=0.9,
        shared=True,
        panels=tuple(panels),
    )


@dataclass(frozen=True)
class Tiles:
    """Maps beside each other: ``values``, NaN between them, ``known`` where neither map nor gap is unvisited.

    ``corners`` are row and column of the lower left of each.
    """

    values: Array
    known: NDArray[np.bool_]
    corners: list[tuple[int, int]]


def side_by_side(maps: Sequence[Array], across: int = 0) -> Tiles:
    """Put maps ``(rows, columns)`` of one shape row by row from the top left; NaN in them is unvisited.

    ``across`` lie beside each other, or as many as make the whole wider than high.
    """
    rows, columns = maps[0].shape
    across = min(len(maps), across or max(1, round(np.sqrt(len(maps) * 1.6))))
    down = -(-len(maps) // across)
    gap = max(1, columns // 12)
    height, width = down * (rows + gap) - gap, across * (columns + gap) - gap
    values, known, corners = np.full((height, width), np.nan), np.ones((height, width), bool), []
    for number, one in enumerate(maps):
        # The first map is at the top left.
        top = (down - 1 - number // across) * (rows + gap)
        left = number % across * (columns + gap)
        values[top : top + rows, left : left + columns] = one
        known[top : top + rows, left : left + columns] = np.isfinite(one)
        corners.append((top, left))
    return Tiles(values, known, corners)


def open_maps(found: Sequence[UnitFields], size: float, unit: str, labels: Sequence[str]) -> Figure:
    """Draw the maps of units side by side, the most informative first, each as a share of its peak."""
    bits = np.array([one.information.bits for one in found])
    order = np.argsort(-np.nan_to_num(bits, nan=-1.0), kind="stable")[:_MOST_MAPS]
    rows, columns = found[0].rates.shape[1:]
    peaks = [np.nanmax(found[index].rates) for index in order]
    tiles = side_by_side(
        [found[index].rates[0] / (peak if peak > 0 else 1.0) for index, peak in zip(order, peaks, strict=True)]
    )
    height, width = tiles.values.shape
    extent = (0.0, width * size, 0.0, height * size)
    more = f", the {len(order)} most informative of {len(found)} units" if len(order) < len(found) else ""
    named = ", ".join(f"{labels[index]} ({np.nanmax(found[index].rates):.3g} Hz)" for index in order)
    return Figure(
        name="fields",
        title="Rate maps",
        caption=f"Rate as a share of its peak{more}, row by row from the top left by information: {named}. Each map is "
        f"{columns * size:.3g} x {rows * size:.3g} {unit}. Grey: unvisited.",
        span="full",
        aspect=float(np.clip(height / width, 0.3, 1.5)),
        panels=(
            Panel(
                Axis("maps side by side", unit),
                Axis("rows of maps", unit),
                (unvisited(tiles.known, extent), Image(tiles.values, *extent, label="rate / peak", low=0.0, high=1.0)),
                equal=True,
            ),
        ),
    )


def spikes_on_path(
    edges: Array,
    path: Array,
    spikes: Sequence[tuple[Array, NDArray[np.int64]]],
    labels: Sequence[str],
    bits: Array,
    *,
    unit: str,
) -> Figure:
    """Draw where the animal was and where the most informative units fired while it ran.

    ``edges`` (s) ``(n + 1,)``; ``path`` ``(n, 1)`` is drawn over time, ``(n, 2)`` as a plane; ``spikes`` are times (s)
    and running bins of each unit.
    """
    centres = (edges[:-1] + edges[1:]) / 2
    best = np.argsort(-np.nan_to_num(bits, nan=-1.0), kind="stable")[:_MOST_PATHS]
    track = path.shape[1] == 1
    panels: list[Panel] = []
    for index in best:
        times = spikes[index][0]
        at = np.clip(np.searchsorted(edges, times, "right") - 1, 0, len(path) - 1)
        layers: list[Layer]
        if track:
            layers = [
                Line(*every(centres, path[:, 0]), role="muted", width=1.0, label="path"),
                Points(*every(times, path[at, 0]), role="real", size=4.0, label="spike"),
            ]
            x, y = Axis("time", "s"), Axis("place", unit)
        else:
            layers = [
                Line(*every(path[:, 0], path[:, 1]), role="muted", width=0.8, label="path"),
                Points(*every(path[at, 0], path[at, 1], points=MOST_POINTS // 2), role="real", size=4.0, label="spike"),
            ]
            x, y = Axis("x", unit), Axis("y", unit)
        panels.append(
            Panel(
                x, y, tuple(layers), title=f"{labels[index]}: {bits[index]:.2f} bits/spike",
                equal=not track, legend=not panels,
            )
        )  # fmt: skip
    return Figure(
        name="spikes-on-path",
        title="Spikes on the path",
        caption=f"Where the animal was, and where the {len(best)} most informative of {len(spikes)} units fired while "
        "it ran.",
        span="full" if track else "half",
        aspect=0.28 * len(best) if track else 0.95 * len(best),
        shared=track,
        panels=tuple(panels),
    )


def information(found: Sequence[UnitFields], is_cell: NDArray[np.bool_], tuned: NDArray[np.bool_]) -> Figure:
    """Draw what a spike of each unit tells of the place, and the middle 90 % of what its shifted spikes tell.

    ``is_cell`` are place cells, ``tuned`` those and the others above chance.
    """
    bits = np.array([one.information.bits for one in found])
    order = np.argsort(np.nan_to_num(bits, nan=-1.0), kind="stable")
    low, middle, high = (
        np.array([np.nanquantile(one.information.null, q) if np.isfinite(one.information.p) else np.nan
                  for one in (found[index] for index in order)])
        for q in (0.05, 0.5, 0.95)
    )  # fmt: skip
    x = np.arange(1, len(found) + 1, dtype=float)
    layers: list[Layer] = [
        Band(x, low, high, role="chance", label="shifted, 5 to 95 %"),
        Line(x, middle, role="chance", label="shifted, median"),
    ]
    for mine, role, label in (
        (is_cell, "data", "place cells"),
        (tuned & ~is_cell, "second", "above chance only"),
        (~tuned, "muted", "not above chance"),
    ):
        shown = mine[order]
        if shown.any():
            layers.append(Points(x[shown], bits[order][shown], role=role, label=label))  # type: ignore[arg-type]
    shifts = max(one.information.null.size for one in found)
    return Figure.wide(
        "information",
        "Spatial information",
        f"Bits per spike of {len(found)} units, each beside the same measure of {shifts:,} circular shifts of its "
        f"spikes along the running time. {int(is_cell.sum())} are place cells.",
        Panel(
            Axis("unit, by information", whole=True, low=0.5, high=len(found) + 0.5),
            Axis("information", "bits/spike", low=0.0),
            tuple(layers),
        ),
    )


def stable(found: Sequence[UnitFields], is_cell: NDArray[np.bool_], *, tested: bool) -> Figure:
    """Draw the correlation of the maps of both halves against the information."""
    bits = np.array([one.information.bits for one in found])
    steady = np.array([one.stability for one in found])
    known = np.isfinite(bits) & np.isfinite(steady)
    kinds = (
        ((is_cell, "data", "place cells"), (~is_cell, "muted", "others"))
        if tested
        else ((np.ones(len(found), bool), "data", "units"),)
    )
    layers = tuple(
        Points(bits[known & mine], steady[known & mine], role=role, label=label)  # type: ignore[arg-type]
        for mine, role, label in kinds
        if (known & mine).any()
    )
    return Figure(
        name="stability",
        title="Stability of the halves",
        caption=f"Correlation between the maps of the first and the second half of the running time, {known.sum()} "
        "units; 1 is the same map twice.",
        panels=(
            Panel(Axis("information", "bits/spike"), Axis("correlation of the halves", low=-1.0, high=1.05), layers),
        ),
    )


def occupancy(places: Places, unit: str) -> Figure:
    """Draw how long the animal ran in each place."""
    seconds = np.where(places.visited, places.occupancy, np.nan)
    if len(places.shape) == 2:
        at = (np.arange(places.shape[1]) + 0.5) * places.size
        layers: tuple[Layer, ...] = tuple(
            Line(at, np.nan_to_num(seconds[group]), role=role, label=title)  # type: ignore[arg-type]
            for group, (title, role) in enumerate(zip(DIRECTIONS, ("data", "second"), strict=True))
        )
        panel = Panel(Axis("place", unit), Axis("time", "s", low=0.0), layers)
    else:
        rows, columns = places.shape[1:]
        extent = (0.0, columns * places.size, 0.0, rows * places.size)
        panel = Panel(
            Axis("x", unit), Axis("y", unit),
            (unvisited(places.visited[0], extent), Image(seconds[0], *extent, label="time (s)", low=0.0)), equal=True,
        )  # fmt: skip
    return Figure(
        name="occupancy",
        title="Time in each place",
        caption=f"While the animal ran, {places.cell.size * places.seconds:,.0f} s; bins of {places.size:.3g} {unit}.",
        panels=(panel,),
    )
