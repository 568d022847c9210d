"""Sorted units: spike times in seconds and the unit of every spike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis import marks
from analysis.pipelines.base import InputRecording, PipelineError
from analysis.readers import nwb, sources

FORMATS = ("matclust-mat", "nwb", "units-npz", "csv")


@dataclass(frozen=True)
class Spikes:
    """``times`` (s) and ``units``, both ``(n_spikes,)`` in order of time.

    Units are numbered from 0; ``labels`` name them as the file does.
    """

    times: NDArray[np.floating]
    units: NDArray[np.int64]
    labels: tuple[str, ...]


def read_spikes(recording: InputRecording) -> Spikes:
    """Read the units of a recording; ``PipelineError`` when there are none or the file is not sound.

    Formats: ``matclust-mat`` (nested cells of structs with a field ``time``; seconds, or ticks when the recording has
    the parameter ``clockrate`` in Hz), ``nwb`` (``/units``), ``units-npz`` (``spike_times`` in s and ``spike_units``,
    both ``(n_spikes,)``; optional ``unit_labels`` and ``unit_quality``, in the order of the unit numbers), ``csv``
    (columns ``time`` in s and ``unit``). Every other format of ``open_recording`` that holds units. With the parameter
    ``only`` (``good``) of the recording, units that are not good by its parameter ``labels`` (name to label), or by the
    file, are left out.
    """
    readers = {"matclust-mat": _matclust, "nwb": nwb.read_units, "units-npz": _npz, "csv": _csv}
    if recording.format in readers:
        path = sources.data_file(recording)
        trains, labels = readers[recording.format](recording, path)
    else:
        path, trains, labels = _of_contents(recording)
    times = np.concatenate(trains) if trains else np.zeros(0)
    if times.size == 0:
        raise PipelineError(f"The file {path.name} has no spikes.")
    if not np.isfinite(times).all():
        raise PipelineError(f"The file {path.name} has spike times that are not finite numbers.")
    units = np.repeat(np.arange(len(trains)), [train.size for train in trains])
    order = np.argsort(times, kind="stable")
    found = Spikes(times[order] + sources.time_offset(recording), units[order], tuple(labels))
    return _good(recording, found) if recording.parameters.get("only") == "good" else found


def own_labels(recording: InputRecording) -> list[str] | None:
    """Return what the file says of its units (``unit_quality`` of a ``units-npz``); ``None`` where it says nothing."""
    if recording.format != "units-npz":
        return None
    path = sources.data_file(recording)
    arrays = sources.load_npz(path, ("spike_units",), ("unit_quality",))
    if "unit_quality" not in arrays:
        return None
    found = [str(label) for label in arrays["unit_quality"]]
    if len(found) != np.unique(arrays["spike_units"]).size:
        raise PipelineError(f"{path.name} has {len(found)} values of unit_quality for another number of units.")
    return found


def _good(recording: InputRecording, spikes: Spikes) -> Spikes:
    """Leave out the units that are not good: by hand, or where nobody said anything, by the file."""
    by_hand = recording.parameters.get("labels") or {}
    own = own_labels(recording) or [""] * len(spikes.labels)
    said = [by_hand.get(name) or own[number] for number, name in enumerate(spikes.labels)]
    if not any(said):
        raise PipelineError("No unit has a label yet, so none is known to be good: label the units, or take all.")
    kept = np.array([label == "good" for label in said])
    if not kept.any():
        raise PipelineError(f"None of the {len(said)} units is labelled good.")
    among = kept[spikes.units]
    numbers = (np.cumsum(kept) - 1)[spikes.units[among]]
    labels = tuple(name for name, good in zip(spikes.labels, kept, strict=True) if good)
    return Spikes(spikes.times[among], numbers, labels)


Trains = tuple[list[NDArray[np.floating]], list[str]]


def _of_contents(recording: InputRecording) -> tuple[Path, list[NDArray[np.floating]], list[str]]:
    from analysis.readers.opening import open_recording

    if recording.format not in marks.FORMATS:
        raise sources.wrong_format(recording, "units", (*FORMATS, *marks.FORMATS))
    contents = open_recording(recording)
    if contents.units is None:
        raise sources.wrong_format(recording, "units", FORMATS)
    return contents.files[0], list(contents.units.read()), list(contents.units.labels)


def _split(path: Path, times: NDArray, numbers: NDArray, labels: list[str] | None = None) -> Trains:
    if times.ndim != 1 or times.shape != numbers.shape:
        raise PipelineError(
            f"{path.name} should have one unit for every spike time, not shapes {times.shape} and {numbers.shape}."
        )
    ids, index = np.unique(numbers, return_inverse=True)
    if labels is not None and len(labels) != ids.size:
        raise PipelineError(f"{path.name} has {len(labels)} labels for {ids.size} units.")
    order = np.argsort(index, kind="stable")
    trains = np.split(times[order], np.cumsum(np.bincount(index))[:-1]) if ids.size else []
    return trains, labels or [f"{number:g}" if isinstance(number, float) else str(number) for number in ids.tolist()]


def _npz(_recording: InputRecording, path: Path) -> Trains:
    arrays = sources.load_npz(path, ("spike_times", "spike_units"), ("unit_labels",))
    labels = [str(label) for label in arrays["unit_labels"]] if "unit_labels" in arrays else None
    numbers = arrays["spike_units"]
    if numbers.dtype.kind not in "iu":
        raise PipelineError(f"'spike_units' in {path.name} should be whole numbers, not {numbers.dtype}.")
    return _split(path, sources.numbers(path, "spike_times", arrays["spike_times"]), numbers, labels)


def _csv(_recording: InputRecording, path: Path) -> Trains:
    table = sources.read_table(path)
    for name in ("time", "unit"):
        if name not in table:
            raise PipelineError(f"{path.name} has no column {name!r}; it has {', '.join(table)}.")
    return _split(path, sources.table_numbers(path, "time", table["time"]), np.array(table["unit"]))


def _matclust(recording: InputRecording, path: Path) -> Trains:
    import zlib

    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    with path.open("rb") as file:
        head = file.read(128)
    if head.startswith((b"MATLAB 7.3", b"\x89HDF")):
        raise PipelineError(f"{path.name} is a MATLAB 7.3 file; save it with -v7 to have its spikes read.")
    problems = (
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        OSError,
        RuntimeError,
        OverflowError,
        MatReadError,
        zlib.error,
    )
    with sources.damage(path, "MATLAB file", *problems):
        variables = loadmat(path, appendmat=False)
    trains, labels, seen = [], [], False
    for name, value in variables.items():
        if name.startswith("__"):
            continue
        for place, times in _structs(value, ()):
            seen = True
            if times.dtype.kind not in "iufb":
                raise PipelineError(f"The field 'time' of {name} in {path.name} should be numbers, not {times.dtype}.")
            if times.size:
                trains.append(np.asarray(times, float).ravel())
                labels.append("-".join(str(number + 1) for number in place[-2:]))
    if not seen:
        raise PipelineError(f"{path.name} has no struct with a field 'time', as MatClust writes for each unit.")
    return _seconds(recording, path, trains), labels


def _structs(value: object, place: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], NDArray]]:
    """Walk nested cells down to the structs of units; yields where and the field ``time``."""
    if not isinstance(value, np.ndarray):
        return
    if value.dtype.names:
        if "time" in value.dtype.names:
            for number, entry in enumerate(value.ravel()):
                yield (*place, number) if value.size > 1 else place, np.asarray(entry["time"])
    elif value.dtype == object:
        for number, entry in enumerate(value.ravel()):
            yield from _structs(entry, (*place, number))


def _seconds(recording: InputRecording, path: Path, trains: list[NDArray]) -> list[NDArray]:
    if recording.parameters.get("clockrate") is not None:
        rate = sources.positive(recording, "clockrate", "clock rate in Hz")
        return [train / rate for train in trains]
    last = max((train.max() for train in trains), default=0)
    # Seconds written by MatClust have fractions; whole numbers that end beyond a day are ticks of a clock.
    if last > 86_400 and all(np.array_equal(train, np.round(train)) for train in trains):
        raise PipelineError(
            f"The spike times in {path.name} are whole numbers up to {last:,.0f}, ticks rather than seconds: set the "
            "parameter 'clockrate' (Hz) of the recording."
        )
    return trains
