"""What ``video.track`` gives back of one arena: numbers, figures and the position recording."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.figures import tracking as draw
from analysis.methods import tracking
from analysis.methods.arenas import Scale
from analysis.pipelines.base import DerivedRecording, Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.figures.spec import Figure


class TrackedArena:
    """A track in the unit of its scale; ``number`` counts arenas from 0, None when there is only one."""

    def __init__(self, track: tracking.Track, scale: Scale, name: str, number: int | None) -> None:
        self.track, self.scale, self.name, self.number = track, scale, name, number
        self.found = track.reason == tracking.Lost.FOUND
        self.xy = scale(track.xy)
        self.heading = scale.heading(track.xy, track.heading)
        self.speed = tracking.speed_of(track.time, self.xy)

    @cached_property
    def losses(self) -> str:
        """The sentence that says how many frames were lost, and why."""
        counts = np.bincount(self.track.reason, minlength=len(tracking.Lost))
        reasons = {
            tracking.Lost(code).sentence: int(number)
            for code, number in enumerate(counts)
            if number and code != tracking.Lost.FOUND
        }
        return draw.losses_by_reason(reasons, self.found.size)

    @property
    def rate(self) -> float | None:
        """Frames per second, one over the median interval."""
        steps = np.diff(self.track.time)
        return float(1 / np.median(steps)) if steps.size and np.median(steps) > 0 else None

    @property
    def length(self) -> float | None:
        """Length of the body in the scale's unit, at the median place."""
        if not np.isfinite(self.track.length):
            return None
        return self.scale.length(np.nanmedian(self.track.xy[self.found], axis=0), self.track.length)

    def metrics(self, missing: int) -> dict[str, Metric]:
        """Return the numbers; ``missing`` frames were lost before. Of several arenas each name has its number."""
        track, found, unit = self.track, self.found, self.scale.unit
        known = np.isfinite(self.speed)
        moved = np.hypot(*np.diff(self.xy, axis=0).T)
        alone = self.number is None
        made = {
            "found": Metric(
                float(found.mean()) * 100,
                "%",
                "frames with a position",
                "the rest is lost, never filled in",
                headline=True,
            ),
            "lost": Metric(int((~found).sum()), "frames", "lost", self.losses, alone),
            "frames": Metric(int(found.size), "frames", "frames"),
            "longest_loss": Metric(
                _longest(track.time, ~found), "s", "longest loss", "longest stretch without a position"
            ),
            "missing_frames": Metric(
                missing, "frames", "missing frames", "that the recorder knows to have been lost before"
            ),
            "distance": Metric(
                float(np.nansum(moved)),
                unit,
                "distance",
                "path length over neighbouring found frames; jitter of the silhouette adds to it",
                headline=True,
            ),
            "median_speed": Metric(
                float(np.median(self.speed[known])) if known.any() else None,
                f"{unit}/s",
                "median speed",
                "displacement over 0.2 s",
                alone,
            ),
            "area": Metric(
                float(np.median(track.area[found])) if found.any() else None,
                "px²",
                "median area",
                "of the body's silhouette after the opening",
            ),
            "length": Metric(
                self.length, unit, "body length", "of the ellipse like the silhouette without the tail, median"
            ),
            "directed": Metric(
                float(np.isfinite(track.heading[found]).mean()) * 100 if found.any() else None,
                "%",
                "positions with a heading",
                "the others show no long axis: rearing, curled up",
            ),
            "rate": Metric(self.rate, "Hz", "frame rate", "one over the median interval"),
        }
        if self.number is None:
            return made
        return {
            f"{key}_{self.number + 1}": Metric(
                metric.value, metric.unit, f"{metric.label}, {self.name}", metric.definition, metric.headline
            )
            for key, metric in made.items()
        }

    def figures(
        self, outline: Sequence[tuple[float, float]] | None, shape: str, picture: tuple[int, ...]
    ) -> list[Figure]:
        """Return occupancy of the ``outline`` (px) or of the whole ``picture`` (height, width), and speed over time."""
        low, high = self._extent(outline, shape, picture)
        size = high - low
        bin_size = float(size.max()) / 40
        origin, extent = (float(low[0]), float(low[1])), (float(size[0]), float(size[1]))
        seconds = tracking.occupancy(self.track.time, self.xy, extent=extent, bin_size=bin_size, origin=origin)
        named: dict[str, Any] = {
            "unit": self.scale.unit,
            "arena": self.name,
            "number": 0 if self.number is None else self.number + 1,
        }
        return [
            draw.occupancy(seconds, bin_size=bin_size, origin=origin, **named),
            draw.over_time(self.track.time, self.speed, self.heading, ~self.found, **named),
        ]

    def _extent(
        self, outline: Sequence[tuple[float, float]] | None, shape: str, picture: tuple[int, ...]
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        height, width = picture[:2]
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], float)
        if outline is not None:
            corners = np.asarray(outline, float)
            if shape == "circle":
                radius = float(np.hypot(*(corners[1] - corners[0])))
                corners = corners[0] + radius * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        elif not np.allclose(self.scale.matrix[2, :2], 0):
            # Where the horizon is in the picture its corners are nowhere on the floor: the animal's places tell enough.
            corners = self.track.xy[self.found]
        placed = self.scale(corners)
        low, high = np.min(placed, axis=0), np.max(placed, axis=0)
        return low, np.maximum(high, low + 1e-6)

    def recording(self, folder: Path) -> DerivedRecording:
        """Write the track below the folder and return its recording."""
        name = "position.npz" if self.number is None else f"position-{self.number + 1}.npz"
        track, unit = self.track, self.scale.unit
        np.savez_compressed(
            folder / name,
            time=track.time,
            x=self.xy[:, 0],
            y=self.xy[:, 1],
            unit=unit,
            heading_deg=np.degrees(self.heading),
            reason=track.reason,
            area_px=track.area,
            x_px=track.xy[:, 0],
            y_px=track.xy[:, 1],
            heading_px_deg=np.degrees(track.heading),
        )
        parameters = {"unit": unit, "clock": "recording", "body_point": "centroid of the silhouette without the tail"}
        return DerivedRecording(
            kind="position",
            format="position-npz",
            files=(name,),
            parameters=parameters | ({"arena": self.name} if self.name else {}),
            rate=self.rate,
            channels=2,
            duration=float(track.time[-1] - track.time[0]),
            name=self.name,
        )


def _longest(time: NDArray[np.floating], lost: NDArray[np.bool_]) -> float:
    change = np.diff(np.concatenate([[0], lost.astype(int), [0]]))
    starts, stops = np.flatnonzero(change == 1), np.flatnonzero(change == -1)
    if not starts.size:
        return 0.0
    step = float(np.median(np.diff(time))) if time.size > 1 else 0.0
    return float(np.max(time[stops - 1] - time[starts])) + step
