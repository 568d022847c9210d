"""Who is on the other end of a websocket: a browser with a session cookie from our origin, or a script with a token."""

from __future__ import annotations

import logging
from typing import Any

from channels.auth import AuthMiddlewareStack
from channels.db import database_sync_to_async
from channels.security.websocket import AllowedHostsOriginValidator

from sessions.tokens import valid_token

log = logging.getLogger(__name__)

WRONG_TOKEN = "This token is unknown, revoked or expired."  # noqa: S105 - a sentence
WRONG_ORIGIN = "A page of another origin may not use this laboratory with your cookie."


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


def peer(scope: dict[str, Any]) -> str:
    """Return the address of the other end, for the log."""
    return str((scope.get("client") or ("?",))[0])


def _saying_why(scope: dict[str, Any], send: Any) -> Any:
    """Return a ``send`` that says, to the peer and in the log, why a handshake from another origin is refused."""
    accepted = False

    async def say(message: dict[str, Any]) -> None:
        nonlocal accepted
        accepted = accepted or message["type"] == "websocket.accept"
        # The check of the origin closes without a code, unlike what refuses an address.
        if message["type"] != "websocket.close" or accepted or message.get("code"):
            await send(message)
            return
        log.warning(
            "%s: refused a socket from %s: its origin %.80r is not ours",
            scope["path"],
            peer(scope),
            header(scope, b"origin"),
        )
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send(message)
            return
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
        await send({"type": "websocket.http.response.start", "status": 403, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": WRONG_ORIGIN.encode()})

    return say


def authenticated(application: Any) -> Any:
    """Set ``scope["user"]`` and, for scripts, ``scope["token"]``; a wrong token is refused with close code 4401.

    A token is proof enough by itself: only a cookie needs the check of the origin, since a browser sends it unasked.
    """
    from_browser = AllowedHostsOriginValidator(AuthMiddlewareStack(application))

    async def by_credentials(scope: dict[str, Any], receive: Any, send: Any) -> Any:
        kind, _, key = header(scope, b"authorization").partition(" ")
        if kind.lower() != "token":
            return await from_browser(scope, receive, _saying_why(scope, send))
        token = await database_sync_to_async(valid_token)(key.strip())
        if token is None:
            log.warning("%s: refused a socket from %s: %s", scope["path"], peer(scope), WRONG_TOKEN)
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 4401, "reason": WRONG_TOKEN})
            return None
        return await application({**scope, "user": token.user, "token": token}, receive, send)

    return by_credentials
