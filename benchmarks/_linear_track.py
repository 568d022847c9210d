"""The public linear-track session as decoders of position take it: ten contiguous blocks with a guard of 1 s."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.methods import folds, position, spikes
from analysis.pipelines.base import InputFile, InputRecording
from analysis.readers import read_position, read_spikes

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "nelpy_linear_track" / "linear-track"
START, STOP, BIN = 4442.86, 5361.97, 0.25
GUARD_BINS = 4


@dataclass(frozen=True)
class LinearTrack:
    """Spikes in time bins ``(n_bins, n_units)``, position (%) and whether the rat moves ``(n_bins,)``."""

    counts: NDArray[np.floating]
    position: NDArray[np.floating]
    moving: NDArray[np.bool_]
    blocks: list[folds.Fold]


def linear_track(benchmark: str) -> LinearTrack | None:
    """Read the session; none, and a word on standard error, when it is not beside the checkout."""
    if not DATA.is_dir():
        print(f"{benchmark}: no recording at {DATA}, so nothing is measured", file=sys.stderr)
        return None
    units = read_spikes(_recording("units", "matclust-mat", "spikes.mat"))
    tracked = read_position(_recording("position", "trodes-position", "trajectory.videoPositionTracking"))
    inside = (tracked.time >= START) & (tracked.time <= STOP)
    clean = position.clean_position(tracked.time[inside], tracked.xy[inside])
    edges = spikes.time_edges(max(START, clean.time[0]), min(STOP, clean.time[-1]), BIN)
    where = position.bin_position(clean.time, position.linearise(clean.xy).percent, edges, smoothing=0.1)
    counts = spikes.bin_spikes(units.times, units.units, edges, n_units=len(units.labels)).astype(float)
    blocks = folds.contiguous_folds(len(counts), folds=10, guard_bins=GUARD_BINS)
    return LinearTrack(counts, where.position, where.speed > 5, blocks)


def _recording(kind: str, file_format: str, name: str) -> InputRecording:
    path = DATA / name
    return InputRecording(kind, kind, file_format, (InputFile(path, path.stat().st_size),))


def row(name: str, value: float, unit: str, peer: str | None = None, peer_value: float | None = None) -> dict[str, Any]:
    """Return a row of the table."""
    ratio = value / peer_value if peer_value else None
    return {"name": name, "value": value, "unit": unit, "peer": peer, "peer_value": peer_value, "ratio": ratio}
