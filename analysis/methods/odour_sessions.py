"""Simulated sessions of the odour-sequence task whose truth is known: what a decoder of odours is measured against.

Each unit prefers one odour. While the animal pokes, the odour that is present drives it, and so, more weakly, do the
one before and the one after it in the sequence, each around its own phase of theta. Neighbours are those of the
presented odour, in sequence or not; the first odour has none before it, the last none after it. Before the poke no
odour drives any unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.methods.errors import InvalidDataError


@dataclass(frozen=True)
class OdourTruth:
    """``units``, ``odours``, ``rounds`` of the sequence; rates in Hz; ``lag`` (degrees) from present to next odour.

    ``neighbours`` is the drive by the odours before and after as a part of that by the present one; ``peak`` of 0
    leaves units that know nothing of odours. ``out_of_sequence`` and ``errors`` are parts of the trials.
    """

    units: int = 40
    odours: int = 5
    rounds: int = 40
    base: float = 2.0
    peak: float = 6.0
    neighbours: float = 0.6
    lag: float = 100.0
    out_of_sequence: float = 0.12
    errors: float = 0.1


@dataclass(frozen=True)
class OdourSession:
    """One simulated session, its bins 10 ms from the poke on, or from so long before it as was asked.

    ``counts`` ``(n_trials, n_units, n_bins)``; ``phase`` of theta (rad) ``(n_trials, n_bins)``; ``odour`` and
    ``position`` ``(n_trials,)`` from 0; ``in_sequence`` and ``correct`` ``(n_trials,)``; ``expected`` counts under
    each odour ``(n_odours, n_trials, n_units, n_bins)``.
    """

    counts: NDArray[Any]
    phase: NDArray[Any]
    odour: NDArray[Any]
    position: NDArray[Any]
    in_sequence: NDArray[Any]
    correct: NDArray[Any]
    expected: NDArray[Any]

    def ideal_accuracy(self, trials: NDArray[Any]) -> float:
        """Return the part of ``trials`` (mask) told right by who knows every rate and phase and all bins."""
        likelihood = np.stack(
            [
                np.sum(self.counts[trials] * np.log(rates[trials]) - rates[trials], axis=(1, 2))
                for rates in self.expected
            ]
        )
        return float(np.mean(likelihood.argmax(axis=0) == self.odour[trials]))


def simulate_odour_session(
    truth: OdourTruth, *, seed: int, n_bins: int = 100, bin_width: float = 0.01, before: int = 0
) -> OdourSession:
    """Draw a session; ``bin_width`` in s, the first ``before`` of ``n_bins`` before the poke.

    Errors: ``InvalidDataError`` for fewer than three odours.
    """
    if truth.odours < 3:
        raise InvalidDataError("A sequence with odours before and after needs at least three odours.")
    rng = np.random.default_rng(seed)
    position = np.tile(np.arange(truth.odours), truth.rounds)
    in_sequence = rng.random(position.size) >= truth.out_of_sequence
    other = (position + rng.integers(1, truth.odours, position.size)) % truth.odours
    odour = np.where(in_sequence, position, other)
    correct = rng.random(position.size) >= truth.errors

    tuning = np.zeros((truth.odours, truth.units))
    tuning[np.arange(truth.units) % truth.odours, np.arange(truth.units)] = truth.peak
    tuning *= rng.uniform(0.5, 1.5, truth.units)
    # One row of nothing on either side: what comes before the first odour and after the last.
    padded = np.pad(tuning, ((1, 1), (0, 0)))

    time = (np.arange(n_bins) + 0.5) * bin_width
    frequency = rng.uniform(7, 9, (position.size, 1))
    phase = np.mod(2 * np.pi * frequency * time + rng.uniform(0, 2 * np.pi, (position.size, 1)), 2 * np.pi)
    expected = np.full((truth.odours, position.size, truth.units, n_bins), truth.base)
    for step, strength in ((-1, truth.neighbours), (0, 1.0), (1, truth.neighbours)):
        drive = strength * (1 + np.cos(phase - np.pi - step * np.deg2rad(truth.lag)))
        drive[:, :before] = 0
        expected += padded[1 + step : 1 + step + truth.odours, None, :, None] * drive[:, None, :]
    expected *= bin_width
    counts = rng.poisson(expected[odour, np.arange(position.size)])
    return OdourSession(counts, phase, odour, position, in_sequence, correct, expected)
