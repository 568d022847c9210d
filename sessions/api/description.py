"""What the OpenAPI description says of every operation alike: the refusals it may answer with, and its headers."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter

from sessions.api.base import MOST_AT_ONCE
from sessions.api.idempotency import HEADER, LONGEST_KEY, IdempotentPosts
from sessions.api.versions import CHANGES, VersionedRows

PROBLEM = {
    "type": "object",
    "description": "Why it was refused: a sentence, and sentences by the field that they are about.",
    "properties": {
        "detail": {"type": "string"},
        "errors": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}},
    },
    "required": ["detail", "errors"],
}
ALWAYS = {
    "400": "What was sent is wrong; errors names the fields.",
    "401": "Nobody: send a token or log in.",
    "403": "Your role, or the scope of your token, does not let you.",
    "404": "There is no such thing, or none that you may know of.",
    "406": "It does not come in the type that Accept asks for.",
    "429": "Too many requests; Retry-After says for how many seconds to wait.",
    "503": "A part of the laboratory that this needs does not serve now.",
}
OF_LIST = {"413": "More rows than one CSV has; narrow the list or ask for pages."}
OF_CHANGE = {
    "409": "It contradicts what is already there.",
    "412": "Somebody changed it since it was read (If-Match).",
    "413": "The body is longer than is accepted at once.",
    "415": "The body is of a type that is not read here.",
}
# What needs room on the disk says so when there is none.
NO_ROOM = {"507": "There is not enough room on the disk."}


class LabSchema(AutoSchema):
    """Adds what the views of this laboratory have beyond the framework's: headers, lists as bodies, CSV of lists."""

    def get_override_parameters(self) -> list[Any]:
        """Return the headers that a request may have."""
        found = list(super().get_override_parameters())
        if self.method == "POST" and isinstance(self.view, IdempotentPosts):
            found.append(
                OpenApiParameter(
                    HEADER,
                    {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY},
                    OpenApiParameter.HEADER,
                    description="The same request with the same key is carried out once.",
                )
            )
        if self.method in CHANGES and isinstance(self.view, VersionedRows) and self.view.versioned:
            found.append(
                OpenApiParameter(
                    "If-Match",
                    {"type": "string", "pattern": '^("[!#-~]*"|\\*)$'},
                    OpenApiParameter.HEADER,
                    description="The ETag of the row as it was read; the change is refused when it has another now.",
                )
            )
        return found

    def map_renderers(self, attribute: str) -> list[Any]:
        """Leave CSV to lists: a single row and what is done to it come as JSON however they are asked for."""
        found = super().map_renderers(attribute)
        return found if self._is_list_view() else [one for one in found if one not in {"csv", "text/csv"}]

    def get_operation(self, *args: Any, **kwargs: Any) -> Any:
        """Say of a collection to which rows are added that it takes a list of them, too."""
        operation = super().get_operation(*args, **kwargs)
        if operation and getattr(self.view, "action", "") == "create" and getattr(self.view, "takes_lists", False):
            _or_list(operation["requestBody"]["content"]["application/json"], limits={"maxItems": MOST_AT_ONCE})
            _or_list(operation["responses"]["201"]["content"]["application/json"])
        return operation


def _or_list(content: dict[str, Any], limits: dict[str, int] | None = None) -> None:
    one = content["schema"]
    content["schema"] = {"oneOf": [one, {"type": "array", "items": one, "minItems": 1, **(limits or {})}]}


def with_refusals(result: dict[str, Any], **_generator: Any) -> dict[str, Any]:
    """Add to every operation the refusals that it may answer with (a hook of drf-spectacular)."""
    result["components"].setdefault("schemas", {})["Problem"] = PROBLEM
    for path, operations in result["paths"].items():
        for method, operation in operations.items():
            refusals = dict(ALWAYS)
            if method == "get":
                refusals |= OF_LIST
            else:
                refusals |= OF_CHANGE
                if path.endswith(("/record/", "/ring/cut/", "/uploads/", "/uploads/{id}/")):
                    refusals |= NO_ROOM
            if not operation.get("security", [{}])[0]:
                del refusals["401"]
            for code, sentence in refusals.items():
                operation["responses"].setdefault(code, _problem(code, sentence))
    return result


def _problem(code: str, sentence: str) -> dict[str, Any]:
    headers = {"Retry-After": {"schema": {"type": "integer"}, "description": "s"}} if code == "429" else {}
    return {
        "description": sentence,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        **({"headers": headers} if headers else {}),
    }
