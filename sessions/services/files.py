"""Data files: put under a recording where they lie, hashed, revised; their content never changes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from django.db import transaction

from sessions.data_roots import DEFAULT, Found, clean_path, find, own_path_of, root_named
from sessions.errors import Conflict, Invalid
from sessions.models import DataFile, DataRoot, FileCopy, FileRole, Recording
from sessions.permissions import require
from sessions.services.transaction import one_write
from sessions.waking import wake_worker

# Hashed while the caller waits: at about 1 GB/s of SHA-256 less than a tenth of a second.
SMALL_FILE_BYTES = 64 * 1000 * 1000
CHUNK_BYTES = 1024 * 1024
MOST_FILES = 10_000


def register_file_revision(*, by: Any, file: DataFile) -> DataFile:
    """Register the content that a changed file has now as its next revision; the older one stays in the catalog."""
    require(by, "change", file)
    found = find(file.root, file.path)
    with one_write():
        # One revision after the other: the newest row is locked while its number is counted on.
        newest = (
            DataFile.objects.select_for_update(of=("self",))
            .filter(root=file.root, path=file.path)
            .order_by("-revision")
            .first()
        )
        if newest is None:
            raise Conflict("This file is no longer in the catalog.")
        if newest.size == found.size and newest.modified == found.modified:
            raise Conflict(f"{file.path} did not change since revision {newest.revision} was registered.")
        revision = DataFile.objects.create(
            recording=newest.recording, root=newest.root, path=newest.path, role=newest.role, order=newest.order,
            revision=newest.revision + 1, size=found.size, modified=found.modified,
        )  # fmt: skip
        hash_soon([(revision, found)])
    return revision


Place = tuple[DataRoot, str, str, Found]


def located(files: Sequence[Mapping[str, Any]]) -> list[Place]:
    """Return (root, path, role, what was found) of files given as ``{"root", "path", "role"}``.

    ``Invalid`` names the position of the file that is wrong.
    """
    if not files:
        raise Invalid("A recording needs at least one file.", {"files": ["At least one file is needed."]})
    if len(files) > MOST_FILES:
        raise Invalid(f"A recording has at most {MOST_FILES} files.", {"files": [f"{len(files)} are too many."]})
    places: list[Place] = []
    taken: set[tuple[str, str]] = set()
    roots: dict[str, DataRoot] = {}
    for position, file in enumerate(files):
        try:
            place = _place(file, roots)
        except Invalid as error:
            raise Invalid(error.detail, {f"files[{position}]": [error.detail]}) from error
        root, path, *_ = place
        if (root.name, path) in taken:
            raise Invalid(f"{path} is given twice.", {f"files[{position}]": ["This file is given twice."]})
        taken.add((root.name, path))
        places.append(place)
    return places


def _place(file: Any, roots: dict[str, DataRoot]) -> Place:
    if not isinstance(file, Mapping):
        raise Invalid('A file is an object such as {"root": "default", "path": "day1/probe.nwb"}.')
    unknown = set(file) - {"root", "path", "role"}
    if unknown:
        raise Invalid(f"{', '.join(sorted(map(str, unknown)))} is not a field of a file.")
    name = str(file.get("root") or DEFAULT)
    if name not in roots:
        roots[name] = root_named(name)
    role = file.get("role") or FileRole.DATA
    if role not in FileRole.values:
        raise Invalid(f"{role!r} is no role of a file; there is {', '.join(FileRole.values)}.")
    path = clean_path(file.get("path", ""))
    return roots[name], path, role, find(roots[name], path)


def add_files(recording: Recording, places: Sequence[Place]) -> list[DataFile]:
    """Write the rows of located files (inside the caller's transaction) and see to their hashes."""
    taken = {
        (file.root_id, file.path): file
        for file in DataFile.objects.filter(path__in=[path for _, path, _, _ in places]).select_related("root")
    }
    for position, (root, path, _, _) in enumerate(places):
        if (root.pk, path) in taken:
            sentence = (
                f"{path} is already registered, as a file of recording {taken[root.pk, path].recording_id};"
                " register a changed file as a new revision."
            )
            raise Conflict(sentence, {f"files[{position}]": [sentence]})
    copies = {(copy.root_id, copy.path) for copy in FileCopy.objects.filter(path__in=[path for _, path, *_ in places])}
    for position, (root, path, *_) in enumerate(places):
        if (root.pk, path) in copies:
            sentence = f"{path} is already registered, as a copy of another file."
            raise Conflict(sentence, {f"files[{position}]": [sentence]})
    first = recording.files.count()
    rows = DataFile.objects.bulk_create(
        DataFile(
            recording=recording, root=root, path=path, role=role, order=first + position, size=found.size,
            modified=found.modified,
        )
        for position, (root, path, role, found) in enumerate(places)
    )  # fmt: skip
    hash_soon(list(zip(rows, (found for *_, found in places), strict=True)))
    return rows


def hash_soon(files: Sequence[tuple[DataFile, Found]]) -> None:
    """Hash small files now and leave large ones to a worker once the transaction is committed."""
    budget = SMALL_FILE_BYTES
    for file, found in files:
        if found.size <= budget:
            budget -= found.size
            file.sha256 = sha256_of(found)
            DataFile.objects.filter(pk=file.pk).update(sha256=file.sha256)
        else:
            transaction.on_commit(partial(wake_hashing, file.pk))


def wake_hashing(file_id: Any) -> None:
    """Ask a worker to hash a file."""
    from sessions.tasks import hash_file

    wake_worker(hash_file, file_id, "the hashing of file")


def mark_hashed(*, file: DataFile) -> DataFile:
    """Compute the SHA-256 of a registered file in one pass with flat memory, and keep it unless it is already there.

    ``NotFound`` and ``Conflict`` when the file is gone or changed since it was registered.
    """
    if file.sha256:
        return file
    path = own_path_of(file)
    digest = sha256_of(Found(path, file.size, file.modified))
    own_path_of(file)  # What changed while it was read has no hash.
    DataFile.objects.filter(pk=file.pk, sha256="").update(sha256=digest)
    file.refresh_from_db()
    return file


def sha256_of(found: Found) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits; ``Conflict`` when it has another length than was found."""
    digest, count = hashlib.sha256(), 0
    with found.path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
            count += len(chunk)
    if count != found.size:
        raise Conflict(
            f"{found.path.name} changes while it is read ({found.size} bytes, now {count}); register it when done."
        )
    return digest.hexdigest()
