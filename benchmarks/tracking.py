"""Tracking one mouse in a real video: frames a second and distance, beside OpenCV's own background subtractor."""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from analysis.methods import tracking
from analysis.pipelines.base import InputFile, InputRecording
from analysis.readers import Video, open_video

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "tracktor_mouse"
PEER = "OpenCV MOG2, largest blob"
# The peer needs minutes for all 10,000 frames.
FRAMES = 3000


def run() -> list[dict[str, Any]]:
    """Return the rows; none when the video is not beside the checkout."""
    if not DATA.is_dir():
        print(f"tracking: no video at {DATA}, so nothing is measured", file=sys.stderr)
        return []
    path = DATA / "videos" / "mouse_video.mp4"
    recording = InputRecording("video", "video", "video", (InputFile(path, path.stat().st_size),))
    with (DATA / "output" / "mouse_video_tracked.csv").open(newline="") as lines:
        reference = np.array([(float(row["pos_x"]), float(row["pos_y"])) for row in csv.DictReader(lines)])
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        ours, our_rate, our_cpu_rate = _timed(_ours, open_video(recording))
        theirs, their_rate, their_cpu_rate = _timed(_mog2, open_video(recording))
    finally:
        cv2.setNumThreads(threads)
    distance = [np.hypot(*(xy - reference[: len(xy)]).T) for xy in (ours, theirs)]
    lost = [float(np.mean(np.isnan(away))) * 100 for away in distance]
    # Further from Tracktor than the mouse is long, 30 px, there is no mouse.
    invented = [int(np.count_nonzero(away > 30)) for away in distance]
    median = [float(np.nanmedian(away)) for away in distance]
    return [
        _row("tracking, rate with decoding", our_rate, "frames/s", their_rate),
        _row("tracking, rate with decoding, of CPU time", our_cpu_rate, "frames/CPU s", their_cpu_rate),
        _row("tracking, median distance to Tracktor", median[0], "px", median[1]),
        _row("tracking, lost", lost[0], "% of frames", lost[1]),
        _row("tracking, invented positions", invented[0], "frames", invented[1]),
    ]


def _timed(track: Callable[[Video], np.ndarray], video: Video) -> tuple[np.ndarray, float, float]:
    """Return positions ``(n, 2)`` (px) and frames per second of the clock and of the CPU, all threads together."""
    began, cpu = time.perf_counter(), time.process_time()
    xy = track(video)
    return xy, len(xy) / (time.perf_counter() - began), len(xy) / (time.process_time() - cpu)


def _ours(video: Video) -> np.ndarray:
    background = tracking.background_of(video.sample(60), quantile=0.9)
    track = tracking.track_animal(islice(video.frames(), FRAMES), background, tracking.TrackerSettings())
    return track.xy


def _mog2(video: Video) -> np.ndarray:
    """Track the way most tutorials do: adaptive background, opening, largest contour."""
    subtractor = cv2.createBackgroundSubtractorMOG2(detectShadows=False)
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    found = []
    for _, frame in islice(video.frames(), FRAMES):
        if frame is None:
            found.append((np.nan, np.nan))
            continue
        mask = cv2.morphologyEx(subtractor.apply(frame), cv2.MORPH_OPEN, element)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        moments = cv2.moments(max(contours, key=cv2.contourArea)) if contours else {"m00": 0}
        area = moments["m00"]
        found.append((moments["m10"] / area, moments["m01"] / area) if area >= 60 else (np.nan, np.nan))
    return np.array(found)


def _row(name: str, value: float, unit: str, peer_value: float) -> dict[str, Any]:
    ratio = value / peer_value if peer_value else None
    return {"name": name, "value": value, "unit": unit, "peer": PEER, "peer_value": peer_value, "ratio": ratio}
