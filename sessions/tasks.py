"""What a worker does for the catalog."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from celery import shared_task
from django.db import DatabaseError, connection
from django.utils import timezone

from sessions.errors import LabError
from sessions.models import COPIES_UNDER_WAY, DataFile, FileCopy, FileState, SheetImport, SheetState
from sessions.services import copies, integrity, sheets, uploads
from sessions.services.files import mark_hashed, wake_hashing

log = logging.getLogger(__name__)

# Long enough for a worker to hash a terabyte before it is asked a second time.
SWEEP_AFTER = timedelta(minutes=30)
SWEEP_MOST = 100
# One that a worker has is locked, so asking again does no harm.
SHEETS_AFTER = timedelta(minutes=1)
COPIES_AFTER = timedelta(minutes=1)


@shared_task(name="sessions.hash_file")
def hash_file(file_id: str) -> None:
    """Compute and keep the hash of a data file."""
    file = DataFile.objects.select_related("root").filter(pk=file_id).first()
    if file is None:
        return
    try:
        mark_hashed(file=file)
    except LabError as error:
        log.warning("file %s has no hash: %s", file_id, error.detail)


def sweep_unhashed() -> int:
    """Wake a worker again for files that were registered a while ago and have no hash; return how many."""
    waiting = DataFile.objects.filter(sha256="", created__lt=timezone.now() - SWEEP_AFTER).order_by("created")
    ids = list(waiting.values_list("pk", flat=True)[:SWEEP_MOST])
    for file_id in ids:
        wake_hashing(file_id)
    return len(ids)


@shared_task(name="sessions.work_on_sheet")
def work_on_sheet(sheet_id: str) -> None:
    """Check or import a spreadsheet."""
    sheets.work_on_sheet(sheet_id=sheet_id)


def sweep_sheets() -> int:
    """Wake a worker again for spreadsheets that wait, and forget those that nobody imported; return how many wait."""
    now = timezone.now()
    waiting = SheetImport.objects.filter(
        state__in=[SheetState.CHECKING, SheetState.IMPORTING], changed__lt=now - SHEETS_AFTER
    ).order_by("changed")
    ids = list(waiting.values_list("pk", flat=True)[:SWEEP_MOST])
    for sheet_id in ids:
        sheets.wake_for_sheet(sheet_id)
    SheetImport.objects.filter(
        state__in=[SheetState.CHECKED, SheetState.REFUSED], changed__lt=now - sheets.KEPT
    ).delete()  # fmt: skip
    return len(ids)


@shared_task(name="sessions.work_on_copy")
def work_on_copy(copy_id: str) -> None:
    """Copy a data file to a place, or compare what is there with it."""
    copies.work_on_copy(copy_id=copy_id)


def sweep_copies() -> int:
    """Wake a worker again for copies that wait to be made or compared; return how many."""
    waiting = FileCopy.objects.filter(
        state__in=COPIES_UNDER_WAY, looked__lt=timezone.now() - COPIES_AFTER
    ).order_by("looked")  # fmt: skip
    ids = list(waiting.values_list("pk", flat=True)[:SWEEP_MOST])
    for copy_id in ids:
        copies.wake_for_copy(copy_id)
    return len(ids)


def sweep_uploads() -> int:
    """Remove uploads that nobody went on with; return how many."""
    return uploads.forget_expired()


def look_at_files() -> int:
    """Look whether registered files and their copies are still there and unchanged; return how many were looked at."""
    return integrity.look_at_files() + copies.look_at_copies()


class _Reader:
    """Reads one file after the other in a thread of its own: a large one takes longer than a duty may be silent."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    def go_on(self) -> bool:
        """Start with the next file that is due unless one is being read; return whether one is."""
        if self._thread is not None and self._thread.is_alive():
            return True
        file = integrity.next_to_read() or copies.next_copy_to_read()
        if file is None:
            return False
        # A daemon: a file that was not read to its end is read anew after a restart.
        self._thread = threading.Thread(target=self._read, args=(file,), name="reading files", daemon=True)
        self._thread.start()
        return True

    @staticmethod
    def _read(file: DataFile | FileCopy) -> None:
        try:
            if isinstance(file, FileCopy):
                if problem := copies.read_copy(copy=file):
                    log.error("The copy %s: %s", file, problem)
                return
            found = integrity.read_file(file=file)
            if found is not None and found.state != FileState.PRESENT:
                log.error("%s", found.problem)
        except DatabaseError:
            log.warning("What was found of %s is not kept: the database is away; it is read again.", file.path)
        finally:
            connection.close()


_reader = _Reader()


def read_files() -> bool:
    """Go on reading files to compare their content with their hashes; return whether one is being read."""
    return _reader.go_on()
