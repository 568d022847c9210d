"""REST authentication by ``Authorization: Token ...``."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from sessions.models import ApiToken, TokenScope
from sessions.permissions import scope_allows
from sessions.tokens import valid_token

WHAT_FOR = {TokenScope.READ: "read", TokenScope.CAMERA: "see and record cameras"}


class TokenAuthentication(BaseAuthentication):
    """A script's token, for what its scope is for; a view that is about cameras says so by ``of_cameras``."""

    def authenticate(self, request: Request) -> tuple[Any, ApiToken] | None:
        """Return the user and token; refuse a wrong token with 401 instead of falling back to anonymous."""
        parts = get_authorization_header(request).split()
        if not parts or parts[0].lower() != b"token":
            return None
        if len(parts) != 2:  # noqa: PLR2004
            raise AuthenticationFailed("Write the header as: Authorization: Token <key>.")
        token = valid_token(parts[1].decode("latin-1"))
        if token is None:
            raise AuthenticationFailed("This token is unknown, revoked or expired.")
        of_cameras = getattr(request.parser_context["view"], "of_cameras", False)
        if not scope_allows(token.scope, changes=request.method not in SAFE_METHODS, of_cameras=of_cameras):
            raise PermissionDenied(f"This token may only {WHAT_FOR[TokenScope(token.scope)]}.")
        return token.user, token

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002
        """Make REST answer 401 rather than 403 when nothing was sent."""
        return "Token"


class TokenScheme(OpenApiAuthenticationExtension):
    """How the token shows in the OpenAPI schema."""

    target_class = "sessions.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # noqa: ARG002
        """Return the scheme."""
        return {"type": "apiKey", "in": "header", "name": "Authorization", "description": "Token <key>"}
