"""Care and housing over REST."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from typing import Any, ClassVar

import django_filters as df
from django.db.models import Q, QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from sessions import selectors, services
from sessions.api.base import ReadViewSet
from sessions.api.fields import AwareDateTimeField, ByIdOrName, StrictFields
from sessions.api.filters import NameFilter, TimeFilter
from sessions.api.serializers import LabSerializer, by_username
from sessions.models import (
    Administration,
    AdministrationKind,
    Allele,
    Animal,
    Cage,
    Entry,
    Genotype,
    Housing,
    Implant,
    Procedure,
    ProcedureKind,
    Restriction,
    RestrictionKind,
    Weighing,
)

SET_ASIDE = "Set aside as a mistake; without this filter a list has none of them."
ENTRY = ("id", "animal", "animal_name", "person", "notes", "deleted", "created")
READ_ONLY = ("id", "deleted", "created")


# ---- filters


class EntryFilter(df.FilterSet):
    animal = NameFilter(field_name="animal__identifier", help_text="Identifier of an animal.")
    project = df.UUIDFilter(field_name="animal__project_id")
    cage = df.CharFilter(field_name="animal__cage", help_text="Name of the cage where the animal lives now.")
    person = NameFilter(field_name="person__username", help_text="User name.")
    deleted = df.BooleanFilter(field_name="deleted", lookup_expr="isnull", exclude=True, help_text=SET_ASIDE)


class TimedFilter(EntryFilter):
    time_from = TimeFilter(field_name="time", lookup_expr="gte")
    time_until = TimeFilter(field_name="time", lookup_expr="lte")


class PeriodFilter(EntryFilter):
    started_from = TimeFilter(field_name="start", lookup_expr="gte")
    started_until = TimeFilter(field_name="start", lookup_expr="lte")


class AdministrationFilter(TimedFilter):
    kind = df.ChoiceFilter(choices=AdministrationKind.choices)
    substance = df.CharFilter()


class RestrictionFilter(PeriodFilter):
    kind = df.ChoiceFilter(choices=RestrictionKind.choices)
    running = df.BooleanFilter(method="filter_running", help_text="Not ended yet.")

    def filter_running(self, rows: QuerySet[Any], name: str, value: bool) -> QuerySet[Any]:  # noqa: ARG002
        """Narrow to what has not ended: its end is not known, or to come."""
        ended = Q(end__lte=timezone.now())
        return rows.exclude(ended) if value else rows.filter(ended)


class ProcedureFilter(PeriodFilter):
    kind = df.ChoiceFilter(choices=ProcedureKind.choices)


class ImplantFilter(EntryFilter):
    region = df.CharFilter()
    implanted_from = df.DateFilter(field_name="implanted", lookup_expr="gte")
    implanted_until = df.DateFilter(field_name="implanted", lookup_expr="lte")


class GenotypeFilter(EntryFilter):
    allele = NameFilter(field_name="allele__name")


class CageFilter(df.FilterSet):
    name = df.CharFilter()
    location = df.CharFilter(lookup_expr="icontains", help_text="A part of it.")


class HousingFilter(df.FilterSet):
    animal = NameFilter(field_name="animal__identifier")
    cage = NameFilter(field_name="cage__name")
    now = df.BooleanFilter(field_name="end", lookup_expr="isnull", help_text="There now.")


# ---- rows


class EntrySerializer(LabSerializer):
    animal = ByIdOrName(name="identifier", project="project", queryset=Animal.objects.select_related("project"))
    animal_name = serializers.CharField(source="animal.identifier", read_only=True)
    person = by_username(required=False, allow_null=True)


class WeighingSerializer(EntrySerializer):
    time = AwareDateTimeField(required=False, help_text="Now, when it is left out.")
    percentage = serializers.SerializerMethodField(help_text="Of the reference weight of the restriction then.")
    condition = serializers.SerializerMethodField(help_text="good, low, alarm; empty without a restriction.")

    class Meta:
        model = Weighing
        fields = (*ENTRY, "time", "weight", "percentage", "condition")
        read_only_fields = READ_ONLY

    @extend_schema_field(serializers.FloatField(allow_null=True))
    def get_percentage(self, row: Any) -> float | None:
        """Return the weight in % of the reference weight."""
        percentage, _ = selectors.judged(row.weight, row.judged_by)
        return None if percentage is None else round(percentage, 2)

    def get_condition(self, row: Any) -> str:
        """Return what the weight means."""
        return selectors.judged(row.weight, row.judged_by)[1]


class RestrictionSerializer(EntrySerializer):
    start = AwareDateTimeField(required=False, help_text="Now, when it is left out.")

    class Meta:
        model = Restriction
        fields = (
            *ENTRY, "kind", "start", "end", "reference_weight", "expected_percentage", "alarm_percentage",
        )  # fmt: skip
        read_only_fields = READ_ONLY


class AdministrationSerializer(EntrySerializer):
    time = AwareDateTimeField(required=False, help_text="Now, when it is left out.")
    unit = serializers.CharField(max_length=20, required=False, help_text="mL of water, g of food, mg of a drug.")

    class Meta:
        model = Administration
        fields = (*ENTRY, "kind", "substance", "amount", "unit", "time")
        read_only_fields = READ_ONLY


class ProcedureSerializer(EntrySerializer):
    start = AwareDateTimeField(required=False, help_text="Now, when it is left out.")

    class Meta:
        model = Procedure
        fields = (*ENTRY, "kind", "start", "end", "narrative", "outcome")
        read_only_fields = READ_ONLY


class ImplantSerializer(EntrySerializer):
    procedure = ByIdOrName(
        project="animal__project", queryset=Procedure.objects.all(), required=False, allow_null=True
    )  # fmt: skip
    implanted = serializers.DateField(required=False, help_text="Today, when it is left out.")

    class Meta:
        model = Implant
        fields = (
            *ENTRY, "device", "procedure", "region", "hemisphere", "anteroposterior", "mediolateral", "dorsoventral",
            "implanted", "removed",
        )  # fmt: skip
        read_only_fields = READ_ONLY


class GenotypeSerializer(EntrySerializer):
    allele = ByIdOrName(name="name", queryset=Allele.objects.all())
    allele_name = serializers.CharField(source="allele.name", read_only=True)

    class Meta:
        model = Genotype
        fields = (*ENTRY, "allele", "allele_name", "zygosity", "tested")
        read_only_fields = READ_ONLY


class CageSerializer(LabSerializer):
    animals = serializers.SerializerMethodField(help_text="Identifiers of those that live there now.")

    class Meta:
        model = Cage
        fields = ("id", "name", "location", "created", "animals")
        read_only_fields = ("id", "created")

    def get_animals(self, row: Any) -> list[str]:
        """Return who lives there."""
        return [housing.animal.identifier for housing in row.living]


class CageChange(StrictFields, serializers.Serializer):
    """What may be changed of a cage."""

    location = serializers.CharField(max_length=200, allow_blank=True)


class HousingSerializer(LabSerializer):
    animal_name = serializers.CharField(source="animal.identifier", read_only=True)
    cage_name = serializers.CharField(source="cage.name", read_only=True)

    class Meta:
        model = Housing
        fields = ("id", "animal", "animal_name", "cage", "cage_name", "start", "end")
        read_only_fields = fields


# ---- collections


class Mistakes(ReadViewSet, ABC):
    """A collection whose rows are set aside, taken back and undone, never lost."""

    def get_queryset(self) -> QuerySet[Any]:
        """Rows of the user's projects; a list has those set aside only when they are asked for."""
        rows = self.rows()
        plain = not self.detail and "deleted" not in self.request.query_params
        return rows.filter(deleted__isnull=True) if plain else rows

    @abstractmethod
    def rows(self) -> QuerySet[Any]:
        """Return all rows that the user may see."""

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:  # noqa: ARG002 - the router's signature
        """Set it aside as a mistake (managers); it can be taken back."""
        services.delete_entry(by=request.user, entry=self.get_object())
        return Response(status=204)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Take back what was set aside (managers)."""
        return self.reply(services.restore_entry(by=request.user, entry=self.get_object()))

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def undo(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Make it what it was before its last change."""
        return self.reply(services.undo_entry(by=request.user, entry=self.get_object()))


class EntryViewSet(Mistakes):
    """A collection of what is written down about animals."""

    takes_lists = True
    model: type[Entry]

    def rows(self) -> QuerySet[Any]:
        """Return what was written down about animals of the user's projects."""
        return selectors.entries(self.request.user, self.model)

    def create(self, request: Request) -> Response:
        """Write it down."""
        return self.created(request, partial(services.add_entry, self.model))

    def partial_update(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Correct it; every version stays in the history."""
        entry = self.get_object()
        return self.reply(services.update_entry(by=request.user, entry=entry, **self.validated(request, partial=True)))


class WeighingViewSet(EntryViewSet):
    """Weights of animals, g, judged by the restriction of that time."""

    model = Weighing
    queryset = Weighing.objects.all()
    serializer_class = WeighingSerializer
    filterset_class = TimedFilter
    ordering_fields: ClassVar[list[str]] = ["time", "weight", "created"]

    def rows(self) -> QuerySet[Any]:
        """Return weighings with what they are judged by."""
        return selectors.weighings(self.request.user)


class RestrictionViewSet(EntryViewSet):
    """Food or water kept short, and the weight that it is judged by."""

    model = Restriction
    queryset = Restriction.objects.all()
    serializer_class = RestrictionSerializer
    filterset_class = RestrictionFilter
    ordering_fields: ClassVar[list[str]] = ["start", "end", "created"]


class AdministrationViewSet(EntryViewSet):
    """Water, food and drugs that animals were given."""

    model = Administration
    queryset = Administration.objects.all()
    serializer_class = AdministrationSerializer
    filterset_class = AdministrationFilter
    ordering_fields: ClassVar[list[str]] = ["time", "amount", "created"]


class ProcedureViewSet(EntryViewSet):
    """Surgeries, implantations, perfusions ..."""

    model = Procedure
    queryset = Procedure.objects.all()
    serializer_class = ProcedureSerializer
    filterset_class = ProcedureFilter
    ordering_fields: ClassVar[list[str]] = ["start", "end", "created"]


class ImplantViewSet(EntryViewSet):
    """Probes, fibres and cannulas in animals; coordinates in mm from bregma and the surface of the brain."""

    model = Implant
    queryset = Implant.objects.all()
    serializer_class = ImplantSerializer
    filterset_class = ImplantFilter
    ordering_fields: ClassVar[list[str]] = ["implanted", "removed", "created"]


class GenotypeViewSet(EntryViewSet):
    """What tests said of the alleles of animals."""

    model = Genotype
    queryset = Genotype.objects.all()
    serializer_class = GenotypeSerializer
    filterset_class = GenotypeFilter
    ordering_fields: ClassVar[list[str]] = ["tested", "created"]

    def rows(self) -> QuerySet[Any]:
        """Return genotypes with their alleles."""
        return super().rows().select_related("allele")


class CageViewSet(ReadViewSet):
    """Cages, and who lives there. An animal is moved by its field ``cage``."""

    queryset = Cage.objects.all()
    serializer_class = CageSerializer
    filterset_class = CageFilter
    takes_lists = True
    ordering_fields: ClassVar[list[str]] = ["name", "location", "created"]

    def get_queryset(self) -> QuerySet[Any]:
        """All cages; of their animals those of the user's projects."""
        return selectors.cages(self.request.user)

    def create(self, request: Request) -> Response:
        """Add an empty cage."""
        return self.created(request, services.create_cage)

    @extend_schema(request=CageChange, responses=CageSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Say where a cage stands."""
        cage = self.get_object()
        body = CageChange(data=request.data, partial=True)
        body.is_valid(raise_exception=True)
        return self.reply(services.update_cage(by=request.user, cage=cage, **body.validated_data))


class HousingViewSet(ReadViewSet):
    """Where animals live and lived; the database writes it when an animal's cage changes."""

    queryset = Housing.objects.all()
    serializer_class = HousingSerializer
    filterset_class = HousingFilter
    ordering_fields: ClassVar[list[str]] = ["start", "end"]

    def get_queryset(self) -> QuerySet[Any]:
        """Housing of animals of the user's projects."""
        return selectors.housings(self.request.user)
