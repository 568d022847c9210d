"""Where data files lie: folders of the server, below which every path stays."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from django.conf import settings

from sessions.errors import Conflict, Invalid, NotFound
from sessions.models import CopyState, DataFile, DataRoot, FileCopy, FileState

DEFAULT = "default"
LONGEST_PATH = 1000


@dataclass(frozen=True)
class Found:
    """A regular file below a data root: where, how many bytes, when it was last changed."""

    path: Path
    size: int
    modified: datetime


def default_root() -> DataRoot:
    """Return the root ``default``; it is made on first use and follows the setting ``LAB_DATA_ROOT``."""
    path = str(settings.LAB_DATA_ROOT)
    root, _ = DataRoot.objects.get_or_create(name=DEFAULT, defaults={"path": path})
    if root.path != path:
        root.path = path
        root.save(update_fields=["path"])
    return root


def root_named(name: str) -> DataRoot:
    """Return a data root by its name; ``Invalid`` names those there are."""
    if name == DEFAULT:
        return default_root()
    root = DataRoot.objects.filter(name=name).first() if "\0" not in name else None
    if root is None:
        names = ", ".join([DEFAULT, *DataRoot.objects.exclude(name=DEFAULT).values_list("name", flat=True)])
        raise Invalid(f"There is no data root {name!r}; there is {names}.", {"root": ["There is no such data root."]})
    return root


def clean_path(path: str) -> str:
    """Return a relative path with forward slashes; ``Invalid`` for what is absolute, climbs up, or is no path."""
    if not isinstance(path, str) or not path.strip():
        raise _refused(path, "is empty")
    if "\0" in path or "\\" in path or any(ord(c) < 32 for c in path):  # noqa: PLR2004 - control characters
        raise _refused(path, "holds a backslash or a control character; write it with forward slashes")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise _refused(path, "is not text") from None
    pure = PurePosixPath(path)
    if pure.is_absolute():
        raise _refused(path, "is absolute; write it relative to the data root")
    if ".." in pure.parts:
        raise _refused(path, "climbs out of its folder with '..'")
    cleaned = str(pure)
    if cleaned == ".":
        raise _refused(path, "names the data root itself, not a file")
    if len(cleaned) > LONGEST_PATH:
        raise _refused(path[:60] + "…", f"is longer than {LONGEST_PATH} characters")
    return cleaned


def find(root: DataRoot, path: str) -> Found:
    """Return the file at a path below a root; ``Invalid`` when missing, empty, no regular file or leading outside."""
    cleaned = clean_path(path)
    below = Path(root.path)
    try:
        base = below.resolve(strict=True)
        real = (base / cleaned).resolve(strict=True)
    except FileNotFoundError:
        raise _refused(cleaned, f"is not there below the data root {root.name!r}") from None
    except (OSError, RuntimeError) as error:
        raise _refused(cleaned, f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not real.is_relative_to(base):
        raise _refused(cleaned, f"leads out of the data root {root.name!r} through a link")
    status = real.stat()
    if not stat.S_ISREG(status.st_mode):
        raise _refused(cleaned, "is not a regular file")
    if status.st_size == 0:
        raise _refused(cleaned, "is empty (0 bytes)")
    if not os.access(real, os.R_OK):
        raise _refused(cleaned, "may not be read by the server")
    return Found(real, status.st_size, modified_of(status))


def modified_of(status: os.stat_result) -> datetime:
    """Return the time of a file's last change, to the microsecond that Postgres keeps."""
    return datetime.fromtimestamp(status.st_mtime_ns // 1000 / 1e6, tz=UTC)


def path_of(file: DataFile) -> Path:
    """Return where the content of a registered file can be had now: its own place, else that of a copy.

    ``NotFound`` when it is gone, ``Conflict`` when its size or time is no more what was registered.
    """
    refused: NotFound | Conflict | None = None
    # What was read and found to be another content has the right size and time: its copies come first.
    check = getattr(file, "check_of", None)
    if check is None or check.state != FileState.DAMAGED:
        try:
            return own_path_of(file)
        except (NotFound, Conflict) as error:
            refused = error
    for copy in file.copies.filter(state=CopyState.PRESENT).select_related("root", "file"):
        try:
            return place_of_copy(copy)
        except (NotFound, Conflict):
            continue
    if refused is None:
        return own_path_of(file)
    raise refused


def own_path_of(file: DataFile) -> Path:
    """Return the place where a file was registered; ``NotFound`` or ``Conflict`` when it is no more there as it was."""
    return _place(file.root, file.path, file.size, file.modified)


def place_of_copy(copy: FileCopy) -> Path:
    """Return where a copy lies; ``NotFound`` or ``Conflict`` when it is no more there as it was."""
    return _place(copy.root, copy.path, copy.file.size, copy.modified)


def _place(root: DataRoot, path: str, size: int, modified: datetime) -> Path:
    try:
        found = find(root, path)
    except Invalid as error:
        raise NotFound(f"The registered file cannot be had: {error.detail}") from error
    if found.size != size or abs((found.modified - modified).total_seconds()) > 1e-3:  # noqa: PLR2004
        raise Conflict(
            f"{path} changed on the disk after it was registered ({size} bytes then, {found.size} now);"
            " register it as a new revision."
        )
    return found.path


def _refused(path: object, problem: str) -> Invalid:
    sentence = f"{path!s} {problem}." if path else f"The path {problem}."
    return Invalid(sentence, {"path": [sentence]})
