"""Video as grey frames with a time for each, streamed: one frame in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analysis.pipelines.base import InputRecording, PipelineError
from analysis.readers import sources

if TYPE_CHECKING:
    import av

FORMATS = ("video", "mjpeg-segments")
Frame = NDArray[np.uint8]

# Containers that are a bare stream of pictures and hold no time.
_TIMELESS = {"mjpeg", "h264", "hevc", "m4v", "image2", "mpegvideo"}
# Pixel formats whose first plane is brightness, 8 bits each.
_PLANAR = {"gray", "yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "nv21"}


@dataclass(frozen=True)
class Video:
    """A video: ``frames()`` yields ``(time in s, grey picture (height, width) uint8)`` in order.

    A picture is None where it cannot be decoded. ``sample(n)`` returns about n pictures, n / 2 or more, spread over the
    video. ``count`` is the number of frames, None when only a full pass can tell; ``missing`` how many frames the
    recorder knows to be lost.
    """

    width: int
    height: int
    count: int | None
    duration: float | None
    frames: Callable[[], Iterator[tuple[float, Frame | None]]]
    sample: Callable[[int], list[Frame]]
    missing: int = 0
    notes: tuple[str, ...] = field(default=())


def open_video(recording: InputRecording) -> Video:
    """Open a video; ``PipelineError`` when it is not sound.

    Formats: ``video`` (one file of a container with times: mp4, avi, mkv, mov; or a bare ``.mjpeg`` with the
    parameter ``rate`` in Hz) and ``mjpeg-segments`` (recorded by the lab's cameras: files with the role ``frames``
    (the frame table) and ``segment``). Times count from the first frame of a file, and for a camera's segments from
    the start of the recording.
    """
    if recording.format == "mjpeg-segments":
        return _segments(recording)
    if recording.format != "video":
        raise sources.wrong_format(recording, "video", FORMATS)
    return _file(recording, sources.data_file(recording))


def _file(recording: InputRecording, path: Path) -> Video:
    with _container(path) as (container, stream):
        width, height = stream.codec_context.width, stream.codec_context.height
        timeless = bool(set(container.format.name.split(",")) & _TIMELESS)
        count = stream.frames or None
        duration = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else None
        if duration is None and container.duration:
            duration = container.duration / 1e6
    rate = sources.positive(recording, "rate", "frame rate in Hz") if timeless else None
    offset = sources.time_offset(recording)

    def frames() -> Iterator[tuple[float, Frame]]:
        first = None
        with _container(path) as (container, stream):
            for number, picture in enumerate(_decoded(container, stream, path)):
                if rate is not None:
                    yield offset + number / rate, _grey(picture)
                    continue
                if picture.pts is None or stream.time_base is None:
                    raise PipelineError(f"Frame {number + 1} of {path.name} has no time.")
                time = float(picture.pts * stream.time_base)
                first = time if first is None else first
                yield offset + time - first, _grey(picture)

    def sample(n: int) -> list[Frame]:
        if timeless or not duration or duration < 2:
            return _spread((picture for _, picture in frames()), n)
        with _container(path) as (container, stream):
            return _sought(container, stream, path, n, duration)

    if not timeless and duration and count is None:
        average = float(stream.average_rate or 0)
        count = round(duration * average) or None
    return Video(width, height, count, duration, frames, sample)


@contextmanager
def _container(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    import av

    with sources.damage(path, "video", av.FFmpegError, OSError), av.open(str(path)) as container:
        if not container.streams.video:
            raise PipelineError(f"{path.name} holds no video.")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        yield container, stream


def _decoded(
    container: av.container.InputContainer, stream: av.VideoStream, path: Path, *, start: float | None = None
) -> Iterator[av.VideoFrame]:
    """Decode frame by frame; a picture that cannot be decoded ends the video with a sentence that says where.

    ``start`` is the time (s) that was sought before, None for the beginning.
    """
    import av

    number, size = 0, None
    try:
        for picture in container.decode(stream):
            if size not in (None, (picture.width, picture.height)):
                raise PipelineError(f"The pictures of {path.name} change their size at frame {number + 1}.")
            size = (picture.width, picture.height)
            number += 1
            yield picture
    except av.FFmpegError as error:
        where = f"{number}" if start is None else f"{number} from {start:.1f} s on"
        raise PipelineError(f"The video {path.name} is damaged after frame {where}: {error.strerror}.") from error
    if number == 0 and start is not None:
        raise PipelineError(
            f"The video {path.name} is cut or damaged: no picture can be decoded {start:.1f} s into it."
        )
    if number == 0:
        raise PipelineError(f"The video {path.name} has no picture that can be decoded.")


def _grey(picture: av.VideoFrame) -> Frame:
    if picture.format.name in _PLANAR:
        plane = picture.planes[0]
        return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[
            : picture.height, : picture.width
        ]
    return np.asarray(picture.to_ndarray(format="gray"), np.uint8)


def _sought(container, stream, path: Path, n: int, duration: float) -> list[Frame]:  # noqa: ANN001 - PyAV objects
    """Return n / 2 to n pictures spread over the video, by seeking to the key frame before each of n moments.

    Where that is too long before its moment, pictures are decoded up to it.
    """
    pictures, seen = [], set()
    start = float((stream.start_time or 0) * stream.time_base)
    near = duration / n
    for moment in start + (np.arange(n) + 0.5) / n * duration:
        container.seek(int(moment / stream.time_base), stream=stream)
        for picture in _decoded(container, stream, path, start=moment - start):
            if picture.pts is None or picture.pts * stream.time_base >= moment - near:
                break
        if picture.pts not in seen:
            seen.add(picture.pts)
            pictures.append(_grey(picture).copy())
    return pictures


def _spread(pictures: Iterator[Frame | None], n: int) -> list[Frame]:
    """Keep between n and 2 n pictures at equal distances of a stream of unknown length."""
    kept: list[Frame] = []
    stride = 1
    for number, picture in enumerate(pictures):
        if number % stride or picture is None:
            continue
        kept.append(picture.copy())
        if len(kept) >= 2 * n:
            kept, stride = kept[::2], stride * 2
    return kept


def _segments(recording: InputRecording) -> Video:
    from cameras import frametable
    from cameras.pictures import decoded, picture_at

    tables = [file for file in recording.files if file.role == "frames"]
    if len(tables) != 1:
        raise PipelineError(
            f"The camera recording {recording.label or recording.id} needs one frame table, not {len(tables)}."
        )
    path = sources.sound_file(tables[0].path)
    with sources.damage(path, "frame table", frametable.TableError, OSError):
        table = frametable.read(path.parent, path.name)
    records = table.in_order()
    if not len(records):
        raise PipelineError(f"The frame table {path.name} names no frame whose picture is on the disk.")
    captured = records["captured_ns"].astype(np.int64)
    origin = _epoch_ns(recording.start) if recording.start else int(captured[0])
    times = (captured - origin) / 1e9 + sources.time_offset(recording)

    def frames() -> Iterator[tuple[float, Frame | None]]:
        with _segments_of(path):
            for time, picture in zip(times, decoded(path.parent, records, colour=False), strict=True):
                yield float(time), picture

    def sample(n: int) -> list[Frame]:
        chosen = np.unique(np.linspace(0, len(records) - 1, n).round().astype(int))
        with _segments_of(path):
            pictures = [picture_at(path.parent, records, int(k), colour=False) for k in chosen]
        return [grey for grey in pictures if grey is not None]

    duration = float(times[-1] - times[0])
    width, height = int(records["width"][0]), int(records["height"][0])
    notes = (f"{table.missing} pictures of the frame table are not on the disk.",) if table.missing else ()
    return Video(width, height, len(records), duration, frames, sample, table.lost(), notes)


@contextmanager
def _segments_of(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise PipelineError(f"A segment of the camera recording beside {path.name} is not on the disk.") from None


def _epoch_ns(start: str) -> int:
    try:
        moment = datetime.fromisoformat(start)
    except ValueError:
        raise PipelineError(f"The start of the recording, {start!r}, is not a time.") from None
    if moment.tzinfo is None:
        raise PipelineError(f"The start of the recording, {start!r}, has no time zone.")
    seconds = int(moment.timestamp())
    return seconds * 1_000_000_000 + moment.microsecond * 1000
