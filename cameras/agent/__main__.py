"""``./lab agent`` or ``labsite-agent``: run the cameras of one box until a signal ends it.

Exit codes: 0 ended as asked, 2 wrong configuration or source, 3 a token was refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys

import cv2

from cameras.agent.capture import CameraSettings
from cameras.agent.config import ConfigError, cameras_of, command_line
from cameras.agent.connection import CameraAgent, Refused
from cameras.agent.enrolment import EnrolmentError, enrol
from cameras.agent.sources import SourceError

log = logging.getLogger("cameras.agent")


async def run(cameras: list[CameraSettings]) -> int:
    """Run all cameras; returns the exit code."""
    tasks = {asyncio.create_task(CameraAgent(settings).run()): settings for settings in cameras}
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    stopping = asyncio.create_task(stop.wait())
    code = 0
    waiting: set[asyncio.Task[object]] = {*tasks, stopping}
    while len(waiting) > 1 and not stop.is_set():
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopping}:
            code = max(code, _outcome(task, tasks[task].slug))  # type: ignore[index]
    stopping.cancel()
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    return code


def _outcome(task: asyncio.Task[object], slug: str) -> int:
    try:
        task.result()
    except Refused as error:
        log.error("%s: the server refuses this camera: %s", slug, error)  # noqa: TRY400 - a sentence, no traceback
        return 3
    except SourceError as error:
        log.error("%s: %s", slug, error)  # noqa: TRY400
        return 2
    return 0


def main() -> int:
    """Read the configuration and run."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("websockets").setLevel(logging.WARNING)
    # One box runs several cameras; OpenCV's pool would fight over the same cores.
    cv2.setNumThreads(1)
    try:
        options = command_line()
        if options.enrol:
            sys.stdout.write(f"{enrol(options)}\n")
            return 0
        cameras = cameras_of(options)
    except (ConfigError, EnrolmentError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    with contextlib.suppress(KeyboardInterrupt):
        return asyncio.run(run(cameras))
    return 0


if __name__ == "__main__":
    sys.exit(main())
