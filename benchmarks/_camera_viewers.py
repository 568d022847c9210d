"""Viewers for the camera benchmark, in a process of their own: sockets that read frames and give credit back.

``python -m benchmarks._camera_viewers`` reads a JSON plan from standard input, says ``ready`` when all are connected,
measures between the lines ``start`` and ``stop``, and prints one JSON with frames a second and picture ages for each
viewer. All traffic stays on this machine.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import struct
import sys
import time
from functools import partial
from typing import Any

import uvloop

HEADERS = struct.Struct("<QQQ")


class Viewer(asyncio.Protocol):
    """A websocket client reduced to what is measured; reads ``rate`` bytes a second at most, none if stalled."""

    def __init__(self, plan: dict[str, Any], loop: asyncio.AbstractEventLoop) -> None:
        self.plan = plan
        self.loop = loop
        self.opened = loop.create_future()
        self.measuring = False
        self.frames = 0
        self.skipped = 0
        self.bytes = 0
        self.ages: list[float] = []
        self.last: int | None = None
        self._buffer = bytearray()
        self._shaken = False
        self._next_read = 0.0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        plan = self.plan
        if plan.get("http"):
            transport.write(f"GET {plan['path']} HTTP/1.1\r\nHost: {plan['host']}:{plan['port']}\r\n\r\n".encode())
            return
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET {plan['path']} HTTP/1.1\r\nHost: {plan['host']}:{plan['port']}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: Token {plan['key']}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._shaken:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            expected = b" 200 " if self.plan.get("http") else b" 101 "
            assert expected in self._buffer[:20], bytes(self._buffer[:200])
            del self._buffer[: end + 4]
            self._shaken = True
            self.opened.set_result(None)
            if self.plan.get("stalled"):
                self.transport.pause_reading()
                return
        self._throttle(len(data))
        if self.plan.get("http"):
            self._parts()
        else:
            self._messages()

    def _throttle(self, size: int) -> None:
        rate = self.plan.get("rate")
        if rate:
            now = self.loop.time()
            self._next_read = max(self._next_read, now - 0.02) + size / rate
            if self._next_read > now:
                self.transport.pause_reading()
                self.loop.call_at(self._next_read, self.transport.resume_reading)

    def _messages(self) -> None:
        buffer = self._buffer
        while len(buffer) >= 2:
            length, head = buffer[1] & 127, 2
            if length == 126:
                length, head = int.from_bytes(buffer[2:4], "big"), 4
            elif length == 127:
                length, head = int.from_bytes(buffer[2:10], "big"), 10
            if len(buffer) < head + length:
                return
            kind = buffer[0] & 15
            if kind == 2:
                self._frame(head)
            elif kind == 9:
                self.transport.write(bytes((0x8A, 0x80 | length)) + bytes(4) + bytes(buffer[head : head + length]))
            del buffer[: head + length]

    def _parts(self) -> None:
        """Count the parts of a multipart stream, by the length that each names."""
        buffer = self._buffer
        while (end := buffer.find(b"\r\n\r\n")) >= 0:
            at = bytes(buffer[:end]).lower().find(b"content-length:")
            if at < 0:
                return
            length = int(bytes(buffer[at + 15 : end]).split(b"\r\n")[0])
            if len(buffer) < end + 4 + length:
                return
            if self.measuring:
                self.frames += 1
            del buffer[: end + 4 + length]

    def _frame(self, head: int) -> None:
        sequence, captured, _ = HEADERS.unpack_from(self._buffer, head + 8)
        if self.measuring:
            self.frames += 1
            self.ages.append((time.time_ns() - captured) / 1e6)
            if self.last is not None:
                self.skipped += sequence - self.last - 1
        self.last = sequence
        self.transport.write(b"\x81\x83\0\0\0\0ack")


async def main() -> None:
    """Run the plan."""
    loop = asyncio.get_running_loop()
    plan = json.loads(await asyncio.to_thread(sys.stdin.readline))
    viewers = []
    for one in plan:
        import socket

        sock = socket.socket()
        if one.get("rate") or one.get("stalled"):
            # A thin link has no megabytes of buffer at its far end.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.setblocking(False)
        await loop.sock_connect(sock, (one["host"], one["port"]))
        _, viewer = await loop.create_connection(partial(Viewer, one, loop), sock=sock)
        await viewer.opened
        viewers.append(viewer)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    started = time.monotonic()
    for viewer in viewers:
        viewer.measuring = True
    await asyncio.to_thread(sys.stdin.readline)
    elapsed = time.monotonic() - started
    for viewer in viewers:
        viewer.measuring = False
    report = []
    for viewer in viewers:
        ages = sorted(viewer.ages) or [float("nan")]
        report.append(
            {
                "label": viewer.plan["label"],
                "fps": viewer.frames / elapsed,
                "frames": viewer.frames,
                "skipped": viewer.skipped,
                "age_p50": ages[len(ages) // 2],
                "age_p95": ages[int(len(ages) * 0.95)],
            }
        )
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
