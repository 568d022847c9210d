"""The recorded pictures as arrays, whatever they were encoded with; no Django.

A picture of H.264 needs those before it, back to its key frame. One whose predecessor is lost or damaged is not shown
with what happens to be there: it counts as damaged, and so do the others up to the next key frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from cameras import frametable
from cameras.wire import CODEC_H264, FLAG_KEY

JPEG_QUALITY = 85


class H264Decoder:
    """Decodes the pictures of one camera in order; forgets what it knew when one of them is missing."""

    def __init__(self) -> None:
        self._context: Any = None
        self._next: int | None = None

    def decode(self, sequence: int, data: bytes, *, key: bool) -> Any:
        """Return the picture as PyAV's frame, or ``None`` when it cannot be decoded from what came before it."""
        if key:
            self._context = av.CodecContext.create("h264", "r")
            # A picture comes out when it has gone in: neither threads nor reordering hold it back.
            self._context.thread_count = 1
            self._context.flags |= av.codec.context.Flags.low_delay
        elif sequence != self._next:
            self.forget()
        if self._context is None:
            return None
        try:
            frames = self._context.decode(av.Packet(data))
        except av.FFmpegError:
            frames = []
        if len(frames) != 1 or frames[0].is_corrupt:
            self.forget()
            return None
        self._next = sequence + 1
        return frames[0]

    def forget(self) -> None:
        """Nothing can be decoded before the next key frame."""
        self._context = self._next = None


def decoded(folder: Path, records: np.ndarray, *, colour: bool = True) -> Iterator[np.ndarray | None]:
    """Yield the picture of each record (rising sequence numbers): height x width (x 3, BGR), uint8; ``None``: damaged.

    ``colour`` false: grey. FileNotFoundError when a segment is not there.
    """
    decoder = H264Decoder()
    for record in records:
        try:
            data = frametable.read_picture(folder, record)
        except FileNotFoundError:
            raise
        except (OSError, frametable.TableError):
            decoder.forget()
            yield None
            continue
        if record["codec"] != CODEC_H264:
            decoder.forget()
            yield _still(data, colour=colour)
            continue
        frame = decoder.decode(int(record["sequence"]), data, key=bool(record["flags"] & FLAG_KEY))
        yield None if frame is None else frame.to_ndarray(format="bgr24" if colour else "gray")


def picture_at(folder: Path, records: np.ndarray, index: int, *, colour: bool = True) -> np.ndarray | None:
    """Return one picture, decoded from its key frame on; ``None`` when it or what it needs is damaged."""
    picture = None
    for picture in decoded(folder, records[frametable.group_start(records, index) : index + 1], colour=colour):  # noqa: B007
        pass
    return picture


def newest_as_jpeg(group: Iterable[tuple[int, bytes, bool]]) -> bytes | None:
    """Return the last picture of (sequence, data, key) from a key frame on as JPEG; ``None`` when it is damaged."""
    decoder, frame = H264Decoder(), None
    for sequence, data, key in group:
        frame = decoder.decode(sequence, data, key=key)
    if frame is None:
        return None
    ok, encoded = cv2.imencode(".jpg", frame.to_ndarray(format="bgr24"), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return encoded.tobytes() if ok else None


def _still(data: bytes, *, colour: bool) -> np.ndarray | None:
    flag = cv2.IMREAD_COLOR if colour else cv2.IMREAD_GRAYSCALE
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    return None if picture is None else np.asarray(picture, np.uint8)
