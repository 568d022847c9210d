"""Bodies and replies of jobs and results over REST."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.reverse import reverse

from analysis import selectors
from analysis.agreement import agreement
from analysis.clockfits.selectors import clocks_of
from analysis.jobs.models import Artifact, Job, JobState, Result
from analysis.services import LARGEST_SEED
from sessions.api.fields import ObjectField, StrictFields


class PipelineInputSerializer(serializers.Serializer):
    """Recordings that a pipeline takes."""

    kinds = serializers.ListField(child=serializers.CharField())
    summary = serializers.CharField()
    minimum = serializers.IntegerField()
    maximum = serializers.IntegerField()


class OfferedSerializer(serializers.Serializer):
    """What can be queued."""

    name = serializers.CharField(source="pipeline.name")
    version = serializers.CharField(source="pipeline.version")
    summary = serializers.CharField(source="pipeline.summary")
    queue = serializers.CharField(source="pipeline.queue")
    inputs = PipelineInputSerializer(source="pipeline.inputs", many=True)
    origin = serializers.CharField(help_text="The package with its version, or who registered the command.")
    parameters = serializers.SerializerMethodField(help_text="JSON Schema, with units and defaults.")

    @extend_schema_field(OpenApiTypes.OBJECT)
    def get_parameters(self, one: Any) -> dict[str, Any]:
        """Return the JSON Schema of the parameters."""
        return one.pipeline.parameters.model_json_schema()


class JobRequestSerializer(StrictFields, serializers.Serializer):
    """A request for a computation."""

    pipeline = serializers.CharField(max_length=64)
    recordings = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=1000)
    parameters = ObjectField(default=dict)
    seed = serializers.IntegerField(min_value=0, max_value=LARGEST_SEED, default=1)
    anew = serializers.BooleanField(default=False, help_text="Compute again although the result is there.")


class JobSerializer(serializers.ModelSerializer):
    """A job in a list."""

    result = serializers.SerializerMethodField(help_text="Id of the result, once it succeeded.")
    state = serializers.ChoiceField(choices=JobState.choices, read_only=True)
    recordings = serializers.SerializerMethodField(help_text="Ids of the inputs, in order.")
    user = serializers.SlugRelatedField(slug_field="username", read_only=True, allow_null=True)

    class Meta:
        model = Job
        fields: tuple[str, ...] = (
            "id", "pipeline", "version", "project", "recordings", "parameters", "seed", "state", "progress", "message",
            "attempt", "error", "result", "user", "worker", "created", "started", "finished", "parent", "shard_start",
            "shard_stop",
        )  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(serializers.UUIDField(allow_null=True))
    def get_result(self, job: Job) -> str | None:
        """Return the id of the result."""
        # What a part found is only for its parent.
        result = getattr(job, "result", None) if job.parent_id is None else None
        return str(result.pk) if result else None

    @extend_schema_field({"type": "array", "items": {"type": "string", "format": "uuid"}})
    def get_recordings(self, job: Job) -> list[str]:
        """Return the ids of the inputs."""
        return [str(row.recording_id) for row in job.inputs.all()]


class JobDetailSerializer(JobSerializer):
    """A job with its log."""

    class Meta(JobSerializer.Meta):
        fields = (*JobSerializer.Meta.fields, "log", "environment")
        read_only_fields = fields


class FigureSerializer(serializers.Serializer):
    """A figure of a result with the addresses of its files."""

    name = serializers.CharField()
    title = serializers.CharField()
    caption = serializers.CharField()
    png = serializers.URLField()
    svg = serializers.URLField()
    pdf = serializers.URLField()
    data = serializers.URLField()


class ArtifactSerializer(serializers.ModelSerializer):
    """A file of a result."""

    url = serializers.SerializerMethodField()

    class Meta:
        model = Artifact
        fields = ("name", "url", "size", "sha256")
        read_only_fields = fields

    @extend_schema_field(OpenApiTypes.URI)
    def get_url(self, artifact: Artifact) -> str:
        """Return where it is downloaded."""
        return reverse("result-artifact", args=[artifact.result_id, artifact.name], request=self.context.get("request"))


class AgreementSerializer(serializers.Serializer):
    """One number or figure of a result beside the same of the result that it reproduces."""

    kind = serializers.ChoiceField(choices=["number", "figure"])
    name = serializers.CharField()
    label = serializers.CharField()
    unit = serializers.CharField(allow_blank=True)
    then = serializers.JSONField(allow_null=True, help_text="Of a figure: how many numbers it holds.")
    now = serializers.JSONField(allow_null=True)
    agrees = serializers.BooleanField(help_text="Within 1e-9 of the larger, number by number.")
    said = serializers.CharField()


class ClockSerializer(serializers.Serializer):
    """By which clock fit a result's recording was read, and which holds now."""

    recording = serializers.UUIDField()
    used = serializers.UUIDField(allow_null=True, help_text="The clock fit that the result was made by; null for none.")
    now = serializers.UUIDField(allow_null=True, help_text="The clock fit of today; null for none.")
    older = serializers.BooleanField(help_text="Whether both differ: the result was made by an older clock.")


RESULT_FIELDS = (
    "id", "job", "pipeline", "project", "summary", "metrics", "figures", "artifacts", "recordings", "provenance",
    "created",
)  # fmt: skip


class ResultSerializer(serializers.ModelSerializer):
    """What a job found."""

    pipeline = serializers.CharField(source="job.pipeline", read_only=True)
    project = serializers.UUIDField(source="job.project_id", read_only=True)
    metrics = serializers.SerializerMethodField(help_text="Name to value, unit, label and definition.")
    figures = serializers.SerializerMethodField()
    artifacts = ArtifactSerializer(many=True, read_only=True)
    provenance = serializers.SerializerMethodField()
    recordings = serializers.SerializerMethodField(help_text="Ids of the recordings that it made.")

    class Meta:
        model = Result
        fields: tuple[str, ...] = RESULT_FIELDS
        read_only_fields: tuple[str, ...] = RESULT_FIELDS

    @extend_schema_field(OpenApiTypes.OBJECT)
    def get_metrics(self, result: Result) -> dict[str, Any]:
        """Return the numbers."""
        return selectors.metrics(result)

    @extend_schema_field(OpenApiTypes.OBJECT)
    def get_provenance(self, result: Result) -> dict[str, Any]:
        """Return where the result comes from."""
        return result.provenance

    @extend_schema_field(FigureSerializer(many=True))
    def get_figures(self, result: Result) -> list[dict[str, str]]:
        """Return the figures with the addresses of their files."""
        request = self.context.get("request")

        def address(name: str, file_format: str) -> str:
            return reverse("result-figure", args=[result.pk, name, file_format], request=request)

        return [
            {
                "name": figure["name"],
                "title": figure["title"],
                "caption": figure["caption"],
                **{kind: address(figure["name"], kind) for kind in ("png", "svg", "pdf")},
                "data": address(figure["name"], "json"),
            }
            for figure in result.figures
        ]

    @extend_schema_field({"type": "array", "items": {"type": "string", "format": "uuid"}})
    def get_recordings(self, result: Result) -> list[str]:
        """Return the ids of the derived recordings."""
        return [str(recording.pk) for recording in result.derived.all()]


class ResultDetailSerializer(ResultSerializer):
    """What a job found, with a paragraph on how."""

    methods_text = serializers.SerializerMethodField(help_text="A paragraph on methods, for a paper.")
    agreement = serializers.SerializerMethodField(help_text="With the result that it reproduces; else empty.")
    clocks = serializers.SerializerMethodField(help_text="Recordings with a clock fit, then or now; else empty.")

    class Meta(ResultSerializer.Meta):
        fields = (*RESULT_FIELDS, "methods_text", "agreement", "clocks")
        read_only_fields = fields

    @extend_schema_field(AgreementSerializer(many=True))
    def get_agreement(self, result: Result) -> list[dict[str, Any]]:
        """Return the comparison with the result that this one reproduces."""
        return [asdict(row) for row in agreement(result)]

    @extend_schema_field(ClockSerializer(many=True))
    def get_clocks(self, result: Result) -> list[dict[str, Any]]:
        """Return by which clocks the result was made, and whether they are those of today."""
        return [
            {
                "recording": each.recording.pk,
                "used": each.used.pk if each.used else None,
                "now": each.now.pk if each.now else None,
                "older": each.older,
            }
            for each in clocks_of(result.job)
        ]

    def get_methods_text(self, result: Result) -> str:
        """Return the paragraph on methods."""
        return selectors.methods_text(result)
