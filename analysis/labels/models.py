"""Revisions of what people say of a recording's units. A revision is never changed: the next one says otherwise."""

from __future__ import annotations

import uuid
from typing import ClassVar

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from sessions.models import Project, Recording, audited


class UnitLabel(models.TextChoices):
    """As the sorter's own labels are called."""

    GOOD = "good", "good"
    MULTI = "multi-unit", "multi-unit"
    NOISE = "noise", "noise"


@audited
class UnitLabels(models.Model):
    """All labels by hand of a recording's units after one change, who made it, and when."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    recording = models.ForeignKey(Recording, on_delete=models.CASCADE, related_name="unit_labels")
    revision = models.PositiveIntegerField(help_text="1 for the first of the recording.")
    labels = models.JSONField(default=dict, help_text="Name of a unit to good, multi-unit or noise.")
    changed = models.JSONField(default=dict, help_text="Name of a unit to what it was and what it is now.")
    undoes = models.PositiveIntegerField(null=True, blank=True, help_text="The revision that this one takes back.")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering: ClassVar = ["-created", "id"]
        verbose_name_plural = "unit labels"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["recording", "revision"], name="unit_labels_revision_once"),
            models.CheckConstraint(condition=Q(revision__gte=1), name="unit_labels_revision_from_1"),
            models.CheckConstraint(
                condition=Q(undoes__isnull=True) | Q(undoes__lt=models.F("revision")), name="unit_labels_undo_earlier"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["-created", "id"])]
        triggers: ClassVar = [
            pgtrigger.ReadOnly(
                name="unit_labels_stay", fields=["recording", "revision", "labels", "changed", "undoes", "created"]
            )
        ]

    def __str__(self) -> str:
        return f"labels of {self.recording}, revision {self.revision}"

    @property
    def project(self) -> Project:
        """The recording's project."""
        return self.recording.session.project
