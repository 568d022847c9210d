"""The websockets of a session.

``ws/sessions/<id>/`` tells the pages that have it open what happens; ``ws/sessions/<id>/events/`` takes what the rig's
controller reports:

======================================  ================================================================
the controller says                     the server answers
======================================  ================================================================
``events`` id, events                   ``added`` id, added, already: they are committed
                                        ``refused`` id, status, detail, errors: none of them was taken
``time`` (anything)                     the same with ``server_ns``, at once: to measure its offset with
======================================  ================================================================

Events are as in REST, without ``session``. ``id`` is the controller's and comes back. What was not answered is sent
again after the next connection: an event with ``source`` and ``number`` is taken once. Close codes: 4400 not
understood, 4401 log in, 4403 may only look, 4404 no such session, 1009 too large, 1013 try again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import Error as DatabaseError
from rest_framework.serializers import ValidationError

from sessions import selectors, services
from sessions.errors import LabError, rest_exception_handler
from sessions.live import group_of
from sessions.permissions import can, scope_allows
from sessions.tokens import still_here

NOT_UNDERSTOOD = 4400
NOT_LOGGED_IN = 4401
ONLY_LOOK = 4403
NOT_HERE = 4404
TOO_LARGE = 1009
TRY_AGAIN = 1013
LONGEST_TEXT = 4_000_000
# How often an open socket's right to be open is looked at again: a revoked token ends within 5 s.
RECHECK_PERIOD = 3.0


class RecheckedConsumer(AsyncWebsocketConsumer):
    """A websocket of one session, which ends when its user loses the right that it was opened with."""

    checking: asyncio.Task[None] | None = None
    # What the other end says before it is let in, or after it was closed, may be on its way; it counts for nothing.
    listening = False

    async def let_in(self) -> bool:
        """Accept who may be here, and look again and again; others are told why and closed."""
        await self.accept()
        if refusal := await self._refusal():
            await self.close(*refusal)
            return False
        self.listening = True
        self.checking = asyncio.ensure_future(self._recheck())
        return True

    async def say(self, message: dict[str, Any]) -> None:
        """Send a message as JSON."""
        await self.send(json.dumps(message))

    async def close(self, code: int | bool | None = None, reason: str | None = None) -> None:
        """Close it, and listen no more."""
        self.listening = False
        await super().close(code, reason)

    async def disconnect(self, code: int) -> None:  # noqa: ARG002 - the framework's signature
        """Look no more."""
        if self.checking is not None:
            self.checking.cancel()

    @property
    def pk(self) -> Any:
        """The session's id."""
        return self.scope["url_route"]["kwargs"]["pk"]

    async def _recheck(self) -> None:
        while True:
            await asyncio.sleep(RECHECK_PERIOD)
            with contextlib.suppress(DatabaseError):
                if refusal := await self._refusal():
                    await self.close(*refusal)
                    return

    async def _refusal(self) -> tuple[int, str] | None:
        return await database_sync_to_async(self.look)()

    def user(self) -> Any:
        """Return the user as the database has it now, or ``None`` when nobody is logged in any more."""
        return still_here(self.scope.get("user"), self.scope.get("token"))

    def look(self) -> tuple[int, str] | None:
        """Return close code and reason when this user may not (any more) see this session."""
        user = self.user()
        if user is None:
            return NOT_LOGGED_IN, "Log in, or send a token that is valid."
        token = self.scope.get("token")
        if token is not None and not scope_allows(token.scope, changes=False):
            return ONLY_LOOK, "This token is for cameras only."
        if not selectors.sessions(user).filter(pk=self.pk).exists():
            return NOT_HERE, "There is no such session here."
        return None


class SessionConsumer(RecheckedConsumer):
    """Sends news of one session to whoever may see it; what the page sends is not listened to."""

    group = ""

    async def connect(self) -> None:
        """Let in who may see the session."""
        if not await self.let_in():
            return
        group = group_of(self.pk)
        await self.channel_layer.group_add(group, self.channel_name)
        self.group = group
        # From here on nothing is missed: the page now reads the rows once more.
        await self.say({"type": "ready"})

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Ignore what comes in."""

    async def disconnect(self, code: int) -> None:
        """Leave the session's group."""
        await super().disconnect(code)
        if self.group:
            await self.channel_layer.group_discard(self.group, self.channel_name)

    async def session_news(self, event: dict[str, Any]) -> None:
        """Pass on a message of the group."""
        await self.say(event["message"])


class EventsConsumer(RecheckedConsumer):
    """Takes events of one session from its controller; each delivery is one transaction."""

    async def connect(self) -> None:
        """Let in who may change the session."""
        if await self.let_in():
            await self.say({"type": "ready", "server_ns": time.time_ns()})

    async def receive(self, text_data: str | None = None, **_: Any) -> None:
        """Take one message; bytes are none."""
        if not self.listening:
            return
        if text_data is not None and len(text_data) > LONGEST_TEXT:
            await self.close(TOO_LARGE, f"A message has at most {LONGEST_TEXT} characters.")
            return
        try:
            message = json.loads(text_data or "")
        except (ValueError, RecursionError):
            message = None
        kind = message.get("type") if isinstance(message, dict) else None
        if kind == "time":
            await self.say({**message, "server_ns": time.time_ns()})
        elif kind == "events":
            await self._take(message)
        else:
            await self.close(NOT_UNDERSTOOD, "A message is a JSON object of type events or time.")

    async def _take(self, message: dict[str, Any]) -> None:
        try:
            added, already = await database_sync_to_async(self._write)(message.get("events"))
        except (LabError, ValidationError) as error:
            reply = rest_exception_handler(error, {})
            await self.say({"type": "refused", "id": message.get("id"), "status": reply.status_code, **reply.data})
        except DatabaseError:
            await self.close(TRY_AGAIN, "The database does not answer; send the events again.")
        else:
            await self.say({"type": "added", "id": message.get("id"), "added": added, "already": already})

    def _write(self, events: Any) -> tuple[int, int]:
        # Here and not above: the serializers import the whole of REST.
        from sessions.api.serializers import EventOfSession

        body = EventOfSession(data=events, many=True)
        body.is_valid(raise_exception=True)
        session = selectors.one(selectors.sessions(self.scope["user"]), self.pk)
        return services.add_events(by=self.scope["user"], session=session, events=body.validated_data)

    def look(self) -> tuple[int, str] | None:
        """Return close code and reason when this user may not (any more) report events of this session."""
        if refusal := super().look():
            return refusal
        token = self.scope.get("token")
        if token is not None and not scope_allows(token.scope, changes=True):
            return ONLY_LOOK, "This token may only read."
        user = self.user()
        session = selectors.sessions(user).filter(pk=self.pk).first()
        if session is not None and not can(user, "change", session):
            return ONLY_LOOK, "You may see this session but not add to it."
        return None
