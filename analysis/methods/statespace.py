"""A state-space decoder: the animal runs up, runs down or rests at a place, and moves little from bin to bin.

The states are place bins for each of three modes. Spikes are Poisson with a rate map for each mode; between bins the
mode changes as often as it did in the training bins, the place takes a random-walk step, and seldom it jumps
anywhere. The forward pass gives the probability of the states from the spikes so far (causal), the backward pass adds
those to come (smoothed).

Sources: Brown, Frank, Tang, Quirk and Wilson 1998, J. Neurosci. 18, 7411-7425 (random walk); Denovellis et al. 2021,
eLife 10, e64505 (jumps, modes); Rabiner 1989, Proc. IEEE 77, 257-286 (forward-backward).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from analysis.methods.decoders import Behaviour, Decoder, Prediction, posterior_median
from analysis.methods.errors import InvalidDataError

Array = NDArray[np.floating]

_MODES = 3  # runs down, runs up, rests
_REST = 2


@dataclass(frozen=True)
class Learnt:
    """What was learnt from training bins; states are ``(modes * place_bins,)``, mode by mode.

    ``log_rate`` (spikes per bin) ``(n_used, n_states)``, ``expected`` its sum over units ``(n_states,)``,
    ``switching`` ``(modes, modes)`` rows to columns, ``start`` ``(n_states,)``, ``step`` (s) of the
    bins, ``units`` the columns used.
    """

    log_rate: Array
    expected: Array
    switching: Array
    start: Array
    step: float
    units: NDArray[np.int64]


@dataclass(frozen=True)
class StateSpaceDecoder:
    """``bandwidth`` (%) is the sigma of rate maps, ``walk`` (% per root second) of the random walk while running.

    At rest the walk is ``rest_walk`` of that. ``jumps`` (1/s) is how often the animal is thought to be anywhere
    else at once, which is what lets a wrong place go. ``smoothed`` uses the spikes after a bin too. Where the animal
    spent little time a map tends to the unit's mean rate in that mode, as if ``shrinkage`` (s) had been spent there at
    that rate. Units with fewer than ``minimum_spikes`` in the training bins are left out.
    """

    place_bins: int = 50
    bandwidth: float = 3.0
    walk: float = 12.0
    rest_walk: float = 0.2
    jumps: float = 0.002
    smoothed: bool = True
    shrinkage: float = 0.2
    minimum_spikes: int = 10
    lowest_rate: float = 0.05

    name: ClassVar[str] = "state space"

    def __post_init__(self) -> None:
        """Refuse settings that make no probabilities."""
        if self.place_bins < 2 or not self.bandwidth > 0 or not self.walk > 0 or not 0 < self.jumps <= 1:
            raise InvalidDataError(
                "A state space needs two places or more, and a bandwidth, a walk and jumps (at most 1 a second)"
                " above zero."
            )

    def fit(self, counts: Array, behaviour: Behaviour, train: NDArray[np.bool_]) -> Learnt:
        """Learn rate maps, how modes follow each other, and where the animal is, from the bins of ``train``."""
        from scipy.sparse import csr_array

        bins, step = self.place_bins, behaviour.step
        place = behaviour.place(bins)
        mode = np.where(behaviour.moving, behaviour.direction, _REST)
        rows = np.flatnonzero(train & (place >= 0))
        if rows.size == 0:
            raise InvalidDataError("There is no training bin in which the animal was seen.")
        used = np.flatnonzero(counts[rows].sum(axis=0) >= self.minimum_spikes)
        state = mode[rows] * bins + place[rows]
        n_states = _MODES * bins
        here = csr_array((np.ones(rows.size), (state, np.arange(rows.size))), shape=(n_states, rows.size))
        spikes = (here @ counts[rows][:, used]).reshape(_MODES, bins, used.size)
        seconds = np.bincount(state, minlength=n_states).reshape(_MODES, bins, 1) * step
        spread = _gaussian(bins, self.bandwidth)
        mean = spikes.sum(axis=1, keepdims=True) / np.maximum(seconds.sum(axis=1, keepdims=True), step)
        rate = (spread @ spikes + self.shrinkage * mean) / (spread @ seconds + self.shrinkage)
        expected = np.maximum(rate, self.lowest_rate).reshape(n_states, used.size).T * step
        following = rows[:-1][np.diff(rows) == 1]
        # One change of each kind is taken as seen, so that none is impossible.
        changes = np.ones((_MODES, _MODES))
        np.add.at(changes, (mode[following], mode[following + 1]), 1)
        time = (spread @ seconds)[:, :, 0] + self.shrinkage
        return Learnt(
            np.log(expected),
            expected.sum(axis=0),
            changes / changes.sum(axis=1, keepdims=True),
            (time / time.sum()).ravel(),
            step,
            used,
        )

    def predict(self, models: Sequence[Learnt], counts: Sequence[Array]) -> list[Prediction]:
        """Decode stretches of consecutive bins, each with its model; bins of NaN count as unobserved."""
        bins = self.place_bins
        if not models:
            return []
        longest = max(len(part) for part in counts)
        # Beyond its end a stretch is unobserved, which changes nothing before it.
        likelihood = np.ones((longest, _MODES, len(models), bins), dtype=np.float32)
        for number, (model, part) in enumerate(zip(models, counts, strict=True)):
            seen = np.isfinite(part).all(axis=1)
            log = part[seen][:, model.units] @ model.log_rate - model.expected
            log -= log.max(axis=1, keepdims=True)
            # Far above the least float32, so that no product in the chain is lost; as an odd, it is none.
            likely = np.exp(np.maximum(log, -60)).astype(np.float32).reshape(-1, _MODES, bins)
            likelihood[np.flatnonzero(seen), :, number] = likely
        step = models[0].step
        walk = self.walk * np.sqrt(step)
        kernels = np.stack([_gaussian(bins, walk), _gaussian(bins, walk), _gaussian(bins, walk * self.rest_walk)])
        chain = _Chain(
            kernels.astype(np.float32),
            np.stack([model.switching for model in models], axis=2).astype(np.float32),
            min(self.jumps * step, 1.0),
        )
        start = np.stack([model.start.reshape(_MODES, bins) for model in models], axis=1).astype(np.float32)
        posterior = chain.filtered(likelihood, start)
        if self.smoothed:
            chain.smooth(posterior, likelihood)
        place = posterior.sum(axis=1)
        made = []
        for number, part in enumerate(counts):
            own = place[: len(part), number].astype(float)
            own /= own.sum(axis=1, keepdims=True)
            made.append(Prediction(posterior_median(own), own))
        return made


class _Chain:
    """The transitions of several stretches at once; arrays over states are ``(modes, stretches, place_bins)``.

    ``kernels`` ``(modes, place_bins, place_bins)`` is the walk in the mode that is entered, ``switching``
    ``(modes, modes, stretches)``, ``jump`` the probability per bin of being anywhere. One step costs a few small
    matrix products instead of one with all pairs of states.
    """

    def __init__(self, kernels: Array, switching: Array, jump: float) -> None:
        modes, bins = kernels.shape[:2]
        self._kernels = kernels * np.float32(1 - jump)
        self._back = np.ascontiguousarray(self._kernels.transpose(0, 2, 1))
        self._into = [np.ascontiguousarray(switching[mode])[:, :, None] for mode in range(modes)]
        self._from = [np.ascontiguousarray(switching[:, mode])[:, :, None] for mode in range(modes)]
        self._ones = np.ones(bins, dtype=kernels.dtype)
        self._anywhere = np.float32(jump / (modes * bins))

    def filtered(self, likelihood: Array, start: Array) -> Array:
        """Return the probability of the states given the bins so far, in the shape of ``likelihood``."""
        filtered = np.empty_like(likelihood)
        state = start * likelihood[0]
        for number, likely in enumerate(likelihood):
            if number:
                state = np.matmul(_mixed(self._into, state), self._kernels)
                state += self._anywhere
                state *= likely
            state /= self._totals(state)
            filtered[number] = state
        return filtered

    def smooth(self, filtered: Array, likelihood: Array) -> None:
        """Turn, in place, the probabilities given the bins so far into those given all bins."""
        ahead = np.ones_like(filtered[-1])
        for number in range(len(filtered) - 2, -1, -1):
            weighed = likelihood[number + 1] * ahead
            weighed /= self._totals(weighed)
            ahead = _mixed(self._from, np.matmul(weighed, self._back))
            ahead += self._anywhere
            both = filtered[number]
            both *= ahead
            both /= self._totals(both)

    def _totals(self, states: Array) -> Array:
        """Return the sum over the states of each stretch, ``(stretches, 1)``."""
        return (np.add.reduce(states, axis=0) @ self._ones)[:, None]


def _mixed(switches: Sequence[Array], states: Array) -> Array:
    """Return the states after each changed to every mode as often as ``switches`` ``(modes, stretches, 1)`` say."""
    mixed = switches[0] * states[0]
    for switch, state in zip(switches[1:], states[1:], strict=True):
        mixed += switch * state
    return mixed


def _gaussian(bins: int, sigma: float) -> Array:
    """Return a Gaussian of ``sigma`` (% of the track) over place bins, ``(bins, bins)``, each row summing to 1."""
    distance = (np.arange(bins)[:, None] - np.arange(bins)[None, :]) * 100 / bins
    kernel = np.exp(-0.5 * (distance / sigma) ** 2)
    return kernel / kernel.sum(axis=1, keepdims=True)


def candidates(*, place_bins: int = 50, smoothed: bool = True, minimum_spikes: int = 10) -> list[Decoder]:
    """Return the settings that a cross-validation chooses from: bandwidths of maps, walks and jumps."""
    choices: list[Any] = list(product((2.0, 4.0), (8.0, 12.0, 18.0), (0.002, 0.05)))
    return [
        StateSpaceDecoder(
            place_bins=place_bins,
            bandwidth=bandwidth,
            walk=walk,
            jumps=jumps,
            smoothed=smoothed,
            minimum_spikes=minimum_spikes,
        )
        for bandwidth, walk, jumps in choices
    ]
