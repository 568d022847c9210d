"""A token for a user name and a password."""

from __future__ import annotations

import hashlib
from typing import Any

from django.contrib.auth import authenticate
from drf_spectacular.utils import extend_schema
from redis.exceptions import RedisError
from rest_framework.parsers import FormParser
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from sessions.api.parsers import StrictJSONParser
from sessions.api.serializers import TokenReply, TokenRequest
from sessions.errors import Invalid, Unavailable
from sessions.tokens import create_token


class PasswordThrottle(SimpleRateThrottle):
    """So many tries for each name and address in a minute that a person never notices and a guesser gives up."""

    scope = "password"
    rate = "20/min"

    def get_cache_key(self, request: Request, view: Any) -> str:  # noqa: ARG002 - the framework's signature
        """Return the key of this name and address."""
        data = request.data
        name = str(data.get("username", "")) if hasattr(data, "get") else ""
        return "password-" + hashlib.sha256(f"{self.get_ident(request)}\0{name}".encode("utf-8", "replace")).hexdigest()

    def allow_request(self, request: Request, view: Any) -> bool:
        """Count this try; without Redis nobody counts, so nobody may guess."""
        try:
            return super().allow_request(request, view)
        except RedisError as error:
            raise Unavailable("Tokens cannot be given now: Redis does not answer. Try again in a moment.") from error


class TokenView(APIView):
    """``POST {"username", "password"}`` gives ``{"token"}``; send it as ``Authorization: Token ...``."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (PasswordThrottle,)
    parser_classes = (StrictJSONParser, FormParser)

    @extend_schema(request=TokenRequest, responses={200: TokenReply}, auth=[])
    def post(self, request: Request) -> Response:
        """Give a new token."""
        serializer = TokenRequest(data=request.data)
        serializer.is_valid(raise_exception=True)
        user = authenticate(request._request, **serializer.validated_data)
        if user is None:
            raise Invalid("The user name or the password is wrong.")
        _, key = create_token(user=user, name="auth/token")
        return Response({"token": key})
