"""Pictures as JPEG or H.264: one encoder for each rendition, whoever watches."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, NamedTuple

import cv2
import numpy as np

from cameras.agent.sources import SourceLost
from cameras.wire import CODEC_H264, CODEC_JPEG

# A viewer who joins, or who lost a frame, waits no longer than this for a picture that he can begin with.
KEY_FRAME_NS = 1_000_000_000
# One that is asked for out of turn is not given more often: key frames are ten times as large as the others.
SOONEST_KEY_NS = 250_000_000
_RATE = 30
# Higher than any count of pictures between two key frames: those come by time.
_NEVER = 1_000_000


class EncoderMissing(Exception):
    """This box cannot encode what is asked for; the message says what to install."""


class Encoded(NamedTuple):
    """An encoded picture; size in pixels."""

    data: bytes
    codec: int
    is_key: bool
    width: int
    height: int


def jpeg(picture: np.ndarray, quality: int) -> Encoded:
    """Encode a picture (uint8, grey or BGR) as JPEG of a quality from 1 to 100."""
    ok, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        raise SourceLost("a picture could not be encoded as JPEG")
    return Encoded(data.tobytes(), CODEC_JPEG, True, picture.shape[1], picture.shape[0])


class H264Encoder:
    """Encodes the pictures of one camera as constrained baseline H.264 (Annex B), one packet for each, at once.

    Every key frame is an IDR picture with its parameter sets. A size in odd pixels loses its last row or column, since
    colour is stored for every second one.
    """

    def __init__(self, quality: int = 80) -> None:
        try:
            import av
        except ImportError as error:
            raise EncoderMissing("H.264 is asked for, but PyAV is not installed here: pip install av") from error
        self._av: Any = av
        self._quality = quality
        self._context: Any = None
        self._size = (0, 0)
        self._format = ""
        self._count = 0
        self._key_ns = 0

    def encode(self, picture: np.ndarray, captured_ns: int, *, key: bool = False) -> Encoded:
        """Encode a picture (uint8, grey or BGR); it becomes a key frame when asked for or due by its capture time."""
        height, width = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2
        if self._context is None or (width, height) != self._size:
            self._open(width, height)
            key = True
        since = captured_ns - self._key_ns
        # A clock that was set back must not put the next key frame far away.
        key = key or since >= KEY_FRAME_NS or since < 0
        source = "gray" if picture.ndim == 2 else "bgr24"
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[:height, :width]), format=source)
        frame = frame.reformat(format="yuv420p")
        frame.pts, frame.time_base = self._count, Fraction(1, _RATE)
        kinds = self._av.video.frame.PictureType
        frame.pict_type = kinds.I if key else kinds.NONE
        self._count += 1
        try:
            packets = self._context.encode(frame)
        except self._av.FFmpegError as error:
            self._context = None
            raise SourceLost(f"a picture could not be encoded as H.264: {error}") from error
        if len(packets) != 1:
            self._context = None
            raise SourceLost(f"a picture became {len(packets)} packets of H.264")
        if key:
            self._key_ns = captured_ns
        return Encoded(bytes(packets[0]), CODEC_H264, bool(packets[0].is_keyframe), width, height)

    def may_key(self, captured_ns: int) -> bool:
        """Return whether the last key frame is long enough ago for one out of turn."""
        return not 0 <= captured_ns - self._key_ns < SOONEST_KEY_NS

    def _open(self, width: int, height: int) -> None:
        context = self._av.CodecContext.create("libx264", "w")
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.time_base, context.framerate = Fraction(1, _RATE), Fraction(_RATE)
        # One box runs several cameras; a picture must not be split among their cores.
        context.thread_count = 1
        context.gop_size, context.max_b_frames = _NEVER, 0
        context.profile = "Baseline"
        context.options = {
            "preset": "veryfast",
            "tune": "zerolatency",
            "crf": str(_constant_rate_factor(self._quality)),
            "forced-idr": "1",
            "x264-params": "scenecut=0:repeat-headers=1:slices=1",
        }
        self._context, self._size, self._count = context, (width, height), 0


def _constant_rate_factor(quality: int) -> int:
    """Return x264's crf for a quality as JPEG counts it: 80 is 23, 100 is 16, 1 is 51."""
    return round(min(51.0, 51 - quality * 0.35)) if quality >= 1 else 51
