"""Stretches of voltage as a page draws them: samples, or the lowest and highest of bins, packed into a few bytes.

``describe``, ``window`` and ``cleaned`` read the recording itself and are called through ``sessions.isolation``; an
``Overview`` are the files that ``ephys.overview`` made of it.

A packed stretch is little-endian: a header of ``HEADER`` (``LABT``, version, bytes of the header, first sample, samples
in a bin, columns, first channel, channels, planes, 1 where -32768 stands for no value), then gain and offset of every
channel in float32, then int16 ``(columns, planes, channels)``. Microvolts are a value times gain plus offset. One plane
holds samples; of two, the first holds the lowest and the second the highest of each bin.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.methods import cleaning, overview
from analysis.methods.errors import InvalidDataError
from analysis.pipelines.base import InputRecording, PipelineError
from analysis.readers.frame import as_input
from analysis.readers.probe import read_positions
from analysis.readers.signal import Signal, open_signal

MAGIC, VERSION = b"LABT", 1
HEADER = struct.Struct("<4sHHQIIHHHH")
DESCRIPTION = "overview.json"
NO_VALUE = -32768
# Of one packed stretch: 2 MB.
MOST_COLUMNS, MOST_CHANNELS, MOST_VALUES = 4096, 512, 524_288
# Numbers that are read of a recording itself at a time: 2.9 s of 384 channels at 30 kHz.
MOST_READ = 2**25
# Numbers that are filtered at a time, a third of a second of processor time: 0.36 s of 384 channels at 30 kHz.
MOST_CLEANED = 2**22


class Window(NamedTuple):
    """Samples ``start`` to ``stop`` in at most so many ``columns``, of so many ``channels`` from ``first`` on."""

    start: int
    stop: int
    columns: int
    first: int
    channels: int


@dataclass(frozen=True)
class Stretch:
    """Columns ``(columns, planes, channels)`` of bins of ``width`` samples from sample ``start`` and channel ``first``.

    ``gain`` and ``offset`` ``(channels,)`` make microvolts of them.
    """

    start: int
    width: int
    first: int
    columns: NDArray[Any]
    gain: NDArray[np.float32]
    offset: NDArray[np.float32]


def facts(recording: InputRecording, signal: Signal) -> dict[str, Any]:
    """Return what a page must know of a recording to draw it: samples, channels, rate (Hz), start (s), places (um)."""
    positions = read_positions(recording, signal.n_channels)
    return {
        "samples": signal.n_samples,
        "channels": signal.n_channels,
        "rate": signal.rate,
        "start": signal.start,
        "positions": None if positions is None else np.round(positions, 2).tolist(),
    }


def cleanable(channels: int, rate: float, labels: Sequence[str] | None) -> dict[str, Any]:
    """Return what ``cleaned`` offers of so many channels at ``rate`` (Hz) with these labels of an inspection."""
    good = channels if labels is None else sum(label == "good" for label in labels)
    return {
        "samples": MOST_CLEANED // channels,
        "high_pass": cleaning.HIGH_PASS if cleaning.passes(rate) else None,
        "reference": good >= cleaning.LEAST_REFERENCED,
    }


def describe(recording: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``facts`` of a recording that is described as JSON."""
    source = as_input(recording)
    return facts(source, open_signal(source))


def window(recording: Mapping[str, Any], asked: Sequence[int]) -> str:
    """Return a stretch read from the recording itself, packed, in base64; ``PipelineError`` when it is too long.

    ``asked`` are the values of a ``Window``.
    """
    seen = _seen(recording, asked)
    signal = seen.signal
    if seen.numbers > MOST_READ:
        raise PipelineError(
            f"without an overview up to {MOST_READ / signal.n_channels / signal.rate:.3g} s are read at a time, not "
            f"{seen.seconds:.3g} s: compute the overview"
        )
    steps = signal.steps()
    samples = _read(signal, steps.read if steps else signal.read, seen.start, seen.stop)
    gain, offset = (steps.gain, steps.offset) if steps else (None, None)
    return _packed(np.ascontiguousarray(samples[:, seen.first : seen.last]), seen, gain=gain, offset=offset)


def cleaned(recording: Mapping[str, Any], asked: Sequence[int], how: Mapping[str, Any]) -> str:
    """Return a stretch as ``window`` does, with what ``how`` says done to its samples before they are put into bins.

    ``high_pass``: above 300 Hz; ``reference``: then the median over the ``good`` channels is taken off, a list of their
    numbers, or all where it is ``None``. ``PipelineError`` when it is too long, or the recording is not fit for it.
    """
    seen = _seen(recording, asked)
    signal, start, stop = seen.signal, seen.start, seen.stop
    if seen.numbers > MOST_CLEANED:
        raise PipelineError(
            f"up to {MOST_CLEANED / signal.n_channels / signal.rate:.3g} s are filtered at a time, not "
            f"{seen.seconds:.3g} s"
        )
    further = cleaning.margin(signal.rate) if how["high_pass"] and cleaning.passes(signal.rate) else 0
    begin, end = max(0, start - further), min(stop + further, signal.n_samples)
    samples = _read(signal, signal.read, begin, end)
    good = np.arange(signal.n_channels) if how["good"] is None else np.asarray(how["good"], int)
    if good.size and good.max() >= signal.n_channels:
        raise PipelineError("the inspection was of other channels")
    channels = np.arange(seen.first, seen.last)
    needed = np.union1d(channels, good) if how["reference"] else channels
    samples = samples[:, needed]
    try:
        if how["high_pass"]:
            samples = cleaning.high_passed(samples, signal.rate)
        samples = samples[start - begin : stop - begin]
        shown = samples[:, np.searchsorted(needed, channels)]
        if how["reference"]:
            shown = cleaning.referenced(shown, samples[:, np.searchsorted(needed, good)])
    except InvalidDataError as error:
        raise PipelineError(str(error)) from error
    return _packed(shown, seen, gain=None, offset=None)


class _Seen(NamedTuple):
    """What was asked for of a recording: samples ``start`` to ``stop`` in bins of ``width``, channels to ``last``."""

    signal: Signal
    width: int
    start: int
    stop: int
    first: int
    last: int

    @property
    def numbers(self) -> int:
        """How many are read: files hold all channels of a sample together."""
        return (self.stop - self.start) * self.signal.n_channels

    @property
    def seconds(self) -> float:
        return (self.stop - self.start) / self.signal.rate


def _seen(recording: Mapping[str, Any], asked: Sequence[int]) -> _Seen:
    signal = open_signal(as_input(recording))
    window = Window(*asked)
    return _Seen(signal, *placed(window, signal.n_samples), *within(window, signal.n_channels))


def _packed(
    samples: NDArray[Any], seen: _Seen, *, gain: NDArray[np.float32] | None, offset: NDArray[np.float32] | None
) -> str:
    columns = samples[:, None] if seen.width == 1 else overview.extremes(samples, seen.width)
    return base64.b64encode(
        pack(stretch(columns, seen.start, seen.width, seen.first, gain=gain, offset=offset))
    ).decode()


def _read(signal: Signal, read: overview.Read, start: int, stop: int) -> NDArray[Any]:
    samples = read(start, stop)
    if samples.shape != (stop - start, signal.n_channels):
        raise PipelineError("the file ended early: it is damaged")
    return samples


def placed(asked: Window, n_samples: int) -> tuple[int, int, int]:
    """Return the width of bins, and where the first begins and the last ends; ``PipelineError`` outside the file."""
    stop = min(asked.stop, n_samples)
    if not 0 <= asked.start < stop:
        raise PipelineError(f"the recording has the samples 0 to {n_samples - 1:,}")
    width = overview.width_for(asked.start, stop, asked.columns)
    return width, asked.start // width * width, min(-(-stop // width) * width, n_samples)


def within(asked: Window, n_channels: int) -> tuple[int, int]:
    """Return the first channel and the one after the last; ``PipelineError`` when there is none of them."""
    if not 0 <= asked.first < n_channels:
        raise PipelineError(f"the recording has the channels 0 to {n_channels - 1}")
    return asked.first, min(asked.first + asked.channels, n_channels)


def stretch(
    columns: NDArray[Any],
    start: int,
    width: int,
    first: int,
    *,
    gain: NDArray[np.float32] | None,
    offset: NDArray[np.float32] | None,
) -> Stretch:
    """Return columns as a stretch; gain and offset are those of all channels, ``None`` for columns in microvolts."""
    n = columns.shape[2]
    if gain is None or offset is None:
        gain, offset = np.ones(first + n, np.float32), np.zeros(first + n, np.float32)
    return Stretch(start, width, first, columns, gain[first : first + n], offset[first : first + n])


def pack(stretch: Stretch) -> bytes:
    """Return a stretch as bytes. Whole numbers are as they were; others are told to 1/65534 of a channel's range."""
    columns, gain, offset = stretch.columns, stretch.gain, stretch.offset
    count, planes, channels = columns.shape
    gaps = columns.dtype.kind == "f"
    if gaps:
        columns, gain, offset = _stepped(columns)
    header = HEADER.pack(
        MAGIC, VERSION, HEADER.size + 8 * channels, stretch.start, stretch.width, count, stretch.first, channels,
        planes, int(gaps),
    )  # fmt: skip
    scale = np.concatenate([gain, offset]).astype("<f4").tobytes()
    return header + scale + np.ascontiguousarray(columns, "<i2").tobytes()


def unpack(packed: bytes) -> Stretch:
    """Return what ``pack`` made; a column of no value is NaN."""
    magic, version, size, start, width, count, first, channels, planes, gaps = HEADER.unpack_from(packed)
    if magic != MAGIC or version != VERSION:
        raise PipelineError("this is no packed stretch of voltage")
    gain, offset = np.frombuffer(packed, "<f4", 2 * channels, size - 8 * channels).reshape(2, channels)
    columns = np.frombuffer(packed, "<i2", count * planes * channels, size).reshape(count, planes, channels)
    if gaps:
        columns = np.where(columns == NO_VALUE, np.nan, columns * gain + offset)
        gain, offset = np.ones_like(gain), np.zeros_like(offset)
    return Stretch(start, width, first, columns, gain, offset)


def _stepped(columns: NDArray[np.floating]) -> tuple[NDArray[np.int16], NDArray[np.float32], NDArray[np.float32]]:
    """Return microvolts as steps between the lowest and the highest of each channel; -32768 where there is no value."""
    known = np.isfinite(columns)
    values = np.where(known, columns, np.nan).astype(np.float64)
    some = known.any(axis=(0, 1))
    low = np.fmin.reduce(values, axis=(0, 1), initial=np.nan)
    high = np.fmax.reduce(values, axis=(0, 1), initial=np.nan)
    low, high = np.where(some, low, 0.0), np.where(some, high, 0.0)
    gain = np.where(high > low, (high - low) / 65534, 1.0).astype(np.float32)
    offset = ((low + high) / 2).astype(np.float32)
    steps = np.rint((values - offset) / gain)
    return np.where(known, np.clip(steps, -32767, 32767), NO_VALUE).astype(np.int16), gain, offset


class Overview:
    """The files of ``ephys.overview`` in a folder. Levels are mapped into memory, not read."""

    def __init__(self, folder: Path) -> None:
        """Read the description; ``PipelineError`` when the files are gone or no overview."""
        try:
            self.facts: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
            self._levels = {int(level["width"]): folder / level["file"] for level in self.facts.pop("levels")}
            self._gain, self._offset = (self.facts.pop(name) for name in ("gain", "offset"))
        except (OSError, ValueError, KeyError) as error:
            raise PipelineError("the files of the overview are gone or damaged") from error

    @property
    def finest(self) -> int:
        """Return the samples in a bin of the finest level."""
        return min(self._levels)

    def window(self, asked: Window) -> bytes | None:
        """Return a stretch, packed; ``None`` when its bins are finer than those of the finest level.

        ``PipelineError`` for samples or channels that the recording does not have.
        """
        width, start, stop = placed(asked, self.facts["samples"])
        first, last = within(asked, self.facts["channels"])
        if width < self.finest:
            return None
        level = max(each for each in self._levels if each <= width)
        try:
            table = np.load(self._levels[level], mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise PipelineError("the files of the overview are gone or damaged") from error
        # Read in rows, then cut: a row of all channels is one run of bytes.
        rows = np.ascontiguousarray(table[start // level : -(-stop // level), :, first:last])
        made = overview.joined(rows, width // level)
        gain, offset = (None if each is None else np.asarray(each, np.float32) for each in (self._gain, self._offset))
        return pack(stretch(made, start, width, first, gain=gain, offset=offset))
