"""The kinds of spreadsheets that there are."""

from __future__ import annotations

from typing import Any

from sessions.errors import NotFound, TooLarge
from sessions.sheets import files
from sessions.sheets.animals import Animals
from sessions.sheets.base import Sheet
from sessions.sheets.care import Procedures, Weighings
from sessions.sheets.events import Events
from sessions.sheets.sessions import Sessions

KINDS: dict[str, type[Sheet]] = {sheet.name: sheet for sheet in (Animals, Sessions, Events, Weighings, Procedures)}


def kind_named(name: str) -> type[Sheet]:
    """Return a kind of sheet by its name."""
    if name not in KINDS:
        raise NotFound(f"There is no sheet of {name}; there is {', '.join(KINDS)}.")
    return KINDS[name]


def export(by: Any, kind: str, file_format: str, filters: dict[str, Any], *, empty: bool = False) -> bytes:
    """Return the rows that a user may see as a file that imports again; ``empty`` has the names of the columns only.

    ``TooLarge`` when there are more than a file may have.
    """
    sheet = kind_named(kind)(by)
    rows = sheet.rows(by, filters)
    if empty:
        rows = rows.none()
    elif rows[files.MOST_ROWS : files.MOST_ROWS + 1].exists():
        raise TooLarge(f"There are more than {files.MOST_ROWS} {kind}; choose one project, or one session.")
    cells = (sheet.cells(row) for row in rows.iterator(chunk_size=2000))
    if file_format == "csv":
        return files.write_csv(sheet.names(), cells)
    return files.write_xlsx(kind, sheet.names(), cells)
