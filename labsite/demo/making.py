"""What child processes make while the catalog is filled: worlds and files. Each returns a reader's parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from labsite.demo.boxes import Box
from labsite.demo.world import open_world, picture_scale


def world(worlds: Path, box: Box) -> str:
    """Make the world of a box when it is not there yet; return the rig's name."""
    open_world(worlds, box.arena)
    return box.rig


def units(box: Box, worlds: Path, path: Path, *, start: float, seconds: float) -> dict[str, Any]:
    """Make an NWB file with the units from ``start`` (Unix time, s) on."""
    from labsite.demo.recordings import FROM_START, write_units_nwb

    write_units_nwb(open_world(worlds, box.arena), path, start=start, stop=start + seconds)
    return dict(FROM_START)


def position(box: Box, worlds: Path, path: Path, *, start: float, seconds: float) -> dict[str, Any]:
    """Make a file with the true position."""
    from labsite.demo.recordings import FROM_START, POSITION_HZ, write_position_npz

    write_position_npz(open_world(worlds, box.arena), path, start=start, stop=start + seconds)
    return {"rate": POSITION_HZ, "unit": "cm", **FROM_START}


def film(box: Box, worlds: Path, path: Path, *, start: float, seconds: float) -> dict[str, Any]:
    """Make the video that the box's camera would have recorded."""
    from labsite.demo.film import write_film

    camera = open_world(worlds, box.arena).camera(box.size, seed=box.arena.seed)
    write_film(camera, path, start=start, seconds=seconds, fps=box.fps)
    return {"rate": box.fps, "pixels_per_cm": round(picture_scale(box.arena.bounds, box.size)[0], 4)}


def voltage(box: Box, worlds: Path, path: Path, *, start: float, seconds: float) -> dict[str, Any]:
    """Make the raw voltage of the probe."""
    from labsite.demo.voltage import write_voltage

    return write_voltage(open_world(worlds, box.arena), path, start=start, seconds=seconds).parameters
