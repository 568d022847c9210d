"""How soon an agent is back, however often and however roughly its server went away."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve

from cameras.agent import connection
from cameras.agent.capture import CameraSettings
from cameras.agent.connection import FIRST_DELAY, LONGEST_DELAY, CameraAgent, delay_after


@pytest.mark.parametrize(
    ("delay", "lasted", "then"),
    [(LONGEST_DELAY, 3600.0, FIRST_DELAY), (4.0, 0.0, 4.0), (4.0, 0.5, 4.0), (FIRST_DELAY, 0.0, FIRST_DELAY)],
)
def test_a_good_connection_forgets_the_bad_ones_before_it(delay: float, lasted: float, then: float) -> None:
    assert delay_after(delay, lasted) == then


def test_a_server_that_is_killed_again_and_again_is_found_as_soon_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Doubled from each loss to the next, the eighth connection would come after half a minute.
    monkeypatch.setattr(connection, "STEADY_SECONDS", 0.1)
    found, enough = 0, asyncio.Event()

    async def killed(socket: ServerConnection) -> None:
        nonlocal found
        found += 1
        if found == 8:
            enough.set()
        await socket.send(json.dumps({"type": "hello", "last_sequence": 0}))
        await asyncio.sleep(0.3)
        socket.transport.abort()

    async def lose() -> None:
        async with serve(killed, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            given = CameraSettings("box", f"ws://127.0.0.1:{port}/", "t", "sim:", fps=15, size=(64, 48))
            given.spool = tmp_path
            running = asyncio.create_task(CameraAgent(given).run())
            try:
                await asyncio.wait_for(enough.wait(), 20)
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    asyncio.run(lose())
    assert found >= 8
