"""A finished video of the simulated animal, drawn by the code of the live camera."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from cameras.agent.simulation import Camera

NS = 1_000_000_000


def write_film(camera: Camera, path: Path, *, start: float, seconds: float, fps: int) -> int:
    """Write what a camera sees from ``start`` (Unix time, s) on as H.264 in MP4; return the number of frames.

    The film appears under its name only when it is complete. Frame ``n`` shows the moment ``start + n / fps``.
    """
    import av
    import cv2

    cv2.setNumThreads(1)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    frames = round(seconds * fps)
    with av.open(str(part), "w", options={"movflags": "faststart"}) as container:
        container.metadata["title"] = "Simulated animal"
        stream = container.add_stream("h264", rate=fps, options={"preset": "ultrafast", "crf": "24"})
        stream.width, stream.height, stream.pix_fmt = camera.width, camera.height, "yuv420p"
        stream.gop_size = 2 * fps
        stream.time_base = Fraction(1, fps)
        for number in range(frames):
            picture = camera.picture(round((start + number / fps) * NS), number)
            frame = av.VideoFrame.from_ndarray(picture, format="gray")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    part.replace(path)
    return frames
