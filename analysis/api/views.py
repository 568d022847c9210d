"""Pipelines, jobs and results over REST."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from analysis import drawings, selectors, services
from analysis.api import filters
from analysis.api import serializers as s
from analysis.jobs.models import Job, Result
from analysis.nwb_export import queue_export
from sessions.api.base import ReadViewSet
from sessions.downloads import file_response
from sessions.errors import Invalid, NotFound
from sessions.selectors import one, sessions


class PipelinesView(APIView):
    """What can be queued."""

    @extend_schema(summary="Pipelines with their inputs and parameters", responses=s.OfferedSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Return every pipeline with its inputs and the JSON Schema of its parameters."""
        from analysis import offered

        if request.query_params:
            raise Invalid(
                f"The list of pipelines has no filter {', '.join(request.query_params)}.",
                {name: ["There is no such filter."] for name in request.query_params},
            )
        return Response(s.OfferedSerializer(offered.everything(), many=True).data)


class JobViewSet(ReadViewSet):
    """Jobs of your projects: queued, running and ended."""

    queryset = Job.objects.all()
    serializer_class = s.JobSerializer
    filterset_class = filters.JobFilter
    ordering_fields: ClassVar[list[str]] = ["created", "started", "finished", "state", "pipeline"]

    def get_queryset(self) -> Any:
        """Jobs of the projects that the user sees; parts of jobs only where they are asked for."""
        if self.action != "list":
            return selectors.every_job(self.request.user).defer(None)
        if "parent" in self.request.query_params:
            return selectors.every_job(self.request.user)
        return selectors.jobs(self.request.user)

    def get_serializer_class(self) -> type[BaseSerializer[Any]]:
        """A single job has its log."""
        return s.JobSerializer if self.action == "list" else s.JobDetailSerializer

    @extend_schema(
        summary="Queue a pipeline, or get the job that computed just that",
        request=s.JobRequestSerializer,
        responses={
            201: OpenApiResponse(s.JobDetailSerializer, description="Queued."),
            200: OpenApiResponse(s.JobDetailSerializer, description="The job that computes or has computed just that."),
        },
    )
    def create(self, request: Request) -> Response:
        """Queue a pipeline on recordings."""
        body = s.JobRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        job, created = services.submit(user=request.user, **body.validated_data)
        return self.reply(job, 201 if created else 200)

    @extend_schema(summary="End a job", request=None, responses=s.JobDetailSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str | None = None) -> Response:  # noqa: ARG002
        """End a job that waits or runs; 409 when it has ended already."""
        return self.reply(services.cancel(user=request.user, job=self.get_object()))


class ResultViewSet(ReadViewSet):
    """Results of your projects: numbers with units, figures, files, and where all that comes from."""

    queryset = Result.objects.all()
    serializer_class = s.ResultSerializer
    filterset_class = filters.ResultFilter
    ordering_fields: ClassVar[list[str]] = ["created"]

    def get_queryset(self) -> Any:
        """Results of the projects that the user sees."""
        return selectors.results(self.request.user).prefetch_related("derived")

    def get_serializer_class(self) -> Any:
        """One result also tells its methods in words; in a list that would be long."""
        return s.ResultDetailSerializer if self.action == "retrieve" else super().get_serializer_class()

    @extend_schema(summary="Compute a result again", request=None, responses={201: s.JobDetailSerializer})
    @action(detail=True, methods=["post"])
    def reproduce(self, request: Request, pk: str | None = None) -> Response:  # noqa: ARG002
        """Queue the same computation anew; the new result says whether the numbers agree."""
        job = services.reproduce(user=request.user, result=self.get_object()).job
        return Response(
            s.JobDetailSerializer(selectors.job(request.user, job.pk), context={"request": request}).data, status=201
        )


class SessionNwbView(APIView):
    """A session as an NWB file."""

    @extend_schema(
        operation_id="sessions_nwb_create",
        summary="Queue the export of a session as NWB",
        request=None,
        responses={200: s.JobDetailSerializer, 201: s.JobDetailSerializer},
    )
    def post(self, request: Request, session: Any) -> Response:
        """Queue a job whose result has the file; 200 with the job that has done it when nothing has changed since."""
        found = one(sessions(request.user), session)
        job, created = queue_export(user=request.user, session=found)
        shown = s.JobDetailSerializer(selectors.job(request.user, job.pk), context={"request": request})
        return Response(shown.data, status=201 if created else 200)


class FigureView(APIView):
    """Files of figures."""

    @extend_schema(
        summary="A figure as PNG, SVG, PDF, or its data as JSON",
        parameters=[
            OpenApiParameter("file_format", location="path", enum=["png", "svg", "pdf", "json"]),
            OpenApiParameter("figure", location="path", description="Name of the figure in the result."),
        ],
        responses={
            (200, "image/png"): OpenApiTypes.BINARY,
            (200, "image/svg+xml"): OpenApiTypes.BINARY,
            (200, "application/pdf"): OpenApiTypes.BINARY,
            (200, "application/json"): OpenApiTypes.OBJECT,
        },
    )
    def get(self, request: Request, result: Any, figure: str, file_format: str) -> HttpResponseBase:
        """Return a figure's file; a drawing is made at the first request and kept."""
        return figure_response(request._request, selectors.result(request.user, result), figure, file_format)


class ArtifactView(APIView):
    """Files of a result."""

    @extend_schema(
        summary="A file of a result, whole or a range of it",
        parameters=[OpenApiParameter("name", location="path", description="Name of the artifact in the result.")],
        responses={
            (200, "application/octet-stream"): OpenApiTypes.BINARY,
            (206, "application/octet-stream"): OpenApiTypes.BINARY,
            416: OpenApiResponse(description="The range is outside the file."),
        },
    )
    def get(self, request: Request, result: Any, name: str) -> HttpResponseBase:
        """Return an artifact; ``Range`` is understood."""
        return artifact_response(request._request, selectors.result(request.user, result), name)


DRAWING_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; sandbox"


def figure_response(request: HttpRequest, result: Result, name: str, file_format: str) -> HttpResponseBase:
    """Return a figure's file, for REST and for pages."""
    path = drawings.data_path(result, name) if file_format == "json" else drawings.paper(result, name, file_format)
    status = path.stat()
    response = file_response(
        request,
        path,
        name=f"{result.job.pipeline}-{name}.{file_format}",
        etag=f'"{result.pk}-{name}-{file_format}-{drawings.drawn_as()}-{status.st_mtime_ns:x}"',
        modified=datetime.fromtimestamp(status.st_mtime, tz=UTC),
        size=status.st_size,
        content_type=drawings.CONTENT_TYPES[file_format],
        inline=file_format in ("png", "svg"),
    )
    # A drawing is styled by attributes, which the policy of the pages forbids; by itself it can load and run nothing.
    response.headers["Content-Security-Policy"] = DRAWING_POLICY
    return response


def page_item_response(request: HttpRequest, result: Result, name: str, theme: str) -> HttpResponseBase:
    """Return a figure as the JSON that Bokeh draws in a page, for those who are signed in and for shared results."""
    path = drawings.page_item(result, name, theme)
    status = path.stat()
    return file_response(
        request,
        path,
        name=path.name,
        etag=f'"{result.pk}-{name}-{theme}-{drawings.drawn_as()}-{status.st_mtime_ns:x}"',
        modified=datetime.fromtimestamp(status.st_mtime, tz=UTC),
        size=status.st_size,
        content_type="application/json",
        inline=True,
    )


def artifact_response(request: HttpRequest, result: Result, name: str) -> HttpResponseBase:
    """Return a file of a result; ``NotFound`` when it has none of that name or the file is gone."""
    artifact = next((artifact for artifact in result.artifacts.all() if artifact.name == name), None)
    if artifact is None:
        raise NotFound(f"This result has no file {name!r}.")
    path = drawings.folder_of(result) / "artifacts" / artifact.name
    if not path.is_file():
        raise NotFound("The files of this result are gone from the disk; compute it again with Reproduce.")
    return file_response(
        request,
        path,
        name=path.name,
        etag=f'"{artifact.sha256}"',
        modified=result.created,
        size=artifact.size,
        content_type="application/octet-stream",
    )
