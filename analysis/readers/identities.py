"""Tracks of several animals by their identities: the tables of idTracker and of idtracker.ai.

Sources: the output of idTracker 2.1 (``trajectories.txt``: X, Y and the probability of the identity of each animal, a
row for a frame) and of idtracker.ai 4 to 6 (``trajectories.csv``: time in s, then x and y of each animal). What they
write as ``.npy`` holds pickles and is not read.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.pipelines.base import InputRecording, PipelineError
from analysis.readers import sources
from analysis.readers.contents import Contents, Tracks

POINT = "centroid"
_TIMES = ("time", "seconds", "time(s)")
_COLUMN = re.compile(r"(x|y|probid)_?(\d+)")
_MOST_CELLS = 400_000_000


def open_identities(_recording: InputRecording, path: Path) -> Contents:
    """Return the tracks of a table; ``PipelineError`` where a row does not fit its first, or an animal lacks x or y."""
    with (
        sources.damage(path, "table of identities", OSError, UnicodeDecodeError, csv.Error),
        path.open(newline="", encoding="utf-8-sig") as lines,
    ):
        head = lines.readline()
        split = "\t" if "\t" in head else ","
        names = [name.strip().lower() for name in next(csv.reader([head], delimiter=split))]
        while names and not names[-1]:
            # idTracker ends its lines with a tab.
            names.pop()
        rows = [row for row in csv.reader(lines, delimiter=split) if any(cell.strip() for cell in row)]
    if not rows:
        raise PipelineError(f"{path.name} has no row of coordinates.")
    if len(rows) * len(names) > _MOST_CELLS:
        raise PipelineError(f"{path.name} has {len(rows):,} rows of {len(names)} columns, too many for one table.")
    values = _numbers(path, rows, len(names))
    columns = {name: number for number, name in enumerate(names)}
    animals = sorted({int(found[2]) for name in names if (found := _COLUMN.fullmatch(name.replace("_", "")))})
    by_name = {name.replace("_", ""): number for name, number in columns.items()}
    missing = [f"{axis}{animal}" for animal in animals for axis in "xy" if f"{axis}{animal}" not in by_name]
    if missing or not animals:
        raise PipelineError(f"{path.name} lacks the column {missing[0] if missing else 'x1'}.")
    x, y = (values[:, [by_name[f"{axis}{animal}"] for animal in animals]] for axis in "xy")
    xy = np.stack([x, y], axis=2)[:, :, None]
    score = np.full(xy.shape[:3], np.nan)
    for place, animal in enumerate(animals):
        if f"probid{animal}" in by_name:
            score[:, place, 0] = values[:, by_name[f"probid{animal}"]]
    time = next((values[:, columns[name]] for name in _TIMES if name in columns), None)
    if time is not None and not (np.isfinite(time).all() and (np.diff(time) >= 0).all()):
        raise PipelineError(f"The times in {path.name} do not go on from row to row.")
    step = float(np.median(np.diff(time))) if time is not None and time.size > 1 else 0.0
    tracks = Tracks(
        tuple(str(animal) for animal in animals), (POINT,), np.arange(len(xy)),
        lambda first, last: (xy[first:last], score[first:last]), "px", float(f"{1 / step:.9g}") if step > 0 else None,
        None if time is None else lambda: time,
    )  # fmt: skip
    return Contents("idtracker", (path,), tracks=tracks)


def _numbers(path: Path, rows: list[list[str]], width: int) -> NDArray[np.floating]:
    values = np.full((len(rows), width), np.nan)
    for number, row in enumerate(rows):
        cells = row[:width]
        if len(cells) < width or any(cell.strip() for cell in row[width:]):
            raise PipelineError(f"Row {number + 2} of {path.name} has {len(row)} columns; the first has {width}.")
        try:
            values[number] = [float(cell) if cell.strip() else np.nan for cell in cells]
        except ValueError:
            raise PipelineError(f"Row {number + 2} of {path.name} has a cell that is no number.") from None
    return values
