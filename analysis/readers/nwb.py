"""Units, positions and voltage in NWB 2 files, read with h5py.

No schema is loaded, nothing but the data asked for is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.pipelines.base import InputRecording, PipelineError
from analysis.readers import sources

if TYPE_CHECKING:
    import h5py


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open an NWB file; ``PipelineError`` when it is none, is damaged, or has parts in other files."""
    with sources.hdf5(path, "NWB file") as file:
        if "nwb_version" not in file.attrs and "specifications" not in file:
            raise PipelineError(f"{path.name} is an HDF5 file but not NWB.")
        yield file


def read_units(_recording: InputRecording, path: Path) -> tuple[list[NDArray[np.floating]], list[str]]:
    """Return the spike times (s) of every unit that has any, and the units' ids."""
    with opened(path) as file:
        units = file.get("units")
        if units is None or "spike_times" not in units:
            raise PipelineError(f"{path.name} has no units with spike times.")
        times = np.asarray(units["spike_times"], float)
        ends = np.asarray(units["spike_times_index"], np.int64)
        if ends.size and (ends[-1] != times.size or np.any(np.diff(ends) < 0)):
            raise PipelineError(f"The index of spike times in {path.name} does not fit its {times.size:,} spikes.")
        ids = np.asarray(units["id"]) if "id" in units else np.arange(ends.size)
        trains = np.split(times, ends[:-1]) if ends.size else []
    kept = [number for number, train in enumerate(trains) if train.size]
    return [trains[number] for number in kept], [str(ids[number]) for number in kept]


def read_position(recording: InputRecording, path: Path) -> tuple[NDArray[np.floating], NDArray[np.floating], str]:
    """Return times (s), x and y ``(n, 2)`` and the unit of one SpatialSeries; a one-dimensional one has y = 0."""
    with opened(path) as file:
        series = _choose(file, recording, path, ("SpatialSeries",), "position")
        data = series["data"]
        xy = np.asarray(data, float)
        xy = xy[:, None] if xy.ndim == 1 else xy
        if xy.ndim != 2 or xy.shape[1] < 1:
            raise PipelineError(f"{series.name} in {path.name} has the shape {data.shape}, not samples x 2.")
        xy = xy * _number(data, "conversion", 1.0) + _number(data, "offset", 0.0)
        xy = np.column_stack([xy[:, 0], xy[:, 1] if xy.shape[1] > 1 else np.zeros(len(xy))])
        # A lone coordinate of exactly zero would otherwise look like a tracker's "nothing found".
        if data.ndim == 1 or data.shape[1] == 1:
            xy[:, 1] = 1.0
        return _times(series, len(xy)), xy, text(data.attrs.get("unit", ""))


def open_voltage(
    recording: InputRecording, path: Path
) -> tuple[int, int, float, Callable[[int, int], NDArray[np.float32]], float]:
    """Return samples, channels, rate (Hz), a reader of microvolts ``(n, channels)``, and the first time (s)."""
    with opened(path) as file:
        series = _choose(file, recording, path, ("ElectricalSeries",), "voltage")
        name, data = series.name, series["data"]
        if data.ndim not in (1, 2):
            raise PipelineError(f"{name} in {path.name} has the shape {data.shape}, not samples x channels.")
        shape = (data.shape[0], 1 if data.ndim == 1 else data.shape[1])
        gain = np.float32(_number(data, "conversion", 1.0) * 1e6)
        offset = np.float32(_number(data, "offset", 0.0) * 1e6)
        channel = np.asarray(series["channel_conversion"], np.float32) if "channel_conversion" in series else None
        if "starting_time" in series:
            rate, start = float(series["starting_time"].attrs["rate"]), float(series["starting_time"][()])
        else:
            stamps = series["timestamps"]
            rate = (len(stamps) - 1) / float(stamps[-1] - stamps[0]) if len(stamps) > 1 else 0.0
            start = float(stamps[0])
        if not rate > 0:
            raise PipelineError(f"{name} in {path.name} has no usable sampling rate.")

    def read(first: int, last: int) -> NDArray[np.float32]:
        # Opened for every piece, so that no handle outlives an error or a fork.
        with opened(path) as file:
            piece = np.asarray(file[name]["data"][first:last], np.float32).reshape(-1, shape[1])
        piece *= gain if channel is None else gain * channel
        piece += offset
        return piece

    return shape[0], shape[1], rate, read, start


def _choose(file: h5py.File, recording: InputRecording, path: Path, types: tuple[str, ...], what: str) -> h5py.Group:
    found = {name: item for name, item, kind in typed(file) if kind in types and "data" in item}
    wanted = recording.parameters.get("path")
    if wanted is not None:
        name = str(wanted).strip("/")
        if name not in found:
            raise PipelineError(f"{path.name} has no {what} at {wanted!r}; it has {', '.join(found) or 'none'}.")
        return found[name]
    if not found:
        raise PipelineError(f"{path.name} has no {what} ({' or '.join(types)}).")
    if len(found) > 1:
        raise PipelineError(
            f"{path.name} has {len(found)} series of {what}; set the parameter 'path' of the recording to "
            f"one of {', '.join(found)}."
        )
    return next(iter(found.values()))


def _times(series: h5py.Group, n: int) -> NDArray[np.floating]:
    if "timestamps" in series:
        return np.asarray(series["timestamps"], float)
    start = series["starting_time"]
    return float(start[()]) + np.arange(n) / float(start.attrs["rate"])


def _number(data: h5py.Dataset, name: str, default: float) -> float:
    return float(data.attrs.get(name, default))


def typed(file: h5py.File) -> Iterator[tuple[str, Any, str]]:
    """Yield name, group and type of all that says which type of NWB it is."""
    names: list[str] = []
    # Looked at after the visit: h5py lets no error out of it.
    file.visit(names.append)
    for name in names:
        item = file[name]
        if kind := text(item.attrs.get("neurodata_type", "")):
            yield name, item, kind


def text(value: Any) -> str:
    """Return text as h5py gives it, bytes or not."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
