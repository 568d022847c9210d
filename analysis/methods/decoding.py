"""Bayesian decoding of position from spike counts with Poisson place fields, cross-validated over blocks of time.

Places lie along a track or in an arena; of an arena's, those that the animal never visited are never decoded.

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
from analysis.methods.grids import TRACK, Grid, distance, gaussian
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

    ``decoded`` (%) ``(n_bins,)``, or ``(n_bins, 2)`` in an arena, and ``posterior`` ``(n_bins, *grid.shape)`` summing
    to 1 are NaN where not tested; ``units_used`` ``(n_folds,)``; ``grid`` are the places.
    """

    decoded: NDArray[np.floating]
    posterior: NDArray[np.floating]
    units_used: NDArray[np.int64]
    grid: Grid


class BlockDecoder:
    """A cross-validated decoder for one behaviour; all that does not depend on spikes is computed once.

    ``position`` and ``sides`` (%) are those of a ``Behaviour``, ``moving`` is ``(n_bins,)``; only moving bins with a
    position train. Place fields, occupancy and the choice of units come from the training bins of each fold alone.
    """

    def __init__(
        self,
        position: NDArray[Any],
        moving: NDArray[Any],
        folds: Sequence[Fold],
        settings: DecoderSettings,
        sides: tuple[float, ...] = TRACK,
    ) -> None:
        from scipy.sparse import csr_array

        self.position = np.asarray(position, float)
        self.settings = settings
        self.folds = list(folds)
        self.grid = Grid.with_bins(settings.place_bins, sides)
        place = self.grid.place(self.position)
        self.usable = np.asarray(moving, bool) & (place >= 0)
        self.rows = np.flatnonzero(self.usable)
        if self.rows.size == 0:
            raise InvalidDataError("In no time bin does the animal move fast enough, so there is nothing to decode.")
        here = (np.ones(self.rows.size), (np.arange(self.rows.size), place[self.rows]))
        place_of = csr_array(here, shape=(self.rows.size, self.grid.cells))
        self._kernels = self.grid.smoothing(settings.smoothing)
        self._left_out = [np.flatnonzero(~fold.train[self.rows]) for fold in self.folds]
        self._tested = [np.flatnonzero(fold.test[self.rows]) for fold in self.folds]
        # Places by rows: products with counts are sums over the bins in each place.
        self._place = place_of.T.tocsr()
        self._place_left_out = [place_of[out].T.tocsr() for out in self._left_out]
        total = self._place.sum(axis=1)
        self._time = []
        for number, left_out in enumerate(self._place_left_out):
            bins = total - left_out.sum(axis=1)
            if not bins.sum() > 0:
                raise InvalidDataError(
                    f"Fold {number + 1} has no moving bin to train on; use fewer folds or a lower speed."
                )
            self._time.append(_time_in(self.grid, bins, self._kernels))

    def decode(self, counts: NDArray[np.floating]) -> Decoded:
        """Decode every bin that has a fold, resting ones included, from counts ``(n_bins, n_units)``."""
        n_bins = len(self.position)
        posterior = np.full((n_bins, self.grid.cells), np.nan)
        decoded = np.full(self.position.shape, np.nan)
        used = np.zeros(len(self.folds), dtype=np.int64)
        for number, (fold, (log_rate, expected, log_prior, units)) in enumerate(
            zip(self.folds, self._models(counts), strict=True)
        ):
            used[number] = units.size
            log = counts[fold.test][:, units] @ log_rate - expected + log_prior
            log -= log.max(axis=1, keepdims=True)
            weight = np.exp(log)
            own = weight / weight.sum(axis=1, keepdims=True)
            # Fold by fold: of all bins and places at once it would be a second copy of what fills the memory.
            posterior[fold.test], decoded[fold.test] = own, self.grid.centres[own.argmax(axis=1)]
        return Decoded(decoded, posterior.reshape(n_bins, *self.grid.shape), used, self.grid)

    def errors(self, counts: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the error (%) of every moving bin, ``(len(rows),)``: the quick way for permutations."""
        moving, centres = counts[self.rows], self.grid.centres
        error = np.full(self.rows.size, np.nan)
        for tested, (log_rate, expected, log_prior, units) in zip(self._tested, self._models(counts), strict=True):
            best = (moving[tested][:, units] @ log_rate - expected + log_prior).argmax(axis=1)
            error[tested] = distance(self.position[self.rows[tested]], centres[best])
        return error

    def units_used(self, counts: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return how many units have enough spikes in each fold, ``(n_folds,)``."""
        return np.array([units.size for *_, units in self._models(counts)])

    def median_error(self, counts: NDArray[np.floating]) -> float:
        """Return the median of ``errors`` (%)."""
        return float(np.median(self.errors(counts)))

    def _models(self, counts: NDArray[np.floating]):  # noqa: ANN202 - a generator of four arrays, private to this class
        """Yield per fold the log rates (units, places), expected counts and log prior (places,), and the units used.

        Sums over training bins are the sums over all bins less those left out, which are few: so 200 permutations of
        ten folds take a second, not a minute.
        """
        settings = self.settings
        moving = counts[self.rows]
        total = self._place @ moving
        for out, left_out, time in zip(self._left_out, self._place_left_out, self._time, strict=True):
            spikes = total - left_out @ moving[out]
            units = np.flatnonzero(spikes.sum(axis=0) >= settings.minimum_spikes)
            rate = _rates(self.grid, spikes[:, units].T, time * settings.window, self._kernels, settings.lowest_rate)
            log_prior = _log_prior(time, settings.prior)
            yield np.log(rate * settings.window), rate.sum(axis=0) * settings.window, log_prior, units


def _time_in(grid: Grid, bins: NDArray[Any], kernels: Sequence[NDArray[np.floating]]) -> NDArray[np.floating]:
    """Return the smoothed number of training bins in each place ``(cells,)``, 0 where none was near."""
    smooth = grid.spread(bins.reshape(grid.shape).astype(float), kernels)
    return np.where((smooth > 1e-9) & grid.visited(bins), smooth, 0.0).ravel()


def _rates(
    grid: Grid,
    spikes: NDArray[np.floating],
    seconds: NDArray[np.floating],
    kernels: Sequence[NDArray[np.floating]],
    lowest_rate: float,
) -> NDArray[np.floating]:
    """Return rate maps (Hz) ``(units, cells)`` from spikes ``(units, cells)`` and smoothed time in each place."""
    visited = seconds > 0
    smooth = grid.spread(spikes.reshape(-1, *grid.shape), kernels).reshape(-1, grid.cells)
    rate = np.full(smooth.shape, lowest_rate)
    rate[:, visited] = np.maximum(smooth[:, visited] / seconds[visited], lowest_rate)
    return rate


def _log_prior(time: NDArray[np.floating], prior: Prior) -> NDArray[np.floating]:
    """Return the log of the prior over places ``(cells,)``, minus infinity where the animal never was."""
    visited = time > 0
    log_prior = np.full(time.shape, -np.inf)
    log_prior[visited] = np.log(time[visited] / time.sum()) if prior == "occupancy" else 0.0
    return log_prior


@dataclass(frozen=True)
class PlaceModel:
    """What a Bayesian decoder learnt: ``rate`` (Hz) ``(n_used, cells)``, ``units`` the columns used.

    ``log_prior`` is ``(cells,)``, minus infinity where the animal never was; ``step`` (s) of the time bins; ``grid``
    the places.
    """

    rate: NDArray[np.floating]
    log_prior: NDArray[np.floating]
    step: float
    units: NDArray[np.int64]
    grid: Grid


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
        grid = behaviour.grid(self.place_bins)
        place = grid.place(behaviour.position[rows])
        units = np.flatnonzero(counts[rows].sum(axis=0) >= self.minimum_spikes)
        spikes = np.zeros((grid.cells, units.size))
        np.add.at(spikes, place, counts[rows][:, units])
        kernels = grid.smoothing(self.smoothing)
        time = _time_in(grid, np.bincount(place, minlength=grid.cells), kernels)
        rate = _rates(grid, spikes.T, time * behaviour.step, kernels, self.lowest_rate)
        return PlaceModel(rate, _log_prior(time, self.prior), behaviour.step, units, grid)

    def predict(self, models: Sequence[PlaceModel], counts: Sequence[NDArray[np.floating]]) -> list[Prediction]:
        """Decode each stretch; at its ends and beside bins of NaN a window covers less time, which is reckoned with."""
        made = []
        for model, part in zip(models, counts, strict=True):
            seen = np.isfinite(part).all(axis=1, keepdims=True)
            within = sliding_counts(np.where(seen, part, 0.0)[:, model.units], self.window_bins)
            seconds = sliding_counts(seen.astype(float), self.window_bins) * model.step
            # The time of a window scales the rates of all places alike, so its logarithm is the same for all.
            log = within @ np.log(model.rate) - seconds * model.rate.sum(axis=0) + model.log_prior
            weight = np.exp(log - log.max(axis=1, keepdims=True))
            posterior = weight / weight.sum(axis=1, keepdims=True)
            found = model.grid.centres[posterior.argmax(axis=1)]
            made.append(Prediction(found, posterior.reshape(-1, *model.grid.shape)))
        return made


def candidates(
    *, step: float, place_bins: int = 50, minimum_spikes: int = 10, in_the_open: bool = False
) -> list[Decoder]:
    """Return the Bayesian decoders that a cross-validation on bins of ``step`` (s) chooses from.

    Windows of a quarter, a half and a whole second, fields smoothed with a sigma of 2 % and 4 % of the track, both
    priors. In an arena, where each place is visited less, the sigma is 4 % or 7 % of the longer side.
    """
    sigmas = (4.0, 7.0) if in_the_open else (2.0, 4.0)
    windows = dict.fromkeys(max(1, round(seconds / step)) for seconds in (0.25, 0.5, 1.0))
    priors: tuple[Prior, ...] = ("occupancy", "uniform")
    return [
        BayesianDecoder(window, place_bins, percent / 100 * place_bins, prior, minimum_spikes)
        for window, percent, prior in product(windows, sigmas, priors)
    ]


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
    kernel = gaussian(settings.place_bins, settings.smoothing, reach=4.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(occupancy > 0, (spikes @ kernel) / (occupancy @ kernel) / settings.window, np.nan)


@dataclass(frozen=True)
class Accuracy:
    """Errors of decoded positions, in % of the track or of the arena's longer side, over ``n`` bins.

    ``zone_accuracy`` and ``within`` are shares, 0-1.

    ``confusion`` ``(zones, zones)``: row = true zone, column = decoded zone, each visited row sums to 1, others are
    NaN. Zones of an arena are numbered row by row.
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


def accuracy(
    true: NDArray[Any],
    decoded: NDArray[Any],
    *,
    tolerance: float = 10.0,
    zones: tuple[int, ...] | None = None,
    sides: tuple[float, ...] = TRACK,
) -> Accuracy:
    """Measure decoded against true positions, both ``(n,)`` in % of the track or ``(n, 2)`` in % of the longer side.

    Errors are distances. ``r2`` is 1 - residual / total sum of squares of the decoded maximum, over both coordinates
    in an arena of ``sides`` (%); ``zone_accuracy`` the share of bins decoded into the right one of equal zones,
    ``zones`` (10) along a track or (4, 4) rows and columns of an arena. Errors: ``InvalidDataError`` when there is
    nothing to compare.
    """
    true, decoded = np.asarray(true, float), np.asarray(decoded, float)
    if true.size == 0 or true.shape != decoded.shape:
        raise InvalidDataError("There are no decoded positions to compare with true ones.")
    error = distance(true, decoded)
    spread = np.sum((true - true.mean(axis=0)) ** 2)
    grid = Grid(zones or ((10,) if len(sides) == 1 else (4, 4)), sides)
    true_zone, decoded_zone = grid.place(true), grid.place(decoded)
    table = np.zeros((grid.cells, grid.cells))
    np.add.at(table, (true_zone, decoded_zone), 1)
    visits = table.sum(axis=1, keepdims=True)
    confusion = np.divide(table, visits, out=np.full_like(table, np.nan), where=visits > 0)
    return Accuracy(
        n=len(true),
        median=float(np.median(error)),
        mean=float(error.mean()),
        p90=float(np.quantile(error, 0.9)),
        within=float(np.mean(error <= tolerance)),
        tolerance=tolerance,
        r2=float(1 - np.sum((true - decoded) ** 2) / spread) if spread > 0 else float("nan"),
        zone_accuracy=float(np.mean(true_zone == decoded_zone)),
        zones=grid.cells,
        confusion=confusion,
    )
