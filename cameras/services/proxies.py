"""The browser-playable copy of a recording: asked for, made by a worker, kept beside the original."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils import timezone

from cameras.models import CameraRecording, ProxyState, RecordingState
from sessions.data_roots import find
from sessions.live import tell
from sessions.models import DataFile
from sessions.permissions import LABORATORY
from sessions.services import complete_recording, register_file_revision
from sessions.services.transaction import one_write
from sessions.waking import wake_worker

PROXY, POSTER = "proxy.mp4", "poster.jpg"
# A proxy that was asked for so long ago and is not there is asked for again.
PATIENCE = timedelta(minutes=10)


def send_proxy(recording_id: UUID) -> None:
    """Ask a worker for the proxy; without a broker the sweep asks later."""
    from cameras.tasks import make_proxy

    wake_worker(make_proxy, recording_id, "the proxy of")


def queue_proxy(*, recording: CameraRecording) -> None:
    """Note that a proxy was asked for, and ask."""
    CameraRecording.objects.filter(pk=recording.pk).update(
        proxy=ProxyState.QUEUED, proxy_since=timezone.now(), proxy_message=""
    )
    send_proxy(recording.pk)


def without_proxy() -> QuerySet[CameraRecording]:
    """Return finished recordings whose proxy was never asked for, or long ago."""
    forgotten = Q(proxy=ProxyState.NONE) | Q(proxy=ProxyState.QUEUED, proxy_since__lt=timezone.now() - PATIENCE)
    return CameraRecording.objects.filter(forgotten, state=RecordingState.FINISHED)


def keep_proxy(*, recording: CameraRecording) -> None:
    """Register the proxy and poster that lie in the recording's folder; does nothing for those that are registered."""
    with one_write():
        row = CameraRecording.objects.select_for_update(of=("self",)).select_related("recording").get(pk=recording.pk)
        known = {file.path: file for file in DataFile.objects.filter(recording=row.recording).order_by("revision")}
        new = []
        for name, role in ((PROXY, "proxy"), (POSTER, "poster")):
            path = f"{row.folder}/{name}"
            if path not in known:
                new.append({"root": "default", "path": path, "role": role})
            elif find(known[path].root, path).modified != known[path].modified:
                register_file_revision(by=LABORATORY, file=known[path])
        if new:
            complete_recording(by=LABORATORY, recording=row.recording, files=new)
        CameraRecording.objects.filter(pk=row.pk).update(
            proxy=ProxyState.READY, proxy_since=timezone.now(), proxy_message=""
        )
        tell(row.session_id, {"type": "recordings"})


def proxy_failed(*, recording: CameraRecording, message: str) -> None:
    """Say why there is no proxy."""
    CameraRecording.objects.filter(pk=recording.pk).update(
        proxy=ProxyState.FAILED, proxy_since=timezone.now(), proxy_message=message[:500]
    )
