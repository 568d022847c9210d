"""Serve pages or take in camera frames: `python -m labsite.stack.serve web|ingest [--host H] [--port N | --fd N]`.

Uvicorn with the settings that live pictures need: no compression of JPEGs, no permission for a slow viewer to pile up
pictures in a buffer. With `--fd` the listening socket comes from the supervisor, so that no connection is refused
while a crashed server starts again.
"""

import argparse
import asyncio
import os
import socket
import time

import uvicorn

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "labsite.settings")

APPLICATIONS = {"web": "labsite.asgi:application", "ingest": "labsite.asgi_ingest:application"}
# How long open requests may take to end when the server is told to stop; live sockets are closed at once.
GRACEFUL_SECONDS = 5
STUCK_SECONDS = 10.0


class AnnouncedServer(uvicorn.Server):
    """A server that says it lives while its event loop turns."""

    def __init__(self, config: uvicorn.Config, part: str) -> None:
        super().__init__(config)
        self._part = part
        self._turned = time.monotonic()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to serve, then say so."""
        from labsite.stack.alive import announce

        await super().startup(sockets=sockets)
        if self.should_exit:
            return
        self._turning = asyncio.create_task(self._turn())
        self._announcement = announce(self._part, lives=lambda: time.monotonic() - self._turned < STUCK_SECONDS)

    async def _turn(self) -> None:
        while True:
            self._turned = time.monotonic()
            await asyncio.sleep(1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say that it is gone, then end what is open."""
        self._turning.cancel()
        await asyncio.to_thread(self._announcement.stop)
        await super().shutdown(sockets=sockets)


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to stop; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m labsite.stack.serve", description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=sorted(APPLICATIONS))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--fd", type=int, help="number of an inherited listening socket, instead of host and port")
    options = parser.parse_args(arguments)
    config = uvicorn.Config(
        APPLICATIONS[options.part],
        host=options.host,
        port=options.port,
        loop="uvloop",
        http="httptools",
        ws="cameras.relay.protocol:FrameWebSocketProtocol",
        ws_per_message_deflate=False,
        ws_ping_interval=10,
        ws_ping_timeout=20,
        lifespan="on" if options.part == "ingest" else "off",
        access_log=False,
        log_level=os.environ.get("LAB_LOG_LEVEL", "info").lower(),
        proxy_headers=True,
        timeout_graceful_shutdown=GRACEFUL_SECONDS,
        server_header=False,
    )
    server = AnnouncedServer(config, options.part)
    sockets = [socket.socket(fileno=options.fd)] if options.fd is not None else None
    server.run(sockets=sockets)
    return 0 if server.started else 3


if __name__ == "__main__":
    raise SystemExit(main())
