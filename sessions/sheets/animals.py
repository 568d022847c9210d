"""Sheets of animals: one line for each, found by its identifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django.db.models import QuerySet

from sessions import selectors, services
from sessions.models import Animal, AnimalStatus, Sex
from sessions.sheets.base import RowSheet, Values
from sessions.sheets.columns import Choice, Column, Date, Named, Text


class Animals(RowSheet):
    """Animals; a new one needs its project and species, too."""

    name = "animals"
    one = "animal"
    columns: ClassVar[tuple[Column, ...]] = (
        Text("identifier", "The name used in the laboratory, such as R214.", needed=True, most=64),
        Named("project", "Name of its project; a new animal needs one.", keeps=True, what="project"),
        Named("species", "rat, mouse ...; a new animal needs one.", keeps=True, what="species"),
        Named("strain", "Name of its strain.", what="strain"),
        Text("genotype", "As people write it.", most=200),
        Choice("sex", "M, F or U (unknown).", choices=tuple(Sex.choices)),
        Date("birth_date", "As 2026-03-02."),
        Date("death_date", "As 2026-03-02; the status is then dead."),
        Choice("status", "alive, dead or transferred.", choices=tuple(AnimalStatus.choices)),
        Text("cage", "Name of its cage.", most=64),
        Named("responsible", "User name or full name of a person.", what="person"),
        Text("notes", "Anything.", line=False),
    )

    def existing(self, lines: Sequence[Values]) -> None:
        """Read the animals of these identifiers."""
        asked = {values.given["identifier"] for values in lines}
        self.known = {animal.identifier: animal for animal in _named(selectors.animals(self.by), asked)}

    def match(self, values: Values) -> Animal | None:
        """Return the animal of this identifier."""
        identifier = values.given["identifier"]
        self.claim(identifier, values)
        return self.known.get(identifier)

    def about(self, values: Values) -> str:
        """Return the identifier."""
        return str(values.given["identifier"])

    def create(self, values: dict[str, Any]) -> Animal:
        """Take it into its project."""
        self.needs(values, "project", "species")
        return services.create_animal(by=self.by, **values)

    def change(self, row: Animal, changes: dict[str, Any]) -> Animal:
        """Change its fields."""
        return services.update_animal(by=self.by, animal=row, **changes)

    @classmethod
    def rows(cls, by: Any, filters: dict[str, Any]) -> QuerySet[Animal]:
        """Return the animals of the user's projects, or of one."""
        return selectors.animals(by).filter(**filters).order_by("identifier")


def _named(queryset: QuerySet[Animal], names: set[str]) -> list[Animal]:
    ordered = sorted(names)
    return [
        animal
        for start in range(0, len(ordered), 5000)
        for animal in queryset.filter(identifier__in=ordered[start : start + 5000])
    ]
