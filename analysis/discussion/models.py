"""Comments on results, and marks that a result is for a paper."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.core.validators import MaxLengthValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from analysis.jobs.models import Result
from sessions.models import Project, audited

# Of a comment.
MOST_LETTERS = 10_000


@audited
class ResultComment(models.Model):
    """What somebody said of a result. One that was withdrawn is kept and not shown."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    result = models.ForeignKey(Result, on_delete=models.CASCADE, related_name="comments")
    text = models.TextField(max_length=MOST_LETTERS, validators=[MaxLengthValidator(MOST_LETTERS)])
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created = models.DateTimeField(db_default=Now(), editable=False)
    changed = models.DateTimeField(null=True, blank=True)
    withdrawn = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["created", "id"]
        constraints: ClassVar = [models.CheckConstraint(condition=~Q(text=""), name="result_comment_says_something")]

    def __str__(self) -> str:
        return f"comment on {self.result}"

    @property
    def project(self) -> Project:
        """The result's project."""
        return self.result.project


@audited
class PaperMark(models.Model):
    """That a result is for a paper, and which of its figures."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    result = models.ForeignKey(Result, on_delete=models.CASCADE, related_name="paper_marks")
    paper = models.CharField(max_length=120, help_text="What the paper is called in the laboratory.")
    figure = models.CharField(max_length=60, blank=True, help_text="Its figure or table there, such as 2b.")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    created = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering: ClassVar = ["paper", "figure", "created", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["result", "paper", "figure"], name="paper_mark_once"),
            models.CheckConstraint(condition=~Q(paper=""), name="paper_mark_names_a_paper"),
        ]

    def __str__(self) -> str:
        return f"{self.paper}, {self.figure}" if self.figure else self.paper

    @property
    def project(self) -> Project:
        """The result's project."""
        return self.result.project
