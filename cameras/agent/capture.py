"""The thread that takes pictures: one encoding per rendition, one sequence number per picture."""

from __future__ import annotations

import logging
import math
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from cameras.agent.delivered import Delivered
from cameras.agent.encoding import Encoded, EncoderMissing, H264Encoder, jpeg
from cameras.agent.outbox import Outbox
from cameras.agent.sources import EndOfSource, Source, SourceError, SourceLost, open_source
from cameras.agent.spool import StateFile
from cameras.wire import CODEC_H264, CODEC_JPEG, CODECS, FLAG_KEY, FLAG_PREVIEW, FrameHeader

log = logging.getLogger(__name__)

PREVIEW_FPS = 15.0
KEEPER_PERIOD = 0.2
SAVE_PERIOD = 0.5
# An agent that starts again so soon (s) goes on with what it recorded; later, somebody may have ended it meanwhile.
RESUME_WITHIN = 60.0


@dataclass
class CameraSettings:
    """One camera of an agent: sizes in pixels, rates in pictures a second.

    ``codec`` (``jpeg`` or ``h264``) is that of the main pictures; ``None``: what the server says.
    """

    slug: str
    url: str
    token: str
    source: str
    fps: float | None = None
    size: tuple[int, int] | None = None
    codec: str | None = None
    quality: int = 80
    preview_width: int = 320
    preview_quality: int = 70
    spool: Path = Path("spool")
    memory_bytes: int = 64 * 1024 * 1024
    spool_bytes: int = 20 * 1024**3
    # A killed agent loses so much, the keeper's period and one write to the disk: less than a second.
    spool_after: float = 0.6
    headers: dict[str, str] = field(default_factory=dict)


class Capture:
    """Runs a camera: a thread that captures and encodes, and one that keeps what is not stored."""

    def __init__(self, settings: CameraSettings, outbox: Outbox) -> None:
        self.settings = settings
        self.outbox = outbox
        self.problem = "starting"
        self.simulated = settings.source.startswith("sim:")
        self.captured = 0
        self.rate = 0.0
        self.brightness: float | None = None
        self.ended = threading.Event()
        self.failure: SourceError | None = None
        self.codec_problem = ""
        self._codec = self._next_codec = CODEC_JPEG
        self._encoder: H264Encoder | None = None
        self._key_wanted = self._start_wanted = False
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._state = StateFile(settings.spool / "state.json")
        self._last_captured_ns = 0
        self._previewed_ns = 0
        # What the source that is open has said to have dropped.
        self._dropped = 0
        self._rate_since: tuple[float, int] | None = None
        self._take_up()
        if settings.codec is not None:
            self.use_codec(settings.codec)
        self._threads = [
            threading.Thread(target=self._capture, name=f"capture {settings.slug}", daemon=True),
            threading.Thread(target=self._keep, name=f"keep {settings.slug}", daemon=True),
        ]

    def _take_up(self) -> None:
        """Go on where an earlier run ended; if it was killed, what it should have taken since then is a gap."""
        state = self._state.load()
        sequence, captured, fps = (state.get(name) for name in ("sequence", "captured_ns", "fps"))
        recordings = state.get("recordings")
        self.outbox.recover(recordings if isinstance(recordings, dict) else {})
        self._next = 1
        if isinstance(sequence, int) and isinstance(captured, int) and isinstance(fps, int | float):
            self._next = sequence + 1
            if not state.get("clean"):
                # The note is up to half a second old: pictures after it have used numbers too.
                missed = max(0.0, time.time_ns() - captured) / 1e9 * fps
                self._next += max(math.ceil(missed), math.ceil(2 * SAVE_PERIOD * fps))
            recording = state.get("recording")
            if recording or not state.get("clean"):
                self.outbox.mark_gap()
            if isinstance(codec := state.get("codec"), str):
                self.use_codec(codec)
            if isinstance(recording, str) and time.time_ns() - captured < RESUME_WITHIN * 1e9:
                # What was recorded is so still, whether or not the server can be reached to say it.
                self.outbox.record(recording, self._next)

    def start(self) -> None:
        self.settings.spool.mkdir(parents=True, exist_ok=True)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End both threads and put everything that is not stored on the disk."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=10)
        self.outbox.flush_to_disk()
        self._save(clean=True)

    @property
    def next_sequence(self) -> int:
        with self._lock:
            return self._next

    def continue_after(self, sequence: int) -> None:
        """The server has seen this number; an agent that lost its own count must not use it again.

        Such an agent does not know what it lost with the count, so that a number is left out: a gap, and told as one.
        """
        with self._lock:
            if sequence >= self._next:
                self._next = sequence + 2
                self.outbox.mark_gap()

    def use_codec(self, name: str) -> None:
        """Encode the main pictures so from now on; a recording that runs goes on with the codec that it has.

        Of a box that cannot, ``codec_problem`` says why, and it sends JPEG.
        """
        numbers = {name: number for number, name in CODECS.items()}
        encoder = self._encoder
        self.codec_problem = ""
        if numbers.get(name) == CODEC_H264 and encoder is None:
            try:
                encoder = H264Encoder(self.settings.quality)
            except EncoderMissing as error:
                self.codec_problem = str(error)
        elif name not in numbers:
            self.codec_problem = f"the codec {name[:20]!r} is asked for, which this agent does not know"
        with self._lock:
            self._encoder = encoder
            self._next_codec = CODEC_JPEG if self.codec_problem else numbers[name]
            if self.outbox.recording is None:
                self._codec = self._next_codec

    @property
    def codec(self) -> str:
        """The codec of the main pictures now."""
        return CODECS[self._codec]

    def want_key(self) -> None:
        """Somebody cannot go on without a key frame: the next picture becomes one, or the next but a few."""
        self._key_wanted = True

    def record(self, recording: str) -> None:
        """Keep frames from the next one on, which is a key frame."""
        with self._lock:
            if self.outbox.recording != recording:
                self._codec = self._next_codec
                self._start_wanted = True
            self.outbox.record(recording, self._next)
        self._save(clean=False)

    def stop_recording(self, recording: str) -> None:
        with self._lock:
            self.outbox.stop(recording, self._next - 1)
            if self.outbox.recording is None:
                self._codec = self._next_codec

    # ---- threads

    def _capture(self) -> None:
        delay = 0.5
        while not self._stop.is_set():
            source: Source | None = None
            try:
                source = open_source(self.settings.source, fps=self.settings.fps, size=self.settings.size)
                self.simulated = source.simulated
                self._dropped = 0
                while not self._stop.is_set():
                    self._one(source)
                    delay = 0.5
            except EndOfSource:
                self.problem = "the video file has ended"
                break
            except SourceError as error:
                self.problem = str(error)
                self.failure = error
                break
            except (SourceLost, cv2.error) as error:
                if not self.problem:
                    log.warning("%s: %s", self.settings.slug, error)
                self.problem = str(error)
                self.outbox.mark_gap()
                self._stop.wait(delay)
                delay = min(delay * 2, 10.0)
            finally:
                if source is not None:
                    source.close()
        self.ended.set()

    def _one(self, source: Source) -> None:
        taken, captured = source.read(self._next)
        if (dropped := source.dropped) is not None:
            self.outbox.device_dropped(dropped - self._dropped)
            self._dropped = dropped
        main = self._encode(taken, captured)
        small = None
        if self.outbox.connected and captured - self._previewed_ns >= 0.9e9 / PREVIEW_FPS:
            self._previewed_ns = captured
            picture = _seen(taken)
            height, width = picture.shape[:2]
            preview_height = max(2, round(height * self.settings.preview_width / width))
            reduced = cv2.resize(picture, (self.settings.preview_width, preview_height), interpolation=cv2.INTER_AREA)
            self.brightness = float(reduced.mean())
            small = jpeg(reduced, self.settings.preview_quality)
        with self._lock:
            if main.codec != self._codec or (self._start_wanted and not main.is_key):
                # A recording was started while this picture was encoded; it begins with a key frame of its codec.
                main = self._encode(taken, captured, key=True)
            self._start_wanted = False
            sequence = self._next
            self._next += 1
            self._last_captured_ns = captured
            header = FrameHeader(
                sequence, captured, main.width, main.height, main.codec, FLAG_KEY if main.is_key else 0
            )
            preview = None
            if small is not None:
                flags = FLAG_KEY | FLAG_PREVIEW
                preview = FrameHeader(sequence, captured, small.width, small.height, CODEC_JPEG, flags), small.data
            if self.outbox.put(header, main.data, preview):
                self._key_wanted = True
        self.captured += 1
        self.problem = ""
        now = time.monotonic()
        # From the first picture on: opening a camera may take seconds.
        self._rate_since = self._rate_since or (now, self.captured)
        since, count = self._rate_since
        if now - since >= 1.0:
            self.rate = (self.captured - count) / (now - since)
            self._rate_since = (now, self.captured)

    def _encode(self, taken: np.ndarray | Delivered, captured: int, *, key: bool = False) -> Encoded:
        encoder = self._encoder
        if self._codec == CODEC_JPEG or encoder is None:
            if isinstance(taken, Delivered):
                return Encoded(taken.data, CODEC_JPEG, True, taken.width, taken.height)
            return jpeg(taken, self.settings.quality)
        wanted = self._key_wanted and encoder.may_key(captured)
        main = encoder.encode(_seen(taken), captured, key=key or wanted)
        if main.is_key:
            self._key_wanted = False
        return main

    def _keep(self) -> None:
        saved = 0.0
        while not self._stop.wait(KEEPER_PERIOD):
            self.outbox.keep()
            if time.monotonic() - saved > SAVE_PERIOD:
                saved = time.monotonic()
                self._save(clean=False)

    def _save(self, *, clean: bool) -> None:
        with self._lock:
            sequence, captured = self._next - 1, self._last_captured_ns or time.time_ns()
        state: dict[str, object] = {
            "sequence": sequence,
            "captured_ns": captured,
            # The highest that it may be: numbers that a killed agent used must not be used again.
            "fps": max(self.rate, self.settings.fps or 0.0) or 30.0,
            "recording": self.outbox.recording,
            "codec": self.codec,
            "recordings": self.outbox.recordings(),
            "clean": clean,
        }
        try:
            self._state.save(state)
        except OSError as error:
            log.warning("%s: the state cannot be saved: %s", self.settings.slug, error)


def _seen(taken: np.ndarray | Delivered) -> np.ndarray:
    picture = taken.picture if isinstance(taken, Delivered) else taken
    if picture is None:
        raise SourceLost("a picture of the camera cannot be decoded")
    return picture
