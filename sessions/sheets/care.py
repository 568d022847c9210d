"""Sheets of weighings and procedures: a line is known by its animal and moment (and what was done)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django.db.models import QuerySet

from sessions import selectors, services
from sessions.models import Entry, Procedure, ProcedureKind, Weighing
from sessions.services.care import HEAVIEST_PLAUSIBLE_G
from sessions.sheets.base import RowSheet, Values
from sessions.sheets.columns import Choice, Column, Named, Number, Text, Time, Wrong, name_of

CHUNK = 5000
ANIMAL = Named("animal", "Identifier of the animal.", needed=True, what="animal")
PERSON = Named("person", "User name or full name of who did it; you, when empty.", keeps=True, what="person")
NOTES = Text("notes", "Anything.", line=False)


class Entries(RowSheet):
    """What is written down about animals; a subclass says of what, and which columns name a line."""

    model: ClassVar[type[Entry]]
    named_by: ClassVar[tuple[str, ...]]

    def existing(self, lines: Sequence[Values]) -> None:
        """Read what was written down at these moments."""
        moment = self.named_by[1]
        times = sorted({values.given[moment] for values in lines})
        self.known: dict[Any, list[Entry]] = {}
        for first in range(0, len(times), CHUNK):
            rows = selectors.entries(self.by, self.model).filter(
                deleted=None, **{f"{moment}__in": times[first : first + CHUNK]}
            )
            for row in rows:
                self.known.setdefault(self._key(lambda name, row=row: getattr(row, name)), []).append(row)

    def match(self, values: Values) -> Any:
        """Return what was written down of this animal at this moment."""
        key = self._key(values.given.__getitem__)
        self.claim(key, values)
        found = self.known.get(key, [])
        if len(found) > 1:
            raise Wrong(f"there are {len(found)} of them already; correct them on their pages")
        return found[0] if found else None

    def _key(self, value: Any) -> tuple[Any, ...]:
        return (value("animal").pk, *(value(name) for name in self.named_by[1:]))

    def about(self, values: Values) -> str:
        """Return the animal and the moment."""
        moment = Time("", "").say(values.given[self.named_by[1]])
        return f"{name_of(values.given['animal'])} {moment}"

    def create(self, values: dict[str, Any]) -> Entry:
        """Write it down."""
        return services.add_entry(self.model, by=self.by, **values)

    def change(self, row: Entry, changes: dict[str, Any]) -> Entry:
        """Correct it."""
        return services.update_entry(by=self.by, entry=row, **changes)

    @classmethod
    def rows(cls, by: Any, filters: dict[str, Any]) -> QuerySet[Any]:
        """Return what was written down about the animals of the user's projects, or of one."""
        inside = {f"animal__{name}": value for name, value in filters.items()}
        return (
            selectors.entries(by, cls.model)
            .filter(deleted=None, **inside)
            .order_by("animal__identifier", cls.named_by[1], "id")
        )


class Weighings(Entries):
    """Weights."""

    name = "weighings"
    one = "weighing"
    model = Weighing
    named_by = ("animal", "time")
    columns: ClassVar[tuple[Column, ...]] = (
        ANIMAL,
        Time("time", "As 2026-03-02 09:30; without an offset in the laboratory's time zone.", needed=True),
        Number("weight", "Grams.", needed=True, decimals=True, most=HEAVIEST_PLAUSIBLE_G),
        PERSON,
        NOTES,
    )


class Procedures(Entries):
    """Surgeries, implantations, perfusions ..."""

    name = "procedures"
    one = "procedure"
    model = Procedure
    named_by = ("animal", "start", "kind")
    columns: ClassVar[tuple[Column, ...]] = (
        ANIMAL,
        Time("start", "As 2026-03-02 09:30; without an offset in the laboratory's time zone.", needed=True),
        Choice("kind", "What was done.", needed=True, choices=tuple(ProcedureKind.choices)),
        Time("end", "Empty when it is not known."),
        PERSON,
        Text("outcome", "How it went, in a few words.", most=200),
        Text("narrative", "What was done.", line=False),
        NOTES,
    )
