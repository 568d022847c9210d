"""Data entry in the admin, under the rules of sessions.permissions: staff see and change their projects only."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from sessions import selectors
from sessions.models import (
    Animal,
    ApiToken,
    DataFile,
    DataRoot,
    Event,
    Membership,
    Project,
    Recording,
    Rig,
    Session,
    SessionAnimal,
    Species,
    Strain,
    Task,
)
from sessions.permissions import RANK, can, projects_for, rank_in, visible

User = get_user_model()
admin.site.unregister(User)
admin.site.unregister(Group)


class LabAdmin(ModelAdmin):
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

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Offer only rows of the projects in which the user may change."""
        limited = {
            Project: lambda: projects_for(request.user, "change"),
            Animal: lambda: Animal.objects.filter(project__in=projects_for(request.user, "change")),
            Session: lambda: Session.objects.filter(project__in=projects_for(request.user, "change")),
            Rig: lambda: visible(request.user, Rig.objects.all()),
        }
        if (rows := limited.get(db_field.remote_field.model)) is not None:
            kwargs["queryset"] = rows()
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

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


class AdministratorsAdmin(AuditedAdmin):
    """What only administrators see and change."""

    project_path = None

    def _administers(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return rank_in(request.user, None) >= RANK["administrator"]

    has_view_permission = has_change_permission = has_delete_permission = _administers

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Leave adding to administrators."""
        return self._administers(request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Show it to administrators only."""
        return self._administers(request)


class MembershipInline(TabularInline):
    """Roles in a project; managers give them."""

    model = Membership
    autocomplete_fields = ("user",)
    extra = 0
    tab = True

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let members see who else is one."""
        return obj is None or can(request.user, "view", obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let managers give roles."""
        return obj is not None and can(request.user, "manage", obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let managers add members."""
        return rank_in(request.user, None) >= RANK["administrator"] or self.has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Let managers remove members."""
        return self.has_change_permission(request, obj)


@admin.register(Project)
class ProjectAdmin(AuditedAdmin):
    project_path = "pk"
    list_display = ("name", "description", "created")
    search_fields = ("name", "description")
    inlines = (MembershipInline,)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Administrators start projects."""
        return rank_in(request.user, None) >= RANK["administrator"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Managers change a project and its members."""
        return rank_in(request.user, None if obj is None else obj) >= RANK["manager"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Administrators delete projects."""
        return rank_in(request.user, None) >= RANK["administrator"]


@admin.register(Species)
class SpeciesAdmin(SharedAdmin):
    list_display = ("name", "latin_name")
    search_fields = ("name", "latin_name")


@admin.register(Strain)
class StrainAdmin(SharedAdmin):
    list_display = ("name", "species")
    list_filter = ("species",)
    list_select_related = ("species",)
    search_fields = ("name", "species__name")
    autocomplete_fields = ("species",)


@admin.register(Animal)
class AnimalAdmin(AuditedAdmin):
    list_display = ("identifier", "species", "strain", "sex", "birth_date", "cage", "status", "project", "responsible")
    list_filter = ("status", "sex", "species", "project")
    list_select_related = ("species", "strain", "project", "responsible")
    search_fields = ("identifier", "cage", "genotype", "notes")
    autocomplete_fields = ("project", "species", "strain", "responsible")
    date_hierarchy = "birth_date"


@admin.register(Rig)
class RigAdmin(AuditedAdmin):
    list_display = ("name", "location", "project", "simulated")
    list_filter = ("project", "simulated")
    list_select_related = ("project",)
    search_fields = ("name", "location")
    autocomplete_fields = ("project",)


@admin.register(Task)
class TaskAdmin(SharedAdmin):
    list_display = ("name", "protocol")
    search_fields = ("name", "protocol")


class SessionAnimalInline(TabularInline):
    """The animals of a session."""

    model = SessionAnimal
    autocomplete_fields = ("animal",)
    extra = 0
    tab = True

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Follow the role in the session's project."""
        return obj is None or can(request.user, "view", obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Follow the role in the session's project."""
        return obj is None or can(request.user, "change", obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Follow the role in the session's project."""
        return self.has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Follow the role in the session's project."""
        return self.has_change_permission(request, obj)


@admin.register(Session)
class SessionAdmin(AuditedAdmin):
    list_display = ("__str__", "project", "rig", "task", "start", "end", "number", "quality", "simulated")
    list_filter = ("project", "rig", "task", "quality", "simulated")
    list_select_related = ("project", "rig", "task")
    search_fields = ("title", "narrative", "animals__identifier", "task__name", "rig__name")
    autocomplete_fields = ("project", "rig", "task", "people")
    date_hierarchy = "start"
    inlines = (SessionAnimalInline,)


class DataFileInline(TabularInline):
    """The files of a recording, as they were registered."""

    model = DataFile
    fields = ("root", "path", "role", "revision", "size", "sha256")
    readonly_fields = fields
    extra = 0
    max_num = 0
    can_delete = False
    tab = True

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Follow the role in the recording's project."""
        return obj is None or can(request.user, "view", obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """A file's content and what is known of it never change."""
        return False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Files come by registration, which looks at them."""
        return False


class Registered(AuditedAdmin):
    """What comes by registration, upload or devices: seen and corrected here, not made."""

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Nothing is made here."""
        return False


@admin.register(Recording)
class RecordingAdmin(Registered):
    project_path = "session__project"
    list_display = ("kind", "name", "format", "session", "rate", "channels", "duration", "quality", "created")
    list_filter = ("kind", "format", "quality", "simulated", "session__project")
    list_select_related = ("session",)
    search_fields = ("name", "format", "session__title", "files__path", "session__animals__identifier")
    readonly_fields = (
        "session", "kind", "format", "start", "rate", "channels", "duration", "facts", "simulated", "derived_from",
        "changes",
    )  # fmt: skip
    inlines = (DataFileInline,)
    date_hierarchy = "created"


@admin.register(DataFile)
class DataFileAdmin(Registered):
    project_path = "recording__session__project"
    list_display = ("path", "root", "role", "revision", "size", "sha256", "recording", "created")
    list_filter = ("root", "role")
    list_select_related = ("root", "recording")
    search_fields = ("path", "sha256")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """A file's content and what is known of it never change."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """A file that was registered stays in the catalog."""
        return False


@admin.register(Event)
class EventAdmin(Registered):
    project_path = "session__project"
    list_display = ("time", "kind", "value", "source", "number", "session")
    list_filter = ("kind", "source")
    list_select_related = ("session",)
    search_fields = ("kind", "source")
    autocomplete_fields = ("session",)


@admin.register(DataRoot)
class DataRootAdmin(AdministratorsAdmin):
    list_display = ("name", "path")
    search_fields = ("name", "path")


@admin.register(ApiToken)
class ApiTokenAdmin(LabAdmin):
    """One's own tokens, or for administrators everybody's. Keys are made on the account page."""

    project_path = None
    list_display = ("name", "user", "scope", "created", "expires", "revoked", "last_used")
    list_filter = ("scope",)
    list_select_related = ("user",)
    search_fields = ("name", "user__username")
    readonly_fields = ("user", "name", "scope", "created", "expires", "last_used")
    fields = ("user", "name", "scope", "created", "expires", "last_used", "revoked")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Narrow to one's own unless one administers."""
        queryset = super().get_queryset(request)
        everybody = rank_in(request.user, None) >= RANK["administrator"]
        return queryset if everybody else queryset.filter(user=request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """A key is made where it is shown."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """A token is revoked, not forgotten."""
        return False


@admin.register(User)
class LabUserAdmin(UserAdmin, ModelAdmin):
    """People."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "first_name", "last_name", "email", "is_active", "is_staff", "is_superuser")


@admin.register(Group)
class LabGroupAdmin(GroupAdmin, ModelAdmin):
    """Groups of Django's own permissions; the catalog follows the roles in projects."""
