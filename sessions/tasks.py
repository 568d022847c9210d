"""What a worker does for the catalog."""

from __future__ import annotations

import logging
from datetime import timedelta

from celery import shared_task
from django.utils import timezone

from sessions.errors import LabError
from sessions.models import DataFile, SheetImport, SheetState
from sessions.services import sheets, uploads
from sessions.services.files import mark_hashed, wake_hashing

log = logging.getLogger(__name__)

# Long enough for a worker to hash a terabyte before it is asked a second time.
SWEEP_AFTER = timedelta(minutes=30)
SWEEP_MOST = 100
# One that a worker has is locked, so asking again does no harm.
SHEETS_AFTER = timedelta(minutes=1)


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


def sweep_uploads() -> int:
    """Remove uploads that nobody went on with; return how many."""
    return uploads.forget_expired()
