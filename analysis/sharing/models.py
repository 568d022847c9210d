"""Links that show a result to whoever has them."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from analysis.jobs.models import Result
from sessions.models import Project, audited


@audited
class ShareLink(models.Model):
    """A link to a result, of whose key the database holds only a hash."""

    # Every opening changes these, and none is a change that somebody made.
    UNAUDITED: ClassVar = ("uses", "last_used")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    result = models.ForeignKey(Result, on_delete=models.CASCADE, related_name="links")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    note = models.CharField(max_length=100, blank=True, help_text="For whom it is.")
    created = models.DateTimeField(db_default=Now(), editable=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    expires = models.DateTimeField(null=True, blank=True, help_text="Empty: it does not expire.")
    revoked = models.DateTimeField(null=True, blank=True)
    revoked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    uses = models.PositiveIntegerField(default=0, help_text="How often the page was opened.")
    last_used = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(digest__regex=r"^[0-9a-f]{64}$"), name="share_link_digest_is_sha256"),
            models.CheckConstraint(
                condition=Q(expires__isnull=True) | Q(expires__gt=F("created")), name="share_link_expires_later"
            ),
        ]

    def __str__(self) -> str:
        return f"link to {self.result}"

    @property
    def project(self) -> Project:
        """The result's project."""
        return self.result.project
