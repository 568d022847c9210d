"""Spreadsheets that were sent, looked at line by line before anything is written, and then written or not."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class SheetState(models.TextChoices):
    """How far an import is."""

    CHECKING = "checking", "being checked"
    CHECKED = "checked", "checked"
    IMPORTING = "importing", "being imported"
    IMPORTED = "imported", "imported"
    REFUSED = "refused", "refused"


class SheetImport(models.Model):
    """A spreadsheet that somebody sent, and how far it is."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=20, help_text="What its lines are: animals, sessions ...")
    file_name = models.CharField(max_length=200)
    content = models.BinaryField()
    state = models.CharField(max_length=10, choices=SheetState.choices, default=SheetState.CHECKING)
    message = models.TextField(blank=True, help_text="Why it was refused, or has to be looked at again.")
    counts = models.JSONField(default=dict, help_text="How many lines are new, changed, same and wrong.")
    lines = models.PositiveIntegerField(default=0)
    created = models.DateTimeField(db_default=Now(), editable=False)
    changed = models.DateTimeField(db_default=Now(), editable=False, help_text="When its state last changed.")

    class Meta:
        ordering: ClassVar = ["-created"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=SheetState.values), name="sheet_import_state_known"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["user", "-created"]),
            models.Index(
                fields=["changed"], condition=Q(state__in=["checking", "importing"]), name="sheet_import_under_way"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.file_name} ({self.kind})"

    @property
    def under_way(self) -> bool:
        """Whether a worker has it or will have it."""
        return self.state in {SheetState.CHECKING, SheetState.IMPORTING}


class SheetLine(models.Model):
    """What becomes, or became, of a line of an import."""

    sheet = models.ForeignKey(SheetImport, on_delete=models.CASCADE, related_name="verdicts")
    line = models.PositiveIntegerField(help_text="As the spreadsheet counts, from 1.")
    verdict = models.CharField(max_length=10)
    about = models.CharField(max_length=300, blank=True)
    details = models.JSONField(default=list)

    class Meta:
        ordering: ClassVar = ["line"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["sheet", "line"], name="sheet_line_once")]

    def __str__(self) -> str:
        return f"line {self.line}: {self.verdict}"
