"""What was found in a recording of voltage and can be shown on its traces: spikes, sorted units, ripples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from django.db.models import Q
from django.urls import reverse

from analysis.clockfits.models import ClockFit
from analysis.clockfits.selectors import fit_for
from analysis.drawing import placed
from analysis.drawings import folder_of
from analysis.jobs.inputs import describe, said_of
from analysis.jobs.models import JobState, Result
from analysis.pipelines import clocks
from analysis.pipelines.base import InputRecording, PipelineError
from sessions.errors import Conflict, NotFound
from sessions.isolation import IsolationError, isolated
from sessions.models import Recording, RecordingKind
from sessions.permissions import visible
from sessions.selectors import one, recordings

RIPPLES, TABLE, ALIGNING = "lfp.ripples", "ripples.csv", "sync.align"
SHOWN = (RecordingKind.SPIKES, RecordingKind.UNITS)
# The newest that are offered, of each kind.
OFFERED = 8


@dataclass(frozen=True)
class Source:
    """Events to show on a recording: those ``of`` another recording, or of a ``result``.

    ``shift`` (s) puts the zero of their clock on the recording's, and other times, too, where neither clock drifts;
    where it is not known, ``reason`` says why.
    """

    of: Recording
    result: Result | None
    shift: float
    reason: str

    @property
    def pk(self) -> UUID:
        """The id by which the events are asked for."""
        return self.result.pk if self.result else self.of.pk

    def told(self) -> dict[str, Any]:
        """Return the source as REST tells it."""
        kind = "ripples" if self.result else str(self.of.kind)
        page = reverse("result", args=[self.result.pk]) if self.result else f"/recordings/{self.of.pk}/"
        return {
            "id": self.pk,
            "kind": kind,
            "label": f"ripples of {self.of}" if self.result else str(self.of),
            "page": page,
            "made": (self.result or self.of).created,
            "shift": self.shift,
            "reason": self.reason,
        }


def sources(user: Any, pk: UUID) -> list[Source]:
    """Return what was found in a recording of voltage or its relatives, and units brought beside it, newest first."""
    shown = _voltage(user, pk)
    family = _family(shown)
    spikes = (
        recordings(user)
        .filter(
            Q(derived_from__in=family, kind__in=SHOWN)
            | Q(session=shown.session_id, kind=RecordingKind.UNITS, derived_from__isnull=True)
        )
        .select_related("session")
        .distinct()
        .order_by("-created")
    )
    ripples = (
        visible(user, Result.objects.all(), project="job__project")
        .filter(job__pipeline=RIPPLES, job__state=JobState.SUCCEEDED, job__inputs__recording__in=family)
        .order_by("-created")
        .distinct()
    )
    newest = [one_ for kind in SHOWN for one_ in spikes.filter(kind=kind)[:OFFERED]]
    found = [_source(one_, shown, None) for one_ in sorted(newest, key=lambda one_: one_.created, reverse=True)]
    for result in ripples[:OFFERED]:
        lfp = result.job.recordings.filter(kind=RecordingKind.LFP).select_related("session").first()
        if lfp is not None and lfp.pk in family:
            found.append(_source(lfp, shown, result))
    return found


def events(user: Any, pk: UUID, source: UUID, asked: dict[str, int | None]) -> dict[str, Any]:
    """Return events as ``analysis.readers.trace_events.found`` does.

    ``NotFound`` for a source that was not found in the recording; ``Conflict`` where its clock is not known, or one of
    both cannot be read.
    """
    chosen = next((each for each in sources(user, pk) if each.pk == source), None)
    if chosen is None:
        raise NotFound("There is no such source of events of this recording.")
    if chosen.reason:
        raise Conflict(chosen.reason)
    shown = _voltage(user, pk)
    its, mine = _fits(chosen.of, shown)
    table = str(folder_of(chosen.result) / "artifacts" / TABLE) if chosen.result else None
    # Ripples are read from their table alone.
    read = describe(chosen.of, clock=its) if table else placed(chosen.of, clock=its)
    try:
        told: dict[str, Any] = isolated(
            "analysis.readers.trace_events:found", placed(shown, clock=mine), read, table, asked
        )
    except IsolationError as error:
        raise Conflict(f"The events cannot be read: {str(error).rstrip('.')}.") from error
    if not chosen.result and not chosen.of.derived_from.filter(pk=shown.pk).exists():
        # Found in a sibling, whose channels may be numbered otherwise.
        told["units"] = [{**unit, "channel": None} for unit in told["units"]]
    return told


def _voltage(user: Any, pk: UUID) -> Recording:
    found: Recording = one(recordings(user).select_related("session__project"), pk)
    if found.kind not in (RecordingKind.EPHYS, RecordingKind.LFP):
        raise NotFound("Events are shown on voltage; this is another kind of recording.")
    return found


def _family(shown: Recording) -> set[UUID]:
    """Return the recording, the voltage that it was made of, and the LFP that was made of either."""
    voltage = Q(kind__in=(RecordingKind.EPHYS, RecordingKind.LFP))
    above = set(shown.derived_from.filter(voltage).values_list("pk", flat=True)) | {shown.pk}
    below = Recording.objects.filter(voltage, derived_from__in=above).values_list("pk", flat=True)
    return above | set(below)


def _source(of: Recording, shown: Recording, result: Result | None) -> Source:
    aligned = Result.objects.filter(derived=of, job__pipeline=ALIGNING).select_related("job").first()
    if aligned is not None:
        kept = aligned.job.inputs.select_related("recording").first()
        if kept is not None and kept.recording_id != shown.pk:
            return Source(of, result, 0.0, f"Its times were put on the clock of another recording, {kept.recording}.")
    its, mine = _fits(of, shown)
    try:
        zero = clocks.on_clock_of(_seen(shown, mine), _seen(of, its), np.zeros(1), "auto")
        return Source(of, result, float(zero[0]), "")
    except PipelineError as error:
        # Wrong by a shift, events would look as if they had been found nowhere.
        return Source(of, result, 0.0, str(error))


def _fits(of: Recording, shown: Recording) -> tuple[ClockFit | None, ClockFit | None]:
    """Return the fits by which the times of both are read; none where one holds for both, which then run alike."""
    its, mine = fit_for(of), fit_for(shown)
    return (None, None) if its == mine else (its, mine)


def _seen(recording: Recording, clock: ClockFit | None) -> InputRecording:
    """Return what tells a recording's clock."""
    start = recording.start.isoformat() if recording.start else None
    return InputRecording(
        id=str(recording.pk), kind=recording.kind, format=recording.format, files=(),
        parameters=said_of(recording, clock), start=start,
    )  # fmt: skip
