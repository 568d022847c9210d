"""What ingest reads from and writes to Postgres; blocking, called in a thread, never in the event loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import close_old_connections, connection
from django.utils import timezone

from cameras import services
from cameras.models import Camera, CameraHealth, CameraRecording, RecordingState
from cameras.ring import RING
from sessions.tokens import digest_of

T = TypeVar("T")


@dataclass(frozen=True)
class CameraFacts:
    """What the socket of a camera needs to know."""

    id: UUID
    slug: str
    name: str
    enabled: bool
    last_sequence: int
    codec: str


@dataclass(frozen=True)
class Order:
    """A recording that is going on or being stopped."""

    id: UUID
    slug: str
    camera_id: UUID
    folder: Path
    state: str
    started: datetime
    stopped: datetime | None
    last_seen: datetime | None


async def in_thread(function: Callable[..., T], *arguments: Any, **named: Any) -> T:
    """Run a function that uses the database in a thread, with a connection that works after Postgres was restarted."""

    def call() -> T:
        close_old_connections()
        try:
            return function(*arguments, **named)
        finally:
            # A connection per thread of the pool would stay open for good.
            connection.close()

    return await sync_to_async(call, thread_sensitive=False)()


def camera_of(slug: str, token: str) -> CameraFacts | None:
    """Return the camera of a slug when the token is its own, else ``None``."""
    camera = Camera.objects.select_related("health").filter(slug=slug, token_digest=digest_of(token)).first()
    if camera is None:
        return None
    health = getattr(camera, "health", None)
    stored = (
        CameraRecording.objects.filter(camera=camera, last_sequence__isnull=False).order_by("-last_sequence").first()
    )
    last = max(health.last_sequence if health else 0, (stored.last_sequence or 0) if stored else 0)
    return CameraFacts(camera.pk, camera.slug, camera.name, camera.enabled, last, camera.codec)


def codec_of(camera_id: UUID, token: str) -> str | None:
    """Return the camera's codec; ``None`` when it is not there, not enabled, or the token no longer its own."""
    cameras = Camera.objects.filter(pk=camera_id, token_digest=digest_of(token), enabled=True)
    return cameras.values_list("codec", flat=True).first()


def orders() -> list[Order]:
    """Return what is being recorded or stopped, everywhere."""
    rows = CameraRecording.objects.filter(state__in=[RecordingState.RECORDING, RecordingState.STOPPING]).select_related(
        "camera__health"
    )
    return [_order(row) for row in rows]


def order_of(recording: str, camera_id: UUID) -> Order | None:
    """Return one recording of a camera, whatever its state; ``None`` when there is none."""
    row = CameraRecording.objects.select_related("camera__health").filter(pk=recording, camera_id=camera_id).first()
    return None if row is None else _order(row)


def _order(row: CameraRecording) -> Order:
    health = getattr(row.camera, "health", None)
    return Order(
        row.pk, row.camera.slug, row.camera_id, Path(settings.LAB_DATA_ROOT) / row.folder, row.state,
        row.started, row.stopped, health.last_seen if health else None,
    )  # fmt: skip


def ring_folders() -> dict[str, Path]:
    """Return by slug where what a camera sends is kept, for the cameras of which it is."""
    slugs = Camera.objects.filter(keep_hours__gt=0, enabled=True).values_list("slug", flat=True)
    return {slug: Path(settings.LAB_DATA_ROOT) / RING / slug for slug in slugs}


def save_health(camera_id: UUID, last_sequence: int, agent: dict[str, Any]) -> None:
    """Keep what is known of a connected camera."""
    CameraHealth.objects.update_or_create(
        camera_id=camera_id,
        defaults={"last_sequence": last_sequence, "last_seen": timezone.now(), "agent": agent},
    )


finish = services.finish_recording
reopen = services.reopen_recording
