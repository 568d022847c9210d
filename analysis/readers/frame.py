"""One frame of a video as JPEG, for who draws on it; called through ``sessions.isolation``, in a process of its own."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.pipelines.base import InputFile, InputRecording, PipelineError
from analysis.readers.video import open_video

QUALITY = 88


def middle_frame(recording: Mapping[str, Any]) -> str:
    """Return a frame from the middle of a video, grey as trackers see it, as JPEG in base64.

    ``recording`` is as ``analysis.jobs.inputs.describe`` says it. Errors: ``PipelineError`` when no frame is there.
    """
    import cv2

    video = open_video(
        InputRecording(
            id=recording["id"],
            kind=recording["kind"],
            format=recording["format"],
            files=tuple(InputFile(Path(f["path"]), f["size"], f["sha256"], f["role"]) for f in recording["files"]),
            parameters=recording["parameters"],
            rate=recording["rate"],
            start=recording["start"],
            label=recording["label"],
        )
    )
    pictures = video.sample(3)
    if not pictures:
        raise PipelineError("No picture of the video can be decoded.")
    _, written = cv2.imencode(".jpg", pictures[len(pictures) // 2], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return base64.b64encode(written.tobytes()).decode()
