"""Start and stop: what is written here is an order; ingest carries it out, whenever it can."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.utils import timezone

from cameras.disk import require_room
from cameras.models import Camera, CameraRecording, RecordingState
from cameras.wake import wake_ingest
from sessions.errors import Conflict, Invalid
from sessions.live import tell
from sessions.models import Session
from sessions.permissions import require
from sessions.services import open_recording
from sessions.services.transaction import one_write

FORMAT = "mjpeg-segments"


def start_recording(*, session: Session, by: Any) -> list[CameraRecording]:
    """Record all cameras of the session's rig from now on; returns one recording for each camera.

    ``Conflict`` when the session has ended, has no rig, its rig has no camera, or one of them records already;
    ``DiskLow`` when there is no room. All cameras start or none.
    """
    if session.rig is None:
        raise Conflict("This session is on no rig, so it has no cameras to record.")
    cameras = list(Camera.objects.filter(rig=session.rig, enabled=True).select_related("rig__project"))
    if not cameras:
        raise Conflict(f"The rig {session.rig.name} has no cameras that are switched on.")
    return _start(session=session, cameras=cameras, by=by)


def start_camera_recording(*, camera: Camera, session: Session, by: Any) -> CameraRecording:
    """Record one camera for a session that runs on its rig."""
    if session.rig_id != camera.rig_id:
        sentence = f"The session is not on {camera.rig.name}, the rig of this camera."
        raise Invalid(sentence, {"session": [sentence]})
    if not camera.enabled:
        raise Conflict(f"The camera {camera.name} is switched off.")
    return _start(session=session, cameras=[camera], by=by)[0]


def stop_recording(*, session: Session, by: Any) -> list[CameraRecording]:
    """Stop all cameras that record this session; ``Conflict`` when none does."""
    require(by, "change", session)
    return _stop(CameraRecording.objects.filter(session=session), "Nothing is being recorded for this session.")


def stop_camera_recording(*, camera: Camera, by: Any) -> CameraRecording:
    """Stop what one camera records; ``Conflict`` when it records nothing."""
    recording = camera.recordings.filter(state=RecordingState.RECORDING).select_related("session__project").first()
    require(by, "change", recording.session if recording else camera)
    return _stop(camera.recordings, f"The camera {camera.name} is not recording.")[0]


def _start(*, session: Session, cameras: Iterable[Camera], by: Any) -> list[CameraRecording]:
    require(by, "change", session)
    if session.end is not None:
        raise Conflict("This session has ended; start a new one to record.")
    cameras = list(cameras)
    require_room()
    now = timezone.now()
    started = []
    with one_write():
        # Two people who press the button at once: the second waits here and is told.
        list(
            Camera.objects.select_for_update(of=("self",))
            .filter(pk__in=[camera.pk for camera in cameras])
            .order_by("pk")
        )
        busy = CameraRecording.objects.filter(camera__in=cameras, state=RecordingState.RECORDING).select_related(
            "camera"
        )
        if names := ", ".join(recording.camera.name for recording in busy):
            raise Conflict(f"Already recording: {names}.")
        for camera in cameras:
            earlier = CameraRecording.objects.filter(session=session, camera=camera).count()
            folder = f"video/{timezone.localtime(session.start):%Y-%m-%d}/{session.pk}/{camera.slug}"
            recording = open_recording(
                by=by,
                session=session,
                kind="video",
                format=FORMAT,
                name=camera.name,
                start=now,
                simulated=camera.simulated or session.simulated,
                facts={"camera": camera.slug},
            )
            started.append(
                CameraRecording.objects.create(
                    camera=camera,
                    session=session,
                    recording=recording,
                    folder=f"{folder}-{earlier + 1}" if earlier else folder,
                    started_by=by if getattr(by, "pk", None) else None,
                )
            )
        tell(session.pk, {"type": "cameras", "recording": True})
        transaction.on_commit(wake_ingest)
    return started


def _stop(recordings: Any, nothing: str) -> list[CameraRecording]:
    with one_write():
        running = list(recordings.select_for_update(of=("self",)).filter(state=RecordingState.RECORDING))
        if not running:
            raise Conflict(nothing)
        now = timezone.now()
        for recording in running:
            recording.state = RecordingState.STOPPING
            recording.stopped = max(now, recording.started)
            recording.save(update_fields=["state", "stopped"])
        tell(running[0].session_id, {"type": "cameras", "recording": False})
        transaction.on_commit(wake_ingest)
    return running
