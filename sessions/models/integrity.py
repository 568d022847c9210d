"""Whether registered files are still what they were when they were registered."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from sessions.models.recordings import DataFile


class FileState(models.TextChoices):
    """What the last look at a file found."""

    PRESENT = "present", "there"
    MISSING = "missing", "missing"
    CHANGED = "changed", "changed"
    DAMAGED = "damaged", "damaged"


class FileCheck(models.Model):
    """The last look at a data file. Written by ``supervise`` for every file again and again, so it has no history.

    ``looked`` is when its size and time were compared, ``read`` when its content was compared with its SHA-256.
    """

    file = models.OneToOneField(DataFile, on_delete=models.CASCADE, primary_key=True, related_name="check_of")
    state = models.CharField(max_length=10, choices=FileState.choices)
    since = models.DateTimeField(help_text="When it was first found in this state.")
    looked = models.DateTimeField()
    read = models.DateTimeField(null=True, blank=True)
    problem = models.CharField(max_length=1200, blank=True, help_text="What is wrong, in one sentence.")

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=FileState.values), name="file_check_state_known"),
            models.CheckConstraint(
                condition=Q(state="present", problem="") | ~Q(state="present") & ~Q(problem=""),
                name="file_check_says_what_is_wrong",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["looked"]),
            models.Index(fields=["read"], condition=Q(state="present"), name="file_check_to_read"),
            models.Index(fields=["state"], condition=~Q(state="present"), name="file_check_wrong"),
        ]

    def __str__(self) -> str:
        return f"{self.file_id}: {self.state}"
