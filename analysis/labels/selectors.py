"""What pages, REST and jobs read of labels."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.cache import cache
from django.db.models import QuerySet

from analysis.drawing import placed
from analysis.jobs.inputs import fingerprint
from analysis.labels.models import UnitLabels
from sessions.errors import Conflict, NotFound
from sessions.isolation import IsolationError, isolated
from sessions.models import Recording, RecordingKind
from sessions.permissions import visible
from sessions.selectors import one, recordings

# A sorter's units are read once a while, not at every key.
KEPT_SECONDS = 3600


def labels(user: Any) -> QuerySet[UnitLabels]:
    """Return the revisions of the user's projects, newest first."""
    return visible(user, UnitLabels.objects.select_related("user", "recording"), project="recording__session__project")


def sorted_units(user: Any, pk: UUID | str) -> Recording:
    """Return a recording of units that the user may see; ``NotFound`` when it is of another kind."""
    found: Recording = one(recordings(user).select_related("session__project"), pk)
    if found.kind != RecordingKind.UNITS:
        raise NotFound("Labels are given to units; this is another kind of recording.")
    return found


def newest(recording: Recording) -> UnitLabels | None:
    """Return the last revision of a recording's labels; ``None`` where nobody gave any."""
    found: UnitLabels | None = (
        UnitLabels.objects.filter(recording=recording).select_related("user").order_by("-revision").first()
    )
    return found


def mark_of(recording: Recording) -> str:
    """Return what changes when the files of a recording do, or how they are read."""
    return fingerprint(pipeline="units", version="1", parameters={}, seed=0, recordings=[recording])


def names_of(recording: Recording) -> list[str]:
    """Return the names of a recording's units; ``Conflict`` when they cannot be read."""
    key = f"unit-names-{mark_of(recording)}"
    known: list[str] | None = cache.get(key)
    if known is None:
        try:
            known = isolated("analysis.readers.unitsheet:names", placed(recording))
        except IsolationError as error:
            raise Conflict(f"The units cannot be read: {str(error).rstrip('.')}.") from error
        cache.set(key, known, KEPT_SECONDS)
    return known


def sheet_of(recording: Recording) -> dict[str, Any]:
    """Return what a page draws of every unit; ``Conflict`` when the units cannot be read."""
    try:
        return dict(isolated("analysis.readers.unitsheet:sheet", placed(recording)))
    except IsolationError as error:
        raise Conflict(f"The units cannot be read: {str(error).rstrip('.')}.") from error
