"""Cameras for the camera benchmark, in a process of their own: frame messages of about 60 kB at a steady rate.

``python -m benchmarks._camera_feeder`` reads a JSON plan from standard input and sends until it is ended.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import cv2
import numpy as np
import uvloop
from websockets.asyncio.client import connect

from cameras.wire import FLAG_KEY, FrameHeader, encode_header


def pool(width: int, height: int, size: int, count: int = 30) -> list[bytes]:
    """Return JPEG pictures of about ``size`` bytes: texture, and a bright disc that moves."""
    rng = np.random.default_rng(0)
    base = cv2.GaussianBlur(rng.integers(0, 255, (height, width, 3), dtype=np.uint8), (0, 0), 3)
    base = cv2.normalize(base, base, 0, 255, cv2.NORM_MINMAX)
    pictures = []
    for index in range(count):
        picture = base.copy()
        cv2.circle(picture, (int(width * (index + 0.5) / count), height // 2), 40, (255, 255, 255), -1)
        picture = cv2.add(picture, rng.integers(0, 12, (height, width, 3), dtype=np.uint8))
        for quality in range(95, 20, -5):
            data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
            if len(data) <= size:
                break
        pictures.append(data)
    return pictures


async def camera(one: dict[str, Any], pictures: list[bytes], phase: float) -> None:
    """Send one camera's frames; what the server says is read and needs no answer here."""
    headers = {"Authorization": f"Bearer {one['token']}"}
    async with connect(one["url"], additional_headers=headers, compression=None, proxy=None, max_queue=64) as socket:
        hello = json.loads(await socket.recv())
        sequence = hello["last_sequence"]

        async def listen() -> None:
            async for _ in socket:
                continue

        listening = asyncio.create_task(listen())
        due = time.monotonic() + phase / one["fps"]
        while True:
            due += 1 / one["fps"]
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            sequence += 1
            header = FrameHeader(sequence, time.time_ns(), one["width"], one["height"], flags=FLAG_KEY)
            await socket.send(encode_header(header) + pictures[sequence % len(pictures)])
            if listening.done():
                raise ConnectionError(f"{one['url']} was closed")


async def main() -> None:
    """Run all cameras of the plan."""
    plan = json.loads(await asyncio.to_thread(sys.stdin.readline))
    pictures = await asyncio.to_thread(pool, plan[0]["width"], plan[0]["height"], 62_000)
    print(json.dumps({"mean_bytes": sum(map(len, pictures)) / len(pictures)}), flush=True)
    await asyncio.gather(*(camera(one, pictures, index / len(plan)) for index, one in enumerate(plan)))


if __name__ == "__main__":
    uvloop.run(main())
