"""REST of cameras and their recordings."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.generics import get_object_or_404 as get_by_key_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from cameras import downloads, selectors, services, timing
from cameras.addresses import enrolment_command
from cameras.api.serializers import (
    CameraAlertFilter,
    CameraAlertSerializer,
    CameraChangeSerializer,
    CameraRecordingSerializer,
    CameraSerializer,
    CameraWithTokenSerializer,
    EnrolmentOfferSerializer,
    NewCameraSerializer,
    NewCutSerializer,
    PreflightSerializer,
    RingCutSerializer,
    RingSerializer,
)
from cameras.models import Camera, CameraRecording
from cameras.preflight import planned_minutes, preflight
from cameras.queries import seconds, whole_number
from sessions.api.base import ReadViewSet
from sessions.models import Session
from sessions.permissions import visible


class CameraViewSet(ReadViewSet):
    """The laboratory's cameras; addressed by slug."""

    of_cameras = True
    queryset = Camera.objects.none()
    serializer_class = CameraSerializer
    lookup_field = "slug"
    versioned = False  # its state changes while one looks
    lookup_value_regex = r"[-\w]+"  # a slug, so that Postgres is never asked for what cannot be one
    ordering_fields = ("slug", "name", "created")

    def get_queryset(self) -> QuerySet[Camera]:
        return selectors.visible_cameras(self.request.user)

    def get_serializer_context(self) -> dict[str, Any]:
        """The states of all cameras are read in one go."""
        return {**super().get_serializer_context(), "states": _States()}

    @extend_schema(request=NewCameraSerializer, responses={201: CameraWithTokenSerializer})
    def create(self, request: Request) -> Response:
        """Add a camera; the reply has its agent's token, this once."""
        body = NewCameraSerializer(data=request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        camera, token = services.create_camera(by=request.user, **body.validated_data)
        return Response(self._with_token(camera, token), status=201)

    @extend_schema(request=CameraChangeSerializer, responses=CameraSerializer)
    def partial_update(self, request: Request, slug: str) -> Response:
        """Change a camera's name, rig, or whether it is switched on."""
        camera = self.get_object()
        body = CameraChangeSerializer(data=request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        services.update_camera(by=request.user, camera=camera, **body.validated_data)
        return self.reply(camera)

    @extend_schema(request=None, responses=CameraWithTokenSerializer)
    @action(detail=True, methods=["post"], url_path="token")
    def token(self, request: Request, slug: str) -> Response:
        """Give the camera a new token; the agent with the old one is refused."""
        camera = self.get_object()
        return Response(self._with_token(camera, services.rotate_token(by=request.user, camera=camera)))

    @extend_schema(request=None, responses={201: EnrolmentOfferSerializer})
    @action(detail=True, methods=["post"], url_path="enrolment")
    def enrolment(self, request: Request, slug: str) -> Response:
        """Give a code with which the camera's box gets its token: once, within an hour."""
        enrolment, code = services.offer_enrolment(by=request.user, camera=self.get_object())
        offer = {"code": code, "expires": enrolment.expires, "command": enrolment_command(request._request, code)}
        return Response(EnrolmentOfferSerializer(offer).data, status=201)

    @extend_schema(responses=RingSerializer)
    @action(detail=True, url_path="ring")
    def ring(self, request: Request, slug: str) -> Response:
        """Return what is kept of this camera's last hours, and which pieces of it were saved."""
        return Response(RingSerializer(selectors.ring_of(self.get_object())).data)

    @extend_schema(request=NewCutSerializer, responses={202: RingCutSerializer})
    @action(detail=True, methods=["post"], url_path="ring/cut")
    def ring_cut(self, request: Request, slug: str) -> Response:
        """Make a recording of a session of what is kept from one time to another; a worker copies it."""
        camera = self.get_object()
        body = NewCutSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        asked = dict(body.validated_data)
        session = _session(request.user, asked.pop("session"))
        cut = services.save_cut(by=request.user, camera=camera, session=session, **asked)
        return Response(RingCutSerializer(cut).data, status=202)

    @extend_schema(request=None, responses={201: CameraRecordingSerializer})
    @action(detail=True, methods=["post"], url_path="record")
    def record(self, request: Request, slug: str) -> Response:
        """Record this camera for the session that runs on its rig."""
        camera = self.get_object()
        recording = services.start_camera_recording(
            camera=camera, session=selectors.session_to_record(camera), by=request.user
        )
        return Response(CameraRecordingSerializer(recording).data, status=201)

    @extend_schema(request=None, responses=CameraRecordingSerializer)
    @action(detail=True, methods=["post"], url_path="stop")
    def stop(self, request: Request, slug: str) -> Response:
        """Stop what this camera records."""
        recording = services.stop_camera_recording(camera=self.get_object(), by=request.user)
        return Response(CameraRecordingSerializer(recording).data)

    def _with_token(self, camera: Camera, token: str) -> dict[str, Any]:
        camera = self.get_queryset().get(pk=camera.pk)
        return CameraWithTokenSerializer(camera, context={**self.get_serializer_context(), "token": token}).data


class _States:
    """The states of cameras, read when the first is asked for, all at once."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, Any]] | None = None

    def get(self, slug: str, default: dict[str, Any]) -> dict[str, Any]:
        if self._found is None:
            self._found = selectors.states(Camera.objects.values_list("slug", flat=True))
        return self._found.get(slug, default)


class _Recorded(serializers.Serializer):
    """What was started or stopped."""

    recordings = CameraRecordingSerializer(many=True)


class PreflightView(APIView):
    """Say whether a session can be recorded for the planned time, and what is in the way."""

    of_cameras = True

    @extend_schema(
        parameters=[OpenApiParameter("minutes", int, description="The planned time; 60 when it is not given.")],
        responses=PreflightSerializer,
    )
    def get(self, request: Request, session_id: Any) -> Response:
        minutes = planned_minutes(request.query_params.get("minutes"))
        return Response(PreflightSerializer(preflight(_session(request.user, session_id), minutes)).data)


class RecordView(APIView):
    """Start all cameras of a session's rig."""

    of_cameras = True

    @extend_schema(request=None, responses={201: _Recorded})
    def post(self, request: Request, session_id: Any) -> Response:
        session = _session(request.user, session_id)
        started = services.start_recording(session=session, by=request.user)
        return Response({"recordings": CameraRecordingSerializer(started, many=True).data}, status=201)


class StopView(APIView):
    """Stop all cameras of a session's rig."""

    of_cameras = True

    @extend_schema(request=None, responses=_Recorded)
    def post(self, request: Request, session_id: Any) -> Response:
        stopped = services.stop_recording(session=_session(request.user, session_id), by=request.user)
        return Response({"recordings": CameraRecordingSerializer(stopped, many=True).data})


class CameraAlertViewSet(viewsets.ReadOnlyModelViewSet):
    """What is and was wrong with cameras and the disk; ``open=true`` for what is wrong now."""

    of_cameras = True
    serializer_class = CameraAlertSerializer
    filterset_class = CameraAlertFilter
    ordering_fields = ("raised",)

    def get_queryset(self) -> QuerySet[Any]:
        return selectors.visible_alerts(self.request.user)


class CameraRecordingViewSet(viewsets.ReadOnlyModelViewSet):
    """What cameras record and have recorded."""

    of_cameras = True
    serializer_class = CameraRecordingSerializer
    filterset_fields = ("camera__slug", "session", "recording", "state", "proxy")
    ordering_fields = ("started", "frames", "lost")

    def get_queryset(self) -> QuerySet[Any]:
        return selectors.visible_recordings(self.request.user)

    @extend_schema(
        parameters=[OpenApiParameter("points", int, description="Most points of a curve; 600 when it is not given.")],
        responses=OpenApiTypes.OBJECT,
    )
    @action(detail=True, url_path="timing")
    def timing(self, request: Request, pk: Any) -> Response:
        """Return intervals, lost frames, clock and events; times are in s since the first frame."""
        points = whole_number("points", request.query_params.get("points"), default=600, most=timing.MOST_POINTS)
        return Response(selectors.timing_of(self._found(pk), points))

    @extend_schema(
        parameters=[
            OpenApiParameter("seconds", float, description="Since the first frame."),
            OpenApiParameter("sequence", int, description="A frame's number."),
        ],
        responses=OpenApiTypes.OBJECT,
    )
    @action(detail=True, url_path="frame")
    def frame(self, request: Request, pk: Any) -> Response:
        """Return the frame that is shown at a time, or the one nearest to a number, and its neighbours."""
        found = self._found(pk)
        sequence = request.query_params.get("sequence")
        if sequence is not None:
            number = whole_number("sequence", sequence, default=0, most=2**62, least=0)
            return Response(timing.frame_at(downloads.times_of(found), sequence=number))
        shown = seconds("seconds", request.query_params.get("seconds"), 0.0)
        return Response(timing.frame_at(downloads.times_of(found), seconds=shown))

    @extend_schema(responses={(200, "text/csv"): OpenApiTypes.STR})
    @action(detail=True, url_path="frames-csv")
    def frames_csv(self, request: Request, pk: Any) -> StreamingHttpResponse:
        """Return the frame table as CSV: one line for each frame."""
        return downloads.csv_response(self._found(pk))

    @extend_schema(responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    @action(detail=True, url_path="frames-npy")
    def frames_npy(self, request: Request, pk: Any) -> StreamingHttpResponse:
        """Return the times of all frames as an NPY file (structured array, times in ns)."""
        return downloads.npy_response(self._found(pk))

    @extend_schema(
        parameters=[
            OpenApiParameter("from", float, description="Seconds since the first frame; 0 when it is not given."),
            OpenApiParameter("to", float, description="Seconds since the first frame; the end when it is not given."),
        ],
        responses={(200, "application/zip"): OpenApiTypes.BINARY},
    )
    @action(detail=True, url_path="cut")
    def cut(self, request: Request, pk: Any) -> StreamingHttpResponse:
        """Return the original pictures from one time to another, not encoded again, with their frame table (ZIP)."""
        query = request.query_params
        return downloads.cut_response(self._found(pk), query.get("from"), query.get("to"))

    def _found(self, pk: Any) -> CameraRecording:
        # Not get_object: it refuses the parameters of the address as unknown filters.
        return get_by_key_or_404(self.get_queryset(), pk=pk)


def _session(user: Any, session_id: Any) -> Session:
    return get_object_or_404(visible(user, Session.objects.select_related("project", "rig__project")), pk=session_id)
