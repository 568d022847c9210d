"""MATLAB files (version 5 to 7): ``statMatrix``, ``behavMatrix``, and plain tables of numbers."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.pipelines.base import InputRecording, PipelineError
from analysis.readers import sources
from analysis.readers.contents import Contents, Events, Tracks, Units, table_stream

# Above so many numbers a table is not read only to say its rate.
_MOST_DESCRIBED = 50_000_000
_UNIT = re.compile(r"(^|[-_ ])U\d+", re.IGNORECASE)
_PHASE = "hilbvals"


def variables(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return shape and class of every variable; ``PipelineError`` for damage and for MATLAB 7.3."""
    from scipy.io import whosmat

    sources.sound_file(path)
    with path.open("rb") as stream:
        start = stream.read(10)
    if start == b"MATLAB 7.3" or start.startswith(b"\x89HDF"):
        raise PipelineError(f"{path.name} is a MATLAB 7.3 file; save it with -v7 to have it read.")
    with sources.damage(path, "MATLAB file", *_problems()):
        return {name: (tuple(shape), kind) for name, shape, kind in whosmat(path, appendmat=False)}


def load(path: Path, *names: str) -> dict[str, Any]:
    """Return variables of a file; objects of MATLAB's own classes stay unread."""
    from scipy.io import loadmat

    with sources.damage(path, "MATLAB file", *_problems()):
        return loadmat(path, appendmat=False, variable_names=list(names) or None)


def _problems() -> tuple[type[Exception], ...]:
    import struct

    from scipy.io.matlab import MatReadError

    return (
        ValueError, TypeError, KeyError, IndexError, OSError, RuntimeError, OverflowError, EOFError, AttributeError,
        AssertionError, NotImplementedError, ArithmeticError, struct.error, MatReadError, zlib.error, LookupError,
    )  # fmt: skip


def kind_of(found: dict[str, tuple[tuple[int, ...], str]]) -> str:
    """Return which format a MATLAB file is, from the names and classes of its variables."""
    if {"statMatrix", "statMatrixColIDs"} <= set(found):
        return "statmatrix-mat"
    if {"behavMatrix", "behavMatrixColIDs"} <= set(found):
        return "behavmatrix-mat"
    return "matclust-mat" if any(kind in {"cell", "struct"} for _, kind in found.values()) else "matlab-table"


def open_statmatrix(recording: InputRecording, path: Path) -> Contents:
    """Return a tetrode's LFP (raw and by bands), the phases of the bands, and its units, on the time of its rows."""
    matrix, names, rate, start = _matrix(recording, path, "statMatrix")
    shape = variables(path)["statMatrix"][0]
    groups: dict[str, list[int]] = {"LFP": [], "phase": [], "units": []}
    for column, name in enumerate(names[1:], start=1):
        lower = name.lower()
        if _PHASE in lower:
            groups["phase"].append(column)
        elif "lfp" in lower:
            groups["LFP"].append(column)
        elif _UNIT.search(name):
            groups["units"].append(column)
    streams = []
    for name, unit, gain in (("LFP", "", None), ("phase", "rad", 1.0)):
        columns = groups[name]
        if columns:
            streams.append(
                table_stream(
                    name, _columns(path, matrix, columns), (shape[0], len(columns)), rate, start=start, units=unit,
                    channels=[names[column] for column in columns], gain=gain,
                )
            )  # fmt: skip
    units = None
    if groups["units"]:

        def read() -> list[NDArray[np.floating]]:
            table = _loaded(path, matrix, "statMatrix")
            return [np.repeat(table[:, 0], np.clip(np.nan_to_num(table[:, c]), 0, 1000).astype(int))
                    for c in groups["units"]]  # fmt: skip

        counts = None if matrix is None else tuple(int(matrix[:, c].clip(0).sum()) for c in groups["units"])
        units = Units(tuple(names[column] for column in groups["units"]), read, counts)
    if not streams and units is None:
        raise PipelineError(f"statMatrixColIDs of {path.name} name no LFP and no units: {', '.join(names[:8])}.")
    return Contents("statmatrix-mat", (path,), tuple(streams), units, more={"columns": names[:64]})


def open_behavmatrix(recording: InputRecording, path: Path) -> Contents:
    """Return the events of a session (odours, positions in sequence, pokes, rewards), and where the animal was."""
    matrix, names, rate, _ = _matrix(recording, path, "behavMatrix")
    table = _loaded(path, matrix, "behavMatrix")
    time = table[:, 0]
    places = [next((n for n, word in enumerate(names) if word.lower() in words), None)
              for words in (("xpos", "x", "positionx"), ("ypos", "y", "positiony"))]  # fmt: skip
    events = []
    for column, name in enumerate(names[1:], start=1):
        if column in places:
            continue
        rows = np.flatnonzero(np.nan_to_num(table[:, column]))

        def read(rows: NDArray = rows, column: int = column) -> tuple[NDArray[np.floating], tuple[str, ...]]:
            return time[rows], tuple(f"{value:g}" for value in table[rows, column])

        events.append(Events(name, int(rows.size), read))
    tracks = None
    if None not in places:
        xy = table[:, [int(n) for n in places if n is not None]][:, None, None, :]
        score = np.full(xy.shape[:3], np.nan)
        tracks = Tracks(("animal",), ("position",), np.arange(len(xy)), lambda a, b: (xy[a:b], score[a:b]), rate=rate,
                        times=lambda: time)  # fmt: skip
    more = {"columns": names[:64], "rows": len(time), "duration": float(time[-1] - time[0])}
    return Contents("behavmatrix-mat", (path,), events=tuple(events), tracks=tracks, more=more)


def open_table(recording: InputRecording, path: Path) -> Contents:
    """Return one table of samples and channels: parameters ``rate`` (Hz), and ``variable`` if there are several."""
    found = variables(path)
    numeric = {n: shape for n, (shape, kind) in found.items() if kind in _NUMBERS and len(shape) == 2}
    more = {"variables": {name: {"shape": list(shape), "class": kind} for name, (shape, kind) in found.items()}}
    wanted = recording.parameters.get("variable")
    if wanted is not None and wanted not in numeric:
        raise PipelineError(f"{path.name} has no table {wanted!r}; it has {', '.join(numeric) or 'none'}.")
    if not numeric:
        raise PipelineError(f"{path.name} holds no table of numbers; it has {', '.join(found) or 'no variable'}.")
    name = str(wanted) if wanted is not None else next(iter(numeric))
    stated = recording.rate if recording.rate is not None else recording.parameters.get("rate")
    if (wanted is None and len(numeric) > 1) or stated is None:
        return Contents("matlab-table", (path,), more={**more, "asked": ["variable", "rate"]})
    rate = sources.positive(recording, "rate", "sampling rate in Hz")
    shape = numeric[name]
    rows, columns = (shape[1], shape[0]) if shape[0] < shape[1] else shape
    if not rows or not columns:
        raise PipelineError(f"The table {name} of {path.name} is empty.")

    def table() -> NDArray:
        array = np.asarray(load(path, name)[name], float)
        return array.T if shape[0] < shape[1] else array

    unit = str(recording.parameters.get("unit") or "")
    gain = sources.positive(recording, "gain_to_uV", "gain") if "gain_to_uV" in recording.parameters else None
    stream = table_stream(name, table, (rows, columns), rate, units="uV" if gain else unit,
                          gain=gain or (1.0 if unit else None))  # fmt: skip
    return Contents("matlab-table", (path,), (stream,), more=more)


_NUMBERS = {"double", "single", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"}


def _matrix(recording: InputRecording, path: Path, name: str) -> tuple[NDArray | None, list[str], float, float]:
    """Return the matrix (``None`` when too large to be read for this), its columns' names, the rate and first time."""
    shape, kind = variables(path)[name]
    names = [_word(cell) for cell in np.ravel(load(path, f"{name}ColIDs")[f"{name}ColIDs"])]
    if kind not in _NUMBERS or len(shape) != 2 or shape[1] != len(names) or shape[0] < 2:
        raise PipelineError(f"{name} of {path.name} is {kind} of the shape {shape}; {len(names)} columns are named.")
    if shape[0] * shape[1] > _MOST_DESCRIBED and recording.parameters.get("rate") is not None:
        return None, names, sources.positive(recording, "rate", "sampling rate in Hz"), 0.0
    matrix = np.asarray(load(path, name)[name], float)
    step = np.diff(matrix[:, 0])
    if not np.isfinite(matrix[:, 0]).all() or not (step > 0).all():
        raise PipelineError(f"The times in the first column of {name} of {path.name} do not grow from row to row.")
    # Times written as decimals differ in their last bits.
    return matrix, names, float(f"{1 / np.median(step):.9g}"), float(matrix[0, 0])


def _loaded(path: Path, matrix: NDArray | None, name: str) -> NDArray:
    return matrix if matrix is not None else np.asarray(load(path, name)[name], float)


def _columns(path: Path, matrix: NDArray | None, columns: list[int]) -> Any:
    return lambda: _loaded(path, matrix, "statMatrix")[:, columns]


def _word(cell: Any) -> str:
    while isinstance(cell, np.ndarray) and cell.size:
        cell = cell.ravel()[0]
    return str(cell) if isinstance(cell, str) else ""
