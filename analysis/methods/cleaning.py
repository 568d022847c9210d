"""Short stretches of voltage made fit to look at: high-passed, and the median over the good channels taken off."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.methods.errors import InvalidDataError

# Where the spike band begins (Hz).
HIGH_PASS = 300.0
# Below so many channels a spike is a large part of their median.
LEAST_REFERENCED = 8
_ORDER = 3
# What is left of the filter's past beyond its margin.
_FORGOTTEN = 1e-4


def passes(rate: float) -> bool:
    """Return whether a recording at ``rate`` (Hz) holds anything well above the high-pass filter's edge."""
    return rate >= 10 * HIGH_PASS


def margin(rate: float) -> int:
    """Return the samples on both sides by which the filter forgets what lies beyond, at ``rate`` (Hz)."""
    from scipy.signal import butter

    _, poles, _ = butter(_ORDER, HIGH_PASS, btype="highpass", fs=rate, output="zpk")
    return int(np.ceil(np.log(_FORGOTTEN) / np.log(np.abs(poles).max())))


def high_passed(samples: NDArray[np.floating], rate: float) -> NDArray[np.float32]:
    """Return voltage ``(n, channels)`` at ``rate`` (Hz) above 300 Hz: Butterworth of third order, forward and backward.

    Values within ``margin`` of the ends depend on what lies beyond them. ``InvalidDataError`` when the recording is too
    slow, or a value is no finite number.
    """
    from scipy.signal import butter, sosfiltfilt

    if not passes(rate):
        raise InvalidDataError(f"at {rate:g} Hz there is too little above {HIGH_PASS:g} Hz to filter for it")
    if not np.isfinite(samples).all():
        raise InvalidDataError("a stretch with values that are not finite numbers cannot be filtered")
    sections = butter(_ORDER, HIGH_PASS, btype="highpass", fs=rate, output="sos")
    # In double: the rounding of a large constant would be taken for voltage.
    rows = np.ascontiguousarray(samples.T, np.float64)
    made = sosfiltfilt(sections, rows, axis=1, padlen=min(margin(rate), rows.shape[1] - 1))
    return np.ascontiguousarray(made.T, np.float32)


def referenced(samples: NDArray[np.floating], median_of: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return ``samples`` ``(n, channels)`` without the common median, that of each row of ``median_of`` ``(n, good)``.

    ``InvalidDataError`` for fewer than eight good channels, of whose median a spike would be a large part.
    """
    if median_of.shape[1] < LEAST_REFERENCED:
        raise InvalidDataError(
            f"a common median needs {LEAST_REFERENCED} good channels or more, and there are {median_of.shape[1]}"
        )
    return (samples - np.median(median_of, axis=1, keepdims=True)).astype(np.float32)
