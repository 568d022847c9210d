"""What is in a recording: streams of samples, units, events, tracks and a picture, each read when asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.pipelines.base import PipelineError

MICROVOLTS = {
    "V": 1e6, "mV": 1e3, "uV": 1.0, "µV": 1.0, "μV": 1.0, "nV": 1e-3, "volts": 1e6, "volt": 1e6, "Volts": 1e6,
    "microvolts": 1.0, "millivolts": 1e3,
}  # fmt: skip
# A page needs to name what is there, not a thousand lines of it.
NAMED = 32
CHANNELS_NAMED = 4


@dataclass(frozen=True)
class Segment:
    """Samples without a gap: the first one's time (s) and how many."""

    start: float
    n_samples: int


@dataclass(frozen=True)
class Stream:
    """Samples of channels at one rate (Hz), in one segment or several with gaps between them.

    ``stored(segment, first, last)`` returns them as the file has them, ``(last - first, n_channels)``. ``gain`` and
    ``offset`` ``(n_channels,)`` turn them into ``units``; ``gain`` is ``None`` where the file does not say it.
    """

    name: str
    channels: tuple[str, ...]
    rate: float
    segments: tuple[Segment, ...]
    units: tuple[str, ...]
    stored: Callable[[int, int, int], NDArray]
    gain: NDArray[np.floating] | None = None
    offset: NDArray[np.floating] | None = None

    @property
    def n_samples(self) -> int:
        """Return the samples of all segments."""
        return sum(segment.n_samples for segment in self.segments)

    @property
    def duration(self) -> float:
        """Return the sampled time in seconds, gaps not counted."""
        return self.n_samples / self.rate

    def read(self, first: int, last: int, *, segment: int = 0) -> NDArray[np.float32]:
        """Return samples ``(last - first, n_channels)`` float32 in ``units``; ``PipelineError`` without a gain."""
        if self.gain is None:
            raise PipelineError(
                f"The file does not say the gain of {self.name}: set the parameter 'gain_to_uV' of the recording."
            )
        if not 0 <= segment < len(self.segments):
            raise PipelineError(f"{self.name} has {len(self.segments)} segment(s); there is none numbered {segment}.")
        last = min(last, self.segments[segment].n_samples)
        piece = np.asarray(self.stored(segment, first, last)).astype(np.float32)
        piece *= self.gain.astype(np.float32)
        if self.offset is not None:
            piece += self.offset.astype(np.float32)
        return piece

    def facts(self) -> dict[str, Any]:
        """Return what a page says of it."""
        told: dict[str, Any] = {
            "name": self.name,
            "channels": len(self.channels),
            "names": list(self.channels[:CHANNELS_NAMED]),
            "rate": self.rate,
            "samples": self.n_samples,
            "duration": self.duration,
            "unit": self.units[0] if len(set(self.units)) == 1 else "several",
        }
        if len(self.segments) > 1:
            told["segments"] = len(self.segments)
        if self.gain is not None:
            gains = np.unique(self.gain)
            told["gain"] = [float(gain) for gain in gains[:8]]
        return told


@dataclass(frozen=True)
class Units:
    """Spike trains: ``read()`` returns the times (s) of every unit, in the order of ``labels``.

    ``counts`` are the spikes of every unit, where they are known without reading all.
    """

    labels: tuple[str, ...]
    read: Callable[[], Sequence[NDArray[np.floating]]]
    counts: tuple[int, ...] | None = None

    def facts(self) -> dict[str, Any]:
        """Return how many units and, where known, spikes."""
        told: dict[str, Any] = {"units": len(self.labels)}
        if self.counts is not None:
            told["spikes"] = int(sum(self.counts))
        return told


@dataclass(frozen=True)
class Events:
    """Something that happened at times: ``read()`` returns times (s) and a label or value for each."""

    name: str
    count: int
    read: Callable[[], tuple[NDArray[np.floating], tuple[str, ...]]]


@dataclass(frozen=True)
class Tracks:
    """Points of bodies in pictures.

    ``read(first, last)`` returns ``(xy, score)`` of those frames: ``(n, animals, points, 2)`` in ``unit`` and
    ``(n, animals, points)``, NaN where lost or not told. ``frames`` are the numbers of the frames, 0 for the first of
    the video; ``rate`` (Hz) is ``None`` where the file does not say it; ``times`` (s) of the frames where it does.
    """

    animals: tuple[str, ...]
    points: tuple[str, ...]
    frames: NDArray[np.int64]
    read: Callable[[int, int], tuple[NDArray[np.floating], NDArray[np.floating]]]
    unit: str = "px"
    rate: float | None = None
    times: Callable[[], NDArray[np.floating]] | None = None

    def facts(self) -> dict[str, Any]:
        """Return whom and what it follows, and how long."""
        return {
            "animals": list(self.animals[:NAMED]),
            "points": list(self.points[:NAMED]),
            "frames": int(self.frames.size),
            "unit": self.unit,
        }


@dataclass(frozen=True)
class Probe:
    """A probe: ``positions`` (um) ``(n_channels, 2)`` across and along it, in the order of the stream's channels."""

    name: str
    positions: NDArray[np.floating]
    shanks: int = 1
    serial: str = ""

    def facts(self) -> dict[str, Any]:
        """Return name, contacts and shanks."""
        told: dict[str, Any] = {"name": self.name, "contacts": len(self.positions), "shanks": self.shanks}
        if self.serial:
            told["serial"] = self.serial
        return told


@dataclass(frozen=True)
class Contents:
    """All that a recording holds. ``start`` is the time as the file writes it; ``files`` belong to the recording."""

    format: str
    files: tuple[Path, ...]
    streams: tuple[Stream, ...] = ()
    units: Units | None = None
    events: tuple[Events, ...] = ()
    tracks: Tracks | None = None
    probe: Probe | None = None
    start: str = ""
    notes: tuple[str, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """Return as JSON what a page says of the recording: channels, rate (Hz), duration (s), probe, start ..."""
        told: dict[str, Any] = {}
        if self.streams:
            main = max(self.streams, key=lambda stream: len(stream.channels) * stream.rate)
            told |= {"channels": len(main.channels), "rate": main.rate}
            if main.n_samples:
                told |= {"duration": main.duration, "samples": main.n_samples}
            told["streams"] = [stream.facts() for stream in self.streams[:NAMED]]
            if any(stream.gain is None for stream in self.streams):
                told["asked"] = ["gain_to_uV"]
        if self.units is not None:
            told |= self.units.facts()
        if self.events:
            told["events"] = {events.name: events.count for events in self.events[:NAMED]}
        if self.tracks is not None:
            told["tracks"] = self.tracks.facts()
            if self.tracks.rate:
                told |= {"rate": self.tracks.rate, "duration": self.tracks.frames.size / self.tracks.rate}
        if self.probe is not None:
            told["probe"] = self.probe.facts()
        if self.start:
            told["start"] = self.start
        if self.notes:
            told["notes"] = list(self.notes)
        return told | self.more


def table_stream(
    name: str,
    table: NDArray | Callable[[], NDArray],
    shape: tuple[int, int],
    rate: float,
    *,
    channels: Sequence[str] = (),
    units: str | Sequence[str] = "",
    gain: float | NDArray | None = None,
    offset: float | NDArray | None = None,
    start: float = 0.0,
) -> Stream:
    """Return a stream over one table ``(n_samples, n_channels)``, or over what a function returns of it when asked."""
    n_samples, n_channels = shape

    def stored(_segment: int, first: int, last: int) -> NDArray:
        whole = table() if callable(table) else table
        return whole[first:last].reshape(-1, n_channels)

    def per_channel(value: float | NDArray | None) -> NDArray | None:
        return None if value is None else np.broadcast_to(np.asarray(value, float), (n_channels,))

    names = tuple(channels) or tuple(str(number) for number in range(n_channels))
    told = (units,) * n_channels if isinstance(units, str) else tuple(units)
    return Stream(
        name, names, float(rate), (Segment(start, n_samples),), told, stored, per_channel(gain), per_channel(offset)
    )
