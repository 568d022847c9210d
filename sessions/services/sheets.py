"""Spreadsheets in: checked by doing all of it and taking it back, then written in one transaction or not at all.

Nothing tells as surely what a line would do as doing it: the check writes every line through the services, with their
permissions and the constraints of the database, and rolls back. While it runs, other writers of the same rows wait.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import pghistory
from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from sessions.errors import Conflict, Forbidden, LabError
from sessions.models import SheetImport, SheetLine, SheetState
from sessions.permissions import projects_for
from sessions.sheets import files
from sessions.sheets.base import CHANGED, NEW, SAME, WRONG, Verdict
from sessions.sheets.kinds import kind_named
from sessions.waking import wake_worker

# So many lines are checked and written while the page waits (a second or two); more are left to a worker.
LINES_AT_ONCE = 300
# What was sent and neither imported nor looked at again is forgotten.
KEPT = timedelta(days=14)


def send_sheet(*, by: Any, kind: str, name: str, content: bytes) -> SheetImport:
    """Keep a spreadsheet and check it, now or (a long one) by a worker.

    ``Invalid`` when the file is no table, or has unknown, doubled or missing columns; nothing is kept then.
    """
    sheet = kind_named(kind)
    if not projects_for(by, "change").exists():
        raise Forbidden("You may see the catalog but not change it; ask a manager of a project for a role that may.")
    header, lines = files.read(name, content, kind)
    sheet.header(header)
    with transaction.atomic():
        sent = SheetImport.objects.create(
            user=by, kind=kind, file_name=name[-200:], content=content, lines=len(lines)
        )  # fmt: skip
        _carry_on(sent)
    sent.refresh_from_db()
    return sent


def confirm_sheet(*, by: Any, sheet: SheetImport) -> SheetImport:
    """Import a checked spreadsheet; ``Conflict`` unless it was checked and has no wrong line."""
    with transaction.atomic():
        row = SheetImport.objects.select_for_update().get(pk=sheet.pk, user=by)
        if row.state != SheetState.CHECKED:
            raise Conflict(f"This spreadsheet is {row.get_state_display()}; only one that was checked can be imported.")
        if row.counts.get(WRONG):
            raise Conflict(f"{row.counts[WRONG]} lines are wrong; correct them in the spreadsheet and send it again.")
        _move(row, SheetState.IMPORTING)
        _carry_on(row)
    row.refresh_from_db()
    return row


def discard_sheet(*, by: Any, sheet: SheetImport) -> None:
    """Forget a spreadsheet that was not imported."""
    gone, _ = SheetImport.objects.filter(pk=sheet.pk, user=by).exclude(
        state__in=[SheetState.IMPORTED, SheetState.IMPORTING]
    ).delete()  # fmt: skip
    if not gone:
        raise Conflict("This spreadsheet was imported; what it wrote is changed one by one, or by another spreadsheet.")


def _carry_on(row: SheetImport) -> None:
    if row.lines <= LINES_AT_ONCE:
        work_on_sheet(sheet_id=row.pk)
    else:
        transaction.on_commit(partial(wake_for_sheet, row.pk))


def wake_for_sheet(sheet_id: Any) -> None:
    """Ask a worker to go on with a spreadsheet."""
    from sessions.tasks import work_on_sheet as task

    wake_worker(task, sheet_id, "the spreadsheet")


def work_on_sheet(*, sheet_id: Any) -> None:
    """Check or import a spreadsheet, whichever is next; nothing when that is done or another does it.

    The row stays locked meanwhile: a worker that dies lets go of it with all that it wrote, and the next begins anew.
    """
    with transaction.atomic():
        row = (
            SheetImport.objects.select_for_update(skip_locked=True)
            .filter(pk=sheet_id, state__in=[SheetState.CHECKING, SheetState.IMPORTING])
            .first()
        )
        if row is None:
            return
        user = get_user_model().objects.get(pk=row.user_id)
        confirmed = row.counts if row.state == SheetState.IMPORTING else None
        try:
            with pghistory.context(user=user.pk, url=f"spreadsheet {row.file_name}"):
                verdicts, written = carry_out(
                    by=user, kind=row.kind, name=row.file_name, content=bytes(row.content),
                    write=confirmed is not None, expected=confirmed,
                )  # fmt: skip
        except LabError as error:
            _move(row, SheetState.REFUSED, error.detail)
            return
        _keep(row, verdicts)
        if confirmed is None or written:
            _move(row, SheetState.IMPORTED if written else SheetState.CHECKED)
        else:
            _move(row, SheetState.CHECKED, "The catalog changed after the check; nothing was written. Look again.")


def carry_out(
    *, by: Any, kind: str, name: str, content: bytes, write: bool, expected: dict[str, int] | None = None
) -> tuple[list[Verdict], bool]:
    """Return what becomes of every line of a spreadsheet, and whether it was written.

    It is written when ``write`` asks for it, no line is wrong and, where ``expected`` is given, as many lines are new,
    changed and same as it says; otherwise nothing is.
    """
    sheet = kind_named(kind)
    header, lines = files.read(name, content, kind)
    columns = sheet.header(header)
    with transaction.atomic():
        verdicts = list(sheet(by).take(columns, lines))
        counts = count(verdicts)
        written = write and not counts[WRONG] and (expected is None or counts == expected)
        if not written:
            transaction.set_rollback(True)
    return verdicts, written


def count(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """Return how many lines are new, changed, same and wrong."""
    counted = Counter(verdict.kind for verdict in verdicts)
    return {kind: counted[kind] for kind in (NEW, CHANGED, SAME, WRONG)}


def _keep(row: SheetImport, verdicts: Sequence[Verdict]) -> None:
    row.counts = count(verdicts)
    row.save(update_fields=["counts"])
    row.verdicts.all().delete()
    SheetLine.objects.bulk_create(
        (
            SheetLine(
                sheet=row, line=verdict.line, verdict=verdict.kind, about=verdict.about[:300],
                details=[detail[:2000] for detail in verdict.details],
            )
            for verdict in verdicts
        ),
        batch_size=2000,
    )  # fmt: skip


def _move(row: SheetImport, state: str, message: str = "") -> None:
    row.state, row.message, row.changed = state, message, timezone.now()
    row.save(update_fields=["state", "message", "changed"])
