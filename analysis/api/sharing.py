"""Links to results over REST."""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters as df
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from analysis import selectors
from analysis.sharing import services
from analysis.sharing.models import ShareLink
from sessions.api.base import ReadViewSet
from sessions.api.fields import StrictFields


class ShareLinkRequestSerializer(StrictFields, serializers.Serializer):
    """A link that is asked for."""

    result = serializers.UUIDField()
    expires = serializers.DateTimeField(allow_null=True, default=None, help_text="Without it the link does not expire.")
    note = serializers.CharField(max_length=services.LONGEST_NOTE, allow_blank=True, default="", help_text="For whom.")


class ShareLinkSerializer(serializers.ModelSerializer):
    """A link without its key."""

    created_by = serializers.SlugRelatedField(slug_field="username", read_only=True, allow_null=True)

    class Meta:
        model = ShareLink
        fields: tuple[str, ...] = (
            "id", "result", "note", "created", "created_by", "expires", "revoked", "uses", "last_used",
        )  # fmt: skip
        read_only_fields = fields


class NewShareLinkSerializer(ShareLinkSerializer):
    """A link with its address, which is told this once."""

    url = serializers.URLField(read_only=True)

    class Meta(ShareLinkSerializer.Meta):
        fields = (*ShareLinkSerializer.Meta.fields, "url")
        read_only_fields = fields


class ShareLinkFilter(df.FilterSet):
    """Of links."""

    result = df.UUIDFilter(field_name="result_id", help_text="The links to this result.")

    class Meta:
        model = ShareLink
        fields = ()


class ShareLinkViewSet(ReadViewSet):
    """Links that show a result of your projects to whoever has them; for those who may change the project."""

    queryset = ShareLink.objects.all()
    serializer_class = ShareLinkSerializer
    filterset_class = ShareLinkFilter
    ordering_fields: ClassVar[list[str]] = ["created", "expires", "last_used", "uses"]
    idempotency_secrets = ("url",)

    def get_queryset(self) -> Any:
        """Links to results of the projects that the user may change."""
        return services.links(self.request.user)

    @extend_schema(
        summary="Share a result by a link",
        request=ShareLinkRequestSerializer,
        responses={201: OpenApiResponse(NewShareLinkSerializer, description="With its address, this once.")},
    )
    def create(self, request: Request) -> Response:
        """Make a link; its address is in this reply and never again."""
        body = ShareLinkRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        asked = dict(body.validated_data)
        result = selectors.result(request.user, asked.pop("result"))
        link, key = services.share(by=request.user, result=result, **asked)
        address = reverse("shared-result", args=[key], request=request)
        return Response({**self.get_serializer(link).data, "url": address}, status=201)

    @extend_schema(summary="Revoke a link", request=None, responses=ShareLinkSerializer)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str | None = None) -> Response:  # noqa: ARG002
        """Revoke a link; 409 when it was revoked already."""
        return self.reply(services.revoke(by=request.user, link=self.get_object()))
