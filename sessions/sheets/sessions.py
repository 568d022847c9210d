"""Sheets of sessions: found by start, animals, rig and project, since nobody knows a session by its id."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, ClassVar

from django.db.models import QuerySet

from sessions import selectors, services
from sessions.models import Quality, Session
from sessions.sheets.base import RowSheet, Values
from sessions.sheets.columns import Choice, Column, Named, NamedList, Number, Text, Time, name_of

CHUNK = 5000


class Sessions(RowSheet):
    """Sessions that were, or that run."""

    name = "sessions"
    one = "session"
    columns: ClassVar[tuple[Column, ...]] = (
        Time("start", "As 2026-03-02 14:30; without an offset in the laboratory's time zone.", needed=True),
        NamedList("animals", "Their identifiers, with semicolons between them.", what="animal"),
        Named("rig", "Name of the rig.", what="rig"),
        Named("project", "Name of the project; that of the animals when empty.", keeps=True, what="project"),
        Time("end", "Empty while it runs."),
        Named("task", "Name of the task.", what="task"),
        NamedList("people", "Their user names, with semicolons between them.", what="person"),
        Number("number", "Which session of this animal and task; counted on when empty.", keeps=True),
        Text("title", "A short name.", most=200),
        Choice("quality", "good, usable or bad.", choices=tuple(Quality.choices), keeps=False),
        Text("narrative", "What happened.", line=False),
    )

    def existing(self, lines: Sequence[Values]) -> None:
        """Read the sessions of these starts."""
        self.known: dict[Any, list[Session]] = defaultdict(list)
        starts = sorted({values.given["start"] for values in lines})
        for first in range(0, len(starts), CHUNK):
            for row in selectors.sessions(self.by).filter(start__in=starts[first : first + CHUNK]).order_by("created"):
                self.known[row.start].append(row)

    def match(self, values: Values) -> Session | None:
        """Return the session of this start that agrees in animals, rig and project, as far as the line says them."""
        found = [row for row in self.known[values.given["start"]] if self._agrees(row, values)]
        free = [row for row in found if row.pk not in self.claimed]
        if found and not free:
            self.claim(found[0].pk, values)
        if len(free) > 1:
            same = [row for row in free if not self._differences(row, values)]
            free = same or free
        if not free:
            key = (
                values.given["start"],
                frozenset(name_of(animal) for animal in values.given.get("animals") or ()),
                name_of(values.given["rig"]) if values.given.get("rig") else "",
                name_of(values.given["project"]) if values.given.get("project") else "",
            )
            self.claim(key, values)
            return None
        self.claim(free[0].pk, values)
        return free[0]

    def _agrees(self, row: Session, values: Values) -> bool:
        given = values.given
        if "animals" in given and {a.pk for a in given["animals"]} != {a.pk for a in row.animals.all()}:
            return False
        if "rig" in given and (given["rig"].pk if given["rig"] else None) != row.rig_id:
            return False
        return "project" not in given or given["project"].pk == row.project_id

    def _differences(self, row: Session, values: Values) -> bool:
        by_name = {column.name: column for column in self.columns}
        return any(
            by_name[name].differs(value, self.current(row, by_name[name])) for name, value in values.given.items()
        )

    def about(self, values: Values) -> str:
        """Return its animals and start."""
        start = Time("start", "").say(values.given["start"])
        animals = ", ".join(name_of(animal) for animal in values.given.get("animals") or ())
        return f"{animals} {start}".strip()

    def create(self, values: dict[str, Any]) -> Session:
        """Register it."""
        return services.start_session(by=self.by, **values)

    def change(self, row: Session, changes: dict[str, Any]) -> Session:
        """Change its fields."""
        return services.update_session(by=self.by, session=row, **changes)

    def current(self, row: Session, column: Column) -> Any:
        """Return a value; animals and people as lists."""
        value = getattr(row, column.name)
        return list(value.all()) if isinstance(column, NamedList) else value

    @classmethod
    def rows(cls, by: Any, filters: dict[str, Any]) -> QuerySet[Session]:
        """Return the sessions of the user's projects, or of one."""
        return selectors.sessions(by).filter(**filters).order_by("start", "id")
