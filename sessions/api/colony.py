"""The colony over REST: alleles, breeding pairs, litters."""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters as df
from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from sessions import selectors, services
from sessions.api.base import ReadViewSet
from sessions.api.fields import ByIdOrName
from sessions.api.serializers import LabSerializer
from sessions.models import Allele, Animal, BreedingPair, Litter, Project


class AlleleFilter(df.FilterSet):
    name = df.CharFilter()


class PairFilter(df.FilterSet):
    name = df.CharFilter()
    project = df.UUIDFilter(field_name="project_id")
    female = df.CharFilter(field_name="female__identifier")
    male = df.CharFilter(field_name="male__identifier")
    together = df.BooleanFilter(field_name="end", lookup_expr="isnull", help_text="Not parted yet.")


class LitterFilter(df.FilterSet):
    pair = df.CharFilter(field_name="pair__name", help_text="Name of the breeding pair.")
    project = df.UUIDFilter(field_name="pair__project_id")
    born_from = df.DateFilter(field_name="born", lookup_expr="gte")
    born_until = df.DateFilter(field_name="born", lookup_expr="lte")
    weaned = df.BooleanFilter(field_name="weaned", lookup_expr="isnull", exclude=True)


class AlleleSerializer(LabSerializer):
    class Meta:
        model = Allele
        fields = ("id", "name", "description")
        read_only_fields = ("id",)


class PairSerializer(LabSerializer):
    project = ByIdOrName(name="name", project="pk", queryset=Project.objects.all())
    female = ByIdOrName(name="identifier", project="project", queryset=Animal.objects.select_related("project"))
    male = ByIdOrName(name="identifier", project="project", queryset=Animal.objects.select_related("project"))
    start = serializers.DateField(required=False, help_text="Today, when it is left out.")

    class Meta:
        model = BreedingPair
        fields = ("id", "name", "project", "female", "male", "start", "end", "notes", "created")
        read_only_fields = ("id", "created")


class LitterSerializer(LabSerializer):
    pair = ByIdOrName(name="name", project="project", queryset=BreedingPair.objects.select_related("project"))
    pair_name = serializers.CharField(source="pair.name", read_only=True)
    born = serializers.DateField(required=False, help_text="Today, when it is left out.")
    animals = serializers.SlugRelatedField(slug_field="identifier", many=True, read_only=True)

    class Meta:
        model = Litter
        fields = ("id", "pair", "pair_name", "born", "size", "weaned", "notes", "created", "animals")
        read_only_fields = ("id", "created")


class AlleleViewSet(ReadViewSet):
    """Variants of genes, and transgenes."""

    queryset = Allele.objects.all()
    serializer_class = AlleleSerializer
    filterset_class = AlleleFilter
    takes_lists = True
    ordering_fields: ClassVar[list[str]] = ["name"]

    def create(self, request: Request) -> Response:
        """Add an allele."""
        return self.created(request, services.create_allele)


class PairViewSet(ReadViewSet):
    """Breeding pairs."""

    queryset = BreedingPair.objects.all()
    serializer_class = PairSerializer
    filterset_class = PairFilter
    takes_lists = True
    ordering_fields: ClassVar[list[str]] = ["name", "start", "end", "created"]

    def get_queryset(self) -> QuerySet[Any]:
        """Pairs of the user's projects."""
        return selectors.pairs(self.request.user)

    def create(self, request: Request) -> Response:
        """Put a female and a male together."""
        return self.created(request, services.create_pair)

    def partial_update(self, request: Request, pk: str) -> Response:  # noqa: ARG002 - the router's signature
        """Change a pair, or part it."""
        pair = self.get_object()
        return self.reply(services.update_pair(by=request.user, pair=pair, **self.validated(request, partial=True)))


class LitterViewSet(ReadViewSet):
    """Litters; an animal names its own in its field ``litter``."""

    queryset = Litter.objects.all()
    serializer_class = LitterSerializer
    filterset_class = LitterFilter
    takes_lists = True
    ordering_fields: ClassVar[list[str]] = ["born", "weaned", "size", "created"]

    def get_queryset(self) -> QuerySet[Any]:
        """Litters of the user's projects."""
        return selectors.litters(self.request.user)

    def create(self, request: Request) -> Response:
        """Write down a litter."""
        return self.created(request, services.create_litter)

    def partial_update(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Correct a litter, or say when it was weaned."""
        litter = self.get_object()
        return self.reply(
            services.update_litter(by=request.user, litter=litter, **self.validated(request, partial=True))
        )
