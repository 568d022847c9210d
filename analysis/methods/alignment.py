"""Two clocks brought together by pulses that both have seen: pairs by the pattern of intervals, then a line.

Counting pulses from the first one on goes wrong with the first that is lost. A few intervals in a row tell where in
the other train they belong, whatever is missing elsewhere. Matches vote; what contradicts its neighbours is dropped; a
line through the rest predicts every pulse, and each finds its partner, or is told as lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from analysis.methods.errors import InvalidDataError

Array = NDArray[np.floating]
Index = NDArray[np.integer]

FEWEST = 10
# So many intervals in a row are a pattern, as few as are found nowhere else in their own train.
_LONGEST = 16
_MOST_LOOKED_AT = 200
_UNIQUE, _HARDLY_UNIQUE = 0.9, 0.5
# Of so many matches before and after, at least so many must say the same of the clocks.
_NEIGHBOURS, _AGREEING = 10, 3
# Matches in a row that contradict the others are a clock that jumped, or another stretch of pulses.
_CONTRADICTING = 5
_AROUND = 11


@dataclass(frozen=True)
class Line:
    """``reference = time + offset + drift * (time - origin)``; offset and origin in s, drift in s per s."""

    offset: float
    drift: float
    origin: float

    def of(self, time: NDArray[Any]) -> Array:
        """Return times (s) of the other clock on the reference clock."""
        time = np.asarray(time, float)
        return time + self.offset + self.drift * (time - self.origin)

    def back(self, time: NDArray[Any]) -> Array:
        """Return times (s) of the reference clock on the other clock."""
        time = np.asarray(time, float)
        return self.origin + (time - self.offset - self.origin) / (1 + self.drift)


@dataclass(frozen=True)
class Alignment:
    """Pairs of pulses and the line through them.

    ``reference`` and ``other`` ``(n,)`` are the numbers of the pulses that are pairs, in order of time; ``residual``
    (s) ``(n,)`` is the reference's pulse less where the line puts the other's. ``lost_reference`` are pulses of the
    reference that have no partner within the ``common`` time (s, on the reference clock) of both trains, and
    ``lost_other`` those of the other; ``outside_reference`` and ``outside_other`` how many lie outside of it.
    ``drift_error`` is the standard error of the drift.
    """

    line: Line
    reference: Index
    other: Index
    residual: Array
    lost_reference: Index
    lost_other: Index
    common: tuple[float, float]
    outside_reference: int
    outside_other: int
    drift_error: float


def align(
    reference: NDArray[Any],
    other: NDArray[Any],
    *,
    tolerance: float = 0.001,
    most_drift: float = 200e-6,
    most_lost: float = 0.2,
) -> Alignment:
    """Match two trains of pulses, times in s and in order, ``(n,)`` and ``(m,)``, and fit the line between the clocks.

    A pair lies within ``tolerance`` (s) of the line; ``most_drift`` (s per s) bounds its slope, ``most_lost`` the share
    of pulses without a partner on each side, within the time that both cover. Errors: ``InvalidDataError`` for trains
    that have too few pulses, are unrelated, are so even that they fit in several ways, have lost too many, or whose
    clock jumps or does not run along one line; the sentence says which, and where. Nothing is cut to equal length.
    """
    reference, other = _train(reference, "reference"), _train(other, "other")
    matches = _matches(reference, other, tolerance, most_drift)
    matches = _supported(reference, other, matches, tolerance, most_drift)
    if matches[0].size < _CONTRADICTING:
        raise InvalidDataError(
            f"The intervals of the {reference.size:,} pulses of the reference and the {other.size:,} of the other are "
            f"not those of the same pulses, within {tolerance * 1000:g} ms."
        )
    main, rest = _chained(reference, other, matches, tolerance, most_drift)
    line = _fitted(other[main[1]], reference[main[0]])
    off = reference[main[0]] - line.of(other[main[1]])
    if abs(line.drift) - 3 * _drift_error(other[main[1]], off) > most_drift:
        raise InvalidDataError(
            f"The other clock drifts by {line.drift * 1e6:+.0f} ppm against the reference; {most_drift * 1e6:.0f} are "
            "allowed: raise most_drift if that may be."
        )
    _straight(reference[main[0]], other[main[1]], off, tolerance)
    pairs = _pairs(reference, other, line, tolerance)
    for _ in range(3):
        line = _fitted(other[pairs[1]], reference[pairs[0]])
        pairs = _pairs(reference, other, line, tolerance)
    _no_jump(reference, other, line, pairs, rest)
    return _checked(reference, other, line, pairs, most_lost)


def _train(times: NDArray[Any], name: str) -> Array:
    times = np.asarray(times, float)
    if times.ndim != 1 or not np.isfinite(times).all() or not (np.diff(times) > 0).all():
        raise InvalidDataError(f"The pulses of the {name} should be one row of rising times.")
    if times.size < FEWEST:
        raise InvalidDataError(
            f"The {name} has {times.size} pulses; at least {FEWEST} are needed to match them by their intervals."
        )
    return times


def _matches(reference: Array, other: Array, tolerance: float, most_drift: float) -> tuple[Index, Index]:
    """Return which pulses of both begin the same pattern of intervals, in the order of the other's."""
    from scipy.spatial import KDTree

    steps = np.diff(reference), np.diff(other)
    # Both ends of an interval are off by up to the tolerance; a long pause may differ by more, and is passed over.
    radius = 2 * tolerance + most_drift * float(np.quantile(np.concatenate(steps), 0.9))
    longest = min(_LONGEST, (min(reference.size, other.size) - 1) // 2)
    needed = [_length_needed(each, radius, longest) for each in steps]
    unique = [min(float(np.mean(each <= length)) for each in needed) for length in range(longest + 1)]
    if unique[longest] < _HARDLY_UNIQUE:
        raise InvalidDataError(
            f"The pulses are so evenly spaced, or repeat themselves so exactly, that they fit in more than one way "
            f"within {tolerance * 1000:g} ms: pulses at irregular intervals are needed."
        )
    chosen = next(length for length in range(longest + 1) if unique[length] >= min(_UNIQUE, unique[longest]))
    tree = KDTree(sliding_window_view(steps[0], chosen))
    distance, found = tree.query(sliding_window_view(steps[1], chosen), k=1, p=np.inf, distance_upper_bound=radius)
    mine = np.flatnonzero(np.isfinite(distance))
    return found[mine], mine


def _length_needed(steps: Array, radius: float, longest: int) -> Index:
    """Return how many intervals, from some of them on, are a pattern found nowhere else; ``longest + 1`` if none."""
    begins = np.unique(np.linspace(0, steps.size - longest, _MOST_LOOKED_AT).round().astype(int))
    needed = np.full(begins.size, longest + 1)
    for number, begin in enumerate(begins):
        alike = np.arange(steps.size - longest + 1)
        for length in range(1, longest + 1):
            alike = alike[np.abs(steps[alike + length - 1] - steps[begin + length - 1]) <= radius]
            if alike.size == 1:
                needed[number] = max(length, 2)
                break
    return needed


def _supported(
    reference: Array, other: Array, matches: tuple[Index, Index], tolerance: float, most_drift: float
) -> tuple[Index, Index]:
    """Keep the matches that say the same of the clocks as enough of those before and after them."""
    time = other[matches[1]]
    offset = reference[matches[0]] - time
    agreeing = np.zeros(offset.size, int)
    for step in range(1, min(_NEIGHBOURS, offset.size - 1) + 1):
        apart = np.abs(offset[step:] - offset[:-step])
        close = apart <= 2 * tolerance + most_drift * (time[step:] - time[:-step])
        agreeing[step:] += close
        agreeing[:-step] += close
    kept = agreeing >= _AGREEING
    return matches[0][kept], matches[1][kept]


def _chained(
    reference: Array, other: Array, matches: tuple[Index, Index], tolerance: float, most_drift: float
) -> tuple[tuple[Index, Index], list[tuple[Index, Index]]]:
    """Return the matches that one clock without jumps explains, and stretches of others that contradict them."""
    time = other[matches[1]]
    offset = reference[matches[0]] - time
    breaks = np.abs(np.diff(offset)) > 2 * tolerance + most_drift * np.diff(time)
    stretches = np.split(np.arange(time.size), np.flatnonzero(breaks) + 1)
    largest = max(range(len(stretches)), key=lambda number: stretches[number].size)
    kept = {largest}
    for numbers in (range(largest - 1, -1, -1), range(largest + 1, len(stretches))):
        near = largest
        for number in numbers:
            # The ends that face each other.
            here, there = (stretches[number][-1], stretches[near][0]) if number < near else (
                stretches[number][0], stretches[near][-1]
            )  # fmt: skip
            gap = abs(time[here] - time[there])
            if abs(offset[here] - offset[there]) <= 2 * tolerance + most_drift * gap:
                kept.add(number)
                near = number
    main = np.concatenate([stretches[number] for number in sorted(kept)])
    rest = [stretches[number] for number in range(len(stretches)) if number not in kept]
    contradicting = [(matches[0][one], matches[1][one]) for one in rest if one.size >= _CONTRADICTING]
    return (matches[0][main], matches[1][main]), contradicting


def _fitted(time: Array, target: Array) -> Line:
    """Return the line of ``target`` over ``time``, both (s) ``(n,)``, those that lie far off it counting less.

    Least squares with Huber's weights (Huber 1964, Ann. Math. Statist. 35, 73-101), 1.345 robust SD.
    """
    origin = float(time[0])
    x, y = time - origin, target - time
    weight = np.ones(x.size)
    for _ in range(10):
        total = weight.sum()
        x_mean, y_mean = (weight * x).sum() / total, (weight * y).sum() / total
        drift = float((weight * (x - x_mean) * (y - y_mean)).sum() / (weight * (x - x_mean) ** 2).sum())
        off = np.abs(y - y_mean - drift * (x - x_mean))
        scale = 1.4826 * float(np.median(off))
        if not scale > 0:
            break
        weight = np.minimum(1.0, 1.345 * scale / np.maximum(off, 1e-300))
    return Line(float(y_mean - drift * x_mean), drift, origin)


def _straight(reference: Array, other: Array, off: Array, tolerance: float) -> None:
    """Refuse clocks that do not keep to one line, pairs lying ``off`` (s) it: one that jumps, or one that wanders."""
    around = min(_AROUND, off.size)
    middle = np.median(sliding_window_view(off, around), axis=1)
    if middle.size > around:
        steps = middle[around:] - middle[:-around]
        step = int(np.abs(steps).argmax())
        # The medians of so many pairs before and after differ by half a pair's own noise; wandering takes longer.
        noise = 1.4826 * float(np.median(np.abs(np.diff(off)))) / np.sqrt(2)
        if abs(steps[step]) > max(tolerance, 4 * noise, 3 * float(np.median(np.abs(steps)))):
            near = slice(step, step + 2 * around)
            at = step + int(np.abs(np.diff(off[near])).argmax())
            raise _jumped(float(steps[step]), other[at], other[at + 1], reference[at])
    worst = int(np.abs(middle).argmax())
    if abs(middle[worst]) > tolerance:
        raise InvalidDataError(
            f"The two clocks do not run along one line: at {reference[worst + around // 2]:.1f} s of the reference they"
            f" are {middle[worst] * 1000:+.2f} ms off it, more than the {tolerance * 1000:g} ms allowed; align shorter"
            " pieces, or allow more."
        )


def _jumped(step: float, before: float, after: float, reference: float) -> InvalidDataError:
    # What the reference gains on the other clock is what the other was set back by.
    size = f"{-step:+.3f} s" if abs(step) >= 1 else f"{-step * 1000:+.1f} ms"
    return InvalidDataError(
        f"The other clock jumps by {size} between {before:.3f} and {after:.3f} s of its time ({reference:.3f} s of the "
        "reference): align what lies before and what lies after by themselves."
    )


def _nearest(times: Array, wanted: Array) -> Index:
    right = np.clip(np.searchsorted(times, wanted), 1, times.size - 1)
    return right - (wanted - times[right - 1] <= times[right] - wanted)


def _pairs(reference: Array, other: Array, line: Line, tolerance: float) -> tuple[Index, Index]:
    """Return the pulses that are each other's nearest on the reference clock, and near enough."""
    placed = line.of(other)
    mine = np.arange(other.size)
    partner = _nearest(reference, placed)
    kept = (np.abs(reference[partner] - placed) <= tolerance) & (_nearest(placed, reference)[partner] == mine)
    return partner[kept], mine[kept]


def _no_jump(
    reference: Array, other: Array, line: Line, pairs: tuple[Index, Index], rest: list[tuple[Index, Index]]
) -> None:
    """Refuse a clock that jumps: stretches of pulses that match elsewhere, and have no partner on the line."""
    for first, second in rest:
        if np.isin(second, pairs[1]).mean() > 0.5:
            # The pattern of these pulses comes twice in the reference, and they were matched with the wrong one.
            continue
        shift = float(np.median(reference[first] - line.of(other[second])))
        after = second[0] > np.median(pairs[1])
        near = pairs[1][pairs[1] < second[0]] if after else pairs[1][pairs[1] > second[-1]]
        if not near.size:
            near = pairs[1]
        edge = int(near[-1] if after else near[0])
        mine, theirs = float(other[edge]), float(other[second[0] if after else second[-1]])
        raise _jumped(shift if after else -shift, min(mine, theirs), max(mine, theirs), float(line.of(other[edge])))


def _checked(reference: Array, other: Array, line: Line, pairs: tuple[Index, Index], most_lost: float) -> Alignment:
    """Return what was found, unless so much has no partner that it cannot be believed."""
    placed = line.of(other)
    common = (
        max(reference[0], min(placed[0], reference[pairs[0][0]])),
        min(reference[-1], max(placed[-1], reference[pairs[0][-1]])),
    )
    residual = reference[pairs[0]] - placed[pairs[1]]
    lost, outside = [], []
    for name, time, paired in (("reference", reference, pairs[0]), ("other", placed, pairs[1])):
        free = np.ones(time.size, bool)
        free[paired] = False
        # A pair at the end lies on both sides of the border, by its residual.
        inside = (time >= common[0]) & (time <= common[1])
        lost.append(np.flatnonzero(free & inside))
        outside.append(int(np.count_nonzero(free & ~inside)))
        share = lost[-1].size / (lost[-1].size + paired.size)
        if share > most_lost:
            raise InvalidDataError(
                f"{lost[-1].size:,} of the {lost[-1].size + paired.size:,} pulses of the {name} within the time that "
                f"both cover have no partner; up to {most_lost:.0%} may be lost."
            )
    fewer = min(reference.size, other.size)
    if pairs[0].size < max(FEWEST // 2, fewer / 2):
        raise InvalidDataError(
            f"Only {pairs[0].size:,} pulses match, of {fewer:,} that the shorter train has; the two hardly overlap."
        )
    _no_blind_stretch(reference, placed, pairs, (lost[0], lost[1]))
    return Alignment(
        line, pairs[0], pairs[1], residual, lost[0], lost[1], (float(common[0]), float(common[1])), outside[0],
        outside[1], _drift_error(other[pairs[1]], residual),
    )  # fmt: skip


def _no_blind_stretch(reference: Array, placed: Array, pairs: tuple[Index, Index], lost: tuple[Index, Index]) -> None:
    """Refuse where both have pulses for a while and none of them match, which chance does not explain."""
    all_lost = lost[0].size + lost[1].size
    if not all_lost:
        return
    # So many in a row on both sides come of independent losses once in ten thousand recordings.
    share = all_lost / (all_lost + pairs[0].size)
    needed = max(4, int(np.ceil(np.log(1e-4 / (all_lost + pairs[0].size)) / (2 * np.log(share)))))
    matched = reference[pairs[0]]
    gaps = [np.bincount(np.searchsorted(matched, time), minlength=matched.size + 1)
            for time in (reference[lost[0]], placed[lost[1]])]  # fmt: skip
    fewest = np.minimum(gaps[0], gaps[1])
    worst = int(fewest.argmax())
    if fewest[worst] < needed:
        return
    ends = np.concatenate([reference[:1], matched, reference[-1:]])
    raise InvalidDataError(
        f"Between {ends[worst]:.1f} and {ends[worst + 1]:.1f} s of the reference both have pulses ({gaps[0][worst]} "
        f"and {gaps[1][worst]}), and none of them match: a clock jumped there, or they are not the same pulses."
    )


def _drift_error(time: Array, residual: Array) -> float:
    if time.size < 3:
        return float("nan")
    spread = float(((time - time.mean()) ** 2).sum())
    return float(np.sqrt((residual**2).sum() / (time.size - 2) / spread))
