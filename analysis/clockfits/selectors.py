"""What pages, REST and jobs read of clock fits."""

from __future__ import annotations

from collections.abc import Mapping
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


def clock_fits(user: Any) -> QuerySet[ClockFit]:
    """Return the revisions of the user's projects, newest first, with ``undoable``: whether it can be taken back now.

    That is the last revision where it has a fit: one without is where everything was taken back.
    """
    later = ClockFit.objects.filter(recording=OuterRef("recording"), revision__gt=OuterRef("revision"))
    rows = ClockFit.objects.select_related("user", "recording", "reference", "result")
    undoable = Q(reference__isnull=False) & ~Exists(later)
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

    What ``sync.align`` wrote anew is on the reference's clock already. What was made of several recordings has a fit
    only where all of them have the same.
    """
    own = newest(recording)
    if own is not None:
        return own if own.reference_id else None
    above = list(recording.derived_from.all())
    if not above or deep < 1 or Result.objects.filter(derived=recording, job__pipeline=ALIGNING).exists():
        return None
    fits = [fit_for(one, deep - 1) for one in above]
    return fits[0] if len({fit.pk if fit else None for fit in fits}) == 1 else None


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
