"""A registered command: one row for each version, which nothing changes once it is there."""

from __future__ import annotations

import uuid
from typing import ClassVar

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from sessions.models import audited


@audited
class Command(models.Model):
    """One version of a command; ``analysis.commands.declared`` says what a declaration holds."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=48, help_text="It is queued as “command.” and this name.")
    version = models.PositiveIntegerField(help_text="1, and one more with every change.")
    summary = models.CharField(max_length=300, help_text="One sentence for people who choose it.")
    queue = models.CharField(max_length=20, default="cpu")
    declaration = models.JSONField()
    files = models.JSONField(
        default=dict, blank=True, help_text="SHA-256 of the program's own files when it was registered, by path."
    )
    created = models.DateTimeField(db_default=Now(), editable=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    retired = models.DateTimeField(null=True, blank=True, help_text="Since then it cannot be queued or run.")

    class Meta:
        ordering: ClassVar = ["name", "-version"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["name", "version"], name="command_version_once"),
            models.CheckConstraint(condition=Q(name__regex=r"^[a-z0-9][a-z0-9_-]*$"), name="command_name_is_a_word"),
            models.CheckConstraint(condition=Q(version__gt=0), name="command_version_from_1"),
        ]
        triggers: ClassVar = [
            # A result names a version, so what a version is may never become another.
            pgtrigger.ReadOnly(
                name="command_stays_as_it_is", fields=["name", "version", "summary", "queue", "declaration", "files"]
            ),
            pgtrigger.Protect(name="command_is_kept", operation=pgtrigger.Delete),
        ]

    def __str__(self) -> str:
        return f"{self.pipeline} {self.version}"

    @property
    def pipeline(self) -> str:
        """The name under which it is queued."""
        return f"command.{self.name}"
