"""Alerts are raised and resolved."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from django.utils import timezone

from cameras.models import CameraAlert
from sessions.services.transaction import one_write


def note_alerts(*, raise_: Mapping[tuple[str, UUID | None], str], resolve: set[tuple[str, UUID | None]]) -> int:
    """Raise and resolve alerts by (kind, camera); returns how many rows were made or changed.

    What is open already is not raised again, whoever saw it first.
    """
    new = [CameraAlert(kind=kind, camera_id=camera, message=text[:500]) for (kind, camera), text in raise_.items()]
    with one_write():
        over = [
            alert.pk
            for alert in CameraAlert.objects.select_for_update().filter(resolved__isnull=True)
            if (alert.kind, alert.camera_id) in resolve
        ]
        # The database's clock made ``raised``; this one may be behind it.
        for alert in CameraAlert.objects.filter(pk__in=over):
            alert.resolved = max(timezone.now(), alert.raised)
            alert.save(update_fields=["resolved"])
        known = set(CameraAlert.objects.filter(resolved__isnull=True).values_list("kind", "camera_id"))
        fresh = [alert for alert in new if (alert.kind, alert.camera_id) not in known]
        CameraAlert.objects.bulk_create(fresh, ignore_conflicts=True)
    return len(over) + len(fresh)
