"""How fast the animal was, on the clock of another recording."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.pipelines import clocks
from analysis.pipelines.base import InputRecording

# Speed is taken from displacement over so long, s.
_OVER = 0.5


@dataclass(frozen=True)
class Running:
    """``speed`` (``unit`` per second) ``(n,)``, NaN where unknown, at ``time`` (s) ``(n,)``."""

    time: NDArray[np.floating]
    speed: NDArray[np.floating]
    unit: str


def running_speed(position: InputRecording, kept: InputRecording, align: clocks.Align) -> Running:
    """Return the speed of the animal of a position recording, its times on the clock of ``kept``.

    ``PipelineError`` where their clocks cannot be brought together, ``InvalidDataError`` where there is no position.
    """
    from analysis.methods.position import clean_position
    from analysis.methods.tracking import speed_of
    from analysis.readers import read_position

    tracked = read_position(position)
    clean = clean_position(tracked.time, tracked.xy, zeros_are_missing=tracked.unit == "px")
    speed = speed_of(clean.time, clean.xy, window=_OVER)
    return Running(clocks.on_clock_of(kept, position, clean.time, align), speed, tracked.unit)
