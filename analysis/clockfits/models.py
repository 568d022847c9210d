"""Revisions of a recording's clock fit. A revision is never changed: the next one says otherwise, or none."""

from __future__ import annotations

import uuid
from typing import ClassVar

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from sessions.models import Project, Recording, audited


@audited
class ClockFit(models.Model):
    """``reference = time + offset + drift * (time - origin)``: a recording's times on another recording's clock."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    recording = models.ForeignKey(Recording, on_delete=models.CASCADE, related_name="clock_fits")
    revision = models.PositiveIntegerField(help_text="1 for the first of the recording.")
    reference = models.ForeignKey(
        Recording,
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        help_text="The recording on whose clock times are put; empty where the fit was taken back.",
    )
    offset = models.FloatField(null=True, help_text="Added to a time at the origin (s).")
    drift = models.FloatField(null=True, help_text="What the reference gains on this clock (s per s).")
    origin = models.FloatField(null=True, help_text="The time on this clock at which only the offset is added (s).")
    result = models.ForeignKey(
        "Result", on_delete=models.PROTECT, null=True, related_name="clock_fits", help_text="Of sync.align."
    )
    undoes = models.PositiveIntegerField(null=True, blank=True, help_text="The revision that this one takes back.")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering: ClassVar = ["-created", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["recording", "revision"], name="clock_fit_revision_once"),
            models.CheckConstraint(condition=Q(revision__gte=1), name="clock_fit_revision_from_1"),
            models.CheckConstraint(
                condition=Q(undoes__isnull=True) | Q(undoes__lt=models.F("revision")), name="clock_fit_undo_earlier"
            ),
            models.CheckConstraint(
                condition=Q(
                    reference__isnull=True, offset__isnull=True, drift__isnull=True, origin__isnull=True,
                    result__isnull=True,
                )
                | Q(
                    reference__isnull=False, offset__isnull=False, drift__isnull=False, origin__isnull=False,
                    result__isnull=False,
                ),
                name="clock_fit_is_whole_or_none",
            ),
            models.CheckConstraint(
                condition=Q(reference__isnull=True) | ~Q(reference=models.F("recording")),
                name="clock_fit_to_another_recording",
            ),
            models.CheckConstraint(
                condition=Q(drift__isnull=True) | Q(drift__gt=-0.5, drift__lt=0.5), name="clock_fit_drift_small"
            ),
        ]  # fmt: skip
        indexes: ClassVar = [models.Index(fields=["-created", "id"])]
        triggers: ClassVar = [
            pgtrigger.ReadOnly(
                name="clock_fit_stays",
                fields=[
                    "recording",
                    "revision",
                    "reference",
                    "offset",
                    "drift",
                    "origin",
                    "result",
                    "undoes",
                    "created",
                ],
            )
        ]

    def __str__(self) -> str:
        return f"clock of {self.recording}, revision {self.revision}"

    @property
    def ppm(self) -> float | None:
        """The drift in parts per million."""
        return None if self.drift is None else self.drift * 1e6

    @property
    def project(self) -> Project:
        """The recording's project."""
        return self.recording.session.project
