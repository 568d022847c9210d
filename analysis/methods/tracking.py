"""The position of one animal in video by a background model, without learning: found, or lost and why.

The point tracked is the centroid of the body's silhouette with the tail removed by an opening. Source: background
subtraction and blob centroids as in Sridhar, Roche and Gingins 2019, Methods Ecol. Evol. 10, 815-820.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from analysis.methods.errors import InvalidDataError
from analysis.methods.heading import LEAST_ELONGATION, NO_SHAPE, Shape, heading_of, shape_of

Frame = NDArray[np.uint8]

# Pixels of a picture above which a quarter of them is enough for a histogram.
_PLENTY = 100_000
# Seconds that something far away must be seen for before it is believed to be the animal.
_SHORTEST_VISIT = 0.25


class Lost(enum.IntEnum):
    """Why there is no position in a frame; FOUND means that there is one."""

    FOUND = 0
    NOTHING = 1
    TOO_SMALL = 2
    TOO_LARGE = 3
    UNLIKE = 4
    JUMP = 5
    AMBIGUOUS = 6
    UNREADABLE = 7

    @property
    def sentence(self) -> str:
        """Return the reason in words."""
        return _REASONS[self]


_REASONS = {
    Lost.FOUND: "found",
    Lost.NOTHING: "nothing differs enough from the background",
    Lost.TOO_SMALL: "what differs is too small",
    Lost.TOO_LARGE: "too much of the picture differs (light, hand, moved camera)",
    Lost.UNLIKE: "its size is unlike the animal's",
    Lost.JUMP: "it is further away than the animal can have gone",
    Lost.AMBIGUOUS: "a second thing of nearly the same size is there",
    Lost.UNREADABLE: "the picture is damaged",
}


@dataclass(frozen=True)
class TrackerSettings:
    """How the animal is told from the background; lengths in px, areas in px^2, contrast in grey levels (0-255).

    ``threshold`` None means Otsu's for every frame, never below ``minimum_contrast``. ``largest_share`` is of the
    arena. A blob whose area is ``size_tolerance`` times above or below the median is not the animal.
    ``maximum_speed`` (px/s) None means one diagonal of the arena a second. A frame is ambiguous when the second
    blob has more than ``second_share`` of the area of the first.
    """

    animal: Literal["dark", "light"] = "dark"
    threshold: int | None = None
    minimum_contrast: int = 20
    opening: int = 9
    minimum_area: float = 60.0
    largest_share: float = 0.2
    size_tolerance: float = 4.0
    maximum_speed: float | None = None
    second_share: float = 0.7


@dataclass(frozen=True)
class Track:
    """A track: ``time`` (s), ``area`` (px^2) and ``reason`` (``Lost``), each ``(n,)``.

    ``xy`` ``(n, 2)`` is in px from the top left corner of the whole picture, NaN where lost. ``heading`` (rad) ``(n,)``
    is where the animal faces, 0 to the right and growing downwards, NaN where it is lost or has no direction.
    ``length`` (px) is the median length of the body.
    """

    time: NDArray[np.floating]
    xy: NDArray[np.floating]
    area: NDArray[np.floating]
    reason: NDArray[np.uint8]
    heading: NDArray[np.floating]
    length: float


@dataclass(frozen=True)
class Found:
    """What one frame shows: ``xy`` (px), NaN unless the reason is FOUND, ``area`` (px^2), and the silhouette."""

    xy: tuple[float, float]
    area: float
    reason: Lost
    shape: Shape = NO_SHAPE


def background_of(frames: Iterable[Frame], *, quantile: float = 0.5) -> Frame:
    """Return the picture without the animal: for every pixel a quantile over frames ``(height, width)`` uint8.

    The median (0.5) is right while the animal is at each place less than half of the time; for a dark animal that
    rests long, a higher quantile sees the floor, and for a light one a lower one. Errors: ``InvalidDataError`` with
    fewer than three frames or frames of different sizes.
    """
    stack = list(frames)
    if len(stack) < 3:
        raise InvalidDataError(
            f"{len(stack)} frames are too few to tell the animal from the background; 3 are the least."
        )
    if len({frame.shape for frame in stack}) != 1:
        raise InvalidDataError("The frames of the video differ in size.")
    pictures = np.stack(stack)
    rank = round(quantile * (len(stack) - 1))
    return np.partition(pictures, rank, axis=0)[rank]


def _lost(reason: Lost, area: float = 0.0) -> Found:
    return Found((np.nan, np.nan), area, reason)


class Finder:
    """Finds the animal in single frames against one background, within an arena or in all of the picture.

    ``arena`` ``(height, width)`` is 255 inside and 0 outside (``analysis.methods.arenas.mask_of``).
    """

    def __init__(self, background: Frame, settings: TrackerSettings, arena: Frame | None = None) -> None:
        import cv2

        self.settings = settings
        height, width = background.shape
        if arena is not None and arena.shape != background.shape:
            raise InvalidDataError(f"The arena was drawn for another size than the {width} x {height} px of the video.")
        x0, y0, across, down = (0, 0, width, height) if arena is None else cv2.boundingRect(arena)
        self._slice = (slice(y0, y0 + down), slice(x0, x0 + across))
        self._corner = (x0, y0)
        self._shape = background.shape
        self._background = np.ascontiguousarray(background[self._slice])
        self._inside = None
        size = self._background.size
        if arena is not None:
            size = int(np.count_nonzero(arena))
            # A rectangle along the picture's edges needs no mask.
            if size < self._background.size:
                self._inside = np.ascontiguousarray(arena[self._slice])
        self.diagonal = float(np.hypot(across, down))
        self._largest = settings.largest_share * size
        size = settings.opening
        self._element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)) if size > 1 else None

    def find(self, frame: Frame) -> Found:
        """Return where the animal is in one frame, or why it is lost."""
        import cv2

        if frame.shape != self._shape:
            raise InvalidDataError(
                f"A frame is {frame.shape[1]} x {frame.shape[0]} px, the background "
                f"{self._shape[1]} x {self._shape[0]} px: the camera was changed within the recording."
            )
        settings = self.settings
        view = frame[self._slice]
        # cv2.subtract stops at 0; plain uint8 subtraction would wrap a brighter pixel around to nearly 255.
        if settings.animal == "dark":
            difference = cv2.subtract(self._background, view)
        else:
            difference = cv2.subtract(view, self._background)
        if self._inside is not None:
            difference = cv2.bitwise_and(difference, self._inside)
        if settings.threshold is not None:
            _, mask = cv2.threshold(difference, settings.threshold, 255, cv2.THRESH_BINARY)
        else:
            level = max(_otsu(difference), settings.minimum_contrast)
            _, mask = cv2.threshold(difference, level, 255, cv2.THRESH_BINARY)
        left, top, width, height = cv2.boundingRect(mask)
        if width == 0:
            return _lost(Lost.NOTHING)
        # Only the box that holds all of the difference is opened and labelled: that is most of the speed.
        whole = box = cv2.copyMakeBorder(
            mask[top : top + height, left : left + width], 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0
        )
        if self._element is not None:
            box = cv2.morphologyEx(box, cv2.MORPH_OPEN, self._element, borderType=cv2.BORDER_CONSTANT, borderValue=0)
        count, labels, stats, centres = cv2.connectedComponentsWithStats(box, connectivity=8)
        if count < 2:
            return _lost(Lost.TOO_SMALL)
        areas = stats[1:, cv2.CC_STAT_AREA]
        best = int(np.argmax(areas))
        area = float(areas[best])
        if area < settings.minimum_area:
            return _lost(Lost.TOO_SMALL, area)
        if area > self._largest:
            return _lost(Lost.TOO_LARGE, area)
        if areas.size > 1 and np.partition(areas, -2)[-2] > settings.second_share * area:
            return _lost(Lost.AMBIGUOUS, area)
        x, y = centres[best + 1]
        shape = _silhouette(labels, best + 1, stats[best + 1], whole)
        return Found((x - 1 + left + self._corner[0], y - 1 + top + self._corner[1]), area, Lost.FOUND, shape)


def _otsu(difference: NDArray[Any]) -> float:
    """Return Otsu's threshold; of a large picture that of a quarter of its pixels.

    Source: Otsu 1979, IEEE Trans. Syst. Man Cybern. 9, 62-66.
    """
    import cv2

    if difference.size > _PLENTY:
        difference = cv2.resize(difference, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_NEAREST)
    level, _ = cv2.threshold(difference, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    return level


def _silhouette(labels: NDArray[Any], label: int, stats: NDArray[Any], whole: NDArray[Any]) -> Shape:
    """Return the shape of the blob of a label, and what the opening removed around it of the ``whole`` difference."""
    left, top, width, height = (int(value) for value in stats[:4])
    # A tail is hardly longer than the body.
    reach = max(width, height)
    rows = slice(max(0, top - reach), top + height + reach)
    columns = slice(max(0, left - reach), left + width + reach)
    near = labels[rows, columns]
    return shape_of((near == label).view(np.uint8), ((near == 0) & (whole[rows, columns] > 0)).view(np.uint8))


def track_animal(
    frames: Iterable[tuple[float, Frame | None]],
    background: Frame,
    settings: TrackerSettings,
    *,
    report: Callable[[int, float], None] | None = None,
) -> Track:
    """Track one animal through ``(time in s, frame or None)`` pairs, holding one frame at a time.

    As ``track_animals`` in the whole picture.
    """
    (track,) = track_animals(frames, background, settings, [None], report=report)
    return track


def track_animals(
    frames: Iterable[tuple[float, Frame | None]],
    background: Frame,
    settings: TrackerSettings,
    arenas: Sequence[Frame | None],
    *,
    report: Callable[[int, float], None] | None = None,
) -> list[Track]:
    """Track one animal in each arena, in one pass through ``(time in s, frame or None)`` pairs; one track for each.

    An arena is 255 inside and 0 outside, None for the whole picture. ``report(frames done, time)`` is called every 100
    frames. What was found is then judged as a whole: sizes unlike the animal's and jumps become lost. Errors:
    ``InvalidDataError`` when there is no frame, or when the size of the frames changes.
    """
    finders = [Finder(background, settings, arena) for arena in arenas]
    rows: list[list[tuple[float, ...]]] = [[] for _ in finders]
    done = 0
    for time, frame in frames:
        for finder, kept in zip(finders, rows, strict=True):
            found = finder.find(frame) if frame is not None else _lost(Lost.UNREADABLE)
            shape = found.shape
            axis = shape.axis if shape.elongation >= LEAST_ELONGATION else np.nan
            kept.append((time, *found.xy, found.area, found.reason, axis, shape.tail, shape.length))
        done += 1
        if report is not None and done % 100 == 0:
            report(done, time)
    if not done:
        raise InvalidDataError("The video has no frame.")
    return [
        _track_of(np.array(kept, float), settings, settings.maximum_speed or finder.diagonal)
        for finder, kept in zip(finders, rows, strict=True)
    ]


def _track_of(table: NDArray[np.floating], settings: TrackerSettings, maximum_speed: float) -> Track:
    seen = np.isfinite(table[:, 7])
    length = float(np.median(table[seen, 7])) if seen.any() else np.nan
    unknown = np.full(len(table), np.nan)
    track = Track(table[:, 0], table[:, 1:3], table[:, 3], table[:, 4].astype(np.uint8), unknown, length)
    track = _judge(track, settings, maximum_speed)
    return replace(track, heading=heading_of(track.time, track.xy, table[:, 5], table[:, 6], length))


def _judge(track: Track, settings: TrackerSettings, maximum_speed: float) -> Track:
    """Withdraw positions of the wrong size, and short visits to places the animal could not have reached."""
    reason, xy = track.reason.copy(), track.xy.copy()
    found = reason == Lost.FOUND
    if found.any():
        ratio = track.area / float(np.median(track.area[found]))
        reason[found & ((ratio > settings.size_tolerance) | (ratio < 1 / settings.size_tolerance))] = Lost.UNLIKE
    while True:
        kept = np.flatnonzero(reason == Lost.FOUND)
        if kept.size < 2:
            break
        elapsed = np.maximum(np.diff(track.time[kept]), 1e-3)
        too_fast = np.hypot(*np.diff(xy[kept], axis=0).T) > maximum_speed * elapsed
        visits = np.split(kept, np.flatnonzero(too_fast) + 1)
        if len(visits) < 2:
            break
        # One visit goes at a time, the shortest first: without it its neighbours may well follow each other.
        shortest = min(visits, key=len)
        if track.time[shortest[-1]] - track.time[shortest[0]] >= _SHORTEST_VISIT:
            break
        reason[shortest] = Lost.JUMP
    xy[reason != Lost.FOUND] = np.nan
    return replace(track, xy=xy, reason=reason)


def speed_of(time: NDArray[np.floating], xy: NDArray[np.floating], *, window: float = 0.2) -> NDArray[np.floating]:
    """Return speed (units of ``xy`` per second) ``(n,)`` from displacement over about ``window`` s.

    NaN where lost or across a gap.
    """
    n = time.size
    speed = np.full(n, np.nan)
    if n < 2:
        return speed
    half = max(1, round(window / 2 / max(float(np.median(np.diff(time))), 1e-6)))
    before, after = np.maximum(np.arange(n) - half, 0), np.minimum(np.arange(n) + half, n - 1)
    elapsed = time[after] - time[before]
    good = (elapsed > 0) & (elapsed < 3 * window + 0.1) & np.isfinite(xy[:, 0])
    moved = np.hypot(*(xy[after] - xy[before]).T)
    speed[good] = moved[good] / elapsed[good]
    return speed


def occupancy(
    time: NDArray[np.floating],
    xy: NDArray[np.floating],
    *,
    extent: tuple[float, float],
    bin_size: float,
    origin: tuple[float, float] = (0.0, 0.0),
) -> NDArray[np.floating]:
    """Return the time (s) spent in square bins of ``bin_size`` from ``origin`` (x, y), ``extent`` (x, y) wide.

    ``(rows of y, columns of x)``; what is outside counts to the bin at the edge.
    """
    columns, rows = (max(1, int(np.ceil(length / bin_size))) for length in extent)
    duration = np.diff(time, append=time[-1] + (np.median(np.diff(time)) if time.size > 1 else 0))
    # A dropped stretch of frames is not time spent at the place before it.
    duration = np.minimum(duration, 5 * np.median(duration))
    seen = np.isfinite(xy[:, 0])
    column = np.clip(((xy[seen, 0] - origin[0]) / bin_size).astype(int), 0, columns - 1)
    row = np.clip(((xy[seen, 1] - origin[1]) / bin_size).astype(int), 0, rows - 1)
    seconds = np.bincount(row * columns + column, weights=duration[seen], minlength=rows * columns)
    return seconds.astype(float).reshape(rows, columns)
