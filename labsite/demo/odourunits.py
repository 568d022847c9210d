"""Spikes and theta of a simulated odour session, trial by trial, in the layout of an odour-sequence laboratory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.marks import ODOUR
from analysis.methods.odour_sessions import OdourTruth, simulate_odour_session

# What the past, the present and the next odour make of theta: the truth that decoding should find.
TRUTH = OdourTruth(units=32, peak=2.0, lag=70.0, rounds=40)
BIN_SECONDS = 0.01
POKE_SECONDS = 0.8
TRIAL_SECONDS = 2.0
LFP_HZ = 500.0
THETA_UV, NOISE_UV = 180.0, 60.0
TETRODES = 4


def write_odour_trials(path: Path, *, seed: int) -> dict[str, float | str]:
    """Write the three files beside ``path``, the one of trials; return the parameters that their reader needs."""
    rng = np.random.default_rng(seed)
    session = simulate_odour_session(
        TRUTH,
        seed=seed,
        n_bins=round(TRIAL_SECONDS / BIN_SECONDS),
        bin_width=BIN_SECONDS,
        before=round(POKE_SECONDS / BIN_SECONDS),
    )
    info = np.zeros((session.odour.size, 4), np.int16)
    info[:, 0], info[:, 1], info[:, 3] = session.correct, session.in_sequence, session.odour + 1
    samples = (np.arange(round(TRIAL_SECONDS * LFP_HZ)) + 0.5) / LFP_HZ
    middles = (np.arange(session.phase.shape[1]) + 0.5) * BIN_SECONDS
    theta = np.stack([np.cos(np.interp(samples, middles, np.unwrap(phase))) for phase in session.phase])
    depth = np.linspace(0.4, 1.0, TETRODES)
    lfp = THETA_UV * theta[..., None] * depth + rng.normal(0, NOISE_UV, (*theta.shape, TETRODES))
    path.parent.mkdir(parents=True, exist_ok=True)
    animal = path.name.removesuffix(ODOUR[0])
    arrays: tuple[NDArray[Any], ...] = (info, session.counts.astype(np.uint8), lfp.astype(np.float32))
    for ending, array in zip(ODOUR, arrays, strict=True):
        whole = path.with_name(animal + ending)
        part = whole.with_name(f".{whole.name}.part")
        with part.open("wb") as output:
            np.save(output, array)
        part.replace(whole)
    return {"lfp_rate": LFP_HZ, "unit": "uV"}
