"""Domain errors: each carries its HTTP status; one handler for REST and one for pages turn them into replies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import RequestDataTooBig, ValidationError


class LabError(Exception):
    """Something the user asked for cannot be done; ``detail`` is a sentence, ``errors`` names the fields."""

    status = 400

    def __init__(self, detail: str, errors: Mapping[str, list[str]] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = dict(errors or {})


class Invalid(LabError):  # noqa: N818 - a name as people say it
    """What was sent is wrong."""


class Forbidden(LabError):  # noqa: N818 - a name as people say it
    """The user may see this but not do that."""

    status = 403


class NotFound(LabError):  # noqa: N818 - a name as people say it
    """There is no such thing, or none that this user may know of."""

    status = 404


class Conflict(LabError):  # noqa: N818 - a name as people say it
    """It contradicts what is already there."""

    status = 409


class Stale(LabError):  # noqa: N818 - a name as people say it
    """Somebody else changed it since it was read."""

    status = 412


class TooLarge(LabError):  # noqa: N818 - a name as people say it
    """More than is accepted at once."""

    status = 413


class Unavailable(LabError):  # noqa: N818 - a name as people say it
    """A part of the laboratory that this needs does not serve now."""

    status = 503


def from_validation(error: ValidationError) -> Invalid:
    """Turn Django's validation error into ours, keeping its field names."""
    if hasattr(error, "error_dict"):
        errors = {("non_field" if k == "__all__" else k): list(map(str, v)) for k, v in error.message_dict.items()}
        return Invalid(" ".join(m for messages in errors.values() for m in messages), errors)
    return Invalid(" ".join(map(str, error.messages)))


def rest_exception_handler(error: Exception, context: dict[str, Any]) -> Any:
    """Reply to every error over REST with ``{"detail": ..., "errors": {field: [..]}}``."""
    from django.http import Http404
    from rest_framework.exceptions import APIException
    from rest_framework.exceptions import ValidationError as RestValidationError
    from rest_framework.response import Response
    from rest_framework.views import exception_handler, set_rollback

    if isinstance(error, ValidationError):
        error = from_validation(error)
    elif isinstance(error, RequestDataTooBig):
        error = TooLarge("The body is longer than is accepted at once; send it in parts.")
    if isinstance(error, LabError):
        set_rollback()
        return Response({"detail": error.detail, "errors": error.errors}, status=error.status)
    reply = exception_handler(error, context)
    if reply is None:
        return None
    if isinstance(error, RestValidationError):
        errors = _flatten(error.detail)
        first = "; ".join(f"{field}: {messages[0]}" for field, messages in errors.items())
        reply.data = {"detail": first or "What was sent is wrong.", "errors": errors}
    elif isinstance(error, Http404):
        reply.data = {"detail": "There is no such thing here.", "errors": {}}
    elif isinstance(error, APIException):
        reply.data = {"detail": str(error.detail), "errors": {}}
    return reply


def _flatten(detail: Any, prefix: str = "") -> dict[str, list[str]]:
    """Return errors by the path of their field: ``files[0].path``, ``[3].time``; ``non_field`` for the whole body."""
    if isinstance(detail, dict):
        found: dict[str, list[str]] = {}
        for key, value in detail.items():
            if isinstance(key, int):
                name = f"{prefix}[{key}]"
            elif key in {"non_field_errors", "non_field"}:
                name = prefix
            else:
                name = f"{prefix}.{key}" if prefix else str(key)
            found |= _flatten(value, name)
        return found
    if isinstance(detail, list) and any(isinstance(item, dict | list) for item in detail):
        found = {}
        for index, item in enumerate(detail):
            if item:
                found |= _flatten(item, f"{prefix}[{index}]")
        return found
    messages = detail if isinstance(detail, list) else [detail]
    return {prefix or "non_field": [str(item) for item in messages]}
