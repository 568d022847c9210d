"""Chains over REST: what there is, start one on many sessions, look at it, cancel it, try again what failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import django_filters as df
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analysis.chains import selectors, services
from analysis.chains.definitions import BUILT_IN
from analysis.chains.models import Chain, ChainState, ChainStep, StepState
from analysis.chains.planning import MOST_STEPS
from analysis.jobs.models import JobState
from analysis.services import LARGEST_SEED
from sessions.api.base import ReadViewSet
from sessions.api.fields import ObjectField, StrictFields
from sessions.errors import Invalid
from sessions.models import RecordingKind

SHOWN_STATES = list(dict.fromkeys([*StepState.values, *JobState.values]))


class StepInputSerializer(StrictFields, serializers.Serializer):
    """Recordings that a step reads: the session's own of a kind, or those that an earlier step makes."""

    kind = serializers.ChoiceField(choices=RecordingKind.choices)
    step = serializers.CharField(max_length=40, required=False, help_text="The earlier step that makes it.")
    optional = serializers.BooleanField(required=False, help_text="Left out where the session has none.")


class StepRequestSerializer(StrictFields, serializers.Serializer):
    """A step of an own chain."""

    name = serializers.CharField(max_length=40)
    pipeline = serializers.CharField(max_length=64)
    inputs = StepInputSerializer(many=True)
    parameters = ObjectField(required=False, help_text="Those that differ from the pipeline's usual ones.")


class DefinitionSerializer(serializers.Serializer):
    """A built-in chain."""

    name = serializers.CharField()
    title = serializers.CharField()
    summary = serializers.CharField()
    steps = serializers.SerializerMethodField()

    @extend_schema_field(StepRequestSerializer(many=True))
    def get_steps(self, definition: Any) -> list[dict[str, Any]]:
        """Return the steps as a request for an own chain has them."""
        return [
            {
                "name": step.name,
                "pipeline": step.pipeline,
                "inputs": [
                    {"kind": source.kind, **({"step": source.step} if source.step else {}), "optional": source.optional}
                    for source in step.sources
                ],
                "parameters": dict(step.parameters),
            }
            for step in definition.steps
        ]


class ChainRequestSerializer(StrictFields, serializers.Serializer):
    """A chain to start: a built-in one by its name, or own steps."""

    sessions = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=services.MOST_SESSIONS)
    chain = serializers.CharField(max_length=40, required=False)
    steps = StepRequestSerializer(many=True, required=False, min_length=1, max_length=MOST_STEPS)
    parameters = ObjectField(default=dict, help_text="By step: those that differ from usual.")
    recordings = serializers.ListField(
        child=serializers.UUIDField(), max_length=1000, default=list,
        help_text="Which to read, where a session has several of a kind.",
    )  # fmt: skip
    seed = serializers.IntegerField(min_value=0, max_value=LARGEST_SEED, default=1)
    anew = serializers.BooleanField(default=False, help_text="Compute every step, although its result may be there.")

    def validate_parameters(self, value: dict[str, Any]) -> dict[str, Any]:
        """Refuse what is not an object for each step."""
        for name, given in value.items():
            if not isinstance(given, Mapping):
                raise serializers.ValidationError(f"The parameters of {name} are an object of names and values.")
        return value


class AgainSerializer(StrictFields, serializers.Serializer):
    """What to try again: a step, or all that failed."""

    step = serializers.CharField(max_length=40, required=False)


class ChainStepSerializer(serializers.ModelSerializer):
    """A step of a chain."""

    state = serializers.SerializerMethodField()
    after = serializers.SerializerMethodField(help_text="Names of the steps that it waits for.")
    progress = serializers.SerializerMethodField(help_text="0 to 1.")
    result = serializers.SerializerMethodField(help_text="Id of the result, once it succeeded.")

    class Meta:
        model = ChainStep
        fields = (
            "name", "pipeline", "parameters", "seed", "after", "state", "progress", "job", "result", "reused", "reason",
        )  # fmt: skip
        read_only_fields = fields

    @extend_schema_field({"type": "string", "enum": SHOWN_STATES})
    def get_state(self, step: ChainStep) -> str:
        """Return the state of the step, and once it was queued that of its job."""
        return selectors.shown_state(step)

    @extend_schema_field({"type": "array", "items": {"type": "string"}})
    def get_after(self, step: ChainStep) -> list[str]:
        """Return the steps that it waits for."""
        return selectors.after(step)

    def get_progress(self, step: ChainStep) -> float:
        """Return how much of the step is done."""
        return step.job.progress if step.job is not None else 0.0

    @extend_schema_field(serializers.UUIDField(allow_null=True))
    def get_result(self, step: ChainStep) -> str | None:
        """Return the id of the result."""
        result = getattr(step.job, "result", None)
        return str(result.pk) if result else None


class ChainSerializer(serializers.ModelSerializer):
    """A chain on one session."""

    project = serializers.UUIDField(source="session.project_id", read_only=True)
    user = serializers.SlugRelatedField(slug_field="username", read_only=True, allow_null=True)
    state = serializers.ChoiceField(choices=ChainState.choices, read_only=True)
    chain = serializers.CharField(source="definition", read_only=True, help_text="Empty where the steps are own ones.")
    steps = ChainStepSerializer(many=True, read_only=True)

    class Meta:
        model = Chain
        fields = (
            "id", "chain", "title", "session", "project", "batch", "state", "cancel_requested", "anew", "steps", "user",
            "created", "finished",
        )  # fmt: skip
        read_only_fields = fields


class StartedSerializer(serializers.Serializer):
    """Chains that were started together."""

    batch = serializers.UUIDField()
    chains = ChainSerializer(many=True)


class ChainFilter(df.FilterSet):
    """Of chains."""

    state = df.MultipleChoiceFilter(choices=ChainState.choices, help_text="One or several states.")
    chain = df.CharFilter(field_name="definition", help_text="Name of the built-in chain.")
    session = df.UUIDFilter(field_name="session_id", help_text="Chains on this session.")
    project = df.UUIDFilter(field_name="session__project_id", help_text="Chains of this project.")
    batch = df.UUIDFilter(help_text="Chains that were started together.")
    job = df.UUIDFilter(field_name="steps__job", distinct=True, help_text="Chains that this job is a step of.")

    class Meta:
        model = Chain
        fields = ()


class ChainDefinitionsView(APIView):
    """Built-in chains."""

    @extend_schema(summary="Built-in chains with their steps", responses=DefinitionSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Return every built-in chain; its steps are as a request for an own chain has them."""
        if request.query_params:
            raise Invalid(
                f"The list of chains there are has no filter {', '.join(request.query_params)}.",
                {name: ["There is no such filter."] for name in request.query_params},
            )
        return Response(DefinitionSerializer(BUILT_IN, many=True).data)


class ChainViewSet(ReadViewSet):
    """Chains of your projects: pipelines after each other on one session."""

    queryset = Chain.objects.all()
    serializer_class = ChainSerializer
    filterset_class = ChainFilter
    ordering_fields: ClassVar[list[str]] = ["created", "finished", "state"]

    def get_queryset(self) -> Any:
        """Chains of the projects that the user sees."""
        return selectors.chains(self.request.user)

    @extend_schema(
        summary="Start a chain on sessions",
        request=ChainRequestSerializer,
        responses={201: OpenApiResponse(StartedSerializer, description="One chain for each session, in their order.")},
    )
    def create(self, request: Request) -> Response:
        """Start a chain on each of the sessions; on none, if it cannot be started on one of them."""
        body = ChainRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        started = services.start(user=request.user, **body.validated_data)
        rows = {row.pk: row for row in self.get_queryset().filter(batch=started[0].batch)}
        chains = [rows[one.pk] for one in started]
        return Response(StartedSerializer({"batch": started[0].batch, "chains": chains}).data, status=201)

    @extend_schema(summary="End a chain", request=None, responses=ChainSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str | None = None) -> Response:  # noqa: ARG002
        """End what waits and what is computed; 409 when the chain has ended already."""
        return self.reply(services.cancel(user=request.user, chain=self.get_object()))

    @extend_schema(summary="Try again what failed", request=AgainSerializer, responses=ChainSerializer)
    @action(detail=True, methods=["post"])
    def again(self, request: Request, pk: str | None = None) -> Response:  # noqa: ARG002
        """Queue once more what failed or was cancelled, and go on from there; 409 when nothing did."""
        body = AgainSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        chain = self.get_object()
        return self.reply(services.try_again(user=request.user, chain=chain, step=body.validated_data.get("step")))
