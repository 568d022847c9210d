"""Data entry of care, housing, notes and the colony. What is deleted here is set aside, and can be taken back."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from unfold.admin import ModelAdmin

from sessions import selectors, services
from sessions.admin.base import AuditedAdmin, OwnedInline, SharedAdmin
from sessions.errors import Invalid, LabError
from sessions.models import (
    Administration,
    Allele,
    BreedingPair,
    Cage,
    Entry,
    Genotype,
    Housing,
    Implant,
    Litter,
    Note,
    NoteTag,
    Procedure,
    Restriction,
    Tag,
    Weighing,
)
from sessions.permissions import can
from sessions.services.care import agree, carry_along

# Each is in the address of the page, which has to stay short enough for every server.
MOST_CHOSEN = 50


class RoundActions(ModelAdmin):
    """Weighing and watering of what was chosen, on the page that the animal room has for it."""

    actions: tuple[str, ...] = ("weigh", "give_water")
    chosen_as: ClassVar[str]

    @admin.action(description="Weigh them", permissions=["change"])
    def weigh(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:  # noqa: ARG002
        """Go and weigh."""
        return self._go("lab:care-weigh", queryset)

    @admin.action(description="Give water to all", permissions=["change"])
    def give_water(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:  # noqa: ARG002
        """Go and give water."""
        return self._go("lab:care-water", queryset)

    def _go(self, page: str, queryset: QuerySet[Any]) -> HttpResponse:
        chosen = [(self.chosen_as, str(pk)) for pk in queryset.values_list("pk", flat=True)[:MOST_CHOSEN]]
        return redirect(f"{reverse(page)}?{urlencode(chosen)}")


class SetAside(AuditedAdmin):
    """Rows that are set aside rather than deleted, and taken back by an action."""

    actions: ClassVar[tuple[str, ...]] = ("take_back",)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Set one aside."""
        services.delete_entry(by=request.user, entry=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Set many aside."""
        for row in queryset:
            services.delete_entry(by=request.user, entry=row)

    @admin.action(description="Take back what was set aside")
    def take_back(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Take rows back; each that has lost its place to another, or may not be, is told of."""
        taken = 0
        for row in queryset.filter(deleted__isnull=False):
            try:
                services.restore_entry(by=request.user, entry=row)
                taken += 1
            except LabError as error:
                self.message_user(request, f"{row}: {error.detail}", messages.WARNING)
        self.message_user(request, f"{taken} taken back.")


class EntryForm(ModelForm):
    """Refuses, beside its field, what one row alone cannot tell to be wrong."""

    def _post_clean(self) -> None:
        # After Django's own, the row has the values of the fields.
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        try:
            agree(self.instance)
        except Invalid as refusal:
            for field, sentences in refusal.errors.items():
                self.add_error(field if field in self.fields else None, sentences)


class EntryAdmin(SetAside):
    """What is written down about animals."""

    form = EntryForm
    project_path = "animal__project"
    autocomplete_fields: tuple[str, ...] = ("animal", "person")
    list_select_related: tuple[str, ...] = ("animal", "person")
    search_fields: tuple[str, ...] = ("animal__identifier", "notes")

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm, change: bool) -> None:
        """Write it down as done by who does, unless another is named."""
        if not change and obj.person_id is None:
            obj.person = request.user
        super().save_model(request, obj, form, change)
        carry_along(obj)


STANDING = ("deleted", admin.EmptyFieldListFilter)


@admin.register(Weighing)
class WeighingAdmin(EntryAdmin):
    list_display = ("animal", "weight", "time", "person", "deleted")
    list_filter = (STANDING, "animal__project", "time")
    date_hierarchy = "time"


@admin.register(Restriction)
class RestrictionAdmin(EntryAdmin):
    list_display = (
        "animal", "kind", "start", "end", "reference_weight", "expected_percentage", "alarm_percentage", "deleted",
    )  # fmt: skip
    list_filter = (STANDING, "kind", ("end", admin.EmptyFieldListFilter), "animal__project")
    date_hierarchy = "start"


@admin.register(Administration)
class AdministrationAdmin(EntryAdmin):
    list_display = ("animal", "kind", "substance", "amount", "unit", "time", "person", "deleted")
    list_filter = (STANDING, "kind", "animal__project", "time")
    search_fields = ("animal__identifier", "substance", "notes")
    date_hierarchy = "time"


@admin.register(Procedure)
class ProcedureAdmin(EntryAdmin):
    list_display = ("animal", "kind", "start", "end", "person", "outcome", "deleted")
    list_filter = (STANDING, "kind", "animal__project")
    search_fields = ("animal__identifier", "narrative", "outcome", "notes")
    date_hierarchy = "start"


@admin.register(Implant)
class ImplantAdmin(EntryAdmin):
    list_display = ("animal", "device", "region", "hemisphere", "implanted", "removed", "deleted")
    list_filter = (STANDING, "hemisphere", "animal__project")
    search_fields = ("animal__identifier", "device", "region", "notes")
    autocomplete_fields = ("animal", "person", "procedure")


@admin.register(Genotype)
class GenotypeAdmin(EntryAdmin):
    list_display = ("animal", "allele", "zygosity", "tested", "deleted")
    list_filter = (STANDING, "zygosity", "allele", "animal__project")
    list_select_related = ("animal", "allele")
    search_fields = ("animal__identifier", "allele__name")
    autocomplete_fields = ("animal", "person", "allele")


class OfAnimal(OwnedInline):
    """What was written down about an animal, on its page; taken away on a page of its own."""

    form = EntryForm
    can_delete = False
    autocomplete_fields: tuple[str, ...] = ("person",)
    per_page = 20
    exclude = ("notes",)
    show_change_link = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Leave out what was set aside."""
        return super().get_queryset(request).filter(deleted__isnull=True).select_related("person")


class WeighingInline(OfAnimal):
    """Weights."""

    model = Weighing


class RestrictionInline(OfAnimal):
    """Food and water kept short."""

    model = Restriction


class AdministrationInline(OfAnimal):
    """What it was given."""

    model = Administration


class ProcedureInline(OfAnimal):
    """Procedures."""

    model = Procedure


class ImplantInline(OfAnimal):
    """Implants."""

    model = Implant
    fk_name = "animal"
    autocomplete_fields = ("person", "procedure")


class GenotypeInline(OfAnimal):
    """Genotypes."""

    model = Genotype
    autocomplete_fields = ("person", "allele")


class HousingInline(OwnedInline):
    """Where an animal lives and lived; the database writes it from its cage."""

    model = Housing
    fields = readonly_fields = ("cage", "start", "end")
    can_delete = False
    max_num = 0

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody writes it by hand."""
        return False


OF_ANIMAL = (
    WeighingInline, RestrictionInline, AdministrationInline, ProcedureInline, ImplantInline, GenotypeInline,
    HousingInline,
)  # fmt: skip


class WithCare(ModelAdmin):
    """The page of an animal, with what was written down about it."""

    inlines = OF_ANIMAL

    def save_formset(self, request: HttpRequest, form: ModelForm, formset: Any, change: bool) -> None:
        """Write new entries down as done by who does, unless another is named."""
        if issubclass(formset.model, Entry):
            for added in formset.extra_forms:
                if added.instance.person_id is None:
                    added.instance.person = request.user
        super().save_formset(request, form, formset, change)


class LivingInline(HousingInline):
    """Who lives, and lived, in a cage: those of the user's projects."""

    fields = readonly_fields = ("animal", "start", "end")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Narrow to what the user may see."""
        return selectors.housings(request.user)


@admin.register(Cage)
class CageAdmin(RoundActions, SharedAdmin):
    chosen_as = "cage"
    list_display = ("name", "location", "created")
    list_filter = ("location",)
    search_fields = ("name", "location")
    inlines = (LivingInline,)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:  # noqa: ARG002
        """Keep the name of a cage that is there: its animals carry it."""
        return (*self.readonly_fields, "name") if obj is not None else self.readonly_fields


class NoteTagInline(OwnedInline):
    """Tags of a note."""

    model = NoteTag
    autocomplete_fields = ("tag",)


@admin.register(Note)
class NoteAdmin(SetAside):
    """Notes; they are written on the pages, where photos are made small, and corrected here."""

    project_path = None
    list_display = ("__str__", "about", "person", "time", "deleted")
    list_filter = (STANDING, "tags", "time")
    search_fields = ("text", "animal__identifier", "session__title", "tags__name")
    fields = ("text", "time", "about", "person", "changes")
    readonly_fields = ("about", "person", "changes")
    inlines = (NoteTagInline,)
    date_hierarchy = "time"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Note]:
        """Narrow to notes on what the user may see."""
        return selectors.notes(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Leave writing to the pages."""
        return False

    def _may(self, request: HttpRequest, action: Any, obj: Any) -> bool:
        return super()._may(request, action, None) if obj is None else can(request.user, action, obj)


@admin.register(Tag)
class TagAdmin(SharedAdmin):
    list_display = ("name",)
    search_fields = ("name",)


@admin.register(Allele)
class AlleleAdmin(SharedAdmin):
    list_display = ("name", "description")
    search_fields = ("name", "description")


class LitterInline(OwnedInline):
    """Litters of a pair."""

    model = Litter


@admin.register(BreedingPair)
class BreedingPairAdmin(AuditedAdmin):
    list_display = ("name", "female", "male", "start", "end", "project")
    list_filter = ("project", ("end", admin.EmptyFieldListFilter))
    list_select_related = ("female", "male", "project")
    search_fields = ("name", "female__identifier", "male__identifier")
    autocomplete_fields = ("project", "female", "male")
    inlines = (LitterInline,)


@admin.register(Litter)
class LitterAdmin(AuditedAdmin):
    project_path = "pair__project"
    list_display = ("pair", "born", "size", "weaned")
    list_filter = ("pair__project", ("weaned", admin.EmptyFieldListFilter))
    list_select_related = ("pair",)
    search_fields = ("pair__name",)
    autocomplete_fields = ("pair",)
    date_hierarchy = "born"
