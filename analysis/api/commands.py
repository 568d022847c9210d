"""Registered commands over REST, for administrators."""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters as df
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from analysis.commands import services
from analysis.commands.models import Command
from sessions.api.base import ReadViewSet
from sessions.api.fields import ObjectField, StrictFields


class CommandRequestSerializer(StrictFields, serializers.Serializer):
    """A command, or the next version of one."""

    name = serializers.CharField(max_length=48, help_text="It is queued as command.<name>.")
    summary = serializers.CharField(max_length=300)
    declaration = ObjectField(help_text="argv, inputs, parameters, outputs, timeout, largest, environment.")
    queue = serializers.CharField(max_length=20, default="cpu")


class CommandSerializer(serializers.ModelSerializer):
    """A version of a command."""

    pipeline = serializers.CharField(read_only=True, help_text="The name under which it is queued.")
    declaration = ObjectField(read_only=True)
    files = ObjectField(read_only=True, help_text="SHA-256 of the program's own files, by path.")
    created_by = serializers.SlugRelatedField(slug_field="username", read_only=True, allow_null=True)

    class Meta:
        model = Command
        fields = (
            "id", "name", "version", "pipeline", "summary", "queue", "declaration", "files", "created", "created_by",
            "retired",
        )  # fmt: skip
        read_only_fields = fields


class CommandFilter(df.FilterSet):
    """Of commands."""

    name = df.CharFilter(help_text="The versions of one command.")
    in_use = df.BooleanFilter(field_name="retired", lookup_expr="isnull", help_text="Those that were not retired.")

    class Meta:
        model = Command
        fields = ()


class CommandViewSet(ReadViewSet):
    """Programs of the server as steps: every version of each, for administrators."""

    queryset = Command.objects.all()
    serializer_class = CommandSerializer
    filterset_class = CommandFilter
    ordering_fields: ClassVar[list[str]] = ["name", "version", "created"]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Let nobody else in: an argument list tells much of a server."""
        super().initial(request, *args, **kwargs)
        services.require_administrator(request.user)

    def get_queryset(self) -> Any:
        """Every version of every command."""
        return Command.objects.select_related("created_by")

    @extend_schema(
        summary="Register a command, or the next version of one",
        request=CommandRequestSerializer,
        responses={201: OpenApiResponse(CommandSerializer, description="The version that is queued from now on.")},
    )
    def create(self, request: Request) -> Response:
        """Register a command; 409 when its newest version is just this."""
        body = CommandRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        return self.reply(services.register(by=request.user, **body.validated_data), 201)

    @extend_schema(summary="Take a version out of use", request=None, responses=CommandSerializer)
    @action(detail=True, methods=["post"])
    def retire(self, request: Request, pk: str | None = None) -> Response:  # noqa: ARG002
        """Take a version out of use: it is neither queued nor run any more; 409 when it is out of use already."""
        return self.reply(services.retire(by=request.user, command=self.get_object()))

    @extend_schema(summary="Put a version into use again", request=None, responses=CommandSerializer)
    @action(detail=True, methods=["post"], url_path="bring-back")
    def bring_back(self, request: Request, pk: str | None = None) -> Response:  # noqa: ARG002
        """Put a version into use again; 409 when it is in use."""
        return self.reply(services.bring_back(by=request.user, command=self.get_object()))
