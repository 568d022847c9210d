"""Lists as CSV, for spreadsheets: ``Accept: text/csv`` or ``?format=csv``."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

from rest_framework.renderers import BaseRenderer, JSONRenderer

# A cell that starts so is run as a formula by spreadsheets.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class CsvRenderer(BaseRenderer):
    """One line of names, one line for each row; objects and lists are JSON in their cell. Errors stay JSON."""

    media_type = "text/csv"
    format = "csv"
    charset = "utf-8"

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,  # noqa: ARG002 - the framework's signature
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Return the table of a list."""
        context = renderer_context or {}
        response = context.get("response")
        rows = data.get("results") if isinstance(data, dict) else data
        if (response is not None and response.status_code >= 400) or not isinstance(rows, list):  # noqa: PLR2004
            if response is not None:
                response.headers["Content-Type"] = "application/json"
            return JSONRenderer().render(data, "application/json", context)
        columns = list(rows[0]) if rows else _columns(context.get("view"))
        text = io.StringIO()
        table = csv.writer(text)
        table.writerow(columns)
        table.writerows([_cell(row.get(column)) for column in columns] for row in rows)
        if response is not None:
            response.headers["Content-Disposition"] = f'attachment; filename="{_name(context.get("view"))}.csv"'
        return text.getvalue().encode()


def _columns(view: Any) -> list[str]:
    return list(view.get_serializer().fields) if view is not None else []


def _name(view: Any) -> str:
    if given := getattr(view, "csv_name", ""):
        return str(given)
    queryset = getattr(view, "queryset", None)
    return queryset.model._meta.model_name if queryset is not None else "list"


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value
