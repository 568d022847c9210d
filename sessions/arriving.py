"""Bodies of requests as they arrive.

Django's ASGI handler takes a whole body before it calls a view, and forgets it when the client goes away in the middle.
An upload needs the opposite: every byte that came is kept, and a body may be longer than the memory and the temporary
disk. For those requests the view's thread reads the body from the connection itself.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Awaitable, Callable
from typing import Any

from django.core.handlers.asgi import ASGIHandler

# A client that is silent for so long is taken for gone; it finds what came when it asks again.
SILENT_SECONDS = 60.0

Receive = Callable[[], Awaitable[dict[str, Any]]]


class ArrivingBody:
    """A body that a thread reads while the event loop receives it; ``read`` returns fewer bytes only at its end.

    ``cut`` says whether it ended because the client went away. At most one message of the server (64 kB) is held.
    """

    def __init__(self, receive: Receive, loop: asyncio.AbstractEventLoop) -> None:
        self._receive, self._loop = receive, loop
        self._held = bytearray()
        self._more = True
        self.cut = False

    def read(self, size: int = -1) -> bytes:
        """Return so many bytes, or what is left of the body."""
        while self._more and (size < 0 or len(self._held) < size):
            self._take()
        count = len(self._held) if size < 0 else size
        part = bytes(self._held[:count])
        del self._held[:count]
        return part

    def _take(self) -> None:
        coming = asyncio.run_coroutine_threadsafe(self._next(), self._loop)
        try:
            message = coming.result(SILENT_SECONDS)
        except (TimeoutError, concurrent.futures.TimeoutError, concurrent.futures.CancelledError):
            coming.cancel()
            message = {"type": "http.disconnect"}
        self.cut = message["type"] == "http.disconnect"
        self._held += message.get("body", b"")
        self._more = not self.cut and message.get("more_body", False)

    async def _next(self) -> dict[str, Any]:
        return await self._receive()

    def close(self) -> None:
        """Nothing is open: what was not read stays with the server."""

    async def __call__(self) -> dict[str, Any]:
        """Stand for ``receive`` once the body is the view's: the view itself notices when the client goes."""
        return await self._loop.create_future()


class ArrivingHandler(ASGIHandler):
    """Django's handler, which hands the bodies of some requests to their views while they arrive."""

    def __init__(self, arrives: Callable[[dict[str, Any]], bool]) -> None:
        super().__init__()
        self.arrives = arrives

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request; the view of one that arrives is never cut off in the middle of what it writes."""
        if self.arrives(scope):
            receive = ArrivingBody(receive, asyncio.get_running_loop())
        await super().handle(scope, receive, send)

    async def read_body(self, receive: Any) -> Any:
        """Return the body, read or arriving."""
        return receive if isinstance(receive, ArrivingBody) else await super().read_body(receive)
