"""Lists are narrowed and ordered by what is declared; another name is refused, not ignored."""

from __future__ import annotations

from typing import Any

from django.core.validators import EMPTY_VALUES
from django.db.models import QuerySet
from django_filters import BooleanFilter, CharFilter, Filter
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.filters import OrderingFilter
from rest_framework.request import Request
from rest_framework.serializers import ValidationError

from sessions.errors import Invalid


class StrictFilterBackend(DjangoFilterBackend):
    """Filters by the declared fields; a query parameter that nobody declared is refused, not ignored."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> QuerySet[Any]:
        """Filter, after looking at the names of all parameters."""
        filterset_class = self.get_filterset_class(view, queryset)
        _check_names_and_values(request, filterset_class)
        return super().filter_queryset(request, queryset, view)

    def values(self, request: Request, view: Any) -> dict[str, Any]:
        """Return the checked filters of a list that is made, not read: by name, ``None`` where nothing is asked."""
        filterset_class = view.filterset_class
        _check_names_and_values(request, filterset_class)
        form = filterset_class(request.query_params, queryset=view.queryset.none()).form
        if not form.is_valid():
            raise ValidationError(form.errors)
        return {name: None if value in EMPTY_VALUES else value for name, value in form.cleaned_data.items()}


def _check_names_and_values(request: Request, filterset_class: Any) -> None:
    declared = set(filterset_class.base_filters) if filterset_class else set()
    known = declared | {"format", "page", "page_size", "ordering"}
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        raise Invalid(
            f"There is no filter {', '.join(unknown)}; there is {', '.join(sorted(known))}.",
            {name: ["There is no such filter."] for name in unknown},
        )
    if request.query_params.get("format") == "":
        raise Invalid("The format is json or csv.", {"format": ["Write json or csv, or leave it out."]})
    for name, filter_ in (filterset_class.base_filters if filterset_class else {}).items():
        if (value := request.query_params.get(name)) is not None:
            _check_said(name, value, filter_)


def _check_said(name: str, value: str, filter_: Filter) -> None:
    """Refuse what a filter would take for nothing said, and so leave the list as it is."""
    wanted = ""
    if isinstance(filter_, BooleanFilter) and value.lower() not in {"true", "false"}:
        wanted = "true or false"
    elif not value and not isinstance(filter_, CharFilter):
        wanted = "a value, or leave it out"
    if wanted:
        raise Invalid(f"The filter {name} is not {value[:40]!r}: write {wanted}.", {name: [f"Write {wanted}."]})


class StrictOrderingFilter(OrderingFilter):
    """Orders by the declared fields; another name is refused. Rows that are alike stay in one order across pages.

    That order is by primary key, against the direction of the last field: as the indexes have it (``-created, id``),
    which Postgres reads either way, so that a million rows that are alike need not be sorted.
    """

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
        if ordering[-1].removeprefix("-") in {"id", "pk"}:
            return ordering
        return [*ordering, "pk" if ordering[-1].startswith("-") else "-pk"]
