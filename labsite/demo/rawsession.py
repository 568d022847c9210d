"""Files of a simulated raw session: voltage with its description, tracked positions, and the true units."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.methods.raw_sessions import RawSession, as_parameters


@dataclass(frozen=True)
class RawFiles:
    """Where the files of a session lie; ``voltage`` has its description, a ``.json`` of the same name, beside it."""

    voltage: Path
    position: Path
    units: Path


def write_raw_session(session: RawSession, folder: Path) -> RawFiles:
    """Write the files into a folder, each under its name only when it is complete; a second of voltage at a time.

    Times count from the first sample, one clock for all. The true units are of no use to a sorter: they are there to
    compare with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    voltage = folder / "probe-raw.bin"
    voltage.with_suffix(".json").write_text(json.dumps(as_parameters(session), indent=1) + "\n")
    step = round(session.truth.rate)
    with _part(voltage).open("wb") as output:
        for first in range(0, session.n_samples, step):
            output.write(session.voltage(first, first + step).astype("<i2").tobytes())
    _part(voltage).replace(voltage)
    return RawFiles(
        voltage, write_position(session, folder / "position.csv"), write_units(session, folder / "true-units.npz")
    )


def write_position(session: RawSession, path: Path) -> Path:
    """Write the tracked positions as a table; return its path."""
    with _part(path).open("w", newline="", encoding="utf-8") as output:
        rows = csv.writer(output)
        rows.writerow(("time", "x_cm", "y_cm"))
        rows.writerows(
            (f"{time:.3f}", f"{x:.3f}", f"{y:.3f}") for time, (x, y) in zip(session.time, session.xy, strict=True)
        )
    return _part(path).replace(path)


def write_units(session: RawSession, path: Path) -> Path:
    """Write the spikes of all cells that fired; return the path of the file."""
    with _part(path).open("wb") as output:
        np.savez_compressed(
            output,
            spike_times=session.spike_times,
            spike_units=session.spike_units.astype(np.int32),
            unit_labels=np.array([f"cell {number}" for number in np.unique(session.spike_units) + 1]),
        )
    return _part(path).replace(path)


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")
