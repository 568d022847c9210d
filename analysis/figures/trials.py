"""Figures of trials: odours of the sequence task, and laps on a track."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.figures.spec import Axis, Bars, Figure, Image, Layer, Panel, Points, Role
from analysis.methods.trials import LapTable, OdourTable

# In sequence or not, and correct or not, in words and roles.
_GROUPS: tuple[tuple[bool, bool, str, Role], ...] = (
    (True, True, "in sequence, correct", "data"),
    (True, False, "in sequence, wrong", "lost"),
    (False, True, "out of sequence, correct", "second"),
    (False, False, "out of sequence, wrong", "real"),
)


def odour_names(table: OdourTable) -> tuple[str, ...]:
    """Return the odours in the order of their names, numbers by their size."""
    return tuple(sorted(set(table.odour), key=lambda name: (len(name), name) if name.isdecimal() else (0, name)))


def odour_raster(table: OdourTable) -> Figure:
    """Draw every trial over time (s): its odour, whether it was in sequence, and whether it was right."""
    names = odour_names(table)
    row = np.array([names.index(odour) + 1.0 for odour in table.odour])
    layers = []
    for in_place, right, label, role in _GROUPS:
        mine = (table.in_sequence == in_place) & (table.correct == right)
        if mine.any():
            layers.append(Points(table.poke_in[mine], row[mine], role=role, label=f"{label} ({mine.sum()})", size=6.0))
    return Figure.wide(
        "trials",
        "Trials over time",
        f"{row.size:,} trials of {len(names)} odours in {int(table.sequence[-1]):,} sequences, at the poke's time.",
        Panel(Axis("time", "s"), Axis("odour", low=0.5, high=len(names) + 0.5, names=names), tuple(layers)),
    )


def accuracy_by_place(table: OdourTable) -> Figure:
    """Draw the share of correct trials of each odour at each position; the diagonal of the right order stands out."""
    names = odour_names(table)
    size = int(table.position.max())
    row = np.array([names.index(odour) for odour in table.odour])
    count, right = np.zeros((len(names), size)), np.zeros((len(names), size))
    np.add.at(count, (row, table.position - 1), 1)
    np.add.at(right, (row, table.position - 1), table.correct)
    share = np.divide(right, count, out=np.full(count.shape, np.nan), where=count > 0)
    ends = (0.5, len(names) + 0.5)
    return Figure(
        name="accuracy",
        title="Correct by odour and position",
        caption=f"Share of correct trials, n = {row.size:,}; open where an odour never was at a position. "
        f"{int(count[count > 0].min())} to {int(count.max())} trials a field.",
        panels=(
            Panel(
                Axis("position in the sequence", low=0.5, high=size + 0.5, names=tuple(map(str, range(1, size + 1)))),
                Axis("odour", low=ends[0], high=ends[1], names=names),
                (Image(share, 0.5, size + 0.5, *ends, palette="power", label="share correct", low=0.0, high=1.0),),
            ),
        ),
    )


def poke_durations(table: OdourTable) -> Figure:
    """Draw how long the nose stayed in (s), in sequence and out of sequence, correct and wrong."""
    longest = max(float(np.quantile(table.held, 0.99)), 1e-3)
    edges = np.linspace(0, longest * 1.05, 41)
    held = np.minimum(table.held, edges[-1])
    panels = []
    for in_place, title in ((True, "in sequence"), (False, "out of sequence")):
        layers: list[Layer] = []
        for right, role in ((True, "data"), (False, "lost")):
            mine = held[(table.in_sequence == in_place) & (table.correct == right)]
            label = f"{'correct' if right else 'wrong'} ({mine.size})"
            layers.append(Bars(edges, np.histogram(mine, edges)[0].astype(float), role=role, label=label))  # type: ignore[arg-type]
        panels.append(
            Panel(Axis("poke", "s", low=0.0, high=float(edges[-1])), Axis("trials", low=0.0, whole=True), tuple(layers),
                  title=title)
        )  # fmt: skip
    return Figure(
        name="pokes",
        title="How long the nose stayed in",
        caption=f"From poke to withdrawal, {table.held.size:,} trials; the longest 1 % are put at the end.",
        aspect=1.0,
        shared=True,
        panels=tuple(panels),
    )


def laps_over_time(table: LapTable) -> Figure:
    """Draw when each lap was run, and how long it took (s), by direction."""
    ways = sorted(set(table.direction))
    said = np.array(table.direction)
    roles: tuple[Role, ...] = ("data", "second", "lost", "muted")
    layers = tuple(
        Points(table.start[said == way], table.lasts[said == way], role=roles[number % len(roles)],
               label=f"{way or 'laps'} ({np.count_nonzero(said == way)})")
        for number, way in enumerate(ways)
    )  # fmt: skip
    return Figure.wide(
        "laps",
        "Laps over time",
        f"{said.size:,} laps, each at its start; median {np.median(table.lasts):.3g} s.",
        Panel(Axis("time", "s"), Axis("duration", "s", low=0.0), layers),
    )


def lap_durations(table: LapTable) -> Figure:
    """Draw the distribution of how long laps took (s)."""
    values: NDArray[np.floating] = np.minimum(table.lasts, np.quantile(table.lasts, 0.99))
    edges = np.histogram_bin_edges(values, bins=min(40, max(5, values.size // 3)))
    return Figure(
        name="durations",
        title="Duration of laps",
        caption=f"{values.size:,} laps; the longest 1 % are put at the end.",
        panels=(
            Panel(
                Axis("duration", "s"),
                Axis("laps", low=0.0, whole=True),
                (Bars(edges, np.histogram(values, edges)[0].astype(float)),),
                legend=False,
            ),
        ),
    )
