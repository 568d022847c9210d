"""Columns of spreadsheets: what a cell may hold, the value that it means, and how a value is written."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from difflib import get_close_matches
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from sessions.sheets.files import Cell, Formula

# What Excel counts its days from; a number in a column of dates is most likely such a count.
_EXCEL_EPOCH = date(1899, 12, 30)
_EXCEL_DAYS = (1, 2_958_465)
_NEWLINES = re.compile(r"\r\n?")
EMPTY = (None, "")

Find = Callable[[str], Any]
Day = TypeVar("Day", date, datetime)
Finders = dict[str, Find]


class Wrong(Exception):  # noqa: N818 - what a cell is, not a failure of the program
    """A cell that cannot be taken; the sentence says why and how it is written."""


@dataclass(frozen=True)
class Column(ABC):
    """A column: its name, what people read about it, whether a new row needs it, and what an empty cell means.

    An empty cell empties what is there, or (``keeps``) leaves it as it is: a new row then takes what is usual.
    """

    name: str
    help: str
    needed: bool = False
    keeps: bool = False

    def is_empty(self, cell: Cell) -> bool:
        """Return whether a cell says nothing."""
        return cell in EMPTY or (isinstance(cell, str) and not cell.strip())

    @abstractmethod
    def read(self, cell: Cell, find: Finders) -> Any:
        """Return the value of a cell that is not empty."""

    @property
    def empty(self) -> Any:
        """What an empty cell empties it to."""
        return None

    def write(self, value: Any) -> Cell:
        """Return the cell of a value."""
        return value

    def differs(self, value: Any, current: Any) -> bool:
        """Return whether a value is another than the one there is."""
        return bool(value != current)

    def say(self, value: Any) -> str:
        """Return a value for people to read."""
        return str(self.write(value) if value not in EMPTY else "nothing")


@dataclass(frozen=True)
class Text(Column):
    """Text as it is; of what fits a line (``line``) the spaces around it do not count."""

    most: int = 100_000
    line: bool = True

    def is_empty(self, cell: Cell) -> bool:
        return super().is_empty(cell) if self.line else cell in EMPTY

    @property
    def empty(self) -> Any:
        return ""

    def read(self, cell: Cell, find: Finders) -> str:  # noqa: ARG002
        text = as_text(cell)
        text = text.strip() if self.line else text
        if len(text) > self.most:
            raise Wrong(f"has {len(text)} characters; there is room for {self.most}")
        return text

    def write(self, value: Any) -> Cell:
        return str(value or "")

    def differs(self, value: Any, current: Any) -> bool:
        return self._plain(value) != self._plain(current or "")

    def _plain(self, text: str) -> str:
        return text.strip() if self.line else _NEWLINES.sub("\n", text)


@dataclass(frozen=True)
class Choice(Column):
    """One of a few words, written as it is kept or as people read it."""

    choices: tuple[tuple[str, str], ...] = ()
    keeps: bool = True

    @property
    def empty(self) -> Any:
        return ""

    def read(self, cell: Cell, find: Finders) -> str:  # noqa: ARG002
        text = as_text(cell).strip().lower()
        for value, label in self.choices:
            if text in {value.lower(), label.lower()}:
                return value
        raise Wrong(f"is {text[:40]!r}; it is one of {', '.join(value for value, _ in self.choices if value)}")


@dataclass(frozen=True)
class Date(Column):
    """A day."""

    def read(self, cell: Cell, find: Finders) -> date:  # noqa: ARG002
        if isinstance(cell, datetime):
            if cell.time() != time():
                raise Wrong(f"is {cell:%Y-%m-%d %H:%M:%S}; it is a day without a time")
            return cell.date()
        if isinstance(cell, date):
            return cell
        written = re.compile(r"\d{4}-\d{2}-\d{2}$")
        return _of_calendar(cell, parse_date, written, "day", "2026-03-02 (year, month, day)")


@dataclass(frozen=True)
class Time(Column):
    """A moment; without a zone it is in the laboratory's."""

    def read(self, cell: Cell, find: Finders) -> datetime:  # noqa: ARG002
        if isinstance(cell, datetime):
            return local_moment(cell)
        if isinstance(cell, date):
            raise Wrong(f"is {cell.isoformat()}; it is a day with its time, such as 2026-03-02 14:30")
        ways = "2026-03-02 14:30 or 2026-03-02T14:30:00+01:00"
        found = _of_calendar(cell, parse_datetime, re.compile(r"\d{4}-\d{2}-\d{2}[T ]"), "time", ways)
        if found.tzinfo is None:
            return local_moment(found)
        try:
            return found.astimezone(UTC)
        except OverflowError:
            raise Wrong("is outside the calendar") from None

    def write(self, value: Any) -> Cell:
        return timezone.localtime(value).isoformat() if value is not None else None


@dataclass(frozen=True)
class Number(Column):
    """A number, whole unless ``decimals``, within bounds; its unit is part of the column's name or help."""

    least: float = 0
    most: float = 2**31 - 1
    decimals: bool = False

    def read(self, cell: Cell, find: Finders) -> Any:  # noqa: ARG002
        kind = "a number" if self.decimals else "a whole number"
        text = str(cell).strip() if is_number(cell) else as_text(cell).strip()
        try:
            value = float(text) if self.decimals else self._whole(text)
        except (ValueError, OverflowError):
            hint = "; write it with a point" if re.fullmatch(r"-?\d+,\d+", text) else ""
            raise Wrong(f"is {text[:40]!r}; it is {kind}{hint}") from None
        if not math.isfinite(value) or not self.least <= value <= self.most:
            raise Wrong(f"is {text[:40]}; it is {kind} from {self.least:g} to {self.most:g}")
        return value

    @staticmethod
    def _whole(text: str) -> int:
        return int(text.removesuffix(".0")) if re.fullmatch(r"-?\d{1,19}(\.0)?", text) else int("-")


@dataclass(frozen=True)
class Json(Column):
    """A JSON value: what is neither an object nor a list may be written plainly."""

    @property
    def empty(self) -> Any:
        return {}

    def read(self, cell: Cell, find: Finders) -> Any:  # noqa: ARG002
        if is_number(cell) or isinstance(cell, bool):
            return cell
        text = as_text(cell)
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise Wrong(f'is not JSON ({error}); write {{"side": "left"}}, 5 or "left"') from None

    def write(self, value: Any) -> Cell:
        return json.dumps(value, ensure_ascii=False, sort_keys=True) if value != {} else ""


@dataclass(frozen=True)
class Named(Column):
    """A thing of the catalog by its name; ``what`` says which finder looks for it."""

    what: str = ""

    def read(self, cell: Cell, find: Finders) -> Any:
        return find[self.what](_name(cell))

    def write(self, value: Any) -> Cell:
        return "" if value is None else name_of(value)


@dataclass(frozen=True)
class NamedList(Column):
    """Things of the catalog by their names with semicolons between them; a name that holds one is put in quotes."""

    what: str = ""

    @property
    def empty(self) -> Any:
        return []

    def read(self, cell: Cell, find: Finders) -> list[Any]:
        found: list[Any] = []
        for name in _split(_name(cell)):
            thing = find[self.what](name)
            if thing in found:
                raise Wrong(f"names {name} twice")
            found.append(thing)
        return found

    def write(self, value: Any) -> Cell:
        text = io.StringIO()
        csv.writer(text, delimiter=";", lineterminator="").writerow([name_of(thing) for thing in value])
        return text.getvalue().replace(";", "; ") if '"' not in text.getvalue() else text.getvalue()

    def differs(self, value: Any, current: Any) -> bool:
        return {thing.pk for thing in value} != {thing.pk for thing in current}

    def say(self, value: Any) -> str:
        return ", ".join(name_of(thing) for thing in value) or "nobody"


def is_number(cell: Cell) -> bool:
    """Return whether a cell of a workbook holds a number."""
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def as_text(cell: Cell) -> str:
    """Return the text of a cell; a formula, a NUL, half a surrogate pair are refused, whole numbers lose their .0."""
    if isinstance(cell, Formula):
        raise Wrong(f"holds the formula {str(cell)[:40]}; paste its value instead")
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    text = cell.isoformat() if isinstance(cell, date | time) else str(cell)
    if "\0" in text:
        raise Wrong("holds a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Wrong("holds half of a surrogate pair, which is no text") from None
    return text


def local_moment(naive: datetime, zone: tzinfo | None = None) -> datetime:
    """Return a time as one of a zone (the laboratory's); one that never was, or was twice, is refused."""
    zone = zone or timezone.get_default_timezone()
    try:
        early, late = (naive.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    except OverflowError:
        raise Wrong("is outside the calendar") from None
    if early.astimezone(zone).replace(tzinfo=None) != naive:
        raise Wrong(f"is {naive}, which the clocks of {_zone_name(zone)} left out")
    if early != late:
        raise Wrong(f"is {naive}, which the clocks of {_zone_name(zone)} showed twice; write it with its offset")
    return early


def _zone_name(zone: Any) -> str:
    return zone.key if isinstance(zone, ZoneInfo) else str(zone)


def _of_calendar(cell: Cell, parse: Callable[[str], Day | None], form: re.Pattern[str], what: str, ways: str) -> Day:
    """Return the day or time that a cell of text says; ``ways`` is how to write one."""
    text = as_text(cell).strip() if not is_number(cell) else str(cell)
    _no_count_of_days(text, ways)
    try:
        found = parse(text) if form.match(text) else None
    except ValueError:
        raise Wrong(f"is {text[:40]!r}; there is no such {what.rsplit(maxsplit=1)[-1]}") from None
    if found is None:
        raise Wrong(f"is {text[:40]!r}; write a {what} as {ways}")
    return found


def _no_count_of_days(text: str, example: str) -> None:
    if not re.fullmatch(r"\d+(\.\d+)?", text):
        return
    days = float(text)
    if _EXCEL_DAYS[0] <= days <= _EXCEL_DAYS[1]:
        as_date = _EXCEL_EPOCH + timedelta(days=int(days))
        raise Wrong(f"is the number {text} (Excel counts {as_date} so); format the column as dates, or write {example}")
    raise Wrong(f"is the number {text}; write it as {example}")


def _name(cell: Cell) -> str:
    return as_text(cell).strip()


def _split(text: str) -> list[str]:
    try:
        rows = list(csv.reader([text], delimiter=";", skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise Wrong(f"is no list of names ({error}); put semicolons between them") from None
    return [name.strip() for name in (rows[0] if rows else []) if name.strip()]


def name_of(thing: Any) -> str:
    """Return the name that people use for a thing of the catalog."""
    for field in ("identifier", "username", "name"):
        if (name := getattr(thing, field, None)) is not None:
            return str(name)
    return str(thing)


def finder(what: str, things: Callable[[], Sequence[Any]], *, others: Callable[[Any], str] | None = None) -> Find:
    """Return a function that finds things by name, having read them once; ``others`` gives a second name to each.

    A second name (a person's full name) counts where only one has it.
    """
    known: dict[str, Any] = {}
    second: dict[str, list[Any]] = {}
    loaded = False

    def find(name: str) -> Any:
        nonlocal loaded
        if not loaded:
            for thing in things():
                known[name_of(thing)] = thing
                if others is not None:
                    second.setdefault(others(thing), []).append(thing)
            loaded = True
        if name in known:
            return known[name]
        same = second.get(name, [])
        if len(same) == 1:
            return same[0]
        close = get_close_matches(name[:100], list(known)[:5000], 3, 0.6)
        hint = f"; is it {' or '.join(close)}?" if close else ""
        raise Wrong(f"names the {what} {name[:60]!r}, which is not there or not to be seen{hint}")

    return find
