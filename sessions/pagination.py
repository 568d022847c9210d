"""Pages of lists, of the site and over REST: counted exactly while that is cheap, estimated by Postgres above."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import ceil
from typing import Any

from django.core.paginator import EmptyPage, Page, PageNotAnInteger, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property
from rest_framework.pagination import PageNumberPagination
from rest_framework.response import Response

from sessions.errors import Invalid
from sessions.selectors import cut

# Counting a million rows takes longer than reading a page of them, and nobody needs the last digits.
COUNTED_EXACTLY = 10_000
ROWS = 50
MOST_ROWS = 250
# Postgres counts rows in 64 bits.
FURTHEST = 2**62


class LabPage(Page):
    """A page that knows by one row more than it shows whether another follows."""

    def __init__(self, rows: Sequence[Any], number: int, paginator: LabPaginator) -> None:
        self.more = len(rows) > paginator.per_page
        super().__init__(rows[: paginator.per_page], number, paginator)

    def has_next(self) -> bool:
        """Return whether there are rows after these."""
        return self.more

    def next_page_number(self) -> int:
        """Return the number of the page after this one; ``EmptyPage`` when it is the last."""
        if not self.more:
            raise EmptyPage("That page contains no results")
        return self.number + 1

    def end_index(self) -> int:
        """Return the place in the list of the last row shown, from 1."""
        return (self.number - 1) * self.paginator.per_page + len(self.object_list)

    def start_index(self) -> int:
        """Return the place in the list of the first row shown, from 1; 0 where there is none."""
        return (self.number - 1) * self.paginator.per_page + 1 if self.object_list else 0


class LabPaginator(Paginator):
    """Pages of a queryset that may have millions of rows.

    ``count`` is exact to 10,000 rows (``COUNTED_EXACTLY``), above it is Postgres' estimate and ``estimated`` is true.
    Where ``many`` is true, words were searched for that many rows have, and only the end of the list would tell.
    """

    estimated = False

    @property
    def many(self) -> bool:
        """Return whether there are more rows than are worth counting."""
        rows: Any = self.object_list
        return "count" not in self.__dict__ and "among_many" in rows.query.annotations

    def page(self, number: Any) -> LabPage:
        """Return a page; ``EmptyPage`` where there are no rows, except on the first."""
        wanted = self._whole(number)
        start = (wanted - 1) * self.per_page
        rows = self._rows(start, start + self.per_page + 1) if start < FURTHEST else []
        if not rows and wanted > 1:
            raise EmptyPage("That page contains no results")
        if len(rows) <= self.per_page:
            # The end of the list was seen, so nothing is left to count.
            self.__dict__["count"] = start + len(rows)
        return LabPage(rows, wanted, self)

    def get_page(self, number: Any) -> LabPage:
        """Return a page, for addresses that people edit: the first for what is no number, the last beyond the end."""
        try:
            return self.page(number)
        except PageNotAnInteger:
            return self.page(1)
        except EmptyPage:
            if self.many:
                return self.page(1)
            return self.page(max(1, ceil(self._bare().count() / self.per_page)))

    def _rows(self, start: int, stop: int) -> list[Any]:
        rows: Any = self.object_list
        # Worth a query more only where something is joined or counted for each row.
        wide = isinstance(rows, QuerySet) and (rows.query.select_related or rows.query.annotations)
        return cut(rows, start, stop) if wide and (start or rows.query.annotations) else list(rows[start:stop])

    @cached_property
    def count(self) -> int:
        """Number of rows, exact or estimated."""
        if isinstance(self.object_list, Sequence):
            return len(self.object_list)
        some = self._bare()[: COUNTED_EXACTLY + 1].count()
        if some <= COUNTED_EXACTLY:
            return some
        self.estimated = True
        plan = json.loads(self._bare().explain(format="json"))
        return max(some, round(plan[0]["Plan"]["Plan Rows"]))

    @staticmethod
    def _whole(number: Any) -> int:
        try:
            wanted = int(number)
        except (TypeError, ValueError):
            raise PageNotAnInteger("That page number is not an integer") from None
        if wanted < 1:
            raise EmptyPage("That page number is less than 1")
        return wanted

    def _bare(self) -> QuerySet[Any]:
        """Return the rows without their order and without what is shown of them."""
        rows: Any = self.object_list
        return rows.order_by().values("pk")


def page_of(request: HttpRequest, rows: QuerySet[Any]) -> LabPage:
    """Return the page of a list that the address asks for by ``page`` and ``rows`` (to 250; 50 when not given)."""
    asked = request.GET.get("rows", "")
    size = min(max(int(asked), 1), MOST_ROWS) if asked.isdecimal() and len(asked) < 6 else ROWS  # noqa: PLR2004
    return LabPaginator(rows, size).get_page(request.GET.get("page") or 1)


class LabPagination(PageNumberPagination):
    """``{count, estimated, next, previous, results}``, 50 rows a page unless ``page_size`` (to 1,000) says otherwise.

    ``count`` is exact to 10,000 rows; above, ``estimated`` is true and it is what Postgres expects.
    """

    django_paginator_class = LabPaginator
    page_size = ROWS
    page_size_query_param = "page_size"
    max_page_size = 1000
    # The last page of an estimate is a guess; a script follows `next`.
    last_page_strings = ()
    template = None

    def get_page_size(self, request: Any) -> int:
        """Return how many rows a page has; ``Invalid`` for what is no number of rows."""
        asked = request.query_params.get(self.page_size_query_param)
        if asked is None:
            return self.page_size
        if not (asked.isascii() and asked.isdecimal() and int(asked[:20]) > 0):
            raise Invalid(f"page_size is not {asked[:40]!r}, but a number of rows from 1 to {self.max_page_size}.")
        return min(int(asked[:20]), self.max_page_size)

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """Say in the description of the interface from where pages are counted."""
        found = super().get_schema_operation_parameters(view)
        for parameter in found:
            parameter["schema"] = {**parameter["schema"], "minimum": 1}
        return found

    def get_paginated_response(self, data: Any) -> Response:
        """Return a page with what it is a part of."""
        count = self.page.paginator.count
        return Response(
            {
                "count": count,
                "estimated": self.page.paginator.estimated,
                "next": self.get_next_link(),
                "previous": self.get_previous_link(),
                "results": data,
            }
        )

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Say what a page is in the description of the interface."""
        found = super().get_paginated_response_schema(schema)
        found["properties"]["estimated"] = {
            "type": "boolean",
            "description": f"Whether count is an estimate: it is exact to {COUNTED_EXACTLY:,} rows.",
        }
        found["required"] = [*found["required"], "estimated"]
        return found
