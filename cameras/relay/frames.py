"""A frame as all viewers get it, and the pictures of H.264 that a newcomer or a slow viewer can begin with."""

from __future__ import annotations

import time
from dataclasses import dataclass

from cameras.relay.protocol import encoded_binary
from cameras.wire import CODEC_H264, codec_and_flags, sequence_and_receive_time

# A viewer whose next picture is older than this waits for the next key frame rather than run after the present (s).
LONGEST_LAG = 0.5
# A camera that never sends another key frame must not fill the memory.
MOST_FRAMES = 600
MOST_BYTES = 32 * 1024 * 1024


@dataclass(slots=True)
class LiveFrame:
    """One frame message, as received and as encoded for a websocket; ``is_key``: decoded without any other."""

    payload: bytes
    encoded: bytes
    sequence: int
    received_ns: int
    arrived: float
    is_h264: bool = False
    is_key: bool = True


def live_frame(payload: bytes) -> LiveFrame:
    """Return the frame of a message that was checked before."""
    sequence, received = sequence_and_receive_time(payload)
    codec, is_key = codec_and_flags(payload)
    h264 = codec == CODEC_H264
    return LiveFrame(payload, encoded_binary(payload), sequence, received, time.monotonic(), h264, is_key or not h264)


class Group:
    """The newest key frame of one stream and every picture after it without a gap: what can be decoded now."""

    def __init__(self) -> None:
        self.frames: list[LiveFrame] = []
        self._bytes = 0

    def add(self, frame: LiveFrame) -> bool:
        """Take the next frame; says whether it can be decoded from what is here."""
        follows = bool(self.frames) and frame.sequence == self.frames[-1].sequence + 1
        if frame.is_key or not follows or len(self.frames) >= MOST_FRAMES or self._bytes > MOST_BYTES:
            self.frames.clear()
            self._bytes = 0
            if not frame.is_key:
                return False
        self.frames.append(frame)
        self._bytes += len(frame.payload)
        return True

    def after(self, sequence: int | None, *, patient: bool) -> LiveFrame | None:
        """Return what a viewer who has got the picture ``sequence`` can decode next, ``None`` while there is nothing.

        It is the picture after that one; the key frame where he has not got any of these; and nothing where he is so
        late that the next key frame will be there sooner (``patient``: even then, for one who has only just come).
        """
        frames = self.frames
        if not frames:
            return None
        index = 0 if sequence is None else sequence - frames[0].sequence + 1
        if not 0 < index <= len(frames):
            return frames[0]
        if index == len(frames):
            return None
        late = time.monotonic() - frames[index].arrived > LONGEST_LAG
        return None if late and not patient else frames[index]
