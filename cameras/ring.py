"""What is kept of every camera for some hours, apart from recordings: read, cut, thrown away; no Django.

Below the data root: ``ring/<camera>/<time of its first frame, ns>/``, a *piece*: a folder of some minutes that is
written like a recording's (``framestore``). Pieces are thrown away whole, the oldest first. Nothing outside ``ring/``
is ever touched here.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cameras import frametable
from cameras.clock import ClockLine
from cameras.framestore import TABLE, Frame
from cameras.wire import FrameHeader

RING = "ring"
PIECE_SECONDS = 300.0
# A piece that was written so recently may be written still.
WRITTEN_WITHIN = 30.0
# Between two pieces that follow one another there is no more than this (ns).
SEAM_NS = 2_000_000_000
CLOCK_FILE = "clock.json"


class Span(NamedTuple):
    """A time without a break of which frames are kept (server's clock, ns)."""

    start_ns: int
    stop_ns: int


@dataclass(frozen=True)
class Piece:
    """A folder of the ring: when its frames were received (server's clock, ns), how many they are and their bytes."""

    folder: Path
    start_ns: int
    stop_ns: int
    frames: int
    bytes: int
    written: float


def pieces(root: Path, slug: str) -> list[Piece]:
    """Return what is kept of a camera, the oldest first; a piece without a frame is left out.

    Reads the first and the last record of each table, so that a day of pieces costs milliseconds.
    """
    found = (_piece(folder) for folder in _folders(root / RING / slug))
    return sorted((piece for piece in found if piece is not None), key=lambda piece: piece.start_ns)


def spans(kept: Iterable[Piece]) -> list[Span]:
    """Return the times without a break that pieces (in order) cover."""
    found: list[Span] = []
    for piece in kept:
        if found and piece.start_ns - found[-1].stop_ns <= SEAM_NS:
            found[-1] = Span(found[-1].start_ns, max(found[-1].stop_ns, piece.stop_ns))
        else:
            found.append(Span(piece.start_ns, piece.stop_ns))
    return found


def frames_between(kept: Iterable[Piece], start_ns: int, stop_ns: int) -> Iterator[Frame]:
    """Yield the frames that were captured from one time to another (server's clock, ns, both included), in order.

    Where pictures need the ones before them, the first is the last key frame before ``start_ns``. A picture that is not
    there any more, or is damaged, is left out: it is a gap in the numbers.
    """
    for piece in kept:
        if piece.stop_ns < start_ns - SEAM_NS or piece.start_ns > stop_ns + SEAM_NS:
            continue
        try:
            records = frametable.read(piece.folder).in_order()
        except (OSError, frametable.TableError):
            continue
        for record in records[_chosen(records, piece.folder, start_ns, stop_ns)]:
            try:
                picture = frametable.read_picture(piece.folder, record)
            except (OSError, frametable.TableError):
                continue
            header = FrameHeader(
                int(record["sequence"]), int(record["captured_ns"]), int(record["width"]), int(record["height"]),
                int(record["codec"]), int(record["flags"]), int(record["received_ns"]),
            )  # fmt: skip
            yield Frame(header, picture)


def prune(
    root: Path,
    hours: Mapping[str, float],
    *,
    free: Callable[[], int],
    wanted_free: int,
    busy: Mapping[str, int] | None = None,
    now: float | None = None,
) -> int:
    """Throw away what is older than a camera's hours, then the oldest of all while less than ``wanted_free`` is free.

    A camera that is not in ``hours`` keeps nothing. ``busy`` holds for a camera the time (ns) from which its pieces are
    being copied, and stay. So does what is still open for writing, though nothing came for long from a frozen camera.
    Returns how many pieces were thrown away.
    """
    now = time.time() if now is None else now
    busy = busy or {}
    thrown, rest = 0, []
    for camera in _folders(root / RING):
        folders = _folders(camera)
        for folder in folders:
            piece = _piece(folder) or Piece(folder, 0, 0, 0, 0, folder.stat().st_mtime)
            held = camera.name in busy and piece.stop_ns >= busy[camera.name]
            if now - piece.written < WRITTEN_WITHIN or held or _is_open(folder):
                continue
            if piece.stop_ns / 1e9 < now - hours.get(camera.name, 0) * 3600:
                shutil.rmtree(folder, ignore_errors=True)
                thrown += 1
            else:
                rest.append(piece)
        if not folders and camera.name not in hours:
            _remove_empty(camera)
    for piece in sorted(rest, key=lambda piece: piece.start_ns):
        if free() >= wanted_free:
            break
        shutil.rmtree(piece.folder, ignore_errors=True)
        thrown += 1
    return thrown


def _folders(folder: Path) -> list[Path]:
    """Return the real folders in a folder; links may lead anywhere and are left alone."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    except FileNotFoundError:
        return []


def _is_open(folder: Path) -> bool:
    """Return whether a piece has a writer: it holds a lock on the table as long."""
    try:
        with (folder / TABLE).open("rb") as table:
            fcntl.flock(table, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return  # Something came in between.


def _piece(folder: Path) -> Piece | None:
    size = frametable.RECORD_SIZE
    try:
        with (folder / TABLE).open("rb") as table:
            about = os.fstat(table.fileno())
            frames = (about.st_size - frametable.HEADER_SIZE) // size
            if frames < 1:
                return None
            first = os.pread(table.fileno(), size, frametable.HEADER_SIZE)
            last = os.pread(table.fileno(), size, frametable.HEADER_SIZE + (frames - 1) * size)
        stored = sum(path.stat().st_size for path in folder.glob("segment-*"))
    except OSError:
        return None
    times = np.frombuffer(first + last, dtype=frametable.DTYPE)["received_ns"]
    # A power cut may leave zeros in place of the last record.
    stop = int(times[-1]) if times[-1] >= times[0] else int(about.st_mtime * 1e9)
    return Piece(folder, int(times[0]), stop, frames, stored, about.st_mtime)


def _offset(folder: Path) -> int | None:
    offset = ClockLine.load(folder / CLOCK_FILE).estimate()["offset_ms"]
    return None if offset is None else round(offset * 1e6)


def _chosen(records: np.ndarray, folder: Path, start_ns: int, stop_ns: int) -> slice:
    captured = records["captured_ns"].astype(np.int64) - (_offset(folder) or 0)
    inside = np.flatnonzero((captured >= start_ns) & (captured <= stop_ns))
    if not len(inside):
        return slice(0, 0)
    return slice(frametable.group_start(records, int(inside[0])), int(inside[-1]) + 1)
