"""Resumable uploads by tus 1.0 with creation, expiration, checksum and termination.

The protocol: https://tus.io/protocols/resumable-upload

``POST uploads/`` with ``Upload-Length`` and ``Upload-Metadata``: ``filename``, ``session`` (id) and ``kind`` (of the
recording), and if wanted ``root``, ``path``, ``name``, ``parameters`` (JSON) and ``sha256`` of the whole file. When the
last byte is safe the file is registered as a recording of the session.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils.http import http_date
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sessions import selectors
from sessions.errors import Invalid, LabError
from sessions.models import Upload
from sessions.services import uploads as service

VERSION = "1.0.0"
EXTENSIONS = "creation,expiration,checksum,termination"
ADDRESS = "/api/v1/uploads/"
KEYS = {"filename", "filetype", "session", "kind", "root", "path", "name", "parameters", "sha256"}
_LENGTH = re.compile(r"\d{1,19}")
_TUS = [
    OpenApiParameter("Tus-Resumable", str, OpenApiParameter.HEADER, required=True, description=VERSION),
    OpenApiParameter("Upload-Offset", int, OpenApiParameter.HEADER, description="PATCH: where the body begins."),
    OpenApiParameter("Upload-Length", int, OpenApiParameter.HEADER, description="POST: bytes of the whole file."),
    OpenApiParameter("Upload-Metadata", str, OpenApiParameter.HEADER, description="POST: names and values in base64."),
    OpenApiParameter("Upload-Checksum", str, OpenApiParameter.HEADER, description="PATCH: algorithm and base64."),
]


def arrives(scope: dict[str, Any]) -> bool:
    """Return whether the body of a request is to be handed to its view while it arrives."""
    return bool(scope["method"] == "PATCH" and scope["path"].startswith(ADDRESS))


class WrongVersion(LabError):  # noqa: N818 - a name as people say it
    """The client speaks another version of tus, or none."""

    status = 412


class WrongType(LabError):  # noqa: N818 - a name as people say it
    """The body of a PATCH is not declared as bytes of an upload."""

    status = 415


class UploadSerializer(serializers.ModelSerializer):
    """How far an upload is."""

    root = serializers.CharField(source="root.name", read_only=True)
    kind = serializers.CharField(read_only=True)

    class Meta:
        model = Upload
        fields = ("id", "session", "kind", "root", "path", "length", "offset", "recording", "created", "expires")
        read_only_fields = fields


class TusView(APIView):
    """What the requests of tus have in common."""

    renderer_classes = (JSONRenderer,)
    # A file comes in as many pieces as its client likes.
    throttle_classes = ()
    needs_version: tuple[str, ...]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse another version of the protocol, after asking who it is."""
        super().initial(request, *args, **kwargs)
        if request.method in self.needs_version and request.headers.get("Tus-Resumable") != VERSION:
            raise WrongVersion(f"Send the header Tus-Resumable: {VERSION}.")

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """Say on every answer which tus this is."""
        response = super().finalize_response(request, response, *args, **kwargs)
        response.headers["Tus-Resumable"] = VERSION
        response.headers["Cache-Control"] = "no-store"
        if request.method == "OPTIONS" or response.status_code == WrongVersion.status:
            response.headers["Tus-Version"] = VERSION
        return response

    @extend_schema(exclude=True)
    def options(self, request: Request, *args: Any, **kwargs: Any) -> Response:  # noqa: ARG002 - the framework's
        """Say what this server can do."""
        return Response(status=204, headers={
            "Tus-Extension": EXTENSIONS, "Tus-Max-Size": str(service.MOST_LENGTH),
            "Tus-Checksum-Algorithm": ",".join(service.CHECKSUMS),
        })  # fmt: skip


class UploadsView(TusView):
    """Begin an upload; list one's own."""

    needs_version = ("POST",)

    @extend_schema(responses=UploadSerializer(many=True), operation_id="uploads_list")
    def get(self, request: Request) -> Response:
        """Return one's uploads, newest first; at most a hundred."""
        rows = selectors.uploads(request.user)[:100]
        return Response(UploadSerializer(rows, many=True).data)

    @extend_schema(
        request=None, parameters=_TUS, responses={201: OpenApiResponse(description="Location says where to send it.")}
    )
    def post(self, request: Request) -> Response:
        """Begin an upload."""
        if "Upload-Defer-Length" in request.headers:
            raise Invalid("The length has to be known: send Upload-Length.")
        metadata = request.headers.get("Upload-Metadata", "")
        values = metadata_of(metadata)
        if missing := [key for key in ("filename", "session", "kind") if not values.get(key)]:
            raise Invalid(f"Upload-Metadata lacks {', '.join(missing)}.", {key: ["This is needed."] for key in missing})
        session = selectors.one(selectors.sessions(request.user), _id(values["session"]))
        upload = service.begin_upload(
            by=request.user, session=session, kind=values["kind"], length=_number(request, "Upload-Length"),
            file_name=values["filename"], root=values.get("root") or "default", path=values.get("path", ""),
            name=values.get("name", ""), parameters=_parameters(values.get("parameters", "")),
            sha256=values.get("sha256", ""), metadata=metadata,
        )  # fmt: skip
        where = request.build_absolute_uri(reverse("upload-detail", args=[upload.pk]))
        return Response(status=201, headers={"Location": where, **_progress(upload)})


class UploadView(TusView):
    """One upload: ask how far it is, go on, end it."""

    needs_version = ("HEAD", "PATCH", "DELETE")

    def _upload(self, request: Request, pk: UUID) -> Upload:
        return selectors.one(selectors.uploads(request.user), pk)

    @extend_schema(responses=UploadSerializer)
    def get(self, request: Request, pk: UUID) -> Response:
        """Return how far it is as JSON."""
        upload = self._upload(request, pk)
        return Response(UploadSerializer(upload).data, headers=_progress(upload))

    @extend_schema(exclude=True)
    def head(self, request: Request, pk: UUID) -> Response:
        """Return how far it is in headers."""
        upload = self._upload(request, pk)
        named = {"Upload-Metadata": upload.metadata} if upload.metadata else {}
        return Response(status=200, headers={**_progress(upload), **named})

    @extend_schema(
        request={"application/offset+octet-stream": OpenApiTypes.BINARY},
        parameters=_TUS,
        responses={
            204: OpenApiResponse(description="Upload-Offset says how much is safe on the disk."),
            409: OpenApiResponse(description="The upload is elsewhere, or another writes it."),
            460: OpenApiResponse(description="The checksum is another."),
        },
    )
    def patch(self, request: Request, pk: UUID) -> Response:
        """Go on with it; the last byte makes it a recording."""
        upload = self._upload(request, pk)
        if (request.content_type or "").partition(";")[0].strip() != "application/offset+octet-stream":
            raise WrongType("The body of a PATCH has the type application/offset+octet-stream.")
        upload = service.continue_upload(
            by=request.user, upload=upload, offset=_number(request, "Upload-Offset"), body=request._request,
            checksum=checksum_of(request.headers.get("Upload-Checksum")),
        )  # fmt: skip
        return Response(status=204, headers=_progress(upload))

    @extend_schema(request=None, parameters=_TUS[:1], responses={204: None})
    def delete(self, request: Request, pk: UUID) -> Response:
        """End it; what came of an unfinished file is removed."""
        service.end_upload(by=request.user, upload=self._upload(request, pk))
        return Response(status=204)


def metadata_of(header: str) -> dict[str, str]:
    """Return the pairs of an ``Upload-Metadata`` header; unknown, doubled and unreadable ones are refused."""
    values: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in header.split(","))):
        key, _, encoded = pair.partition(" ")
        if key not in KEYS or key in values:
            problem = "is given twice" if key in values else f"is not known; there is {', '.join(sorted(KEYS))}"
            raise Invalid(f"{key[:40]!r} of Upload-Metadata {problem}.")
        try:
            values[key] = base64.b64decode(encoded.strip(), validate=True).decode()
        except (binascii.Error, ValueError) as error:
            raise Invalid(f"{key} of Upload-Metadata is not base64 of UTF-8.") from error
        if "\0" in values[key]:
            raise Invalid(f"{key} of Upload-Metadata holds a NUL character.")
    return values


def checksum_of(header: str | None) -> tuple[str, bytes] | None:
    """Return algorithm and digest of an ``Upload-Checksum`` header."""
    if header is None:
        return None
    algorithm, _, encoded = header.strip().partition(" ")
    if algorithm not in service.CHECKSUMS:
        raise Invalid(f"There is no checksum {algorithm[:40]!r}; there is {', '.join(service.CHECKSUMS)}.")
    try:
        return algorithm, base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid("Upload-Checksum is an algorithm, a space and the digest in base64.") from error


def _progress(upload: Upload) -> dict[str, str]:
    found = {"Upload-Offset": str(upload.offset), "Upload-Length": str(upload.length)}
    if upload.finished is None:
        found["Upload-Expires"] = http_date(upload.expires.timestamp())
    return found


def _number(request: Request, header: str) -> int:
    text = request.headers.get(header, "")
    if not _LENGTH.fullmatch(text):
        raise Invalid(f"Send {header}: a whole number of bytes.")
    return int(text)


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Invalid(f"{text[:60]!r} is no id of a session.", {"session": ["This is no id."]}) from None


def _parameters(text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"parameters of Upload-Metadata is not JSON: {error}.") from None
    if not isinstance(found, dict):
        raise Invalid('parameters of Upload-Metadata is an object such as {"rate": 30000}.')
    return found
