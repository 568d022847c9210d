"""One frame of a video as JPEG, for who draws on it; called through ``sessions.isolation``, in a process of its own."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.pipelines.base import InputFile, InputRecording, PipelineError
from analysis.readers.video import open_video

QUALITY = 88


def as_input(described: Mapping[str, Any]) -> InputRecording:
    """Return a recording that was described as JSON as readers take it."""
    return InputRecording(
        id=described["id"],
        kind=described["kind"],
        format=described["format"],
        files=tuple(InputFile(Path(f["path"]), f["size"], f["sha256"], f["role"]) for f in described["files"]),
        parameters=described["parameters"],
        rate=described["rate"],
        start=described["start"],
        label=described["label"],
    )


def middle_frame(recording: Mapping[str, Any]) -> str:
    """Return a frame from the middle of a video, grey as trackers see it, as JPEG in base64.

    ``recording`` is as ``analysis.jobs.inputs.describe`` says it. Errors: ``PipelineError`` when no frame is there.
    """
    import cv2

    pictures = open_video(as_input(recording)).sample(3)
    if not pictures:
        raise PipelineError("No picture of the video can be decoded.")
    _, written = cv2.imencode(".jpg", pictures[len(pictures) // 2], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return base64.b64encode(written.tobytes()).decode()
