"""A state-space decoder: the animal runs up, runs down or rests at a place, and moves little from bin to bin.

The states are place bins for each of three modes. Spikes are Poisson with a rate map for each mode; between bins the
mode changes as often as it did in the training bins, the place takes a random-walk step, and seldom it jumps
anywhere. The forward pass gives the probability of the states from the spikes so far (causal), the backward pass adds
those to come (smoothed).

In an arena the modes are running and resting, a place is a square of a grid, and the walk takes one step along each
axis: two small matrix products instead of one with all pairs of places. It ends in places that were visited.

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

from analysis.methods.decoders import Behaviour, Decoder, Prediction
from analysis.methods.errors import InvalidDataError
from analysis.methods.grids import Grid, posterior_median

Array = NDArray[np.floating]

# Probabilities held at a time, 4 bytes each and twice: so many stretches are decoded abreast.
_MOST_PROBABILITIES = 60_000_000


@dataclass(frozen=True)
class Learnt:
    """What was learnt from training bins; states are ``(modes * cells,)``, mode by mode, the last of which is rest.

    ``log_rate`` (spikes per bin) ``(n_used, n_states)``, ``expected`` its sum over units ``(n_states,)``,
    ``switching`` ``(modes, modes)`` rows to columns, ``start`` ``(n_states,)``, ``step`` (s) of the
    bins, ``units`` the columns used; ``grid`` the places and ``visited`` ``(cells,)`` those that can be decoded.
    """

    log_rate: Array
    expected: Array
    switching: Array
    start: Array
    step: float
    units: NDArray[np.int64]
    grid: Grid
    visited: NDArray[np.bool_]

    @property
    def modes(self) -> int:
        """Return how many modes there are."""
        return len(self.switching)


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

        grid, step = behaviour.grid(self.place_bins), behaviour.step
        place = grid.place(behaviour.position)
        mode, modes = _modes(behaviour)
        rows = np.flatnonzero(train & (place >= 0))
        if rows.size == 0:
            raise InvalidDataError("There is no training bin in which the animal was seen.")
        used = np.flatnonzero(counts[rows].sum(axis=0) >= self.minimum_spikes)
        state = mode[rows] * grid.cells + place[rows]
        n_states = modes * grid.cells
        here = csr_array((np.ones(rows.size), (state, np.arange(rows.size))), shape=(n_states, rows.size))
        spikes = (here @ counts[rows][:, used]).T.reshape(used.size, modes, *grid.shape)
        seconds = np.bincount(state, minlength=n_states).reshape(modes, *grid.shape) * step
        # A map at a place is the mean around it: kernels gather where those of a walk give.
        around = [kernel.T for kernel in grid.gaussians(self.bandwidth)]
        places = tuple(range(-len(grid.shape), 0))
        total = np.maximum(seconds.sum(axis=places, keepdims=True), step)
        mean = spikes.sum(axis=places, keepdims=True) / total
        time = grid.spread(seconds, around) + self.shrinkage
        rate = (grid.spread(spikes, around) + self.shrinkage * mean) / time
        expected = np.maximum(rate, self.lowest_rate).reshape(used.size, n_states) * step
        following = rows[:-1][np.diff(rows) == 1]
        # One change of each kind is taken as seen, so that none is impossible.
        changes = np.ones((modes, modes))
        np.add.at(changes, (mode[following], mode[following + 1]), 1)
        visited = grid.visited(seconds.sum(axis=0))
        start = np.where(visited, time, 0.0)
        return Learnt(
            np.log(expected),
            expected.sum(axis=0),
            changes / changes.sum(axis=1, keepdims=True),
            (start / start.sum()).ravel(),
            step,
            used,
            grid,
            visited.ravel(),
        )

    def predict(self, models: Sequence[Learnt], counts: Sequence[Array]) -> list[Prediction]:
        """Decode stretches of consecutive bins, each with its model; bins of NaN count as unobserved."""
        made: list[Prediction] = []
        if models:
            states = models[0].modes * models[0].grid.cells
            abreast = max(1, _MOST_PROBABILITIES // (max(len(part) for part in counts) * states))
            for first in range(0, len(models), abreast):
                made += self._abreast(models[first : first + abreast], counts[first : first + abreast])
        return made

    def _abreast(self, models: Sequence[Learnt], counts: Sequence[Array]) -> list[Prediction]:
        modes, grid, step = models[0].modes, models[0].grid, models[0].step
        longest = max(len(part) for part in counts)
        visited = np.stack([model.visited for model in models]).astype(np.float32)
        # Beyond its end a stretch is unobserved, which changes nothing before it.
        likelihood = np.empty((longest, modes, len(models), grid.cells), dtype=np.float32)
        likelihood[:] = visited
        for number, (model, part) in enumerate(zip(models, counts, strict=True)):
            seen = np.isfinite(part).all(axis=1)
            log = part[seen][:, model.units] @ model.log_rate - model.expected
            log -= log.max(axis=1, keepdims=True)
            # Far above the least float32, so that no product in the chain is lost; as an odd, it is none.
            likely = np.exp(np.maximum(log, -60)).astype(np.float32).reshape(-1, modes, grid.cells)
            likelihood[np.flatnonzero(seen), :, number] = likely * visited[number]
        walk = self.walk * np.sqrt(step)
        sigmas = [walk] * (modes - 1) + [walk * self.rest_walk]
        jump = min(self.jumps * step, 1.0)
        chain = _Chain(
            _Walk(grid, sigmas, 1 - jump, visited),
            np.stack([model.switching for model in models], axis=2).astype(np.float32),
            jump / (modes * visited.sum(axis=1, keepdims=True)),
        )
        start = np.stack([model.start.reshape(modes, grid.cells) for model in models], axis=1).astype(np.float32)
        posterior = chain.filtered(likelihood, start)
        if self.smoothed:
            chain.smooth(posterior, likelihood)
        place = posterior.sum(axis=1)
        made = []
        for number, (model, part) in enumerate(zip(models, counts, strict=True)):
            own = place[: len(part), number].astype(float)
            own /= own.sum(axis=1, keepdims=True)
            own = own.reshape(-1, *grid.shape)
            # Between two likely places of an arena the medians of x and of y may meet where nobody was.
            found = grid.nearest(posterior_median(own, grid.sides), model.visited)
            made.append(Prediction(found, own))
        return made


def _modes(behaviour: Behaviour) -> tuple[NDArray[np.int64], int]:
    """Return the mode of every bin ``(n_bins,)`` and how many there are; the last is rest."""
    running = np.zeros(behaviour.moving.size, dtype=np.int64) if behaviour.in_the_open else behaviour.direction
    rest = 1 if behaviour.in_the_open else 2
    return np.where(behaviour.moving, running, rest), rest + 1


class _Walk:
    """One step of the random walk of every mode, of several stretches at once; states ``(modes, stretches, cells)``.

    ``sigmas`` (%) are those of the modes that are entered, ``stay`` is the probability of walking rather than jumping,
    ``visited`` ``(stretches, cells)`` are the places where a step may end: what would leave them is shared among them.
    """

    def __init__(self, grid: Grid, sigmas: Sequence[float], stay: float, visited: Array) -> None:
        self._shape = grid.shape
        kernels = [grid.gaussians(sigma) for sigma in sigmas]
        axes = [np.stack(of_axis).astype(np.float32) for of_axis in zip(*kernels, strict=True)]
        self._within: Array | None = None
        if not visited.all():
            ends = self._along(np.broadcast_to(visited, (len(sigmas), *visited.shape)), axes, transposed=True)
            self._within = np.divide(visited, ends, out=np.zeros_like(ends), where=ends > 0)
        axes[-1] = axes[-1] * np.float32(stay)
        self._axes = axes

    def forth(self, states: Array) -> Array:
        """Return the probability of the states after a step; that of places never visited is taken away later."""
        return self._along(states if self._within is None else states * self._within, self._axes, transposed=False)

    def back(self, states: Array) -> Array:
        """Return the mean over the steps from each state of a value of the states that they lead to."""
        means = self._along(states, self._axes, transposed=True)
        return means if self._within is None else means * self._within

    def _along(self, states: Array, axes: Sequence[Array], *, transposed: bool) -> Array:
        along = [axis.transpose(0, 2, 1) if transposed else axis for axis in axes]
        if len(along) == 1:
            return np.matmul(states, along[0])
        modes, stretches, cells = states.shape
        rows, columns = self._shape
        moved = np.matmul(states.reshape(modes, stretches * rows, columns), along[1])
        moved = moved.reshape(modes, stretches, rows, columns)
        return np.matmul(along[0].transpose(0, 2, 1)[:, None], moved).reshape(modes, stretches, cells)


class _Chain:
    """The transitions of several stretches at once; arrays over states are ``(modes, stretches, cells)``.

    ``walk`` is that in the mode that is entered, ``switching`` ``(modes, modes, stretches)``, ``anywhere``
    ``(stretches, 1)`` the probability per bin of a jump to each state. One step costs a few small matrix products
    instead of one with all pairs of states.
    """

    def __init__(self, walk: _Walk, switching: Array, anywhere: Array) -> None:
        modes = len(switching)
        self._walk = walk
        self._into = [np.ascontiguousarray(switching[mode])[:, :, None] for mode in range(modes)]
        self._from = [np.ascontiguousarray(switching[:, mode])[:, :, None] for mode in range(modes)]
        self._anywhere = anywhere.astype(np.float32)

    def filtered(self, likelihood: Array, start: Array) -> Array:
        """Return the probability of the states given the bins so far, in the shape of ``likelihood``."""
        filtered = np.empty_like(likelihood)
        state = start * likelihood[0]
        for number, likely in enumerate(likelihood):
            if number:
                state = self._walk.forth(_mixed(self._into, state))
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
            ahead = _mixed(self._from, self._walk.back(weighed))
            ahead += self._anywhere
            both = filtered[number]
            both *= ahead
            both /= self._totals(both)

    def _totals(self, states: Array) -> Array:
        """Return the sum over the states of each stretch, ``(stretches, 1)``."""
        return (np.add.reduce(states, axis=0) @ np.ones(states.shape[-1], dtype=states.dtype))[:, None]


def _mixed(switches: Sequence[Array], states: Array) -> Array:
    """Return the states after each changed to every mode as often as ``switches`` ``(modes, stretches, 1)`` say."""
    mixed = switches[0] * states[0]
    for switch, state in zip(switches[1:], states[1:], strict=True):
        mixed += switch * state
    return mixed


def candidates(
    *, place_bins: int = 50, smoothed: bool = True, minimum_spikes: int = 10, in_the_open: bool = False
) -> list[Decoder]:
    """Return the settings that a cross-validation chooses from: bandwidths of maps, walks and jumps.

    In an arena there are fewer, of wider maps: each place is visited less, and there are more of them to go through.
    """
    choices: list[Any] = list(product((2.0, 4.0), (8.0, 12.0, 18.0), (0.002, 0.05)))
    if in_the_open:
        choices = list(product((3.0, 5.0, 8.0), (6.0, 12.0), (0.01,)))
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
