"""What the ingest process serves: agents' sockets, and its own beginning and end."""

from __future__ import annotations

from typing import Any

from channels.routing import URLRouter
from django.urls import path

from cameras.ingest.agent_socket import ingest, station
from sessions.websockets import or_refused

ingest_socket = or_refused(URLRouter([path("ws/cameras/<slug:slug>/ingest/", ingest)]))  # type: ignore[arg-type]


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
