"""Data entry of projects, animals, rigs, sessions, recordings, and of people."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from sessions.admin.base import AdministratorsAdmin, AuditedAdmin, ForAdministrators, LabAdmin, OwnedInline, SharedAdmin
from sessions.admin.care import RoundActions, WithCare
from sessions.live import session_moved
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
from sessions.permissions import RANK, can, rank_in

User = get_user_model()
admin.site.unregister(User)
admin.site.unregister(Group)


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
class AnimalAdmin(RoundActions, WithCare, AuditedAdmin):
    chosen_as = "animal"
    list_display = ("identifier", "species", "strain", "sex", "birth_date", "cage", "status", "project", "responsible")
    list_filter = ("status", "sex", "species", "project")
    list_select_related = ("species", "strain", "project", "responsible")
    search_fields = ("identifier", "cage", "genotype", "notes")
    autocomplete_fields = ("project", "species", "strain", "responsible", "litter")
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


class SessionAnimalInline(OwnedInline):
    """The animals of a session."""

    model = SessionAnimal
    autocomplete_fields = ("animal",)


@admin.register(Session)
class SessionAdmin(AuditedAdmin):
    list_display = ("__str__", "project", "rig", "task", "start", "end", "number", "quality", "simulated")
    list_filter = ("project", "rig", "task", "quality", "simulated")
    list_select_related = ("project", "rig", "task")
    search_fields = ("title", "narrative", "animals__identifier", "task__name", "rig__name")
    autocomplete_fields = ("project", "rig", "task", "people")
    date_hierarchy = "start"
    inlines = (SessionAnimalInline,)

    def save_model(self, request: HttpRequest, obj: Session, form: Any, change: bool) -> None:
        """Let what was made of a session follow it to another project."""
        super().save_model(request, obj, form, change)
        if change and "project" in form.changed_data:
            session_moved.send(Session, session=obj)


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
    project_path = "in_project"
    list_display = ("kind", "name", "format", "session", "rate", "channels", "duration", "quality", "created")
    list_filter = ("kind", "format", "quality", "simulated", "in_project")
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
    project_path = "in_project"
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
class LabUserAdmin(ForAdministrators, UserAdmin, ModelAdmin):
    """People. Who writes something down finds them by their names."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "first_name", "last_name", "email", "is_active", "is_staff", "is_superuser")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Leave the pages of people to administrators; experimenters look them up in their forms."""
        match = request.resolver_match
        looked_up = match is not None and match.url_name == "autocomplete"
        return self._administers(request, obj) or (looked_up and rank_in(request.user, None) >= RANK["experimenter"])


@admin.register(Group)
class LabGroupAdmin(ForAdministrators, GroupAdmin, ModelAdmin):
    """Groups of Django's own permissions; the catalog follows the roles in projects."""
