"""Files of simulated recordings: units and true positions, with times in seconds from the recording's start."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from labsite.demo.world import Spikes, World

POSITION_HZ = 50.0
# What a reader must know of these files: their times count from the start of their recording.
FROM_START = {"clock": "recording"}


def write_units_npz(world: World, path: Path, *, start: float, stop: float) -> int:
    """Write the spikes between two times (Unix, s) as ``spike_times`` and ``spike_units``; return their number."""
    spikes = world.spikes(start, stop)
    _whole(path, spike_times=spikes.time - start, spike_units=spikes.unit.astype(np.int32))
    return len(spikes.time)


def write_position_npz(world: World, path: Path, *, start: float, stop: float) -> int:
    """Write the true position between two times (Unix, s) in cm; return the number of samples."""
    position = world.true_position(start, stop, rate=POSITION_HZ)
    _whole(path, time=position.time - start, x=position.xy[:, 0], y=position.xy[:, 1], unit=np.array("cm"))
    return len(position.time)


def write_units_nwb(world: World, path: Path, *, start: float, stop: float) -> int:
    """Write the spikes between two times (Unix, s) as the units of an NWB file; return their number."""
    import warnings

    with warnings.catch_warnings():
        # What the library's own modules warn of when they are imported is nothing that a user could act on.
        warnings.simplefilter("ignore")
        from pynwb import NWBHDF5IO, NWBFile

    spikes = world.spikes(start, stop)
    began = datetime.fromtimestamp(start, UTC)
    file = NWBFile(
        session_description="Simulated: a rat on a linear track and its CA1 neurons. No animal was recorded.",
        identifier=f"simulated-{world.arena.slug}-{start:.3f}",
        session_start_time=began,
        file_create_date=began,
        institution="Simulated laboratory",
        keywords=["simulated"],
    )
    file.add_unit_column("kind", "what the simulated neuron is: place, interneuron or odour")
    for unit, train in _trains(spikes, world.n_units):
        file.add_unit(
            spike_times=train - start,
            obs_intervals=[[0.0, stop - start]],
            kind=str(world.ensemble.kinds[unit]),
            id=unit,
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.part.nwb")
    with NWBHDF5IO(str(part), "w") as output:
        output.write(file)
    part.replace(path)
    return len(spikes.time)


def _trains(spikes: Spikes, n_units: int) -> list[tuple[int, np.ndarray]]:
    return [(unit, spikes.time[spikes.unit == unit]) for unit in range(n_units)]


def _whole(path: Path, **arrays: Any) -> None:
    """Write an archive that is under its name only when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as output:
        np.savez_compressed(output, **arrays)
    part.replace(path)
