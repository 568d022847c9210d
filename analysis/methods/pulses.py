"""When pulses happened: edges of a voltage, events of a device, or a light that flashes in a video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.methods.errors import InvalidDataError

Array = NDArray[np.floating]
# Samples whose lowest and highest value stand for all of them, where the two levels are looked for.
_BLOCK = 64
# A pulse is seen when it is this share of the way beyond the middle, so that noise around the middle counts once.
_HYSTERESIS = 0.1
# A sine spends 22 % of its time in the middle third between its extremes, noise most of it, pulses hardly any.
_MOST_BETWEEN = 0.15


@dataclass(frozen=True)
class Levels:
    """The two levels that a signal of pulses keeps to, in its own unit."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """Return what lies halfway between."""
        return (self.low + self.high) / 2


@dataclass(frozen=True)
class Edges:
    """Times (s) of the edges up ``(n,)`` and down ``(m,)``, interpolated between samples."""

    rising: Array
    falling: Array


def extremes(values: NDArray[Any]) -> Array:
    """Return the lowest and highest of every 64 samples of ``(n,)``, NaN left out: what ``levels`` needs of hours."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    full = values[: values.size // _BLOCK * _BLOCK].reshape(-1, _BLOCK)
    rest = values[full.size :]
    ends = [full.min(axis=1), full.max(axis=1)]
    return np.concatenate([*ends, [rest.min(), rest.max()]] if rest.size else ends)


def levels(values: NDArray[Any]) -> Levels:
    """Return the two levels of a signal, of its samples or of their ``extremes`` ``(n,)``.

    Each is the mean of what is nearer to it than to the other (the intermeans threshold of Ridler and Calvard 1978,
    IEEE Trans. Syst. Man Cybern. 8, 630-632), so that a pulse may be short and rare. Errors: ``InvalidDataError`` when
    the signal has one value throughout, or none.
    """
    values = np.asarray(values, float)
    if not values.size or not np.ptp(values) > 0:
        raise InvalidDataError("There are no pulses: the signal has one value throughout.")
    threshold = (values.min() + values.max()) / 2
    for _ in range(100):
        above = values > threshold
        low, high = float(values[~above].mean()), float(values[above].mean())
        if threshold == (moved := (low + high) / 2):
            break
        threshold = moved
    return Levels(low, high)


def edges(pieces: Iterable[tuple[Array, Array]], between: Levels) -> Edges:
    """Return when a signal crosses the middle of two levels, on its way from one to the other.

    ``pieces`` are times (s) and values, both ``(n,)``, one piece after the other; NaN values are passed over. Errors:
    ``InvalidDataError`` when the signal lingers between its levels, as noise and rhythms do and pulses do not.
    """
    span = between.high - between.low
    if not span > 0:
        raise InvalidDataError("The two levels of the pulses are the same.")
    up, down = between.middle + _HYSTERESIS * span, between.middle - _HYSTERESIS * span
    rising, falling = _Crossings(between.middle, up), _Crossings(-between.middle, -down)
    samples = lingering = 0
    last: tuple[Array, Array] = (np.zeros(0), np.zeros(0))
    for piece in pieces:
        known = np.isfinite(piece[1])
        time, value = np.concatenate([last[0], piece[0][known]]), np.concatenate([last[1], piece[1][known]])
        if not value.size:
            continue
        fresh = value[last[1].size :]
        samples += fresh.size
        lingering += int(np.count_nonzero(np.abs(fresh - between.middle) < span / 6))
        rising.take(time, value, beyond=value >= up, back=value <= down)
        falling.take(time, -value, beyond=value <= down, back=value >= up)
        last = time[-1:], value[-1:]
    if lingering > _MOST_BETWEEN * samples:
        raise InvalidDataError(
            f"There are no pulses: the signal spends {lingering / samples:.0%} of its time between its two levels of "
            f"{between.low:.4g} and {between.high:.4g}."
        )
    return Edges(rising.found(), falling.found())


class _Crossings:
    """The times at which a signal that grows passes ``middle``, once for each time that it gets to ``far``.

    It starts on the far side, so that what is under way when a recording begins is no edge.
    """

    def __init__(self, middle: float, far: float) -> None:
        self._middle, self._far = middle, far
        self._is_beyond = True
        self._passed = np.nan
        self._times: list[Array] = []

    def take(self, time: Array, value: Array, *, beyond: NDArray[np.bool_], back: NDArray[np.bool_]) -> None:
        """Take samples; the first is the last of those before."""
        decided = np.flatnonzero(beyond | back)
        decided_beyond = beyond[decided]
        before = np.concatenate([[self._is_beyond], decided_beyond])[:-1]
        arrived = decided[decided_beyond & ~before]
        passing = np.flatnonzero((value[:-1] < self._middle) & (value[1:] >= self._middle))
        step = value[passing + 1] - value[passing]
        moments = time[passing] + (time[passing + 1] - time[passing]) * (self._middle - value[passing]) / step
        # The last time the middle was passed may lie in an earlier piece.
        moments = np.concatenate([[self._passed], moments])
        self._times.append(moments[np.searchsorted(passing + 1, arrived, side="right")])
        self._passed = moments[-1]
        if decided.size:
            self._is_beyond = bool(decided_beyond[-1])

    def found(self) -> Array:
        return np.concatenate(self._times) if self._times else np.zeros(0)


def brightness(frames: Iterable[tuple[float, NDArray[Any] | None]], region: Sequence[int]) -> tuple[Array, Array]:
    """Return time (s) and mean grey value of a region of every picture, both ``(n,)``, NaN where a picture is missing.

    ``region`` is left, top, width and height in px. Errors: ``InvalidDataError`` when it is not within the picture.
    """
    left, top, width, height = (int(value) for value in region)
    times, values = [], []
    for time, picture in frames:
        times.append(time)
        if picture is None:
            values.append(np.nan)
            continue
        rows, columns = picture.shape[:2]
        if min(left, top) < 0 or min(width, height) < 1 or left + width > columns or top + height > rows:
            raise InvalidDataError(
                f"The region from ({left}, {top}), {width} x {height} px, is not within the picture of {columns} x "
                f"{rows} px."
            )
        values.append(float(picture[top : top + height, left : left + width].mean()))
    return np.array(times, float), np.array(values, float)


def in_order(times: NDArray[Any], *, bounce: float = 0.0) -> Array:
    """Return times (s) in order, those that follow another within ``bounce`` (s), or at once, taken as that one."""
    times = np.sort(np.asarray(times, float))
    if not np.isfinite(times).all():
        raise InvalidDataError("Some pulses have a time that is no finite number.")
    return np.array(list(_apart(times, bounce)), float) if bounce > 0 else np.unique(times)


def _apart(times: Array, bounce: float) -> Iterator[float]:
    last = -np.inf
    for time in times.tolist():
        if time - last > bounce:
            last = time
            yield time
