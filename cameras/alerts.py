"""Watches cameras, the disk and registered files, and tells who should look after them: once, not every second.

``supervise`` does both. What is wrong must be so for ``RAISE_AFTER`` before it is an alert, and be over for
``RESOLVE_AFTER`` before it is resolved; a camera that comes and goes is one alert and not a hundred.
"""

from __future__ import annotations

import json
import logging
import time
import urllib.request
from datetime import datetime, timedelta
from uuid import UUID

import redis
from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from cameras import selectors, services
from cameras.disk import GB, free_bytes
from cameras.models import LABORATORY_ALERTS, AlertKind, Camera, CameraAlert
from sessions import losses

log = logging.getLogger(__name__)

RAISE_AFTER = 2.0
RESOLVE_AFTER = 5.0
# The disk is well again only when it has this much more room than what raises an alert.
MARGIN = 1.05
# What could not be told for so long is not told any more: it is on the pages.
TOLD_WITHIN = timedelta(hours=6)
ANSWER_SECONDS = 5.0
# Files are looked at by the hour: counting them every second would tell nothing sooner.
FILES_EVERY = 10.0
TOLD_AT_ONCE = 20

Key = tuple[str, UUID | None]


class Watch:
    """One look at all cameras and the disk, each time it is called (every second)."""

    def __init__(self) -> None:
        self._since: dict[Key, float] = {}
        self._well_since: dict[Key, float] = {}
        self._files: dict[Key, str] = {}
        self._files_at = -FILES_EVERY

    def __call__(self, now: float | None = None) -> None:
        """Raise what has been wrong for long enough, resolve what has been over for long enough."""
        now = time.monotonic() if now is None else now
        opened: set[Key] = set(CameraAlert.objects.filter(resolved__isnull=True).values_list("kind", "camera_id"))
        wrong = self._disk((AlertKind.DISK.value, None) in opened)
        if not 0 <= now - self._files_at < FILES_EVERY:
            self._files, self._files_at = lost_files(), now
        wrong |= self._files
        try:
            wrong |= self._cameras()
            looked_at = opened
        except redis.RedisError as error:
            # Nothing is known of the cameras: that is no reason to raise or to resolve.
            log.warning("The cameras' states cannot be read: %s", error)
            looked_at = {key for key in opened if key[0] in LABORATORY_ALERTS}
        self._since = {key: self._since.get(key, now) for key in wrong}
        well = looked_at - wrong.keys()
        self._well_since = {key: self._well_since.get(key, now) for key in well}
        raised = {
            key: text for key, text in wrong.items() if key not in opened and now - self._since[key] >= RAISE_AFTER
        }
        resolved = {key for key in well if now - self._well_since[key] >= RESOLVE_AFTER}
        if raised or resolved:
            services.note_alerts(raise_=raised, resolve=resolved)
            for text in raised.values():
                log.warning("alert: %s", text)

    @staticmethod
    def _disk(is_low: bool) -> dict[Key, str]:
        free = free_bytes()
        if free >= settings.LAB_DISK_ALARM * (MARGIN if is_low else 1):
            return {}
        text = f"{free / GB:.1f} GB are free, less than {settings.LAB_DISK_ALARM / GB:.1f} GB; nothing is deleted"
        return {(AlertKind.DISK.value, None): text}

    @staticmethod
    def _cameras() -> dict[Key, str]:
        # A camera that never sent anything waits for its box to be set up.
        cameras = list(Camera.objects.filter(enabled=True, health__last_seen__isnull=False))
        states = selectors.said_states(camera.slug for camera in cameras)
        wrong: dict[Key, str] = {}
        for camera in cameras:
            state = states[camera.slug]
            if state["unstored"]:
                wrong[AlertKind.UNSTORED.value, camera.pk] = state["unstored"]
            if not state["online"]:
                wrong[AlertKind.OFFLINE.value, camera.pk] = state["reason"]
            elif not state["live"]:
                wrong[AlertKind.FROZEN.value, camera.pk] = state["reason"]
            elif state["dark"]:
                wrong[AlertKind.DARK.value, camera.pk] = "dark: no light reaches the camera"
        return wrong


def lost_files() -> dict[Key, str]:
    """Return what is wrong with registered files, by numbers alone: everybody reads alerts, but not every project."""
    wrong: dict[Key, str] = {}
    if lost := losses.lost_files().count():
        wrong[AlertKind.FILES.value, None] = f"{lost} cannot be had from any of their places"
    if at_risk := losses.files_at_risk().count():
        wrong[AlertKind.COPIES.value, None] = f"{at_risk} have lost a place, and can still be had from another"
    return wrong


def tell_alerts() -> int:
    """Tell the webhook and the e-mail addresses of the settings what was raised and resolved; returns how many times.

    What could not be delivered is tried again at the next call; each is told once to each.
    """
    ways = {"webhook": (_post, settings.LAB_ALERT_WEBHOOK), "email": (_mail, settings.LAB_ALERT_EMAIL)}
    wanted = {name: send for name, (send, target) in ways.items() if target}
    if not wanted:
        return 0
    since = timezone.now() - TOLD_WITHIN
    recent = CameraAlert.objects.filter(Q(raised__gte=since) | Q(resolved__gte=since)).order_by("raised")
    count = 0
    for pk, told, resolved in list(recent.values_list("pk", "told", "resolved")):
        missing = [
            (name, state)
            for state in ("raised", "resolved")[: 2 if resolved else 1]
            for name in wanted
            if f"{name} {state}" not in told
        ]
        for name, state in missing[:TOLD_AT_ONCE]:
            with transaction.atomic():
                # Another supervisor that tells the same alert is left to it.
                alert = (
                    CameraAlert.objects.select_for_update(of=("self",), skip_locked=True)
                    .select_related("camera__rig")
                    .filter(pk=pk)
                    .first()
                )
                if alert is None or f"{name} {state}" in alert.told:
                    continue
                try:
                    wanted[name](alert, state)
                except (OSError, ValueError) as error:
                    log.warning("The alert %s could not be told by %s: %s", alert, name, error)
                    return count
                alert.told = [*alert.told, f"{name} {state}"]
                alert.save(update_fields=["told"])
                count += 1
    return count


def _text(alert: CameraAlert, state: str) -> str:
    if state == "raised":
        return f"{alert.place}: {alert.message} (since {_local(alert.raised)})"
    return f"{alert.place}: over, {alert.get_kind_display()} from {_local(alert.raised)} to {_local(alert.resolved)}"


def _local(moment: datetime | None) -> str:
    return "" if moment is None else f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S}"


def _post(alert: CameraAlert, state: str) -> None:
    body = {
        "id": str(alert.pk),
        "state": state,
        "kind": alert.kind,
        "camera": alert.camera.slug if alert.camera else None,
        "rig": alert.camera.rig.name if alert.camera else None,
        "message": alert.message,
        "raised": alert.raised.isoformat(),
        "resolved": alert.resolved.isoformat() if alert.resolved else None,
        "text": _text(alert, state),
    }
    url = settings.LAB_ALERT_WEBHOOK
    if not url.startswith(("http://", "https://")):
        raise ValueError("LAB_ALERT_WEBHOOK must begin with http:// or https://")
    headers = {"Content-Type": "application/json", "Idempotency-Key": f"{alert.pk} {state}"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - its scheme was looked at
    with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as reply:  # noqa: S310
        reply.read(1)


def _mail(alert: CameraAlert, state: str) -> None:
    word = "" if state == "raised" else "over: "
    subject = f"Labsite: {word}{alert.place} {alert.get_kind_display()}"
    send_mail(subject, _text(alert, state), None, settings.LAB_ALERT_EMAIL)
