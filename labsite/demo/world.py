"""The simulated world of one arena: where the animal is, which neurons fire and what the camera must show at any time.

All of it follows from the clock: the moment of the world is the wall time modulo the arena's loop. So the picture that
a live camera takes at 14:02:07, the spikes of that second and the true position belong together, in whichever process
they are computed, and again tomorrow.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cameras.agent.simulation import Camera, load_trajectory
from labsite.demo.arenas import Arena
from labsite.demo.motion import PATH_SECONDS, Trial, Walk, make_path
from labsite.demo.neurons import Ensemble, make_ensemble, speed_of, theta_phase_of

Floats = NDArray[np.float64]

# Written into the cache: a change of the model makes the worlds anew.
MODEL_VERSION = 2
# Spikes are drawn chunk by chunk of the wall clock, each with a generator of its own, so that any interval can be had
# without the ones before it. Every loop is a whole number of chunks.
CHUNK_SECONDS = 10.0
PASS_SECONDS = 2.0
GAIN_SHAPE = 1.2
REFRACTORY_SECONDS = 0.002
PICTURE_SIZE = (640, 480)


@dataclass(frozen=True)
class Spikes:
    """``time`` (s since the Unix epoch, rising) and ``unit`` (0..n_units-1), both ``(n_spikes,)``."""

    time: Floats
    unit: NDArray[np.int64]


@dataclass(frozen=True)
class Position:
    """``time`` (s since the Unix epoch), ``heading`` (rad), ``speed`` (cm/s), all ``(n,)``; ``xy`` ``(n, 2)`` cm."""

    time: Floats
    xy: Floats
    heading: Floats
    speed: Floats


class World:
    """One arena with its animal and neurons; ``file`` is the trajectory that the simulated cameras play."""

    def __init__(self, arena: Arena, file: Path, path: Walk, ensemble: Ensemble) -> None:
        self.arena = arena
        self.file = file
        self.path = path
        self.ensemble = ensemble
        self.speed = speed_of(path)
        self.theta = theta_phase_of(self.speed)
        self._bins = len(path.time) - 1

    @property
    def n_units(self) -> int:
        return self.ensemble.rates.shape[1]

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The odour trials of one loop."""
        return self.path.trials

    def moment(self, unix_seconds: ArrayLike) -> Floats:
        """Return the moment of the loop (s) that is on at a wall time (s since the Unix epoch)."""
        return np.asarray(unix_seconds, float) % self.arena.loop_seconds

    def true_position(self, start: float, stop: float, *, rate: float = 50.0) -> Position:
        """Return where the animal truly was from ``start`` to before ``stop`` (Unix time, s); ``rate`` in Hz."""
        time = start + np.arange(max(0, int(np.ceil((stop - start) * rate - 1e-9)))) / rate
        moment = self.moment(time)
        known = self.path.time
        xy = np.column_stack([np.interp(moment, known, self.path.xy[:, axis]) for axis in (0, 1)])
        heading = np.interp(moment, known, self.path.heading)
        return Position(time, xy, np.angle(np.exp(1j * heading)), np.interp(moment, known, self.speed))

    def theta_phase(self, time: ArrayLike) -> Floats:
        """Return the theta phase (rad, unwrapped within a loop) at wall times."""
        return np.interp(self.moment(time), self.path.time, self.theta)

    def spikes(self, start: float, stop: float) -> Spikes:
        """Return the spikes from ``start`` to before ``stop`` (s since the Unix epoch), sorted by time.

        The same interval gives the same spikes, and two adjoining intervals give those of their union.
        """
        chunks = range(int(start // CHUNK_SECONDS), int(np.ceil(stop / CHUNK_SECONDS)))
        parts = [self._chunk(chunk) for chunk in chunks]
        time = np.concatenate([time for time, _ in parts]) if parts else np.zeros(0)
        unit = np.concatenate([unit for _, unit in parts]) if parts else np.zeros(0, np.int64)
        inside = (time >= start) & (time < stop)
        order = np.argsort(time[inside], kind="stable")
        return Spikes(time[inside][order], unit[inside][order])

    def _chunk(self, chunk: int) -> tuple[Floats, NDArray[np.int64]]:
        """Draw one chunk: inhomogeneous Poisson spikes, thinned by theta phase, without impossible intervals."""
        rng = np.random.default_rng([self.arena.seed, 2, chunk])
        ensemble = self.ensemble
        steps = round(CHUNK_SECONDS / PATH_SECONDS)
        first = (chunk * steps) % self._bins
        rates = ensemble.rates[first : first + steps] * (1 + ensemble.modulation)
        # From one pass through its field to the next a place cell varies far more than a Poisson process would
        # (Fenton and Muller 1998, Proc. Natl. Acad. Sci. USA 95, 3182-3187); interneurons hardly do.
        passes = round(CHUNK_SECONDS / PASS_SECONDS)
        gain = rng.gamma(GAIN_SHAPE, 1 / GAIN_SHAPE, (passes, self.n_units))
        gain[:, ensemble.kinds == "interneuron"] = 1.0
        rates = rates * np.repeat(gain, steps // passes, axis=0)
        bins, units = np.nonzero(counts := rng.poisson(rates * PATH_SECONDS))
        repeats = counts[bins, units]
        bins, units = np.repeat(bins, repeats), np.repeat(units, repeats)
        within = (bins + rng.random(len(bins))) * PATH_SECONDS
        moment = first * PATH_SECONDS + within
        x = np.interp(moment, self.path.time, self.path.xy[:, 0])
        forward = np.sign(np.cos(np.interp(moment, self.path.time, self.path.heading)))
        preferred = ensemble.preferred[units] + ensemble.slope[units] * (x - ensemble.centre[units]) * forward
        phase = np.interp(moment, self.path.time, self.theta)
        depth = ensemble.modulation[units]
        kept = rng.random(len(bins)) * (1 + depth) < 1 + depth * np.cos(phase - preferred)
        within, units = within[kept], units[kept].astype(np.int64)
        order = np.lexsort((within, units))
        within, units = within[order], units[order]
        apart = (np.diff(within, prepend=-1.0) >= REFRACTORY_SECONDS) | (np.diff(units, prepend=-1) != 0)
        return chunk * CHUNK_SECONDS + within[apart], units[apart]

    def trials_between(self, start: float, stop: float) -> Iterator[tuple[float, Trial]]:
        """Yield (Unix time (s) at which its loop began, trial) of the odour trials between two times."""
        loop = self.arena.loop_seconds
        for turn in range(int(start // loop), int(stop // loop) + 1):
            for trial in self.trials:
                if start <= turn * loop + trial.poke_in and turn * loop + trial.poke_out < stop:
                    yield turn * loop, trial

    def camera(self, size: tuple[int, int] = PICTURE_SIZE, *, seed: int = 0) -> Camera:
        """Return the camera (width, height in px) that draws what the live agent draws of this arena."""
        return Camera(load_trajectory(self.file, loop="repeat"), *size, seed=seed)

    def camera_pixels(self, xy: ArrayLike, size: tuple[int, int] = PICTURE_SIZE) -> Floats:
        """Return the true picture coordinates ``(n, 2)`` (px) of places ``(n, 2)`` (cm) for a picture of this size."""
        xy = np.asarray(xy, float)
        x0, y0, x1, y1 = self.arena.bounds
        scale, origin = picture_scale(self.arena.bounds, size)
        middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
        return origin + scale * (xy - middle)


def picture_scale(bounds: tuple[float, float, float, float], size: tuple[int, int]) -> tuple[float, Floats]:
    """Return pixels per cm, and where the middle of the arena lies in the picture (px)."""
    x0, y0, x1, y1 = bounds
    width, height = size
    scale = min(width * 0.94 / (x1 - x0), height * 0.90 / (y1 - y0))
    return scale, np.array([width / 2, height / 2 + height * 0.01])


def open_world(folder: Path, arena: Arena) -> World:
    """Return the world of an arena, from its file in ``folder`` or made now (seconds) and kept there."""
    folder.mkdir(parents=True, exist_ok=True)
    file = _file(folder, arena)
    if is_made(folder, arena):
        with np.load(file, allow_pickle=False) as data:
            return _from_file(arena, file, data)
    path = make_path(arena)
    ensemble = make_ensemble(arena, path)
    part = file.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as output:
        np.savez(
            output,
            made_of=_made_of(arena),
            time=path.time,
            x=path.xy[:, 0],
            y=path.xy[:, 1],
            heading=path.heading,
            arena=np.array(arena.bounds, float),
            shape=arena.shape,
            body_cm=arena.body_cm,
            **_trial_arrays(path.trials),
            **_ensemble_arrays(ensemble),
        )
    part.replace(file)
    return World(arena, file, path, ensemble)


def is_made(folder: Path, arena: Arena) -> bool:
    """Return whether the world of just this arena lies in the folder."""
    file = _file(folder, arena)
    if not file.is_file():
        return False
    with np.load(file, allow_pickle=False) as data:
        return "made_of" in data and str(data["made_of"]) == _made_of(arena)


def _file(folder: Path, arena: Arena) -> Path:
    return folder / f"{arena.slug}.npz"


def _made_of(arena: Arena) -> str:
    return f"{MODEL_VERSION} {sorted(asdict(arena).items())}"


def _trial_arrays(trials: tuple[Trial, ...]) -> dict[str, Any]:
    return {
        "trial_counts": np.array([(t.sequence, t.position) for t in trials], int).reshape(-1, 2),
        "trial_odours": np.array([t.odour for t in trials], "U1"),
        "trial_times": np.array(
            [(t.poke_in, t.poke_out, np.nan if t.reward is None else t.reward) for t in trials], float
        ).reshape(-1, 3),
    }


def _ensemble_arrays(ensemble: Ensemble) -> dict[str, Any]:
    return {f"ensemble_{item.name}": getattr(ensemble, item.name) for item in fields(Ensemble)}


def _from_file(arena: Arena, file: Path, data: np.lib.npyio.NpzFile) -> World:
    trials = tuple(
        Trial(
            int(sequence), int(position), str(odour), float(into), float(out), None if np.isnan(paid) else float(paid)
        )
        for (sequence, position), odour, (into, out, paid) in zip(
            data["trial_counts"], data["trial_odours"], data["trial_times"], strict=True
        )
    )
    path = Walk(data["time"], np.column_stack([data["x"], data["y"]]), data["heading"], trials)
    ensemble = Ensemble(**{item.name: data[f"ensemble_{item.name}"] for item in fields(Ensemble)})
    return World(arena, file, path, ensemble)
