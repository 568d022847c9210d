"""What learnt decoders weigh, as a file that any program reads: safetensors, with the networks described in its header.

The tensors of the decoder of fold k begin with ``fold-k.``; the header has under ``decoder`` a JSON object with what
they are and how they are used, and ``units`` fold by fold.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.methods.learned import PerceptronModel
from analysis.methods.linear import LinearModel
from analysis.methods.networks import NetworkModel

WEIGHTS = "weights.safetensors"


def write_weights(folder: Path, models: Sequence[Any]) -> str | None:
    """Write the weights of the decoders of all folds; return the file's name, or None where they have none."""
    from safetensors.numpy import save_file

    tensors: dict[str, NDArray[Any]] = {}
    description: dict[str, Any] = {}
    units = []
    for number, model in enumerate(models, start=1):
        parts = _parts(model)
        if parts is None:
            return None
        of_model, description = parts
        units.append(description.pop("units"))
        tensors |= {f"fold-{number}.{name}": np.ascontiguousarray(value) for name, value in of_model.items()}
    if not tensors:
        return None
    save_file(tensors, folder / WEIGHTS, metadata={"decoder": json.dumps(description | {"units": units})})
    return WEIGHTS


def _parts(model: Any) -> tuple[Mapping[str, NDArray[Any]], dict[str, Any]] | None:
    """Return the tensors of a model and how they are used, with the numbers of the ``units`` from 0."""
    if isinstance(model, NetworkModel):
        return {**model.tensors, "mean": model.mean, "scale": model.scale}, model.description()
    units = [int(unit) for unit in getattr(model, "units", ())]
    if isinstance(model, LinearModel):
        return (
            {
                "weights": model.weights,
                "intercept": np.atleast_1d(model.intercept),
                "mean": model.mean,
                "scale": model.scale,
            },
            {
                "kind": "ridge",
                "input": "(spike count - mean) / scale; windows around the bin, first to last, and in each the units",
                "output": "position in % of the track, or x and y in % of the arena's longer side: input @ weights + "
                f"intercept, kept between 0 and {' and '.join(f'{side:g}' for side in model.sides)}",
                "units": units,
            },
        )
    if isinstance(model, PerceptronModel):
        layers = {f"layer-{k}.weights": value for k, value in enumerate(model.weights, start=1)}
        layers |= {f"layer-{k}.biases": value for k, value in enumerate(model.biases, start=1)}
        return (
            {**layers, "mean": model.mean, "scale": model.scale, "places": model.places},
            {
                "kind": "perceptron",
                "input": "(sqrt(spike count) - mean) / scale; windows around the bin, first to last, and in each the"
                " units",
                "layers": "input @ layer-1.weights + layer-1.biases; ReLU; @ layer-2.weights + layer-2.biases; softmax",
                "output": "probability of the place bins that places names",
                "units": units,
            },
        )
    return None
