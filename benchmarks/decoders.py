"""Every decoder of position on a real linear track, on the same ten blocks: errors, and the whole wall time.

Each chooses its settings within the training blocks. Networks take part where PyTorch is installed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from analysis.methods import decoders, decoding, folds, learned, linear, networks, statespace
from benchmarks._linear_track import BIN, GUARD_BINS, LinearTrack, linear_track, row

# Trees, the perceptron and networks learn for minutes.
ON_REQUEST = True

# What the others are compared with: the decoder that every tool of the field has.
PEER = "one-step Bayes, chosen"

_CANDIDATES: dict[str, Callable[[], list[decoders.Decoder]]] = {
    PEER: lambda: decoding.candidates(step=BIN),
    "state space, smoothed": statespace.candidates,
    "state space, causal": lambda: statespace.candidates(smoothed=False),
    "ridge": lambda: linear.candidates(step=BIN),
    "kernel regression": lambda: learned.candidates("kernel", step=BIN, guard_bins=GUARD_BINS),
    "boosted trees": lambda: learned.candidates("boosting", step=BIN, guard_bins=GUARD_BINS),
    "perceptron": lambda: learned.candidates("perceptron", step=BIN, guard_bins=GUARD_BINS),
}
_NETWORKS: dict[str, Callable[[], list[decoders.Decoder]]] = {
    "convolutional network": lambda: networks.candidates("convolutional", guard_bins=GUARD_BINS),
    "recurrent network": lambda: networks.candidates("recurrent", guard_bins=GUARD_BINS),
}


def run() -> list[dict[str, Any]]:
    """Return the rows; none when the recording is not beside the checkout."""
    track = linear_track("decoders")
    if track is None:
        return []
    candidates = {**_CANDIDATES, **(_NETWORKS if networks.installed() else {})}
    measured = {}
    with threadpool_limits(1):
        for name, made in candidates.items():
            print(f"  {name}", file=sys.stderr, flush=True)
            measured[name] = _measured(made(), track)
    peer = measured.pop(PEER)
    return [row(f"{PEER}, {what}", *value) for what, value in peer.items()] + [
        row(f"{name}, {what}", *value, PEER, peer[what][0])
        for name, found in measured.items()
        for what, value in found.items()
    ]


def _measured(candidates: list[decoders.Decoder], track: LinearTrack) -> dict[str, tuple[float, str]]:
    """Return each figure and its unit."""
    behaviour = decoders.Behaviour(track.position, track.moving, BIN)
    began = time.perf_counter()
    made = decoders.cross_validate(
        candidates, track.counts, behaviour, folds.NestedFolds(track.blocks, guard_bins=GUARD_BINS)
    )
    seconds = time.perf_counter() - began
    error = np.abs(made.position - track.position)[behaviour.scored]
    return {
        "median error": (float(np.median(error)), "% of track"),
        "90th percentile": (float(np.quantile(error, 0.9)), "% of track"),
        "within 10 %": (float(np.mean(error <= 10)), ""),
        "nested, 10 blocks": (seconds, "s"),
    }
