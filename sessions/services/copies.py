"""Copies of data files: made or taken as they are, looked at, read again, forgotten."""

from __future__ import annotations

import hashlib
import os
import shutil
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from sessions.data_roots import clean_path, find, own_path_of, path_of, place_of_copy, root_named
from sessions.errors import Conflict, Invalid, LabError, NotFound, Unavailable
from sessions.models import COPIES_UNDER_WAY, CopyState, DataFile, FileCopy
from sessions.permissions import require
from sessions.services.files import CHUNK_BYTES, SMALL_FILE_BYTES, sha256_of
from sessions.services.integrity import digest_of
from sessions.services.transaction import checked, one_write
from sessions.waking import wake_worker

LONGEST_PROBLEM = 1200
MOST_AT_ONCE = 1000
OTHER_CONTENT = "The content there has another SHA-256 than the registered file."


def add_copy(*, by: Any, file: DataFile, root: str, path: str = "", copy: bool = False) -> FileCopy:
    """Add a copy of a file: a place that holds the same content already, or (``copy``) one that a worker copies it to.

    ``path`` is below the data root, by default the file's own. A small file is compared at once, a large one by a
    worker. ``Conflict`` when the file has no SHA-256 yet, when the place is another file's, or when a copy would
    overwrite something; ``Invalid`` when the content is another; ``Unavailable`` when there is no room.
    """
    require(by, "change", file)
    if not file.sha256:
        raise Conflict("The SHA-256 of this file is not known yet; add the copy when it is.")
    found_root, cleaned = root_named(root), clean_path(path or file.path)
    if DataFile.objects.filter(root=found_root, path=cleaned).exists():
        raise Conflict(f"{cleaned} is already registered in the data root {found_root.name!r}, as a file of its own.")
    row = FileCopy(file=file, root=found_root, path=cleaned, modified=timezone.now())
    if copy:
        target = Path(found_root.path) / cleaned
        if target.exists() or target.is_symlink():
            raise Conflict(f"There is already a file {cleaned} in the data root {found_root.name!r}.")
        path_of(file)
        _room_for(Path(found_root.path), file.size)
        row.state = CopyState.COPYING
    else:
        found = find(found_root, cleaned)
        row.modified = found.modified
        if found.size != file.size:
            raise _another(f"{cleaned} has {found.size} bytes, the registered file {file.size}")
        if found.size > SMALL_FILE_BYTES:
            row.state = CopyState.COMPARING
        elif sha256_of(found) != file.sha256:
            raise _another(f"{cleaned} has another SHA-256 than the registered file")
    with one_write():
        checked(row).save(force_insert=True)
        if row.state in COPIES_UNDER_WAY:
            transaction.on_commit(partial(wake_for_copy, row.pk))
    return row


def _another(reason: str) -> Invalid:
    sentence = f"This is another file: {reason}."
    return Invalid(sentence, {"path": [sentence]})


def _room_for(root: Path, size: int) -> None:
    try:
        free = shutil.disk_usage(root).free
    except OSError as error:
        raise Unavailable(f"The data root cannot be written: {error.strerror}.") from error
    if size > free - settings.LAB_DISK_RESERVE:
        raise Unavailable(f"There is no room for {size / 1e9:.1f} GB: the disk has {free / 1e9:.1f} GB free.")


def wake_for_copy(copy_id: Any) -> None:
    """Ask a worker to copy or to compare."""
    from sessions.tasks import work_on_copy

    wake_worker(work_on_copy, copy_id, "the making of copy")


def forget_copy(*, by: Any, file: DataFile, copy: UUID | str) -> None:
    """Strike a copy off the catalog (managers); nothing on the disk is touched.

    ``Conflict`` while a worker is at it, and when it is the last place where the file is.
    """
    require(by, "delete", file)
    with one_write():
        # One after the other: two managers could strike off the last two copies at once.
        DataFile.objects.select_for_update(of=("self",)).get(pk=file.pk)
        rows = {str(row.pk): row for row in FileCopy.objects.filter(file=file)}
        row = rows.pop(str(copy), None)
        if row is None:
            raise NotFound("This file has no such copy.")
        if row.state in COPIES_UNDER_WAY:
            raise Conflict(f"It is {row.get_state_display()}; wait until that is done.")
        elsewhere = any(other.state == CopyState.PRESENT for other in rows.values())
        if row.state == CopyState.PRESENT and not elsewhere and not _at_its_own_place(file):
            raise Conflict("This is the only place where the file is; it stays in the catalog.")
        row.delete()


def _at_its_own_place(file: DataFile) -> bool:
    try:
        own_path_of(file)
    except (NotFound, Conflict):
        return False
    return True


def work_on_copy(*, copy_id: UUID | str) -> None:
    """Copy a file to a place, or compare what is there with it; done twice it is the same. Called by a worker.

    The row is locked meanwhile, so that a second worker leaves it alone.
    """
    with transaction.atomic():
        row = (
            FileCopy.objects.select_for_update(of=("self",), skip_locked=True)
            .select_related("root", "file")
            .filter(pk=copy_id, state__in=COPIES_UNDER_WAY)
            .first()
        )
        if row is None:
            return
        try:
            if row.state == CopyState.COPYING:
                _copy(row)
            found = find(row.root, row.path)
            same = found.size == row.file.size and sha256_of(found) == row.file.sha256
        except (LabError, OSError) as error:
            detail = error.detail if isinstance(error, LabError) else f"It cannot be copied: {error.strerror}."
            _note(row, CopyState.FAILED if row.state == CopyState.COPYING else CopyState.MISSING, detail)
            return
        if same:
            _note(row, CopyState.PRESENT, "", read=timezone.now(), modified=found.modified)
        else:
            _note(row, CopyState.DAMAGED, OTHER_CONTENT)


def _copy(row: FileCopy) -> None:
    """Put the content at its place by way of a part beside it, fsynced and never over another file."""
    target = Path(row.root.path) / row.path
    if target.exists():
        return  # A worker that died had it in place; now it is compared.
    source = path_of(row.file)
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.parent.resolve().is_relative_to(Path(row.root.path).resolve()):
        raise Invalid(f"{row.path} leads out of the data root {row.root.name!r} through a link.")
    part = target.parent / f".{row.pk}.part"
    digest = hashlib.sha256()
    try:
        with source.open("rb") as stream, part.open("wb") as sink:
            while chunk := stream.read(CHUNK_BYTES):
                digest.update(chunk)
                sink.write(chunk)
            sink.flush()
            os.fsync(sink.fileno())
        if digest.hexdigest() != row.file.sha256:
            raise Conflict(f"{row.file.path} has another content than was registered; it was not copied.")
        os.link(part, target)
    except FileExistsError:
        raise Conflict(f"There is already a file {row.path} in the data root {row.root.name!r}.") from None
    finally:
        part.unlink(missing_ok=True)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def look_at_copies(*, most: int = MOST_AT_ONCE) -> int:
    """Compare size and time of the copies that were not looked at lately with what is on the disk; return how many."""
    before = timezone.now() - timedelta(seconds=settings.LAB_FILES_LOOKED_AT)
    watched = (CopyState.PRESENT, CopyState.MISSING, CopyState.CHANGED)
    due = FileCopy.objects.filter(state__in=watched, looked__lt=before)
    rows = list(due.order_by("looked").select_related("root", "file")[:most])
    same = []
    for row in rows:
        state, problem = _looked_at(row)
        if state == row.state:
            same.append(row.pk)
        else:
            _note(row, state, problem)
    FileCopy.objects.filter(pk__in=same).update(looked=timezone.now())
    return len(rows)


def _looked_at(row: FileCopy) -> tuple[CopyState, str]:
    try:
        place_of_copy(row)
    except NotFound as error:
        return CopyState.MISSING, error.detail
    except Conflict as error:
        return CopyState.CHANGED, error.detail
    return CopyState.PRESENT, ""


def next_copy_to_read() -> FileCopy | None:
    """Return the copy whose content was not compared for the longest time, if any is due."""
    before = timezone.now() - timedelta(seconds=settings.LAB_FILES_READ)
    due = FileCopy.objects.filter(state=CopyState.PRESENT, read__lt=before)
    return due.order_by("read").select_related("root", "file").first()


def read_copy(*, copy: FileCopy) -> str:
    """Read a copy at ``LAB_FILES_READ_RATE`` bytes/s, compare it with the SHA-256, and return what is wrong with it."""
    state, problem = _looked_at(copy)
    if state == CopyState.PRESENT:
        try:
            digest = digest_of(place_of_copy(copy))
        except (LabError, OSError) as error:
            digest, state, problem = "", CopyState.DAMAGED, f"{copy.path} cannot be read: {error}."
        # What was changed while it was read is changed, not damaged.
        if (after := _looked_at(copy))[0] != CopyState.PRESENT:
            state, problem = after
        elif digest and digest != copy.file.sha256:
            state, problem = CopyState.DAMAGED, OTHER_CONTENT
    _note(copy, state, problem, read=timezone.now())
    return problem


def _note(row: FileCopy, state: CopyState, problem: str, **more: Any) -> None:
    """Keep what was found, unless somebody found another thing meanwhile."""
    FileCopy.objects.filter(pk=row.pk, state=row.state).update(
        state=state, problem=problem[:LONGEST_PROBLEM], looked=timezone.now(), **more
    )
