"""Jobs, results and chains in the admin: to look at; they change only by what the services do."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from analysis.chains.models import Chain, ChainStep
from analysis.clockfits.models import ClockFit
from analysis.commands.admin import CommandAdmin
from analysis.discussion.models import PaperMark, ResultComment
from analysis.jobs.models import Artifact, Job, JobInput, Result, Worker
from analysis.labels.models import UnitLabels
from analysis.sharing.admin import ShareLinkAdmin
from sessions.admin import AdministratorsAdmin, LabAdmin, OwnedInline

__all__ = [
    "ChainAdmin", "CommandAdmin", "JobAdmin", "PaperMarkAdmin", "ResultAdmin", "ResultCommentAdmin", "ShareLinkAdmin",
    "WorkerAdmin",
]  # fmt: skip


class ReadOnly:
    """Rows that nobody writes by hand."""

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:  # noqa: ARG002
        """Nothing is added here."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nothing is changed here."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nothing is deleted here: a result is the record of a computation."""
        return False


class JobInputInline(ReadOnly, OwnedInline):
    model = JobInput
    tab = False


class ArtifactInline(ReadOnly, OwnedInline):
    model = Artifact
    tab = False


@admin.register(Job)
class JobAdmin(ReadOnly, LabAdmin):
    list_display = ("pipeline", "project", "state", "attempt", "worker", "user", "created", "finished")
    list_filter = ("state", "pipeline", "project")
    search_fields = ("pipeline", "worker", "error")
    date_hierarchy = "created"
    inlines: ClassVar = [JobInputInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        """Leave the long texts out of the list."""
        return super().get_queryset(request).select_related("project", "user")


@admin.register(Result)
class ResultAdmin(ReadOnly, LabAdmin):
    project_path = "job__project"
    list_display = ("job", "summary", "created")
    list_select_related = ("job",)
    search_fields = ("job__pipeline", "summary")
    inlines: ClassVar = [ArtifactInline]


class ChainStepInline(ReadOnly, OwnedInline):
    model = ChainStep
    tab = False


@admin.register(Chain)
class ChainAdmin(ReadOnly, LabAdmin):
    project_path = "session__project"
    list_display = ("title", "session", "state", "user", "created", "finished")
    list_filter = ("state", "definition")
    list_select_related = ("session", "user")
    search_fields = ("title", "session__title")
    date_hierarchy = "created"
    inlines: ClassVar = [ChainStepInline]


@admin.register(ResultComment)
class ResultCommentAdmin(ReadOnly, LabAdmin):
    project_path = "result__job__project"
    list_display = ("result", "person", "created", "changed", "withdrawn", "text")
    list_select_related = ("result__job", "person")
    search_fields = ("text",)
    date_hierarchy = "created"


@admin.register(PaperMark)
class PaperMarkAdmin(ReadOnly, LabAdmin):
    project_path = "result__job__project"
    list_display = ("paper", "figure", "result", "person", "created")
    list_filter = ("paper",)
    list_select_related = ("result__job", "person")
    search_fields = ("paper", "figure")


@admin.register(UnitLabels)
class UnitLabelsAdmin(ReadOnly, LabAdmin):
    project_path = "recording__session__project"
    list_display = ("recording", "revision", "user", "created")
    list_select_related = ("recording", "user")
    date_hierarchy = "created"


@admin.register(ClockFit)
class ClockFitAdmin(ReadOnly, LabAdmin):
    project_path = "recording__session__project"
    list_display = ("recording", "revision", "reference", "offset", "drift", "user", "created")
    list_select_related = ("recording", "reference", "user")
    date_hierarchy = "created"


@admin.register(Worker)
class WorkerAdmin(ReadOnly, AdministratorsAdmin):
    readonly_fields = ()
    list_display = ("name", "queues", "slots", "packages", "started", "seen", "stopped")
