"""The app's tables: those of jobs and chains live with them; here is what is drawn on a frame of a video."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from analysis.chains.models import Chain, ChainSource, ChainStep
from analysis.clockfits.models import ClockFit
from analysis.commands.models import Command
from analysis.discussion.models import PaperMark, ResultComment
from analysis.jobs.models import Artifact, Job, JobInput, Result, Worker
from analysis.labels.models import UnitLabels
from analysis.sharing.models import ShareLink
from sessions.models import Project, Recording, audited

__all__ = [
    "Artifact",
    "Chain",
    "ChainSource",
    "ChainStep",
    "ClockFit",
    "Command",
    "FrameDrawing",
    "Job",
    "JobInput",
    "PaperMark",
    "Result",
    "ResultComment",
    "ShareLink",
    "UnitLabels",
    "Worker",
]


@audited
class FrameDrawing(models.Model):
    """Arenas and calibration of a video, drawn on a frame; ``analysis.pipelines.video_arenas`` says what they hold."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    recording = models.OneToOneField(Recording, on_delete=models.CASCADE, related_name="drawing")
    width = models.PositiveIntegerField(help_text="Of the frame, px.")
    height = models.PositiveIntegerField(help_text="Of the frame, px.")
    arenas = models.JSONField(default=list, blank=True)
    calibration = models.JSONField(null=True, blank=True)
    changed = models.DateTimeField(db_default=Now())
    changed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering: ClassVar = ["-changed"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(width__gt=0, height__gt=0), name="frame_drawing_has_a_frame"),
        ]

    def __str__(self) -> str:
        return f"drawing on {self.recording}"

    @property
    def project(self) -> Project:
        """The recording's project."""
        return self.recording.session.project
