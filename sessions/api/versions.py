"""``ETag`` and ``If-Match``: a change is refused when somebody else changed the row since it was read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, ClassVar

from django.db import transaction
from django.utils.http import parse_etags
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from sessions.errors import Invalid, Stale

CHANGES = ("PUT", "PATCH", "DELETE")


class VersionedRows:
    """Mixin of view sets: a reply with one row has its ``ETag``; a change with ``If-Match`` needs that of the row now.

    The row is locked while both are compared and the change is made, so of two such changes at the same moment one is
    refused. A collection whose rows show what changes by itself (the state of a camera) sets ``versioned`` to false.
    """

    versioned: ClassVar[bool] = True

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Put the comparison around the handler, after authentication."""
        super().initial(request, *args, **kwargs)  # type: ignore[misc]
        wanted = request.headers.get("If-Match")
        if wanted is not None and self.versioned and request.method in CHANGES:
            if not (tags := parse_etags(wanted)):
                raise Invalid('If-Match is the ETag of the row as it was read, with its quotes: "91f3a8...".')
            name = request.method.lower()
            setattr(self, name, self._if_matching(getattr(self, name), tags))

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Say which version of a row a reply shows."""
        final = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[misc]
        data = getattr(response, "data", None)
        one = getattr(self, "detail", False) and isinstance(data, dict) and "id" in data
        if self.versioned and one and isinstance(response, Response) and response.status_code < 300:  # noqa: PLR2004
            response.headers["ETag"] = tag_of(data)
        return final

    def _if_matching(self, handler: Callable[..., Any], wanted: list[str]) -> Callable[..., Any]:
        view: Any = self

        def change(request: Request, *args: Any, **kwargs: Any) -> Any:
            with transaction.atomic():
                row = view.get_object()
                # One that somebody deletes at this moment is not there to be locked: the second look then says 404.
                type(row)._default_manager.select_for_update(of=("self",)).filter(pk=row.pk).first()
                if "*" not in wanted and tag_of(view.get_serializer(view.get_object()).data) not in wanted:
                    raise Stale("Somebody changed this since you read it; read it again and decide anew.")
                return handler(request, *args, **kwargs)

        return change


def tag_of(data: Any) -> str:
    """Return the strong ETag of a row as REST shows it."""
    return f'"{hashlib.sha256(JSONRenderer().render(data)).hexdigest()[:32]}"'
