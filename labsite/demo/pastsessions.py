"""What was recorded before today in the simulated laboratory: a week of sessions, some with their data."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from analysis.marks import ODOUR
from labsite.demo import making
from labsite.demo.boxes import ODOUR_BOX, ODOUR_BOX_TWO, ROUND_BOX, SQUARE_BOX, TRACK_BOX, Box
from labsite.demo.laboratory import FIELD_TASK, ODOUR_TASK, TRACK_TASK, Laboratory
from labsite.demo.odourevents import odour_events
from labsite.demo.syncpulses import write_pulses
from labsite.demo.world import open_world
from sessions.models import Quality, Recording, Session
from sessions.permissions import LABORATORY
from sessions.services.eventfiles import NAME as EVENTS
from sessions.services.eventfiles import keep_events
from sessions.services.events import add_events
from sessions.services.recordings import register_recording
from sessions.services.sessions import start_session

# The session whose data are in the catalog: recording starts a minute after the session.
MAIN_TITLE = "R214 on the linear track: units, video, raw voltage"
# The one that a chain takes from raw voltage to position.
RAW_TITLE = "R215 on the linear track: raw voltage"
RECORDED_AFTER_SECONDS = 60.0
RECORDED_SECONDS = 240.0
VOLTAGE_SECONDS = 60.0

UNITS, POSITION, VIDEO, VOLTAGE = "CA1 units", "True position", "Overhead", "Probe, raw"

# The session in an open field whose units and position are in the catalog.
FIELD_TITLE = "R217 in the round arena, day 1"
FIELD_UNITS, FIELD_POSITION = "CA1 units, round arena", "True position, round arena"

# The session of odours whose units and theta are in the catalog, trial by trial.
ODOUR_TITLE = "R222 odour sequence, day 1"
ODOUR_UNITS = "CA1 units, odour trials"


@dataclass(frozen=True)
class Past:
    """A session of the past: how many days ago, at what time (hour, minute) and how long (minutes)."""

    days: int
    at: tuple[int, int]
    minutes: int
    box: Box
    rat: str
    task: str
    title: str
    quality: str = Quality.GOOD
    narrative: str = ""


def _week() -> list[Past]:
    week = []
    for days in (7, 6, 5, 4, 3, 2):
        for rat, at in (("R214", (9, 0)), ("R215", (9, 40))):
            week.append(Past(days, at, 25, TRACK_BOX, rat, TRACK_TASK, f"{rat} on the linear track, day {8 - days}"))
    week += [
        Past(5, (11, 0), 10, SQUARE_BOX, "R217", FIELD_TASK, "R217 in the square box, day 1"),
        Past(4, (11, 0), 10, ROUND_BOX, "R217", FIELD_TASK, "R217 in the round arena, day 1"),
        Past(
            3, (11, 0), 10, SQUARE_BOX, "R218", FIELD_TASK, "R218 in the square box, day 1", Quality.USABLE,
            "Sat in a corner for the first two minutes.",
        ),
        Past(2, (11, 0), 10, ROUND_BOX, "R218", FIELD_TASK, "R218 in the round arena, day 1"),
        Past(4, (14, 0), 40, ODOUR_BOX, "R222", ODOUR_TASK, ODOUR_TITLE),
        Past(
            2, (14, 0), 20, ODOUR_BOX_TWO, "R223", ODOUR_TASK, "R223 odour sequence, day 12",
            narrative="Five odours, about one in seven out of its place.",
        ),
        Past(
            1, (14, 0), 20, ODOUR_BOX, "R221", ODOUR_TASK, "R221 odour sequence, day 15",
            narrative="Five odours, about one in seven out of its place.",
        ),
        Past(
            1, (11, 0), 4, TRACK_BOX, "R215", TRACK_TASK, RAW_TITLE,
            narrative="Two minutes of raw voltage with known units; a chain goes from it to position.",
        ),
        Past(
            1, (10, 0), 12, TRACK_BOX, "R214", TRACK_TASK, MAIN_TITLE,
            narrative="Units, true position, overhead video and a minute of raw voltage, all of one simulated world.",
        ),
    ]  # fmt: skip
    return sorted(week, key=lambda past: (-past.days, past.at))


WEEK = _week()
# The session that has events as a recording, and pulses on two clocks.
CLOCKS_TITLE = "R221 odour sequence, day 15"
WITH_EVENTS = {"R223 odour sequence, day 12", CLOCKS_TITLE}
PROBE_PULSES, BOX_PULSES = "Pulses at the probe", "Pulses of the controller"


def past_sessions(laboratory: Laboratory) -> dict[str, Session]:
    """Make sure that the week's sessions are there; return them by title."""
    found = {session.title: session for session in Session.objects.filter(simulated=True).select_related("project")}
    today = timezone.now().astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    for past in WEEK:
        if past.title in found:
            continue
        start = today.replace(hour=past.at[0], minute=past.at[1]) - timedelta(days=past.days)
        animal = laboratory.animals[past.rat]
        found[past.title] = start_session(
            by=LABORATORY,
            project=animal.project,
            rig=laboratory.rigs[past.box.rig],
            task=laboratory.tasks[past.task],
            animals=[animal],
            people=[laboratory.experimenter],
            start=start,
            end=start + timedelta(minutes=past.minutes),
            title=past.title,
            narrative=past.narrative,
            quality=past.quality,
            simulated=True,
        )
    return {past.title: found[past.title] for past in WEEK}


def past_events(sessions: dict[str, Session], worlds: Path) -> None:
    """Make sure that two odour sessions have the events that the box's controller reported."""
    for past in WEEK:
        session = sessions[past.title]
        if past.title not in WITH_EVENTS or session.end is None or session.events.exists():
            continue
        start, stop = session.start.timestamp(), session.end.timestamp()
        events = odour_events(open_world(worlds, past.box.arena), since=start, start=start, stop=stop)
        add_events(by=LABORATORY, session=session, events=list(events))


def past_clocks(sessions: dict[str, Session]) -> dict[str, Recording]:
    """Make sure that one odour session has its pulses on two clocks and its events as a recording; return these."""
    session = sessions[CLOCKS_TITLE]
    below = f"demo/odour-sequence-{session.start:%Y-%m-%d}"
    files = {PROBE_PULSES: f"{below}/probe-pulses.npy", BOX_PULSES: f"{below}/controller-pulses.csv"}
    present = {recording.name: recording for recording in session.recordings.filter(simulated=True, name__in=files)}
    if len(present) < len(files):
        root = Path(settings.LAB_DATA_ROOT)
        seconds = (session.end - session.start).total_seconds() if session.end else RECORDED_SECONDS
        write_pulses(*(root / path for path in files.values()), seconds=seconds, seed=ODOUR_BOX.arena.seed)
    for name, path in files.items():
        if name not in present:
            present[name] = register_recording(
                by=LABORATORY,
                session=session,
                kind="events",
                files=[{"root": "default", "path": path}],
                parameters={"clock": "recording"},
                name=name,
                start=session.start,
                simulated=True,
            )
    kept = session.recordings.filter(kind="events", name=EVENTS).first()
    return {**present, EVENTS: kept or keep_events(by=LABORATORY, session=session)[0]}


@dataclass(frozen=True)
class Pending:
    """A recording whose files are being made; the future's result are the parameters for its reader."""

    session: Session
    name: str
    kind: str
    paths: tuple[str, ...]
    seconds: float | None
    parameters: Future[dict[str, Any]]
    format: str | None = None


Maker = Callable[..., dict[str, Any]]


def make_files(session: Session, worlds: Path, makers: making.Makers) -> list[Pending]:
    """Have the main session's files made, of those recordings that are not in the catalog."""
    return _missing(
        session, TRACK_BOX, worlds, makers,
        [
            (VIDEO, "video", "overhead.mp4", making.film, RECORDED_SECONDS),
            (UNITS, "units", "units.nwb", making.units, RECORDED_SECONDS),
            (POSITION, "position", "true-position.npz", making.position, RECORDED_SECONDS),
            (VOLTAGE, "ephys", "probe-raw.bin", making.voltage, VOLTAGE_SECONDS),
        ],
    )  # fmt: skip


def make_field_files(session: Session, worlds: Path, makers: making.Makers) -> list[Pending]:
    """Have units and position of the session in an open field made, where they are not in the catalog."""
    return _missing(
        session, ROUND_BOX, worlds, makers,
        [
            (FIELD_UNITS, "units", "units.nwb", making.units, RECORDED_SECONDS),
            (FIELD_POSITION, "position", "true-position.npz", making.position, RECORDED_SECONDS),
        ],
    )  # fmt: skip


def _missing(
    session: Session,
    box: Box,
    worlds: Path,
    makers: making.Makers,
    wanted: list[tuple[str, str, str, Maker, float]],
) -> list[Pending]:
    start = recording_start(session)
    root = Path(settings.LAB_DATA_ROOT)
    below = f"demo/{box.arena.name}-{start:%Y-%m-%d}"
    present = set(session.recordings.filter(simulated=True).values_list("name", flat=True))
    return [
        Pending(
            session,
            name,
            kind,
            (f"{below}/{file}",),
            seconds,
            makers.submit(make, box, worlds, root / below / file, start=start.timestamp(), seconds=seconds),
            "raw-binary" if kind == "ephys" else None,
        )
        for name, kind, file, make, seconds in wanted
        if name not in present
    ]


def make_odour_files(session: Session, worlds: Path, makers: making.Makers) -> list[Pending]:
    """Have the trials of the odour session made, unless they are in the catalog."""
    if session.recordings.filter(simulated=True, name=ODOUR_UNITS).exists():
        return []
    rat = f"demo/odour-sequence-{recording_start(session):%Y-%m-%d}/R222"
    paths = tuple(rat + ending for ending in ODOUR)
    parameters = makers.submit(
        making.odour_trials, ODOUR_BOX, worlds, Path(settings.LAB_DATA_ROOT) / paths[0], seed=ODOUR_BOX.arena.seed
    )
    return [Pending(session, ODOUR_UNITS, "units", paths, None, parameters, "odour-triple")]


def register_files(pending: list[Pending], sessions: list[Session]) -> dict[str, Recording]:
    """Register the files once they are made; return all simulated recordings of the sessions by name."""
    for item in pending:
        register_recording(
            by=LABORATORY,
            session=item.session,
            kind=item.kind,
            files=[{"root": "default", "path": path} for path in item.paths],
            parameters=item.parameters.result(),
            format=item.format,
            name=item.name,
            start=recording_start(item.session),
            duration=item.seconds,
            simulated=True,
        )
    found = Recording.objects.filter(simulated=True, session__in=sessions)
    return {recording.name: recording for recording in found}


def recording_start(session: Session) -> datetime:
    """Return when all devices of the main session began to record."""
    return session.start + timedelta(seconds=RECORDED_AFTER_SECONDS)
