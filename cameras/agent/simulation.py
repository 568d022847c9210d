"""The picture that a camera above a box would take of an animal whose path is known.

A trajectory file (``.npz``) holds ``time`` (s), ``x`` and ``y`` (cm), optionally ``heading`` (radians, 0 along x,
towards y), ``arena`` (x_min, y_min, x_max, y_max in cm), ``shape`` ("rectangle", "circle" or "track") and ``body_cm``
(nose to rump). Which moment is shown depends on the clock alone, so the truth of any recorded frame can be looked up
from its capture time: see ``Trajectory.moment``. The y axis points down in the picture, as in the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cameras.agent.strip import draw_number, strip_height

# Sub-pixel positions for OpenCV's drawing functions: fixed point with 4 fractional bits.
_SHIFT = 4
_ONE = 1 << _SHIFT
_NOISE_FIELDS = 16
_TAIL_SECONDS = 0.55
_TAIL_POINTS = 9


@dataclass(frozen=True)
class Trajectory:
    """A path, one value a sample: ``time`` (s, rising from 0), ``x``, ``y`` (cm), ``heading`` (rad); arena in cm."""

    time: np.ndarray
    x: np.ndarray
    y: np.ndarray
    heading: np.ndarray
    arena: tuple[float, float, float, float]
    shape: str = "rectangle"
    body_cm: float = 16.0
    loop: str = "bounce"
    phase: float = 0.0
    start: float = 0.0

    @property
    def duration(self) -> float:
        return float(self.time[-1])

    def moment(self, unix_seconds: float) -> float:
        """Return the time on the path (s) that is shown at a time of the clock (s since the Unix epoch).

        ``bounce`` walks the path there and back, so that the animal never jumps; ``repeat`` begins anew; ``once`` stays
        at the end.
        """
        elapsed = unix_seconds - self.start + self.phase
        if self.loop == "once":
            return float(np.clip(elapsed, 0.0, self.duration))
        if self.loop == "repeat":
            return elapsed % self.duration
        folded = elapsed % (2 * self.duration)
        return folded if folded <= self.duration else 2 * self.duration - folded

    def at(self, moment: float) -> tuple[float, float, float]:
        """Return x, y (cm) and heading (rad) at a time on the path (s)."""
        x = float(np.interp(moment, self.time, self.x))
        y = float(np.interp(moment, self.time, self.y))
        index = min(int(np.searchsorted(self.time, moment)), len(self.time) - 1)
        before = max(index - 1, 0)
        turn = np.angle(np.exp(1j * (self.heading[index] - self.heading[before])))
        span = self.time[index] - self.time[before]
        part = (moment - self.time[before]) / span if span > 0 else 0.0
        return x, y, float(self.heading[before] + part * turn)


def load_trajectory(path: Path, *, loop: str = "bounce", phase: float = 0.0, start: float = 0.0) -> Trajectory:
    """Read a trajectory file; ValueError names the array that is missing or wrong."""
    with np.load(path, allow_pickle=False) as data:
        missing = [name for name in ("time", "x", "y") if name not in data]
        if missing:
            raise ValueError(f"{path} has no array {missing[0]!r}; a trajectory has time (s), x and y (cm)")
        time, x, y = (np.asarray(data[name], float).ravel() for name in ("time", "x", "y"))
        if not len(time) == len(x) == len(y) or len(time) < 2:
            raise ValueError(f"{path}: time, x and y have {len(time)}, {len(x)} and {len(y)} values")
        if not (
            np.isfinite(time).all() and np.isfinite(x).all() and np.isfinite(y).all() and (np.diff(time) > 0).all()
        ):
            raise ValueError(f"{path}: time must rise, and time, x and y must be finite")
        heading = np.asarray(data["heading"], float).ravel() if "heading" in data else _heading(x, y)
        if "arena" in data:
            arena = tuple(float(value) for value in np.asarray(data["arena"]).ravel())
        else:
            arena = (x.min() - 5, y.min() - 5, x.max() + 5, y.max() + 5)
        if len(arena) != 4 or len(heading) != len(x):
            raise ValueError(f"{path}: arena needs 4 values (cm), heading one a sample")
        shape = str(data["shape"]) if "shape" in data else "rectangle"
        body = float(data["body_cm"]) if "body_cm" in data else 16.0
    return Trajectory(time - time[0], x, y, heading, arena, shape, body, loop, phase, start)


def wandering(seed: int = 0, *, phase: float = 0.0, start: float = 0.0) -> Trajectory:
    """Return a smooth path of two minutes in a round arena of 80 cm, for when no trajectory file is given."""
    rng = np.random.default_rng(seed)
    time = np.arange(0, 120, 0.02)
    radius = np.zeros_like(time)
    angle = np.zeros_like(time)
    for period in (7.0, 11.0, 17.0, 29.0):
        first, second = rng.uniform(0, 2 * np.pi, 2)
        radius += np.sin(2 * np.pi * time / period + first)
        angle += 1.1 * np.sin(2 * np.pi * time / (1.3 * period) + second)
    distance = 28 * np.tanh(0.6 * np.abs(radius) + 0.15)
    x, y = distance * np.cos(angle * 1.7), distance * np.sin(angle * 1.7)
    return Trajectory(time, x, y, _heading(x, y), (-40, -40, 40, 40), "circle", 12.0, "bounce", phase, start)


def _heading(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the direction of movement; while the animal stands it keeps the last one."""
    dx, dy = np.gradient(x), np.gradient(y)
    speed = np.hypot(dx, dy)
    moving = speed > 0.02 * max(float(speed.max()), 1e-9)
    last = np.maximum.accumulate(np.where(moving, np.arange(len(x)), 0))
    angle = np.unwrap(np.arctan2(dy, dx)[last])
    kernel = np.ones(9) / 9
    padded = np.pad(angle, 4, mode="edge")
    return np.convolve(padded, kernel, mode="valid")


class Camera:
    """Draws grey pictures (height x width, uint8) of one trajectory; ``width`` and ``height`` in pixels."""

    def __init__(
        self, trajectory: Trajectory, width: int, height: int, *, seed: int = 0, label: str = "SIMULATED"
    ) -> None:
        self.trajectory = trajectory
        self.width = width
        self.height = height
        self.label = label
        x0, y0, x1, y1 = trajectory.arena
        self.pixels_per_cm = min(width * 0.94 / (x1 - x0), height * 0.90 / (y1 - y0))
        self._origin = (
            width / 2 - self.pixels_per_cm * (x0 + x1) / 2,
            height / 2 + height * 0.01 - self.pixels_per_cm * (y0 + y1) / 2,
        )
        rng = np.random.default_rng(seed)
        self._background = self._draw_background(rng)
        # Drawing noise anew for each picture would cost more than everything else; a pool does not show.
        fields = [rng.normal(0, 2.2, (height, width)).round().clip(-9, 9) for _ in range(_NOISE_FIELDS)]
        self._noise = [(f.clip(0, None).astype(np.uint8), (-f).clip(0, None).astype(np.uint8)) for f in fields]

    def to_pixels(self, x: float, y: float) -> tuple[float, float]:
        """Return the picture coordinates (px) of a place in the arena (cm)."""
        return self._origin[0] + self.pixels_per_cm * x, self._origin[1] + self.pixels_per_cm * y

    def picture(self, captured_ns: int, number: int) -> np.ndarray:
        """Return what the camera sees at a time of the clock, with the number in its strip."""
        picture = self._background.copy()
        moment = self.trajectory.moment(captured_ns / 1e9)
        self._draw_animal(picture, moment)
        brighter, darker = self._noise[number % _NOISE_FIELDS]
        cv2.subtract(cv2.add(picture, brighter), darker, picture)
        seconds = captured_ns // 1_000_000_000
        clock = f"{seconds // 3600 % 24:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        clock += f".{captured_ns // 1_000_000 % 1000:03d}"
        scale = self.height / 480 * 0.42
        low = self.height - max(4, self.height // 70)
        # In the middle: pages write the camera's name and the age of the picture into the corners.
        text = f"{self.label}  {number}  {clock}"
        left = (self.width - cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)[0][0]) // 2
        cv2.putText(picture, text, (left, low), cv2.FONT_HERSHEY_SIMPLEX, scale, 190, 1, cv2.LINE_AA)
        draw_number(picture, number)
        return picture

    def _draw_background(self, rng: np.random.Generator) -> np.ndarray:
        picture = np.full((self.height, self.width), 46, np.uint8)
        x0, y0, x1, y1 = self.trajectory.arena
        left, top = self.to_pixels(x0, y0)
        right, bottom = self.to_pixels(x1, y1)
        floor = np.zeros_like(picture)
        if self.trajectory.shape == "circle":
            middle = (round((left + right) / 2), round((top + bottom) / 2))
            axes = (round((right - left) / 2), round((bottom - top) / 2))
            cv2.ellipse(picture, middle, (axes[0] + 7, axes[1] + 7), 0, 0, 360, 74, -1, cv2.LINE_AA)
            cv2.ellipse(floor, middle, axes, 0, 0, 360, 255, -1, cv2.LINE_AA)
        else:
            corner, other = (round(left), round(top)), (round(right), round(bottom))
            cv2.rectangle(picture, (corner[0] - 6, corner[1] - 6), (other[0] + 6, other[1] + 6), 74, -1, cv2.LINE_AA)
            cv2.rectangle(floor, corner, other, 255, -1, cv2.LINE_AA)
        texture = cv2.GaussianBlur(rng.normal(0, 26, picture.shape).astype(np.float32), (0, 0), 2.5) + 1.0
        grid_y, grid_x = np.mgrid[0 : self.height, 0 : self.width].astype(np.float32)
        lamp = ((grid_x - 0.46 * self.width) / self.width) ** 2 + ((grid_y - 0.44 * self.height) / self.height) ** 2
        light = 178 - 95 * lamp + texture
        share = floor.astype(np.float32) / 255
        mixed = picture * (1 - share) + light * share
        return cv2.GaussianBlur(mixed, (0, 0), 0.8).clip(0, 255).astype(np.uint8)

    def _draw_animal(self, picture: np.ndarray, moment: float) -> None:
        trajectory = self.trajectory
        x, y, heading = trajectory.at(moment)
        length = trajectory.body_cm * self.pixels_per_cm
        center = np.array(self.to_pixels(x, y))
        reach = int(length * 1.9) + 8
        x0, y0 = (int(center[0]) - reach, int(center[1]) - reach)
        x0, y0 = max(x0, 0), max(y0, strip_height(self.height))
        x1, y1 = min(int(center[0]) + reach, self.width), min(int(center[1]) + reach, self.height)
        if x1 - x0 < 8 or y1 - y0 < 8:
            return
        part = picture[y0:y1, x0:x1]
        ahead = np.array([np.cos(heading), np.sin(heading)])
        aside = np.array([-ahead[1], ahead[0]])
        at = center - (x0, y0)
        shadow = np.zeros_like(part)
        _ellipse(shadow, at + length * 0.06, (length * 0.46, length * 0.22), heading, 46)
        cv2.subtract(part, cv2.GaussianBlur(shadow, (0, 0), max(1.0, length * 0.06)), part)
        self._draw_tail(part, at - ahead * length * 0.40, -ahead, moment, length)
        gait = np.sin(2 * np.pi * 3.1 * moment)
        body, head = 38, 44
        _ellipse(part, at - ahead * length * 0.10, (length * 0.36, length * 0.195), heading + 0.05 * gait, body)
        _ellipse(part, at - ahead * length * 0.16, (length * 0.24, length * 0.205), heading, body)
        _ellipse(part, at + ahead * length * 0.30, (length * 0.20, length * 0.115), heading - 0.10 * gait, head)
        _ellipse(part, at + ahead * length * 0.46, (length * 0.07, length * 0.045), heading - 0.10 * gait, 70)
        for side in (-1, 1):
            ear = at + ahead * length * 0.24 + aside * side * length * 0.10
            _ellipse(part, ear, (length * 0.055, length * 0.045), heading, 84)
        _ellipse(part, at - ahead * length * 0.12 - aside * length * 0.05, (length * 0.20, length * 0.06), heading, 56)
        cv2.GaussianBlur(part, (3, 3), 0, part)

    def _draw_tail(self, part: np.ndarray, root: np.ndarray, back: np.ndarray, moment: float, length: float) -> None:
        """Draw the tail: it trails in the direction from which the animal came, and swings a little."""
        points = [root]
        for index in range(1, _TAIL_POINTS):
            earlier = self.trajectory.at(max(0.0, moment - _TAIL_SECONDS * index / _TAIL_POINTS))[2]
            drag = -np.array([np.cos(earlier), np.sin(earlier)])
            sway = 0.35 * np.sin(2 * np.pi * 0.9 * moment - index * 0.8) * np.array([-drag[1], drag[0]])
            step = 0.35 * back + 0.65 * drag + sway * index / _TAIL_POINTS
            points.append(points[-1] + step / max(np.linalg.norm(step), 1e-6) * length * 0.095)
        line = (np.array(points) * _ONE).round().astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(
            part, [line[: _TAIL_POINTS // 2 + 1]], False, 74, max(2, round(length * 0.035)), cv2.LINE_AA, _SHIFT
        )
        cv2.polylines(part, [line], False, 82, max(1, round(length * 0.02)), cv2.LINE_AA, _SHIFT)


def _ellipse(picture: np.ndarray, center: np.ndarray, axes: tuple[float, float], angle: float, shade: int) -> None:
    middle = (round(float(center[0]) * _ONE), round(float(center[1]) * _ONE))
    size = (max(_ONE, round(axes[0] * _ONE)), max(_ONE, round(axes[1] * _ONE)))
    cv2.ellipse(picture, middle, size, float(np.degrees(angle)), 0, 360, shade, -1, cv2.LINE_AA, _SHIFT)
