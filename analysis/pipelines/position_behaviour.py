"""What the animal did, as decoders of position take it: tracked positions on time bins, in % of a track or an arena."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analysis.methods import position, spikes
from analysis.methods.grids import TRACK, Grid
from analysis.pipelines import clocks
from analysis.pipelines.base import InputRecording, PipelineError, Run
from analysis.readers import read_position
from analysis.readers.trials import read_laps

if TYPE_CHECKING:
    from analysis.pipelines.decode_position import TrackDecodingParameters

# Probabilities of one decoding (time bins times places); as 8-byte numbers they take 4 GB.
_MOST_CELLS = 500_000_000
# Where the animal's range is narrower than this share of its length there is no second coordinate to decode.
_NARROWEST = 0.1


@dataclass(frozen=True)
class AnimalBehaviour:
    """Behaviour on time bins; ``position`` and ``sides`` (%) are those of ``methods.decoders.Behaviour``.

    ``length`` (cm or None) is that of the track or of the arena's longer side; ``speed`` and ``threshold`` are in % of
    it a second; ``variance`` is the share of the movement along one line.
    """

    edges: NDArray[np.floating]
    position: NDArray[np.floating]
    speed: NDArray[np.floating]
    length: float | None
    threshold: float
    sides: tuple[float, ...]
    variance: float


def read_behaviour(run: Run, recording: InputRecording) -> AnimalBehaviour:
    """Read the positions of a run with ``TrackDecodingParameters`` and put them on time bins.

    ``PipelineError`` where the time asked for has none, and where their unit or shape does not fit the settings.
    """
    settings: TrackDecodingParameters = run.parameters
    tracked = read_position(recording)
    finite = np.isfinite(tracked.time)
    first = tracked.time[finite].min() if settings.epoch_start is None else settings.epoch_start
    last = tracked.time[finite].max() if settings.epoch_stop is None else settings.epoch_stop
    inside = (tracked.time >= first) & (tracked.time <= last)
    if np.count_nonzero(inside) < 2:
        raise PipelineError(
            f"There are no positions between {first:.2f} and {last:.2f} s; they go from "
            f"{tracked.time[finite].min():.2f} to "
            f"{tracked.time[finite].max():.2f} s."
        )
    clean = position.clean_position(tracked.time[inside], tracked.xy[inside], zeros_are_missing=tracked.unit == "px")
    run.log(
        f"Positions: {clean.time.size:,} used; taken out: {clean.duplicates} repeated and {clean.backward} "
        "backward time "
        f"stamps, {clean.zeros} zeros, {clean.teleports} teleports."
    )
    place = _in_arena(clean) if settings.in_the_open else _along_track(run, clean)
    length = settings.track_length
    if length is None and tracked.unit in ("mm", "cm", "m"):
        length = place.extent * {"mm": 0.1, "cm": 1.0, "m": 100.0}[tracked.unit]
    threshold = settings.speed_threshold
    if settings.speed_unit == "cm/s":
        if length is None:
            raise PipelineError("The speed threshold is in cm/s, but positions are in px: set track_length (cm).")
        threshold = threshold / length * 100
    bins = (min(last, clean.time[-1]) - max(first, clean.time[0])) / settings.bin
    places = Grid.with_bins(settings.bins_along, place.sides).cells
    if bins * places > _MOST_CELLS:
        raise PipelineError(
            f"{bins:,.0f} time bins times {places} place bins are more than memory should hold "
            f"({_MOST_CELLS:,}): use longer bins or a shorter time."
        )
    edges = spikes.time_edges(float(max(first, clean.time[0])), float(min(last, clean.time[-1])), settings.bin)
    binned = position.bin_position(
        clean.time,
        place.percent,
        edges,
        smoothing=settings.position_smoothing,
        longest_gap=settings.longest_gap,
    )
    return AnimalBehaviour(edges, binned.position, binned.speed, length, threshold, place.sides, place.variance)


@dataclass(frozen=True)
class _Place:
    """``percent`` ``(n,)`` or ``(n, 2)`` and ``sides`` (%) as a ``Behaviour`` has them; ``extent`` is 100 % of them.

    ``extent`` is in the unit of x and y; ``variance`` the share along one line.
    """

    percent: NDArray[np.floating]
    sides: tuple[float, ...]
    extent: float
    variance: float


def _along_track(run: Run, clean: position.CleanPosition) -> _Place:
    along = position.linearise(clean.xy)
    if along.variance < 0.9:
        run.log(
            f"Only {along.variance:.0%} of the animal's movement is along one line: this is hardly a linear "
            "track, and what is decoded is the coordinate that varies most; set arena to 'open-field' for both."
        )
    return _Place(along.percent, TRACK, along.length, along.variance)


def _in_arena(clean: position.CleanPosition) -> _Place:
    low = np.nanmin(clean.xy, axis=0)
    ranges = np.nanmax(clean.xy, axis=0) - low
    extent = float(ranges.max())
    if not extent > 0:
        raise PipelineError("The animal stays at one point, so there is no arena to tell places in.")
    if ranges.min() < _NARROWEST * extent:
        raise PipelineError(
            f"The animal's range is {ranges[0]:.3g} by {ranges[1]:.3g}, hardly an open field: set arena to 'track'."
        )
    sides = tuple(float(side) for side in ranges / extent * 100)
    return _Place((clean.xy - low) / extent * 100, sides, extent, position.linearise(clean.xy).variance)


def lap_ends(run: Run, position_recording: InputRecording, behaviour: AnimalBehaviour) -> NDArray[np.int64]:
    """Return the bins in which laps end: those of a table, where one is given, or where the animal turned.

    In an open field there are none.
    """
    settings: TrackDecodingParameters = run.parameters
    given = run.of_kind("events")
    if settings.in_the_open:
        if given:
            raise PipelineError("Laps are given, but they are ways along a track: leave them out for an open field.")
        return np.zeros(0, dtype=np.int64)
    if not given:
        return position.lap_ends(behaviour.position)
    if settings.blocks != "laps":
        raise PipelineError("Laps are given, and blocks are of time: set blocks to 'laps', or leave the laps out.")
    laps = read_laps(given[0])
    ends = clocks.on_clock_of(position_recording, given[0], laps.end, settings.align)
    inside = ends[(ends >= behaviour.edges[0]) & (ends < behaviour.edges[-1])]
    if not inside.size:
        raise PipelineError(
            f"No lap ends between {behaviour.edges[0]:.2f} and {behaviour.edges[-1]:.2f} s, where there are positions; "
            f"on their clock laps end from {ends[0]:.2f} to {ends[-1]:.2f} s: are both on one clock?"
        )
    run.log(f"{inside.size} of the {ends.size} laps given end within the time decoded.")
    return np.unique(np.searchsorted(behaviour.edges, inside, side="right") - 1)
