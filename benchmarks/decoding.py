"""Position decoding on a real linear track: how far off, and how long the permutation test takes."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from analysis.methods import decoders, decoding, folds, permutation, statespace
from benchmarks._linear_track import BIN, GUARD_BINS, LinearTrack, linear_track, row

PEER = "one-step Bayes, same folds"
SHIFTS = 1000
# What the smoothed state space, its settings chosen inside the training blocks, must reach on this session.
MEDIAN, P90, WITHIN, NESTED_SECONDS, SHIFTS_SECONDS = 3.3, 22.0, 0.84, 20.0, 10.0


def run() -> list[dict[str, Any]]:
    """Return the rows; none when the recording is not beside the checkout."""
    track = linear_track("decoding")
    if track is None:
        return []
    with threadpool_limits(1):
        return _measured(track)


def _measured(track: LinearTrack) -> list[dict[str, Any]]:
    settings = decoding.DecoderSettings(window=BIN)
    counts = track.counts

    def once() -> float:
        began = time.perf_counter()
        decoding.BlockDecoder(track.position, track.moving, track.blocks, settings).median_error(counts)
        return time.perf_counter() - began

    model = decoding.BlockDecoder(track.position, track.moving, track.blocks, settings)
    median = model.median_error(counts)
    seconds = statistics.median(once() for _ in range(7))
    lags = permutation.shift_lags(len(counts), shifts=SHIFTS, minimum_bins=80, rng=np.random.default_rng(1))
    began = time.perf_counter()
    null = permutation.circular_shift_null(counts, lags, model.median_error)
    test = time.perf_counter() - began
    p = permutation.permutation_p(median, null, smaller_is_better=True)
    plain = model.errors(counts)
    behaviour = decoders.Behaviour(track.position, track.moving, BIN)
    began = time.perf_counter()
    made = decoders.cross_validate(
        statespace.candidates(), counts, behaviour, folds.NestedFolds(track.blocks, guard_bins=GUARD_BINS)
    )
    nested = time.perf_counter() - began
    error = np.abs(made.position - track.position)[behaviour.scored]
    found, p90, within = float(np.median(error)), float(np.quantile(error, 0.9)), float(np.mean(error <= 10))
    plain_p90, plain_within = float(np.quantile(plain, 0.9)), float(np.mean(plain <= 10))
    return [
        row("decoding, one-step Bayes, median error", median, "% of track"),
        row("decoding, one-step Bayes, 10 blocks", seconds, "s"),
        row("decoding, state space, median error", found, "% of track", PEER, median),
        row("decoding, state space, 90th percentile", p90, "% of track", PEER, plain_p90),
        row("decoding, state space, within 10 %", within, "", PEER, plain_within),
        _promised("decoding, state space, median error", found, "% of track", MEDIAN),
        _promised("decoding, state space, 90th percentile", p90, "% of track", P90),
        _promised("decoding, state space, within 10 %", within, "", WITHIN, more=True),
        _promised("decoding, state space, nested, 10 blocks", nested, "s", NESTED_SECONDS),
        _promised(f"decoding, {SHIFTS} circular shifts", test, "s", SHIFTS_SECONDS),
        row(f"decoding, p of {SHIFTS} shifts", p, ""),
    ]


def _promised(name: str, value: float, unit: str, bound: float, *, more: bool = False) -> dict[str, Any]:
    broken = value < bound if more else value > bound
    return {**row(name, value, unit, "promise", bound), "broken": broken}
