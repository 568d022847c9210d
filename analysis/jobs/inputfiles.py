"""Whether the files of a recording are still the ones that were registered. No Django: it runs in the child process."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from analysis.pipelines.base import PipelineError

# File systems keep modification times at different resolutions; copies between them round.
SAME_TIME_SECONDS = 0.01


def check_and_hash(recordings: Sequence[dict[str, Any]], progress: Callable[[float, str], None]) -> dict[str, str]:
    """Check every file of the inputs and return ``{file id: SHA-256}`` of those that were read for it.

    A file is read when it has no hash yet, or when its modification time changed although its size did not. Raises
    ``PipelineError`` naming the file that is missing or has changed.
    """
    files = [(recording, file) for recording in recordings for file in recording["files"]]
    hashes: dict[str, str] = {}
    for recording, file in files:
        path, label = Path(file["path"]), f"{file['name']} of {recording['label']}"
        try:
            found = path.stat()
        except OSError as error:
            raise PipelineError(f"The file {label} cannot be read: {error.strerror}.") from error
        if found.st_size != file["size"]:
            raise PipelineError(
                f"The file {label} has {found.st_size:,} bytes but had {file['size']:,} when it was registered;"
                " register it again if that is right."
            )
        touched = abs(found.st_mtime - file["modified"]) > SAME_TIME_SECONDS
        if file["sha256"] and not touched:
            continue
        if touched and not file["sha256"]:
            raise PipelineError(
                f"The file {label} was written to after it was registered; register it again if that is right."
            )
        progress(0.0, f"hashing {file['name']}")
        digest = sha256_of(path)
        if file["sha256"] and digest != file["sha256"]:
            raise PipelineError(
                f"The content of the file {label} has changed since it was registered; register it again."
            )
        hashes[file["id"]] = digest
    return hashes


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, read once."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
