"""What pages, REST and jobs read of clock fits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from analysis.clockfits.models import ClockFit
from analysis.jobs.models import Job, JobState, Result
from analysis.pipelines.clocks import GOING_BY_FITS
from sessions.models import Recording
from sessions.permissions import visible

ALIGNING = "sync.align"
# Generations of derived recordings through which a clock is followed.
DEEPEST = 5
LATER = ClockFit.objects.filter(recording=OuterRef("recording"), revision__gt=OuterRef("revision"))


def clock_fits(user: Any) -> QuerySet[ClockFit]:
    """Return the revisions of the user's projects, newest first, with ``undoable``: whether it can be taken back now.

    That is the last revision where it has a fit: one without is where everything was taken back.
    """
    rows = ClockFit.objects.select_related("user", "recording", "reference", "result")
    undoable = Q(reference__isnull=False) & ~Exists(LATER)
    return visible(user, rows.annotate(undoable=undoable), project="recording__session__project")


def newest(recording: Recording) -> ClockFit | None:
    """Return the last revision of a recording's own fit; ``None`` where there never was one."""
    found: ClockFit | None = (
        ClockFit.objects.filter(recording=recording)
        .select_related("user", "reference", "recording")
        .order_by("-revision")
        .first()
    )
    return found


def fit_for(recording: Recording, deep: int = DEEPEST) -> ClockFit | None:
    """Return the fit that a recording's times are read by: its own, or that of what it was made of; or ``None``.

    What ``sync.align`` wrote anew is on the reference's clock, and goes by that one's fit. What was made of several
    recordings has a fit only where all of them have the same. An own fit that was taken back leaves what was before it.
    """
    own = newest(recording)
    if own is not None and own.reference_id:
        return own
    above = _clocks_above(recording) if deep else []
    fits = [fit_for(one, deep - 1) for one in above]
    return fits[0] if len({fit.pk if fit else None for fit in fits}) == 1 else None


def _clocks_above(recording: Recording) -> list[Recording]:
    """Return the recordings on whose clock a recording was written: what it was made of, or was put on by a job."""
    aligned = Result.objects.filter(derived=recording, job__pipeline=ALIGNING).select_related("job").first()
    if aligned is None:
        return list(recording.derived_from.all())
    return [row.recording for row in aligned.job.inputs.select_related("recording")[:1]]


def runs_with(recording: Recording) -> set[UUID]:
    """Return the recordings that go by a recording's fit where they have none: itself, and what ``fit_for`` follows."""
    found = {recording.pk}
    for _ in range(DEEPEST):
        made = Recording.objects.filter(derived_from__in=found).exclude(made_by__job__pipeline=ALIGNING)
        put = Recording.objects.filter(
            made_by__job__pipeline=ALIGNING, made_by__job__inputs__recording__in=found, made_by__job__inputs__order=0
        )
        found |= {*made.values_list("pk", flat=True), *put.values_list("pk", flat=True)}
    return found


def read_on(references: Iterable[UUID]) -> ClockFit | None:
    """Return a fit that holds now and puts a recording on the clock of one of ``references``; ``None`` without one."""
    found: ClockFit | None = (
        ClockFit.objects.filter(~Exists(LATER), reference__in=references)
        .select_related("recording", "reference")
        .first()
    )
    return found


def reads_fits(pipeline: str, parameters: Mapping[str, Any]) -> bool:
    """Return whether a job brings clocks together by what the catalog says of them."""
    return pipeline in GOING_BY_FITS and parameters.get("align") == "auto"


@dataclass(frozen=True)
class ClockUsed:
    """By which fit a job read a recording, and which holds now; ``None`` where there was, or is, none."""

    recording: Recording
    used: ClockFit | None
    now: ClockFit | None

    @property
    def older(self) -> bool:
        """Whether the recording's clock is told otherwise since."""
        return (self.used.pk if self.used else None) != (self.now.pk if self.now else None)


def clocks_of(job: Job) -> list[ClockUsed]:
    """Return the recordings of a job that it read by a fit, or would read by another now."""
    if not reads_fits(job.pipeline, job.parameters):
        return []
    rows = job.inputs.select_related("recording__session", "clock__reference", "clock__user", "clock__recording")
    found = [ClockUsed(row.recording, row.clock, fit_for(row.recording)) for row in rows]
    return [each for each in found if each.used or each.now]


def is_alignment(job: Job) -> bool:
    """Return whether a job has found how a clock runs."""
    return job.pipeline == ALIGNING and job.state == JobState.SUCCEEDED


def fits_by_id(recordings: list[Recording]) -> dict[UUID, ClockFit | None]:
    """Return the fit that each recording is read by now."""
    return {one.pk: fit_for(one) for one in recordings}
