"""Log files of the stack's processes, each a bounded number of bounded files."""

import asyncio
import sys
from pathlib import Path
from typing import BinaryIO

BYTES = 10_000_000
KEPT = 4


class Log:
    """Takes the output of a process and passes it on to this one's own."""

    async def copy(self, stream: asyncio.StreamReader) -> None:
        """Write what comes from a process until it ends."""
        while block := await stream.read(65536):
            self.write(block)

    def write(self, block: bytes) -> None:
        """Pass a block on."""
        sys.stderr.buffer.write(block)
        sys.stderr.buffer.flush()

    def close(self) -> None:
        """End; there is nothing to close."""


class RotatingLog(Log):
    """Keeps the newest `BYTES * (KEPT + 1)` bytes of what a process says in files."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def write(self, block: bytes) -> None:
        """Append to the log, and drop the block where the disk takes no more: the process itself must go on."""
        try:
            if self._file is None:
                self._file = self._path.open("ab", buffering=0)
            self._file.write(block)
            if self._file.tell() > BYTES:
                self._rotate()
        except OSError:
            # The disk is full or the directory is gone; /healthz tells of the former.
            self.close()

    def _rotate(self) -> None:
        self.close()
        for number in range(KEPT, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{number}")
            newer = self._path.with_name(f"{self._path.name}.{number - 1}") if number > 1 else self._path
            if newer.exists():
                newer.replace(older)

    def close(self) -> None:
        """Close the file; the next write opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None
