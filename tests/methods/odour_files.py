"""Simulated odour sessions in the layout of an odour-sequence laboratory: the NumPy triple."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from analysis.methods.odour_sessions import OdourSession
from tests.methods.running import recording

LFP_RATE = 1000


def write_triple(folder: Path, session: OdourSession, *, seed: int = 0):
    """Write the session's three files, theta on the second of two tetrodes; return the recording."""
    info = np.zeros((session.odour.size, 5))
    info[:, 0], info[:, 1], info[:, 3] = session.correct, session.in_sequence, session.odour + 1
    np.save(folder / "rat_trial_info.npy", info)
    np.save(folder / "rat_spike_data_binned.npy", session.counts)
    samples = np.arange(session.phase.shape[1] * 10)
    middles = np.arange(session.phase.shape[1]) * 10 + 5
    theta = [np.cos(np.interp(samples, middles, np.unwrap(phase))) for phase in session.phase]
    lfp = np.random.default_rng(seed).normal(0, 0.3, (*np.shape(theta), 2))
    lfp[..., 1] += theta
    np.save(folder / "rat_lfp_data_sampled.npy", 200 * lfp)
    return recording("units", "odour-triple", folder / "rat_trial_info.npy", lfp_rate=LFP_RATE, unit="uV")
