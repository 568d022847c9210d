"""Serve pages or take in camera frames: `python -m labsite.stack.serve web|ingest [--host H] [--port N | --fd N]`.

With `--processes N` it serves nothing itself, but keeps so many processes running that share its port.

Uvicorn with the settings that live pictures need: no compression of JPEGs, no permission for a slow viewer to pile up
pictures in a buffer. With `--fd` the listening socket comes from the supervisor, so that no connection is refused
while a crashed server starts again.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
import time

import uvicorn

from labsite.stack.addresses import bind
from labsite.stack.command import processes
from labsite.stack.home import HomeError
from labsite.stack.logs import Log
from labsite.stack.process import Child, servers

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


async def serve_together(part: str, host: str, port: int, count: int) -> int:
    """Keep `count` servers running that share a port, until told to stop; returns the exit status."""
    try:
        listener = bind(host, port, "--port")
    except HomeError as error:
        print(f"serve: {error}", file=sys.stderr)
        return 3
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    children = [Child(each, Log(), dict(os.environ), lambda: None) for each in servers(part, listener, count)]
    for child in children:
        child.start()
    await stop.wait()
    await asyncio.gather(*(child.stop() for child in children))
    listener.close()
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to stop; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m labsite.stack.serve", description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=sorted(APPLICATIONS))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--fd", type=int, help="number of an inherited listening socket, instead of host and port")
    parser.add_argument("--processes", type=processes, default=1, metavar="N", help="that share the port (default 1)")
    options = parser.parse_args(arguments)
    if options.processes > 1:
        return asyncio.run(serve_together(options.part, options.host, options.port, options.processes))
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
