"""The recordings of a job as plain values: for the child process that reads them, and for the fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from analysis.clockfits.models import ClockFit
from analysis.jobs.models import Job
from analysis.labels.models import UnitLabels
from analysis.pipelines.clocks import FIT
from sessions.models import DataFile, FileRole, Recording, RecordingKind

GOOD = "good"
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


def chooses_units(parameters: Mapping[str, Any]) -> bool:
    """Return whether a job reads only the units that are labelled good."""
    return parameters.get("which_units") == GOOD


def describe(
    recording: Recording,
    *,
    only_good: bool = False,
    labels: UnitLabels | None = None,
    clock: ClockFit | None = None,
) -> dict[str, Any]:
    """Return a recording as ``job.json`` holds it; the session and the files with their roots should be prefetched.

    With ``only_good`` readers leave out the units that are not good by ``labels``, a revision of those by hand, or
    where these are silent by the file. With ``clock`` pipelines put its times on the clock of that fit's reference.
    """
    chosen: dict[str, Any] = {
        "only": GOOD,
        "labels": labels.labels if labels else {},
        "labels_revision": labels.revision if labels else 0,
    }
    return {
        "id": str(recording.pk),
        "kind": recording.kind,
        "format": recording.format,
        "parameters": {
            **said_of(recording, clock),
            **(chosen if only_good else {}),
        },
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


def said_of(recording: Recording, clock: ClockFit | None) -> dict[str, Any]:
    """Return the parameters of a recording with the fit that its times are read by, where there is one."""
    # What no manager has taken over is no fit, whoever wrote it there.
    own = {name: value for name, value in recording.parameters.items() if name != FIT}
    return {**own, FIT: _told(clock)} if clock else own


def _told(fit: ClockFit) -> dict[str, Any]:
    """Return a fit as ``analysis.pipelines.clocks`` takes it."""
    reference = fit.reference
    return {
        "revision": fit.revision,
        "recording": str(fit.recording_id),
        "result": str(fit.result_id),
        "offset": fit.offset,
        "drift": fit.drift,
        "origin": fit.origin,
        "reference": str(fit.reference_id),
        "reference_start": reference.start.isoformat() if reference and reference.start else None,
        "reference_clock": reference.parameters.get("clock") if reference else None,
    }


def inputs_of(job: Job) -> list[dict[str, Any]]:
    """Return the recordings of a job in the order given, as ``describe`` says them; a part reads its parent's."""
    whole = job.parent or job
    rows = whole.inputs.select_related("recording__session", "labels", "clock__reference").prefetch_related(
        "recording__files__root"
    )
    good = chooses_units(job.parameters)
    return [
        describe(row.recording, only_good=good and _has_units(row.recording), labels=row.labels, clock=row.clock)
        for row in rows
    ]


def _has_units(recording: Recording) -> bool:
    return recording.kind == RecordingKind.UNITS


def fingerprint(
    *,
    pipeline: str,
    version: str,
    parameters: dict[str, Any],
    seed: int,
    recordings: Iterable[Recording],
    labels: Mapping[Any, UnitLabels | None] | None = None,
    clocks: Mapping[Any, ClockFit | None] | None = None,
) -> str:
    """Return the SHA-256 that two requests share when they must have the same result.

    Files count by their id and revision, since the content of a revision never changes; what describes them to a reader
    (format, rate, parameters) counts too. Where only good units are read, so does what people said of them: ``labels``
    are the revisions by the recording's id, and so are those of the ``clocks`` by which times are read.
    """
    good, by_id, fits = chooses_units(parameters), labels or {}, clocks or {}
    told = [
        describe(
            recording,
            only_good=good and _has_units(recording),
            labels=by_id.get(recording.pk),
            clock=fits.get(recording.pk),
        )
        for recording in recordings
    ]
    inputs = [
        {
            **{name: described[name] for name in ("id", "kind", "format", "parameters", "rate", "start")},
            "files": [[file["id"], file["revision"]] for file in described["files"]],
        }
        for described in told
    ]
    content = {"pipeline": pipeline, "version": version, "parameters": parameters, "seed": seed, "inputs": inputs}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def keep_hashes(hashes: dict[str, str]) -> None:
    """Keep hashes ``{file id: SHA-256}`` that a computation found, where none is known yet."""
    for file_id, digest in hashes.items():
        DataFile.objects.filter(pk=file_id, sha256="").update(sha256=digest)
