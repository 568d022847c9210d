"""Looking whether registered files are still there and unchanged: often at size and time, slowly at the content.

A file whose size and time are as registered may still have rotted on its disk; only reading it all tells. That is done
at a bounded rate, the file first that was not read for the longest time.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from sessions.data_roots import own_path_of
from sessions.errors import Conflict, NotFound
from sessions.models import DataFile, FileCheck, FileState

# Files looked at in one go: a network share answers a few hundred a second.
MOST_AT_ONCE = 1000
PIECE_BYTES = 1024 * 1024


def newest_files() -> QuerySet[DataFile]:
    """Return the newest revision of every file: an older one's content is rightly no longer on the disk."""
    newer = DataFile.objects.filter(
        root_id=OuterRef("root_id"), path=OuterRef("path"), revision__gt=OuterRef("revision")
    )
    return DataFile.objects.filter(~Exists(newer))


def look_at_files(*, most: int = MOST_AT_ONCE) -> int:
    """Compare size and time of the files that were not looked at lately with what is on the disk; return how many.

    A content that was found damaged stays so until the file is read anew.
    """
    before = timezone.now() - timedelta(seconds=settings.LAB_FILES_LOOKED_AT)
    waiting = (
        newest_files()
        .filter(Q(check_of__isnull=True) | Q(check_of__looked__lt=before))
        .select_related("root", "check_of")
        .order_by(F("check_of__looked").asc(nulls_first=True), "created")
    )
    files = list(waiting[:most])
    FileCheck.objects.bulk_create(
        [_check_of(file) for file in files],
        update_conflicts=True,
        unique_fields=["file"],
        update_fields=["state", "since", "looked", "problem"],
    )
    return len(files)


def _check_of(file: DataFile) -> FileCheck:
    now = timezone.now()
    state, problem = _state_of(file)
    known = getattr(file, "check_of", None)
    if known is not None and known.state == FileState.DAMAGED and state == FileState.PRESENT:
        state, problem = FileState.DAMAGED, known.problem
    since = known.since if known is not None and known.state == state else now
    return FileCheck(file=file, state=state, since=since, looked=now, problem=problem[:1200])


def _state_of(file: DataFile) -> tuple[FileState, str]:
    try:
        own_path_of(file)
    except NotFound as error:
        return FileState.MISSING, str(error.detail)
    except Conflict as error:
        return FileState.CHANGED, str(error.detail)
    return FileState.PRESENT, ""


def next_to_read() -> DataFile | None:
    """Return the file whose content was not compared for the longest time, if any is due."""
    before = timezone.now() - timedelta(seconds=settings.LAB_FILES_READ)
    due = Q(check_of__read__isnull=True) | Q(check_of__read__lt=before)
    return (
        newest_files()
        .filter(due, check_of__state__in=[FileState.PRESENT, FileState.DAMAGED])
        .exclude(sha256="")
        # What was registered lately has just been read for its hash.
        .filter(Q(check_of__read__isnull=False) | Q(created__lt=before))
        .select_related("root", "check_of")
        .order_by(F("check_of__read").asc(nulls_first=True), "created")
        .first()
    )


def read_file(*, file: DataFile, stopped: Callable[[], bool] = lambda: False) -> FileCheck | None:
    """Read a file at ``LAB_FILES_READ_RATE`` bytes/s and compare it with its SHA-256; return what was found.

    ``None`` when ``stopped`` said so in between, or the hash is not known yet.
    """
    if not file.sha256:
        return None
    state, problem = _state_of(file)
    if state == FileState.PRESENT:
        try:
            digest = digest_of(own_path_of(file), stopped)
        except OSError as error:
            digest, state, problem = "", FileState.DAMAGED, f"{file.path} cannot be read: {error.strerror or error}."
        if digest is None:
            return None
        # What was changed while it was read is changed, not damaged.
        if (after := _state_of(file))[0] != FileState.PRESENT:
            state, problem = after
        elif digest and digest != file.sha256:
            state, problem = (
                FileState.DAMAGED,
                (
                    f"{file.path} has the size and time that were registered, but another content: its SHA-256 is now "
                    f"{digest}."
                ),
            )
    now = timezone.now()
    known = FileCheck.objects.filter(file=file).first()
    since = known.since if known is not None and known.state == state else now
    found, _ = FileCheck.objects.update_or_create(
        file=file, defaults={"state": state, "since": since, "looked": now, "read": now, "problem": problem[:1200]}
    )
    return found


def digest_of(path: Path, stopped: Callable[[], bool] = lambda: False) -> str | None:
    """Return the SHA-256 of a file, read at ``LAB_FILES_READ_RATE`` bytes/s; ``None`` when ``stopped`` said so."""
    digest, done, began = hashlib.sha256(), 0, time.monotonic()
    with path.open("rb", buffering=0) as stream:
        while piece := stream.read(PIECE_BYTES):
            digest.update(piece)
            done += len(piece)
            if stopped():
                return None
            ahead = done / settings.LAB_FILES_READ_RATE - (time.monotonic() - began)
            if ahead > 0:
                time.sleep(ahead)
    return digest.hexdigest()
