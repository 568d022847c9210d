"""Bodies of the REST calls about cameras."""

from __future__ import annotations

from typing import Any

import django_filters as df
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from cameras.models import MOST_HOURS_KEPT, AlertKind, Camera, CameraAlert, CameraCodec, CameraRecording, RingCut
from sessions.api.fields import AwareDateTimeField, StrictFields
from sessions.models import Rig
from sessions.permissions import visible


@extend_schema_field(OpenApiTypes.STR)
class RigField(serializers.RelatedField):
    """A rig by its id or its name, among those that the user may see."""

    default_error_messages = {"missing": "There is no rig {value!r} here."}

    def get_queryset(self) -> Any:
        return visible(self.context["request"].user, Rig.objects.select_related("project"))

    def to_internal_value(self, data: Any) -> Rig:
        text = str(data).strip()
        found = [rig for rig in self.get_queryset() if text in {str(rig.pk), rig.name}]
        if len(found) != 1:
            self.fail("missing", value=text[:60])
        return found[0]

    def to_representation(self, value: Rig) -> str:
        return value.name


class CameraSerializer(StrictFields, serializers.ModelSerializer):
    """A camera with what it does now."""

    rig = RigField()
    state = serializers.SerializerMethodField()
    recording = serializers.SerializerMethodField()

    class Meta:
        model = Camera
        fields: tuple[str, ...] = (
            "id", "slug", "name", "rig", "codec", "enabled", "simulated", "keep_hours", "created", "state",
            "recording",
        )  # fmt: skip
        read_only_fields = ("id", "simulated", "created")

    @extend_schema_field(OpenApiTypes.OBJECT)
    def get_state(self, camera: Camera) -> dict[str, Any]:
        return self.context["states"].get(camera.slug, {})

    @extend_schema_field(serializers.UUIDField(allow_null=True))
    def get_recording(self, camera: Camera) -> str | None:
        running = getattr(camera, "running", [])
        return str(running[0].pk) if running else None


class NewCameraSerializer(StrictFields, serializers.Serializer):
    """``{"slug", "name", "rig"}``, and ``codec`` where it is not JPEG."""

    slug = serializers.CharField(max_length=50)
    name = serializers.CharField(max_length=100)
    rig = RigField()
    codec = serializers.ChoiceField(choices=CameraCodec.choices, required=False)


class CameraChangeSerializer(StrictFields, serializers.Serializer):
    """What may be changed of a camera."""

    name = serializers.CharField(max_length=100, required=False)
    rig = RigField(required=False)
    codec = serializers.ChoiceField(choices=CameraCodec.choices, required=False)
    enabled = serializers.BooleanField(required=False)
    keep_hours = serializers.IntegerField(
        required=False, min_value=0, max_value=MOST_HOURS_KEPT, help_text="Keep the last hours; 0 keeps nothing."
    )


class CameraWithTokenSerializer(CameraSerializer):
    """A new camera: its token is in this reply and nowhere else."""

    token = serializers.SerializerMethodField()

    class Meta(CameraSerializer.Meta):
        fields: tuple[str, ...] = (*CameraSerializer.Meta.fields, "token")

    def get_token(self, camera: Camera) -> str:
        return self.context["token"]


class EnrolmentOfferSerializer(serializers.Serializer):
    """A code for the box of a camera, shown this once."""

    code = serializers.CharField()
    expires = serializers.DateTimeField()
    command = serializers.CharField(help_text="What to type on the box.")


class EnrolmentSerializer(StrictFields, serializers.Serializer):
    """``{"code": "7KQX-3M9P-WD2F"}``."""

    code = serializers.CharField(max_length=40)


class EnrolledSerializer(serializers.Serializer):
    """What the agent of a box must know of its camera; the token is in this reply and nowhere else."""

    camera = serializers.CharField(help_text="The camera's slug.")
    name = serializers.CharField()
    server = serializers.CharField(help_text="Where the cameras connect, such as ws://lab.example:8001.")
    token = serializers.CharField()


class CameraRecordingSerializer(serializers.ModelSerializer):
    """One camera's recording."""

    camera = serializers.SlugRelatedField(slug_field="slug", read_only=True)

    class Meta:
        model = CameraRecording
        fields = (
            "id", "camera", "session", "recording", "state", "message", "started", "stopped", "finished", "frames",
            "lost", "dropped", "bytes", "first_sequence", "last_sequence", "offset_ms", "drift_ppm", "proxy",
            "proxy_message",
        )  # fmt: skip
        read_only_fields = fields


class SpanSerializer(serializers.Serializer):
    """A time without a break of which frames are kept."""

    start = serializers.DateTimeField()
    stop = serializers.DateTimeField()
    seconds = serializers.FloatField()


class RingCutSerializer(serializers.ModelSerializer):
    """A piece of what is kept that becomes a recording."""

    class Meta:
        model = RingCut
        fields = ("id", "session", "start", "stop", "state", "message", "recording", "created")
        read_only_fields = fields


class RingSerializer(serializers.Serializer):
    """What is kept of a camera apart from recordings."""

    keep_hours = serializers.IntegerField()
    frames = serializers.IntegerField()
    bytes = serializers.IntegerField()
    spans = SpanSerializer(many=True)
    cuts = RingCutSerializer(many=True)


class NewCutSerializer(StrictFields, serializers.Serializer):
    """``{"session", "start", "stop"}``; times with their zone, on the server's clock."""

    session = serializers.UUIDField()
    start = AwareDateTimeField()
    stop = AwareDateTimeField()


class CheckSerializer(serializers.Serializer):
    """One thing that has to hold; ``camera`` is a slug, or empty where it is about all."""

    name = serializers.CharField(help_text="session, online, clock or disk")
    camera = serializers.CharField()
    ok = serializers.BooleanField()
    detail = serializers.CharField()


class PreflightSerializer(serializers.Serializer):
    """Whether a session can be recorded for the planned time."""

    ok = serializers.BooleanField()
    minutes = serializers.IntegerField()
    bytes_needed = serializers.IntegerField(allow_null=True)
    bytes_free = serializers.IntegerField()
    checks = CheckSerializer(many=True)


class CameraAlertSerializer(serializers.ModelSerializer):
    """Something that is or was wrong; ``camera`` is empty for the disk."""

    camera = serializers.SlugRelatedField(slug_field="slug", read_only=True, allow_null=True)

    class Meta:
        model = CameraAlert
        fields = ("id", "kind", "camera", "message", "raised", "resolved")
        read_only_fields = fields


class CameraAlertFilter(df.FilterSet):
    """What a list of alerts can be narrowed to."""

    open = df.BooleanFilter(field_name="resolved", lookup_expr="isnull")
    kind = df.ChoiceFilter(choices=AlertKind.choices)
    camera = df.CharFilter(field_name="camera__slug")

    class Meta:
        model = CameraAlert
        fields = ("open", "kind", "camera")
