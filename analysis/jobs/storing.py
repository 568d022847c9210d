"""Keeping what a job found: files moved into place first, then one transaction that says *succeeded*.

Folders below ``LAB_RESULTS``: ``.work/<job>-<attempt>`` while it is computed, ``<job>/<attempt>`` afterwards. Derived
recordings lie below the default data root in ``derived/<recording>/<job>/<attempt>``. Nothing in the database names a
file before it is whole and in its place; what a crash leaves without a row is removed by the next attempt.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction

from analysis.jobs import transitions
from analysis.jobs.inputs import keep_hashes
from analysis.jobs.models import Artifact, Job, JobState, Result
from analysis.jobs.patience import persist
from analysis.jobs.transitions import Claim
from sessions.data_roots import DEFAULT, default_root
from sessions.models import Recording
from sessions.permissions import LABORATORY
from sessions.services import register_recording

DERIVED = "derived"
LONGEST_NAME = Recording._meta.get_field("name").max_length or 0


class ClaimLostError(Exception):
    """Somebody else has the job by now; the transaction is rolled back."""


def work_folder(held: Claim) -> Path:
    """Return the folder in which one attempt computes."""
    return settings.LAB_RESULTS / ".work" / f"{held.job_id}-{held.attempt}"


def result_folder(held: Claim) -> Path:
    """Return the folder in which the result of one attempt stays."""
    return settings.LAB_RESULTS / str(held.job_id) / str(held.attempt)


def clear_attempts(held: Claim) -> None:
    """Remove what earlier attempts at this job left behind; none of them can succeed any more."""
    for folder in (settings.LAB_RESULTS / ".work").glob(f"{held.job_id}-*"):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(settings.LAB_RESULTS / str(held.job_id), ignore_errors=True)
    for folder in _derived_folders(held):
        shutil.rmtree(folder, ignore_errors=True)


def _derived_folders(held: Claim) -> list[Path]:
    root = Path(settings.LAB_DATA_ROOT) / DERIVED
    first = Job.objects.get(pk=held.job_id).inputs.values_list("recording_id", flat=True).first()
    return [root / str(first) / str(held.job_id)] if first else []


def store(held: Claim, work: Path, manifest: dict[str, Any], provenance: dict[str, Any], log: str) -> bool:
    """Move the files of a finished attempt into place and write its result with ``succeeded``.

    Returns False, and leaves nothing, when the claim was lost. Raises ``OSError`` when the disk refuses; then, too,
    nothing is left.
    """
    folder = result_folder(held)
    job = Job.objects.select_related("parent").get(pk=held.job_id)
    inputs = list((job.parent or job).inputs.select_related("recording__session__project"))
    first = inputs[0]
    derived = Path(DERIVED) / str(first.recording_id) / str(held.job_id) / str(held.attempt)
    derived_root = Path(settings.LAB_DATA_ROOT)
    try:
        if manifest["recordings"]:
            _place_derived(work / "made", manifest, derived_root / derived)
        _place_result(work, manifest, folder)
        recordings = [
            (made, inputs[made["made_of"]].recording, first.recording, derived) for made in manifest["recordings"]
        ]
        values = {
            "summary": manifest["summary"],
            "metrics": manifest["metrics"],
            "figures": manifest["figures"],
            "provenance": provenance,
            "folder": str(folder.relative_to(settings.LAB_RESULTS)),
        }
        stored = persist(lambda: _write(held, values, manifest["artifacts"], recordings, log))
    except (OperationalError, InterfaceError):
        # Whether it was committed cannot be known, so the files stay; a next attempt removes them.
        raise
    except BaseException:
        _remove(folder, derived_root / derived)
        raise
    if not stored:
        _remove(folder, derived_root / derived)
    return stored


def _remove(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        try:
            folder.parent.rmdir()
        except OSError:
            # Another attempt's folder is beside it, or there was none.
            continue


def _place_derived(made: Path, manifest: dict[str, Any], target: Path) -> None:
    """Bring the files of derived recordings below the data root, which may be another disk."""
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    artifacts = {artifact["name"] for artifact in manifest["artifacts"]}
    for recording in manifest["recordings"]:
        for file in recording["files"]:
            placed = part / file["name"]
            placed.parent.mkdir(parents=True, exist_ok=True)
            if file["name"] in artifacts:
                shutil.copy2(made / file["name"], placed)
            else:
                shutil.move(made / file["name"], placed)
            _sync(placed)
    part.replace(target)
    _sync(target.parent)


def _place_result(work: Path, manifest: dict[str, Any], folder: Path) -> None:
    """Keep the figures and the named artifacts, drop the rest, and move the folder as a whole."""
    made = work / "made"
    (work / "artifacts").mkdir()
    for artifact in manifest["artifacts"]:
        placed = work / "artifacts" / artifact["name"]
        placed.parent.mkdir(parents=True, exist_ok=True)
        (made / artifact["name"]).replace(placed)
        _sync(placed)
    for figure in manifest["figures"]:
        _sync(work / figure["file"])
    shutil.rmtree(made)
    for name in ("job.json", "output.json"):
        (work / name).unlink(missing_ok=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    work.replace(folder)
    _sync(folder.parent)


def _sync(path: Path) -> None:
    """Have a file or a folder on the disk before the database says that it is there."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(
    held: Claim, values: dict[str, Any], artifacts: list[dict[str, Any]], recordings: list[Any], log: str
) -> bool:
    try:
        with transaction.atomic():
            if not transitions.succeed(held, log=log):
                raise ClaimLostError  # noqa: TRY301
            result = Result.objects.create(job_id=held.job_id, attempt=held.attempt, **values)
            Artifact.objects.bulk_create(Artifact(result=result, **artifact) for artifact in artifacts)
            result.derived.set([_register(*recording) for recording in recordings])
    except ClaimLostError:
        # A connection that broke after the commit makes the same attempt come here twice.
        return Job.objects.filter(
            pk=held.job_id, state=JobState.SUCCEEDED, attempt=held.attempt, result__attempt=held.attempt
        ).exists()
    return True


def _register(made: dict[str, Any], of: Recording, first: Recording, derived: Path) -> Recording:
    """Register a recording made of one, whose times count from the start of the job's first one."""
    default_root()
    recording = register_recording(
        by=LABORATORY,
        session=of.session,
        kind=made["kind"],
        format=made["format"],
        name=" · ".join(filter(None, (of.name[: LONGEST_NAME - len(made["name"]) - 3], made["name"]))),
        start=first.start,
        rate=made["rate"],
        channels=made["channels"],
        duration=made["duration"],
        parameters=made["parameters"],
        simulated=of.simulated,
        files=[{"root": DEFAULT, "path": (derived / file["name"]).as_posix()} for file in made["files"]],
        derived_from={of, first},
    )
    by_name = {(derived / file["name"]).as_posix(): file["sha256"] for file in made["files"]}
    keep_hashes({str(file.pk): by_name[file.path] for file in recording.files.all()})
    return recording
