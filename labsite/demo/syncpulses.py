"""Pulses that the controller of a simulated box sends to the probe, as the clocks of both saw them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

# What the controller's clock has of its own: it began later, runs slower, and both see an edge a little off.
OFFSET_SECONDS = 3.2
DRIFT = 40e-6
JITTER_SECONDS = 1e-4
LOST = 0.01
# Irregular, so that a few intervals in a row tell which pulses they are between.
LEAST_SECONDS, MOST_SECONDS = 0.6, 1.8


def write_pulses(probe: Path, controller: Path, *, seconds: float, seed: int) -> None:
    """Write the pulses of a recording: times (s) on the probe's clock as ``.npy``, on the controller's as ``.csv``.

    Both count from the start of their recording; each lost about one in a hundred.
    """
    rng = np.random.default_rng(seed)
    true = np.cumsum(rng.uniform(LEAST_SECONDS, MOST_SECONDS, round(seconds / LEAST_SECONDS)))
    true = true[true < seconds]
    seen = [clock + rng.normal(0, JITTER_SECONDS, true.size) for clock in (true, (true - OFFSET_SECONDS) / (1 + DRIFT))]
    first, second = (times[rng.random(true.size) > LOST] for times in seen)
    second = second[second > 0]
    probe.parent.mkdir(parents=True, exist_ok=True)
    part = probe.with_name(f".{probe.name}.part.npy")
    np.save(part, first)
    part.replace(probe)
    part = controller.with_name(f".{controller.name}.part")
    with part.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("time", "kind"))
        table.writerows((f"{time:.6f}", "sync") for time in second)
    part.replace(controller)
