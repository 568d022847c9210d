"""Sampled voltage, wide-band or LFP, read piece by piece in microvolts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis import marks
from analysis.pipelines.base import InputRecording, PipelineError
from analysis.readers import nwb, sources
from analysis.readers.contents import MICROVOLTS, Stream

FORMATS = ("raw-binary", "npy", "lfp-npz", "nwb")
_DTYPES = ("int16", "uint16", "int32", "float32", "float64")


@dataclass(frozen=True)
class Steps:
    """Samples as a converter gave them: ``read(start, stop)`` returns int16 ``(stop - start, n_channels)``.

    Microvolts are these times ``gain`` plus ``offset``, both ``(n_channels,)``.
    """

    read: Callable[[int, int], NDArray[np.int16]]
    gain: NDArray[np.float32]
    offset: NDArray[np.float32]


def _no_steps() -> None:
    return None


@dataclass(frozen=True)
class Signal:
    """``read(start, stop)`` returns samples ``(stop - start, n_channels)`` float32 in microvolts.

    ``start`` (s) is the first one's time. ``steps()`` returns the samples as whole numbers where the file holds 8 or
    16 bits of each, else ``None``.
    """

    n_samples: int
    n_channels: int
    rate: float
    read: Callable[[int, int], NDArray[np.float32]]
    start: float = 0.0
    steps: Callable[[], Steps | None] = _no_steps

    @property
    def duration(self) -> float:
        """Return the length in seconds."""
        return self.n_samples / self.rate


def open_signal(recording: InputRecording) -> Signal:
    """Open voltage for reading; ``PipelineError`` when the file is not sound or does not say what its numbers mean.

    Formats: ``raw-binary`` (samples of all channels one after another; parameters ``channels``, ``rate`` in Hz,
    ``dtype``, ``gain_to_uV``, and ``offset_to_uV``, ``header_bytes``, both 0 unless given), ``npy`` (``(n,)`` or
    ``(n, channels)``; ``rate`` in Hz and ``unit`` V, mV or uV, or ``gain_to_uV``), ``lfp-npz`` (``lfp`` like a
    ``npy``, ``rate`` and ``unit`` in the file), ``nwb`` (an ElectricalSeries; parameter ``path`` when there are
    several). Every other format of ``open_recording`` that holds samples, with the parameters ``stream`` and
    ``segment`` (from 0) where there are several, and ``gain_to_uV`` where the file does not say it.
    """
    if recording.format not in FORMATS:
        return _of_stream(recording)
    path = sources.data_file(recording)
    if recording.format == "raw-binary":
        signal = _binary(recording, path)
    elif recording.format == "npy":
        signal = _npy(recording, path)
    elif recording.format == "lfp-npz":
        signal = _npz(recording, path)
    else:
        samples, channels, rate, read, start = nwb.open_voltage(recording, path)
        signal = Signal(samples, channels, rate, read, start)
    if signal.n_samples < 1 or signal.n_channels < 1:
        raise PipelineError(f"{path.name} holds no samples.")
    offset = sources.time_offset(recording)
    return replace(signal, start=signal.start + offset)


def _of_stream(recording: InputRecording) -> Signal:
    from analysis.readers.opening import open_recording

    if recording.format not in marks.FORMATS:
        raise sources.wrong_format(recording, "voltage", (*FORMATS, *marks.FORMATS))
    streams = {stream.name: stream for stream in open_recording(recording).streams}
    wanted = recording.parameters.get("stream")
    if not streams:
        raise sources.wrong_format(recording, "voltage", FORMATS)
    if wanted is None:
        # Digital words beside voltages are not what is looked for.
        volts = [stream for stream in streams.values() if stream.gain is None or stream.units[0] in MICROVOLTS]
        if len(volts) != 1:
            raise PipelineError(
                f"There are {len(volts)} streams of voltage; set the parameter 'stream' of the recording to one of "
                f"{', '.join(streams)}."
            )
        stream = volts[0]
    elif wanted in streams:
        stream = streams[wanted]
    else:
        raise PipelineError(f"There is no stream {wanted!r}; there is {', '.join(streams)}.")
    segment = recording.parameters.get("segment", 0 if len(stream.segments) == 1 else None)
    if not isinstance(segment, int) or isinstance(segment, bool) or not 0 <= segment < len(stream.segments):
        raise PipelineError(
            f"{stream.name} has {len(stream.segments)} segments with gaps between them: set the parameter 'segment' of "
            f"the recording to one of 0 to {len(stream.segments) - 1}."
        )
    piece = stream.segments[segment]
    if piece.n_samples < 1:
        raise PipelineError(f"{stream.name} holds no samples.")
    gain, offset = _microvolts(recording, stream)

    def read(start: int, stop: int) -> NDArray[np.float32]:
        samples = np.asarray(stream.stored(segment, start, stop)).astype(np.float32)
        samples *= gain
        samples += offset
        return samples

    def stored(start: int, stop: int) -> NDArray:
        return np.asarray(stream.stored(segment, start, stop))

    start = piece.start + sources.time_offset(recording)

    def steps() -> Steps | None:
        # Most formats tell their type of number by a sample alone.
        return _steps(stored, stored(0, 1).dtype, gain, offset)

    return Signal(piece.n_samples, len(stream.channels), stream.rate, read, start, steps)


def _steps(
    stored: Callable[[int, int], NDArray], dtype: np.dtype, gain: NDArray[np.float32], offset: NDArray[np.float32]
) -> Steps | None:
    """Return samples of 8 or 16 bits as int16; those of 16 bits without a sign are moved down to the middle."""
    if dtype.kind not in "iu" or dtype.itemsize > 2:
        return None
    if dtype.kind == "u" and dtype.itemsize == 2:

        def read(start: int, stop: int) -> NDArray[np.int16]:
            return (stored(start, stop).astype(np.uint16) ^ np.uint16(0x8000)).view(np.int16)

        return Steps(read, gain, offset + np.float32(0x8000) * gain)
    return Steps(lambda start, stop: stored(start, stop).astype(np.int16, copy=False), gain, offset)


def _microvolts(recording: InputRecording, stream: Stream) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return gain and offset of every channel in microvolts: the file's, else the recording's; never a guess."""
    n = len(stream.channels)
    if stream.gain is None:
        return np.full(n, sources.positive(recording, "gain_to_uV", "gain"), np.float32), np.zeros(n, np.float32)
    if wrong := next((unit for unit in stream.units if unit not in MICROVOLTS), None):
        raise PipelineError(f"{stream.name} is in {wrong!r}, which is no unit of voltage.")
    scale = np.array([MICROVOLTS[unit] for unit in stream.units])
    offset = stream.offset if stream.offset is not None else np.zeros(n)
    return (stream.gain * scale).astype(np.float32), (offset * scale).astype(np.float32)


def _of_array(array: NDArray, rate: float, gain: float, offset: float = 0.0) -> Signal:
    table = array[:, None] if array.ndim == 1 else array

    def read(start: int, stop: int) -> NDArray[np.float32]:
        piece = table[start:stop].astype(np.float32)
        piece *= np.float32(gain)
        if offset:
            piece += np.float32(offset)
        return piece

    def steps() -> Steps | None:
        gains, offsets = (np.full(table.shape[1], value, np.float32) for value in (gain, offset))
        return _steps(lambda start, stop: table[start:stop], table.dtype, gains, offsets)

    return Signal(table.shape[0], table.shape[1], rate, read, steps=steps)


def _gain(recording: InputRecording, unit: str | None) -> float:
    if recording.parameters.get("gain_to_uV") is not None:
        return sources.positive(recording, "gain_to_uV", "gain")
    unit = unit or sources.ask(recording, "unit", "unit (V, mV or uV)")
    if unit not in MICROVOLTS:
        raise PipelineError(f"The unit {unit!r} is not one of voltage; use V, mV or uV.")
    return MICROVOLTS[unit]


def _checked(path: Path, array: NDArray) -> NDArray:
    if array.ndim not in (1, 2) or array.dtype.kind not in "iuf":
        raise PipelineError(
            f"{path.name} should hold samples or samples x channels, not {array.dtype} of shape {array.shape}."
        )
    if array.ndim == 2 and array.shape[1] > array.shape[0]:
        raise PipelineError(
            f"{path.name} has more channels ({array.shape[1]}) than samples ({array.shape[0]}); its axes are exchanged."
        )
    return array


def _npy(recording: InputRecording, path: Path) -> Signal:
    with sources.damage(path, ".npy file", OSError, ValueError, EOFError):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.ndarray):
        array.close()
        raise PipelineError(f"The file {path.name} is an .npz archive, not one .npy array.")
    _checked(path, array)
    return _of_array(array, sources.positive(recording, "rate", "sampling rate in Hz"), _gain(recording, None))


def _npz(recording: InputRecording, path: Path) -> Signal:
    arrays = sources.load_npz(path, ("lfp",), ("rate", "unit"))
    array = _checked(path, arrays["lfp"])
    if "rate" in arrays:
        rate = float(sources.numbers(path, "rate", arrays["rate"]).ravel()[0])
        if not rate > 0:
            raise PipelineError(f"The rate in {path.name} is {rate:g} Hz; it must be above zero.")
    else:
        rate = sources.positive(recording, "rate", "sampling rate in Hz")
    return _of_array(array, rate, _gain(recording, sources.one_text(arrays["unit"]) if "unit" in arrays else None))


def _binary(recording: InputRecording, path: Path) -> Signal:
    channels = sources.positive(recording, "channels", "number of channels")
    header = int(recording.parameters.get("header_bytes", 0))
    if channels != int(channels):
        raise PipelineError(f"The number of channels must be whole, not {channels:g}.")
    rate = sources.positive(recording, "rate", "sampling rate in Hz")
    name = sources.ask(recording, "dtype", f"type of number ({', '.join(_DTYPES)})")
    if name not in _DTYPES:
        raise PipelineError(f"Numbers of the type {name!r} are not known; use one of {', '.join(_DTYPES)}.")
    gain = sources.positive(recording, "gain_to_uV", "gain (microvolts per step)")
    offset = recording.parameters.get("offset_to_uV", 0.0)
    dtype = np.dtype(name).newbyteorder("<")
    size = path.stat().st_size - header
    row = dtype.itemsize * int(channels)
    if header < 0 or size <= 0 or size % row:
        raise PipelineError(
            f"{path.name} has {size:,} bytes of samples, which {int(channels)} channels of {name} do not divide: "
            "the file breaks off, or the number of channels or the type is wrong."
        )
    table = np.memmap(path, dtype=dtype, mode="r", offset=header, shape=(size // row, int(channels)))
    return _of_array(table, rate, gain, float(offset))
