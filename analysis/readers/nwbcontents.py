"""All that an NWB file holds: its series, units, intervals and electrodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.pipelines.base import InputRecording, PipelineError
from analysis.readers import nwb
from analysis.readers.contents import Contents, Events, Probe, Segment, Stream, Units

_SERIES = ("ElectricalSeries", "TimeSeries", "SpatialSeries", "PatchClampSeries", "CurrentClampSeries")
_MOST_POINTS = 10_000_000


def open_nwb(_recording: InputRecording, path: Path) -> Contents:
    """Return series as streams, units, intervals as events, and the place of the electrodes where it is given."""
    with nwb.opened(path) as file:
        streams, events = [], []
        skipped: list[str] = []

        for name, item, kind in nwb.typed(file):
            if kind in _SERIES and "data" in item:
                found = _stream(path, name, item)
                if found is None:
                    skipped.append(name)
                else:
                    streams.append(found)
            elif kind == "TimeIntervals" and "start_time" in item:
                events.append(_intervals(path, name, item["start_time"].shape[0]))
        units = _units(path, file)
        more: dict[str, Any] = {"nwb_version": nwb.text(file.attrs.get("nwb_version", ""))}
        electrodes = file.get("general/extracellular_ephys/electrodes")
        if electrodes is not None and "id" in electrodes:
            more["electrodes"] = int(electrodes["id"].shape[0])
        contents = [f"{g}/{child}" for g in ("acquisition", "processing") if g in file for child in file[g]]
        more |= {"contents": sorted(contents)} if contents else {}
        start = nwb.text(file["session_start_time"][()]) if "session_start_time" in file else ""
        probe = _probe(electrodes)
    if not streams and units is None and not events:
        raise PipelineError(f"{path.name} is NWB, but holds no series, units or intervals.")
    notes = [f"{len(skipped)} series without a usable rate or shape: {', '.join(skipped[:5])}."] if skipped else []
    return Contents(
        "nwb", (path,), tuple(streams), units, tuple(events), probe=probe, start=start, notes=tuple(notes), more=more
    )


def _stream(path: Path, name: str, item: Any) -> Stream | None:
    data = item["data"]
    if data.ndim not in (1, 2) or data.dtype.kind not in "iuf" or not data.shape[0]:
        return None
    n_samples, n_channels = data.shape[0], 1 if data.ndim == 1 else data.shape[1]
    if "starting_time" in item:
        rate, start = float(item["starting_time"].attrs["rate"]), float(item["starting_time"][()])
    elif "timestamps" in item and len(item["timestamps"]) == n_samples > 1:
        stamps = item["timestamps"]
        span = float(stamps[-1] - stamps[0])
        rate, start = (n_samples - 1) / span if span > 0 else 0.0, float(stamps[0])
    else:
        return None
    if not (np.isfinite(rate) and rate > 0 and np.isfinite(start)):
        return None
    unit = nwb.text(data.attrs.get("unit", ""))
    gain = np.full(n_channels, float(data.attrs.get("conversion", 1.0)))
    if "channel_conversion" in item and item["channel_conversion"].shape == (n_channels,):
        gain = gain * np.asarray(item["channel_conversion"], float)
    offset = np.full(n_channels, float(data.attrs.get("offset", 0.0)))

    def stored(_segment: int, first: int, last: int) -> NDArray:
        # Opened for every piece, so that no handle outlives an error or a fork.
        with nwb.opened(path) as file:
            return np.asarray(file[name]["data"][first:last]).reshape(-1, n_channels)

    channels = tuple(str(number) for number in range(n_channels))
    return Stream(name, channels, rate, (Segment(start, n_samples),), (unit,) * n_channels, stored, gain, offset)


def _units(path: Path, file: Any) -> Units | None:
    group = file.get("units")
    if group is None or "spike_times" not in group or "spike_times_index" not in group:
        return None
    ends = np.asarray(group["spike_times_index"], np.int64)
    counts = np.diff(ends, prepend=0)
    if ends.size and (ends[-1] != group["spike_times"].shape[0] or (counts < 0).any()):
        raise PipelineError(f"The index of spike times in {path.name} does not fit its spikes.")
    ids = np.asarray(group["id"]) if "id" in group else np.arange(ends.size)
    if ids.shape != ends.shape:
        raise PipelineError(f"{path.name} has {ids.size} ids for {ends.size} units.")

    def read() -> list[NDArray[np.floating]]:
        with nwb.opened(path) as again:
            times = np.asarray(again["units"]["spike_times"], float)
        return np.split(times, ends[:-1]) if ends.size else []

    return Units(tuple(str(number) for number in ids), read, tuple(int(count) for count in counts))


def _intervals(path: Path, name: str, count: int) -> Events:
    def read() -> tuple[NDArray[np.floating], tuple[str, ...]]:
        with nwb.opened(path) as file:
            group = file[name]
            times = np.asarray(group["start_time"], float)
            stops = np.asarray(group["stop_time"], float) if "stop_time" in group else np.full(times.shape, np.nan)
        return times, tuple(f"until {stop:g} s" if np.isfinite(stop) else "" for stop in stops)

    return Events(name, int(count), read)


def _probe(electrodes: Any) -> Probe | None:
    names = next(
        (n for n in (("rel_x", "rel_y"), ("x", "y")) if electrodes is not None and set(n) <= set(electrodes)), None
    )
    if names is None:
        return None
    columns = [electrodes[name] for name in names]
    if any(c.dtype.kind not in "iuf" or c.ndim != 1 or c.shape[0] > _MOST_POINTS for c in columns):
        return None
    positions = np.column_stack([np.asarray(c, float) for c in columns])
    placed = np.isfinite(positions).all() and len(np.unique(positions, axis=0)) == len(positions)
    # Many files leave all electrodes at one point: they are not placed.
    return Probe("electrodes of the file", positions) if placed and len(positions) else None


def is_nwb(file: Any) -> bool:
    """Return whether an open HDF5 file says that it is NWB."""
    return "nwb_version" in file.attrs or "specifications" in file
