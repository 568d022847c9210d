"""What decoders on counts around a bin learn from: windows of spikes, hidden where they are not for training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.methods.decoders import Behaviour
from analysis.methods.errors import InvalidDataError
from analysis.methods.spikes import counts_around

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Surroundings:
    """What a decoder sees of a bin: ``2 * lags + 1`` windows of ``window_bins`` around it, of units that fire enough.

    Units with fewer than ``minimum_spikes`` in the training bins are left out. With ``roots`` counts enter as square
    roots, which gives Poisson counts a variance that does not grow with the rate.
    """

    window_bins: int
    lags: int
    minimum_spikes: int
    roots: bool = True

    def training(
        self, counts: Array, behaviour: Behaviour, train: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
        """Return the moving bins of ``train``, the units used and the features ``(n_rows, n_features)``.

        Spikes of other bins than those of ``train`` are not seen. Errors: ``InvalidDataError`` where the animal moves
        in none of them.
        """
        rows = np.flatnonzero(train & behaviour.scored)
        if rows.size == 0:
            raise InvalidDataError("There is no training bin in which the animal moves.")
        units = np.flatnonzero(counts[rows].sum(axis=0) >= self.minimum_spikes)
        return rows, units, self.of(np.where(train[:, None], counts[:, units], np.nan))[rows]

    def of(self, counts: Array) -> Array:
        """Return the features of every bin of a stretch ``(n_bins, n_units)``."""
        features = counts_around(counts, window_bins=self.window_bins, lags=self.lags)
        return np.sqrt(features) if self.roots else features
