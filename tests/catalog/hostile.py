"""What a parser may do on a hostile file; no Django, as the process that calls it has none."""

from __future__ import annotations

import os
from pathlib import Path


def crash() -> None:
    os.abort()


def loop() -> None:
    while True:
        continue


def swallow() -> int:
    return len(bytearray(64 << 30))


def talk() -> str:
    return "more " * (4 << 20)


def write(path: str) -> None:
    Path(path).write_bytes(b"harm")


def environment() -> dict[str, str]:
    return dict(os.environ)


def crash_on(*_: object) -> None:
    os.abort()
