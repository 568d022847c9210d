"""Traces of voltage over REST: what a viewer must know of a recording, and stretches of it in a few bytes."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analysis import traces
from analysis.readers.traces import MOST_CHANNELS, MOST_COLUMNS, MOST_VALUES
from sessions.api.fields import StrictParameters

# The mark is of these very files: a stretch under it never changes.
KEPT = "private, max-age=86400, immutable"
CANNOT = OpenApiResponse(
    OpenApiTypes.OBJECT, description="It cannot be read, or not so much at a time without an overview."
)


class OverviewSerializer(serializers.Serializer):
    """The overview of a recording, by ``ephys.overview``."""

    state = serializers.CharField(help_text="ready, none, or the state of the job that makes it.")
    job = serializers.UUIDField(allow_null=True)
    finest = serializers.IntegerField(allow_null=True, help_text="Samples in the finest bins; finer ones are read.")


class QualitySerializer(serializers.Serializer):
    """What the last inspection said of the channels."""

    result = serializers.UUIDField()
    labels = serializers.ListField(child=serializers.CharField(), help_text="good, dead, noisy ... of each channel.")


class CleaningSerializer(serializers.Serializer):
    """What can be done to samples before they are drawn."""

    samples = serializers.IntegerField(help_text="So many are filtered at a time.")
    high_pass = serializers.FloatField(allow_null=True, help_text="Hz; null where the recording is too slow for it.")
    reference = serializers.BooleanField(help_text="Whether there are enough good channels for a common median.")


class TracesSerializer(serializers.Serializer):
    """What a viewer must know of a recording of voltage."""

    samples = serializers.IntegerField()
    channels = serializers.IntegerField()
    rate = serializers.FloatField(help_text="Hz")
    start = serializers.FloatField(help_text="Time of the first sample, s.")
    positions = serializers.ListField(
        child=serializers.ListField(child=serializers.FloatField()),
        allow_null=True,
        help_text="Across and along the probe, µm, of each channel; null where it is not known.",
    )
    mark = serializers.CharField(help_text="Of the files and of how they are read; stretches of another are refused.")
    readable = serializers.IntegerField(help_text="Samples that are read at a time where there is no overview.")
    overview = OverviewSerializer()
    quality = QualitySerializer(allow_null=True)
    cleaning = CleaningSerializer()
    may_compute = serializers.BooleanField(help_text="Whether you may queue the overview.")


class WindowQuery(StrictParameters, serializers.Serializer):
    """A stretch of a recording."""

    start = serializers.IntegerField(min_value=0, max_value=2**53, default=0, help_text="First sample.")
    stop = serializers.IntegerField(min_value=1, max_value=2**53, help_text="The sample after the last.")
    columns = serializers.IntegerField(
        min_value=1,
        max_value=MOST_COLUMNS,
        default=1000,
        help_text="At most so many; each is a sample, or lowest and highest of 2, 4, 8 ... samples.",
    )
    first = serializers.IntegerField(min_value=0, max_value=2**16 - 1, default=0, help_text="First channel, from 0.")
    channels = serializers.IntegerField(min_value=1, max_value=MOST_CHANNELS, default=64, help_text="At most so many.")
    high_pass = serializers.BooleanField(
        default=False, help_text="Filter above 300 Hz, forward and backward; the samples themselves are read."
    )
    reference = serializers.BooleanField(
        default=False, help_text="Take the median over the good channels off each sample, after the filter."
    )
    inspection = serializers.UUIDField(
        required=False, help_text="Result of ephys.inspect that says which channels are good; all when left out."
    )
    mark = serializers.RegexField(
        "^[0-9a-f]{64}$", required=False, help_text="As the description has it; the reply may then be kept for a day."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Check what two fields say together."""
        if attrs["stop"] <= attrs["start"]:
            raise serializers.ValidationError({"stop": ["The end comes after the beginning."]})
        if attrs["columns"] * attrs["channels"] > MOST_VALUES:
            raise serializers.ValidationError(
                {"columns": [f"Columns times channels are at most {MOST_VALUES:,}; ask for fewer channels at a time."]}
            )
        return attrs


class TracesView(APIView):
    """What a viewer must know."""

    @extend_schema(
        summary="What a viewer must know of a recording of voltage to draw its traces",
        responses={200: TracesSerializer, 409: CANNOT},
    )
    def get(self, request: Request, recording: Any) -> Response:
        """Return samples, channels, rate, places and quality of the channels, and whether there is an overview."""
        return Response(TracesSerializer(traces.described(request.user, recording)).data)


class WindowView(APIView):
    """Stretches of a recording."""

    @extend_schema(
        summary="A stretch of a recording: samples, or the lowest and highest of bins",
        description=(
            "Little-endian: LABT, uint16 version, uint16 bytes of the header, uint64 first sample, uint32 samples in a "
            "bin, uint32 columns, uint16 first channel, uint16 channels, uint16 planes (1: samples; 2: lowest, then "
            "highest), uint16 1 where -32768 stands for no value; float32 gain of each channel, float32 offset of each "
            "channel; int16 (columns, planes, channels). Microvolts are a value times gain plus offset. Bins are "
            "counted from the first sample of the recording."
        ),
        parameters=[WindowQuery],
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY, 409: CANNOT},
    )
    def get(self, request: Request, recording: Any) -> HttpResponse:
        """Return a stretch, from the overview where its bins are fine enough, else from the recording itself.

        With a filter or a common reference it is always the recording itself, and a short one.
        """
        query = WindowQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        mark = asked.get("mark", "")
        window = (asked["start"], asked["stop"], asked["columns"], asked["first"], asked["channels"])
        how = traces.Cleaning(asked["high_pass"], asked["reference"], asked.get("inspection"))
        packed = traces.window(request.user, recording, window, mark=mark, how=how)
        headers = {"Cache-Control": KEPT if mark else "private, no-store"}
        return HttpResponse(packed, content_type="application/octet-stream", headers=headers)
