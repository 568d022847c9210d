"""The live socket, as a plain ASGI application: ``ws/cameras/<slug>/live/?rendition=main|preview&credit=2``."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import Any
from urllib.parse import parse_qs

from channels.db import database_sync_to_async
from django.db import Error as DatabaseError

from cameras.models import Camera
from cameras.relay.hub import hub
from cameras.relay.protocol import EXTENSION
from cameras.relay.viewers import DirectViewer, PlainViewer
from sessions.permissions import can
from sessions.tokens import still_here
from sessions.websockets import peer

log = logging.getLogger(__name__)

RENDITIONS = ("main", "preview")
DEFAULT_CREDIT, MOST_CREDIT = 2, 8
# How often an open socket's right to be open is looked at again: a revoked token ends within 5 s.
RECHECK_PERIOD = 3.0

UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, BAD_REQUEST = 4401, 4403, 4404, 4400
TRY_AGAIN = 1013


class BadQuery(ValueError):
    """The address asks for something that there is not."""


def parse_query(query: bytes) -> tuple[str, int]:
    """Return (rendition, credit) of a query string; BadQuery names the wrong parameter."""
    given = {name: values[-1] for name, values in parse_qs(query.decode("latin-1"), keep_blank_values=True).items()}
    rendition = given.get("rendition", "main")
    if rendition not in RENDITIONS:
        raise BadQuery(f"rendition is {rendition[:40]!r}, must be main or preview.")
    text = given.get("credit", str(DEFAULT_CREDIT))
    if text not in map(str, range(1, MOST_CREDIT + 1)):
        raise BadQuery(f"credit is {text[:40]!r}, must be a number from 1 to {MOST_CREDIT}.")
    return rendition, int(text)


def _may_watch(user: Any, token: Any, slug: str) -> int:
    """Return 0 when this user may watch this camera now, else the close code."""
    fresh = still_here(user, token)
    if fresh is None:
        return UNAUTHENTICATED
    camera = Camera.objects.select_related("rig__project").filter(slug=slug).first()
    # To somebody without a role in its project the camera does not exist.
    return 0 if camera is not None and can(fresh, "view", camera) else NOT_FOUND


_REASONS = {
    UNAUTHENTICATED: "Log in, or send a valid token, to see cameras.",
    FORBIDDEN: "You may not see this camera.",
    NOT_FOUND: "There is no such camera for you.",
    TRY_AGAIN: "The database does not answer; try again.",
}
_NOT_UNDERSTOOD = 'A viewer says ack, or JSON with a type such as {"type":"time"}; this is neither.'


async def live(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Serve one viewer."""
    slug = scope["url_route"]["kwargs"]["slug"]
    if (await receive())["type"] != "websocket.connect":
        return
    await send({"type": "websocket.accept"})
    user, token = scope.get("user"), scope.get("token")

    async def refuse(code: int, reason: str) -> None:
        log.warning("%s: refused %s from %s: %s (%s)", slug[:60], user, peer(scope), reason, code)
        await send({"type": "websocket.close", "code": code, "reason": reason})

    try:
        rendition, credit = parse_query(scope.get("query_string", b""))
    except BadQuery as error:
        await refuse(BAD_REQUEST, str(error))
        return
    may_watch = database_sync_to_async(_may_watch)
    try:
        code = await may_watch(user, token, slug)
    except DatabaseError:
        code = TRY_AGAIN
    if code:
        await refuse(code, _REASONS[code])
        return
    socket = scope.get("extensions", {}).get(EXTENSION)
    viewer = DirectViewer(socket, credit) if socket is not None else PlainViewer(send, credit)
    viewers = hub()
    topic = viewers.join(slug, rendition, viewer)

    async def recheck() -> None:
        while True:
            await asyncio.sleep(RECHECK_PERIOD)
            try:
                code = await may_watch(user, token, slug)
            except DatabaseError:
                continue  # Who was let in may stay until the database says otherwise.
            if code:
                await refuse(code, _REASONS[code])
                return

    checking = asyncio.ensure_future(recheck())
    try:
        while (message := await receive())["type"] != "websocket.disconnect":
            text = message.get("text")
            if text == "ack":
                viewer.ack()
                continue
            asked = _asked(text)
            if asked is None:
                await refuse(BAD_REQUEST, _NOT_UNDERSTOOD)
                return
            if asked["type"] == "time":
                await send({"type": "websocket.send", "text": json.dumps({**asked, "server_ns": time.time_ns()})})
            # Other types are of a newer page; they are no reason to show it nothing.
    finally:
        viewers.leave(topic, viewer)
        viewer.close()
        checking.cancel()


def _asked(text: str | None) -> dict[str, Any] | None:
    """Return what a viewer asks, ``None`` where that is no JSON object with a type."""
    try:
        asked = json.loads(text or "")
    except (ValueError, RecursionError):
        return None
    return asked if isinstance(asked, dict) and isinstance(asked.get("type"), str) else None
