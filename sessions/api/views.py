"""The collections of the catalog over REST: checked bodies to services, rows of selectors to JSON."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, ClassVar

from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer

from sessions import selectors, services
from sessions.api import filters
from sessions.api import serializers as s
from sessions.api.base import ReadViewSet
from sessions.api.strictness import StrictFilterBackend, StrictOrderingFilter
from sessions.downloads import data_file_response
from sessions.errors import Invalid
from sessions.models import Animal, ApiToken, DataFile, Event, Project, Recording, Rig, Session, Species, Strain, Task
from sessions.tokens import revoke_token
from sessions.trials import narrowed, ordered


class ProjectViewSet(ReadViewSet):
    """Studies. Roles in them are given in the admin."""

    queryset = Project.objects.all()
    serializer_class = s.ProjectSerializer
    ordering_fields: ClassVar[list[str]] = ["name", "created"]

    def get_queryset(self) -> Any:
        """Projects of the user."""
        return selectors.projects(self.request.user)

    def create(self, request: Request) -> Response:
        """Start a project (administrators)."""
        project = services.create_project(by=request.user, **self.validated(request))
        return Response(self.get_serializer(project).data, status=201)


class SpeciesViewSet(ReadViewSet):
    """Species."""

    queryset = Species.objects.all()
    serializer_class = s.SpeciesSerializer
    filterset_class = filters.SpeciesFilter
    takes_lists = True
    ordering_fields: ClassVar[list[str]] = ["name"]

    def create(self, request: Request) -> Response:
        """Add a species."""
        return self.created(request, services.create_species)


class StrainViewSet(ReadViewSet):
    """Strains."""

    queryset = Strain.objects.select_related("species")
    serializer_class = s.StrainSerializer
    filterset_class = filters.StrainFilter
    takes_lists = True
    ordering_fields: ClassVar[list[str]] = ["name"]

    def create(self, request: Request) -> Response:
        """Add a strain."""
        return self.created(request, services.create_strain)


class AnimalViewSet(ReadViewSet):
    """Animals."""

    queryset = Animal.objects.all()
    serializer_class = s.AnimalSerializer
    filterset_class = filters.AnimalFilter
    takes_lists = True
    ordering_fields: ClassVar[list[str]] = ["identifier", "birth_date", "created", "status"]

    def get_queryset(self) -> Any:
        """Animals of the user's projects."""
        return selectors.animals(self.request.user)

    def create(self, request: Request) -> Response:
        """Take an animal into a project."""
        return self.created(request, services.create_animal)

    def partial_update(self, request: Request, pk: str) -> Response:  # noqa: ARG002 - the router's signature
        """Change fields of an animal."""
        animal = self.get_object()
        return self.reply(
            services.update_animal(by=request.user, animal=animal, **self.validated(request, partial=True))
        )


class RigViewSet(ReadViewSet):
    """Behaviour boxes."""

    queryset = Rig.objects.all()
    serializer_class = s.RigSerializer
    filterset_class = filters.RigFilter
    takes_lists = True
    ordering_fields: ClassVar[list[str]] = ["name"]

    def get_queryset(self) -> Any:
        """Rigs of the user's projects and of the whole laboratory."""
        return selectors.rigs(self.request.user)

    def create(self, request: Request) -> Response:
        """Add a rig."""
        return self.created(request, services.create_rig)

    def partial_update(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Change a rig."""
        rig = services.update_rig(by=request.user, rig=self.get_object(), **self.validated(request, partial=True))
        return Response(self.get_serializer(rig).data)


class TaskViewSet(ReadViewSet):
    """Behavioural protocols."""

    queryset = Task.objects.all()
    serializer_class = s.TaskSerializer
    filterset_class = filters.TaskFilter
    takes_lists = True
    ordering_fields: ClassVar[list[str]] = ["name"]

    def create(self, request: Request) -> Response:
        """Add a protocol."""
        return self.created(request, services.create_task)

    def partial_update(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Change a protocol."""
        task = self.get_object()
        return self.reply(services.update_task(by=request.user, task=task, **self.validated(request, partial=True)))


class SessionViewSet(ReadViewSet):
    """Sessions. ``end`` is null while one runs."""

    queryset = Session.objects.all()
    serializer_class = s.SessionSerializer
    filterset_class = filters.SessionFilter
    takes_lists = True
    ordering_fields: ClassVar[list[str]] = ["start", "end", "number", "created"]

    def get_queryset(self) -> Any:
        """Sessions of the user's projects."""
        return selectors.sessions(self.request.user)

    @extend_schema(request=s.SessionBody, responses={201: s.SessionSerializer})
    def create(self, request: Request) -> Response:
        """Start a session now, or register one that was."""
        return self.created(request, services.start_session, s.SessionBody)

    @extend_schema(request=s.SessionChange, responses=s.SessionSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Change fields of a session; animals and people replace who was in it."""
        session = self.get_object()
        body = _checked(s.SessionChange(data=request.data, partial=True, context=self.get_serializer_context()))
        return self.reply(services.update_session(by=request.user, session=session, **body))

    @extend_schema(request=s.SessionEnd, responses=s.SessionSerializer)
    @action(detail=True, methods=["post"])
    def end(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """End a running session; what records it stops."""
        session = self.get_object()
        body = _checked(s.SessionEnd(data=request.data))
        return self.reply(services.end_session(by=request.user, session=session, **body))

    @extend_schema(request=s.SessionMove, responses=s.SessionSerializer)
    @action(detail=True, methods=["post"])
    def move(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Say that a session was another animal's; a note on it tells who moved it and why."""
        session = self.get_object()
        body = _checked(s.SessionMove(data=request.data, context=self.get_serializer_context()))
        return self.reply(services.move_session(by=request.user, session=session, **body))

    @extend_schema(request=None, responses={200: s.RecordingSerializer, 201: s.RecordingSerializer})
    @action(detail=True, methods=["post"], url_path="keep-events")
    def keep_events(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Make the events that were reported a recording; 200 with the one there is, where nothing came since."""
        recording, made = services.keep_events(by=request.user, session=self.get_object())
        row = selectors.recordings(request.user).get(pk=recording.pk)
        shown = s.RecordingSerializer(row, context=self.get_serializer_context()).data
        return Response(shown, status=201 if made else 200)

    @extend_schema(responses=s.TrialSerializer(many=True))
    @action(
        detail=True,
        serializer_class=s.TrialSerializer,
        filterset_class=filters.TrialFilter,
        ordering_fields=["number", "start", "stop", "outcome"],
        ordering=("number",),
        csv_name="trials",
    )
    def trials(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Return the trials that the session's events make by the rule of its task; none without a rule."""
        asked = StrictFilterBackend().values(request, self)
        *order, _ = StrictOrderingFilter().get_ordering(request, self.queryset, self)
        made = ordered(narrowed(selectors.trials_of(self.get_object()), **asked), order)
        page = self.paginate_queryset(made)
        shown = self.get_serializer(made if page is None else page, many=True).data
        return Response(shown) if page is None else self.get_paginated_response(shown)


class RecordingViewSet(ReadViewSet):
    """Recordings and their files."""

    queryset = Recording.objects.all()
    serializer_class = s.RecordingSerializer
    filterset_class = filters.RecordingFilter
    takes_lists = True
    ordering_fields: ClassVar[list[str]] = ["created", "start", "kind", "duration"]

    def get_queryset(self) -> Any:
        """Recordings of the user's projects."""
        return selectors.recordings(self.request.user)

    @extend_schema(request=s.RecordingBody, responses={201: s.RecordingSerializer})
    def create(self, request: Request) -> Response:
        """Register files that lie on the server as a recording."""
        return self.created(request, services.register_recording, s.RecordingBody)

    @extend_schema(request=s.RecordingChange, responses=s.RecordingSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Change the name, the quality mark, or how the files are to be read."""
        recording = self.get_object()
        body = _checked(s.RecordingChange(data=request.data, partial=True))
        return self.reply(services.update_recording(by=request.user, recording=recording, **body))


class FileViewSet(ReadViewSet):
    """Data files. A file's content never changes: what changed on the disk is registered as a new revision."""

    queryset = DataFile.objects.all()
    serializer_class = s.FileSerializer
    filterset_class = filters.FileFilter
    ordering_fields: ClassVar[list[str]] = ["created", "size", "path"]
    ordering = ("created",)

    def get_queryset(self) -> Any:
        """Files of the user's projects."""
        return selectors.files(self.request.user)

    @extend_schema(
        responses={
            (200, "application/octet-stream"): OpenApiTypes.BINARY,
            (206, "application/octet-stream"): OpenApiTypes.BINARY,
            304: OpenApiResponse(description="Not changed since the copy that you have."),
            416: OpenApiResponse(description="The range is outside the file."),
        }
    )
    @action(detail=True, methods=["get", "head"])
    def download(self, request: Request, pk: str) -> HttpResponseBase:  # noqa: ARG002
        """Send the content; Range, If-Range and the other conditions of HTTP are answered."""
        return data_file_response(_plain(request), self.get_object())

    @extend_schema(request=None, responses={201: s.FileSerializer})
    @action(detail=True, methods=["post"])
    def revision(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Register the content that the file has on the disk now as its next revision."""
        return self.reply(services.register_file_revision(by=request.user, file=self.get_object()), 201)

    @extend_schema(request=s.FileCopyBody, responses={201: s.FileSerializer})
    @action(detail=True, methods=["post"])
    def copies(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Add a place that holds the file's content already, or copy the file to one."""
        file, body = self.get_object(), _checked(s.FileCopyBody(data=request.data))
        services.add_copy(by=request.user, file=file, **body)
        return self.reply(file, 201)

    @extend_schema(request=s.FileCopyChoice, responses=s.FileSerializer)
    @action(detail=True, methods=["post"])
    def forget(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Strike a copy off the catalog (managers); nothing on the disk is touched."""
        file, body = self.get_object(), _checked(s.FileCopyChoice(data=request.data))
        services.forget_copy(by=request.user, file=file, copy=body["copy"])
        return self.reply(file)


class EventViewSet(ReadViewSet):
    """What the boxes' controllers reported."""

    queryset = Event.objects.all()
    serializer_class = s.EventSerializer
    filterset_class = filters.EventFilter
    ordering_fields: ClassVar[list[str]] = ["time"]

    def get_queryset(self) -> Any:
        """Events of the user's projects."""
        return selectors.events(self.request.user)

    @extend_schema(request=s.EventBody(many=True), responses={200: s.EventsAdded, 201: s.EventsAdded})
    def create(self, request: Request) -> Response:
        """Add one event or a list of them, all or none; those already there (same source and number) are left."""
        many = isinstance(request.data, list)
        serializer: BaseSerializer = s.EventBody(data=request.data, many=many)
        serializer.is_valid(raise_exception=True)
        rows = serializer.validated_data if many else [serializer.validated_data]
        of_session: dict[Any, list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            of_session[row.pop("session")].append(row)
        found = selectors.sessions(request.user).in_bulk(list(of_session))
        if missing := [str(pk) for pk in of_session if pk not in found]:
            raise Invalid(f"There is no session {missing[0]}.", {"session": [f"There is no session {missing[0]}."]})
        added = already = 0
        with transaction.atomic():
            # In one order, so that two deliveries never wait for each other.
            for pk in sorted(of_session):
                new, old = services.add_events(by=request.user, session=found[pk], events=of_session[pk])
                added, already = added + new, already + old
        return Response({"added": added, "already": already}, status=201 if added else 200)


class TokenViewSet(ReadViewSet):
    """Your own tokens. A key itself is shown once, when it is made."""

    queryset = ApiToken.objects.all()
    serializer_class = s.ApiTokenSerializer
    ordering_fields: ClassVar[list[str]] = ["created", "name", "last_used"]

    def get_queryset(self) -> Any:
        """Tokens of the user."""
        if getattr(self, "swagger_fake_view", False):
            return ApiToken.objects.none()
        return ApiToken.objects.filter(user=self.request.user)

    @extend_schema(request=None, responses=s.ApiTokenSerializer)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str) -> Response:  # noqa: ARG002
        """Revoke a token; what uses it is refused from now on."""
        token = self.get_object()
        revoke_token(token=token)
        return self.reply(token)


def _checked(serializer: BaseSerializer) -> dict[str, Any]:
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


def _plain(request: Request) -> HttpRequest:
    return request._request
