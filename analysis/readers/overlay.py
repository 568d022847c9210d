"""A track as it is drawn on its video: every point of every frame in px; called through ``sessions.isolation``."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.methods.tracking import speed_of
from analysis.pipelines.base import InputRecording, PipelineError
from analysis.readers import sources
from analysis.readers.frame import as_input
from analysis.readers.position import read_position
from analysis.readers.video import open_video

# Numbers in one reply; an hour of ten body parts at 30 Hz has 2.2 million.
MOST_VALUES = 2_500_000


def overlay(position: Mapping[str, Any], video: Mapping[str, Any]) -> dict[str, Any]:
    """Return the track of a position recording over a video, both as ``analysis.jobs.inputs.describe`` says them.

    ``time`` (s of the video) float64 ``(n,)``, ``speed`` (``unit`` per s) and ``heading`` (rad in the picture, growing
    downwards, or None) float32 ``(n,)``, and ``points`` (px) float32 ``(n, names, 2)`` are little-endian in base64, NaN
    where lost; ``names``, ``unit``, and ``width`` and ``height`` (px) of the video's pictures are plain. Errors:
    ``PipelineError`` when the positions cannot be told in px.
    """
    recording = as_input(position)
    drawn = _of_file(recording) if recording.format == "position-npz" else _of(recording)
    points = drawn.points
    if points.size > MOST_VALUES:
        raise PipelineError(f"The track has {points.size:,} numbers; up to {MOST_VALUES:,} are drawn on a video.")
    seen = open_video(as_input(video))
    return {
        "names": drawn.names,
        "unit": drawn.unit,
        "width": seen.width,
        "height": seen.height,
        "time": _packed(drawn.time, "<f8"),
        "speed": _packed(drawn.speed, "<f4"),
        "points": _packed(points, "<f4"),
        "heading": None if drawn.heading is None else _packed(drawn.heading, "<f4"),
    }


@dataclass(frozen=True)
class Overlay:
    """What ``overlay`` packs."""

    names: list[str]
    time: NDArray[np.floating]
    points: NDArray[np.floating]
    speed: NDArray[np.floating]
    unit: str
    heading: NDArray[np.floating] | None = None


def _of_file(recording: InputRecording) -> Overlay:
    """Return the track that ``video.track`` made: a row for each frame, so the first is at the video's beginning."""
    path = sources.data_file(recording)
    position = read_position(recording)
    arrays = sources.load_npz(path, ("time",), ("x_px", "y_px", "heading_px_deg"))
    if "x_px" in arrays and "y_px" in arrays:
        xy = np.stack([sources.numbers(path, name, arrays[name]) for name in ("x_px", "y_px")], axis=1)
    elif position.unit == "px":
        xy = position.xy
    else:
        raise PipelineError(f"{path.name} says its positions in {position.unit} only; track the video again.")
    if xy.shape != position.xy.shape:
        raise PipelineError(f"{path.name} has {len(xy)} positions in px and {len(position.xy)} in {position.unit}.")
    speed = speed_of(position.time, position.xy)
    heading = None
    if "heading_px_deg" in arrays:
        heading = np.radians(sources.numbers(path, "heading_px_deg", arrays["heading_px_deg"]))
    return Overlay(["animal"], position.time - position.time[0], xy[:, None], speed, position.unit, heading)


def _of(recording: InputRecording) -> Overlay:
    """Return all body parts of a pose track, those that are too unlikely taken out; or a single position."""
    from analysis.readers.opening import open_recording

    contents = open_recording(recording)
    tracks = contents.tracks
    if tracks is None:
        position = read_position(recording)
        if position.unit != "px":
            raise PipelineError(f"The positions are in {position.unit}; only those in px can be drawn on a picture.")
        return Overlay(["animal"], position.time, position.xy[:, None], speed_of(position.time, position.xy), "px")
    xy, score = tracks.read(0, int(tracks.frames.size))
    if recording.parameters.get("likelihood") is not None:
        xy = np.where((score < sources.positive(recording, "likelihood", "least likelihood"))[..., None], np.nan, xy)
    if tracks.times is not None:
        time = tracks.times()
    else:
        time = tracks.frames / sources.positive(recording, "rate", "frame rate in Hz")
    several = len(tracks.animals) > 1
    names = [f"{animal} {point}" if several else point for animal in tracks.animals for point in tracks.points]
    points = xy.reshape(len(xy), len(names), 2)
    counted = np.isfinite(points[:, :, :1]).sum(axis=1)
    middle = np.where(counted > 0, np.nansum(points, axis=1) / np.maximum(counted, 1), np.nan)
    return Overlay(names, np.asarray(time, float), points, speed_of(np.asarray(time, float), middle), "px")


def _packed(values: NDArray[np.floating], kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, kind).tobytes()).decode()
