"""Where pictures come from: a simulated animal, a video file, a USB camera, a stream. All give one interface.

``open_source`` takes what stands in the configuration:

- ``sim:`` or ``sim:PATH.npz?phase=S&loop=bounce|repeat|once&start=UNIX_S&seed=N&drawn=N`` (``drawn``: so many pictures
  drawn beforehand are shown in a loop, each with its own number, for when the cost of drawing must not count)
- ``file:PATH?loop=1`` (or a path that exists)
- ``usb:0`` (or a bare number)
- ``rtsp://...``, ``http://...``
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from pathlib import Path
from typing import Protocol
from urllib.parse import parse_qs

import cv2
import numpy as np

from cameras.agent.delivered import Delivered, delivered
from cameras.agent.simulation import Camera, load_trajectory, wandering
from cameras.agent.strip import draw_number


class SourceError(Exception):
    """The source cannot be used as it is written in the configuration."""


class SourceLost(Exception):
    """The source gives no picture now; opening it again may help."""


class EndOfSource(Exception):
    """A file that is played once has ended."""


class Source(Protocol):
    """Gives pictures as fast as they come.

    ``dropped`` counts the pictures that the device took, or should have taken, and that never came here, since it was
    opened; ``None`` where the device does not tell.
    """

    simulated: bool

    @property
    def dropped(self) -> int | None: ...

    def read(self, number: int) -> tuple[np.ndarray | Delivered, int]:
        """Wait for the next picture; return it and its capture time (ns since the Unix epoch).

        It is an array (uint8, grey or BGR), or what the camera itself encoded.
        """
        ...

    def close(self) -> None: ...


class DeviceClock:
    """Counts the pictures that were lost between a device and this program, from the device's own times of the others.

    A hole of whole periods is counted when the next interval is as long as usual again: a camera that exposes longer in
    the dark takes fewer pictures, and drops none.
    """

    ENOUGH = 15

    def __init__(self) -> None:
        self.dropped = 0
        self._last: float | None = None
        self._intervals: deque[float] = deque(maxlen=61)
        # Pictures missing before the last one, if they are, and the interval that was usual then (ms).
        self._hole, self._period = 0, 0.0

    def add(self, taken: float) -> None:
        """Take the device's time of the next picture (ms)."""
        last, self._last = self._last, taken
        if last is None or taken <= last:
            # A device that tells no time, or began to count anew.
            self._intervals.clear()
            self._hole = 0
            return
        interval = taken - last
        if self._hole and round(interval / self._period) <= 1:
            self.dropped += self._hole
        self._hole = 0
        if len(self._intervals) >= self.ENOUGH:
            self._period = statistics.median(self._intervals)
            self._hole = max(0, round(interval / self._period) - 1)
        self._intervals.append(interval)


class Pace:
    """Waits so that pictures come at a rate; after a stall it goes on from now instead of hurrying, and counts."""

    def __init__(self, fps: float) -> None:
        self.period = 1.0 / fps
        self.missed = 0
        self._due = time.monotonic()

    def wait(self) -> None:
        self._due += self.period
        left = self._due - time.monotonic()
        if left > 0:
            time.sleep(left)
        elif left < -2 * self.period:
            self.missed += int(-left / self.period)
            self._due = time.monotonic()


class SimulatedSource:
    """A simulated animal; the strip of each picture carries its sequence number."""

    simulated = True

    def __init__(self, camera: Camera, fps: float, drawn: int = 0) -> None:
        self._camera = camera
        start = time.time_ns()
        self._drawn = [camera.picture(start + round(n / fps * 1e9), n) for n in range(drawn)]
        self._pace = Pace(fps)

    def read(self, number: int) -> tuple[np.ndarray, int]:
        self._pace.wait()
        captured = time.time_ns()
        if not self._drawn:
            return self._camera.picture(captured, number), captured
        picture = self._drawn[number % len(self._drawn)].copy()
        draw_number(picture, number)
        return picture, captured

    @property
    def dropped(self) -> int:
        """How many pictures should have been taken while this program was held up."""
        return self._pace.missed

    def close(self) -> None:
        """Nothing is held."""


class FileSource:
    """A video file at its own or a given rate, in a loop or once."""

    simulated = False
    # A file waits; it drops nothing and tells nothing.
    dropped = None

    def __init__(self, path: Path, fps: float | None, size: tuple[int, int] | None, *, loop: bool) -> None:
        if not path.is_file():
            raise SourceError(f"There is no video file {path}.")
        self._path = path
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise SourceError(f"{path} is no video that OpenCV can read.")
        own = self._capture.get(cv2.CAP_PROP_FPS)
        self._pace = Pace(fps or (own if own > 0 else 30.0))
        self._size = size
        self._loop = loop

    def read(self, number: int) -> tuple[np.ndarray, int]:
        ok, picture = self._capture.read()
        if not ok:
            if not self._loop:
                raise EndOfSource
            self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
            ok, picture = self._capture.read()
            if not ok:
                raise SourceLost(f"{self._path} has no picture that OpenCV can decode")
        self._pace.wait()
        return _sized(picture, self._size), time.time_ns()

    def close(self) -> None:
        self._capture.release()


class DeviceSource:
    """A USB camera or a network stream; the time is taken when the picture has arrived here.

    A stream of JPEG pictures in the size that is wanted is passed on as it comes.
    """

    simulated = False

    def __init__(self, address: str | int, fps: float | None, size: tuple[int, int] | None) -> None:
        self._name = f"camera {address}" if isinstance(address, int) else address
        self._size = size
        self._device: DeviceClock | None = None
        self._encoded = False
        if isinstance(address, int):
            self._capture = cv2.VideoCapture(address)
            self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
            if size:
                self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
                self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])
            if fps:
                self._capture.set(cv2.CAP_PROP_FPS, fps)
        else:
            limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 5000, cv2.CAP_PROP_READ_TIMEOUT_MSEC, 5000]
            self._capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, limits)
            if int(self._capture.get(cv2.CAP_PROP_FOURCC)) == cv2.VideoWriter.fourcc(*"MJPG"):
                # Opened anew, since what is read is decoded or not from the start; some cameras serve one at a time.
                self._capture.release()
                self._capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, [*limits, cv2.CAP_PROP_FORMAT, -1])
                self._encoded = True
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        if not self._capture.isOpened():
            raise SourceLost(f"{self._name} cannot be opened")
        if self._capture.getBackendName() == "V4L2":
            # The driver notes when it took each picture; other backends give no time, or that of the stream.
            self._device = DeviceClock()

    @property
    def dropped(self) -> int | None:
        """How many pictures the driver took and nobody fetched in time; ``None`` where it gives no times."""
        return None if self._device is None else self._device.dropped

    def read(self, number: int) -> tuple[np.ndarray | Delivered, int]:
        if not self._capture.grab():
            raise SourceLost(f"{self._name} gives no picture")
        captured = time.time_ns()
        if self._device is not None:
            self._device.add(self._capture.get(cv2.CAP_PROP_POS_MSEC))
        ok, picture = self._capture.retrieve()
        if ok and self._encoded:
            found = delivered(picture.tobytes())
            if found is not None and self._size in {None, (found.width, found.height)}:
                return found, captured
            decoded = cv2.imdecode(picture, cv2.IMREAD_COLOR)
        else:
            decoded = picture if ok else None
        if decoded is None:
            raise SourceLost(f"{self._name} gave a picture that cannot be decoded")
        return _sized(decoded, self._size), captured

    def close(self) -> None:
        self._capture.release()


def open_source(spec: str, *, fps: float | None, size: tuple[int, int] | None) -> Source:
    """Open what a configuration names; SourceError when it never can work, SourceLost when it may later."""
    kind, _, rest = spec.partition(":")
    if kind == "sim":
        return _simulated(rest, fps or 30.0, size or (640, 480))
    if kind == "file" or Path(spec).is_file():
        path, _, query = (rest if kind == "file" else spec).partition("?")
        options = _options(spec, query, {"loop"})
        return FileSource(Path(path), fps, size, loop=options.get("loop", "1") not in {"0", "no", "false"})
    if kind == "usb" or spec.isdigit():
        index = rest if kind == "usb" else spec
        if not index.isdigit():
            raise SourceError(f"{spec!r}: a USB camera is a number, such as usb:0.")
        return DeviceSource(int(index), fps, size)
    if kind in {"rtsp", "rtsps", "http", "https"}:
        return DeviceSource(spec, fps, size)
    raise SourceError(f"{spec!r} is no source; write sim:, file:PATH, usb:0, or an rtsp:// or http:// address.")


def _simulated(rest: str, fps: float, size: tuple[int, int]) -> SimulatedSource:
    path, _, query = rest.partition("?")
    options = _options("sim:" + rest, query, {"phase", "loop", "start", "seed", "drawn"})
    try:
        phase, start = float(options.get("phase", 0)), float(options.get("start", 0))
        seed, drawn = int(options.get("seed", 0)), int(options.get("drawn", 0))
        loop = options.get("loop", "bounce")
        if loop not in {"bounce", "repeat", "once"}:
            raise ValueError(f"loop is {loop!r}; known are bounce, repeat and once")
        if path:
            trajectory = load_trajectory(Path(path), loop=loop, phase=phase, start=start)
        else:
            trajectory = wandering(seed, phase=phase, start=start)
    except (OSError, ValueError) as error:
        raise SourceError(f"sim:{rest}: {error}") from error
    return SimulatedSource(Camera(trajectory, *size, seed=seed), fps, drawn)


def _options(spec: str, query: str, known: set[str]) -> dict[str, str]:
    options = {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
    if unknown := set(options) - known:
        raise SourceError(f"{spec!r}: unknown option {min(unknown)!r}; known are {', '.join(sorted(known))}.")
    return options


def _sized(picture: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """Scale a picture to (width, height) when it comes in another size."""
    if size is None or (picture.shape[1], picture.shape[0]) == size:
        return picture
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
