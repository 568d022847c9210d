"""Files of spreadsheets: the bytes of a CSV or XLSX file to a table of cells, and back.

What is no plain table is refused, with its place.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from openpyxl import Workbook, load_workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter
from openpyxl.utils.exceptions import InvalidFileException

from sessions.errors import Invalid, TooLarge

# The lengths of what is taken at once, so that neither memory nor the time of a check is without bounds.
MOST_BYTES = 20 * 1000 * 1000
MOST_ROWS = 100_000
MOST_COLUMNS = 200
MOST_XLSX_BYTES = 500 * 1000 * 1000
FORMATS = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
DELIMITERS = (",", ";", "\t")
# Text that a spreadsheet would run as a formula is written with an apostrophe before it, which reading takes away.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_MERGED = re.compile(rb"<(?:\w+:)?mergeCell\b")
# Characters that XML has no place for are written by their number (ECMA-376 part 1, 22.4.2.4).
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_TO_ESCAPE = re.compile(r"[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
# A cell of Excel holds no more.
LONGEST_XLSX_TEXT = 32_767
_DOCTYPE = re.compile(rb"<!DOCTYPE", re.IGNORECASE)


class Formula(str):
    """A cell of a workbook that computes something instead of holding it."""

    __slots__ = ()


Cell = str | int | float | bool | date | datetime | time | Formula | None


@dataclass(frozen=True)
class Line:
    """One line below the header: its number as the spreadsheet shows it, and its cells."""

    number: int
    cells: tuple[Cell, ...]


def format_of(name: str) -> str:
    """Return ``csv`` or ``xlsx`` by the ending of a file's name; ``Invalid`` for others."""
    ending = name.rpartition(".")[2].lower()
    if ending not in FORMATS:
        raise Invalid("A spreadsheet is a .csv or .xlsx file; save it as one of these.")
    return ending


def read(name: str, content: bytes, sheet: str) -> tuple[list[str], list[Line]]:
    """Return the header and the lines of a file; lines without anything are left out.

    ``sheet`` names the sheet that is meant when a workbook has several. ``Invalid`` says what is wrong and where,
    ``TooLarge`` what is too much.
    """
    if len(content) > MOST_BYTES:
        raise TooLarge(f"The file has {len(content) / 1e6:.0f} MB; at most {MOST_BYTES / 1e6:.0f} MB are read at once.")
    if not content.strip():
        raise Invalid("The file is empty.")
    rows = _csv_rows(content) if format_of(name) == "csv" else _xlsx_rows(content, sheet)
    header: list[str] = []
    lines: list[Line] = []
    for number, cells in rows:
        while cells and cells[-1] in {None, ""}:
            cells.pop()
        if not cells:
            continue
        if len(cells) > MOST_COLUMNS:
            raise TooLarge(f"Line {number} has {len(cells)} cells; at most {MOST_COLUMNS} are read.")
        if not header:
            header = [str("" if cell is None else cell) for cell in cells]
            continue
        if len(lines) == MOST_ROWS:
            raise TooLarge(f"The file has more than {MOST_ROWS} lines; send it in parts.")
        lines.append(Line(number, tuple(cells)))
    if not header:
        raise Invalid("The file holds no names of columns.")
    return header, lines


# ---- CSV


def _csv_rows(content: bytes) -> Iterator[tuple[int, list[Cell]]]:
    text = _decoded(content)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    number = 1
    try:
        for cells in reader:
            yield number, [_plain(cell) for cell in cells]
            number = reader.line_num + 1
    except csv.Error as error:
        raise Invalid(f"Line {number} is not CSV: {error}.") from None


def _decoded(content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Invalid(
            f"The file is not UTF-8: line {line} holds the byte 0x{content[error.start]:02X}."
            " Save it as “CSV UTF-8” or as .xlsx."
        ) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise Invalid(f"Line {line} holds a NUL character; a CSV file is text. Save it as “CSV UTF-8” or as .xlsx.")
    return text


def _delimiter(text: str) -> str:
    """Return what separates the names in the first line that has any."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return max(DELIMITERS, key=first.count)


def _plain(cell: str) -> Cell:
    if _FORMULA.match(cell) and cell.startswith("'"):
        return cell[1:]
    return Formula(cell) if cell.startswith("=") else cell


def write_csv(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> bytes:
    """Return a table as CSV in UTF-8 with the mark by which Excel knows it."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(header)
    table.writerows([_csv_cell(cell) for cell in row] for row in rows)
    return text.getvalue().encode("utf-8-sig")


def _csv_cell(cell: Cell) -> Any:
    if isinstance(cell, str):
        return f"'{cell}" if _FORMULA.match(cell) else cell
    if isinstance(cell, date):
        return cell.isoformat()
    return "" if cell is None else cell


# ---- XLSX


def _xlsx_rows(content: bytes, sheet: str) -> Iterator[tuple[int, list[Cell]]]:
    _examined(content)
    try:
        book = load_workbook(io.BytesIO(content), read_only=True, data_only=False, keep_links=False)
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError, TypeError, OSError, SyntaxError) as error:
        raise Invalid(f"The file cannot be read as a workbook: {str(error)[:200] or type(error).__name__}.") from None
    try:
        chosen = _sheet(book, sheet)
        # What the file says of its own size is not to be believed.
        chosen.reset_dimensions()
        try:
            for number, row in enumerate(chosen.iter_rows(max_col=MOST_COLUMNS + 1), 1):
                yield number, [_xlsx_cell(cell) for cell in row]
        except (zipfile.BadZipFile, KeyError, ValueError, TypeError, OSError, SyntaxError, IndexError) as error:
            raise Invalid(f"The workbook is damaged: {str(error)[:200] or type(error).__name__}.") from None
    finally:
        book.close()


def _examined(content: bytes) -> None:
    """Refuse, before anything is unpacked, what is no workbook, unpacks to too much, or has merged cells."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as parts:
            total = sum(part.file_size for part in parts.infolist())
            if total > MOST_XLSX_BYTES:
                raise TooLarge(f"The workbook unpacks to {total / 1e6:.0f} MB; that is too much. Save it as CSV.")
            for part in parts.infolist():
                if part.filename.endswith((".xml", ".rels")):
                    _examined_part(parts, part)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, EOFError) as error:
        raise Invalid("The file is no .xlsx workbook, whatever its name says.") from error


def _examined_part(parts: zipfile.ZipFile, part: zipfile.ZipInfo) -> None:
    is_sheet = part.filename.startswith("xl/worksheets/")
    with parts.open(part) as stream:
        before = b""
        while chunk := stream.read(1 << 20):
            text = before + chunk
            if _DOCTYPE.search(text):
                raise Invalid("The workbook holds a document type, which no spreadsheet program writes.")
            if is_sheet and _MERGED.search(text):
                raise Invalid("The workbook has merged cells; unmerge them, so that every line has its own values.")
            before = chunk[-32:]


def _sheet(book: Any, wanted: str) -> Any:
    sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
    named = [sheet for sheet in sheets if sheet.title.strip().lower() == wanted]
    if named or len(sheets) == 1:
        return (named or sheets)[0]
    if not sheets:
        raise Invalid("The workbook has no sheet of cells.")
    names = ", ".join(sheet.title for sheet in sheets)
    raise Invalid(f"The workbook has several sheets ({names}); name the one that is meant “{wanted}”.")


def _xlsx_cell(cell: Any) -> Cell:
    value = cell.value
    if cell.data_type == "f":
        return Formula(getattr(value, "text", None) or value or "=")
    if cell.data_type == "e":
        return Formula(str(value))
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), value) if isinstance(value, str) else value


def write_xlsx(title: str, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> bytes:
    """Return a table as a workbook of one sheet; text is text, whatever it begins with."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet(title)
    sheet.freeze_panes = "A2"
    for position, name in enumerate(header):
        sheet.column_dimensions[get_column_letter(position + 1)].width = max(12, len(name) + 4)
    heads = [WriteOnlyCell(sheet, name) for name in header]
    for head in heads:
        head.font = Font(bold=True)
    sheet.append(heads)
    for row in rows:
        sheet.append([_workbook_cell(sheet, cell) for cell in row])
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def _workbook_cell(sheet: Any, cell: Cell) -> Any:
    if not isinstance(cell, str):
        return cell
    text = _TO_ESCAPE.sub(lambda found: f"_x{ord(found[0]):04X}_", cell)
    if len(text) > LONGEST_XLSX_TEXT:
        raise TooLarge(f"A text is longer than a workbook's cell holds ({LONGEST_XLSX_TEXT} characters); take the CSV.")
    made = WriteOnlyCell(sheet, value=text)
    made.data_type = "s"
    return made
