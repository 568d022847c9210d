"""Uploads that can be resumed: begun, continued piece by piece, ended as a data file of a new recording.

A piece is written and fsynced while its row is locked, and only then counted, so that ``offset`` never promises what
the disk does not have, whoever dies: client, server or machine. Two writers of one upload cannot both be at its offset:
the second is refused.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from uuid import uuid4

from django.conf import settings
from django.db import OperationalError, transaction
from django.utils import timezone
from psycopg.errors import LockNotAvailable

from sessions import data_roots
from sessions.errors import Conflict, Invalid, LabError, Unavailable
from sessions.models import DataFile, RecordingKind, Session, Upload
from sessions.permissions import require
from sessions.services.recordings import register_recording
from sessions.services.transaction import checked, checked_mapping, one_write

MOST_LENGTH = 16 * 10**12
# How much is written, fsynced and counted at a time: what a killed server loses of a connection.
PIECE_BYTES = 8 * 1024 * 1024
READ_BYTES = 256 * 1024
KEPT = timedelta(days=7)
PARTS = ".uploads"
CHECKSUMS = ("sha1", "sha256", "md5")


class ChecksumMismatch(LabError):  # noqa: N818 - a name as people say it
    """What came is not what was sent (tus 1.0: 460)."""

    status = 460


class Body(Protocol):
    """Something to read from."""

    def read(self, size: int = -1, /) -> bytes: ...


def begin_upload(
    *,
    by: Any,
    session: Session,
    kind: str,
    length: int,
    file_name: str,
    root: str = data_roots.DEFAULT,
    path: str = "",
    name: str = "",
    parameters: Mapping[str, Any] | None = None,
    sha256: str = "",
    metadata: str = "",
) -> Upload:
    """Make place for a file of ``length`` bytes that will be a recording of a session.

    ``Conflict`` when a file, a registered file or another upload is at that path; ``Unavailable`` when the disk would
    run full. What can be said against the recording is said now, not after hours of sending.
    """
    require(by, "change", session)
    if kind not in RecordingKind.values:
        raise Invalid(f"{kind!r} is no kind of recording; there is {', '.join(RecordingKind.values)}.")
    if not 0 < length <= MOST_LENGTH:
        raise Invalid(f"A file of {length} bytes cannot be uploaded; it has 1 to {MOST_LENGTH}.")
    found = data_roots.root_named(root)
    last = file_name.replace("\\", "/").rpartition("/")[2]
    place = data_roots.clean_path(path or f"uploads/{session.start:%Y-%m-%d}-{str(session.pk)[:8]}/{last}")
    if place.split("/")[0] == PARTS:
        raise Invalid(f"{PARTS} is where unfinished uploads lie; choose another path.")
    target = Path(found.path) / place
    if target.exists() or DataFile.objects.filter(root=found, path=place).exists():
        raise Conflict(f"There is already a file {place} in the data root {found.name!r}.")
    _room_for(Path(found.path), length)
    upload = Upload(
        user=by, session=session, kind=kind, name=name.strip(), root=found, path=place, length=length,
        parameters=checked_mapping("parameters", parameters), sha256=sha256.lower(), metadata=metadata,
        expires=timezone.now() + KEPT,
    )  # fmt: skip
    with one_write():
        checked(upload).save(force_insert=True)
        part = part_of(upload)
        part.parent.mkdir(parents=True, exist_ok=True)
        part.touch(mode=0o640)
    return upload


def part_of(upload: Upload) -> Path:
    """Return where the bytes of an unfinished upload lie: in its data root, so that finishing moves no byte."""
    return Path(upload.root.path) / PARTS / f"{upload.pk}.part"


def continue_upload(*, by: Any, upload: Upload, offset: int, body: Body, checksum: tuple[str, bytes] | None) -> Upload:
    """Take the bytes of a body from ``offset`` on and, when all are there, end the upload.

    ``Conflict`` when the upload is not at this offset, or while another writes; ``ChecksumMismatch`` when the body has
    another checksum than it came with, and nothing of it is kept then. A body that is cut off keeps what came.
    """
    require(by, "change", upload.session)
    with _locked(upload.pk, offset):
        pass
    if checksum is not None:
        offset = _take_checked(upload, offset, body, *checksum)
    else:
        while piece := _piece(body):
            offset = _take(upload, offset, partial(_write, data=piece), len(piece))
    upload = Upload.objects.select_related("root", "session__project").get(pk=upload.pk)
    if upload.offset == upload.length and upload.finished is None:
        return finish_upload(by=by, upload=upload)
    return upload


def finish_upload(*, by: Any, upload: Upload) -> Upload:
    """Put a whole upload at its place and register it as a recording; refused, its bytes wait for another try."""
    if upload.sha256 and part_of(upload).exists() and (found := _sha256(part_of(upload))) != upload.sha256:
        raise Conflict(f"The file has the SHA-256 {found}, not {upload.sha256} as was said; send it anew.")
    with _locked(upload.pk) as row:
        if row.finished is not None:
            return row
        part, target = part_of(row), Path(row.root.path) / row.path
        moved = _move(part, target)
        try:
            with transaction.atomic():
                row.recording = register_recording(
                    by=by, session=row.session, kind=row.kind, name=row.name, parameters=row.parameters,
                    files=[{"root": row.root.name, "path": row.path}],
                )  # fmt: skip
        except LabError:
            if moved:
                target.rename(part)
            raise
        row.finished = timezone.now()
        row.save(update_fields=["recording", "finished"])
    return row


def end_upload(*, by: Any, upload: Upload) -> None:
    """Forget an upload and what came of it; one that is a recording by now keeps its file."""
    require(by, "change", upload.session)
    with _locked(upload.pk) as row:
        _remove(row)


def forget_expired() -> int:
    """Remove unfinished uploads that nobody went on with; return how many."""
    gone = 0
    for pk in list(Upload.objects.filter(finished=None, expires__lt=timezone.now()).values_list("pk", flat=True)[:100]):
        with suppress(Conflict), _locked(pk) as row:
            _remove(row)
            gone += 1
    return gone


# ---- one piece


def _piece(body: Body) -> bytes:
    pieces, count = [], 0
    while count < PIECE_BYTES and (data := body.read(READ_BYTES)):
        pieces.append(data)
        count += len(data)
    return b"".join(pieces)


@contextmanager
def _locked(pk: Any, offset: int | None = None) -> Iterator[Upload]:
    """Lock the row of an upload for one transaction; ``Conflict`` when another has it, or it is not at the offset."""
    try:
        with transaction.atomic():
            rows = Upload.objects.select_for_update(of=("self",), nowait=True)
            yield _checked(rows.select_related("root", "session__project").filter(pk=pk).first(), offset)
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable):
            raise
        raise Conflict("Another request writes this upload; ask where it is and go on from there.") from error


def _checked(row: Upload | None, offset: int | None) -> Upload:
    if row is None:
        raise Conflict("This upload was ended meanwhile.")
    if offset is not None and row.offset != offset:
        raise Conflict(f"The upload is at {row.offset}, not at {offset}.")
    return row


def _take(upload: Upload, offset: int, write: Callable[[Any], None], count: int) -> int:
    """Write bytes at an offset, make them safe, and only then count them; return the new offset."""
    if offset + count > upload.length:
        raise Invalid(f"{offset + count} bytes were sent of an upload of {upload.length}.")
    with _locked(upload.pk, offset) as row:
        try:
            # What a killed server wrote and did not count is written over.
            with os.fdopen(os.open(part_of(row), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640), "wb") as part:
                part.truncate(offset)
                part.seek(offset)
                write(part)
                part.flush()
                os.fsync(part.fileno())
        except OSError as error:
            raise Unavailable(f"The bytes cannot be written: {error.strerror}.") from error
        row.offset, row.expires = offset + count, timezone.now() + KEPT
        row.save(update_fields=["offset", "expires"])
    return row.offset


def _write(part: BinaryIO, *, data: bytes) -> None:
    part.write(data)


def _take_checked(upload: Upload, offset: int, body: Body, algorithm: str, expected: bytes) -> int:
    """Keep a body aside until its checksum is known, then take it as one piece."""
    digest, count = hashlib.new(algorithm, usedforsecurity=False), 0
    aside = part_of(upload).with_name(f"{upload.pk}.{uuid4().hex}.aside")
    try:
        with aside.open("wb") as stream:
            while data := body.read(READ_BYTES):
                count += len(data)
                if offset + count > upload.length:
                    raise Invalid(f"More than {upload.length - offset} bytes were sent from {offset} on.")
                digest.update(data)
                stream.write(data)
        if digest.digest() != expected:
            raise ChecksumMismatch(f"What came has another {algorithm} than was sent; nothing of it was kept.")
        with aside.open("rb") as stream:
            return _take(upload, offset, lambda part: shutil.copyfileobj(stream, part, PIECE_BYTES), count)
    except OSError as error:
        raise Unavailable(f"The bytes cannot be written: {error.strerror}.") from error
    finally:
        aside.unlink(missing_ok=True)


def _move(part: Path, target: Path) -> bool:
    """Give a whole file its name, never over another; return whether it was done now and not before a crash."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not part.exists() and target.exists():
            return False
        # A link fails where a file is, which a rename would replace.
        os.link(part, target)
        part.unlink()
        for folder in (target.parent, part.parent):
            _sync(folder)
    except FileExistsError:
        raise Conflict(f"There is already a file {target.name} at that path.") from None
    except OSError as error:
        raise Unavailable(f"The file cannot be put at its place: {error.strerror}.") from error
    return True


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(row: Upload) -> None:
    folder, pk = part_of(row).parent, row.pk
    row.delete()

    def unlink() -> None:
        for path in folder.glob(f"{pk}.*"):
            path.unlink(missing_ok=True)

    transaction.on_commit(unlink)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _room_for(root: Path, length: int) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(root).free
    except OSError as error:
        raise Unavailable(f"The data root cannot be written: {error.strerror}.") from error
    if length > free - settings.LAB_DISK_RESERVE:
        raise Unavailable(f"There is no room for {length / 1e9:.1f} GB: the disk has {free / 1e9:.1f} GB free.")
