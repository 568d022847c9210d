"""Open Ephys, the binary format: ``structure.oebin`` says what lies in the folders beside it.

Source: the documentation of Open Ephys, "Binary format" (GUI 0.4 to 1.0).
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from analysis.pipelines.base import InputRecording, PipelineError
from analysis.readers import sources
from analysis.readers.contents import Contents, Events, Probe, Stream, table_stream

LONGEST_DESCRIPTION = 64 << 20


def open_openephys(_recording: InputRecording, path: Path) -> Contents:
    """Return the continuous streams and TTL events that a ``structure.oebin`` names, and the probe if it is known."""
    folder = path.parent
    told = _description(path)
    files, events = [path], []
    notes: list[str] = []
    streams = [_stream(folder, entry, path, files, notes) for entry in _list(told, "continuous", path)]
    for entry in _list(told, "events", path):
        found = _ttl(folder, entry, path, files)
        if found is not None:
            events.append(found)
    if not streams and not events:
        raise PipelineError(f"{path.name} names no stream and no events.")
    probe, start = None, ""
    settings = next((p for p in (folder.parent.parent, folder.parent, folder) if (p / "settings.xml").is_file()), None)
    if settings is not None:
        files.append(settings / "settings.xml")
        probe, start = _settings(settings / "settings.xml", streams, notes)
    return Contents(
        "openephys", tuple(files), tuple(streams), events=tuple(events), probe=probe, start=start, notes=tuple(notes)
    )


def _description(path: Path) -> dict[str, Any]:
    with sources.damage(path, "structure.oebin", OSError, ValueError, RecursionError):
        if path.stat().st_size > LONGEST_DESCRIPTION:
            raise PipelineError(f"{path.name} has {path.stat().st_size:,} bytes, too many for a description.")
        told = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(told, dict):
        raise PipelineError(f"{path.name} is no description of a recording.")
    return told


def _stream(folder: Path, entry: dict[str, Any], path: Path, files: list[Path], notes: list[str]) -> Stream:
    name = str(entry.get("stream_name") or entry.get("source_processor_name") or "continuous")
    rate, count = entry.get("sample_rate"), entry.get("num_channels")
    channels = entry.get("channels")
    if not _is_number(rate) or not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise PipelineError(f"{path.name} says no usable rate and number of channels for {name}.")
    if not isinstance(channels, list) or len(channels) != count or not all(isinstance(c, dict) for c in channels):
        raise PipelineError(f"{path.name} should describe {count} channels of {name}.")
    gains = [channel.get("bit_volts") for channel in channels]
    gain = np.array(gains, float) if all(map(_is_number, gains)) else None
    place = _below(folder / "continuous", entry, path)
    data = place / "continuous.dat"
    samples, start = 0, 0.0
    if data.is_file():
        samples, rest = divmod(data.stat().st_size, 2 * count)
        if rest or not samples:
            raise PipelineError(
                f"{data.name} of {name} has {data.stat().st_size:,} bytes, which {count} channels of 16 bits do not "
                "divide: it was not copied completely."
            )
        files.append(data)
        start = _first_time(place, float(rate), samples, files)
    else:
        notes.append(f"The samples of {name}, {place.name}/continuous.dat, are not there; they cannot be read.")

    def table() -> NDArray:
        if not samples:
            raise PipelineError(f"The samples of {name}, {place.name}/continuous.dat, are not beside {path.name}.")
        return np.memmap(data, dtype="<i2", mode="r", shape=(samples, count))

    return table_stream(
        name, table, (samples, count), float(rate), start=start, gain=gain,
        channels=[str(channel.get("channel_name", number)) for number, channel in enumerate(channels)],
        units=[str(channel.get("units") or "uV") for channel in channels],
    )  # fmt: skip


def _first_time(place: Path, rate: float, samples: int, files: list[Path]) -> float:
    """Return the time (s) of the first sample: by the numbers of samples, or by time stamps of GUI 0.6 and later."""
    numbers = place / "sample_numbers.npy"
    stamps = numbers if numbers.is_file() else place / "timestamps.npy"
    if not stamps.is_file():
        return 0.0
    values = sources.load_npy(stamps)
    files.append(stamps)
    if values.ndim != 1 or values.size != samples:
        raise PipelineError(f"{stamps.name} has {values.size:,} entries for {samples:,} samples.")
    first = float(values[0])
    return first / rate if values.dtype.kind in "iu" else first


def _ttl(folder: Path, entry: dict[str, Any], path: Path, files: list[Path]) -> Events | None:
    place = _below(folder / "events", entry, path)
    states = next((place / n for n in ("states.npy", "channel_states.npy") if (place / n).is_file()), None)
    if states is None:
        return None
    numbers = place / "sample_numbers.npy"
    stamps = numbers if numbers.is_file() else place / "timestamps.npy"
    values, times = sources.load_npy(states), sources.load_npy(stamps)
    if values.ndim != 1 or values.shape != times.shape:
        raise PipelineError(f"{states.name} and {stamps.name} of {place.name} are not of one length.")
    rate = entry.get("sample_rate")
    if times.dtype.kind in "iu":
        if not _is_number(rate):
            raise PipelineError(f"{path.name} says no usable rate for the events of {place.name}.")
        times = times / float(rate)
    files.extend([states, stamps])
    labels = tuple(f"{abs(int(value))} {'on' if value > 0 else 'off'}" for value in values)
    name = str(entry.get("channel_name") or place.name)
    return Events(name, int(times.size), lambda: (np.asarray(times, float), labels))


def _settings(path: Path, streams: list[Stream], notes: list[str]) -> tuple[Probe | None, str]:
    """Return the probe and the date; the XML is taken only without entities, which could read or swell files."""
    import re

    from probeinterface import read_openephys_neuropixels

    with sources.damage(path, "settings.xml", OSError):
        text = path.read_bytes()
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text or len(text) > LONGEST_DESCRIPTION:
        raise PipelineError(f"{path.name} holds definitions that no settings of Open Ephys have.")
    date = re.search(rb"<DATE>([^<]{1,60})</DATE>", text)
    start = date.group(1).decode("latin-1").strip() if date else ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = read_openephys_neuropixels(path)
    except Exception as error:  # noqa: BLE001
        # No Neuropixels, several of them, or damage: the samples can be read all the same.
        notes.append(f"The probe cannot be placed: {sources.first_line(error, longest=120)}.")
        return None, start
    positions = np.asarray(found.contact_positions, float)
    order = found.device_channel_indices
    if order is not None and len(order) == len(positions):
        positions = positions[np.argsort(order)]
    if streams and len(positions) not in {len(stream.channels) for stream in streams}:
        notes.append(f"The probe has {len(positions)} contacts, as no stream has channels.")
    return Probe(str(found.name or "").strip(), positions, int(found.get_shank_count())), start


def _list(told: dict[str, Any], name: str, path: Path) -> list[dict[str, Any]]:
    entries = told.get(name, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise PipelineError(f"{name!r} in {path.name} should be a list of descriptions.")
    return entries


def _below(folder: Path, entry: dict[str, Any], path: Path) -> Path:
    """Return the folder that an entry names; one that climbs out of the recording is refused."""
    name = entry.get("folder_name") or entry.get("folder")
    if not isinstance(name, str) or not name or "\0" in name or "\\" in name:
        raise PipelineError(f"An entry of {path.name} names no folder.")
    place = (folder / name).resolve()
    if not place.is_relative_to(folder.resolve()):
        raise PipelineError(f"{path.name} names the folder {name[:60]!r}, which is outside of the recording.")
    return place


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value) and value > 0
