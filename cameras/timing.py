"""The times of a recording's frames, small enough to draw: intervals, what was lost and when, the clock; no Django."""

from __future__ import annotations

import itertools
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cameras import frametable
from cameras.clock import ClockLine

MOST_POINTS = 2_000
TICK = 1.5 / 90_000
# The longest gaps are listed one by one; of more there is the number, and all of them are in the table.
MOST_GAPS = 200
NPY_DTYPE = np.dtype([("sequence", "<u8"), ("captured_ns", "<u8"), ("received_ns", "<u8"), ("after_gap", "?")])


class FrameTimes(NamedTuple):
    """Sequence numbers and times (int64, ns since the Unix epoch) of the stored frames, by sequence number."""

    sequence: np.ndarray
    captured_ns: np.ndarray
    received_ns: np.ndarray

    def seconds(self) -> np.ndarray:
        """Return the capture times in s since that of the first frame; the proxy video counts the same way."""
        return (self.captured_ns - self.captured_ns[0]) / 1e9


def read_times(folder: Path) -> FrameTimes:
    """Read the times of a recording; OSError or TableError when there is no table that can be read."""
    state = (folder / "frames.labt").stat()
    return _read_times(folder, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=4)
def _read_times(folder: Path, _size: int, _changed: int) -> FrameTimes:
    records = frametable.read(folder).in_order()
    return FrameTimes(*(records[name].astype(np.int64) for name in FrameTimes._fields))


def describe(
    times: FrameTimes, clock: ClockLine, *, first: int | None, last: int | None, points: int
) -> dict[str, Any]:
    """Return what a page shows of a recording's times; curves have at most ``points`` points.

    ``first`` and ``last`` are the sequence numbers that the agent captured; what is missing between them is lost.
    Intervals are between successive stored frames, so that the one across a gap is long. Each point stands for a run of
    frames and has their smallest, middle and largest interval: no outlier is lost by drawing less.
    """
    seconds = times.seconds()
    intervals = np.diff(times.captured_ns) / 1e6
    gaps = _gaps(times, seconds, first, last)
    longest = sorted(sorted(gaps, key=lambda gap: -gap["frames"])[:MOST_GAPS], key=lambda gap: gap["first"])
    return {
        "frames": len(seconds),
        "start_ns": int(times.captured_ns[0]),
        "duration": float(seconds[-1]),
        "intervals": {**_spread(intervals), **_curve(seconds[1:], intervals, points)},
        "lost": {"frames": sum(gap["frames"] for gap in gaps), "gaps": len(gaps), "longest": longest},
        "clock": _clock(times, clock, points),
    }


def frame_at(times: FrameTimes, *, seconds: float | None = None, sequence: int | None = None) -> dict[str, Any]:
    """Return the frame that is shown at a time (s since the first frame), or the stored one nearest to a number.

    ``seek`` is a time in the middle of the frame's stay, safe to send a player to; ``previous`` and ``next`` are the
    sequence numbers of the stored neighbours (``None`` at the ends).
    """
    all_seconds = times.seconds()
    if sequence is not None:
        after = int(np.searchsorted(times.sequence, sequence))
        near = [index for index in (after - 1, after) if 0 <= index < len(times.sequence)]
        index = min(near, key=lambda candidate: abs(int(times.sequence[candidate]) - sequence))
    else:
        # A proxy counts in 1/90000 s, rounded down: what a browser shows can be said to be so much before its capture.
        index = max(0, int(np.searchsorted(all_seconds, (seconds or 0.0) + TICK, side="right")) - 1)
    start = float(all_seconds[index])
    end = float(all_seconds[index + 1]) if index + 1 < len(all_seconds) else start + 0.002
    return {
        "sequence": int(times.sequence[index]),
        "captured_ns": int(times.captured_ns[index]),
        "received_ns": int(times.received_ns[index]),
        "seconds": start,
        # Of the frame before a long gap not the middle of the gap, which could be minutes later.
        "seek": start + min((end - start) / 2, 0.01),
        "previous": int(times.sequence[index - 1]) if index else None,
        "next": int(times.sequence[index + 1]) if index + 1 < len(times.sequence) else None,
    }


def npy_rows(records: np.ndarray) -> np.ndarray:
    """Return the times of the records of a frame table as rows of NPY_DTYPE, times in ns."""
    rows = np.empty(len(records), NPY_DTYPE)
    for name in ("sequence", "captured_ns", "received_ns"):
        rows[name] = records[name]
    rows["after_gap"] = (records["flags"] & 4) > 0
    return rows


def _spread(values: np.ndarray) -> dict[str, float | int | None]:
    if not len(values):
        return {"median_ms": None, "p99_ms": None, "largest_ms": None, "smallest_ms": None, "late": 0}
    median = float(np.median(values))
    return {
        "median_ms": median,
        "p99_ms": float(np.quantile(values, 0.99)),
        "largest_ms": float(values.max()),
        "smallest_ms": float(values.min()),
        "late": int((values > 1.5 * median).sum()),
    }


def _runs(count: int, points: int) -> list[tuple[int, int]]:
    edges = np.linspace(0, count, min(count, points) + 1).round().astype(int).tolist()
    return list(itertools.pairwise(edges))


def _curve(seconds: np.ndarray, values: np.ndarray, points: int) -> dict[str, list[float]]:
    runs = _runs(len(values), points)
    return {
        "seconds": [float(seconds[(start + stop) // 2]) for start, stop in runs],
        "least": [float(values[start:stop].min()) for start, stop in runs],
        "middle": [float(np.median(values[start:stop])) for start, stop in runs],
        "most": [float(values[start:stop].max()) for start, stop in runs],
    }


def _gaps(times: FrameTimes, seconds: np.ndarray, first: int | None, last: int | None) -> list[dict[str, Any]]:
    sequence = times.sequence
    found = []
    if first is not None and first < sequence[0]:
        found.append(_gap(first, int(sequence[0]) - 1, None, 0.0))
    for index in np.flatnonzero(np.diff(sequence) > 1).tolist():
        numbers = int(sequence[index]) + 1, int(sequence[index + 1]) - 1
        found.append(_gap(*numbers, float(seconds[index]), float(seconds[index + 1])))
    if last is not None and last > sequence[-1]:
        found.append(_gap(int(sequence[-1]) + 1, last, float(seconds[-1]), None))
    return found


def _gap(first: int, last: int, after: float | None, before: float | None) -> dict[str, Any]:
    """Lost frames and the times (s) of the stored ones around them; ``None`` where there is none."""
    return {"first": first, "last": last, "frames": last - first + 1, "after": after, "before": before}


def _clock(times: FrameTimes, clock: ClockLine, points: int) -> dict[str, Any]:
    samples = np.array(clock.samples, dtype=np.int64).reshape(-1, 3)
    # The samples' times are the server's, the frames' the agent's: the offset lies between them.
    seconds = (samples[:, 0] + samples[:, 1] - int(times.captured_ns[0])) / 1e9
    runs = _runs(len(samples), points)
    return {
        **clock.estimate(),
        "seconds": [float(seconds[(start + stop) // 2]) for start, stop in runs],
        "offsets_ms": [float(np.median(samples[start:stop, 1])) / 1e6 for start, stop in runs],
        "bounds_ms": [float(np.median(samples[start:stop, 2])) / 2e6 for start, stop in runs],
    }
