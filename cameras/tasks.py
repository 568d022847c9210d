"""What workers do for cameras."""

from __future__ import annotations

from pathlib import Path

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from cameras import services
from cameras.alerts import Watch, tell_alerts
from cameras.models import CameraRecording, ProxyState
from cameras.services.proxies import POSTER, PROXY, without_proxy

__all__ = ["make_proxy", "sweep_proxies", "tell_alerts", "watch_cameras"]

SWEPT_AT_ONCE = 20

watch_cameras = Watch()


@shared_task(name="cameras.make_proxy")
def make_proxy(recording_id: str) -> None:
    """Make the browser-playable copy of a recording; made twice it is the same."""
    from cameras import proxy

    recording = CameraRecording.objects.filter(pk=recording_id, proxy=ProxyState.QUEUED).first()
    if recording is None:
        return

    def alive() -> None:
        CameraRecording.objects.filter(pk=recording.pk, proxy=ProxyState.QUEUED).update(proxy_since=timezone.now())

    folder = Path(settings.LAB_DATA_ROOT) / recording.folder
    try:
        proxy.make_proxy(folder, folder / PROXY, folder / POSTER, alive=alive)
    except proxy.ProxyError as error:
        services.proxy_failed(recording=recording, message=str(error))
        return
    services.keep_proxy(recording=recording)


def sweep_proxies() -> int:
    """Ask again for proxies that nobody made; returns for how many."""
    forgotten = list(without_proxy()[:SWEPT_AT_ONCE])
    for recording in forgotten:
        services.queue_proxy(recording=recording)
    return len(forgotten)
