"""Comments on results and marks for papers over REST."""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters as df
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from analysis import selectors as results
from analysis.discussion import selectors, services
from analysis.discussion.models import PaperMark, ResultComment
from sessions.api.base import ReadViewSet


class CommentSerializer(serializers.ModelSerializer):
    """What somebody said of a result."""

    person = serializers.CharField(source="person.username", default=None, read_only=True, allow_null=True)

    class Meta:
        model = ResultComment
        fields = ("id", "result", "text", "person", "created", "changed", "withdrawn")
        read_only_fields = ("id", "created", "changed", "withdrawn")


class CommentBodySerializer(serializers.Serializer):
    """A comment to add."""

    result = serializers.UUIDField(help_text="The result that it is on.")
    text = serializers.CharField(max_length=10_000)


class CommentChangeSerializer(serializers.Serializer):
    """A comment corrected."""

    text = serializers.CharField(max_length=10_000)


class MarkSerializer(serializers.ModelSerializer):
    """That a result is for a paper."""

    person = serializers.CharField(source="person.username", default=None, read_only=True, allow_null=True)

    class Meta:
        model = PaperMark
        fields = ("id", "result", "paper", "figure", "person", "created")
        read_only_fields = fields


class MarkBodySerializer(serializers.Serializer):
    """A mark to add."""

    result = serializers.UUIDField()
    paper = serializers.CharField(max_length=120, help_text="What the paper is called in the laboratory.")
    figure = serializers.CharField(max_length=60, required=False, default="", allow_blank=True)


class CommentFilter(df.FilterSet):
    """Of comments."""

    result = df.UUIDFilter(field_name="result_id", help_text="Comments on this result.")
    withdrawn = df.BooleanFilter(
        field_name="withdrawn", lookup_expr="isnull", exclude=True, help_text="Those withdrawn, or the others."
    )

    class Meta:
        model = ResultComment
        fields = ()


class MarkFilter(df.FilterSet):
    """Of marks."""

    result = df.UUIDFilter(field_name="result_id", help_text="Papers that this result is for.")
    paper = df.CharFilter(lookup_expr="iexact", help_text="Results that are for this paper.")
    project = df.UUIDFilter(field_name="result__job__project_id", help_text="Papers of this project.")

    class Meta:
        model = PaperMark
        fields = ()


class CommentViewSet(ReadViewSet):
    """What people said of results of your projects."""

    queryset = ResultComment.objects.all()
    serializer_class = CommentSerializer
    filterset_class = CommentFilter
    ordering_fields: ClassVar[list[str]] = ["created"]

    def get_queryset(self) -> Any:
        """Comments of the projects that the user sees."""
        return selectors.comments(self.request.user)

    @extend_schema(
        summary="Comment on a result",
        request=CommentBodySerializer,
        responses={201: OpenApiResponse(CommentSerializer, description="Added.")},
    )
    def create(self, request: Request) -> Response:
        """Say something of a result."""
        body = CommentBodySerializer(data=request.data)
        body.is_valid(raise_exception=True)
        result = results.result(request.user, body.validated_data["result"])
        return self.reply(services.add_comment(by=request.user, result=result, text=body.validated_data["text"]), 201)

    @extend_schema(summary="Correct a comment of your own", request=CommentChangeSerializer)
    def partial_update(self, request: Request, pk: str | None = None) -> Response:  # noqa: ARG002
        """Correct a comment of one's own; what it said before stays in the audit trail."""
        body = CommentChangeSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        changed = services.change_comment(by=request.user, comment=self.get_object(), **body.validated_data)
        return self.reply(changed)

    @extend_schema(summary="Withdraw a comment")
    def destroy(self, request: Request, pk: str | None = None) -> Response:  # noqa: ARG002
        """Take a comment out of sight: one's own, or any for a manager."""
        services.withdraw_comment(by=request.user, comment=self.get_object())
        return Response(status=204)

    @extend_schema(summary="Show a withdrawn comment again", request=None, responses=CommentSerializer)
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, pk: str | None = None) -> Response:  # noqa: ARG002
        """Show a comment again that was withdrawn."""
        return self.reply(services.restore_comment(by=request.user, comment=self.get_object()))


class MarkViewSet(ReadViewSet):
    """Which results of your projects are for which paper."""

    queryset = PaperMark.objects.all()
    serializer_class = MarkSerializer
    filterset_class = MarkFilter
    ordering_fields: ClassVar[list[str]] = ["paper", "created"]

    def get_queryset(self) -> Any:
        """Marks of the projects that the user sees."""
        return selectors.marks(self.request.user)

    @extend_schema(
        summary="Mark a result for a paper",
        request=MarkBodySerializer,
        responses={201: OpenApiResponse(MarkSerializer, description="Marked, or marked so already.")},
    )
    def create(self, request: Request) -> Response:
        """Say that a result is for a paper."""
        body = MarkBodySerializer(data=request.data)
        body.is_valid(raise_exception=True)
        values = dict(body.validated_data)
        result = results.result(request.user, values.pop("result"))
        return self.reply(services.mark_for_paper(by=request.user, result=result, **values), 201)

    @extend_schema(summary="Take a result out of a paper")
    def destroy(self, request: Request, pk: str | None = None) -> Response:  # noqa: ARG002
        """Take a result out of a paper."""
        services.remove_mark(by=request.user, mark=self.get_object())
        return Response(status=204)
