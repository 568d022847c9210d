"""Tokens of scripts: a random key shown once, of which the database holds only a hash."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet
from django.utils import timezone

from sessions.models import ApiToken, TokenScope

# Writing the time of every request would cost a write per read.
LAST_USED_RESOLUTION = timedelta(minutes=5)


def new_key(prefix: str = "lab") -> str:
    """Return a new random key of 256 bits."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"


def digest_of(key: str) -> str:
    """Return the SHA-256 of a key; enough, because a key of 256 random bits cannot be guessed from its hash."""
    return hashlib.sha256(key.encode()).hexdigest()


def create_token(
    *, user: Any, name: str, scope: str = TokenScope.WRITE, expires: datetime | None = None
) -> tuple[ApiToken, str]:
    """Create a token and return it with its key, which cannot be had again."""
    key = new_key()
    token = ApiToken.objects.create(user=user, name=name, scope=scope, expires=expires, digest=digest_of(key))
    return token, key


def revoke_token(*, token: ApiToken) -> None:
    """Revoke a token; what uses it is refused from now on."""
    ApiToken.objects.filter(pk=token.pk, revoked__isnull=True).update(revoked=timezone.now())


def valid_token(key: str) -> ApiToken | None:
    """Return the token of a key when it is neither revoked nor expired and its user is active."""
    now = timezone.now()
    token = _alive().filter(digest=digest_of(key), user__is_active=True).select_related("user").first()
    if token is not None and (token.last_used is None or now - token.last_used > LAST_USED_RESOLUTION):
        ApiToken.objects.filter(pk=token.pk).update(last_used=now)
    return token


def still_here(user: Any, token: ApiToken | None) -> Any:
    """Return who was let in, with or without a token, as the database has him now; ``None`` when he may be no more."""
    if user is None or (token is not None and not _alive().filter(pk=token.pk).exists()):
        return None
    return get_user_model().objects.filter(pk=user.pk, is_active=True).first()


def _alive() -> QuerySet[ApiToken]:
    return ApiToken.objects.filter(Q(expires__isnull=True) | Q(expires__gt=timezone.now()), revoked__isnull=True)
