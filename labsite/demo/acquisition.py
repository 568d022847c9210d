"""The instruments of the simulated boxes: what they add to the sessions that people start and record.

The probe and the tracker of a box give units and the true position of just the time that its camera recorded; the
controller of an odour box reports trials while a session runs. All of it is of the world that the camera shows.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from cameras.models import CameraRecording, RecordingState
from labsite.demo.boxes import BOX_OF_RIG, ODOUR_BOX, Box
from labsite.demo.laboratory import EXPERIMENTER, ODOUR_TASK
from labsite.demo.odourevents import odour_events
from labsite.demo.recordings import FROM_START, POSITION_HZ, write_position_npz, write_units_npz
from labsite.demo.world import World, open_world
from sessions.errors import LabError
from sessions.models import Animal, Recording, Rig, Session, Task
from sessions.permissions import LABORATORY
from sessions.services.events import MOST_AT_ONCE, add_events
from sessions.services.recordings import register_recording
from sessions.services.sessions import end_session, start_session

log = logging.getLogger(__name__)

UNITS, POSITION = "Simulated probe", "True position"
# Shorter recordings are slips of the finger, and may not hold a spike.
SHORTEST_SECONDS = 2.0
RUNNING_TITLE = "R224 odour sequence, running now"
RUNNING_RAT = "R224"
RUNNING_MINUTES = 40
# So long the box stays free when somebody ended its session or used it.
PAUSE = timedelta(minutes=5)
# The animal pokes every few seconds: a session without events for so long is from an earlier start.
LEFT_OVER = timedelta(minutes=2)


class Instruments:
    """What all boxes of a laboratory have; ``worlds`` is the folder with their worlds."""

    def __init__(self, worlds: Path) -> None:
        self._folder = worlds
        self._worlds: dict[str, World] = {}
        self._told: dict[UUID, float] = {}
        self._kept: UUID | None = None
        self._free_until = datetime.min.replace(tzinfo=UTC)

    def world(self, box: Box) -> World:
        """Return the world of a box; it is read once."""
        if box.rig not in self._worlds:
            self._worlds[box.rig] = open_world(self._folder, box.arena)
        return self._worlds[box.rig]

    # ---- the probe and the tracker

    def add_recordings(self) -> list[Recording]:
        """Give every session whose cameras have stopped the units and the true position of what they recorded."""
        added = []
        rows = (
            CameraRecording.objects.filter(
                camera__simulated=True,
                session__rig__simulated=True,
                session__rig__name__in=BOX_OF_RIG,
                state=RecordingState.FINISHED,
                stopped__isnull=False,
            )
            .exclude(Exists(_of(OuterRef("session"), OuterRef("recording__start")).filter(name=UNITS)))
            .select_related("recording", "session__rig", "session__project")
        )
        for row in rows:
            try:
                added += self._record(row)
            except LabError as error:
                # One session that was changed meanwhile must not keep the others from their data.
                log.warning("session %s gets no simulated recordings now: %s", row.session_id, error)
        return added

    def _record(self, row: CameraRecording) -> list[Recording]:
        box = _box_of(row.session)
        start, stop = row.recording.start or row.started, row.stopped or row.started
        seconds = (stop - start).total_seconds()
        if seconds < SHORTEST_SECONDS:
            return []
        world = self.world(box)
        root = Path(settings.LAB_DATA_ROOT)
        below = f"demo/recorded/{row.pk}"
        first, last = start.timestamp(), stop.timestamp()
        write_position_npz(world, root / below / "true-position.npz", start=first, stop=last)
        write_units_npz(world, root / below / "units.npz", start=first, stop=last)
        # The units last: they are the mark that all of it is there.
        wanted: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
            (POSITION, "position", "true-position.npz", {"rate": POSITION_HZ, "unit": "cm", **FROM_START}),
            (UNITS, "units", "units.npz", FROM_START),
        )
        present = set(_of(row.session, start).values_list("name", flat=True))
        return [
            register_recording(
                by=LABORATORY,
                session=row.session,
                kind=kind,
                files=[{"root": "default", "path": f"{below}/{name}"}],
                parameters=parameters,
                name=label,
                start=start,
                duration=seconds,
                simulated=True,
            )
            for label, kind, name, parameters in wanted
            if label not in present
        ]

    # ---- the controllers of the odour boxes

    def report_events(self, now: float | None = None) -> int:
        """Report what happened at the odour ports since the last call to the sessions that run there; how many."""
        now = time.time() if now is None else now
        odour_rigs = [rig for rig, box in BOX_OF_RIG.items() if box.arena.motion == "odour"]
        running = Session.objects.filter(rig__simulated=True, rig__name__in=odour_rigs, end__isnull=True)
        added = 0
        for session in running.select_related("rig", "project"):
            added += self._report(session, now)
        return added

    def _report(self, session: Session, now: float) -> int:
        began = session.start.timestamp()
        last = self._told.get(session.pk, began)
        world = self.world(_box_of(session))
        events = list(odour_events(world, since=began, start=last, stop=now))
        added = 0
        for some in _batches(events, MOST_AT_ONCE):
            added += add_events(by=LABORATORY, session=session, events=some)[0]
        self._told[session.pk] = now
        return added

    # ---- the session that always runs

    def keep_session(self, now: datetime | None = None) -> Session | None:
        """Keep an odour session running on its box, so that there is always one to look at; return a new one.

        It ends after a while and another begins. Whoever ends it, or uses the box, has the box for himself for a while.
        """
        now = now or timezone.now()
        rig = Rig.objects.filter(name=ODOUR_BOX.rig, simulated=True).first()
        animal = Animal.objects.filter(identifier=RUNNING_RAT).select_related("project").first()
        if rig is None or animal is None:
            return None
        running = Session.objects.filter(rig=rig, end__isnull=True).first()
        if running is not None and running.title == RUNNING_TITLE:
            self._kept = running.pk
            if not self._ends(running, now):
                return None
        elif running is not None or self._kept is not None:
            self._kept, self._free_until = None, now + PAUSE
        if running is not None and running.title != RUNNING_TITLE:
            return None
        if now < self._free_until:
            return None
        return self._start(rig, animal, now)

    def _ends(self, session: Session, now: datetime) -> bool:
        """End the kept session when it ran its time, or was left over from an earlier start; whether it was ended."""
        last = session.events.order_by("-time").values_list("time", flat=True).first() or session.start
        left_over = now - last > LEFT_OVER
        if not left_over and now - session.start < timedelta(minutes=RUNNING_MINUTES):
            return False
        if CameraRecording.objects.filter(session=session, state=RecordingState.RECORDING).exists():
            return False
        end_session(by=LABORATORY, session=session, end=last if left_over else now)
        return True

    def _start(self, rig: Rig, animal: Animal, now: datetime) -> Session | None:
        try:
            session = start_session(
                by=LABORATORY,
                project=animal.project,
                rig=rig,
                task=Task.objects.filter(name=ODOUR_TASK).first(),
                animals=[animal],
                people=list(animal.project.members.filter(username=EXPERIMENTER)),
                start=now,
                title=RUNNING_TITLE,
                narrative="A simulated session that runs by itself; its events come in live.",
                simulated=True,
            )
        except LabError as error:
            # Somebody was quicker, or the rat is in another box, or no longer alive.
            log.info("no odour session is started now: %s", error)
            return None
        self._kept = session.pk
        return session


def _box_of(session: Session) -> Box:
    """Return the box of a session that was chosen for being on the rig of one."""
    assert session.rig is not None  # noqa: S101 - the queries ask for the rig's name
    return BOX_OF_RIG[session.rig.name]


def _of(session: Any, start: Any) -> QuerySet[Recording]:
    """Return the simulated recordings of a session that began at just this time, as its cameras did."""
    return Recording.objects.filter(session=session, start=start, simulated=True).exclude(kind="video")


def _batches(events: list[dict], size: int) -> Iterable[list[dict]]:
    for first in range(0, len(events), size):
        yield events[first : first + size]
