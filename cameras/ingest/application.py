"""What the ingest process serves: agents' sockets, and its own beginning and end."""

from __future__ import annotations

from typing import Any

from channels.routing import URLRouter
from django.urls import path

from cameras.ingest.agent_socket import ingest, station

_router = URLRouter([path("ws/cameras/<slug:slug>/ingest/", ingest)])  # type: ignore[arg-type]


async def ingest_socket(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Serve an agent; any other address is refused before the handshake."""
    try:
        await _router(scope, receive, send)
    except ValueError as error:
        if "No route found" not in str(error):
            raise
        await receive()
        await send({"type": "websocket.close", "code": 4404, "reason": "There is no such address."})


async def lifespan(scope: dict[str, Any], receive: Any, send: Any) -> None:  # noqa: ARG001
    """Start looking after recordings before the first agent comes; at the end write what was handed over."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            station()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await station().close()
            await send({"type": "lifespan.shutdown.complete"})
            return
