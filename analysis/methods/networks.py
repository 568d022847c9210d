"""Decoders by networks over time: a recurrent one that reads a stretch both ways, and a convolutional one.

They learn in PyTorch, which is imported here only when one learns. What is learnt is plain arrays under PyTorch's own
names, and decoding with them needs NumPy alone. A network sees whole windows of consecutive training bins, is scored
where the animal moves, and decodes a stretch from the spikes of that stretch.

Sources: Cho et al. 2014, arXiv:1406.1078 (gated recurrent units); Glaser et al. 2020, eNeuro 7 (recurrent decoders);
Bai, Kolter and Koltun 2018, arXiv:1803.01271 (convolutions over time).
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from analysis.methods.decoders import Behaviour, Decoder, Prediction
from analysis.methods.errors import InvalidDataError
from analysis.methods.folds import validation_fold
from analysis.methods.grids import posterior_median

Array = NDArray[np.floating]
Kind = Literal["recurrent", "convolutional"]

_LEAST_PROBABILITY = 1e-6
# Windows of one step of learning, and the least steps between two looks at the block held back.
_BATCH, _STEPS = 16, 8
# Kernel and dilation of the two convolutions: together they see 6 bins to either side.
_TAPS, _DILATIONS = 5, (1, 2)


def installed() -> bool:
    """Whether PyTorch can be imported; nothing is."""
    return find_spec("torch") is not None


@dataclass(frozen=True)
class NetworkModel:
    """A network that has learnt: ``tensors`` under PyTorch's names, float32, and all that turns counts into its input.

    Its input is the square root of the counts of ``units`` less ``mean``, by ``scale``, both ``(n_used,)``; ``rounds``
    says how long it learnt, ``device`` on what.
    """

    kind: Kind
    tensors: Mapping[str, NDArray[np.float32]]
    mean: Array
    scale: Array
    units: NDArray[np.int64]
    rounds: int
    device: str

    def posterior(self, counts: Array) -> Array:
        """Return the probability of every place in a stretch of ``counts`` ``(n_bins, n_units)``, by NumPy.

        Beyond its ends and in bins of NaN there are no spikes.
        """
        given = (np.sqrt(np.nan_to_num(counts[:, self.units])) - self.mean) / self.scale
        inner = self._recurrent(given) if self.kind == "recurrent" else self._convolutional(given)
        log = inner @ self.tensors["places.weight"].T.astype(float) + self.tensors["places.bias"]
        weight = np.exp(log - log.max(axis=1, keepdims=True))
        posterior = weight / weight.sum(axis=1, keepdims=True) + _LEAST_PROBABILITY
        return posterior / posterior.sum(axis=1, keepdims=True)

    def _recurrent(self, given: Array) -> Array:
        """Return the states of both directions, ``(n_bins, 2 * hidden)``."""
        return np.concatenate([self._one_way(given, "_l0"), self._one_way(given[::-1], "_l0_reverse")[::-1]], axis=1)

    def _one_way(self, given: Array, suffix: str) -> Array:
        into, through = (self.tensors[f"over_time.weight_{name}{suffix}"].astype(float) for name in ("ih", "hh"))
        bias_into, bias_through = (self.tensors[f"over_time.bias_{name}{suffix}"] for name in ("ih", "hh"))
        hidden = through.shape[1]
        driven = given @ into.T + bias_into
        states = np.zeros((len(given), hidden))
        state = np.zeros(hidden)
        for number, drive in enumerate(driven):
            back = through @ state + bias_through
            reset, update = (
                1 / (1 + np.exp(-(drive[part] + back[part]))) for part in (slice(hidden), slice(hidden, 2 * hidden))
            )
            new = np.tanh(drive[2 * hidden :] + reset * back[2 * hidden :])
            state = (1 - update) * new + update * state
            states[number] = state
        return states

    def _convolutional(self, given: Array) -> Array:
        """Return the second layer, ``(n_bins, hidden)``."""
        layer = given
        for name, dilation in zip(("first", "second"), _DILATIONS, strict=True):
            weight = self.tensors[f"{name}.weight"].astype(float)
            reach = dilation * (_TAPS // 2)
            padded = np.pad(layer, ((reach, reach), (0, 0)))
            taps = (padded[dilation * tap :][: len(layer)] @ weight[:, :, tap].T for tap in range(_TAPS))
            layer = np.maximum(sum(taps) + self.tensors[f"{name}.bias"], 0)
        return layer

    def description(self) -> dict[str, Any]:
        """Return in words and numbers how the tensors are used, so that nothing of this project is needed for it."""
        places = int(self.tensors["places.weight"].shape[0])
        layers = {
            "recurrent": "over_time: torch.nn.GRU(n_units, hidden, batch_first=True, bidirectional=True), its output",
            "convolutional": (
                f"first: torch.nn.Conv1d(n_units, hidden, {_TAPS}, padding=2); ReLU; second: torch.nn.Conv1d(hidden,"
                f" hidden, {_TAPS}, padding=4, dilation=2); ReLU"
            ),
        }[self.kind]
        return {
            "kind": self.kind,
            "input": "(sqrt(spike count) - mean) / scale of each unit, time bin by time bin; tensors mean and scale",
            "layers": f"{layers}; places: torch.nn.Linear(..., {places}); softmax",
            "output": f"probability of {places} place bins of equal length along the track",
            "position": "median of that distribution, linear within a bin",
            "units": [int(unit) for unit in self.units],
            "learnt_on": self.device,
            "rounds": self.rounds,
        }


@dataclass(frozen=True)
class NetworkDecoder:
    """A network of ``kind`` with ``hidden`` units in each layer and a softmax over places.

    It learns from windows of ``window`` (s), drawn at random from the training bins, by Adam at ``rate``, with a share
    ``dropout`` of the input and of the last layer left out, against places spread by ``spread`` (%). A contiguous block
    in the middle of the training bins, with a guard of ``guard_bins``, tells after how many rounds to stop, when
    ``patience`` rounds brought nothing better, and at most ``most_rounds``. It then learns anew, for so long, from all
    training bins. ``gpu`` lets it learn there where there is one; the last digits then differ from those of the CPU.
    """

    kind: Kind
    guard_bins: int
    window: float = 10.0
    hidden: int = 64
    place_bins: int = 50
    spread: float = 3.0
    rate: float = 0.003
    dropout: float = 0.2
    most_rounds: int = 40
    patience: int = 6
    minimum_spikes: int = 10
    seed: int = 0
    gpu: bool = False

    @property
    def name(self) -> str:
        """Return the kind of network."""
        return f"{self.kind} network"

    def fit(self, counts: Array, behaviour: Behaviour, train: NDArray[np.bool_]) -> NetworkModel:
        """Choose when to stop within ``train``, and learn from all its moving bins for so long."""
        if not installed():
            raise InvalidDataError(
                "Recurrent and convolutional decoders need PyTorch, which is not installed here: install labsite[torch]"
                " for this worker, or choose the perceptron."
            )
        held = validation_fold(train, behaviour.scored, guard_bins=self.guard_bins)
        bins = np.arange(train.size)[held.test]
        stretch = slice(bins[0], bins[-1] + 1)
        hidden = np.where(held.test[stretch, None], counts[stretch], np.nan)
        scored = (held.test & behaviour.scored)[stretch]
        place = behaviour.place(self.place_bins)[stretch][scored]
        best, best_round = -np.inf, 1
        # Closed at once, so that what it has set of PyTorch is as before.
        with closing(self._rounds(counts, behaviour, held.train, self.most_rounds)) as learning:
            for number, model in enumerate(learning, start=1):
                likely = model.posterior(hidden)[np.flatnonzero(scored), place]
                score = float(np.log(likely).mean())
                if score > best:
                    best, best_round = score, number
                if number - best_round >= self.patience:
                    break
        *_, last = self._rounds(counts, behaviour, train, best_round, every=best_round)
        return last

    def predict(self, models: Sequence[NetworkModel], counts: Sequence[Array]) -> list[Prediction]:
        """Decode each stretch, with NumPy alone."""
        made = []
        for model, part in zip(models, counts, strict=True):
            posterior = model.posterior(part)
            made.append(Prediction(posterior_median(posterior), posterior))
        return made

    def _rounds(
        self, counts: Array, behaviour: Behaviour, train: NDArray[np.bool_], rounds: int, every: int = 1
    ) -> Generator[NetworkModel, None, None]:
        """Learn for so many rounds, and yield the model after every ``every``-th."""
        import torch

        scored = train & behaviour.scored
        rows = np.flatnonzero(scored)
        if rows.size == 0:
            raise InvalidDataError("There is no training bin in which the animal moves.")
        units = np.flatnonzero(counts[rows].sum(axis=0) >= self.minimum_spikes)
        if units.size == 0:
            raise InvalidDataError(f"No unit has {self.minimum_spikes} spikes in the training bins of a fold.")
        roots = np.sqrt(np.where(train[:, None], counts[:, units], 0.0))
        mean, scale = roots[rows].mean(axis=0), roots[rows].std(axis=0)
        scale[scale == 0] = 1.0
        starts, length = _windows(train, scored, max(2, round(self.window / behaviour.step)))
        steps = max(_STEPS, train.sum() // (length * _BATCH))
        rng = np.random.default_rng(self.seed)
        with _one_deterministic_thread(self.seed):
            device = torch.device("cuda" if self.gpu and torch.cuda.is_available() else "cpu")
            network = _network(self.kind, units.size, self.hidden, self.place_bins, self.dropout).to(device)
            optimiser = torch.optim.Adam(network.parameters(), lr=self.rate)
            given = torch.tensor((roots - mean) / scale, dtype=torch.float32, device=device)
            wanted = torch.tensor(self._places(behaviour), dtype=torch.float32, device=device)
            counted = torch.tensor(scored, dtype=torch.float32, device=device)
            for number in range(1, rounds + 1):
                network.train()
                for _ in range(steps):
                    at = torch.tensor(rng.choice(starts, _BATCH)[:, None] + np.arange(length), device=device)
                    log = torch.log_softmax(network(given[at]), -1)
                    loss = -((wanted[at] * log).sum(-1) * counted[at]).sum() / counted[at].sum()
                    optimiser.zero_grad()
                    loss.backward()
                    optimiser.step()
                if number % every == 0:
                    tensors = {name: value.detach().cpu().numpy().copy() for name, value in network.named_parameters()}
                    yield NetworkModel(self.kind, tensors, mean, scale, units, number, device.type)

    def _places(self, behaviour: Behaviour) -> Array:
        """Return where the animal was, a little spread out, ``(n_bins, place_bins)``."""
        centres = (np.arange(self.place_bins) + 0.5) * 100 / self.place_bins
        place = np.exp(-0.5 * ((np.nan_to_num(behaviour.along_track)[:, None] - centres) / self.spread) ** 2)
        return place / place.sum(axis=1, keepdims=True)


def _windows(train: NDArray[np.bool_], scored: NDArray[np.bool_], wanted: int) -> tuple[NDArray[np.int64], int]:
    """Return the first bins of windows of consecutive training bins in which something is scored, and their length."""
    ends = np.flatnonzero(np.diff(np.r_[0, train.astype(np.int64), 0]))
    lengths = ends[1::2] - ends[::2]
    length = int(min(wanted, lengths.max()))
    trained, counted = (np.cumsum(np.r_[0, marks.astype(np.int64)]) for marks in (train, scored))
    whole = trained[length:] - trained[:-length] == length
    starts = np.flatnonzero(whole & (counted[length:] > counted[:-length]))
    if starts.size == 0:
        raise InvalidDataError(f"The animal moves in no {length} consecutive training bins, which a network needs.")
    return starts, length


@contextmanager
def _one_deterministic_thread(seed: int) -> Iterator[None]:
    """Have PyTorch compute the same each time, and leave it as it was."""
    import torch

    # What cuBLAS needs for the same sums each time; read when it is first used.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(mode=True)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(mode=strict)


def _network(kind: Kind, n_units: int, hidden: int, places: int, dropout: float) -> Any:
    """Return the network, from ``(batch, bins, n_units)`` to the log odds of places ``(batch, bins, places)``."""
    from torch import nn

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.over_time = nn.GRU(n_units, hidden, batch_first=True, bidirectional=True)
            self.places = nn.Linear(2 * hidden, places)
            self.dropout = nn.Dropout(dropout)

        def forward(self, given: Any) -> Any:
            states, _ = self.over_time(self.dropout(given))
            return self.places(self.dropout(states))

    class Convolutional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            near, far = _DILATIONS
            half = _TAPS // 2
            self.first = nn.Conv1d(n_units, hidden, _TAPS, padding=near * half, dilation=near)
            self.second = nn.Conv1d(hidden, hidden, _TAPS, padding=far * half, dilation=far)
            self.places = nn.Linear(hidden, places)
            self.dropout = nn.Dropout(dropout)

        def forward(self, given: Any) -> Any:
            layer = self.first(self.dropout(given).transpose(1, 2)).relu()
            return self.places(self.dropout(self.second(layer).relu().transpose(1, 2)))

    return Recurrent() if kind == "recurrent" else Convolutional()


def candidates(
    kind: Kind, *, guard_bins: int, place_bins: int = 50, minimum_spikes: int = 10, seed: int = 0, gpu: bool = False
) -> list[Decoder]:
    """Return the one network of a kind: what it chooses in its training bins is when to stop."""
    return [NetworkDecoder(kind, guard_bins, place_bins=place_bins, minimum_spikes=minimum_spikes, seed=seed, gpu=gpu)]
