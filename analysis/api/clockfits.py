"""Clock fits of recordings over REST."""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters as df
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from analysis import selectors as jobs
from analysis.clockfits import selectors, services
from analysis.clockfits.models import ClockFit
from sessions.api.base import ReadViewSet
from sessions.api.fields import StrictFields
from sessions.selectors import one, recordings

LAST = OpenApiResponse(OpenApiTypes.OBJECT, description="Somebody changed the recording's clock since.")


class ClockFitSerializer(serializers.ModelSerializer):
    """A revision of a recording's clock fit: ``reference = time + offset + drift * (time - origin)``."""

    user = serializers.SlugRelatedField(slug_field="username", read_only=True, allow_null=True)
    undoable = serializers.BooleanField(
        read_only=True, help_text="Whether undo takes it back: it is the last revision, and has a fit."
    )

    class Meta:
        model = ClockFit
        fields = (
            "id", "recording", "revision", "reference", "offset", "drift", "origin", "result", "undoes",
            "undoable", "user", "created",
        )  # fmt: skip
        read_only_fields = fields


class ClockFitBody(StrictFields, serializers.Serializer):
    """A result of ``sync.align`` whose fit a recording's times are read by."""

    result = serializers.UUIDField(help_text="Of sync.align.")
    recording = serializers.UUIDField(help_text="One of the other clock: the result's second recording, or a later.")
    base = serializers.IntegerField(min_value=0, max_value=2**31 - 1, help_text="The last revision seen; 0 for none.")


class ClockFitFilter(df.FilterSet):
    """Of revisions of clock fits."""

    recording = df.UUIDFilter(field_name="recording_id", help_text="Fits of this recording.")
    result = df.UUIDFilter(field_name="result_id", help_text="Fits that this result found.")

    class Meta:
        model = ClockFit
        fields = ()


class ClockFitViewSet(ReadViewSet):
    """How recordings' clocks run against others': every revision, who made it, when, and of which result."""

    queryset = ClockFit.objects.all()
    serializer_class = ClockFitSerializer
    filterset_class = ClockFitFilter
    ordering_fields: ClassVar[list[str]] = ["created", "revision"]

    def get_queryset(self) -> Any:
        """Fits of the projects that the user sees."""
        return selectors.clock_fits(self.request.user)

    @extend_schema(
        summary="Read a recording's times by the clock fit of a result",
        request=ClockFitBody,
        responses={201: OpenApiResponse(ClockFitSerializer, description="The revision that has it."), 412: LAST},
    )
    def create(self, request: Request) -> Response:
        """Add a revision; results that were made before keep the one that they were made with. For managers."""
        body = ClockFitBody(data=request.data)
        body.is_valid(raise_exception=True)
        asked = body.validated_data
        made = services.use_fit(
            by=request.user,
            result=jobs.result(request.user, asked["result"]),
            recording=one(recordings(request.user).select_related("session__project"), asked["recording"]),
            base=asked["base"],
        )
        return self.reply(made, 201)

    @extend_schema(
        summary="Take a change of a recording's clock back",
        request=None,
        responses={201: ClockFitSerializer, 412: LAST},
    )
    @action(detail=True, methods=["post"])
    def undo(self, request: Request, pk: str | None = None) -> Response:  # noqa: ARG002
        """Add a revision without the last change that still holds; 412 when this revision is no longer the last."""
        seen = self.get_object()
        recording = recordings(request.user).select_related("session__project").get(pk=seen.recording_id)
        return self.reply(services.undo_fit(by=request.user, recording=recording, base=seen.revision), 201)
