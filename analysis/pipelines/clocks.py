"""Bringing two recordings onto one clock by what they say of their times."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from analysis.pipelines.base import InputRecording, PipelineError

Align = Literal["auto", "times", "starts"]


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
