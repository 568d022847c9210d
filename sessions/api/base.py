"""What every REST collection of the laboratory does alike."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import mixins, viewsets
from rest_framework.filters import OrderingFilter
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import ValidationError

from sessions.api.csv import CsvRenderer
from sessions.api.idempotency import IdempotentPosts
from sessions.api.parsers import StrictJSONParser
from sessions.errors import Invalid, TooLarge

MOST_CSV_ROWS = 100_000


class StrictFilterBackend(DjangoFilterBackend):
    """Filters by the declared fields; a query parameter that nobody declared is refused, not ignored."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        """Filter, after looking at the names of all parameters."""
        filterset_class = self.get_filterset_class(view, queryset)
        declared = set(filterset_class.base_filters) if filterset_class else set()
        known = declared | {"format", "page", "page_size", "ordering"}
        unknown = sorted(set(request.query_params) - known)
        if unknown:
            raise Invalid(
                f"There is no filter {', '.join(unknown)}; there is {', '.join(sorted(known))}.",
                {name: ["There is no such filter."] for name in unknown},
            )
        return super().filter_queryset(request, queryset, view)


class StrictOrderingFilter(OrderingFilter):
    """Orders by the declared fields; another name is refused. Rows that are alike stay in one order across pages."""

    def get_ordering(self, request: Request, queryset: QuerySet[Any], view: Any) -> Any:
        """Return the ordering asked for, ended by the primary key."""
        asked = [name.strip() for name in request.query_params.get(self.ordering_param, "").split(",") if name.strip()]
        fields = [name for name, _ in self.get_valid_fields(queryset, view, {"request": request})]
        wrong = [name for name in asked if name.removeprefix("-") not in fields]
        if wrong:
            raise Invalid(
                f"The list is not ordered by {', '.join(wrong)}, but by {', '.join(fields)} (with - for descending).",
                {self.ordering_param: ["There is no such order."]},
            )
        ordering = list(
            asked or self.get_default_ordering(view) or queryset.query.order_by or queryset.model._meta.ordering
        )
        return [*ordering, "pk"]


class LabViewSet(IdempotentPosts, viewsets.GenericViewSet):
    """A collection: strict JSON in, JSON or CSV out, declared filters only, POST once for each ``Idempotency-Key``."""

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
