"""Recordings: registered where their files lie, or opened when a device starts and completed when it is done."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from django.utils import timezone

from sessions import formats
from sessions.data_roots import find
from sessions.errors import Conflict, Invalid
from sessions.live import tell
from sessions.models import DataFile, FileRole, Recording, RecordingKind, Session
from sessions.permissions import require
from sessions.services.files import Place, add_files, located
from sessions.services.transaction import checked, checked_mapping, one_write, only_known

# Files beside the data: their format is not that of the recording.
BESIDE = {FileRole.CLOCK, FileRole.PROXY, FileRole.POSTER}
MOST_CHANNELS = 1_000_000


def register_recording(
    *,
    by: Any,
    session: Session,
    kind: str,
    files: Sequence[Mapping[str, Any]],
    format: str | None = None,  # noqa: A002 - the word of the field, and of the REST body
    parameters: Mapping[str, Any] | None = None,
    name: str = "",
    start: datetime | None = None,
    rate: float | None = None,
    channels: int | None = None,
    duration: float | None = None,
    simulated: bool = False,
    derived_from: Iterable[Recording] = (),
    facts: Mapping[str, Any] | None = None,
) -> Recording:
    """Register files that lie on the server as a recording of a session.

    The format is recognised from the files, or checked against them when it is stated; what their headers say (rate in
    Hz, channels, duration in s) fills what was not given. ``Invalid`` names the file that is missing, empty, outside
    its root, in no known format, in another than stated, or in one that cannot hold this kind; ``Conflict`` one that
    is already registered. Nothing is written then.
    """
    require(by, "change", session)
    recording = _new(session=session, kind=kind, name=name, start=start, parameters=parameters, simulated=simulated)
    derived_from = list(derived_from)
    for parent in derived_from:
        require(by, "view", parent)
    places = located(files)
    given = {"rate": rate, "channels": channels}
    described = {**{k: v for k, v in given.items() if v is not None}, **recording.parameters}
    told, places = _recognise(kind, places, format, described)
    recording.format = told.format
    recording.parameters = checked_mapping("parameters", {**told.parameters, **recording.parameters})
    recording.facts = {**told.facts, **checked_mapping("facts", facts)}
    _numbers(recording, rate=rate, channels=channels, duration=duration)
    with one_write():
        checked(recording).save(force_insert=True)
        add_files(recording, places)
        recording.derived_from.set(derived_from)
        tell(session.pk, {"type": "recordings"})
    return recording


def open_recording(
    *,
    by: Any,
    session: Session,
    kind: str,
    format: str,  # noqa: A002
    name: str = "",
    start: datetime | None = None,
    parameters: Mapping[str, Any] | None = None,
    rate: float | None = None,
    channels: int | None = None,
    simulated: bool = False,
    facts: Mapping[str, Any] | None = None,
) -> Recording:
    """Note a recording that a device makes from now on; ``complete_recording`` adds its files."""
    require(by, "change", session)
    recording = _new(session=session, kind=kind, name=name, start=start, parameters=parameters, simulated=simulated)
    if format not in formats.FORMATS:
        raise Invalid(f"{format!r} is no known format.", {"format": ["This is no known format."]})
    _suits(format, kind)
    recording.format, recording.facts = format, checked_mapping("facts", facts)
    _numbers(recording, rate=rate, channels=channels, duration=None)
    with one_write():
        checked(recording).save(force_insert=True)
        tell(session.pk, {"type": "recordings"})
    return recording


def complete_recording(
    *,
    by: Any,
    recording: Recording,
    files: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Any] | None = None,
    rate: float | None = None,
    channels: int | None = None,
    duration: float | None = None,
) -> Recording:
    """Add files to a recording (all of them, or what was made later, such as a proxy) and what is known of it now."""
    require(by, "change", recording)
    places = located(files)
    with one_write():
        recording = Recording.objects.select_for_update(of=("self",)).select_related("session").get(pk=recording.pk)
        told, places = _recognise(recording.kind, places, recording.format, recording.parameters)
        recording.facts = {**recording.facts, **told.facts, **checked_mapping("facts", facts)}
        _numbers(
            recording,
            rate=recording.rate if rate is None else rate,
            channels=recording.channels if channels is None else channels,
            duration=recording.duration if duration is None else duration,
        )
        checked(recording).save(update_fields=["facts", "rate", "channels", "duration"])
        add_files(recording, places)
        tell(recording.session_id, {"type": "recordings"})
    return recording


def update_recording(*, by: Any, recording: Recording, **changes: Any) -> Recording:
    """Change what people say of a recording: ``name``, ``quality``, ``parameters`` (how its files are to be read)."""
    only_known(changes, {"name", "quality", "parameters"}, "a recording")
    with one_write():
        recording = (
            Recording.objects.select_for_update(of=("self",)).select_related("session__project").get(pk=recording.pk)
        )
        require(by, "change", recording)
        for field, value in changes.items():
            setattr(recording, field, checked_mapping(field, value) if field == "parameters" else value)
        checked(recording).save(update_fields=list(changes) or None)
        tell(recording.session_id, {"type": "recordings"})
    return recording


def _new(
    *, session: Session, kind: str, name: str, start: datetime | None, parameters: Any, simulated: bool
) -> Recording:
    if kind not in RecordingKind.values:
        sentence = f"{kind!r} is no kind of recording; there is {', '.join(RecordingKind.values)}."
        raise Invalid(sentence, {"kind": [sentence]})
    if start is not None and timezone.is_naive(start):
        sentence = "start needs a time zone, such as 2026-03-02T12:00:00+01:00."
        raise Invalid(sentence, {"start": [sentence]})
    return Recording(
        session=session, kind=kind, name=name.strip(), start=start,
        parameters=checked_mapping("parameters", parameters), simulated=simulated or session.simulated,
    )  # fmt: skip


def _recognise(
    kind: str, places: Sequence[Place], stated: str | None, parameters: Mapping[str, Any]
) -> tuple[formats.Recognised, list[Place]]:
    """Return the one format of all data files with what the first says, and the files with those that belong to it."""
    first: formats.Recognised | None = None
    belonging: set[Path] = set()
    for position, (_, path, role, found) in enumerate(places):
        if role in BESIDE or found.path in belonging:
            continue
        name = stated if first is None else first.format
        try:
            told = (
                formats.check(found.path, name, parameters, kind)
                if name
                else formats.recognise(found.path, parameters, kind)
            )
        except formats.FormatError as error:
            sentence = str(error)
            raise Invalid(sentence, {f"files[{position}]": [sentence]}) from error
        except OSError as error:
            raise Conflict(f"{path} cannot be read: {error.strerror}.") from error
        belonging |= {file.resolve() for file in told.files}
        first = first or told
    if first is None:
        if stated is None:
            raise Invalid("None of the files holds data.", {"files": ["None of the files holds data."]})
        first = formats.Recognised(stated)
    _suits(first.format, kind)
    checked_mapping("facts", first.facts)
    return first, [*places, *_beside(places, first.files)]


def _beside(places: Sequence[Place], files: Sequence[Path]) -> list[Place]:
    """Return the files that belong to a recording and were not named: they are registered with it, in its data root.

    One that another recording has already, as two of one session may share their settings, stays with that.
    """
    root, *_ = places[0]
    base = Path(root.path).resolve()
    named = {found.path for *_, found in places}
    paths = [
        real.relative_to(base).as_posix()
        for real in dict.fromkeys(file.resolve() for file in files)
        if real not in named and real.is_relative_to(base)
    ]
    taken = set(DataFile.objects.filter(root=root, path__in=paths).values_list("path", flat=True)) if paths else set()
    return [(root, path, FileRole.DATA, find(root, path)) for path in paths if path not in taken]


def _suits(name: str, kind: str) -> None:
    if not formats.suits(name, kind):
        holds = ", ".join(formats.kinds_of(name))
        sentence = f"{formats.FORMATS[name].label} ({name}) does not hold {kind}; it holds {holds}."
        raise Invalid(sentence, {"kind": [sentence]})


def _numbers(recording: Recording, *, rate: float | None, channels: int | None, duration: float | None) -> None:
    """Take rate (Hz), channels and duration (s) as given, else from the parameters, else from the header."""
    for field, given in (("rate", rate), ("channels", channels), ("duration", duration)):
        value = given
        for source in (recording.parameters, recording.facts):
            if (value is None and field != "duration") or (value is None and source is recording.facts):
                value = source.get(field)
        if value is not None and not _plausible(field, value):
            sentence = f"{field} is {value!r}; it is {_EXPECTED[field]}."
            raise Invalid(sentence, {field: [sentence]})
        setattr(recording, field, value)


_EXPECTED = {
    "rate": "a number of Hz above 0",
    "channels": f"a whole number from 1 to {MOST_CHANNELS}",
    "duration": "a number of seconds, not negative",
}


def _plausible(field: str, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if isinstance(value, float) and not math.isfinite(value):
        return False
    if field == "channels":
        return isinstance(value, int) and 1 <= value <= MOST_CHANNELS
    return 0 < value < 1e12 if field == "rate" else 0 <= value < 1e12  # noqa: PLR2004 - beyond any instrument
