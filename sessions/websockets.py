"""Who is on the other end of a websocket: a browser with a session cookie from our origin, or a script with a token."""

from __future__ import annotations

from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.db import database_sync_to_async
from channels.security.websocket import AllowedHostsOriginValidator

from sessions.tokens import valid_token


def header(scope: dict[str, Any], name: bytes) -> str:
    """Return a header of the handshake, or an empty string."""
    return next((v.decode("latin-1") for k, v in scope.get("headers", []) if k.lower() == name), "")


def or_refused(router: Any) -> Any:
    """Let a router serve its addresses; any other is refused before the handshake instead of failing the server."""

    async def serve(scope: dict[str, Any], receive: Any, send: Any) -> None:
        try:
            await router(scope, receive, send)
        except ValueError as error:
            if "No route found" not in str(error):
                raise
            await receive()
            await send({"type": "websocket.close", "code": 4404, "reason": "There is no such address."})

    return serve


def authenticated(application: Any) -> Any:
    """Set ``scope["user"]`` and, for scripts, ``scope["token"]``; a wrong token is refused with close code 4401.

    A token is proof enough by itself: only a cookie needs the check of the origin, since a browser sends it unasked.
    """
    from_browser = AllowedHostsOriginValidator(AuthMiddlewareStack(application))

    async def by_credentials(scope: dict[str, Any], receive: Any, send: Any) -> Any:
        kind, _, key = header(scope, b"authorization").partition(" ")
        if kind.lower() != "token":
            return await from_browser(scope, receive, send)
        token = await database_sync_to_async(valid_token)(key.strip())
        if token is None:
            await receive()
            await send({"type": "websocket.accept"})
            await send(
                {"type": "websocket.close", "code": 4401, "reason": "This token is unknown, revoked or expired."}
            )
            return None
        return await application({**scope, "user": token.user, "token": token}, receive, send)

    return by_credentials
