"""Pages on which arenas and calibration are drawn: thin, over ``analysis.drawing``."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from analysis import drawing
from analysis.models import FrameDrawing
from sessions.errors import Invalid
from sessions.models import Recording
from sessions.permissions import can

# A frame of a recording never changes; a day's cache spares who draws for a while.
FRAME_KEPT = "private, max-age=86400"


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def arenas(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Draw arenas and a calibration on a frame of a video, and keep them."""
    recording = drawing.video(request.user, pk)
    if request.method != "POST":
        return _page(request, recording, drawing.drawing_for(request.user, recording))
    posted = _posted(request.POST.get("drawing", ""))
    try:
        drawing.draw(by=request.user, recording=recording, drawn=posted)
    except Invalid as error:
        texts = [f"{field}: {text}" for field, found in error.errors.items() for text in found]
        return _page(request, recording, None, shown=posted, errors=texts or [error.detail])
    if request.POST.get("then") == "track":
        return redirect(f"{reverse('job-new')}?recording={recording.pk}&pipeline=video.track")
    messages.success(request, "Arenas and calibration were kept.")
    return redirect("recording-arenas", recording.pk)


def _posted(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {}


def _page(
    request: HttpRequest,
    recording: Recording,
    kept: FrameDrawing | None,
    *,
    shown: dict[str, Any] | None = None,
    errors: list[str] | None = None,
) -> HttpResponse:
    if shown is None and kept is not None:
        shown = {"width": kept.width, "height": kept.height, **drawing.parameters_of(kept)}
    context = {
        "recording": recording,
        "session": recording.session,
        "drawing": shown or {},
        "kept": kept,
        "own": kept is not None and kept.recording_id == recording.pk,
        "errors": errors or [],
        "may_change": can(request.user, "change", recording),
    }
    return render(request, "analysis/arenas.html", context, status=400 if errors else 200)


@login_required
@require_safe
def frame(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A frame of a video, to draw on."""
    picture = drawing.frame_of(drawing.video(request.user, pk))
    return HttpResponse(picture, content_type="image/jpeg", headers={"Cache-Control": FRAME_KEPT})
