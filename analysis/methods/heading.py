"""Which way a tracked animal faces: the long axis of its silhouette, and which of its two ends is the head.

The axis comes from the second moments of the silhouette. Nothing in one picture of a body tells its head from its rear,
so the end is chosen for the track as a whole: animals walk forwards, tails lie behind, and a body does not turn half
around from one frame to the next. The best sequence of ends is found by the algorithm of Viterbi 1967, IEEE Trans. Inf.
Theory 13, 260-269.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Below this ratio of the two axes a silhouette has no direction: rearing, curled up, grooming.
LEAST_ELONGATION = 1.15
# Walking a body length a second forwards is worth as much as this many radians of turning.
_MOTION = 4.0
# Nothing is worth more than this, so that one wrong frame cannot turn all others.
_MOST_EVIDENCE = 3.0
_TAIL = 1.0
# After so long (s) without an axis the animal may have turned to any side.
_FORGETS = 0.3


@dataclass(frozen=True)
class Shape:
    """A silhouette: ``axis`` (rad, 0 to the right, growing downwards, an angle and its opposite being the same).

    ``length`` (px) is that of the ellipse with the same second moments, ``elongation`` the ratio of its axes, and
    ``tail`` says how far what the opening removed lies towards the axis' positive end: -1 to 1 half lengths.
    """

    axis: float
    length: float
    elongation: float
    tail: float


NO_SHAPE = Shape(math.nan, math.nan, math.nan, 0.0)


def shape_of(body: NDArray[np.uint8], removed: NDArray[np.uint8]) -> Shape:
    """Return the shape of a silhouette: ``body`` and ``removed`` ``(rows, columns)`` are 0 outside.

    ``removed`` is what was taken off the body as tail and cable, in the same piece of the picture.
    """
    import cv2

    moments = cv2.moments(body, binaryImage=True)
    area = moments["m00"]
    if area < 2:
        return NO_SHAPE
    # 1/12: the second moment of a square pixel.
    xx, yy = moments["mu20"] / area + 1 / 12, moments["mu02"] / area + 1 / 12
    xy = moments["mu11"] / area
    spread = math.hypot(xx - yy, 2 * xy)
    long, short = (xx + yy + spread) / 2, max((xx + yy - spread) / 2, 1e-9)
    axis, half = 0.5 * math.atan2(2 * xy, xx - yy), 2 * math.sqrt(long)
    tail = 0.0
    taken = cv2.moments(removed, binaryImage=True)
    # A few pixels are the rim that an opening smooths off.
    if taken["m00"] > 0.02 * area:
        across = taken["m10"] / taken["m00"] - moments["m10"] / area
        down = taken["m01"] / taken["m00"] - moments["m01"] / area
        tail = float(np.clip((across * math.cos(axis) + down * math.sin(axis)) / half, -1, 1))
    return Shape(axis, 2 * half, math.sqrt(long / short), tail)


def heading_of(
    time: NDArray[np.floating],
    xy: NDArray[np.floating],
    axis: NDArray[np.floating],
    tail: NDArray[np.floating],
    length: float,
    *,
    window: float = 0.2,
) -> NDArray[np.floating]:
    """Return where the animal faces (rad) ``(n,)``, 0 to the right and growing downwards, NaN without an axis.

    ``time`` (s), ``axis`` (rad, NaN where there is none) and ``tail`` (-1 to 1, 0 where there is none) are ``(n,)`` and
    ``xy`` (px) ``(n, 2)``; ``length`` (px) is that of the body. Motion is taken over about ``window`` (s).
    """
    heading = np.full(time.size, np.nan)
    known = np.flatnonzero(np.isfinite(axis) & np.isfinite(xy[:, 0]))
    if known.size == 0:
        return heading
    at, where, angle = time[known], xy[known], axis[known]
    pointing = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    forwards = _MOTION * window * np.sum(_velocity(at, where, window) * pointing, axis=1) / max(length, 1e-6)
    evidence = np.clip(forwards - _TAIL * tail[known], -_MOST_EVIDENCE, _MOST_EVIDENCE)
    along = np.sum(pointing[1:] * pointing[:-1], axis=1)
    # How much is known of the animal's turn between two frames: all of it at once, nothing after a while.
    trust = np.exp(-np.maximum(np.diff(at) - window, 0) / _FORGETS)
    sign = _ends(evidence, 2 * np.pi * along * trust)
    heading[known] = np.arctan2(pointing[:, 1] * sign, pointing[:, 0] * sign)
    return heading


def _velocity(time: NDArray[np.floating], xy: NDArray[np.floating], window: float) -> NDArray[np.floating]:
    """Return velocity (px/s) ``(n, 2)`` over about ``window``, 0 where there is nothing to tell it from."""
    last = time.size - 1
    before = np.maximum(np.searchsorted(time, time - window / 2 - 1e-9), 0)
    after = np.minimum(np.searchsorted(time, time + window / 2 + 1e-9) - 1, last)
    elapsed = time[after] - time[before]
    return (xy[after] - xy[before]) / np.where(elapsed > 0, elapsed, np.inf)[:, None]


def _ends(evidence: NDArray[np.floating], same: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return +1 or -1 for each frame ``(n,)``: the sequence that earns most.

    A frame earns ``evidence`` ``(n,)`` for +1 and its opposite for -1; two neighbours earn ``same`` ``(n - 1,)`` when
    they have the same sign, and its opposite otherwise.
    """
    plus, minus = float(evidence[0]), -float(evidence[0])
    stays = np.empty((evidence.size, 2), bool)
    for number, (gain, bond) in enumerate(zip(evidence[1:].tolist(), same.tolist(), strict=True), start=1):
        stays[number] = plus + bond >= minus - bond, minus + bond >= plus - bond
        plus, minus = (
            gain + max(plus + bond, minus - bond),
            -gain + max(minus + bond, plus - bond),
        )
    signs = np.empty(evidence.size)
    sign = 1 if plus >= minus else -1
    for number in range(evidence.size - 1, -1, -1):
        signs[number] = sign
        if number and not stays[number, 0 if sign > 0 else 1]:
            sign = -sign
    return signs
