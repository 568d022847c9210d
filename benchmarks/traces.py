"""Stretches of 384 channels for a page: from the overview of an hour, beside reading the recording itself.

The recording is ten seconds of noise again and again, which the overview reads from memory; the file on the disk is as
long and all but empty. ``--seconds`` says how long it is; the levels of an hour need 3.5 GB.
"""

from __future__ import annotations

import base64
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from analysis.methods import overview
from analysis.readers.traces import DESCRIPTION, Overview, Window, unpack
from sessions.isolation import isolated

# The levels of an hour take gigabytes.
ON_REQUEST = True

CHANNELS, RATE, GAIN = 384, 30_000, 0.195
TILE_SECONDS = 10
# As the page asks: so many columns of so many channels, the median of so many requests at places spread evenly.
COLUMNS, GROUP, ASKED = 512, 128, 25
PEER_SPAN = 10.0
SPANS = (0.02, 0.5, 10.0, 60.0, 600.0, 3600.0)


def run(seconds: int = 3600) -> list[dict[str, Any]]:
    """Return how fast an overview is made, and how long a request takes at every zoom."""
    rng = np.random.default_rng(0)
    tile = rng.integers(-200, 200, (TILE_SECONDS * RATE, CHANNELS), dtype=np.int16)
    n_samples = seconds * RATE
    with tempfile.TemporaryDirectory(prefix="labsite-traces-") as name:
        folder = Path(name)
        began = time.perf_counter()
        _levels(folder, tile, n_samples)
        rows = [_row("overview made", seconds / (time.perf_counter() - began), "x real time")]
        size = sum(path.stat().st_size for path in folder.iterdir())
        rows.append(_row("overview's share of the recording", 100 * size / (2 * n_samples * CHANNELS), "%"))
        path = folder / "raw.bin"
        path.touch()
        os.truncate(path, 2 * n_samples * CHANNELS)
        source, levels = _described(path), Overview(folder)
        for span in (one for one in SPANS if one <= seconds):
            length = round(span * RATE)

            def ask(start: int, length: int = length) -> None:
                asked = Window(start, start + length, COLUMNS, 0, GROUP)
                packed = levels.window(asked) or base64.b64decode(_itself(source, asked))
                assert len(unpack(packed).columns) <= COLUMNS

            def every_sample(start: int, length: int = length) -> None:
                table = np.memmap(path, np.int16, "r", shape=(n_samples, CHANNELS))[start : start + length]
                overview.extremes(table, -(-length // COLUMNS))

            # Ten seconds are 230 MB to read; of an hour nobody would wait for the end.
            peer = _median(every_sample, n_samples - length, asked=5) if span == PEER_SPAN else None
            rows.append(_row(f"{span:g} s in {COLUMNS} columns", _median(ask, n_samples - length), "ms", peer))
    return rows


def _levels(folder: Path, tile: np.ndarray, n_samples: int) -> None:
    widths = overview.widths(n_samples)
    levels = [
        np.lib.format.open_memmap(
            folder / f"overview-{width}.npy", mode="w+", dtype="<i2", shape=(-(-n_samples // width), 2, CHANNELS)
        )
        for width in widths
    ]

    def read(start: int, stop: int) -> np.ndarray:
        return tile.take(np.arange(start, stop) % len(tile), axis=0)

    overview.build(read, n_samples, CHANNELS, levels, workers=len(os.sched_getaffinity(0)))
    told = {
        "samples": n_samples, "channels": CHANNELS, "rate": RATE, "gain": [GAIN] * CHANNELS, "offset": [0] * CHANNELS,
        "levels": [{"width": width, "file": f"overview-{width}.npy"} for width in widths],
    }  # fmt: skip
    (folder / DESCRIPTION).write_text(json.dumps(told))


def _described(path: Path) -> dict[str, Any]:
    parameters = {"channels": CHANNELS, "dtype": "int16", "gain_to_uV": GAIN}
    files = [{"path": str(path), "size": path.stat().st_size, "sha256": "", "role": "data"}]
    return {
        "id": "1", "kind": "ephys", "format": "raw-binary", "rate": RATE, "start": None, "label": "",
        "parameters": parameters, "files": files,
    }  # fmt: skip


def _itself(source: dict[str, Any], asked: Window) -> str:
    return str(isolated("analysis.readers.traces:window", source, list(asked)))


def _median(ask: Callable[[int], None], last: int, *, asked: int = ASKED) -> float:
    """Return how long a request takes, ms."""
    ask(0)
    times = []
    for start in np.linspace(0, max(last, 0), asked).astype(int):
        began = time.perf_counter()
        ask(int(start))
        times.append(1000 * (time.perf_counter() - began))
    return float(np.median(times))


def _row(name: str, value: float, unit: str, peer: float | None = None) -> dict[str, Any]:
    return {
        "name": f"traces: {name}",
        "value": value,
        "unit": unit,
        "peer": "every sample read" if peer else None,
        "peer_value": peer,
        "ratio": value / peer if peer else None,
    }
