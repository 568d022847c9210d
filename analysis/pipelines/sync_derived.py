"""Recordings of one clock written anew with the times of another."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.methods.alignment import Line
from analysis.pipelines.base import DerivedRecording, InputRecording

KINDS = ("units", "spikes", "position", "events")


def bring(
    recording: InputRecording, line: Line, *, shift: float, reference: InputRecording, folder: Path, number: int
) -> tuple[DerivedRecording, NDArray[np.floating]]:
    """Write a recording with its times on the clock of ``reference``; return it and its times there (s).

    ``shift`` (s) is added before the line is taken; ``number`` is the recording's place in the run. Units become
    ``units-npz``, positions ``position-npz``, events a table with all columns that it had.
    """
    write = {"units": _units, "spikes": _units, "position": _position}.get(recording.kind, _events)

    def move(times: NDArray[Any]) -> NDArray[np.floating]:
        return line.of(np.asarray(times, float) + shift)

    path, file_format, times, parameters = write(recording, move, folder / f"{recording.kind}-{number}")
    # Times that count from the reference's start go with that start, which a derived recording gets.
    clock = {"clock": reference.parameters["clock"]} if "clock" in reference.parameters else {}
    duration = float(np.ptp(times)) if times.size else None
    made = DerivedRecording(
        recording.kind, file_format, (path.name,), {**parameters, **clock}, duration=duration, name="aligned",
        made_of=number,
    )  # fmt: skip
    return made, times


def _units(recording: InputRecording, move: Any, place: Path) -> tuple[Path, str, NDArray[np.floating], dict[str, Any]]:
    from analysis.readers import read_spikes
    from analysis.readers.spikes import own_labels

    trains, own = read_spikes(recording), own_labels(recording)
    times, path = move(trains.times), place.with_suffix(".npz")
    # A unit without a spike would lose its label: the file names units by their spikes.
    fired = np.unique(trains.units)
    # What the sorter said of them goes along, or none of them would be known to be good.
    said: dict[str, Any] = {} if own is None else {"unit_quality": np.array([own[unit] for unit in fired])}
    labels = np.array([trains.labels[unit] for unit in fired])
    np.savez_compressed(path, spike_times=times, spike_units=trains.units.astype(np.int32), unit_labels=labels, **said)
    return path, "units-npz", times, {}


def _position(
    recording: InputRecording, move: Any, place: Path
) -> tuple[Path, str, NDArray[np.floating], dict[str, Any]]:
    from analysis.readers import read_position

    tracked = read_position(recording)
    times, path = move(tracked.time), place.with_suffix(".npz")
    xy = np.asarray(tracked.xy, float)
    np.savez_compressed(path, time=times, x=xy[:, 0], y=xy[:, 1], unit=np.array(tracked.unit))
    return path, "position-npz", times, {}


def _events(
    recording: InputRecording, move: Any, place: Path
) -> tuple[Path, str, NDArray[np.floating], dict[str, Any]]:
    from analysis.readers import open_recording, sources

    path = place.with_suffix(".csv")
    contents = open_recording(recording)
    if recording.format == "csv":
        table = sources.read_table(sources.data_file(recording))
        offset = sources.time_offset(recording)
        moved = {}
        for name in table:
            if name in sources.TIME_COLUMNS:
                moved[name] = move(sources.table_numbers(contents.files[0], name, table[name]) + offset)
        columns = {name: _seconds(moved[name]) if name in moved else column for name, column in table.items()}
        times = next(iter(moved.values()))
        kept = {name: value for name, value in recording.parameters.items() if name not in {"time_offset", "clock"}}
    else:
        rows = [
            (time, events.name, label) for events in contents.events for time, label in zip(*events.read(), strict=True)
        ]
        rows.sort(key=lambda row: row[0])
        times = move([row[0] for row in rows])
        columns = {
            "time": _seconds(times), "kind": [row[1] for row in rows], "value": [row[2] for row in rows],
        }  # fmt: skip
        kept = {}
    with path.open("w", newline="", encoding="utf-8") as file:
        written = csv.writer(file)
        written.writerow(columns)
        written.writerows(zip(*columns.values(), strict=True))
    return path, "csv", times, kept


def _seconds(times: NDArray[np.floating]) -> list[str]:
    return ["" if not np.isfinite(time) else f"{time:.6f}" for time in times]
