"""What all pages of data entry do alike, under the rules of sessions.permissions: staff see their projects only."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from unfold.admin import ModelAdmin, TabularInline

from sessions import selectors
from sessions.models import Animal, BreedingPair, Litter, Procedure, Project, Rig, Session
from sessions.permissions import RANK, can, projects_for, rank_in, visible


class OwnChoices:
    """Mixin of pages and inlines: their forms offer, and take, only what the user may name."""

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer only rows of the projects in which the user may change."""
        mine = projects_for(request.user, "change")
        limited = {
            Project: lambda: mine,
            Animal: lambda: Animal.objects.filter(project__in=mine),
            Session: lambda: Session.objects.filter(project__in=mine),
            Rig: lambda: visible(request.user, Rig.objects.all()),
            Procedure: lambda: Procedure.objects.filter(animal__project__in=mine),
            BreedingPair: lambda: BreedingPair.objects.filter(project__in=mine),
            # Also those of a colony that he has nothing to do with, from which one of his animals came.
            Litter: lambda: Litter.objects.filter(
                Q(pair__project__in=projects_for(request.user)) | Q(animals__project__in=mine)
            ).distinct(),
        }
        if (rows := limited.get(db_field.remote_field.model)) is not None:
            kwargs["queryset"] = rows()
        return super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]


class LabAdmin(OwnChoices, ModelAdmin):
    """Base of all pages of data entry. ``project_path`` is the lookup from a row to its project."""

    project_path: ClassVar[str | None] = "project"
    list_filter_submit = True
    warn_unsaved_form = True
    compressed_fields = True
    list_per_page = 50
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Narrow to what the user may see."""
        queryset = super().get_queryset(request)
        return queryset if self.project_path is None else visible(request.user, queryset, self.project_path)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Show the app to everybody who belongs to a project."""
        return rank_in(request.user, None) > 0

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Follow the role in the row's project."""
        return self._may(request, "view", obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Anybody who may change some project adds; the form offers those projects only."""
        return rank_in(request.user, None) >= RANK["experimenter"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Follow the role in the row's project."""
        return self._may(request, "change", obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Follow the role in the row's project."""
        return self._may(request, "delete", obj)

    def _may(self, request: HttpRequest, action: Any, obj: Any) -> bool:
        needed = {"view": RANK["viewer"], "change": RANK["experimenter"], "delete": RANK["manager"]}[action]
        if obj is None or self.project_path is None:
            return rank_in(request.user, None) >= needed
        return can(request.user, action, obj)

    @admin.display(description="Changes")
    def changes(self, obj: Any) -> str:
        """List the newest changes of a row: when, who, what."""
        if obj is None or obj.pk is None:
            return ""
        rows = (
            (
                f"{change['when']:%Y-%m-%d %H:%M:%S}",
                change["who"] or "by program",
                change["label"],
                "; ".join(f"{d['field']}: {d['before']} → {d['after']}" for d in change["differences"])[:300],
            )
            for change in selectors.history(obj, limit=30)
        )
        return format_html("<ul>{}</ul>", format_html_join("", "<li>{} <b>{}</b> {} {}</li>", rows))


class AuditedAdmin(LabAdmin):
    """A page that ends with the row's changes."""

    readonly_fields: tuple[str, ...] = ("changes",)


class SharedAdmin(AuditedAdmin):
    """What the whole laboratory shares: experimenters add and change it, administrators delete it."""

    project_path = None

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Leave deleting what all use to administrators."""
        return rank_in(request.user, None) >= RANK["administrator"]


class ForAdministrators:
    """Mixin of pages that only administrators see and change."""

    def _administers(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return rank_in(request.user, None) >= RANK["administrator"]

    has_view_permission = has_change_permission = has_delete_permission = _administers

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Leave adding to administrators."""
        return self._administers(request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Show it to administrators only."""
        return self._administers(request)


class AdministratorsAdmin(ForAdministrators, AuditedAdmin):
    """What only administrators see and change."""

    project_path = None


class OwnedInline(OwnChoices, TabularInline):
    """Rows on the page of what they belong to, under its role."""

    extra = 0
    tab = True

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Follow the role in the owner's project."""
        return obj is None or can(request.user, "view", obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Follow the role in the owner's project."""
        return obj is None or can(request.user, "change", obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Follow the role in the owner's project."""
        return self.has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Follow the role in the owner's project."""
        return self.has_change_permission(request, obj)
