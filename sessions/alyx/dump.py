"""Reading a dump: its records by model, and the report of what became of each."""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from sessions.errors import Invalid, TooLarge

# A dump of a laboratory of twenty years has some hundred MB; the limit keeps a wrong file from filling the memory.
MOST_BYTES = 2_000_000_000
GZIP = b"\x1f\x8b"

IMPORTED, MERGED, REFUSED = "imported", "merged", "refused"


@dataclass(frozen=True)
class Record:
    """A row of Alyx."""

    model: str
    pk: str
    fields: dict[str, Any]

    def text(self, *names: str) -> str:
        """Return the first of these fields that says something; Alyx writes ``-`` for nothing."""
        for name in names:
            value = self.fields.get(name)
            if isinstance(value, str) and value.strip() not in {"", "-", "None"}:
                return plain(value).strip()
        return ""

    def many(self, name: str) -> list[str]:
        """Return the keys of a relation to many."""
        value = self.fields.get(name)
        return [str(key) for key in value] if isinstance(value, list) else []

    @property
    def name(self) -> str:
        """What people call it, or its key."""
        return self.text("nickname", "name", "username") or self.pk[:8]


@dataclass(frozen=True)
class Entry:
    """What became of a record, and why."""

    record: Record
    outcome: str
    reason: str = ""


@dataclass
class Dump:
    """All records of a dump."""

    records: list[Record]
    by_model: dict[str, list[Record]] = field(default_factory=lambda: defaultdict(list))
    by_key: dict[tuple[str, str], Record] = field(default_factory=dict)
    by_subject: dict[tuple[str, str], list[Record]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for record in self.records:
            self.by_model[record.model].append(record)
            self.by_key[record.model, record.pk] = record
            self.by_subject[record.model, str(record.fields.get("subject"))].append(record)

    def of(self, model: str) -> list[Record]:
        """Return the records of a model, such as ``subjects.subject``."""
        return self.by_model.get(model, [])

    def about(self, model: str, subject: str) -> list[Record]:
        """Return the records of a model that are about a subject."""
        return self.by_subject.get((model, subject), [])

    def get(self, model: str, key: Any) -> Record | None:
        """Return the record that a relation leads to."""
        return self.by_key.get((model, str(key))) if key is not None else None

    def names(self, model: str, keys: list[str]) -> list[str]:
        """Return the names of the records that a relation leads to."""
        return [record.name for key in keys if (record := self.get(model, key)) is not None]


@dataclass
class Report:
    """What became of every record."""

    entries: list[Entry] = field(default_factory=list)
    told: set[tuple[str, str]] = field(default_factory=set)

    def add(self, record: Record, outcome: str, reason: str = "") -> None:
        """Say what became of a record; each is told of once."""
        if (record.model, record.pk) in self.told:
            raise AssertionError(f"{record.model} {record.pk} is told of twice")
        self.told.add((record.model, record.pk))
        self.entries.append(Entry(record, outcome, reason))

    def counts(self) -> dict[str, Counter[str]]:
        """Return, for each model, how many records were imported, merged and refused."""
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for entry in self.entries:
            found[entry.record.model][entry.outcome] += 1
        return dict(found)

    def rows(self) -> Iterator[list[str]]:
        """Return the lines of the report as a table: model, key, name, outcome, reason."""
        for entry in self.entries:
            yield [entry.record.model, entry.record.pk, entry.record.name, entry.outcome, entry.reason]


def plain(text: str) -> str:
    """Return a text without what Postgres cannot keep: NUL and halves of surrogate pairs."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def read_dump(path: Path) -> Dump:
    """Return the records of a dump; ``Invalid`` says what is wrong with the file, and with which record."""
    try:
        data = json.loads(_unpacked(path))
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{path.name} is not JSON: {error}.") from None
    if not isinstance(data, list):
        raise Invalid(f"{path.name} is not a dump of Django: it is no list of records.")
    records = [_record(position, row) for position, row in enumerate(data)]
    if doubled := [key for key, count in Counter((r.model, r.pk) for r in records).items() if count > 1]:
        raise Invalid(f"{path.name} holds {doubled[0][0]} {doubled[0][1]} twice.")
    if not any(record.model.startswith(("subjects.", "actions.")) for record in records):
        raise Invalid(f"{path.name} is not a dump of Alyx: it has neither subjects nor actions.")
    return Dump(records)


def _unpacked(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            packed = stream.read(2) == GZIP
        with gzip.open(path) if packed else path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Invalid(f"{path.name} is damaged: {error}.") from None
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}.") from None
    if len(content) > MOST_BYTES:
        raise TooLarge(f"{path.name} has more than {MOST_BYTES / 1e9:.0f} GB; that is no dump of a laboratory.")
    return content


def _record(position: int, row: Any) -> Record:
    if not isinstance(row, dict) or not isinstance(row.get("model"), str) or not isinstance(row.get("fields"), dict):
        raise Invalid(f"Record {position} has no model and fields, so this is not a dump of Django.")
    key = str(row.get("pk"))
    if row["model"].startswith(("subjects.", "actions.")):
        try:
            UUID(key)
        except ValueError:
            raise Invalid(f"Record {position} ({row['model']}) has the key {key[:40]!r}, which is no UUID.") from None
    return Record(row["model"], key, row["fields"])
