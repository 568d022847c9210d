"""Notes with photos and tags over REST."""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters as df
from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from sessions import selectors, services
from sessions.api.base import ReadViewSet
from sessions.api.care import SET_ASIDE, Mistakes
from sessions.api.fields import AwareDateTimeField, ByIdOrName, StrictFields
from sessions.api.filters import TimeFilter
from sessions.api.serializers import LabSerializer
from sessions.downloads import photo_response
from sessions.models import Animal, Cage, Note, Recording, Rig, Session, Tag
from sessions.services.notes import photo_of_text

# Ten MB of a photo are so many characters of base64.
LONGEST_PHOTO = 14_000_000


class NoteFilter(df.FilterSet):
    animal = df.CharFilter(field_name="animal__identifier", help_text="Identifier of an animal.")
    session = df.UUIDFilter(field_name="session_id")
    recording = df.UUIDFilter(field_name="recording_id")
    cage = df.CharFilter(field_name="cage__name")
    rig = df.CharFilter(field_name="rig__name")
    tag = df.CharFilter(field_name="note_tags__tag__name")
    time_from = TimeFilter(field_name="time", lookup_expr="gte")
    time_until = TimeFilter(field_name="time", lookup_expr="lte")
    deleted = df.BooleanFilter(field_name="deleted", lookup_expr="isnull", exclude=True, help_text=SET_ASIDE)


class TagFilter(df.FilterSet):
    name = df.CharFilter()


class TagSerializer(LabSerializer):
    class Meta:
        model = Tag
        fields = ("id", "name")
        read_only_fields = fields


class NoteSerializer(LabSerializer):
    tags = serializers.SlugRelatedField(slug_field="name", many=True, read_only=True)
    person = serializers.SlugRelatedField(slug_field="username", read_only=True, allow_null=True)
    photo = serializers.SerializerMethodField(help_text="Address of the photo, or null.")

    class Meta:
        model = Note
        fields = (
            "id", "animal", "session", "recording", "cage", "rig", "person", "time", "text", "photo", "tags",
            "deleted", "created",
        )  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(serializers.URLField(allow_null=True))
    def get_photo(self, row: Note) -> str | None:
        """Return where the photo is."""
        return reverse("note-photo", args=[row.pk], request=self.context.get("request")) if row.photo else None


def _tags() -> serializers.ListField:
    return serializers.ListField(child=serializers.CharField(max_length=100), max_length=20, required=False)


class NoteBody(StrictFields, serializers.Serializer):
    """A note on one thing, with a text, a photo, or both."""

    animal = ByIdOrName(
        name="identifier", project="project", queryset=Animal.objects.select_related("project"), required=False
    )  # fmt: skip
    session = ByIdOrName(project="project", queryset=Session.objects.select_related("project"), required=False)
    recording = ByIdOrName(
        project="session__project", queryset=Recording.objects.select_related("session__project"), required=False
    )  # fmt: skip
    cage = ByIdOrName(name="name", queryset=Cage.objects.all(), required=False)
    rig = ByIdOrName(name="name", project="project", queryset=Rig.objects.select_related("project"), required=False)
    time = AwareDateTimeField(required=False, help_text="Now, when it is left out.")
    text = serializers.CharField(required=False, allow_blank=True, max_length=100_000)
    photo = serializers.CharField(
        required=False, max_length=LONGEST_PHOTO, help_text="JPEG, PNG or WebP as base64; at most 10 MB."
    )
    tags = _tags()


class NoteChange(StrictFields, serializers.Serializer):
    """What may be corrected of a note."""

    time = AwareDateTimeField(required=False)
    text = serializers.CharField(required=False, allow_blank=True, max_length=100_000)
    tags = _tags()


class TagViewSet(ReadViewSet):
    """Words by which notes are found again; a new one comes with the note that first has it."""

    queryset = Tag.objects.all()
    serializer_class = TagSerializer
    filterset_class = TagFilter
    ordering_fields: ClassVar[list[str]] = ["name"]


class NoteViewSet(Mistakes):
    """Notes, with photos and tags, on animals, sessions, recordings, cages and rigs."""

    queryset = Note.objects.all()
    serializer_class = NoteSerializer
    filterset_class = NoteFilter
    ordering_fields: ClassVar[list[str]] = ["time", "created"]

    def rows(self) -> QuerySet[Any]:
        """Return notes on what the user may see."""
        return selectors.notes(self.request.user)

    @extend_schema(request=NoteBody, responses={201: NoteSerializer})
    def create(self, request: Request) -> Response:
        """Write a note."""
        body = NoteBody(data=request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        values = dict(body.validated_data)
        photo = photo_of_text(values.pop("photo")) if "photo" in values else None
        return self.reply(services.add_note(by=request.user, photo=photo, **values), 201)

    @extend_schema(request=NoteChange, responses=NoteSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Correct the text, time or tags of a note."""
        note = self.get_object()
        body = NoteChange(data=request.data, partial=True)
        body.is_valid(raise_exception=True)
        return self.reply(services.update_note(by=request.user, note=note, **body.validated_data))

    @extend_schema(responses={(200, "image/jpeg"): OpenApiTypes.BINARY})
    @action(detail=True, methods=["get"])
    def photo(self, request: Request, pk: str) -> HttpResponse:  # noqa: ARG002
        """Send the photo."""
        return photo_response(self.get_object())
