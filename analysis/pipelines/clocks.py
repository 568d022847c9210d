"""Bringing two recordings onto one clock by what they say of their times."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from analysis.pipelines.base import InputRecording, PipelineError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from analysis.methods.alignment import Line

Align = Literal["auto", "times", "starts"]
# The parameter with which a job gets how a recording's clock runs against another recording's, where the catalog says.
FIT = "clock_fit"
# The pipelines that go by it; ``sync.align`` has to find it out.
GOING_BY_FITS = frozenset(
    {
        "decode.across", "decode.position", "decode.sequence", "export.nwb", "lfp.bands", "lfp.phase", "lfp.ripples",
        "spikes.fields", "stats.labels", "stats.permutation",
    }
)  # fmt: skip


def on_reference(recording: InputRecording, align: Align) -> tuple[Line | None, InputRecording]:
    """Return the line that puts a recording's times on its reference's clock, and what it says of them thereafter.

    No line, and the recording itself, where the catalog has no fit or times are taken as they are written.
    """
    line = _fit(recording) if align == "auto" else None
    return line, recording if line is None else _as_its_reference(recording)


def on_clock_of(kept: InputRecording, moved: InputRecording, times: NDArray[Any], align: Align) -> NDArray[np.floating]:
    """Return ``times`` (s) of the recording ``moved`` on the clock of ``kept``.

    With ``auto``, what the catalog says of how either clock runs against a reference's (offset and drift, found by
    ``sync.align`` and taken over by a manager) is gone by first; ``times`` and ``starts`` take times as they are
    written. ``PipelineError`` where the clocks cannot be brought together.
    """
    import numpy as np

    times = np.asarray(times, float)
    if align != "auto" or not (_fit(moved) or _fit(kept)):
        return times + shift_between(moved, kept, align)
    line, back = _fit(moved), _fit(kept)
    if line is not None:
        times = line.of(times)
    if _clock_of(moved) != _clock_of(kept):
        times = times + shift_between(_as_its_reference(moved), _as_its_reference(kept), align)
    return times if back is None else back.back(times)


def _fit(recording: InputRecording) -> Line | None:
    from analysis.methods.alignment import Line

    told = recording.parameters.get(FIT)
    return Line(told["offset"], told["drift"], told["origin"]) if told else None


def _clock_of(recording: InputRecording) -> str:
    """Return the id of the recording on whose clock its times are, once its fit was gone by."""
    told = recording.parameters.get(FIT)
    return str(told["reference"]) if told else recording.id


def _as_its_reference(recording: InputRecording) -> InputRecording:
    """Return a recording that says of its times what those on its reference's clock are."""
    told = recording.parameters.get(FIT)
    if not told:
        return recording
    clock = {"clock": told["reference_clock"]} if told["reference_clock"] else {}
    return replace(recording, start=told["reference_start"], parameters=clock)


def shift_between(moved: InputRecording, kept: InputRecording, align: Align) -> float:
    """Return the seconds to add to the times of ``moved`` to have them on the clock of ``kept``.

    ``times``: both are on one clock. ``starts``: each counts from the start of its own recording, which the catalog
    knows. ``auto``: what the recordings say with their parameter ``clock``. ``PipelineError`` where they do not agree
    or a start is not known.
    """
    if align == "auto":
        # Guessing here would shift spikes against behaviour and only make a result look bad.
        from_start = [recording.parameters.get("clock") == "recording" for recording in (moved, kept)]
        if from_start[0] != from_start[1]:
            counting, other = (moved.kind, kept.kind) if from_start[0] else (kept.kind, moved.kind)
            raise PipelineError(
                f"The times of the {counting} recording count from its start, and the {other} recording does not say"
                " from when its times count: set align to 'times' if both are on one clock, or to 'starts' if both"
                " count from their starts."
            )
        align = "starts" if all(from_start) else "times"
    if align == "times":
        return 0.0
    starts = []
    for recording in (moved, kept):
        if recording.start is None:
            raise PipelineError(
                f"Times count from the start of each recording, but the {recording.kind} recording has no start in the"
                " catalog."
            )
        starts.append(datetime.fromisoformat(recording.start))
    return (starts[0] - starts[1]).total_seconds()
