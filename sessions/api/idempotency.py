"""``Idempotency-Key``: a POST sent twice happens once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, ClassVar

from django.db import transaction
from django.http import QueryDict
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.status import HTTP_400_BAD_REQUEST
from rest_framework.utils.encoders import JSONEncoder

from sessions.errors import Conflict, Invalid
from sessions.models import IdempotencyKey

HEADER = "Idempotency-Key"
LONGEST_KEY = 200
REMEMBERED = timedelta(days=7)


class IdempotentPosts:
    """Mixin of views: a POST with an ``Idempotency-Key`` is carried out once for each user and key.

    The key is written in the same transaction as what the POST does: a second delivery at the same moment waits for the
    first and then gets its reply; a POST that failed left no key and may be tried again. The same key with another body
    or address is ``Conflict``. ``idempotency_secrets`` names fields of the reply (a token shown once) that are not
    kept.
    """

    idempotency_secrets: ClassVar[tuple[str, ...]] = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Put the once-only wrapper around the handler, after authentication and throttling."""
        super().initial(request, *args, **kwargs)  # type: ignore[misc]
        key = request.headers.get(HEADER)
        if request.method == "POST" and key is not None and request.user.is_authenticated:
            if not 0 < len(key) <= LONGEST_KEY or not key.isprintable():
                raise Invalid(f"{HEADER} is 1 to {LONGEST_KEY} printable characters.")
            self.post = _once(self.post, key, self.idempotency_secrets)  # type: ignore[has-type]


def _once(handler: Callable[..., Response], key: str, secrets: tuple[str, ...]) -> Callable[..., Response]:
    def post(request: Request, *args: Any, **kwargs: Any) -> Response:
        asked = f"POST {request.path}"[:300]
        digest = _digest(request.data)
        with transaction.atomic():
            IdempotencyKey.objects.filter(user=request.user, created__lt=timezone.now() - REMEMBERED).delete()
            # Waits here while another transaction holds the same key.
            IdempotencyKey.objects.bulk_create(
                [IdempotencyKey(user=request.user, key=key, request=asked, body_digest=digest)], ignore_conflicts=True
            )
            row = IdempotencyKey.objects.select_for_update().get(user=request.user, key=key)
            if row.request != asked or row.body_digest != digest:
                raise Conflict(f"This {HEADER} was already used for another request.")
            if row.status is not None:
                return Response(row.reply, status=row.status, headers={"Idempotency-Replayed": "true"})
            response = handler(request, *args, **kwargs)
            if response.status_code >= HTTP_400_BAD_REQUEST:
                transaction.set_rollback(True)
                return response
            row.status = response.status_code
            row.reply = json.loads(json.dumps(_without(response.data, secrets), cls=JSONEncoder))
            row.save(update_fields=["status", "reply"])
            return response

    return post


def _without(data: Any, secrets: tuple[str, ...]) -> Any:
    return {name: value for name, value in data.items() if name not in secrets} if isinstance(data, dict) else data


def _digest(data: Any) -> str:
    plain = dict(data.lists()) if isinstance(data, QueryDict) else data
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode("utf-8", "surrogatepass")).hexdigest()
