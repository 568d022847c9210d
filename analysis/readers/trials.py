"""Events of a task out of files, and tables of trials as pipelines write and read them."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.methods.trials import LapTable, OdourEvent, OdourTable
from analysis.pipelines.base import InputRecording, PipelineError
from analysis.readers import sources

ODOURS, LAPS = "odours", "laps"
# Of a behavMatrix: what belongs to an odour is marked with it, or a little before.
_WITH_THE_ODOUR = 0.05
_ODOUR = re.compile(r"odou?r[ _]?(\w+)$", re.IGNORECASE)
_POSITION = re.compile(r"pos(?:ition)?[ _]?(\d+)$", re.IGNORECASE)
_YES, _NO = {"1", "true", "yes", "correct", "1.0"}, {"0", "false", "no", "wrong", "0.0", "-1"}


@dataclass(frozen=True)
class Words:
    """Which kinds of events mean what; ``ends`` are those of the two ends of a track, where there are such."""

    poke_in: str = "poke_in"
    poke_out: str = "poke_out"
    odour: str = "odour"
    verdict: str = "trial"
    right: str = "reward"
    wrong: str = "error_tone"
    lap_start: str = "lap_start"
    lap_end: str = "lap_end"
    ends: tuple[str, ...] = ()


@dataclass(frozen=True)
class Event:
    """An event at a time (s), and what it said: the columns of its row and, before them, the names in its value."""

    time: float
    kind: str
    said: Mapping[str, Any]


def read_events(recording: InputRecording) -> list[Event]:
    """Return the events of a table: a time (s) and a kind for each, and what else it says.

    What an event said may be columns of their own, or a column ``value`` of JSON objects. ``PipelineError`` for another
    format, and for a row without a time or with a value that is no JSON.
    """
    if recording.format != "csv":
        raise sources.wrong_format(recording, "table of events", ("csv", "behavmatrix-mat"))
    path = sources.data_file(recording)
    table = sources.read_table(path)
    clock = next((name for name in sources.TIMES if name in table), None)
    kind = next((name for name in ("kind", "event", "label", "name", "type") if name in table), None)
    if clock is None or kind is None:
        raise PipelineError(f"{path.name} needs the columns time and kind; it has {', '.join(table)}.")
    times = sources.table_numbers(path, clock, table[clock]) + sources.time_offset(recording)
    found = []
    for row, time in enumerate(times):
        if not np.isfinite(time):
            raise PipelineError(f"Row {row + 2} of {path.name} has no time.")
        said = {name: column[row].strip() for name, column in table.items() if column[row].strip()}
        found.append(Event(float(time), table[kind][row].strip(), said | _json(path, row, said.get("value", ""))))
    return found


def _json(path: Path, row: int, text: str) -> dict[str, Any]:
    if not text.startswith("{"):
        return {}
    try:
        value = json.loads(text)
    except ValueError:
        raise PipelineError(f"The value in row {row + 2} of {path.name} is no JSON: {text[:60]!r}.") from None
    return value if isinstance(value, dict) else {}


def odour_events(recording: InputRecording, words: Words) -> list[OdourEvent]:
    """Return the events of the odour-sequence task: of a ``behavMatrix``, or of a table of a controller.

    ``PipelineError`` where there are no pokes or no odours.
    """
    if recording.format == "behavmatrix-mat":
        return _of_behavmatrix(recording)
    events = read_events(recording)
    path = sources.data_file(recording)
    kinds = {event.kind for event in events}
    for name in (words.poke_in, words.poke_out, words.odour):
        if name not in kinds:
            raise PipelineError(
                f"{path.name} has no event of the kind {name!r}; it has {', '.join(sorted(kinds)[:12])}."
            )
    found = []
    # A reward tells that a trial was right, where no event says it in words.
    says = any(event.kind == words.verdict and "correct" in event.said for event in events)
    for event in events:
        if event.kind == words.poke_in:
            found.append(OdourEvent(event.time, "poke_in"))
        elif event.kind == words.poke_out:
            found.append(OdourEvent(event.time, "poke_out"))
        elif event.kind == words.odour:
            name = event.said.get("odour", event.said.get("odor", ""))
            position = event.said.get("position")
            found.append(
                OdourEvent(
                    event.time, "odour", str(name), None if position is None else _whole(path, event, position),
                    _truth(path, event, "in_sequence"),
                )
            )  # fmt: skip
        if event.kind == words.verdict and says:
            found.append(OdourEvent(event.time, "verdict", correct=_truth(path, event, "correct")))
        elif not says and event.kind in {words.right, words.wrong}:
            found.append(OdourEvent(event.time, "verdict", correct=event.kind == words.right))
    return found


def _truth(path: Path, event: Event, name: str) -> bool | None:
    if name not in event.said:
        return None
    text = str(event.said[name]).lower()
    if text in _YES | _NO:
        return text in _YES
    raise PipelineError(
        f"{name} of the event at {event.time:.3f} s in {path.name} is {event.said[name]!r}, not yes or no."
    )


def _whole(path: Path, event: Event, value: Any) -> int:
    try:
        number = float(value)
        if number.is_integer():
            return int(number)
    except (TypeError, ValueError):
        pass
    raise PipelineError(
        f"The position of the odour at {event.time:.3f} s in {path.name} is {value!r}, no whole number."
    )


def _of_behavmatrix(recording: InputRecording) -> list[OdourEvent]:
    from analysis.readers.opening import open_recording

    columns = {events.name: events.read() for events in open_recording(recording).events}
    path = recording.files[0].path

    def values(name: str) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        key = next((column for column in columns if column.lower() == name), None)
        if key is None:
            raise PipelineError(f"{path.name} has no column {name}; it has {', '.join(columns)}.")
        times, labels = columns[key]
        return times, np.array([float(label) for label in labels])

    pokes, order, verdicts = values("pokeevents"), values("inseqlog"), values("performancelog")
    odours = sorted(
        (float(time), match[1])
        for name, (times, _) in columns.items() if (match := _ODOUR.match(name)) for time in times
    )  # fmt: skip
    positions = sorted(
        (float(time), int(match[1]))
        for name, (times, _) in columns.items() if (match := _POSITION.match(name)) for time in times
    )  # fmt: skip
    found = [
        OdourEvent(float(time), "poke_in" if value > 0 else "poke_out") for time, value in zip(*pokes, strict=True)
    ]
    found += [
        OdourEvent(float(time), "verdict", correct=bool(value > 0)) for time, value in zip(*verdicts, strict=True)
    ]
    at = np.array([time for time, _ in odours])
    places: list[int | None] = [None] * at.size
    in_order: list[bool | None] = [None] * at.size
    for time, place in positions:
        places[_odour_of(at, time, path, "position")] = place
    for time, value in zip(*order, strict=True):
        in_order[_odour_of(at, float(time), path, "InSeqLog")] = bool(value > 0)
    found += [
        OdourEvent(time, "odour", name, place, said)
        for (time, name), place, said in zip(odours, places, in_order, strict=True)
    ]
    return found


def _odour_of(times: NDArray[np.floating], time: float, path: Path, what: str) -> int:
    number = int(np.searchsorted(times, time + _WITH_THE_ODOUR, side="right")) - 1
    if number < 0:
        raise PipelineError(f"A {what} at {time:.3f} s in {path.name} comes before the first odour.")
    return number


def lap_table(recording: InputRecording, words: Words, *, end: float) -> LapTable:
    """Return laps: from where the animal was, from marks of a controller, or from its sensors at both ends.

    ``end`` is the share of the track (%) that is its end. ``PipelineError`` where a table has neither.
    """
    from analysis.methods import position, trials
    from analysis.readers.position import read_position

    if recording.kind == "position" or recording.format == "behavmatrix-mat":
        tracked = read_position(recording)
        clean = position.clean_position(tracked.time, tracked.xy, zeros_are_missing=tracked.unit == "px")
        return trials.laps_along(clean.time, position.linearise(clean.xy).percent, end=end)
    events = read_events(recording)

    def of(*kinds: str) -> list[Event]:
        return [event for event in events if event.kind in kinds]

    starts, ends = of(words.lap_start), of(words.lap_end)
    if starts and ends:
        said = [[(e.time, str(e.said.get("direction", ""))) for e in marks] for marks in (starts, ends)]
        return trials.laps_between_marks(*said)
    if len(words.ends) == 2 and of(*words.ends):
        return trials.laps_between_ends([(e.time, e.kind) for e in of(*words.ends)])
    kinds = ", ".join(sorted({event.kind for event in events})[:12])
    raise PipelineError(
        f"The events have neither {words.lap_start} and {words.lap_end} nor two kinds that are the ends of a track (set"
        f" ends); there is {kinds}."
    )


_ODOUR_COLUMNS = (
    "trial", "time", "odour_on", "poke_out", "odour", "position", "sequence", "in_sequence", "correct",
)  # fmt: skip
_LAP_COLUMNS = ("lap", "time", "end", "direction")


def write_odours(path: Path, table: OdourTable) -> None:
    """Write trials as text: ``time`` is the poke (s), in sequence and correct are 1 or 0."""
    rows = zip(
        range(1, table.poke_in.size + 1), *(_seconds(v) for v in (table.poke_in, table.odour_on, table.poke_out)),
        table.odour, table.position, table.sequence, table.in_sequence.astype(int), table.correct.astype(int),
        strict=True,
    )  # fmt: skip
    _write(path, _ODOUR_COLUMNS, rows)


def write_laps(path: Path, table: LapTable) -> None:
    """Write laps as text: ``time`` is their start (s)."""
    rows = zip(range(1, table.start.size + 1), _seconds(table.start), _seconds(table.end), table.direction, strict=True)
    _write(path, _LAP_COLUMNS, rows)


def _seconds(times: NDArray[np.floating]) -> list[str]:
    return [f"{time:.6f}" for time in times]


def _write(path: Path, columns: tuple[str, ...], rows: Any) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows(rows)


def read_odours(recording: InputRecording) -> OdourTable:
    """Return the trials of a table that ``events.trials`` wrote; ``PipelineError`` for another."""
    path, table, offset = _table(recording, ODOURS, _ODOUR_COLUMNS)
    poke, odour_on, out = (
        sources.table_numbers(path, name, table[name]) + offset for name in ("time", "odour_on", "poke_out")
    )
    numbers = [sources.table_numbers(path, name, table[name]) for name in _ODOUR_COLUMNS[5:]]
    if not all(np.isfinite(column).all() for column in (poke, odour_on, out, *numbers)):
        raise PipelineError(f"The table of trials {path.name} has an empty cell.")
    position, sequence, in_sequence, correct = numbers
    return OdourTable(
        poke,
        odour_on,
        out,
        tuple(table["odour"]),
        position.astype(int),
        sequence.astype(int),
        in_sequence == 1,
        correct == 1,
    )


def read_laps(recording: InputRecording) -> LapTable:
    """Return the laps of a table that ``events.trials`` wrote; ``PipelineError`` for another."""
    path, table, offset = _table(recording, LAPS, _LAP_COLUMNS)
    start, end = (sources.table_numbers(path, name, table[name]) + offset for name in ("time", "end"))
    if not (np.isfinite(start).all() and (end > start).all()):
        raise PipelineError(f"The table of laps {path.name} has a lap that does not end after its start.")
    return LapTable(start, end, tuple(table["direction"]))


def _table(recording: InputRecording, which: str, columns: tuple[str, ...]) -> tuple[Path, dict[str, list[str]], float]:
    said = recording.parameters.get("table")
    if recording.format != "csv" or said not in (which, None):
        raise PipelineError(
            f"{recording.label or 'The recording'} is {f'a table of {said}' if said else recording.format}, not a "
            f"table of {which} as events.trials makes it."
        )
    path = sources.data_file(recording)
    table = sources.read_table(path)
    if missing := [name for name in columns if name not in table]:
        raise PipelineError(f"{path.name} is no table of {which}: it has no column {', '.join(missing)}.")
    return path, table, sources.time_offset(recording)
