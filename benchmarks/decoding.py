"""Position decoding on a real linear track: how far off, and how long the permutation test takes."""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from analysis.methods import decoders, decoding, folds, permutation, position, spikes, statespace
from analysis.pipelines.base import InputFile, InputRecording
from analysis.readers import read_position, read_spikes

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "nelpy_linear_track" / "linear-track"
START, STOP, BIN = 4442.86, 5361.97, 0.25

PEER = "one-step Bayes, same folds"
SHIFTS = 1000


def run() -> list[dict[str, Any]]:
    """Return the rows; none when the recording is not beside the checkout."""
    if not DATA.is_dir():
        print(f"decoding: no recording at {DATA}, so nothing is measured", file=sys.stderr)
        return []
    with threadpool_limits(1):
        return _measured()


def _measured() -> list[dict[str, Any]]:
    units = read_spikes(_recording("units", "matclust-mat", "spikes.mat"))
    tracked = read_position(_recording("position", "trodes-position", "trajectory.videoPositionTracking"))
    inside = (tracked.time >= START) & (tracked.time <= STOP)
    clean = position.clean_position(tracked.time[inside], tracked.xy[inside])
    edges = spikes.time_edges(max(START, clean.time[0]), min(STOP, clean.time[-1]), BIN)
    where = position.bin_position(clean.time, position.linearise(clean.xy).percent, edges, smoothing=0.1)
    counts = spikes.bin_spikes(units.times, units.units, edges, n_units=len(units.labels))
    blocks = folds.contiguous_folds(len(counts), folds=10, guard_bins=4)
    moving = where.speed > 5
    settings = decoding.DecoderSettings(window=BIN)

    def once() -> float:
        began = time.perf_counter()
        decoding.BlockDecoder(where.position, moving, blocks, settings).median_error(counts)
        return time.perf_counter() - began

    model = decoding.BlockDecoder(where.position, moving, blocks, settings)
    median = model.median_error(counts)
    seconds = statistics.median(once() for _ in range(7))
    lags = permutation.shift_lags(len(counts), shifts=SHIFTS, minimum_bins=80, rng=np.random.default_rng(1))
    began = time.perf_counter()
    null = permutation.circular_shift_null(counts, lags, model.median_error)
    test = time.perf_counter() - began
    p = permutation.permutation_p(median, null, smaller_is_better=True)
    plain = model.errors(counts)
    behaviour = decoders.Behaviour(where.position, moving, BIN)
    began = time.perf_counter()
    made = decoders.cross_validate(statespace.candidates(), counts, behaviour, folds.NestedFolds(blocks, guard_bins=4))
    nested = time.perf_counter() - began
    error = np.abs(made.position - where.position)[behaviour.scored]
    p90, plain_p90 = float(np.quantile(error, 0.9)), float(np.quantile(plain, 0.9))
    return [
        _row("decoding, one-step Bayes, median error", median, "% of track", None, None),
        _row("decoding, one-step Bayes, 10 blocks", seconds, "s", None, None),
        _row("decoding, state space, median error", float(np.median(error)), "% of track", PEER, median),
        _row("decoding, state space, 90th percentile", p90, "% of track", PEER, plain_p90),
        _row("decoding, state space, within 10 %", float(np.mean(error <= 10)), "", PEER, float(np.mean(plain <= 10))),
        _row("decoding, state space, nested, 10 blocks", nested, "s", None, None),
        _row(f"decoding, {SHIFTS} circular shifts", test, "s", None, None),
        _row(f"decoding, p of {SHIFTS} shifts", p, "", None, None),
    ]


def _recording(kind: str, file_format: str, name: str) -> InputRecording:
    path = DATA / name
    return InputRecording(kind, kind, file_format, (InputFile(path, path.stat().st_size),))


def _row(name: str, value: float, unit: str, peer: str | None, peer_value: float | None) -> dict[str, Any]:
    ratio = value / peer_value if peer_value else None
    return {"name": name, "value": value, "unit": unit, "peer": peer, "peer_value": peer_value, "ratio": ratio}
