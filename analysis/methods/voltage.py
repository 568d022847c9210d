"""One pass over raw voltage: LFP and spike-band peaks of stretches with margins, on several threads.

The recording is cut into blocks of half a second that start at fixed samples. Each block is computed with its own
margins, whoever computes it; a chunk, what is read at once, is a number of whole blocks. So the results are the same to
the last bit for every size of chunk and number of workers, and whether LFP and peaks are made together or alone.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.methods import spike_band
from analysis.methods.errors import InvalidDataError
from analysis.methods.lfp import Decimator, Read, read_exactly
from analysis.methods.spike_band import BandPass, Peaks

_BLOCK_SECONDS = 0.5


@dataclass(frozen=True)
class Detection:
    """How peaks are found: filter, channels to use ``(channels,)``, thresholds (uV) ``(channels,)``, ``neighbours``.

    ``neighbours`` ``(channels, most)`` are filled up with -1, ``sweep`` is in samples.
    """

    band: BandPass
    good: NDArray[np.bool_]
    thresholds: NDArray[np.float32]
    neighbours: NDArray[np.int32]
    sweep: int
    reference: bool = True


@dataclass(frozen=True)
class Chunk:
    """What came of samples ``start`` to ``stop``: ``lfp`` ``(n, channels)`` (uV) and ``peaks``, when asked for.

    The LFP is made in groups of samples, each given with the chunk in which it begins; one after the other they are
    the whole.
    """

    start: int
    stop: int
    lfp: NDArray[np.float32] | None
    peaks: Peaks | None


def measure_noise(
    read: Read,
    n_samples: int,
    n_channels: int,
    rate: float,
    *,
    band: BandPass,
    good: NDArray[np.bool_],
    reference: bool = True,
    pieces: int = 20,
    seconds: float = 0.1,
) -> NDArray[np.float32]:
    """Return the noise (uV) of each channel in the band ``(channels,)``: the median of so many pieces spread evenly.

    The noise of a piece is its median absolute value over 0.6745 (``spike_band.noise_of``); that of a channel that is
    not good is 0.
    """
    length = min(n_samples, max(1, round(seconds * rate)))
    found = []
    for start in np.linspace(0, n_samples - length, min(pieces, max(1, n_samples // length))).astype(int):
        low, high = max(0, start - band.margin), min(n_samples, start + length + band.margin)
        held = read_exactly(read, int(low), int(high), n_samples, n_channels)
        made = spike_band.filtered(held, band, good, reference=reference)
        found.append(spike_band.noise_of(made[start - low : start - low + length]))
    return np.median(found, axis=0).astype(np.float32)


def detection(
    noise: NDArray[np.float32],
    good: NDArray[np.bool_],
    rate: float,
    band: BandPass,
    *,
    positions: NDArray[np.floating] | None = None,
    threshold: float = 5.0,
    radius: float = 50.0,
    sweep: float = 0.1e-3,
    reference: bool = True,
) -> Detection:
    """Return how peaks are found at ``threshold`` times the ``noise`` (uV) ``(channels,)``.

    A peak is the lowest within ``radius`` (um) and ``sweep`` (s). Channels that are not good or have no noise are left
    out; ``InvalidDataError`` when none remains.
    """
    used = good & (noise > 0)
    if not used.any():
        raise InvalidDataError("No channel is good: there is nothing to find peaks on.")
    limits = np.where(used, np.float32(threshold) * noise, np.float32(np.inf)).astype(np.float32)
    near = spike_band.neighbours_within(positions, used.size, radius)
    return Detection(band, used, limits, near, max(1, round(sweep * rate)), reference)


def scan(
    read: Read,
    n_samples: int,
    n_channels: int,
    rate: float,
    *,
    decimator: Decimator | None = None,
    peaks: Detection | None = None,
    chunk: float = 1.0,
    workers: int = 1,
) -> Iterator[Chunk]:
    """Yield chunks of about ``chunk`` (s) in order, computed by ``workers`` threads that each hold one at a time.

    With several of them, linear algebra uses one thread each while the chunks last.

    ``read(start, stop)`` returns samples ``(stop - start, n_channels)`` in uV and is called from several threads. Peaks
    count samples from the beginning of the recording. Raises ``InvalidDataError`` when the file ends early or a channel
    has a value that is not finite.
    """
    # Blocks begin where they would without a decimator: the peaks are the same to the last bit beside LFP or alone.
    block = max(1, round(_BLOCK_SECONDS * rate))
    length = max(1, round(chunk * rate / block)) * block
    margin = max(decimator.margin if decimator else 0, peaks.band.margin + peaks.sweep if peaks else 0)
    local = threading.local()

    def compute(start: int) -> Chunk:
        stop = min(start + length, n_samples)
        first = max(0, start - margin)
        # The last group of the LFP that begins here may end in the next chunk.
        further = decimator.stride if decimator else 0
        held = read_exactly(read, first, min(stop + margin + further, n_samples), n_samples, n_channels)
        low = None
        if decimator:
            from_group, to_group = (min(-(-at // further) * further, n_samples) for at in (start, stop))
            low = decimator.apply(held, first, from_group, to_group)
        if peaks is None:
            return Chunk(start, stop, low, None)
        made = [
            _block_peaks(held, first, at, min(at + block, stop), n_samples=n_samples, peaks=peaks, local=local)
            for at in range(start, stop, block)
        ]
        return Chunk(start, stop, low, joined(made))

    if workers < 2:
        yield from (compute(start) for start in range(0, n_samples, length))
        return
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(workers, thread_name_prefix="voltage") as pool:
        waiting: deque = deque()
        try:
            for start in range(0, n_samples, length):
                waiting.append(pool.submit(compute, start))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def threads() -> int:
    """Return how many threads a pass over voltage may use: what ``LAB_THREADS`` says, else every core that there is.

    That is more than the ``OMP_NUM_THREADS`` of a worker that has several slots: these threads sleep when they have
    nothing to do, where those of OpenMP spin, so two such jobs beside each other share the cores without loss.
    """
    stated = os.environ.get("LAB_THREADS", "")
    if stated.isdigit() and int(stated) > 0:
        return int(stated)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def joined(parts: list[Peaks]) -> Peaks:
    """Return the peaks of parts that follow each other as one."""
    return Peaks(
        np.concatenate([part.samples for part in parts]) if parts else np.zeros(0, np.int64),
        np.concatenate([part.channels for part in parts]) if parts else np.zeros(0, np.int32),
        np.concatenate([part.amplitudes for part in parts]) if parts else np.zeros(0, np.float32),
    )


def _block_peaks(
    held: NDArray[np.float32],
    first: int,
    start: int,
    stop: int,
    *,
    n_samples: int,
    peaks: Detection,
    local: threading.local,
) -> Peaks:
    """Filter samples ``start`` to ``stop`` with margins and return the peaks among them."""
    margin = peaks.band.margin + peaks.sweep
    low, high = max(0, start - margin), min(n_samples, stop + margin)
    signal = held[low - first : high - first]
    # Fresh memory has to be handed out page by page, which takes as long as filtering.
    room = getattr(local, "room", None)
    if room is None or len(room) < len(signal):
        room = local.room = np.empty(signal.shape, np.float32)
    table = room[: len(signal)]
    good = np.flatnonzero(peaks.good)
    rows = spike_band.filter_into(
        table, signal, peaks.band, good, reference=peaks.reference, thresholds=peaks.thresholds
    )
    found = spike_band.find_peaks(
        table,
        start - low,
        stop - low,
        thresholds=peaks.thresholds,
        neighbours=peaks.neighbours,
        sweep=peaks.sweep,
        rows=rows,
    )
    return Peaks(found.samples + start, found.channels, found.amplitudes)
