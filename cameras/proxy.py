"""Makes the browser-playable copy (H.264 in MP4) and the poster of a recording's frames; no Django.

The time of each picture in the copy is its capture time, so a frame that was lost leaves its gap. The copy is for
looking at; measurements are made on the original.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from cameras import frametable
from cameras.pictures import decoded

# Half a second between key frames: scrubbing lands near the asked picture at once.
KEY_FRAME_SECONDS = 0.5
_TICKS = 90_000


class ProxyError(Exception):
    """The recording cannot be turned into a video; the message says why."""


def make_proxy(folder: Path, video: Path, poster: Path, *, alive: Callable[[], None] = lambda: None) -> int:
    """Write the copy and the poster (the middle picture); returns how many pictures the copy has.

    Both files appear whole or not at all. ``alive`` is called every few hundred pictures.
    """
    try:
        records = frametable.read(folder).in_order()
    except (OSError, frametable.TableError) as error:
        raise ProxyError(f"The frame table cannot be read: {error}") from error
    new = video.with_name(f".{video.name}.{os.getpid()}.{id(records):x}")
    first = next((picture for picture in decoded(folder, records) if picture is not None), None)
    if first is None:
        raise ProxyError("None of the recorded pictures can be decoded.")
    height, width = first.shape[0] // 2 * 2, first.shape[1] // 2 * 2
    middle, count = None, 0
    try:
        with av.open(str(new), "w", format="mp4", options={"movflags": "+faststart"}) as out:
            stream = out.add_stream("libx264", options={"preset": "veryfast", "crf": "24", "tune": "zerolatency"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.time_base = Fraction(1, _TICKS)
            stream.codec_context.time_base = Fraction(1, _TICKS)
            stream.codec_context.thread_count = 1
            last_time, key_due = -1, 0
            start = int(records["captured_ns"][0])
            for index, (record, shown) in enumerate(zip(records, decoded(folder, records), strict=True)):
                if shown is None:
                    continue
                picture = shown
                if picture.shape[:2] != (height, width):
                    picture = (
                        cv2.resize(picture, (width, height))
                        if picture.shape != first.shape
                        else picture[:height, :width]
                    )
                time = max(last_time + 1, (int(record["captured_ns"]) - start) * _TICKS // 1_000_000_000)
                last_time = time
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24")
                frame.pts, frame.time_base = time, Fraction(1, _TICKS)
                if time >= key_due:
                    frame.pict_type = av.video.frame.PictureType.I
                    key_due = time + int(KEY_FRAME_SECONDS * _TICKS)
                for packet in stream.encode(frame):
                    out.mux(packet)
                count += 1
                if middle is None or index <= len(records) // 2:
                    middle = picture
                if count % 300 == 0:
                    alive()
            for packet in stream.encode(None):
                out.mux(packet)
        new.replace(video)
    except (OSError, av.FFmpegError) as error:
        raise ProxyError(f"The copy cannot be written: {error}") from error
    finally:
        new.unlink(missing_ok=True)
    assert middle is not None
    ok, data = cv2.imencode(".jpg", middle, [cv2.IMWRITE_JPEG_QUALITY, 82])
    if not ok:
        raise ProxyError("The poster cannot be encoded.")
    new_poster = poster.with_name(f".{poster.name}.{os.getpid()}")
    new_poster.write_bytes(data.tobytes())
    new_poster.replace(poster)
    return count
