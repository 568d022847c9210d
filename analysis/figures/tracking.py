"""Figures of a tracked animal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.figures.spec import Axis, Figure, Image, Line, Panel, Points, Spans, every, reduce_trace

Array = NDArray[np.floating]

# Widest picture kept under a track, px: enough to recognise the arena, small enough for a phone.
_WIDEST = 400


def _name(figure: str, number: int) -> str:
    return f"{figure}-{number}" if number else figure


def _title(title: str, arena: str) -> str:
    return f"{title}, {arena}" if arena else title


def track_on_background(background: NDArray[np.uint8], tracks: list[Array], *, scale: float, unit: str) -> Figure:
    """Draw the paths ``(n, 2)`` (px) over the empty arena ``(height, width)``; one px is ``scale`` in ``unit``.

    The picture is drawn as it was taken; where its scale differs from place to place, ``scale`` is 1 and ``unit`` px.
    """
    height, width = background.shape
    stride = -(-width // _WIDEST)
    rows, columns = height // stride, width // stride
    small = background[: rows * stride, : columns * stride].reshape(rows, stride, columns, stride).mean(axis=(1, 3))
    lines = [Line(*every(xy[:, 0] * scale, xy[:, 1] * scale), role="truth", width=1.2) for xy in tracks]
    seen = sum(int(np.isfinite(xy[:, 0]).sum()) for xy in tracks)
    return Figure(
        name="track",
        title="Track",
        caption=f"Path of the centre of the body over the background picture; {seen:,} positions.",
        aspect=height / width,
        panels=(
            Panel(
                Axis("x", unit, low=0.0, high=width * scale),
                Axis("y", unit, low=0.0, high=height * scale, flipped=True),
                (
                    Image(small.astype(np.uint8), 0.0, width * scale, 0.0, height * scale,
                          palette="grey", low=0.0, high=255.0),
                    *lines,
                ),
                equal=True,
                legend=False,
            ),
        ),
    )  # fmt: skip


def occupancy(
    seconds: Array,
    *,
    bin_size: float,
    unit: str,
    origin: tuple[float, float] = (0.0, 0.0),
    arena: str = "",
    number: int = 0,
) -> Figure:
    """Draw time spent (s) in square bins ``(rows of y, columns of x)`` from ``origin`` on; unvisited bins stay open."""
    rows, columns = seconds.shape
    left, top = origin
    right, bottom = left + columns * bin_size, top + rows * bin_size
    shown = np.where(seconds > 0, seconds, np.nan)
    visited = shown[np.isfinite(shown)]
    return Figure(
        name=_name("occupancy", number),
        title=_title("Occupancy", arena),
        caption=f"Time in bins of {bin_size:.3g} {unit}; the scale ends at the 98th percentile of visited bins.",
        aspect=max(0.5, min(1.0, rows / columns)),
        panels=(
            Panel(
                Axis("x", unit, low=left, high=right),
                Axis("y", unit, low=top, high=bottom, flipped=True),
                (
                    Image(shown, left, right, top, bottom, label="time (s)", low=0.0,
                          high=float(np.quantile(visited, 0.98)) if visited.size else 1.0),
                ),
                equal=True,
            ),
        ),
    )  # fmt: skip


def over_time(
    time: Array, speed: Array, heading: Array, lost: NDArray[np.bool_], *, unit: str, arena: str = "", number: int = 0
) -> Figure:
    """Draw speed and heading (rad) ``(n,)`` over ``time`` (s) with a strip of the frames where the animal is lost."""
    step = float(np.median(np.diff(time))) if time.size > 1 else 1.0
    change = np.diff(np.concatenate([[0], lost.astype(int), [0]]))
    starts = time[np.flatnonzero(change == 1)] - step / 2
    stops = time[np.flatnonzero(change == -1) - 1] + step / 2
    if starts.size > 500:
        # More strips than px cannot be seen: stretches closer than 0.2 % of the recording run together.
        near = np.flatnonzero(starts[1:] - stops[:-1] > 0.002 * (time[-1] - time[0]))
        starts, stops = starts[np.r_[0, near + 1]], stops[np.r_[near, stops.size - 1]]
    share = float(np.mean(lost)) if lost.size else 0.0
    return Figure(
        name=_name("speed", number),
        title=_title("Speed, heading and lost frames", arena),
        caption="Speed of the centre of the body; where the head points, 0° being right and 90° down; "
        f"strip: {int(lost.sum()):,} of {lost.size:,} frames ({share:.2%}) in which it is lost.",
        span="full",
        aspect=0.5,
        shared=True,
        panels=(
            Panel(
                Axis("time", "s"),
                Axis("speed", f"{unit}/s", low=0.0),
                (Line(*reduce_trace(time, speed), width=0.9),),
                legend=False,
            ),
            Panel(
                Axis("time", "s"),
                Axis("heading", "°", low=-180.0, high=180.0),
                # A line would cross the panel whenever the animal turns past 180 degrees.
                (Points(*every(time, np.degrees(heading)), size=2.0),),
                weight=0.6,
                legend=False,
            ),
            Panel(
                Axis("time", "s", low=float(time[0]), high=float(time[-1])),
                Axis("lost", low=0.0, high=1.0),
                (Spans(starts, stops),),
                weight=0.12,
                legend=False,
            ),
        ),
    )


def losses_by_reason(counts: dict[str, int], frames: int) -> str:
    """Return one sentence that says how many frames were lost and why."""
    if not counts:
        return f"The animal was found in all {frames:,} frames."
    reasons = "; ".join(f"{number:,} because {reason}" for reason, number in counts.items())
    return f"Lost in {sum(counts.values()):,} of {frames:,} frames: {reasons}."
