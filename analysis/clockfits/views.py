"""The buttons of a result by which a manager takes a clock fit over, or takes that back."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from analysis import selectors as jobs
from analysis.clockfits import selectors, services
from analysis.jobs.models import Result
from sessions.errors import Conflict, Invalid, Stale
from sessions.permissions import can
from sessions.selectors import one, recordings

# Digits of a revision.
LONGEST = 9


def clocks_context(user: Any, result: Result) -> dict[str, Any]:
    """Return what a result's page says of clocks: those that it was made by, and those that it offers to be used."""
    offered = []
    if selectors.is_alignment(result.job):
        rows = result.job.inputs.select_related("recording__session__project")
        for row in list(rows)[1:]:
            last = selectors.newest(row.recording)
            offered.append(
                {
                    "recording": row.recording,
                    "last": last,
                    "now": selectors.fit_for(row.recording),
                    "uses": bool(last and last.result_id == result.pk),
                    "may_manage": can(user, "manage", row.recording),
                }
            )
    used = selectors.clocks_of(result.job)
    return {"clocks_offered": offered, "clocks_used": used, "clocks_older": any(each.older for each in used)}


@login_required
@require_POST
def fit_use(request: HttpRequest, result_id: UUID) -> HttpResponse:
    """Have a recording's times read by the fit of a result."""
    result = jobs.result(request.user, result_id)
    recording = one(recordings(request.user).select_related("session__project"), request.POST.get("recording", ""))
    try:
        services.use_fit(by=request.user, result=result, recording=recording, base=_base(request))
    except (Conflict, Invalid, Stale) as error:
        messages.error(request, error.detail)
    else:
        messages.success(request, f"The clock of {recording} is read by this fit now. Results made before stay.")
    return redirect("result", result_id)


@login_required
@require_POST
def fit_undo(request: HttpRequest, result_id: UUID) -> HttpResponse:
    """Take the last change of a recording's clock back."""
    jobs.result(request.user, result_id)
    recording = one(recordings(request.user).select_related("session__project"), request.POST.get("recording", ""))
    try:
        services.undo_fit(by=request.user, recording=recording, base=_base(request))
    except (Conflict, Invalid, Stale) as error:
        messages.error(request, error.detail)
    else:
        messages.success(request, f"The last change of the clock of {recording} was taken back.")
    return redirect("result", result_id)


def _base(request: HttpRequest) -> int:
    told = request.POST.get("base", "")
    return int(told) if told.isdecimal() and len(told) <= LONGEST else 0
