"""The page on which a track runs over its video."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from analysis.drawing import placed
from sessions import selectors
from sessions.downloads import playable
from sessions.errors import Conflict, NotFound
from sessions.isolation import IsolationError, isolated
from sessions.models import DataFile, Recording, RecordingKind

# Files of a recording never change, and a track of hours is some megabytes.
TRACK_KEPT = "private, max-age=86400"


def _position(user: Any, pk: UUID) -> Recording:
    found: Recording = selectors.one(selectors.recordings(user).select_related("session"), pk)
    if found.kind != RecordingKind.POSITION:
        raise NotFound("Positions are watched on a video; this is another kind of recording.")
    return found


def _videos(user: Any, position: Recording) -> list[Recording]:
    """Return the videos of a position's session that a browser can play; the one that it was made of first."""
    parents = {parent.pk for parent in position.derived_from.all()}
    videos = selectors.recordings(user).filter(session=position.session_id, kind=RecordingKind.VIDEO)
    shown = [video for video in videos.order_by("start", "name", "id") if _file_of(video)]
    return sorted(shown, key=lambda video: video.pk not in parents)


def _file_of(video: Recording) -> DataFile | None:
    return playable(video, selectors.newest_revisions(list(video.files.all())))


@login_required
@require_safe
def watch(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A video with the track drawn on it, frame by frame; ``?video=`` chooses another one of the session."""
    position = _position(request.user, pk)
    videos = _videos(request.user, position)
    wanted = request.GET.get("video", "")
    video = next((each for each in videos if str(each.pk) == wanted), videos[0] if videos else None)
    context = {
        "recording": position,
        "videos": videos,
        "video": video,
        "file": _file_of(video) if video else None,
        "own": video is not None and video.pk in {parent.pk for parent in position.derived_from.all()},
    }
    return render(request, "analysis/watch.html", context)


@login_required
@require_safe
def track(request: HttpRequest, pk: UUID, video_id: UUID) -> HttpResponse:
    """A track in px of a video, as ``analysis.readers.overlay`` packs it."""
    position = _position(request.user, pk)
    video = selectors.one(selectors.recordings(request.user).filter(session=position.session_id), video_id)
    try:
        packed = isolated("analysis.readers.overlay:overlay", placed(position), placed(video))
    except IsolationError as error:
        raise Conflict(f"The track cannot be drawn on this video: {str(error).rstrip('.')}.") from error
    return JsonResponse(packed, headers={"Cache-Control": TRACK_KEPT})
