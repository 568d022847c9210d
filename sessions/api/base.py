"""What every REST collection of the laboratory does alike."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from rest_framework import mixins, viewsets
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import ValidationError

from sessions.api.csv import CsvRenderer
from sessions.api.idempotency import IdempotentPosts
from sessions.api.parsers import StrictJSONParser
from sessions.api.strictness import StrictFilterBackend, StrictOrderingFilter
from sessions.api.versions import VersionedRows
from sessions.errors import TooLarge

MOST_CSV_ROWS = 100_000


class LabViewSet(IdempotentPosts, VersionedRows, viewsets.GenericViewSet):
    """A collection: strict JSON in, JSON or CSV out, declared filters only, POST once for each ``Idempotency-Key``.

    A row has an ``ETag``, and a change may say by ``If-Match`` which version it is of.
    """

    parser_classes = (StrictJSONParser,)
    renderer_classes = (JSONRenderer, CsvRenderer)
    filter_backends = (StrictFilterBackend, StrictOrderingFilter)

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Filter lists only: a single row is found by its id alone."""
        return super().filter_queryset(queryset) if not self.detail else queryset

    def get_object(self) -> Any:
        """Return the row of the address; 404 also for what is no id at all."""
        try:
            return super().get_object()
        except (ValidationError, ValueError, TypeError):
            raise Http404 from None

    def paginate_queryset(self, queryset: QuerySet[Any]) -> Any:
        """Page lists; a CSV is whole unless a page is asked for."""
        asked = {"page", "page_size"} & set(self.request.query_params)
        if getattr(self.request.accepted_renderer, "format", "") == "csv" and not asked:
            if queryset[MOST_CSV_ROWS : MOST_CSV_ROWS + 1].exists():
                raise TooLarge(f"This is more than {MOST_CSV_ROWS} rows; narrow it by a filter, or ask for pages.")
            return None
        return super().paginate_queryset(queryset)

    def validated(self, request: Request, **options: Any) -> dict[str, Any]:
        """Return the checked body of a request."""
        serializer = self.get_serializer(data=request.data, **options)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def reply(self, instance: Any, status: int = 200) -> Response:
        """Return a row as it is read, with everything that its list has."""
        fresh = self.get_queryset().get(pk=instance.pk)
        return Response(self.get_serializer(fresh).data, status=status)


class ReadViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, LabViewSet):
    """A collection that REST only reads, or whose writes its subclass adds."""
