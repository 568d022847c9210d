"""Tracks of body parts: DeepLabCut (CSV and HDF5) and SLEAP (``.slp`` and analysis HDF5)."""

from __future__ import annotations

import csv
import json
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.pipelines.base import InputRecording, PipelineError
from analysis.readers import sources
from analysis.readers.contents import Contents, Tracks
from analysis.readers.nwb import text

_HEADS = ("scorer", "individuals", "bodyparts", "coords")
_COORDS = ("x", "y", "likelihood")
_MOST_CELLS = 400_000_000
_MOST_NAMES = 10_000


def open_deeplabcut_csv(recording: InputRecording, path: Path) -> Contents:
    """Return the tracks of a table of DeepLabCut, of one animal or several, labels by hand or predictions."""
    with (
        sources.damage(path, "table of DeepLabCut", OSError, UnicodeDecodeError, csv.Error),
        path.open(newline="", encoding="utf-8-sig") as lines,
    ):
        rows = [row for row in csv.reader(lines) if row]
    heads: dict[str, list[str]] = {}
    while rows and rows[0][0] in _HEADS:
        head = rows.pop(0)
        heads[head[0]] = head
    if not {"bodyparts", "coords"} <= set(heads):
        raise PipelineError(f"{path.name} does not start with the rows scorer, bodyparts and coords of DeepLabCut.")
    if not rows:
        raise PipelineError(f"{path.name} has no row of coordinates.")
    width = len(heads["coords"])
    notes = []
    for number, row in enumerate(rows, start=len(heads) + 1):
        if len(row) > width:
            raise PipelineError(f"Row {number} of {path.name} has {len(row)} columns; the first rows have {width}.")
        if len(row) < width:
            # As tables are written where the last points of a picture were not labelled.
            notes.append(f"Row {number} has {width - len(row)} columns fewer than are named; they are taken as lost.")
            row.extend([""] * (width - len(row)))
    columns = [number for number, word in enumerate(heads["coords"]) if word in _COORDS]
    # Labels by hand name their pictures in one column or three, left of the coordinates.
    left = columns[0] if columns else 0
    if len(columns) != width - left or len(heads["bodyparts"]) != width:
        raise PipelineError(f"The rows bodyparts and coords of {path.name} do not fit: {width} columns.")
    values = np.full((len(rows), width - left), np.nan)
    for number, row in enumerate(rows):
        try:
            values[number] = [float(cell) if cell.strip() else np.nan for cell in row[left:]]
        except ValueError:
            raise PipelineError(f"Row {number + len(heads) + 1} of {path.name} has a cell that is no number.") from None
    individuals = heads.get("individuals")
    if individuals is not None and len(individuals) != width:
        raise PipelineError(f"The row individuals of {path.name} does not fit its {width} columns.")
    names = [
        (individuals[number] if individuals else "animal", heads["bodyparts"][number], heads["coords"][number])
        for number in range(left, width)
    ]
    frames = _frames([row[:left] for row in rows])
    tracks = _tracks(recording, path, names, values, frames)
    return Contents("deeplabcut-csv", (path,), tracks=tracks, notes=tuple(notes[:10]))


def open_deeplabcut_h5(recording: InputRecording, path: Path) -> Contents:
    """Return the tracks of an HDF5 file of DeepLabCut.

    Its columns are named in a pickle; only the words in it are looked at (``_words``), it is never loaded.
    """
    with sources.hdf5(path, "DeepLabCut file") as file:
        group = file.get("df_with_missing")
        table = None if group is None else group.get("table")
        if table is None or not table.dtype.names or "values_block_0" not in table.dtype.names:
            raise PipelineError(f"{path.name} has no table 'df_with_missing' as DeepLabCut writes it.")
        shape = table.dtype["values_block_0"].shape
        if len(shape) != 1 or table.shape[0] * shape[0] > _MOST_CELLS:
            raise PipelineError(f"The table of {path.name} has the shape {table.shape} of {shape}.")
        stated = table.attrs.get("values_block_0_kind")
        names = _words(bytes(stated) if stated is not None else b"", path)
        rows = table[()]
        values = np.asarray(rows["values_block_0"], float)
        index = rows["index"] if "index" in table.dtype.names else np.arange(len(values))
    if len(names) != shape[0] or any(len(name) < 3 for name in names):
        raise PipelineError(f"{path.name} names {len(names)} columns for {shape[0]} of its table.")
    columns = [(name[-3] if len(name) > 3 else "animal", name[-2], name[-1]) for name in names]
    frames = index.astype(np.int64) if index.dtype.kind in "iu" else np.arange(len(values))
    return Contents("deeplabcut-h5", (path,), tracks=_tracks(recording, path, columns, values, frames))


def _words(stated: bytes, path: Path) -> list[tuple[str, ...]]:
    """Return a list of tuples of words out of a pickle of only that, by its opcodes, without loading it."""
    value: Any
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    with sources.damage(path, "DeepLabCut file", ValueError, IndexError, KeyError, TypeError, AttributeError):
        for code, value, _ in pickletools.genops(stated):
            name = code.name
            if name in {"BINUNICODE", "SHORT_BINUNICODE", "UNICODE", "BINUNICODE8"}:
                stack.append(value)
            elif name == "MARK":
                stack.append(None)
            elif name == "EMPTY_LIST":
                stack.append([])
            elif name in {"MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT"}:
                memo[len(memo) if name == "MEMOIZE" else int(value)] = stack[-1]
            elif name in {"BINGET", "LONG_BINGET", "GET"}:
                stack.append(memo[int(value)])
            elif name in {"TUPLE1", "TUPLE2", "TUPLE3"}:
                size = int(name[-1])
                stack[-size:] = [tuple(stack[-size:])]
            elif name in {"TUPLE", "APPENDS"}:
                mark = len(stack) - 1 - stack[::-1].index(None)
                items = stack[mark + 1 :]
                del stack[mark:]
                if name == "TUPLE":
                    stack.append(tuple(items))
                else:
                    stack[-1].extend(items)
            elif name == "APPEND":
                item = stack.pop()
                stack[-1].append(item)
            elif name not in {"PROTO", "FRAME", "STOP"}:
                raise PipelineError(f"The names of columns in {path.name} hold more than words ({name}); not read.")
        (words,) = stack
    if not isinstance(words, list) or not all(
        isinstance(word, tuple) and all(isinstance(part, str) for part in word) for word in words
    ):
        raise PipelineError(f"The names of columns in {path.name} are no list of words.")
    return words


def _frames(left: list[list[str]]) -> NDArray[np.int64]:
    """Return the numbers of frames: the first column, or the number in a picture's name, or 0, 1, 2 ..."""
    names = ["".join(character for character in cells[-1] if character.isdigit()) if cells else "" for cells in left]
    if names and all(0 < len(name) < 16 for name in names):
        return np.array([int(name) for name in names], np.int64)
    return np.arange(len(left), dtype=np.int64)


def _tracks(
    recording: InputRecording, path: Path, names: list[tuple[str, str, str]], values: NDArray, frames: NDArray
) -> Tracks:
    animals = tuple(dict.fromkeys(animal for animal, _, _ in names))
    points = tuple(dict.fromkeys(point for _, point, _ in names))
    if len(set(names)) != len(names):
        raise PipelineError(f"{path.name} has two columns of one name.")
    if len(values) * len(animals) * len(points) > _MOST_CELLS:
        raise PipelineError(f"{path.name} has {len(animals)} animals of {len(points)} points, too many to be true.")
    xy = np.full((len(values), len(animals), len(points), 2), np.nan)
    score = np.full(xy.shape[:3], np.nan)
    for column, (animal, point, word) in enumerate(names):
        place = (slice(None), animals.index(animal), points.index(point))
        if word in {"x", "y"}:
            xy[(*place, 0 if word == "x" else 1)] = values[:, column]
        elif word == "likelihood":
            score[place] = values[:, column]
        else:
            raise PipelineError(f"{path.name} has a column {word!r}; x, y and likelihood are known.")
    return Tracks(animals, points, frames, lambda a, b: (xy[a:b], score[a:b]), rate=_rate(recording))


def open_sleap(recording: InputRecording, path: Path) -> Contents:
    """Return the tracks of the first video of a ``.slp`` file; labels by hand win over predictions."""
    with sources.hdf5(path, "SLEAP file") as file:
        skeleton, animals, size = _sleap_names(file, path)
        frames, instances = file["frames"][()], file["instances"][()]
        tables = (file["points"][()], file["pred_points"][()])
    for table, fields in (
        (frames, ("video", "frame_idx", "instance_id_start", "instance_id_end")),
        (instances, ("instance_type", "track", "score", "point_id_start", "point_id_end")),
    ):
        if not set(fields) <= set(table.dtype.names or ()):
            raise PipelineError(f"The tables of {path.name} are not those of SLEAP: {table.dtype.names}.")
    frames = frames[frames["video"] == (frames["video"][0] if len(frames) else 0)]
    if not len(frames):
        raise PipelineError(f"{path.name} has no labelled frame.")
    frames = frames[np.argsort(frames["frame_idx"], kind="stable")]
    most = max(len(animals), int((frames["instance_id_end"] - frames["instance_id_start"]).max()))
    if most > _MOST_NAMES or len(frames) * most * len(skeleton) > _MOST_CELLS:
        raise PipelineError(f"{path.name} says {most} animals in a frame, too many to be true.")
    if len(animals) < most:
        animals += [f"untracked {number + 1}" for number in range(most - len(animals))]
    xy = np.full((len(frames), len(animals), len(skeleton), 2), np.nan)
    score = np.full(xy.shape[:3], np.nan)
    n_instances = len(instances)
    for row, frame in enumerate(frames):
        first, last = int(frame["instance_id_start"]), int(frame["instance_id_end"])
        if not 0 <= first <= last <= n_instances:
            raise PipelineError(f"Frame {frame['frame_idx']} of {path.name} names instances {first} to {last}.")
        taken: set[int] = set()
        # Predicted ones come second and only fill places that no person labelled.
        for instance in sorted(instances[first:last], key=lambda one: int(one["instance_type"])):
            track = int(instance["track"])
            place = track if 0 <= track < len(animals) else next(n for n in range(len(animals)) if n not in taken)
            if place in taken:
                continue
            taken.add(place)
            table = tables[1 if instance["instance_type"] else 0]
            points = table[int(instance["point_id_start"]) : int(instance["point_id_end"])]
            if len(points) != len(skeleton):
                raise PipelineError(f"An animal of frame {frame['frame_idx']} of {path.name} has {len(points)} points.")
            xy[row, place, :, 0] = np.where(points["visible"], points["x"], np.nan)
            xy[row, place, :, 1] = np.where(points["visible"], points["y"], np.nan)
            if "score" in points.dtype.names:
                score[row, place] = points["score"]
    # Files before format 1.1 count from the corner of the first pixel, not from its middle.
    tracks = Tracks(
        tuple(animals), tuple(skeleton), frames["frame_idx"].astype(np.int64), lambda a, b: (xy[a:b], score[a:b]),
        rate=_rate(recording),
    )  # fmt: skip
    return Contents("sleap-slp", (path,), tracks=tracks, more={"sleap_format": size})


def _sleap_names(file: Any, path: Path) -> tuple[list[str], list[str], float]:
    metadata = file["metadata"].attrs
    told = json.loads(text(metadata["json"]))
    nodes = told["nodes"]
    order = told["skeletons"][0]["nodes"]
    skeleton = [str(nodes[int(node["id"])]["name"]) for node in order]
    animals = []
    for row in file["tracks_json"][()] if "tracks_json" in file else ():
        track = json.loads(text(row))
        animals.append(str(track[1] if isinstance(track, list) else track["name"]))
    if not skeleton or len(skeleton) > _MOST_NAMES or len(animals) > _MOST_NAMES:
        raise PipelineError(f"{path.name} has a skeleton of {len(skeleton)} points and {len(animals)} animals.")
    return skeleton, animals, float(metadata["format_id"])


def open_sleap_analysis(recording: InputRecording, path: Path) -> Contents:
    """Return the tracks of an analysis file of SLEAP: ``tracks`` ``(animals, 2, points, frames)``."""
    with sources.hdf5(path, "analysis file of SLEAP") as file:
        array = file["tracks"]
        if array.ndim != 4 or array.shape[1] != 2 or array.dtype.kind != "f" or array.size > _MOST_CELLS:
            raise PipelineError(f"'tracks' in {path.name} has the shape {array.shape}.")
        animals = [text(name) for name in file["track_names"][()]] or [f"animal {n + 1}" for n in range(array.shape[0])]
        points = [text(name) for name in file["node_names"][()]]
        xy = np.moveaxis(np.asarray(array[()], float), (0, 1, 2, 3), (1, 3, 2, 0))
        score = np.full(xy.shape[:3], np.nan)
        if "point_scores" in file and file["point_scores"].shape == (*array.shape[:1], *array.shape[2:]):
            score = np.moveaxis(np.asarray(file["point_scores"][()], float), (0, 1, 2), (1, 2, 0))
    if (len(animals), len(points)) != (xy.shape[1], xy.shape[2]):
        raise PipelineError(f"{path.name} names {len(animals)} animals and {len(points)} points for {xy.shape[1:3]}.")
    tracks = Tracks(
        tuple(animals), tuple(points), np.arange(len(xy)), lambda a, b: (xy[a:b], score[a:b]), rate=_rate(recording)
    )
    return Contents("sleap-analysis", (path,), tracks=tracks)


def _rate(recording: InputRecording) -> float | None:
    if recording.rate is None and recording.parameters.get("rate") is None:
        return None
    return sources.positive(recording, "rate", "frame rate in Hz")
