"""Pages of the cameras: the wall, one camera, one recording; and the snapshot."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from cameras import downloads, selectors, services
from cameras.errors import NoPicture
from cameras.models import Camera, CameraRecording, CutState
from cameras.preflight import planned_minutes
from cameras.preflight import preflight as checked
from cameras.queries import local_time, uuid_of
from cameras.relay.frames import LiveFrame
from cameras.relay.hub import hub
from cameras.wire import CODEC_H264, decode
from sessions.errors import Forbidden, LabError
from sessions.models import Session
from sessions.permissions import can, visible
from sessions.tokens import valid_token

RECENT = 12
# How long a piece of the ring the page offers at first.
PIECE_OFFERED = timedelta(minutes=10)
ALERTS_SHOWN, MOST_ALERTS = 3, 200
# How long a snapshot waits for a picture that is taken after it was asked for (s).
SNAPSHOT_WAIT = 2.5


@login_required
@require_safe
def wall(request: HttpRequest) -> HttpResponse:
    """Show what all cameras see now."""
    cameras = list(selectors.visible_cameras(request.user).filter(enabled=True))
    return render(request, "cameras/wall.html", {"cameras": cameras})


@login_required
@require_safe
def camera(request: HttpRequest, slug: str) -> HttpResponse:
    """Show one camera, large, with what it records and has recorded."""
    found = selectors.camera_for(request.user, slug)
    recordings = selectors.visible_recordings(request.user).filter(camera=found)[:RECENT]
    return render(request, "cameras/camera.html", {"recordings": recordings, **_controls(request, found)})


@login_required
@require_safe
@never_cache
def controls(request: HttpRequest, slug: str) -> HttpResponse:
    """Return the part of the camera page that records and stops."""
    return render(request, "cameras/controls.html", _controls(request, selectors.camera_for(request.user, slug)))


@login_required
@require_POST
def record(request: HttpRequest, slug: str) -> HttpResponse:
    """Record one camera for the session that runs on its rig."""
    found = selectors.camera_for(request.user, slug, "change")
    services.start_camera_recording(camera=found, session=selectors.session_to_record(found), by=request.user)
    return _after(request, found)


@login_required
@require_POST
def stop(request: HttpRequest, slug: str) -> HttpResponse:
    """Stop what one camera records."""
    found = selectors.camera_for(request.user, slug, "change")
    services.stop_camera_recording(camera=found, by=request.user)
    return _after(request, found)


@login_required
@require_safe
@never_cache
def kept(request: HttpRequest, slug: str) -> HttpResponse:
    """Show what is kept of a camera's last hours, with a form that makes a recording of a piece of it."""
    found = selectors.camera_for(request.user, slug)
    kept_now = selectors.ring_of(found)
    last = kept_now["spans"][-1] if kept_now["spans"] else None
    context = {
        "camera": found,
        "sessions": selectors.sessions_to_cut_for(request.user, found),
        "from": max(last["start"], last["stop"] - PIECE_OFFERED) if last else None,
        "to": last["stop"] if last else None,
        "copying": any(cut.state == CutState.QUEUED for cut in kept_now["cuts"]),
        **kept_now,
    }
    return render(request, "cameras/kept.html", context)


@login_required
@require_POST
def kept_save(request: HttpRequest, slug: str) -> HttpResponse:
    """Order a recording of a piece of what is kept, and show it in the list."""
    found = selectors.camera_for(request.user, slug)
    session = _session(request, uuid_of("session", request.POST.get("session")))
    start, stop = (local_time(name, request.POST.get(name)) for name in ("from", "to"))
    services.save_cut(by=request.user, camera=found, session=session, start=start, stop=stop)
    return redirect("cameras:kept", slug=found.slug)


@login_required
@require_POST
def session_record(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Record all cameras of a session's rig, and go back to where the button was."""
    services.start_recording(session=_session(request, session_id), by=request.user)
    return redirect(f"/sessions/{session_id}/")


@login_required
@require_POST
def session_stop(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Stop all cameras of a session's rig, and go back to where the button was."""
    services.stop_recording(session=_session(request, session_id), by=request.user)
    return redirect(f"/sessions/{session_id}/")


@login_required
@require_safe
def alerts(request: HttpRequest) -> HttpResponse:
    """Show what is and was wrong with cameras and disk, the newest first."""
    rows = selectors.visible_alerts(request.user)[:MOST_ALERTS]
    return render(request, "cameras/alerts.html", {"alerts": rows})


@login_required
@require_safe
@never_cache
def alerts_now(request: HttpRequest) -> HttpResponse:
    """Return what is wrong now, as every page shows it."""
    rows = list(selectors.visible_alerts(request.user).filter(resolved__isnull=True)[:MOST_ALERTS])
    shown = rows[:ALERTS_SHOWN]
    return render(request, "cameras/alerts_now.html", {"alerts": shown, "more": len(rows) - len(shown)})


@login_required
@require_safe
@never_cache
def preflight(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Return what has to hold before the session is recorded, as part of its page."""
    minutes = planned_minutes(request.GET.get("minutes"))
    found = checked(_session(request, session_id), minutes)
    failed = sum(not check.ok for check in found["checks"])
    return render(request, "cameras/preflight.html", {**found, "failed": failed})


@login_required
@require_safe
def recording(request: HttpRequest, recording_id: UUID) -> HttpResponse:
    """Show a recording: its video, the times of its frames and what is missing of them."""
    found = _recording(request, recording_id)
    files = {file.role: file for file in found.recording.files.order_by("revision")}
    return render(request, "cameras/recording.html", {"recording": found, "files": files})


@login_required
@require_safe
def frames_csv(request: HttpRequest, recording_id: UUID) -> StreamingHttpResponse:
    """Send the frame table as CSV."""
    return downloads.csv_response(_recording(request, recording_id))


@login_required
@require_safe
def frames_npy(request: HttpRequest, recording_id: UUID) -> StreamingHttpResponse:
    """Send the times of all frames as a NumPy array."""
    return downloads.npy_response(_recording(request, recording_id))


@login_required
@require_safe
def cut(request: HttpRequest, recording_id: UUID) -> StreamingHttpResponse:
    """Send the original pictures from one time to another with their frame table."""
    found = _recording(request, recording_id)
    return downloads.cut_response(found, request.GET.get("from"), request.GET.get("to"))


@require_safe
@never_cache
async def snapshot(request: HttpRequest, slug: str) -> HttpResponse:
    """Wait for a picture that is fresh and send it; its age (ms) and number are in the headers."""
    try:
        return await _snapshot(request, slug)
    except LabError as error:
        # The page for errors reads the user from the database, which an event loop must not wait for; a picture's
        # address is asked by scripts and image elements anyway, so a sentence is enough.
        return HttpResponse(error.detail + "\n", status=error.status, content_type="text/plain; charset=utf-8")


async def _snapshot(request: HttpRequest, slug: str) -> HttpResponse:
    user = await _user_of(request)
    await sync_to_async(selectors.camera_for)(user, slug)
    frames = await hub().next_frames(slug, "main", SNAPSHOT_WAIT)
    if not frames:
        state = (await sync_to_async(selectors.states)([slug]))[slug]
        raise NoPicture(f"There is no picture of {slug} now: {state['reason'] or 'none came in time'}.")
    head, picture = decode(frames[-1].payload)
    still: bytes | None = bytes(picture)
    if head.codec == CODEC_H264:
        still = await sync_to_async(_still, thread_sensitive=False)(frames)
    if still is None:
        raise NoPicture(f"The picture of {slug} that came cannot be decoded.")
    return HttpResponse(
        still,
        content_type="image/jpeg",
        headers={
            "X-Frame-Age-Ms": str(max(0, (time.time_ns() - head.received_ns) // 1_000_000)),
            "X-Frame-Sequence": str(head.sequence),
            "X-Frame-Captured-Ns": str(head.captured_ns),
        },
    )


def _still(frames: list[LiveFrame]) -> bytes | None:
    # PyAV and OpenCV are loaded by who needs them: most web processes never do.
    from cameras.pictures import newest_as_jpeg

    parts = [(frame.sequence, decode(frame.payload)[1], frame.is_key) for frame in frames]
    return newest_as_jpeg((sequence, bytes(picture), key) for sequence, picture, key in parts)


async def _user_of(request: HttpRequest) -> Any:
    """Return who asks: a script with a token, or a browser with a session."""
    kind, _, key = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "token":
        token = await sync_to_async(valid_token)(key.strip())
        user: Any = token.user if token else None
    else:
        user = await request.auser()
    if user is None or not user.is_authenticated:
        raise Forbidden("Log in, or send a valid token, to see cameras.")
    return user


def _recording(request: HttpRequest, recording_id: UUID) -> CameraRecording:
    return get_object_or_404(selectors.visible_recordings(request.user), pk=recording_id)


def _session(request: HttpRequest, session_id: UUID) -> Session:
    rows = Session.objects.select_related("project", "rig__project")
    return get_object_or_404(visible(request.user, rows), pk=session_id)


def _controls(request: HttpRequest, found: Camera) -> dict[str, Any]:
    session = selectors.running_session(found)
    running = CameraRecording.objects.filter(camera=found, state="recording").select_related("session").first()
    return {
        "camera": found,
        "session": session,
        "running": running,
        "may_record": can(request.user, "change", (running.session if running else session) or found),
    }


def _after(request: HttpRequest, found: Camera) -> HttpResponse:
    if request.headers.get("HX-Request"):
        return render(request, "cameras/controls.html", _controls(request, found))
    return redirect("cameras:camera", slug=found.slug)
