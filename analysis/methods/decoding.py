"""Bayesian decoding of position from spike counts with Poisson place fields, cross-validated over blocks of time.

Source: Zhang, Ginzburg, McNaughton and Sejnowski 1998, J. Neurophysiol. 79, 1017-1044 (one-step Bayesian
reconstruction).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from analysis.methods.decoders import Behaviour, Decoder, Prediction
from analysis.methods.errors import InvalidDataError
from analysis.methods.folds import Fold
from analysis.methods.spikes import sliding_counts

Prior = Literal["occupancy", "uniform"]


@dataclass(frozen=True)
class DecoderSettings:
    """``place_bins`` bins over 0-100 %; ``smoothing`` of maps as sigma in place bins.

    ``window`` (s) that one count covers.

    Units with fewer than ``minimum_spikes`` in a fold's training bins are left out of that fold; rates are at least
    ``lowest_rate`` (Hz), so that one spike of a silent unit cannot forbid a place.
    """

    window: float
    place_bins: int = 50
    smoothing: float = 1.0
    prior: Prior = "occupancy"
    minimum_spikes: int = 10
    lowest_rate: float = 0.01


@dataclass(frozen=True)
class Decoded:
    """What was decoded out of fold, for every bin that a fold tests.

    ``decoded`` (%) ``(n_bins,)``, NaN where not tested; ``posterior`` ``(n_bins, place_bins)`` summing to 1, NaN
    where not tested; ``units_used`` ``(n_folds,)``; ``centres`` (%) ``(place_bins,)``.
    """

    decoded: NDArray[np.floating]
    posterior: NDArray[np.floating]
    units_used: NDArray[np.int64]
    centres: NDArray[np.floating]


class BlockDecoder:
    """A cross-validated decoder for one behaviour; all that does not depend on spikes is computed once.

    ``position`` (% of the track) and ``moving`` are ``(n_bins,)``; only moving bins with a position train. Place
    fields, occupancy and the choice of units come from the training bins of each fold alone.
    """

    def __init__(
        self, position: NDArray[Any], moving: NDArray[Any], folds: Sequence[Fold], settings: DecoderSettings
    ) -> None:
        self.position = np.asarray(position, float)
        self.settings = settings
        self.folds = list(folds)
        self.usable = np.asarray(moving, bool) & np.isfinite(self.position)
        self.rows = np.flatnonzero(self.usable)
        if self.rows.size == 0:
            raise InvalidDataError("In no time bin does the animal move fast enough, so there is nothing to decode.")
        bins = settings.place_bins
        self.centres = (np.arange(bins) + 0.5) * 100 / bins
        place = np.clip((self.position[self.rows] / 100 * bins).astype(int), 0, bins - 1)
        self._place = np.zeros((self.rows.size, bins))
        self._place[np.arange(self.rows.size), place] = 1
        self._kernel = _smoothing_matrix(bins, settings.smoothing)
        self._left_out = [np.flatnonzero(~fold.train[self.rows]) for fold in self.folds]
        self._tested = [np.flatnonzero(fold.test[self.rows]) for fold in self.folds]
        total = self._place.sum(axis=0)
        self._occupancy = []
        for number, out in enumerate(self._left_out):
            occupancy = (total - self._place[out].sum(axis=0)) @ self._kernel
            if not occupancy.sum() > 0:
                raise InvalidDataError(
                    f"Fold {number + 1} has no moving bin to train on; use fewer folds or a lower speed."
                )
            self._occupancy.append(occupancy)

    def decode(self, counts: NDArray[np.floating]) -> Decoded:
        """Decode every bin that has a fold, resting ones included, from counts ``(n_bins, n_units)``."""
        n_bins, bins = self.position.size, self.settings.place_bins
        posterior = np.full((n_bins, bins), np.nan)
        used = np.zeros(len(self.folds), dtype=np.int64)
        for number, (fold, (log_rate, expected, log_prior, units)) in enumerate(
            zip(self.folds, self._models(counts), strict=True)
        ):
            used[number] = units.size
            log = counts[fold.test][:, units] @ log_rate - expected + log_prior
            log -= log.max(axis=1, keepdims=True)
            weight = np.exp(log)
            posterior[fold.test] = weight / weight.sum(axis=1, keepdims=True)
        decoded = np.full(n_bins, np.nan)
        tested = np.isfinite(posterior[:, 0])
        decoded[tested] = self.centres[posterior[tested].argmax(axis=1)]
        return Decoded(decoded, posterior, used, self.centres)

    def errors(self, counts: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the absolute error (%) of every moving bin, ``(len(rows),)``: the quick way for permutations."""
        moving = counts[self.rows]
        error = np.full(self.rows.size, np.nan)
        for tested, (log_rate, expected, log_prior, units) in zip(self._tested, self._models(counts), strict=True):
            best = (moving[tested][:, units] @ log_rate - expected + log_prior).argmax(axis=1)
            error[tested] = np.abs(self.centres[best] - self.position[self.rows[tested]])
        return error

    def median_error(self, counts: NDArray[np.floating]) -> float:
        """Return the median of ``errors`` (%)."""
        return float(np.median(self.errors(counts)))

    def _models(self, counts: NDArray[np.floating]):  # noqa: ANN202 - a generator of four arrays, private to this class
        """Yield per fold the log rates (units, bins), expected counts and log prior (bins,), and the units used.

        Sums over training bins are the sums over all bins less those left out, which are few: so 200 permutations of
        ten folds take a second, not a minute.
        """
        settings = self.settings
        moving = counts[self.rows]
        total = self._place.T @ moving
        for out, occupancy in zip(self._left_out, self._occupancy, strict=True):
            spikes = total - self._place[out].T @ moving[out]
            units = np.flatnonzero(spikes.sum(axis=0) >= settings.minimum_spikes)
            seconds = occupancy * settings.window
            visited = seconds > 1e-9 * settings.window
            rate = np.full((units.size, settings.place_bins), settings.lowest_rate)
            smooth = spikes[:, units].T @ self._kernel
            rate[:, visited] = np.maximum(smooth[:, visited] / seconds[visited], settings.lowest_rate)
            log_prior = np.full(settings.place_bins, -np.inf)
            log_prior[visited] = np.log(occupancy[visited] / occupancy.sum()) if settings.prior == "occupancy" else 0.0
            yield np.log(rate * settings.window), rate.sum(axis=0) * settings.window, log_prior, units


@dataclass(frozen=True)
class PlaceModel:
    """What a Bayesian decoder learnt: ``rate`` (Hz) ``(n_used, place_bins)``, ``units`` the columns used.

    ``log_prior`` is ``(place_bins,)``, minus infinity where the animal never was; ``step`` (s) of the time bins.
    """

    rate: NDArray[np.floating]
    log_prior: NDArray[np.floating]
    step: float
    units: NDArray[np.int64]


@dataclass(frozen=True)
class BayesianDecoder:
    """One-step Bayesian decoding from counts over a sliding window of ``window_bins`` time bins.

    ``smoothing`` is the sigma of place fields in place bins; the other settings are those of ``DecoderSettings``.
    """

    window_bins: int = 1
    place_bins: int = 50
    smoothing: float = 1.0
    prior: Prior = "occupancy"
    minimum_spikes: int = 10
    lowest_rate: float = 0.01

    name: ClassVar[str] = "Bayesian"

    def fit(self, counts: NDArray[np.floating], behaviour: Behaviour, train: NDArray[np.bool_]) -> PlaceModel:
        """Learn place fields, the prior and which units to use from the moving bins of ``train``."""
        rows = np.flatnonzero(train & behaviour.scored)
        if rows.size == 0:
            raise InvalidDataError("There is no training bin in which the animal moves.")
        place = behaviour.place(self.place_bins)[rows]
        units = np.flatnonzero(counts[rows].sum(axis=0) >= self.minimum_spikes)
        spikes = np.zeros((self.place_bins, units.size))
        np.add.at(spikes, place, counts[rows][:, units])
        kernel = _smoothing_matrix(self.place_bins, self.smoothing)
        occupancy = np.bincount(place, minlength=self.place_bins) @ kernel
        visited = occupancy > 1e-9
        seconds = occupancy * behaviour.step
        rate = np.full((units.size, self.place_bins), self.lowest_rate)
        rate[:, visited] = np.maximum((spikes.T @ kernel)[:, visited] / seconds[visited], self.lowest_rate)
        log_prior = np.full(self.place_bins, -np.inf)
        log_prior[visited] = np.log(occupancy[visited] / occupancy.sum()) if self.prior == "occupancy" else 0.0
        return PlaceModel(rate, log_prior, behaviour.step, units)

    def predict(self, models: Sequence[PlaceModel], counts: Sequence[NDArray[np.floating]]) -> list[Prediction]:
        """Decode each stretch; at its ends and beside bins of NaN a window covers less time, which is reckoned with."""
        centres = (np.arange(self.place_bins) + 0.5) * 100 / self.place_bins
        made = []
        for model, part in zip(models, counts, strict=True):
            seen = np.isfinite(part).all(axis=1, keepdims=True)
            within = sliding_counts(np.where(seen, part, 0.0)[:, model.units], self.window_bins)
            seconds = sliding_counts(seen.astype(float), self.window_bins) * model.step
            # The time of a window scales the rates of all places alike, so its logarithm is the same for all.
            log = within @ np.log(model.rate) - seconds * model.rate.sum(axis=0) + model.log_prior
            weight = np.exp(log - log.max(axis=1, keepdims=True))
            posterior = weight / weight.sum(axis=1, keepdims=True)
            made.append(Prediction(centres[posterior.argmax(axis=1)], posterior))
        return made


def candidates(*, step: float, place_bins: int = 50, minimum_spikes: int = 10) -> list[Decoder]:
    """Return the Bayesian decoders that a cross-validation on bins of ``step`` (s) chooses from.

    Windows of a quarter, a half and a whole second, fields smoothed with a sigma of 2 % and 4 % of the track, both
    priors.
    """
    windows = dict.fromkeys(max(1, round(seconds / step)) for seconds in (0.25, 0.5, 1.0))
    priors: tuple[Prior, ...] = ("occupancy", "uniform")
    return [
        BayesianDecoder(window, place_bins, percent / 100 * place_bins, prior, minimum_spikes)
        for window, percent, prior in product(windows, (2.0, 4.0), priors)
    ]


def _smoothing_matrix(bins: int, sigma: float) -> NDArray[np.floating]:
    """Return a symmetric-kernel Gaussian over place bins, ``(bins, bins)``; what would leave the track stays on it."""
    if sigma <= 0:
        return np.eye(bins)
    distance = np.arange(bins)[:, None] - np.arange(bins)[None, :]
    kernel = np.where(np.abs(distance) <= np.ceil(4 * sigma), np.exp(-0.5 * (distance / sigma) ** 2), 0)
    return kernel / kernel.sum(axis=1, keepdims=True)


def place_fields(
    counts: NDArray[np.floating], position: NDArray[Any], moving: NDArray[Any], settings: DecoderSettings
) -> NDArray[np.floating]:
    """Return rate maps (Hz) ``(n_units, place_bins)`` of all moving bins together, NaN where never visited.

    For display.
    """
    position = np.asarray(position, float)
    use = np.asarray(moving, bool) & np.isfinite(position)
    place = np.clip((position[use] / 100 * settings.place_bins).astype(int), 0, settings.place_bins - 1)
    occupancy = np.bincount(place, minlength=settings.place_bins).astype(float)
    spikes = np.stack([np.bincount(place, weights=column, minlength=occupancy.size) for column in counts[use].T])
    kernel = _smoothing_matrix(settings.place_bins, settings.smoothing)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(occupancy > 0, (spikes @ kernel) / (occupancy @ kernel) / settings.window, np.nan)


@dataclass(frozen=True)
class Accuracy:
    """Errors of decoded positions, in % of the track, over ``n`` bins.

    ``zone_accuracy`` and ``within`` are shares, 0-1.

    ``confusion`` ``(zones, zones)``: row = true zone, column = decoded zone, each visited row sums to 1, others are
    NaN.
    """

    n: int
    median: float
    mean: float
    p90: float
    within: float
    tolerance: float
    r2: float
    zone_accuracy: float
    zones: int
    confusion: NDArray[np.floating]


def accuracy(true: NDArray[Any], decoded: NDArray[Any], *, tolerance: float = 10.0, zones: int = 10) -> Accuracy:
    """Measure decoded against true positions, both ``(n,)`` in % of the track.

    ``r2`` is 1 - residual / total sum of squares of the decoded maximum; ``zone_accuracy`` the share of bins decoded
    into the right one of ``zones`` equal zones. Errors: ``InvalidDataError`` when there is nothing to compare.
    """
    true, decoded = np.asarray(true, float), np.asarray(decoded, float)
    if true.size == 0 or true.shape != decoded.shape:
        raise InvalidDataError("There are no decoded positions to compare with true ones.")
    error = np.abs(true - decoded)
    spread = np.sum((true - true.mean()) ** 2)
    true_zone = np.clip((true / 100 * zones).astype(int), 0, zones - 1)
    decoded_zone = np.clip((decoded / 100 * zones).astype(int), 0, zones - 1)
    table = np.zeros((zones, zones))
    np.add.at(table, (true_zone, decoded_zone), 1)
    visits = table.sum(axis=1, keepdims=True)
    confusion = np.divide(table, visits, out=np.full_like(table, np.nan), where=visits > 0)
    return Accuracy(
        n=int(true.size),
        median=float(np.median(error)),
        mean=float(error.mean()),
        p90=float(np.quantile(error, 0.9)),
        within=float(np.mean(error <= tolerance)),
        tolerance=tolerance,
        r2=float(1 - np.sum((true - decoded) ** 2) / spread) if spread > 0 else float("nan"),
        zone_accuracy=float(np.mean(true_zone == decoded_zone)),
        zones=zones,
        confusion=confusion,
    )
