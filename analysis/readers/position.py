"""Where the animal was, as the tracker wrote it: times in seconds, x and y."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis import marks
from analysis.pipelines.base import InputRecording, PipelineError
from analysis.readers import nwb, sources

FORMATS = ("trodes-position", "position-npz", "nwb", "csv")
UNITS = ("px", "mm", "cm", "m")


@dataclass(frozen=True)
class Position:
    """``time`` (s) ``(n,)`` and ``xy`` ``(n, 2)`` in ``unit``, NaN where lost.

    As recorded, with repeated stamps still in.
    """

    time: NDArray[np.floating]
    xy: NDArray[np.floating]
    unit: str


def read_position(recording: InputRecording) -> Position:
    """Read a position recording; ``PipelineError`` when the file is not sound.

    Formats: ``trodes-position`` (the camera module's ``.videoPositionTracking``; parameter ``led`` 1 or 2, 1 unless
    given), ``position-npz`` (``time`` in s, ``x``, ``y``, each ``(n,)``, NaN where lost; optional ``unit``), ``nwb``
    (a SpatialSeries; parameter ``path`` when there are several), ``csv`` (columns ``time`` in s, or ``frame`` and the
    recording's rate; ``x`` or ``pos_x``, ``y`` or ``pos_y``). The unit is the file's or the parameter ``unit``, px
    when neither says; with the parameter ``pixels_per_cm``, px become cm. Tracks of every other format of
    ``open_recording``, with the parameters ``animal`` and ``point`` where there are several, ``rate`` in Hz, and
    ``likelihood``, below which a point is taken as lost.
    """
    readers = {"trodes-position": _trodes, "position-npz": _npz, "nwb": nwb.read_position, "csv": _csv}
    if recording.format in readers:
        path = sources.data_file(recording)
        time, xy, unit = readers[recording.format](recording, path)
    else:
        path, (time, xy, unit) = _of_tracks(recording)
    unit = str(recording.parameters.get("unit") or unit or "px")
    unit = {"meters": "m", "metres": "m", "pixels": "px", "pixel": "px", "centimeters": "cm"}.get(unit.lower(), unit)
    if unit not in UNITS:
        raise PipelineError(f"Positions in {path.name} are in {unit!r}; known units are {', '.join(UNITS)}.")
    if time.ndim != 1 or xy.shape != (time.size, 2):
        raise PipelineError(f"{path.name} should have one x and y for every time, not {xy.shape} for {time.shape}.")
    if time.size < 2:
        raise PipelineError(f"{path.name} has {time.size} positions, too few to use.")
    if unit == "px" and recording.parameters.get("pixels_per_cm") is not None:
        xy, unit = xy / sources.positive(recording, "pixels_per_cm", "scale"), "cm"
    return Position(time + sources.time_offset(recording), xy, unit)


Samples = tuple[NDArray[np.floating], NDArray[np.floating], str]

_END = b"<End settings>\n"
_FIELD = re.compile(r"<(\w+) (\w+)>")
_TYPES = {"uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"}


def _of_tracks(recording: InputRecording) -> tuple[Path, Samples]:
    from analysis.readers.opening import open_recording

    if recording.format not in marks.FORMATS:
        raise sources.wrong_format(recording, "position", (*FORMATS, *marks.FORMATS))
    contents = open_recording(recording)
    tracks = contents.tracks
    if tracks is None:
        raise sources.wrong_format(recording, "position", FORMATS)
    animal = _one_of(recording, "animal", tracks.animals)
    point = _one_of(recording, "point", tracks.points)
    xy, score = tracks.read(0, int(tracks.frames.size))
    xy, score = xy[:, animal, point], score[:, animal, point]
    if recording.parameters.get("likelihood") is not None:
        least = sources.positive(recording, "likelihood", "least likelihood, up to 1")
        if np.isnan(score).all():
            raise PipelineError(f"{contents.files[0].name} tells no likelihood; take away the parameter 'likelihood'.")
        # A point without a likelihood was labelled by hand.
        xy = np.where((score < least)[:, None], np.nan, xy)
    if tracks.times is not None:
        time = tracks.times()
    else:
        time = tracks.frames / sources.positive(recording, "rate", "frame rate in Hz")
    return contents.files[0], (time, xy, tracks.unit)


def _one_of(recording: InputRecording, name: str, there: tuple[str, ...]) -> int:
    wanted = recording.parameters.get(name, there[0] if len(there) == 1 else None)
    if wanted not in there:
        raise PipelineError(
            f"Set the parameter {name!r} of the recording to one of {', '.join(there)}"
            + ("." if wanted is None else f", not {wanted!r}.")
        )
    return there.index(wanted)


def _trodes(recording: InputRecording, path: Path) -> Samples:
    with sources.damage(path, "Trodes position file", OSError):
        data = path.read_bytes()
    end = data.find(_END, 0, 65536)
    if not data.startswith(b"<Start settings>") or end < 0:
        raise PipelineError(f"{path.name} does not start with the settings block of a Trodes position file.")
    settings = {}
    for line in data[:end].decode("latin-1").splitlines():
        name, found, value = line.partition(":")
        if found:
            settings[name.strip().lower()] = value.strip()
    fields = _FIELD.findall(settings.get("fields", ""))
    if any(kind not in _TYPES for _, kind in fields) or not {"time", "xloc", "yloc"} <= {name for name, _ in fields}:
        raise PipelineError(f"The settings of {path.name} do not describe the fields time, xloc and yloc.")
    dtype = np.dtype([(name, np.dtype(kind).newbyteorder("<")) for name, kind in fields])
    body = memoryview(data)[end + len(_END) :]
    if len(body) % dtype.itemsize:
        raise PipelineError(
            f"{path.name} breaks off in the middle of sample {len(body) // dtype.itemsize + 1:,}; it was "
            "not copied completely."
        )
    rows = np.frombuffer(body, dtype)
    try:
        clockrate = float(settings.get("clockrate", "nan"))
        scale = float(settings.get("pixel scale", "0").split()[0])
    except (ValueError, IndexError):
        raise PipelineError(
            f"The settings of {path.name} have a clock rate or pixel scale that is no number."
        ) from None
    if not clockrate > 0:
        clockrate = sources.positive(recording, "clockrate", "clock rate in Hz")
    led = recording.parameters.get("led", 1)
    if led not in (1, 2) or (led == 2 and not {"xloc2", "yloc2"} <= set(dtype.names or ())):
        raise PipelineError(f"{path.name} has no LED {led!r}.")
    suffix = "" if led == 1 else "2"
    xy = np.stack([rows["xloc" + suffix], rows["yloc" + suffix]], axis=1).astype(float)
    xy[(xy == 0).all(axis=1)] = np.nan
    return rows["time"] / clockrate, xy / scale if scale > 0 else xy, "cm" if scale > 0 else "px"


def _npz(_recording: InputRecording, path: Path) -> Samples:
    arrays = sources.load_npz(path, ("time", "x", "y"), ("unit",))
    time, x, y = (sources.numbers(path, name, arrays[name]) for name in ("time", "x", "y"))
    if not time.shape == x.shape == y.shape or time.ndim != 1:
        raise PipelineError(
            f"time, x and y in {path.name} should be of one length, not {time.shape}, {x.shape}, {y.shape}."
        )
    return time, np.stack([x, y], axis=1), sources.one_text(arrays["unit"]) if "unit" in arrays else ""


def _csv(recording: InputRecording, path: Path) -> Samples:
    table = sources.read_table(path)
    names = {
        wanted: next((name for name in choices if name in table), None)
        for wanted, choices in {
            "time": sources.TIMES,
            "frame": ("frame",),
            "x": ("x", "pos_x", "x_px", "x_cm"),
            "y": ("y", "pos_y", "y_px", "y_cm"),
        }.items()
    }
    x_name, y_name = names["x"], names["y"]
    if x_name is None or y_name is None or (names["time"] is None and names["frame"] is None):
        raise PipelineError(f"{path.name} needs the columns time (or frame), x and y; it has {', '.join(table)}.")
    x, y = (sources.table_numbers(path, name, table[name]) for name in (x_name, y_name))
    if names["time"] is not None:
        time = sources.table_numbers(path, names["time"], table[names["time"]])
    else:
        frame = sources.table_numbers(path, "frame", table["frame"])
        time = (frame - frame[0]) / sources.positive(recording, "rate", "frame rate in Hz")
    return time, np.stack([x, y], axis=1), "cm" if x_name == "x_cm" else ""
