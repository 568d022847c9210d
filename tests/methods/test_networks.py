"""Networks over time: with PyTorch right, blind and at chance; without it, a sentence. Weights are for anybody."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from safetensors import safe_open

from analysis.methods import folds, networks
from analysis.methods.errors import InvalidDataError
from analysis.pipelines.base import PipelineError
from tests.methods.conftest import run_laps
from tests.methods.running import run_pipeline
from tests.methods.test_decoders import STEP, binned, median_error, otherwise, validated
from tests.methods.test_learned import GUARD, leaves_chance

KINDS = ("recurrent", "convolutional")
every_kind = pytest.mark.parametrize("kind", KINDS)
learns = pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch, the extra 'torch', is not installed")


@pytest.fixture(scope="module")
def short_laps():
    return binned(run_laps(duration=240))


def quick(kind, **settings):
    return networks.NetworkDecoder(kind, GUARD, hidden=24, most_rounds=12, minimum_spikes=1, **settings)


@learns
@every_kind
def test_the_place_is_found_where_cells_tell_it(short_laps, kind):
    made = validated([quick(kind)], *short_laps)
    counts, behaviour = short_laps
    error = np.abs(made.position - behaviour.position)[behaviour.scored]
    assert np.median(error) < 5
    assert np.all(made.units_used == counts.shape[1])
    assert np.allclose(made.posterior.sum(axis=1), 1)


@learns
@every_kind
def test_arrays_decode_as_pytorch_does(short_laps, kind):
    import torch

    counts, behaviour = short_laps
    model = quick(kind).fit(counts, behaviour, np.arange(len(counts)) < 700)
    network = networks._network(kind, model.units.size, 24, 50, 0.2)
    network.load_state_dict({name: torch.tensor(value) for name, value in model.tensors.items()})
    network.eval()
    given = (np.sqrt(counts[700:, model.units]) - model.mean) / model.scale
    with torch.no_grad():
        expected = torch.softmax(network(torch.tensor(given[None], dtype=torch.float32)), -1)[0].numpy()
    assert np.abs(model.posterior(counts[700:]) - expected).max() < 1e-3


@learns
@every_kind
def test_nothing_of_a_tested_block_reaches_what_decodes_it_and_the_seed_decides(short_laps, kind):
    counts, behaviour = short_laps
    hidden = ~folds.contiguous_folds(len(counts), folds=6, guard_bins=GUARD)[2].train
    spoilt, elsewhere = otherwise(counts, behaviour, hidden)
    decoder = replace(quick(kind), most_rounds=3)
    one, other = (decoder.fit(given, shown, ~hidden) for given, shown in ((counts, behaviour), (spoilt, elsewhere)))
    assert one.rounds == other.rounds
    for name, tensor in one.tensors.items():
        assert np.array_equal(tensor, other.tensors[name]), name
    again = replace(decoder, seed=1).fit(counts, behaviour, ~hidden)
    assert not np.array_equal(again.tensors["places.weight"], one.tensors["places.weight"])


@learns
@every_kind
def test_noise_gives_nothing(kind):
    """Whatever round looked best in training bins, tested blocks are guessed no better than from the middle."""
    counts, behaviour = binned(run_laps(duration=240, units=15, peak=0.0, seed=7))
    found = median_error([quick(kind)], counts, behaviour)
    assert found > 0.9 * np.median(np.abs(behaviour.position - 50)[behaviour.scored])


@learns
@pytest.mark.long
@every_kind
@pytest.mark.parametrize("smoothing", [STEP, 2.0])
def test_information_free_data_stay_at_chance(short_laps, kind, smoothing):
    free, real = leaves_chance(quick(kind), *short_laps, smoothing=smoothing, shifts=19)
    assert free > 0.1
    assert real == pytest.approx(0.05)


@learns
@every_kind
def test_weights_are_loaded_and_used_without_this_project(tmp_path, track, kind):
    """The file and its header, PyTorch and NumPy: the same posterior as the result's."""
    import torch

    asked = {"decoder": kind, "folds": 2, "epoch_stop": 120.0, "guard": 2.0, "bin": 0.5, "shifts": 0}
    output, _ = run_pipeline("decode.position", tmp_path / "run", *track, **asked)
    assert "weights.safetensors" in output.artifacts
    with safe_open(tmp_path / "run" / "weights.safetensors", "numpy") as weights:
        told = json.loads(weights.metadata()["decoder"])
        found = {name: weights.get_tensor(name) for name in weights.keys()}  # noqa: SIM118
    assert told["kind"] == kind
    assert len(told["units"]) == 2
    with np.load(tmp_path / "run" / "decoded.npz") as made:
        rows = made["block"] == 1
        edges = np.r_[made["time"] - 0.25, made["time"][-1] + 0.25]
        posterior = made["posterior"][rows]
    with np.load(tmp_path / "units.npz") as units:
        counts = np.stack(
            [np.histogram(units["spike_times"][units["spike_units"] == k], edges)[0] for k in told["units"][1]], axis=1
        )[rows]
    mine = {name.removeprefix("fold-2."): torch.tensor(value) for name, value in found.items() if "fold-2." in name}
    given = ((torch.tensor(np.sqrt(counts)) - mine["mean"]) / mine["scale"]).float()
    if kind == "recurrent":
        layer = torch.nn.GRU(given.shape[1], 64, batch_first=True, bidirectional=True)
        layer.load_state_dict({k.removeprefix("over_time."): v for k, v in mine.items() if k.startswith("over_time.")})
        inner = layer(given[None])[0][0]
    else:
        relu, conv = torch.relu, torch.nn.functional.conv1d
        inner = relu(conv(given.T[None], mine["first.weight"], mine["first.bias"], padding=2))
        inner = relu(conv(inner, mine["second.weight"], mine["second.bias"], padding=4, dilation=2))[0].T
    mine_posterior = torch.softmax(inner @ mine["places.weight"].T + mine["places.bias"], -1).detach().numpy()
    assert np.abs(mine_posterior - posterior).max() < 1e-3


def test_linear_weights_are_a_file_for_anybody(tmp_path, track):
    output, _ = run_pipeline("decode.position", tmp_path / "run", *track, decoder="ridge", folds=2, shifts=0)
    assert "weights.safetensors" in output.artifacts
    with safe_open(tmp_path / "run" / "weights.safetensors", "numpy") as weights:
        assert json.loads(weights.metadata()["decoder"])["kind"] == "ridge"
        assert weights.get_tensor("fold-1.weights").shape == weights.get_tensor("fold-1.scale").shape


@pytest.mark.skipif(find_spec("torch") is not None, reason="PyTorch is installed")
@every_kind
def test_without_pytorch_a_sentence_says_what_to_install(tmp_path, track, short_laps, kind):
    counts, behaviour = short_laps
    with pytest.raises(InvalidDataError, match="need PyTorch, which is not installed here"):
        quick(kind).fit(counts, behaviour, np.ones(len(counts), bool))
    with pytest.raises(PipelineError, match="choose the perceptron"):
        run_pipeline("decode.position", tmp_path / "run", *track, decoder=kind, shifts=0)


def test_arrays_decode_where_there_is_no_pytorch(short_laps):
    """A network of a file decodes with NumPy alone, a stretch at a time, and bins without a measurement are silent."""
    counts, _ = short_laps
    rng = np.random.default_rng(0)
    shapes = {
        "first.weight": (4, 40, 5), "first.bias": (4,), "second.weight": (4, 4, 5), "second.bias": (4,),
        "places.weight": (10, 4), "places.bias": (10,),
    }  # fmt: skip
    tensors = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    model = networks.NetworkModel("convolutional", tensors, np.zeros(40), np.ones(40), np.arange(40), 1, "cpu")
    hidden = counts[:50].copy()
    hidden[20] = np.nan
    silent = counts[:50].copy()
    silent[20] = 0
    assert np.array_equal(model.posterior(hidden), model.posterior(silent))
    # What lies more than six bins away is not seen.
    assert np.allclose(model.posterior(counts[:50])[:40], model.posterior(counts[:46])[:40])


def test_nothing_imports_pytorch_before_a_network_learns():
    code = (
        "import sys; from analysis.pipelines import registry; registry.all_pipelines();"
        "import analysis.pipelines.position_decoders, analysis.pipelines.position_output;"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
