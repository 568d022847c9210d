"""What every REST collection of the laboratory does alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404
from rest_framework import mixins, viewsets
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer, ValidationError

from sessions.api.csv import CsvRenderer
from sessions.api.idempotency import IdempotentPosts
from sessions.api.parsers import StrictJSONParser
from sessions.api.strictness import StrictFilterBackend, StrictOrderingFilter
from sessions.api.versions import VersionedRows
from sessions.errors import Invalid, LabError, TooLarge

MOST_CSV_ROWS = 100_000
MOST_AT_ONCE = 1_000


class LabViewSet(IdempotentPosts, VersionedRows, viewsets.GenericViewSet):
    """A collection: strict JSON in, JSON or CSV out, declared filters only, POST once for each ``Idempotency-Key``.

    A row has an ``ETag``, and a change may say by ``If-Match`` which version it is of. Where ``takes_lists`` is true a
    POST adds one row or a list of them (`created`).
    """

    takes_lists: ClassVar[bool] = False

    parser_classes = (StrictJSONParser,)
    renderer_classes = (JSONRenderer, CsvRenderer)
    filter_backends = (StrictFilterBackend, StrictOrderingFilter)
    # The order of a list that nobody asks for, where that is not the model's.
    ordering: tuple[str, ...] | None = None
    # What the file of a list is called, where that is not the model's name.
    csv_name = ""

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Filter lists only: a single row is found by its id alone."""
        return super().filter_queryset(queryset) if not self.detail else queryset

    def get_object(self) -> Any:
        """Return the row of the address; 404 also for what is no id at all."""
        try:
            return super().get_object()
        except (ValidationError, ValueError, TypeError):
            raise Http404 from None

    def paginate_queryset(self, queryset: QuerySet[Any] | Sequence[Any]) -> Any:
        """Page lists; a CSV is whole unless a page is asked for."""
        asked = {"page", "page_size"} & set(self.request.query_params)
        if getattr(self.request.accepted_renderer, "format", "") == "csv" and not asked:
            if queryset[MOST_CSV_ROWS : MOST_CSV_ROWS + 1]:
                raise TooLarge(f"This is more than {MOST_CSV_ROWS} rows; narrow it by a filter, or ask for pages.")
            return None
        return super().paginate_queryset(queryset)

    def validated(self, request: Request, **options: Any) -> dict[str, Any]:
        """Return the checked body of a request."""
        serializer = self.get_serializer(data=request.data, **options)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def created(self, request: Request, add: Callable[..., Any], body: type[BaseSerializer] | None = None) -> Response:
        """Create the row of a body, or those of a list: all in one transaction, or none.

        What is wrong with a row of a list is told by its place in it: ``[3].weight``.
        """
        many = isinstance(request.data, list)
        if many and not self.takes_lists:
            raise Invalid("One at a time: send an object.")
        if many and not 0 < len(request.data) <= MOST_AT_ONCE:
            raise Invalid(f"A list has 1 to {MOST_AT_ONCE} rows; send more in parts.")
        chosen = body or self.get_serializer_class()
        serializer = chosen(data=request.data, many=many, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        if not many:
            return self.reply(add(by=request.user, **serializer.validated_data), 201)
        with transaction.atomic():
            made = [_added(add, number, request, values).pk for number, values in enumerate(serializer.validated_data)]
        rows = {row.pk: row for row in self.get_queryset().filter(pk__in=made)}
        return Response(self.get_serializer([rows[pk] for pk in made], many=True).data, status=201)

    def reply(self, instance: Any, status: int = 200) -> Response:
        """Return a row as it is read, with everything that its list has."""
        fresh = self.get_queryset().get(pk=instance.pk)
        return Response(self.get_serializer(fresh).data, status=status)


def _added(add: Callable[..., Any], number: int, request: Request, values: Any) -> Any:
    """Add a row of a list; what is wrong with it is told with its place."""
    try:
        return add(by=request.user, **values)
    except LabError as error:
        place = f"[{number}]"
        error.errors = {f"{place}.{name}": said for name, said in error.errors.items()} or {place: [error.detail]}
        error.detail = f"{place}: {error.detail}"
        raise


class ReadViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, LabViewSet):
    """A collection that REST only reads, or whose writes its subclass adds."""
