"""The models that an administrator registered: a folder with ``NAME.onnx`` and its description ``NAME.json``.

The folder is ``LAB_MODELS`` of the environment. What is registered is known by its SHA-256: a file that was exchanged
is refused, and a result says which file it was computed with.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from analysis.methods.errors import InvalidDataError
from analysis.methods.network import Network, NetworkDescription
from analysis.pipelines.base import PipelineError

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
MOST_BYTES = 2_000_000_000


def models_folder() -> Path:
    """Return the folder of models; ``PipelineError`` when the environment names none."""
    stated = os.environ.get("LAB_MODELS")
    if not stated:
        raise PipelineError("This laboratory has no folder of models; its administrator sets LAB_MODELS.")
    return Path(stated)


def load_model(name: str, sha256: str) -> Network:
    """Return a registered network; ``PipelineError`` when there is none of this name and content."""
    folder = models_folder()
    stated = folder / f"{name}.json"
    if NAME.fullmatch(name) is None or not stated.is_file():
        there = ", ".join(sorted(path.stem for path in folder.glob("*.json"))) or "none"
        raise PipelineError(f"There is no model {name!r}; registered are: {there}.")
    described = _described(stated.name, json.loads(stated.read_text()))
    content = (folder / f"{name}.onnx").read_bytes()
    if described.sha256 != sha256:
        raise PipelineError(f"The registered model {name} has the SHA-256 {described.sha256}, not the one asked for.")
    if hashlib.sha256(content).hexdigest() != sha256:
        raise PipelineError(f"The file of the model {name} was changed after it was registered; register it again.")
    return _network(content, described)


def register_model(folder: Path, name: str, model: Path, description: Path) -> str:
    """Copy a model and its description into the folder once both are seen to fit; returns the model's SHA-256.

    ``description`` is JSON with ``input`` and ``output`` (``NetworkDescription``). Errors: ``PipelineError``.
    """
    if NAME.fullmatch(name) is None:
        raise PipelineError(f"{name!r} is no name for a model: small letters, digits, - and _, 40 at the most.")
    try:
        if model.stat().st_size > MOST_BYTES:
            raise PipelineError(f"{model.name} is larger than {MOST_BYTES:,} bytes.")
        content, told = model.read_bytes(), json.loads(description.read_text())
    except (OSError, ValueError) as error:
        raise PipelineError(f"The model and its description cannot be read: {error}.") from error
    if not isinstance(told, dict):
        raise PipelineError(f"{description.name} is no JSON object with input and output.")
    digest = hashlib.sha256(content).hexdigest()
    described = _described(description.name, {**told, "sha256": digest})
    _network(content, described)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / f"{name}.onnx", content)
    _write(folder / f"{name}.json", described.model_dump_json(indent=2).encode())
    return digest


def _described(name: str, told: Any) -> NetworkDescription:
    try:
        return NetworkDescription.model_validate(told)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        raise PipelineError(f"The description {name} is wrong at {place or 'its top'}: {problem['msg']}.") from error


def _network(content: bytes, described: NetworkDescription) -> Network:
    try:
        return Network(content, described)
    except InvalidDataError as error:
        raise PipelineError(str(error)) from error


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)
