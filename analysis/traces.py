"""What a page draws of voltage: facts of the recording, and stretches of it from its overview or from itself."""

from __future__ import annotations

import base64
import csv
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from analysis.drawing import placed
from analysis.drawings import folder_of
from analysis.jobs.inputs import fingerprint
from analysis.jobs.models import Job, JobState, Result
from analysis.pipelines.base import PipelineError
from analysis.pipelines.ephys_overview import EphysOverview
from sessions.errors import Conflict, NotFound
from sessions.isolation import IsolationError, isolated
from sessions.models import Recording, RecordingKind
from sessions.permissions import can
from sessions.selectors import one, recordings

INSPECTED, INSPECTION = "ephys.inspect", "channels.csv"


@dataclass(frozen=True)
class Traced:
    """A recording of voltage, the ``mark`` of its files and of how they are read, and the job of its overview."""

    recording: Recording
    mark: str
    job: Job | None

    @property
    def overview(self) -> Result | None:
        """The result with the levels, once it is there."""
        return getattr(self.job, "result", None) if self.job else None


def traced(user: Any, pk: UUID) -> Traced:
    """Return a recording of voltage that the user may see, with the overview of just these files, read just so."""
    found: Recording = one(recordings(user).select_related("session__project"), pk)
    if found.kind not in (RecordingKind.EPHYS, RecordingKind.LFP):
        raise NotFound("Traces are drawn of voltage; this is another kind of recording.")
    mark = fingerprint(
        pipeline=EphysOverview.name, version=EphysOverview.version, parameters={}, seed=1, recordings=[found]
    )
    jobs = list(Job.objects.filter(fingerprint=mark).select_related("result").order_by("-created")[:20])
    done = next((job for job in jobs if job.state == JobState.SUCCEEDED), None)
    return Traced(found, mark, done or next(iter(jobs), None))


def described(user: Any, pk: UUID) -> dict[str, Any]:
    """Return what a page must know to draw a recording's traces; ``Conflict`` when it cannot be read."""
    from analysis.readers import traces

    of = traced(user, pk)
    # What is not read yet is checked by reading it: a file that is gone has no traces to offer.
    levels = _levels(of)
    try:
        facts = levels.facts if levels else isolated("analysis.readers.traces:describe", placed(of.recording))
    except IsolationError as error:
        raise _cannot(error) from error
    quality = _quality(of.recording, facts["channels"])
    return {
        **facts,
        "mark": of.mark,
        "readable": traces.MOST_READ // facts["channels"],
        "overview": {
            "state": "ready" if levels else of.job.state if of.job and not of.overview else "none",
            "job": of.job.pk if of.job else None,
            "finest": levels.finest if levels else None,
        },
        "quality": quality,
        "cleaning": traces.cleanable(facts["channels"], facts["rate"], quality["labels"] if quality else None),
        "may_compute": can(user, "change", of.recording),
    }


@dataclass(frozen=True)
class Cleaning:
    """What is done to samples before they are drawn; the common median is over what an ``inspection`` found good."""

    high_pass: bool = False
    reference: bool = False
    inspection: UUID | None = None

    def __bool__(self) -> bool:
        """Return whether anything is done."""
        return self.high_pass or self.reference


AS_READ = Cleaning()


def window(
    user: Any, pk: UUID, asked: tuple[int, int, int, int, int], *, mark: str = "", how: Cleaning = AS_READ
) -> bytes:
    """Return a stretch of a recording, packed by ``analysis.readers.traces``, from its overview where that will do.

    ``asked`` are the values of a ``Window``. ``Conflict`` for what the recording does not have, what cannot be read,
    too long a stretch to be filtered, and when ``mark`` is that of other files or another way to read them.
    ``NotFound`` when ``how`` names an inspection that is none of this recording.
    """
    from analysis.readers.traces import Window

    of = traced(user, pk)
    if mark and mark != of.mark:
        raise Conflict("The recording is another one now, or read in another way: load the page again.")
    try:
        if how:
            good = _good(of.recording, how.inspection) if how.reference and how.inspection else None
            done = {"high_pass": how.high_pass, "reference": how.reference, "good": good}
            return base64.b64decode(
                isolated("analysis.readers.traces:cleaned", placed(of.recording), list(asked), done)
            )
        levels = _levels(of)
        packed = levels.window(Window(*asked)) if levels else None
        if packed is None:
            read = isolated("analysis.readers.traces:window", placed(of.recording), list(asked))
            packed = base64.b64decode(read)
    except (IsolationError, PipelineError) as error:
        raise _cannot(error) from error
    return packed


def _levels(of: Traced) -> Any:
    """Return the files of the overview; ``None`` where there is none, or its files are gone from the disk."""
    from analysis.readers.traces import Overview

    if of.overview is None:
        return None
    try:
        return Overview(folder_of(of.overview) / "artifacts")
    except PipelineError:
        return None


def _cannot(error: Exception) -> Conflict:
    return Conflict(f"The traces cannot be drawn: {str(error).rstrip('.')}.")


def _quality(recording: Recording, channels: int) -> dict[str, Any] | None:
    """Return what the last inspection said of every channel; ``None`` where there is none of so many channels."""
    result = _inspections(recording).order_by("-created").first()
    labels = _labels(result) if result else []
    return {"result": result.pk, "labels": labels} if result and len(labels) == channels else None


def _good(recording: Recording, inspection: UUID) -> list[int]:
    """Return the channels that an inspection of the recording found good; ``NotFound`` when it is none of it."""
    result = _inspections(recording).filter(pk=inspection).first()
    if result is None or not (labels := _labels(result)):
        raise NotFound("There is no such inspection of this recording.")
    return [channel for channel, label in enumerate(labels) if label == "good"]


def _inspections(recording: Recording) -> QuerySet[Result]:
    return Result.objects.filter(
        job__pipeline=INSPECTED, job__inputs__recording=recording, job__state=JobState.SUCCEEDED
    )


def _labels(inspection: Result) -> list[str]:
    try:
        with (folder_of(inspection) / "artifacts" / INSPECTION).open(encoding="utf-8", newline="") as file:
            return [row["label"] for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError):
        # Its page says that its files are gone; the traces are drawn without it.
        return []
