"""The simulated neurons of an arena: place cells of RatInABox, interneurons, and cells that know the odour.

Rates follow what is known of rat CA1: fields of 6 to 13 cm (sigma), peaks of one to thirty Hz, fields that on a track
care for the direction of running, rates that fall while the animal stands, theta modulation with phase precession
(O'Keefe and Recce 1993, Hippocampus 3, 317-330), and theta that is faster the faster the animal runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from labsite.demo.arenas import ODOURS, Arena
from labsite.demo.motion import CM_PER_M, PATH_SECONDS, Walk, global_seed, ratinabox

Floats = NDArray[np.float64]

BASELINE_HZ = 0.15
FIELD_SIGMA_CM = (6.0, 13.0)
PRECESSION_RAD = 1.5 * np.pi
THETA_HZ, THETA_HZ_PER_CM_S = 7.5, 0.018
# A few sorted "units" of any real session hardly fire; an analysis has to leave them out.
NEARLY_SILENT = 4


@dataclass(frozen=True)
class Ensemble:
    """``rates`` ``(n_bins, n_units)`` Hz on the path's samples, and how theta shapes them.

    A spike at place x (cm) is most likely at the theta phase ``preferred + slope * (x - centre) * direction`` (rad);
    ``modulation`` 0..1 is the depth. ``kinds`` are "place", "interneuron" and "odour"; all per unit ``(n_units,)``.
    """

    rates: NDArray[np.float32]
    modulation: Floats
    preferred: Floats
    slope: Floats
    centre: Floats
    kinds: NDArray[np.str_]


def speed_of(path: Walk) -> Floats:
    """Return the speed (cm/s) at every sample of the path, smoothed over 0.1 s."""
    from scipy.ndimage import gaussian_filter1d

    velocity = np.gradient(path.xy, PATH_SECONDS, axis=0)
    return gaussian_filter1d(np.hypot(velocity[:, 0], velocity[:, 1]), 0.1 / PATH_SECONDS)


def theta_phase_of(speed: Floats) -> Floats:
    """Return the unwrapped theta phase (rad) at every sample; over a loop it makes a whole number of cycles."""
    frequency = THETA_HZ + THETA_HZ_PER_CM_S * np.minimum(speed, 60.0)
    phase = 2 * np.pi * np.concatenate([[0.0], np.cumsum(frequency[:-1]) * PATH_SECONDS])
    cycles = phase[-1] / (2 * np.pi)
    return phase * (np.round(cycles) / cycles)


def make_ensemble(arena: Arena, path: Walk) -> Ensemble:
    """Return the neurons that an electrode in this arena's animal would see; the same arena gives the same neurons."""
    rng = np.random.default_rng([arena.seed, 1])
    speed = speed_of(path)
    awake = 0.12 + 0.88 / (1 + np.exp(-(speed - 4.0) / 1.2))
    place, centre, slope = _place_cells(arena, path, rng)
    peaks = np.clip(rng.lognormal(np.log(7.0), 0.8, arena.place_cells), 1.0, 30.0)
    peaks[-NEARLY_SILENT:] = 0.4
    blocks = [BASELINE_HZ + place * peaks * awake[:, None]]
    lively = rng.uniform(14, 28, arena.interneurons)
    blocks.append(lively * (0.75 + 0.25 * np.minimum(speed / 40, 1))[:, None])
    if arena.odour_cells:
        blocks.append(_odour_cells(arena, path, rng))
    others = arena.interneurons + arena.odour_cells
    kinds = ["place"] * arena.place_cells + ["interneuron"] * arena.interneurons + ["odour"] * arena.odour_cells
    return Ensemble(
        rates=np.hstack(blocks).astype(np.float32),
        modulation=np.concatenate([rng.uniform(0.4, 0.7, arena.place_cells), rng.uniform(0.3, 0.6, others)]),
        preferred=np.concatenate([rng.normal(np.pi, 0.3, arena.place_cells), rng.normal(0.8 * np.pi, 0.4, others)]),
        slope=np.concatenate([slope, np.zeros(others)]),
        centre=np.concatenate([centre, np.zeros(others)]),
        kinds=np.array(kinds),
    )


def _place_cells(arena: Arena, path: Walk, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Return the fields along the path ``(n_bins, n_cells)``, peak 1, their centres (cm, x) and precession slopes."""
    package = ratinabox()
    count = arena.place_cells
    sigma = rng.uniform(*FIELD_SIGMA_CM, count) * (1.0 if arena.motion == "track" else 1.3)
    parameters = {"n": count, "widths": sigma / CM_PER_M, "wall_geometry": "euclidean", "max_fr": 1.0}
    width, height = arena.size
    one_way = arena.motion == "track"
    if one_way:
        # Fields tile the track evenly, with some scatter, as over-represented as in no particular session.
        spots = np.linspace(2, width - 2, count) + rng.normal(0, 2.0, count)
        parameters["place_cell_centres"] = rng.permutation(spots)[:, None] / CM_PER_M
        environment = package.Environment({"dimensionality": "1D", "scale": width / CM_PER_M})
        places = path.xy[:, :1] / CM_PER_M
    else:
        spots = np.column_stack([rng.uniform(0, width, count), rng.uniform(0, height, count)])
        parameters["place_cell_centres"] = spots / CM_PER_M
        environment = package.Environment({"scale": height / CM_PER_M, "aspect": width / height})
        places = path.xy / CM_PER_M
    with global_seed(arena.seed + 1):
        agent = package.Agent(environment, {"speed_mean": 0.0 if one_way else 0.1, "name": "rat"})
        cells = package.PlaceCells(agent, parameters)
        fields = cells.get_state(evaluate_at=None, pos=places).T
    centre = cells.place_cell_centres[:, 0] * CM_PER_M
    if not one_way:
        return fields, centre, np.zeros(count)
    rightward = (np.cos(path.heading) > 0)[:, None]
    # A third likes one direction, a third the other, a third both.
    likes = rng.permutation(np.arange(count) % 3)
    gain = np.where(rightward, np.where(likes == 1, 0.12, 1.0), np.where(likes == 0, 0.12, 1.0))
    return fields * gain, centre, -PRECESSION_RAD / (4 * sigma)


def _odour_cells(arena: Arena, path: Walk, rng: np.random.Generator) -> Floats:
    """Return rates (Hz) of cells that fire for one odour, more and more while the nose is in the port."""
    count = arena.odour_cells
    favourite = rng.permutation(np.arange(count) % len(ODOURS))
    peaks = np.clip(rng.lognormal(np.log(11.0), 0.4, count), 4, 25)
    rates = np.tile(rng.uniform(0.2, 1.0, count), (len(path.time), 1))
    for trial in path.trials:
        inside = slice(*np.searchsorted(path.time, (trial.poke_in + 0.1, trial.poke_out)))
        ramp = np.minimum((path.time[inside] - trial.poke_in) / 0.4, 1.0)[:, None]
        rates[inside] += ramp * peaks * np.where(favourite == ODOURS.index(trial.odour), 1.0, 0.08)
    return rates
