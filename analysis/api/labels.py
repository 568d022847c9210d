"""Sorted units and what people say of them, over REST."""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters as df
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analysis.labels import selectors, services
from analysis.labels.models import UnitLabel, UnitLabels
from sessions.api.base import ReadViewSet
from sessions.api.fields import StrictFields
from sessions.selectors import recordings

CANNOT = OpenApiResponse(OpenApiTypes.OBJECT, description="The units cannot be read; the sentence says why.")


class UnitLabelsSerializer(serializers.ModelSerializer):
    """A revision of the labels of a recording's units."""

    user = serializers.SlugRelatedField(slug_field="username", read_only=True, allow_null=True)
    labels = serializers.DictField(
        child=serializers.ChoiceField(choices=UnitLabel.choices), read_only=True, help_text="By the name of the unit."
    )
    changed = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField(allow_null=True)),
        read_only=True,
        help_text="By the name of the unit: what it was before this revision, and what it is since.",
    )

    class Meta:
        model = UnitLabels
        fields = ("id", "recording", "revision", "labels", "changed", "undoes", "user", "created")
        read_only_fields = fields


class UnitLabelsBody(StrictFields, serializers.Serializer):
    """What somebody says of units."""

    recording = serializers.UUIDField()
    base = serializers.IntegerField(min_value=0, max_value=2**31 - 1, help_text="The last revision seen; 0 for none.")
    labels = serializers.DictField(
        child=serializers.ChoiceField(choices=UnitLabel.choices, allow_null=True),
        allow_empty=False,
        help_text="By the name of the unit; null takes its label off. Units that are not named stay as they are.",
    )


class UnitLabelsFilter(df.FilterSet):
    """Of revisions of labels."""

    recording = df.UUIDFilter(field_name="recording_id", help_text="Labels of this recording's units.")

    class Meta:
        model = UnitLabels
        fields = ()


class UnitLabelsViewSet(ReadViewSet):
    """Labels of units by hand: every revision, who made it and when."""

    queryset = UnitLabels.objects.all()
    serializer_class = UnitLabelsSerializer
    filterset_class = UnitLabelsFilter
    ordering_fields: ClassVar[list[str]] = ["created", "revision"]

    def get_queryset(self) -> Any:
        """Labels of the projects that the user sees."""
        return selectors.labels(self.request.user)

    @extend_schema(
        summary="Say what units are",
        request=UnitLabelsBody,
        responses={
            201: OpenApiResponse(UnitLabelsSerializer, description="The revision that has it."),
            412: OpenApiResponse(OpenApiTypes.OBJECT, description="Somebody said otherwise of the same unit since."),
        },
    )
    def create(self, request: Request) -> Response:
        """Add a revision; what others said of other units since the revision that was seen stays."""
        body = UnitLabelsBody(data=request.data)
        body.is_valid(raise_exception=True)
        recording = selectors.sorted_units(request.user, body.validated_data.pop("recording"))
        return self.reply(services.label_units(by=request.user, recording=recording, **body.validated_data), 201)

    @extend_schema(summary="Take a change of labels back", request=None, responses={201: UnitLabelsSerializer})
    @action(detail=True, methods=["post"])
    def undo(self, request: Request, pk: str | None = None) -> Response:  # noqa: ARG002
        """Add a revision without the last change that still holds; 412 when this revision is no longer the last."""
        seen = self.get_object()
        recording = recordings(request.user).select_related("session__project").get(pk=seen.recording_id)
        return self.reply(services.undo_labels(by=request.user, recording=recording, base=seen.revision), 201)


class UnitsView(APIView):
    """The units of a recording."""

    @extend_schema(
        summary="Every unit of a recording: its quality, waveform, autocorrelogram, amplitude and rate over time",
        responses={200: OpenApiTypes.OBJECT, 409: CANNOT},
    )
    def get(self, request: Request, recording: Any) -> Response:
        """Return the units; names are those by which they are labelled."""
        return Response(selectors.sheet_of(selectors.sorted_units(request.user, recording)))
