"""Decoding of odours whose units fire by the phase of theta: rates fitted to the model of ``theta_sequence``.

A unit's rate is a base and drives by the odour before, the present one and the one after, each a cosine of theta around
its own phase. Lag, phase, depth and weight are the same for all units and chosen as in ``theta_lag``; what is left of
each unit is one drive for each odour and a base, six numbers for five odours, where parts of the cycle taken one by one
have thirty, fitted by ``odour_drives``. Nothing of a tested trial is used in its own fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.methods.errors import InvalidDataError
from analysis.methods.odour_drives import fit_drives
from analysis.methods.theta_sequence import ThetaModel, best_model

# Parts of the cycle in which rates are taken as constant: 15 degrees.
PARTS = 24
# Spikes in a bin that no fitted rate goes below: one spike of a silent unit must not forbid an odour.
_LEAST = 1e-6


@dataclass(frozen=True)
class PhaseCounts:
    """``spikes`` ``(n_trials, n_units, PARTS)`` and ``bins`` ``(n_trials, PARTS)`` in each part of the cycle."""

    spikes: NDArray[np.floating]
    bins: NDArray[np.floating]

    def __getitem__(self, trials: NDArray[Any]) -> PhaseCounts:
        """Return the counts of some trials, a mask or indices."""
        return PhaseCounts(self.spikes[trials], self.bins[trials])


@dataclass(frozen=True)
class ThetaOdours:
    """A fitted decoder: ``model`` of theta and ``rates`` ``(n_odours, n_units, PARTS)`` in spikes for each bin."""

    model: ThetaModel
    rates: NDArray[np.floating]

    def log_likelihood(self, counts: PhaseCounts) -> NDArray[np.floating]:
        """Return the log likelihood of each trial under each odour, ``(n_trials, n_odours)``, up to a constant."""
        spikes = counts.spikes.reshape(len(counts.spikes), -1) @ np.log(self.rates).reshape(len(self.rates), -1).T
        return np.asarray(spikes - counts.bins @ self.rates.sum(axis=1).T)

    def posterior(self, counts: PhaseCounts) -> NDArray[np.floating]:
        """Return the posterior of each trial with a uniform prior, ``(n_trials, n_odours)``."""
        log = self.log_likelihood(counts)
        posterior = np.exp(log - log.max(axis=1, keepdims=True))
        return np.asarray(posterior / posterior.sum(axis=1, keepdims=True))


def phase_counts(counts: NDArray[Any], phase: NDArray[Any]) -> PhaseCounts:
    """Sort spikes by the phase of their bin: ``counts`` ``(n_trials, n_units, n_bins)``, ``phase`` (rad) beside it.

    Bins whose phase is NaN are left out. Errors: ``InvalidDataError`` where the shapes do not fit.
    """
    if counts.ndim != 3 or phase.shape != (counts.shape[0], counts.shape[2]):
        raise InvalidDataError(f"Counts of shape {counts.shape} and phases of shape {phase.shape} do not fit together.")
    turn = 2 * np.pi
    known = np.isfinite(phase)
    member = np.minimum((np.mod(np.where(known, phase, 0.0), turn) / turn * PARTS).astype(int), PARTS - 1)
    inside = ((member[..., None] == np.arange(PARTS)) & known[..., None]).astype(float)
    return PhaseCounts(np.asarray(counts @ inside), inside.sum(axis=1))


def fit_theta_odours(counts: PhaseCounts, labels: NDArray[Any], *, n_odours: int) -> ThetaOdours:
    """Fit to trials with known odours, ``labels`` ``(n_trials,)`` from 0.

    Errors: ``InvalidDataError`` where an odour has no trial.
    """
    members = labels == np.arange(n_odours)[:, None]
    if not members.any(axis=1).all():
        raise InvalidDataError("Too few trials to train on: an odour has none.")
    spikes = np.stack([counts.spikes[trials].sum(axis=0) for trials in members])
    bins = np.stack([counts.bins[trials].sum(axis=0) for trials in members])
    centres = (np.arange(PARTS) + 0.5) * 2 * np.pi / PARTS
    waves = np.stack([np.ones(PARTS), 2 * np.cos(centres), 2 * np.sin(centres)])
    seconds = np.maximum(bins.sum(axis=1), 1.0)
    # Mean and first harmonic of each unit's count in a bin, odour by odour, as the lag is fitted to.
    parts = np.einsum("oup,wp->wou", spikes, waves) / seconds[None, :, None]
    model = best_model(parts)
    design = model.design(centres, n_odours)
    drives = fit_drives(design, spikes, bins)
    rates = np.einsum("opk,ku->oup", design, drives)
    return ThetaOdours(model, np.maximum(rates, _LEAST))


def decode_theta_odours(
    counts: PhaseCounts, labels: NDArray[Any], trained: NDArray[Any], fold: NDArray[Any], *, n_odours: int
) -> NDArray[np.floating]:
    """Return the posterior of every trial out of fold, ``(n_trials, n_odours)``, as ``sequence.decode_odours`` does."""
    posterior = np.empty((labels.size, n_odours))
    for number in np.unique(fold):
        trains, tested = trained & (fold != number), fold == number
        fitted = fit_theta_odours(counts[trains], labels[trains], n_odours=n_odours)
        posterior[tested] = fitted.posterior(counts[tested])
    return posterior
