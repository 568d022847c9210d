"""Copies of data files: further places, under any data root, that hold the same content."""

from __future__ import annotations

import uuid
from typing import ClassVar

import pghistory
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from sessions.models.projects import Project
from sessions.models.recordings import DataFile, DataRoot


class CopyState(models.TextChoices):
    """What was found of a copy when it was last looked at, or what is being done for it."""

    PRESENT = "present", "there"
    MISSING = "missing", "missing"
    CHANGED = "changed", "changed"
    DAMAGED = "damaged", "damaged"
    COPYING = "copying", "being copied"
    COMPARING = "comparing", "being compared"
    FAILED = "failed", "not copied"


# The copy was there once and cannot be had now.
LOST_COPIES = (CopyState.MISSING, CopyState.CHANGED, CopyState.DAMAGED)
COPIES_UNDER_WAY = (CopyState.COPYING, CopyState.COMPARING)


# Each look at a copy is written to it: only what the look found is a change that the history has to keep.
@pghistory.track(
    pghistory.InsertEvent(),
    pghistory.UpdateEvent(condition=pghistory.AnyChange("state", "problem")),
    pghistory.DeleteEvent(),
    model_name="FileCopyHistory",
    obj_field=pghistory.ObjForeignKey(related_name="history", related_query_name="history"),
)
class FileCopy(models.Model):
    """Another place that holds the content of a data file; the file's own place is the file's ``root`` and ``path``."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    file = models.ForeignKey(DataFile, on_delete=models.CASCADE, related_name="copies")
    root = models.ForeignKey(DataRoot, on_delete=models.PROTECT, related_name="copies")
    path = models.CharField(max_length=1000, help_text="Relative to the data root, with forward slashes.")
    modified = models.DateTimeField(help_text="Modification time of the copy when it was found to be the same.")
    state = models.CharField(max_length=10, choices=CopyState.choices, default=CopyState.PRESENT)
    problem = models.CharField(max_length=1200, blank=True, help_text="What is wrong, in one sentence.")
    looked = models.DateTimeField(db_default=Now(), help_text="When its size and time were last compared.")
    read = models.DateTimeField(db_default=Now(), help_text="When its content was last compared with the SHA-256.")
    created = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering: ClassVar = ["created", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["root", "path"],
                name="file_copy_place_once",
                violation_error_message="A copy is already registered at this place.",
            ),
            models.CheckConstraint(condition=Q(state__in=CopyState.values), name="file_copy_state_known"),
            models.CheckConstraint(
                condition=~Q(path="") & ~Q(path__startswith="/") & ~Q(path__regex=r"(^|/)\.\.(/|$)"),
                name="file_copy_path_below_root",
                violation_error_message="A copy's path is relative to its data root and stays below it.",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["looked"], name="file_copy_to_look_at"),
            models.Index(fields=["read"], condition=Q(state="present"), name="file_copy_to_read"),
            models.Index(fields=["file"], condition=~Q(state="present"), name="file_copy_not_present"),
        ]

    def __str__(self) -> str:
        return f"{self.root.name}:{self.path}"

    @property
    def project(self) -> Project:
        """The project of the file's session."""
        return self.file.project
