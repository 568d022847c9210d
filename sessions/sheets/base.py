"""What a kind of spreadsheet is: its columns, the rows that it is about, and how one line becomes a write."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from django.contrib.auth import get_user_model
from django.db.models import QuerySet

from sessions import selectors
from sessions.errors import Invalid, LabError
from sessions.models import Species, Strain, Task
from sessions.sheets.columns import EMPTY, Column, Finders, Wrong, finder
from sessions.sheets.files import Cell, Line

NEW, CHANGED, SAME, WRONG = "new", "changed", "same", "wrong"


@dataclass(frozen=True)
class Verdict:
    """What becomes of a line: new, changed, same or wrong; of what; and each difference, or the reasons."""

    line: int
    kind: str
    about: str = ""
    details: tuple[str, ...] = ()


@dataclass
class Values:
    """The values of a line by the names of their columns; which of them were empty cells."""

    line: int
    given: dict[str, Any]
    empty: set[str] = field(default_factory=set)


class Sheet(ABC):
    """A kind of spreadsheet: what its columns mean, which rows its lines are about, and how they are written."""

    name: ClassVar[str]
    one: ClassVar[str]
    columns: ClassVar[tuple[Column, ...]]

    def __init__(self, by: Any) -> None:
        self.by = by
        self.find = finders(by)

    # ---- what a kind of sheet says

    @abstractmethod
    def existing(self, lines: Sequence[Values]) -> None:
        """Read, in a few queries, the rows that these lines may be about."""

    @abstractmethod
    def about(self, values: Values) -> str:
        """Return what people call the thing of a line."""

    def current(self, row: Any, column: Column) -> Any:
        """Return the value that a row has in a column."""
        return getattr(row, column.name)

    @classmethod
    @abstractmethod
    def rows(cls, by: Any, filters: dict[str, Any]) -> QuerySet[Any]:
        """Return the rows that a user may see, for a file of them."""

    # ---- a file in

    @classmethod
    def header(cls, names: Sequence[str]) -> list[Column]:
        """Return the columns of a header, matched by name; unknown, doubled and missing ones are refused."""
        known = {column.name: column for column in cls.columns}
        found = [known.get(_plain(name)) for name in names]
        if unknown := [
            name.strip() or f"(column {n} has no name)" for n, name in enumerate(names, 1) if not found[n - 1]
        ]:
            raise Invalid(
                f"There is no column {', '.join(name[:60] for name in unknown[:10])} in a sheet of {cls.name};"
                f" there is {', '.join(known)}."
            )
        columns = [column for column in found if column is not None]
        if doubled := sorted({column.name for column in columns if columns.count(column) > 1}):
            raise Invalid(f"The column {', '.join(doubled)} is there twice.")
        if missing := [column.name for column in cls.columns if column.needed and column not in columns]:
            raise Invalid(f"The column {', '.join(missing)} is missing; every line needs it.")
        return columns

    @abstractmethod
    def take(self, columns: Sequence[Column], lines: Iterable[Line]) -> Iterator[Verdict]:
        """Write every line inside the caller's transaction, and say of each what became of it."""

    def _read(self, columns: Sequence[Column], line: Line) -> Values | Verdict:
        if len(line.cells) > len(columns):
            problem = f"there are {len(line.cells)} cells under {len(columns)} columns"
            return Verdict(line.number, WRONG, _first(line), (problem,))
        values, problems = Values(line.number, {}), []
        cells = [*line.cells, *[None] * (len(columns) - len(line.cells))]
        for column, cell in zip(columns, cells, strict=True):
            try:
                if not column.is_empty(cell):
                    values.given[column.name] = column.read(cell, self.find)
                elif column.needed:
                    problems.append(f"{column.name} is empty")
                elif not column.keeps:
                    values.given[column.name] = column.empty
                    values.empty.add(column.name)
            except Wrong as error:
                problems.append(f"{column.name} {error}")
        if problems:
            return Verdict(line.number, WRONG, _first(line), tuple(problems))
        return values

    # ---- a file out

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of all columns."""
        return [column.name for column in cls.columns]

    def cells(self, row: Any) -> list[Cell]:
        """Return a row as the cells of a line."""
        return [column.write(self.current(row, column)) for column in self.columns]


class RowSheet(Sheet):
    """A sheet in which each line is one row: found by what names it, compared, and written by a service."""

    def __init__(self, by: Any) -> None:
        super().__init__(by)
        self.claimed: dict[Any, int] = {}

    @abstractmethod
    def match(self, values: Values) -> Any:
        """Return the row that a line is about, or ``None`` for a new one; ``Wrong`` when it cannot be told."""

    @abstractmethod
    def create(self, values: dict[str, Any]) -> Any:
        """Write a new row."""

    @abstractmethod
    def change(self, row: Any, changes: dict[str, Any]) -> Any:
        """Write the changes of a row."""

    def take(self, columns: Sequence[Column], lines: Iterable[Line]) -> Iterator[Verdict]:
        """Write line after line, each by itself."""
        read: list[Values | Verdict] = [self._read(columns, line) for line in lines]
        self.existing([values for values in read if isinstance(values, Values)])
        by_name = {column.name: column for column in self.columns}
        for values in read:
            yield values if isinstance(values, Verdict) else self._put(values, by_name)

    def _put(self, values: Values, columns: dict[str, Column]) -> Verdict:
        about = self.about(values)
        try:
            row = self.match(values)
            if row is None:
                self.create(values.given)
                return Verdict(values.line, NEW, about)
            changes = {
                name: value
                for name, value in values.given.items()
                if columns[name].differs(value, self.current(row, columns[name]))
            }
            if not changes:
                return Verdict(values.line, SAME, about)
            details = tuple(
                f"{name}: {columns[name].say(self.current(row, columns[name]))} → {columns[name].say(value)}"
                for name, value in changes.items()
            )
            self.change(row, changes)
            return Verdict(values.line, CHANGED, about, details)
        except Wrong as error:
            return Verdict(values.line, WRONG, about, (str(error),))
        except LabError as error:
            return Verdict(values.line, WRONG, about, (error.detail.rstrip("."),))

    def claim(self, key: Any, values: Values) -> None:
        """Take a key for a line; ``Wrong`` when an earlier line of the file is about the same thing."""
        if (earlier := self.claimed.setdefault(key, values.line)) != values.line:
            raise Wrong(f"line {earlier} is about the same {self.one}")

    def needs(self, values: dict[str, Any], *names: str) -> None:
        """Refuse a new row that lacks one of these."""
        if missing := [name for name in names if values.get(name) is None]:
            raise Wrong(f"a new {self.one} needs {' and '.join(missing)}")


def finders(by: Any) -> Finders:
    """Return what finds things of the catalog by name, among those that a user may see."""
    people = get_user_model().objects.filter(is_active=True)
    return {
        "project": finder("project", lambda: list(selectors.projects(by))),
        "species": finder("species", lambda: list(Species.objects.all())),
        "strain": finder("strain", lambda: list(Strain.objects.select_related("species"))),
        "rig": finder("rig", lambda: list(selectors.rigs(by))),
        "task": finder("task", lambda: list(Task.objects.all())),
        "person": finder("person", lambda: list(people), others=lambda person: person.get_full_name()),
        "animal": finder("animal", lambda: list(selectors.animals(by))),
    }


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-]+", "_", name.strip().lower())


def _first(line: Line) -> str:
    """Return what a line that cannot be read begins with, so that people find it."""
    return next((str(cell)[:60].replace("\0", "") for cell in line.cells if cell not in EMPTY), "")
