"""Lowest and highest value of every channel in bins of time, at several widths: what a page shows of hours of voltage.

A level has bins of so many samples; the next one has bins four times as wide. What is drawn of a stretch of any length
then comes from a few thousand columns, and no spike between two of them is missed, as it would be in every n-th sample.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.methods.errors import InvalidDataError

# Samples in a bin of the finest level: below that the recording itself is quick enough to read.
FINEST = 64
FACTOR = 4
# The coarsest level has at most so many columns.
MOST_COARSE = 1024
# Bytes that a thread holds at a time, about.
_HELD_BYTES = 16_000_000
# Columns of a finer level that are joined at a time.
_JOINED_VALUES = 4_000_000

Read = Callable[[int, int], NDArray[Any]]


def extremes(samples: NDArray[Any], width: int) -> NDArray[Any]:
    """Return the lowest and the highest of each bin of ``width`` samples: ``(n, channels)`` to ``(bins, 2, channels)``.

    The last bin has the samples that are left. What is no number is passed over, unless a bin holds nothing else.
    """
    n, channels = samples.shape
    whole = n // width
    found = np.empty((-(-n // width), 2, channels), samples.dtype)
    if whole:
        table = samples[: whole * width].reshape(whole, width, channels)
        np.fmin.reduce(table, axis=1, out=found[:whole, 0])
        np.fmax.reduce(table, axis=1, out=found[:whole, 1])
    if whole < len(found):
        np.fmin.reduce(samples[whole * width :], axis=0, out=found[whole, 0])
        np.fmax.reduce(samples[whole * width :], axis=0, out=found[whole, 1])
    return found


def joined(columns: NDArray[Any], factor: int) -> NDArray[Any]:
    """Return each ``factor`` columns ``(bins, 2, channels)`` as one; the last has what is left."""
    if factor == 1:
        return columns
    low = extremes(columns[:, 0], factor)
    high = extremes(columns[:, 1], factor)
    return np.stack([low[:, 0], high[:, 1]], axis=1)


def widths(n_samples: int) -> tuple[int, ...]:
    """Return the widths of bins (samples) that an overview of so many samples has, from the finest on."""
    found = [FINEST]
    while -(-n_samples // found[-1]) > MOST_COARSE:
        found.append(found[-1] * FACTOR)
    return tuple(found)


def width_for(start: int, stop: int, columns: int) -> int:
    """Return the narrowest bin, a power of two of samples, with which ``start`` to ``stop`` has at most ``columns``.

    Bins are counted from the first sample of the recording, so the first one may begin before ``start``.
    """
    width = 1
    while -(-stop // width) - start // width > columns:
        width *= 2
    return width


def build(
    read: Read,
    n_samples: int,
    n_channels: int,
    levels: Sequence[NDArray[Any]],
    *,
    workers: int = 1,
    progress: Callable[[float], None] = lambda _share: None,
) -> None:
    """Fill ``levels``, arrays ``(bins, 2, channels)`` of the ``widths``, in one pass over the recording.

    ``read(start, stop)`` returns samples ``(stop - start, n_channels)`` of the levels' own type and is called from
    ``workers`` threads that hold about 16 MB each. The result is the same whatever their number. ``InvalidDataError``
    when the file ends early.
    """
    sizes = widths(n_samples)
    # Whole bins of the widest level that a thread can make by itself.
    row = n_channels * levels[0].dtype.itemsize
    within = max((n for n, width in enumerate(sizes) if width * row <= _HELD_BYTES), default=0)
    unit = sizes[within]
    length = unit * max(1, _HELD_BYTES // (unit * row))

    def fill(start: int) -> int:
        stop = min(start + length, n_samples)
        samples = read(start, stop)
        if samples.shape != (stop - start, n_channels):
            raise InvalidDataError(
                f"The file ended early, near sample {start + len(samples):,} of {n_samples:,}: it is damaged."
            )
        columns = extremes(samples, sizes[0])
        for level in range(within + 1):
            if level:
                columns = joined(columns, FACTOR)
            first = start // sizes[level]
            levels[level][first : first + len(columns)] = columns
        return stop

    with ThreadPoolExecutor(max(1, workers), thread_name_prefix="overview") as pool:
        waiting: deque[Future[int]] = deque()
        try:
            for start in range(0, n_samples, length):
                waiting.append(pool.submit(fill, start))
                if len(waiting) > workers:
                    progress(waiting.popleft().result() / n_samples)
            while waiting:
                progress(waiting.popleft().result() / n_samples)
        finally:
            for future in waiting:
                future.cancel()
    step = FACTOR * max(1, _JOINED_VALUES // (2 * n_channels * FACTOR))
    for level in range(within + 1, len(sizes)):
        finer = levels[level - 1]
        for start in range(0, len(finer), step):
            columns = joined(np.asarray(finer[start : start + step]), FACTOR)
            levels[level][start // FACTOR : start // FACTOR + len(columns)] = columns
