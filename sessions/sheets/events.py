"""Sheets of events: each names its session; what is there is never rewritten, so a line is new, the same, or wrong."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

from django.db.models import Prefetch, QuerySet

from sessions import selectors, services
from sessions.errors import LabError
from sessions.models import Animal, Event, Session
from sessions.services.events import MOST_AT_ONCE
from sessions.sheets.base import NEW, SAME, WRONG, Sheet, Values, Verdict
from sessions.sheets.columns import Column, Json, Named, NamedList, Number, Text, Time, Wrong
from sessions.sheets.files import Line

CHUNK = 5000
OF_EVENT = ("time", "kind", "value", "source", "number")
OF_SESSION = {"session_start": "start", "animals": "animals", "rig": "rig", "project": "project"}


class Events(Sheet):
    """What the rigs reported; written in bulk, for there are many."""

    name = "events"
    one = "event"
    columns: ClassVar[tuple[Column, ...]] = (
        Time("session_start", "Start of the session that it belongs to.", needed=True),
        NamedList(
            "animals", "Animals of that session, where its start alone does not tell.", keeps=True, what="animal"
        ),
        Named("rig", "Rig of that session, likewise.", keeps=True, what="rig"),
        Named("project", "Project of that session, likewise.", keeps=True, what="project"),
        Time("time", "When it happened, as 2026-03-02T14:30:00.125.", needed=True),
        Text("kind", "poke, reward, odour ...", needed=True, most=64),
        Json("value", "What was reported, as JSON."),
        Text("source", "The device that reported it.", most=64),
        Number("number", "The device's own count; the same number is taken once.", most=2**63 - 1),
    )

    def existing(self, lines: Sequence[Values]) -> None:
        """Read the sessions of these starts."""
        self.sessions: dict[Any, list[Session]] = defaultdict(list)
        starts = sorted({values.given["session_start"] for values in lines})
        for first in range(0, len(starts), CHUNK):
            for row in selectors.sessions(self.by).filter(start__in=starts[first : first + CHUNK]):
                self.sessions[row.start].append(row)

    def take(self, columns: Sequence[Column], lines: Iterable[Line]) -> Iterator[Verdict]:
        """Sort the lines by their sessions, and write those of each session at once."""
        read = [self._read(columns, line) for line in lines]
        self.existing([values for values in read if isinstance(values, Values)])
        verdicts: dict[int, Verdict] = {}
        of_session: dict[Session, list[Values]] = defaultdict(list)
        for values in read:
            if isinstance(values, Verdict):
                verdicts[values.line] = values
                continue
            try:
                of_session[self._session(values)].append(values)
            except Wrong as error:
                verdicts[values.line] = Verdict(values.line, WRONG, self.about(values), (str(error),))
        for session in sorted(of_session, key=lambda row: row.pk):
            for first in range(0, len(of_session[session]), MOST_AT_ONCE):
                part = of_session[session][first : first + MOST_AT_ONCE]
                verdicts |= {verdict.line: verdict for verdict in self._of_session(session, part)}
        return iter([verdicts[line] for line in sorted(verdicts)])

    def _session(self, values: Values) -> Session:
        given = values.given
        found = [
            row
            for row in self.sessions[given["session_start"]]
            if ("animals" not in given or {a.pk for a in given["animals"]} == {a.pk for a in row.animals.all()})
            and ("rig" not in given or given["rig"].pk == row.rig_id)
            and ("project" not in given or given["project"].pk == row.project_id)
        ]
        if not found:
            raise Wrong("there is no such session, or none that you may see; sessions come before their events")
        if len(found) > 1:
            raise Wrong(f"{len(found)} sessions start then; name the animals, rig or project of the one that is meant")
        return found[0]

    def _of_session(self, session: Session, lines: list[Values]) -> list[Verdict]:
        numbered, plain = self._there(session, lines)
        verdicts, fresh = [], []
        for values in lines:
            event = {name: values.given[name] for name in OF_EVENT if name in values.given}
            content, number = _content(event), event.get("number")
            key = (event.get("source", ""), number)
            kind = SAME
            details: tuple[str, ...] = ()
            if number is not None and key in numbered:
                if numbered[key] != content:
                    kind, details = (
                        WRONG,
                        (f"number {number} was already reported otherwise; events are not rewritten",),
                    )
            elif number is None and plain[content] > 0:
                plain[content] -= 1
            else:
                kind = NEW
                fresh.append(event)
                if number is not None:
                    numbered[key] = content
            verdicts.append(Verdict(values.line, kind, self.about(values), details))
        try:
            if fresh:
                services.add_events(by=self.by, session=session, events=fresh)
        except LabError as error:
            reason = (error.detail.rstrip("."),)
            return [Verdict(v.line, WRONG, v.about, reason) if v.kind == NEW else v for v in verdicts]
        return verdicts

    def _there(self, session: Session, lines: list[Values]) -> tuple[dict[Any, Any], Counter[Any]]:
        """Return the content of the events there are by source and number, and how many of each that have none."""
        events = Event.objects.filter(session=session)
        times = {values.given["time"] for values in lines if values.given.get("number") is None}
        numbers = {values.given["number"] for values in lines if values.given.get("number") is not None}
        numbered = {(e.source, e.number): _content(_fields(e)) for e in events.filter(number__in=numbers)}
        plain = Counter(_content(_fields(e)) for e in events.filter(number=None, time__in=times))
        return numbered, plain

    def about(self, values: Values) -> str:
        """Return its kind and time."""
        return f"{values.given['kind']} at {Time('time', '').say(values.given['time'])}"

    def current(self, row: Event, column: Column) -> Any:
        """Return a value of the event or of its session."""
        if column.name not in OF_SESSION:
            return getattr(row, column.name)
        value = getattr(row.session, OF_SESSION[column.name])
        return list(value.all()) if column.name == "animals" else value

    @classmethod
    def rows(cls, by: Any, filters: dict[str, Any]) -> QuerySet[Event]:
        """Return the events of a project or of a session."""
        inside = {f"session__{name}" if name == "project" else name: value for name, value in filters.items()}
        return (
            selectors.events(by)
            .filter(**inside)
            .select_related("session__rig", "session__project")
            .prefetch_related(Prefetch("session__animals", Animal.objects.order_by("identifier")))
            .order_by("session__start", "session", "time", "id")
        )


def _fields(event: Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in OF_EVENT}


def _content(event: dict[str, Any]) -> tuple[Any, ...]:
    """Return what makes two events the same."""
    value = json.dumps(event.get("value", {}), sort_keys=True)
    return event["time"], event["kind"], value, event.get("source", "")
