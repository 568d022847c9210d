"""MaxWell: high-density arrays in HDF5, one recording for each well and stretch of time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.pipelines.base import InputRecording, PipelineError
from analysis.readers import sources
from analysis.readers.contents import Contents, Probe, Stream, table_stream


def open_maxwell(_recording: InputRecording, path: Path) -> Contents:
    """Return a stream for each stretch in ``data_store`` with the place of its electrodes."""
    import datetime as dt

    streams: list[Stream] = []
    probe, start = None, ""
    with sources.hdf5(path, "MaxWell recording") as file:
        store = file["data_store"]
        for name in store:
            streams.extend(
                _stream(path, store[name], f"data_store/{name}/groups/{kind}", f"{name} {kind}")
                for kind in store[name]["groups"]
            )
        if not streams:
            raise PipelineError(f"{path.name} holds no recording.")
        first = store[next(iter(store))]
        mapping = first["settings/mapping"][()]
        positions = np.column_stack([mapping["x"], mapping["y"]]).astype(float)
        if len(positions) == len(streams[0].channels) and np.isfinite(positions).all():
            probe = Probe("MaxWell array", positions)
        if "start_time" in first:
            moment = dt.datetime.fromtimestamp(float(first["start_time"][0]) / 1e3, dt.UTC)
            start = moment.isoformat(timespec="seconds")
    notes = ("Samples compressed by MaxWell are read only where its HDF5 plugin is installed.",)
    return Contents("maxwell", (path,), tuple(streams), probe=probe, start=start, notes=notes)


def _stream(path: Path, group: Any, place: str, name: str) -> Stream:
    kind = place.rpartition("/")[2]
    raw = group[f"groups/{kind}/raw"]
    if raw.ndim != 2 or raw.dtype.kind not in "iu" or not raw.shape[1]:
        raise PipelineError(f"{name} of {path.name} has the shape {raw.shape}, not channels x samples.")
    rate, step = float(group["settings/sampling"][0]), float(group["settings/lsb"][0]) * 1e6
    if not (np.isfinite(rate) and rate > 0 and np.isfinite(step) and step > 0):
        raise PipelineError(f"{name} of {path.name} has no usable rate and size of a step.")
    channels = [str(number) for number in group[f"groups/{kind}/channels"][()]]
    if len(channels) != raw.shape[0]:
        raise PipelineError(f"{name} of {path.name} names {len(channels)} channels for {raw.shape[0]} rows.")
    n_channels, n_samples = raw.shape

    def stored(_segment: int, first: int, last: int) -> NDArray:
        with sources.hdf5(path, "MaxWell recording") as file:
            return np.asarray(file[f"{place}/raw"][:, first:last]).T

    made = table_stream(
        name, np.zeros((0, n_channels)), (n_samples, n_channels), rate, channels=channels, units="uV", gain=step
    )
    return Stream(made.name, made.channels, rate, made.segments, made.units, stored, made.gain)
