"""One way to open a recording of any known format: ``open_recording``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.marks import described_by
from analysis.pipelines.base import InputRecording, PipelineError
from analysis.readers import (
    identities,
    matlab,
    mea,
    nwbcontents,
    odour,
    openephys,
    phy,
    poses,
    sources,
    spikeglx,
    vendor,
)
from analysis.readers.contents import Contents, Events, Segment, Stream, Tracks, Units

Opener = Callable[[InputRecording, Path], Contents]


def open_recording(recording: InputRecording) -> Contents:
    """Return what a recording holds; nothing but headers is read before a piece is asked for.

    ``PipelineError`` with one sentence when a file is missing, damaged, cut off, contradicts itself, or is of a format
    that no reader knows.
    """
    if recording.format not in OPENERS:
        raise PipelineError(f"The format {recording.format!r} has no reader; known are {', '.join(sorted(OPENERS))}.")
    files = [file.path for file in recording.files if file.role == "data"] or [file.path for file in recording.files]
    if not files:
        raise PipelineError(f"The recording {recording.label or recording.id} has no files.")
    path = sources.sound_file(_entry(recording.format, files[0]))
    contents = OPENERS[recording.format](recording, path)
    offset = 0.0 if recording.format in _SHIFTED else sources.time_offset(recording)
    return replace(contents, events=tuple(_later(each, offset) for each in contents.events)) if offset else contents


# Formats whose openers add the offset to the times of events themselves.
_SHIFTED = {"csv", "npy"}


def _later(events: Events, offset: float) -> Events:
    def read() -> tuple[NDArray[np.floating], tuple[str, ...]]:
        times, labels = events.read()
        return times + offset, labels

    return replace(events, read=read)


def _entry(file_format: str, path: Path) -> Path:
    """Return the file that says what the others are."""
    if file_format == "openephys" and path.name != "structure.oebin":
        return described_by(path) or path
    if file_format == "spikeglx":
        return spikeglx.files_of(path)[0]
    return path


def _open_units(recording: InputRecording, path: Path) -> Contents:
    from analysis.readers.spikes import read_spikes

    spikes = read_spikes(recording)
    counts = np.bincount(spikes.units, minlength=len(spikes.labels))

    def read() -> list[NDArray[np.floating]]:
        return [spikes.times[spikes.units == number] for number in range(len(spikes.labels))]

    more: dict[str, Any] = {"duration": float(spikes.times[-1] - min(0.0, spikes.times[0]))}
    units = Units(spikes.labels, read, tuple(int(count) for count in counts))
    if recording.format == "matclust-mat":
        found = matlab.variables(path)
        more |= {"variables": {name: {"shape": list(shape), "class": kind} for name, (shape, kind) in found.items()}}
    return Contents(recording.format, (path,), units=units, more=more)


def _open_position(recording: InputRecording, path: Path) -> Contents:
    from analysis.readers.position import read_position

    position = read_position(recording)
    xy = position.xy[:, None, None, :]
    score = np.full(xy.shape[:3], np.nan)
    step = np.diff(position.time)
    rate = float(f"{1 / np.median(step):.9g}") if step.size and np.median(step) > 0 else None
    tracks = Tracks(
        ("animal",), ("position",), np.arange(len(xy)), lambda a, b: (xy[a:b], score[a:b]), position.unit, rate,
        lambda: position.time,
    )  # fmt: skip
    return Contents(recording.format, (path,), tracks=tracks)


def _open_signal(recording: InputRecording, path: Path) -> Contents:
    from analysis.readers.signal import open_signal

    signal = open_signal(recording)
    names = tuple(str(number) for number in range(signal.n_channels))
    stream = Stream(
        recording.kind, names, signal.rate, (Segment(signal.start, signal.n_samples),), ("uV",) * signal.n_channels,
        lambda _segment, first, last: signal.read(first, last), np.ones(signal.n_channels),
    )  # fmt: skip
    return Contents(recording.format, (path,), (stream,))


def _open_csv(recording: InputRecording, path: Path) -> Contents:
    if recording.kind in {"units", "spikes"}:
        return _open_units(recording, path)
    if recording.kind == "position":
        return _open_position(recording, path)
    table = sources.read_table(path)
    name = next((name for name in sources.TIMES if name in table), None)
    if name is None:
        raise PipelineError(f"{path.name} has no column time; it has {', '.join(table)}.")
    times = sources.table_numbers(path, name, table[name]) + sources.time_offset(recording)
    if not np.isfinite(times).all():
        raise PipelineError(f"Row {int(np.flatnonzero(~np.isfinite(times))[0]) + 2} of {path.name} has no time.")
    words = next(
        (table[n] for n in ("kind", "event", "label", "name", "type", "value") if n in table), [""] * times.size
    )
    return Contents("csv", (path,), events=(Events("events", int(times.size), lambda: (times, tuple(words))),))


def _open_npy(recording: InputRecording, path: Path) -> Contents:
    if recording.kind != "events":
        return _open_signal(recording, path)
    times = sources.load_npy(path)
    if times.ndim != 1 or times.dtype.kind not in "iuf":
        raise PipelineError(f"{path.name} should hold the times of events, not {times.dtype} of shape {times.shape}.")

    def read() -> tuple[NDArray[np.floating], tuple[str, ...]]:
        return np.asarray(times, float) + sources.time_offset(recording), ("",) * times.size

    return Contents("npy", (path,), events=(Events("events", int(times.size), read),))


def _open_video(recording: InputRecording, path: Path) -> Contents:
    from analysis.readers.video import open_video

    video = open_video(recording)
    return Contents(recording.format, (path,), more={"frames": video.count})


OPENERS: dict[str, Opener] = {
    "spikeglx": spikeglx.open_spikeglx,
    "openephys": openephys.open_openephys,
    **dict.fromkeys(vendor.READERS, vendor.open_vendor),
    "maxwell": mea.open_maxwell,
    "nwb": nwbcontents.open_nwb,
    "phy": phy.open_phy,
    "deeplabcut-csv": poses.open_deeplabcut_csv,
    "deeplabcut-h5": poses.open_deeplabcut_h5,
    "sleap-slp": poses.open_sleap,
    "sleap-analysis": poses.open_sleap_analysis,
    "idtracker": identities.open_identities,
    "statmatrix-mat": matlab.open_statmatrix,
    "behavmatrix-mat": matlab.open_behavmatrix,
    "matlab-table": matlab.open_table,
    "odour-triple": odour.open_triple,
    "matclust-mat": _open_units,
    "units-npz": _open_units,
    "trodes-position": _open_position,
    "position-npz": _open_position,
    "lfp-npz": _open_signal,
    "raw-binary": _open_signal,
    "npy": _open_npy,
    "csv": _open_csv,
    "video": _open_video,
    "mjpeg-segments": _open_video,
}
