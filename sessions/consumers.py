"""``ws/sessions/<id>/``: what happens in a session, to the pages that have it open."""

from __future__ import annotations

from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer

from sessions import selectors
from sessions.live import group_of

NOT_LOGGED_IN = 4401
NOT_HERE = 4404


class SessionConsumer(AsyncJsonWebsocketConsumer):
    """Sends news of one session to whoever may see it; what the page sends is not listened to."""

    group = ""

    async def connect(self) -> None:
        """Let in who may see the session; others are told why and closed."""
        user = self.scope.get("user")
        pk = self.scope["url_route"]["kwargs"]["pk"]
        await self.accept()
        if user is None or not user.is_authenticated:
            await self.close(NOT_LOGGED_IN, "Log in first.")
            return
        if not await database_sync_to_async(lambda: selectors.sessions(user).filter(pk=pk).exists())():
            await self.close(NOT_HERE, "There is no such session here.")
            return
        group = group_of(pk)
        await self.channel_layer.group_add(group, self.channel_name)
        self.group = group
        # From here on nothing is missed: the page now reads the rows once more.
        await self.send_json({"type": "ready"})

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any) -> None:
        """Ignore what comes in."""

    async def disconnect(self, code: int) -> None:  # noqa: ARG002 - the framework's signature
        """Leave the session's group."""
        if self.group:
            await self.channel_layer.group_discard(self.group, self.channel_name)

    async def session_news(self, event: dict[str, Any]) -> None:
        """Pass on a message of the group."""
        await self.send_json(event["message"])
