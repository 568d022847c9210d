"""What workers do for cameras."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from uuid import UUID

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from cameras import services
from cameras.alerts import Watch, tell_alerts
from cameras.models import CameraRecording, CutState, ProxyState, RingCut
from cameras.services.proxies import POSTER, PROXY, without_proxy
from cameras.services.ring import send_cut

__all__ = ["make_cut", "make_proxy", "sweep_proxies", "sweep_ring", "tell_alerts", "watch_cameras"]

SWEPT_AT_ONCE = 20
# A piece of the ring that was ordered so long ago and is not there is asked for again.
CUT_PATIENCE = timedelta(minutes=1)

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


@shared_task(name="cameras.make_cut")
def make_cut(cut_id: str) -> None:
    """Make a recording of a piece of the ring."""
    services.carry_out_cut(cut_id=UUID(cut_id))


def sweep_ring() -> int:
    """Ask again for pieces that nobody copied, and throw away what was kept long enough; returns how many pieces."""
    forgotten = RingCut.objects.filter(state=CutState.QUEUED, created__lt=timezone.now() - CUT_PATIENCE)
    for cut_id in forgotten.values_list("pk", flat=True)[:SWEPT_AT_ONCE]:
        send_cut(cut_id)
    return services.prune_ring()


def sweep_proxies() -> int:
    """Ask again for proxies that nobody made; returns for how many."""
    forgotten = list(without_proxy()[:SWEPT_AT_ONCE])
    for recording in forgotten:
        services.queue_proxy(recording=recording)
    return len(forgotten)
