"""Results to take home: each as a ZIP that draws its figures by itself."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from analysis import bundles, selectors
from sessions.downloads import file_response
from sessions.errors import Invalid

ZIP = "application/zip"
REPLIES: dict[Any, Any] = {
    (200, ZIP): OpenApiTypes.BINARY,
    (206, ZIP): OpenApiTypes.BINARY,
    416: OpenApiResponse(description="The range is outside the file."),
}
IDS = {
    "type": "array",
    "items": {"type": "string", "format": "uuid"},
    "minItems": 1,
    "maxItems": bundles.MOST_RESULTS,
}


class BundleView(APIView):
    """The bundle of one result."""

    @extend_schema(operation_id="results_bundle_retrieve", summary="A result as a bundle", responses=REPLIES)
    def get(self, request: Request, result: UUID) -> HttpResponseBase:
        """Return data, code and notebook that draw the result's figures, versions, provenance and methods as a ZIP.

        It is made at the first request and kept; ``Range`` is understood.
        """
        found = selectors.result(request.user, result)
        return _response(request._request, bundles.of_result(found), f"{bundles.name_of(found)}.zip")


class BundlesView(APIView):
    """The bundle of several results."""

    @extend_schema(
        operation_id="results_bundles_retrieve",
        summary="Several results as one bundle",
        parameters=[OpenApiParameter("id", IDS, description="Repeat it for several.", required=True)],
        responses=REPLIES,
    )
    def get(self, request: Request) -> HttpResponseBase:
        """Return the bundles of results, each in a folder of its own, as one ZIP; ``Range`` is understood."""
        results = [selectors.result(request.user, pk) for pk in _ids(request)]
        return _response(request._request, bundles.of_results(results), f"{len(results)}-results.zip")


def _ids(request: Request) -> list[UUID]:
    if unknown := sorted(set(request.query_params) - {"id"}):
        raise Invalid(
            f"There is no parameter {', '.join(unknown)}; name results with id.",
            {name: ["There is no such parameter."] for name in unknown},
        )
    try:
        found = [UUID(text) for text in request.query_params.getlist("id")]
    except ValueError as error:
        sentence = "The id of a result is a UUID."
        raise Invalid(sentence, {"id": [sentence]}) from error
    if not 0 < len(found) <= bundles.MOST_RESULTS:
        sentence = f"Name 1 to {bundles.MOST_RESULTS} results with id; these are {len(found)}."
        raise Invalid(sentence, {"id": [sentence]})
    return list(dict.fromkeys(found))


def _response(request: HttpRequest, path: Path, name: str) -> HttpResponseBase:
    status = path.stat()
    return file_response(
        request,
        path,
        name=name,
        etag=f'"{path.parent.name}-{status.st_size:x}-{status.st_mtime_ns:x}"',
        modified=datetime.fromtimestamp(status.st_mtime, tz=UTC),
        size=status.st_size,
        content_type=ZIP,
    )
