"""Projects and who may do what in them."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from sessions.models.base import Named, audited


@audited
class Project(Named):
    """A study; it owns animals and sessions, and its members see them."""

    description = models.TextField(blank=True)
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, through="Membership", related_name="projects")
    created = models.DateTimeField(db_default=Now(), editable=False)

    class Meta(Named.Meta):
        abstract = False

    @property
    def project(self) -> Project:
        """Itself, so that one permission rule serves everything that belongs to a project."""
        return self


class Role(models.TextChoices):
    """What a member may do in a project; each role includes the ones before it."""

    VIEWER = "viewer", "viewer (reads)"
    EXPERIMENTER = "experimenter", "experimenter (adds and changes)"
    MANAGER = "manager", "manager (also deletes, and gives roles)"


@audited
class Membership(models.Model):
    """A person's role in a project."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=Role.choices, default=Role.VIEWER)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["project", "user"],
                name="membership_once",
                violation_error_message="This person already has a role in this project.",
            ),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="membership_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user} is {self.role} of {self.project}"
