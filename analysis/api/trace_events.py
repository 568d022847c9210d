"""Spikes, units and ripples to show on traces, over REST."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analysis import trace_events
from sessions.api.fields import StrictParameters


class SourceSerializer(serializers.Serializer):
    """Something that was found in a recording, or came beside it."""

    id = serializers.UUIDField(help_text="By which its events are asked for.")
    kind = serializers.ChoiceField(choices=["spikes", "units", "ripples"])
    label = serializers.CharField()
    page = serializers.CharField(help_text="Address of its page.")
    made = serializers.DateTimeField()
    shift = serializers.FloatField(help_text="Seconds that put the zero of its clock on this one; drift comes on top.")
    reason = serializers.CharField(help_text="Why its times cannot be put on this clock; empty if they are.")


class FoundUnitSerializer(serializers.Serializer):
    """A unit of a source."""

    name = serializers.CharField()
    channel = serializers.IntegerField(allow_null=True, help_text="From 0; null where it is not known.")


class EventsSerializer(serializers.Serializer):
    """Events of a source."""

    events = serializers.ListField(
        child=serializers.ListField(child=serializers.IntegerField()),
        help_text="Peak, start and stop in samples of the recording, and the number of the unit from 0.",
    )
    more = serializers.IntegerField(help_text="Events of the window that were left out; ask for a shorter one.")
    units = FoundUnitSerializer(many=True)


class EventsQuery(StrictParameters, serializers.Serializer):
    """A window, or a sample from which the next event on one side is wanted."""

    source = serializers.UUIDField()
    start = serializers.IntegerField(required=False, min_value=0, max_value=2**53)
    stop = serializers.IntegerField(required=False, min_value=1, max_value=2**53)
    after = serializers.IntegerField(required=False, min_value=-1, max_value=2**53)
    before = serializers.IntegerField(required=False, min_value=0, max_value=2**53)
    unit = serializers.IntegerField(required=False, min_value=0, max_value=2**31 - 1, help_text="Only of this unit.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Check what several fields say together."""
        given = {name for name in ("start", "stop", "after", "before") if name in attrs}
        if given not in ({"start", "stop"}, {"after"}, {"before"}):
            raise serializers.ValidationError({"start": ["Give start and stop, or after, or before."]})
        if "stop" in given and attrs["stop"] <= attrs["start"]:
            raise serializers.ValidationError({"stop": ["The end comes after the beginning."]})
        return attrs


class SourcesView(APIView):
    """What can be shown on a recording's traces."""

    @extend_schema(
        summary="Spikes, sorted units and ripples that can be shown on a recording's traces",
        responses={200: SourceSerializer(many=True)},
    )
    def get(self, request: Request, recording: Any) -> Response:
        """Return the sources, newest first, those whose clock is not known with the reason."""
        found = [source.told() for source in trace_events.sources(request.user, recording)]
        return Response(SourceSerializer(found, many=True).data)


class EventsView(APIView):
    """Events on a recording's traces."""

    @extend_schema(
        summary="Events of a source in a window of a recording, or the next one before or after a sample",
        parameters=[EventsQuery],
        responses={
            200: EventsSerializer,
            409: OpenApiResponse(OpenApiTypes.OBJECT, description="Its clock is not known, or it cannot be read."),
        },
    )
    def get(self, request: Request, recording: Any) -> Response:
        """Return events in samples of the recording, in order of their peaks."""
        query = EventsQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        asked = dict(query.validated_data)
        return Response(trace_events.events(request.user, recording, asked.pop("source"), asked))
