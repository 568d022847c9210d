"""From wide-band voltage to LFP: anti-aliased, zero-phase decimation in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from analysis.methods.errors import InvalidDataError

Read = Callable[[int, int], NDArray[np.floating]]

# Outputs computed by one matrix product: more means fewer calls but more multiplications by zero.
_OUTPUTS = 48


def decimation_factor(rate: float, wanted: float) -> int:
    """Return the whole number that brings ``rate`` (Hz) nearest to ``wanted`` (Hz), at least 1."""
    if not (rate > 0 and wanted > 0):
        raise InvalidDataError("A sampling rate must be above zero.")
    lower = max(1, int(rate // wanted))
    return min((lower, lower + 1), key=lambda factor: abs(rate / factor - wanted))


def low_pass(factor: int) -> NDArray[np.float32]:
    """Return the linear-phase low pass for decimation by ``factor``: an odd number of taps, sum 1.

    Flat up to 0.4 of the new rate and more than 80 dB down from 0.6 of it, so that what folds back lies above 0.4 of
    the new rate. Source: the Kaiser window design of Oppenheim and Schafer, Discrete-Time Signal Processing.
    """
    if factor == 1:
        return np.ones(1, np.float32)
    from scipy.signal import firwin, kaiserord

    taps, beta = kaiserord(84.0, width=2 * 0.2 / factor)
    kernel = firwin(taps | 1, 1.0 / factor, window=("kaiser", beta))
    return (kernel / kernel.sum()).astype(np.float32)


def decimate(
    read: Read, n_samples: int, n_channels: int, factor: int, *, chunk: int = 60_000
) -> Iterator[NDArray[np.float32]]:
    """Yield the decimated signal piece by piece.

    Pieces are ``(n, n_channels)`` float32, together ``ceil(n_samples / factor)`` samples long.

    ``read(start, stop)`` returns samples ``(stop - start, n_channels)``; about ``chunk`` of them are held at a time,
    with a margin of half a filter on both sides, so the pieces join without a seam. The filter is symmetric: no phase
    moves. Beyond the ends the first and the last sample go on. Sample k of the output lies at the time of sample ``k
    * factor`` of the input.
    """
    kernel = low_pass(factor)
    half = kernel.size // 2
    total = -(-n_samples // factor)
    per_chunk = max(_OUTPUTS, chunk // factor)
    span = (_OUTPUTS - 1) * factor + kernel.size
    # Row k holds the filter at output k: one product of this band with a stretch of signal makes _OUTPUTS samples.
    band = np.zeros((_OUTPUTS, span), np.float32)
    for row in range(_OUTPUTS):
        band[row, row * factor : row * factor + kernel.size] = kernel
    for first in range(0, total, per_chunk):
        count = min(per_chunk, total - first)
        blocks = -(-count // _OUTPUTS)
        start = first * factor - half
        stop = start + (blocks * _OUTPUTS - 1) * factor + kernel.size
        inside = np.asarray(read(max(start, 0), min(stop, n_samples)), np.float32)
        if inside.shape != (min(stop, n_samples) - max(start, 0), n_channels):
            raise InvalidDataError(
                f"The file ended early, near sample {max(start, 0) + len(inside):,} of {n_samples:,}."
            )
        piece = np.pad(inside, ((max(0, -start), max(0, stop - n_samples)), (0, 0)), mode="edge")
        made = np.empty((blocks * _OUTPUTS, n_channels), np.float32)
        for block in range(blocks):
            at = block * _OUTPUTS
            np.matmul(band, piece[at * factor : at * factor + span], out=made[at : at + _OUTPUTS])
        yield made[:count]
