"""Files on their way to the server."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from sessions.models.recordings import DataRoot, Recording, RecordingKind
from sessions.models.sessions import Session


class Upload(models.Model):
    """A file that comes in pieces; ``offset`` bytes of it are safe on the disk. It ends as a recording's data file."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    session = models.ForeignKey(Session, on_delete=models.PROTECT, related_name="uploads")
    kind = models.CharField(max_length=10, choices=RecordingKind.choices)
    name = models.CharField(max_length=100, blank=True)
    parameters = models.JSONField(default=dict, blank=True)
    root = models.ForeignKey(DataRoot, on_delete=models.PROTECT, related_name="+")
    path = models.CharField(max_length=1000, help_text="Where it will lie, below the data root.")
    metadata = models.TextField(blank=True, help_text="As the client sent it.")
    length = models.PositiveBigIntegerField()
    offset = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True, help_text="What the client says that the whole file has.")
    recording = models.OneToOneField(
        Recording, on_delete=models.SET_NULL, null=True, blank=True, related_name="upload"
    )  # fmt: skip
    finished = models.DateTimeField(null=True, blank=True)
    created = models.DateTimeField(db_default=Now(), editable=False)
    expires = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-created"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(offset__lte=F("length")), name="upload_offset_within_length"),
            models.CheckConstraint(condition=Q(length__gt=0), name="upload_not_empty"),
            models.CheckConstraint(
                condition=Q(sha256="") | Q(sha256__regex=r"^[0-9a-f]{64}$"), name="upload_sha256_is_64_hex_digits"
            ),
            models.UniqueConstraint(
                fields=["root", "path"],
                condition=Q(finished__isnull=True),
                name="upload_place_once",
                violation_error_message="Another upload to this path is under way.",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["user", "-created"]),
            models.Index(fields=["expires"], condition=Q(finished__isnull=True), name="upload_unfinished"),
        ]

    def __str__(self) -> str:
        return f"{self.path} ({self.offset} of {self.length} bytes)"
