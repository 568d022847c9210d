"""A link for the camera benchmarks, in a process of its own: TCP that can be slow, stall, or be cut like a cable.

``python -m benchmarks._camera_proxy`` reads a JSON plan from standard input (``host``, ``port`` of the target, and
optionally ``delay`` (s, each way), ``stalls`` (share of pieces of up to 16 kB that wait) and ``stall`` (s, how long)),
prints the port that it listens on, and takes the lines ``cut`` and ``join``.

A piece that stalls holds up all that come behind it, as a lost packet does until TCP has sent it again. While the link
is cut no byte passes and no connection is closed: neither end is told, as with a cable that was pulled.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from contextlib import suppress
from typing import Any

import uvloop

PIECE = 16 * 1024
# What the link itself holds: more would be a buffer that no real link has.
HELD = 64 * 1024


class Link:
    """One link and the connections that pass over it."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._target = plan["host"], plan["port"]
        self._delay = float(plan.get("delay", 0))
        self._stalls, self._stall = float(plan.get("stalls", 0)), float(plan.get("stall", 0.2))
        self._random = random.Random(1)
        self.whole = asyncio.Event()
        self.whole.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either end closes it."""
        await self.whole.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target, limit=HELD)
        except OSError:
            writer.transport.abort()
            return
        ways = [
            asyncio.ensure_future(self._carry(reader, far_writer)),
            asyncio.ensure_future(self._carry(far_reader, writer)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        await self.whole.wait()
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for end in (writer, far_writer):
            end.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        # On the way: as many pieces as a link of this delay holds, so that a delay is no limit to its rate.
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64 if self._delay else 2)

        async def arrive() -> None:
            while True:
                due, piece = await under_way.get()
                if (left := due - loop.time()) > 0:
                    await asyncio.sleep(left)
                await self.whole.wait()
                if not piece:
                    return
                writer.write(piece)
                await writer.drain()

        arriving = asyncio.ensure_future(arrive())
        due = 0.0
        try:
            with suppress(ConnectionError):
                while piece := await reader.read(PIECE):
                    due = max(due, loop.time() + self._delay)
                    if self._stalls and self._random.random() < self._stalls:
                        due += self._stall
                    await under_way.put((due, piece))
            await under_way.put((due, b""))
            with suppress(ConnectionError):
                await arriving
        finally:
            arriving.cancel()


async def main() -> None:
    """Run the link of the plan until standard input ends."""
    link = Link(json.loads(await asyncio.to_thread(sys.stdin.readline)))
    server = await asyncio.start_server(link.serve, "127.0.0.1", 0, limit=HELD)
    print(server.sockets[0].getsockname()[1], flush=True)
    while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
        if line == "cut":
            link.whole.clear()
        else:
            link.whole.set()
        print(line, flush=True)


if __name__ == "__main__":
    uvloop.run(main())
