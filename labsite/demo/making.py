"""What child processes make while the catalog is filled: worlds and files. Each returns a reader's parameters.

Plain processes that are told what to make on their standard input and answer on their standard output. Python's own
pools of processes need named semaphores, which an ordinary user of a locked server or of a container may not have.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from labsite.demo.boxes import BOX_OF_RIG, Box
from labsite.demo.world import open_world, picture_scale
from labsite.stack.process import ROOT
from labsite.stack.services import Command


def world(box: Box, worlds: Path) -> str:
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


def odour_trials(box: Box, worlds: Path, path: Path, *, seed: int) -> dict[str, Any]:  # noqa: ARG001 - as all makers
    """Make spikes and theta of the trials of an odour session."""
    from labsite.demo.odourunits import write_odour_trials

    return write_odour_trials(path, seed=seed)


def raw_track(box: Box, worlds: Path, folder: Path, *, seconds: float) -> dict[str, Any]:  # noqa: ARG001
    """Make the files of a raw session on the track of a box, which is of no world: it has a truth of its own."""
    from analysis.methods.raw_sessions import RawTruth, as_parameters, simulate_raw_session
    from labsite.demo.rawsession import write_raw_session

    truth = RawTruth(seconds=seconds, track=box.arena.size[0], rest=(0.3, 1.0))
    session = simulate_raw_session(truth, seed=box.arena.seed)
    write_raw_session(session, folder)
    return as_parameters(session)


class MakingError(Exception):
    """A child process did not make what it was told to; its own last words are the message."""


class Makers:
    """Makes `at_a_time` things at a time, each in a process of its own; leave the context to wait for all."""

    def __init__(self, at_a_time: int) -> None:
        self._threads = ThreadPoolExecutor(at_a_time, thread_name_prefix="making")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def submit(self, make: Callable[..., Any], box: Box, worlds: Path, *rest: Any, **named: Any) -> Future[Any]:
        """Have a function of this module called; paths, numbers and texts may be passed besides the box."""
        paths = [str(path) for path in (worlds, *rest)]
        order = {"make": make.__name__, "rig": box.rig, "paths": paths, "named": named}
        return self._threads.submit(_make, json.dumps(order))


def _make(order: str) -> Any:
    # It must not go on when whoever wants its work was killed.
    command = Command((sys.executable, "-m", __name__)).launched()
    done = subprocess.run(command, input=order, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        raise MakingError((done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"])[-1])
    return json.loads(done.stdout)


def _obey(order: dict[str, Any]) -> Any:
    every = (world, units, position, film, voltage, odour_trials, raw_track)
    makers: dict[str, Callable[..., Any]] = {make.__name__: make for make in every}
    return makers[order["make"]](BOX_OF_RIG[order["rig"]], *map(Path, order["paths"]), **order["named"])


if __name__ == "__main__":
    # Whatever a library prints must not get into the answer.
    with contextlib.redirect_stdout(sys.stderr):
        made = _obey(json.load(sys.stdin))
    json.dump(made, sys.stdout)
