"""From wide-band voltage to LFP: anti-aliased, zero-phase decimation in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from analysis.methods.errors import InvalidDataError

Read = Callable[[int, int], NDArray[np.floating]]

# Outputs computed by one matrix product: more means fewer calls but more multiplications by zero.
_OUTPUTS = 16


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


class Decimator:
    """Decimation by ``factor`` as a product of a band matrix with stretches of signal.

    ``margin`` samples on both sides of a stretch take part in its output. Outputs are made in whole groups of
    ``stride`` samples of signal, so whoever starts at a multiple of it gets the same numbers to the last bit.
    """

    def __init__(self, factor: int) -> None:
        """Design the filter."""
        kernel = low_pass(factor)
        self.factor = factor
        self.margin = kernel.size // 2
        self.stride = _OUTPUTS * factor
        self._span = (_OUTPUTS - 1) * factor + kernel.size
        # Row k holds the filter at output k: one product of this band with a stretch of signal makes _OUTPUTS samples.
        self._band = np.zeros((_OUTPUTS, self._span), np.float32)
        for row in range(_OUTPUTS):
            self._band[row, row * factor : row * factor + kernel.size] = kernel

    def apply(self, held: NDArray[np.float32], first: int, start: int, stop: int) -> NDArray[np.float32]:
        """Return the outputs of samples ``start`` to ``stop``, ``(ceil((stop - start) / factor), channels)``.

        ``held`` ``(n, channels)`` are the samples from ``first`` on; beyond them the first and the last go on.
        """
        count = -(-(stop - start) // self.factor)
        made = np.empty((-(-count // _OUTPUTS) * _OUTPUTS, held.shape[1]), np.float32)
        for at in range(0, count, _OUTPUTS):
            low = start - first - self.margin + at * self.factor
            piece = held[max(low, 0) : low + self._span]
            if len(piece) < self._span:
                before = max(0, -low)
                piece = np.pad(piece, ((before, self._span - before - len(piece)), (0, 0)), mode="edge")
            np.matmul(self._band, piece, out=made[at : at + _OUTPUTS])
        return made[:count]


def decimate(
    read: Read, n_samples: int, n_channels: int, factor: int, *, chunk: int = 60_000
) -> Iterator[NDArray[np.float32]]:
    """Yield the decimated signal piece by piece.

    Pieces are ``(n, n_channels)`` float32, together ``ceil(n_samples / factor)`` samples long.

    ``read(start, stop)`` returns samples ``(stop - start, n_channels)``; about ``chunk`` of them are held at a time,
    with a margin of half a filter on both sides, so the pieces join without a seam and are the same whatever their
    size. The filter is symmetric: no phase moves. Beyond the ends the first and the last sample go on. Sample k of the
    output lies at the time of sample ``k * factor`` of the input.
    """
    decimator = Decimator(factor)
    length = max(1, chunk // decimator.stride) * decimator.stride
    for start in range(0, n_samples, length):
        stop = min(start + length, n_samples)
        first = max(0, start - decimator.margin)
        held = read_exactly(read, first, min(stop + decimator.margin, n_samples), n_samples, n_channels)
        yield decimator.apply(held, first, start, stop)


def read_exactly(read: Read, start: int, stop: int, n_samples: int, n_channels: int) -> NDArray[np.float32]:
    """Return samples ``start`` to ``stop`` as float32; ``InvalidDataError`` when fewer come than were announced."""
    held = np.asarray(read(start, stop), np.float32)
    if held.shape != (stop - start, n_channels):
        raise InvalidDataError(f"The file ended early, near sample {start + len(held):,} of {n_samples:,}.")
    return held
