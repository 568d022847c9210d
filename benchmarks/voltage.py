"""From raw voltage to LFP and spikes: times real time and memory, beside SpikeInterface and scipy in the same run.

The recording is made for the run: noise and spikes of 384 channels at 30 kHz, int16, on the disk of the temporary
folder. ``--seconds`` says how long it is; a minute needs 1.4 GB.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks._voltage_run import GAIN

# Writing the recording and the peers take minutes.
ON_REQUEST = True

ROOT = Path(__file__).resolve().parents[1]
CHANNELS, RATE = 384, 30_000
# What is repeated to fill the recording.
TILE_SECONDS = 10
# The peers' times grow with the recording; so much of it is enough to tell their speed.
PEER_SECONDS = 10
LFP_TIMES, PEAKS_TIMES, BOTH_TIMES, MEMORY_GB = 40.0, 10.0, 8.0, 1.5


def run(seconds: int = 60) -> list[dict[str, Any]]:
    """Return the rows; those of the promised speeds and memory are broken when they are missed."""
    workers = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="labsite-voltage-") as folder:
        path = Path(folder) / "raw.bin"
        write_recording(path, seconds)
        plan = {"path": str(path), "rate": RATE, "channels": CHANNELS, "workers": workers}
        ours = {what: _timed({**plan, "what": what, "seconds": seconds}) for what in ("lfp", "peaks", "both")}
        short = _timed({**plan, "what": "both", "seconds": min(TILE_SECONDS, seconds)})
        length = min(PEER_SECONDS, seconds)
        peers = {
            what: _timed({**plan, "what": what, "seconds": length})
            for what in ("scipy lfp", "SpikeInterface lfp", "SpikeInterface peaks")
        }
    times = {what: seconds / found["wall"] for what, found in ours.items()}
    peer_times = {what: length / found["wall"] for what, found in peers.items()}
    unit, spikes = "x real time", "spike band, median reference, peaks"
    rows = [
        _row("LFP at 1 kHz", times["lfp"], unit, "SpikeInterface", peer_times["SpikeInterface lfp"]),
        _row("LFP at 1 kHz", times["lfp"], unit, "scipy resample_poly", peer_times["scipy lfp"]),
        _row(
            "spike band, median reference, peaks",
            times["peaks"],
            unit,
            "SpikeInterface",
            peer_times["SpikeInterface peaks"],
        ),
        _bound("LFP at 1 kHz", times["lfp"], unit, LFP_TIMES),
        _bound(spikes, times["peaks"], unit, PEAKS_TIMES),
        _bound("both in one pass", times["both"], unit, BOTH_TIMES),
    ]
    # CPU, not wall: it is what stays comparable between two runs on a machine that others use too.
    growth = (ours["both"]["cpu"] / seconds) / (short["cpu"] / min(TILE_SECONDS, seconds))
    rows.append(_row(f"CPU of each second, {seconds} s against {TILE_SECONDS} s", growth, "x", "", None))
    for what, found in ours.items():
        name = {"lfp": "LFP", "peaks": "peaks", "both": "both"}[what]
        rows.append(_bound(f"most memory, {name}", found["memory"] / 1e9, "GB", MEMORY_GB, most=True))
    for what, found in peers.items():
        rows.append(_row(f"most memory, {what}", found["memory"] / 1e9, "GB", "", None))
    return rows


def write_recording(path: Path, seconds: int) -> None:
    """Write noise of 6 uV with spikes of 120 uV that three neighbouring channels see, the same tile over and over."""
    rng = np.random.default_rng(1)
    tile = np.empty((TILE_SECONDS * RATE, CHANNELS), np.int16)
    for start in range(0, len(tile), RATE):
        tile[start : start + RATE] = rng.standard_normal((RATE, CHANNELS), np.float32) * np.float32(6 / GAIN)
    shape = -np.exp(-0.5 * ((np.arange(30) - 10) / 3.0) ** 2) * 120 / GAIN
    for channel in range(1, CHANNELS - 1, 4):
        for at in rng.integers(0, len(tile) - shape.size, 5 * TILE_SECONDS):
            for near, part in ((-1, 0.4), (0, 1.0), (1, 0.4)):
                tile[at : at + shape.size, channel + near] += (part * shape).astype(np.int16)
    with path.open("wb") as file:
        left = seconds * RATE
        while left > 0:
            tile[:left].tofile(file)
            left -= len(tile)


def _timed(plan: dict[str, Any]) -> dict[str, float]:
    """Run one way in a process of its own; returns its ``wall`` and ``cpu`` (s) and ``memory`` (bytes)."""
    print(f"  {plan['what']}, {plan['seconds']} s", file=sys.stderr, flush=True)
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks._voltage_run"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(plan) + "\n")
        process.stdin.flush()
        process.stdout.readline()
        ended = threading.Event()
        highest: list[float] = [0.0]
        watcher = threading.Thread(target=_watch, args=(process.pid, ended, highest))
        watcher.start()
        said = process.stdout.readline()
        ended.set()
        watcher.join()
    if process.returncode or not said:
        raise RuntimeError(f"{plan['what']} ended with {process.returncode}")
    return {**json.loads(said), "memory": highest[0]}


def _watch(pid: int, ended: threading.Event, highest: list[float]) -> None:
    """Keep the most memory that a process and its children had of their own; pages of a mapped file are not."""
    while not ended.wait(0.05):
        try:
            root = psutil.Process(pid)
            held = sum(_own(one) for one in (root, *root.children(recursive=True)))
        except psutil.Error:
            continue
        highest[0] = max(highest[0], held)


def _own(process: psutil.Process) -> float:
    try:
        memory = process.memory_info()
    except psutil.Error:
        return 0.0
    return float(memory.rss - memory.shared)


def _row(name: str, value: float, unit: str, peer: str, peer_value: float | None) -> dict[str, Any]:
    ratio = value / peer_value if peer_value else None
    return {
        "name": f"voltage: {name}",
        "value": value,
        "unit": unit,
        "peer": peer or None,
        "peer_value": peer_value,
        "ratio": ratio,
    }


def _bound(name: str, value: float, unit: str, bound: float, *, most: bool = False) -> dict[str, Any]:
    row = _row(name, value, unit, "promise", bound)
    return {**row, "broken": value > bound if most else value < bound}
