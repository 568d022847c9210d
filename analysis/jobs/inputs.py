"""The recordings of a job as plain values: for the child process that reads them, and for the fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from analysis.jobs.models import Job
from sessions.models import DataFile, FileRole, Recording

# What was only made to be looked at is no input.
READ_ROLES = (FileRole.DATA, FileRole.SEGMENT, FileRole.FRAMES, FileRole.CLOCK)


def input_files(recording: Recording) -> list[DataFile]:
    """Return the newest revision of each file that a pipeline reads, in the recording's order."""
    newest: dict[tuple[Any, str], DataFile] = {}
    for file in recording.files.all():
        if file.role not in READ_ROLES:
            continue
        key = (file.root_id, file.path)
        if key not in newest or newest[key].revision < file.revision:
            newest[key] = file
    return sorted(newest.values(), key=lambda file: (file.order, file.path))


def describe(recording: Recording) -> dict[str, Any]:
    """Return a recording as ``job.json`` holds it; the session and the files with their roots should be prefetched."""
    return {
        "id": str(recording.pk),
        "kind": recording.kind,
        "format": recording.format,
        "parameters": recording.parameters,
        "rate": recording.rate,
        "start": recording.start.isoformat() if recording.start else None,
        "label": f"{recording} ({recording.session})",
        "session": str(recording.session_id),
        "files": [
            {
                "id": str(file.pk),
                "name": Path(file.path).name,
                "path": str(Path(file.root.path) / file.path),
                "size": file.size,
                "modified": file.modified.timestamp(),
                "sha256": file.sha256,
                "role": file.role,
                "revision": file.revision,
            }
            for file in input_files(recording)
        ],
    }


def inputs_of(job: Job) -> list[Recording]:
    """Return the recordings of a job in the order given, with what ``describe`` needs; a part reads its parent's."""
    whole = job.parent or job
    return [
        row.recording
        for row in whole.inputs.select_related("recording__session").prefetch_related("recording__files__root")
    ]


def fingerprint(
    *, pipeline: str, version: str, parameters: dict[str, Any], seed: int, recordings: Iterable[Recording]
) -> str:
    """Return the SHA-256 that two requests share when they must have the same result.

    Files count by their id and revision, since the content of a revision never changes; what describes them to a reader
    (format, rate, parameters) counts too.
    """
    inputs = [
        {
            **{name: described[name] for name in ("id", "kind", "format", "parameters", "rate", "start")},
            "files": [[file["id"], file["revision"]] for file in described["files"]],
        }
        for described in map(describe, recordings)
    ]
    content = {"pipeline": pipeline, "version": version, "parameters": parameters, "seed": seed, "inputs": inputs}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def keep_hashes(hashes: dict[str, str]) -> None:
    """Keep hashes ``{file id: SHA-256}`` that a computation found, where none is known yet."""
    for file_id, digest in hashes.items():
        DataFile.objects.filter(pk=file_id, sha256="").update(sha256=digest)
