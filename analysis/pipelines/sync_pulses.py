"""A train of pulses out of a recording: events, edges of a voltage, or a light that flashes in a video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from analysis.pipelines.base import InputRecording, PipelineError

if TYPE_CHECKING:
    from analysis.methods.pulses import Levels

KINDS = ("events", "ephys", "lfp", "video")
# Times of events and edges are known to better than this, s.
SHARP = 0.001
# At most so many numbers are read of a voltage at once.
_AT_ONCE = 8_000_000
_NAMED = 12
_BITS = 64


@dataclass(frozen=True)
class Wanted:
    """Where in a recording the pulses are; ``which`` is what its parameters begin with."""

    which: str
    channel: str | None
    region: list[int] | None
    threshold: float | None
    edge: Literal["rising", "falling"]
    bounce: float


@dataclass(frozen=True)
class Train:
    """Times of pulses (s) ``(n,)``, how sharp they are (s), and in words where they were found."""

    times: NDArray[np.floating]
    sharp: float
    found_in: str


def read_train(recording: InputRecording, wanted: Wanted) -> Train:
    """Return the pulses of a recording; ``PipelineError`` or ``InvalidDataError`` says what is missing to find them."""
    from analysis.methods.pulses import in_order

    if recording.kind == "events":
        times, place = _of_events(recording, wanted)
        sharp = SHARP
    elif recording.kind == "video":
        times, sharp, place = _of_video(recording, wanted)
    else:
        times, place = _of_samples(recording, wanted)
        sharp = SHARP
    return Train(in_order(times, bounce=wanted.bounce), sharp, place)


def _of_events(recording: InputRecording, wanted: Wanted) -> tuple[NDArray[np.floating], str]:
    from analysis.readers import open_recording

    groups = {events.name: events.read() for events in open_recording(recording).events if events.count}
    choices: dict[str, NDArray[np.floating]] = {}
    for name, (times, labels) in groups.items():
        said = np.array(labels)
        words = sorted(set(labels))
        if len(words) > 1:
            for label in filter(None, words):
                choices[label if len(groups) == 1 else f"{name}: {label}"] = times[said == label]
        if len(groups) > 1 or len(words) == 1:
            choices[name if len(groups) > 1 else words[0] or name] = times
    if wanted.channel is None:
        if len(choices) != 1:
            raise PipelineError(_ask(wanted, recording, "events", choices))
        chosen = next(iter(choices))
    elif wanted.channel in choices:
        chosen = wanted.channel
    else:
        raise PipelineError(_ask(wanted, recording, "events", choices))
    return choices[chosen], "events" if chosen == "events" else f"events {chosen}"


def _ask(wanted: Wanted, recording: InputRecording, what: str, choices: dict[str, NDArray[np.floating]]) -> str:
    names = ", ".join(list(choices)[:_NAMED]) + (f" and {len(choices) - _NAMED} more" if len(choices) > _NAMED else "")
    given = "" if wanted.channel is None else f", not {wanted.channel!r}"
    if not choices:
        return f"The {wanted.which} recording, {recording.label or recording.id}, holds no {what}."
    return f"Say which {what} are the pulses: set {wanted.which}_channel to one of {names}{given}."


def _of_samples(recording: InputRecording, wanted: Wanted) -> tuple[NDArray[np.floating], str]:
    from analysis.methods import pulses

    name = wanted.channel
    segments, unit = (
        _of_voltage(recording, wanted) if name is None or name.isdecimal() else _of_named(recording, wanted, name)
    )
    if wanted.threshold is None:
        between = pulses.levels(np.concatenate([pulses.extremes(v) for pieces in segments for _, v in pieces()]))
    else:
        between = _around(wanted.threshold)
    # Each segment by itself: across the gap between two there is no edge.
    found = [getattr(pulses.edges(pieces(), between), wanted.edge) for pieces in segments]
    place = f"{wanted.edge} edges of channel {name or 0} at {between.middle:.4g} {unit}"
    return np.concatenate(found), place.rstrip()


Pieces = Callable[[], Iterator[tuple[NDArray[np.floating], NDArray[np.floating]]]]


def _of_voltage(recording: InputRecording, wanted: Wanted) -> tuple[list[Pieces], str]:
    """Return a voltage by its number, as pieces of times (s) and values."""
    from analysis.readers import open_signal

    signal = open_signal(recording)
    channel = 0 if wanted.channel is None and signal.n_channels == 1 else wanted.channel
    if channel is None or int(channel) >= signal.n_channels:
        raise PipelineError(
            f"Say which channel has the pulses: set {wanted.which}_channel to a number from 0 to "
            f"{signal.n_channels - 1}, or a channel's name" + ("." if channel is None else f", not {channel!r}.")
        )
    number = int(channel)

    def pieces() -> Iterator[tuple[NDArray[np.floating], NDArray[np.floating]]]:
        step = max(1, _AT_ONCE // signal.n_channels)
        for at in range(0, signal.n_samples, step):
            values = signal.read(at, min(at + step, signal.n_samples))[:, number].astype(float)
            yield signal.start + (at + np.arange(values.size)) / signal.rate, values

    return [pieces], "µV"


def _of_named(recording: InputRecording, wanted: Wanted, name: str) -> tuple[list[Pieces], str]:
    """Return a channel of any stream by its name, as the file has it; ``SY0:6`` is the bit 6 of a digital word."""
    from analysis.readers import open_recording, sources

    streams = open_recording(recording).streams
    bare, _, bit = name.partition(":")
    stream = next((one for one in streams if name in one.channels or bare in one.channels), None)
    if stream is None or (name not in stream.channels and not (bit.isdecimal() and int(bit) < _BITS)):
        names = [channel for one in streams for channel in one.channels]
        shown = ", ".join([*names[:3], "...", *names[-3:]] if len(names) > _NAMED else names)
        raise PipelineError(
            f"There is no channel {name!r}; set {wanted.which}_channel to one of {shown}, or to a bit of a digital "
            f"word, such as {names[-1] if names else 'SY0'}:6."
        )
    whole = name in stream.channels
    column = stream.channels.index(name if whole else bare)
    offset = sources.time_offset(recording)

    def of(segment: int) -> Pieces:
        def pieces() -> Iterator[tuple[NDArray[np.floating], NDArray[np.floating]]]:
            part = stream.segments[segment]
            step = max(1, _AT_ONCE // len(stream.channels))
            for at in range(0, part.n_samples, step):
                values = np.asarray(stream.stored(segment, at, min(at + step, part.n_samples)))[:, column]
                if not whole:
                    values = (values.astype(np.int64) >> int(bit)) & 1
                yield offset + part.start + (at + np.arange(values.size)) / stream.rate, values.astype(float)

        return pieces

    return [of(segment) for segment in range(len(stream.segments))], "of the file's steps" if whole else ""


def _of_video(recording: InputRecording, wanted: Wanted) -> tuple[NDArray[np.floating], float, str]:
    from analysis.methods import pulses
    from analysis.readers import open_video

    if wanted.region is None:
        video = open_video(recording)
        raise PipelineError(
            f"Say where in the picture of {video.width} x {video.height} px the light is: set {wanted.which}_region to "
            "its left, top, width and height."
        )
    time, value = pulses.brightness(open_video(recording).frames(), wanted.region)
    if time.size < 2:
        raise PipelineError(f"The {wanted.which} video has {time.size} frames, too few for pulses.")
    between = pulses.levels(value[np.isfinite(value)]) if wanted.threshold is None else _around(wanted.threshold)
    found = pulses.edges([(time, value)], between)
    place = f"{'light on' if wanted.edge == 'rising' else 'light off'} at a grey value of {between.middle:.4g}"
    return getattr(found, wanted.edge), float(np.median(np.diff(time))), place


def _around(threshold: float) -> Levels:
    """Return levels that have a stated threshold as their middle and, for lack of better, no room around it."""
    from analysis.methods.pulses import Levels

    near = max(abs(threshold), 1.0) * 1e-6
    return Levels(threshold - near, threshold + near)
