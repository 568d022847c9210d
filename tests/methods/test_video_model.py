"""A registered ONNX model finds points in a video; what is not the registered file is never used."""

from __future__ import annotations

import hashlib
import json

import cv2
import numpy as np
import pytest
from django.core.management import CommandError, call_command

from analysis.pipelines.base import PipelineError
from analysis.readers import read_position
from analysis.readers.models import register_model
from tests.methods.running import recording, run_pipeline

DESCRIPTION = {
    "input": {"width": 32, "height": 24, "channels": 1},
    "output": {"kind": "heatmaps", "names": ["light", "dark"]},
}


def varint(number):
    written = b""
    while number > 127:
        written += bytes([number & 127 | 128])
        number >>= 7
    return written + bytes([number])


def field(number, value):
    """Write a field of a protobuf message: a number, or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def brightest_and_darkest():
    """Write a network of one convolution: a heatmap of light, one of dark (1 - light); fields as in onnx.proto."""

    def tensor(name, values):
        dimensions = b"".join(field(1, size) for size in values.shape)
        return dimensions + field(2, 1) + field(8, name) + field(9, values.astype("<f4").tobytes())

    def stated(name, *shape):
        dimensions = b"".join(field(1, field(1, size)) for size in shape)
        return field(1, name) + field(2, field(1, field(1, 1) + field(2, dimensions)))

    weights, bias = np.array([1.0, -1.0]).reshape(2, 1, 1, 1), np.array([0.0, 1.0])
    kernel = field(1, "kernel_shape") + field(8, 1) + field(8, 1) + field(20, 7)
    node = b"".join(field(1, name) for name in "xwb") + field(2, "y") + field(3, "c") + field(4, "Conv")
    graph = field(1, node + field(5, kernel)) + field(2, "g") + field(5, tensor("w", weights))
    graph += field(5, tensor("b", bias)) + field(11, stated("x", 1, 1, 24, 32)) + field(12, stated("y", 1, 2, 24, 32))
    return field(1, 7) + field(7, graph) + field(8, field(1, "") + field(2, 13))


@pytest.fixture
def registered(tmp_path, monkeypatch):
    """Register the network; returns how to ask for it."""
    (tmp_path / "spot.onnx").write_bytes(brightest_and_darkest())
    (tmp_path / "spot.json").write_text(json.dumps(DESCRIPTION))
    monkeypatch.setenv("LAB_MODELS", str(tmp_path / "models"))
    digest = register_model(tmp_path / "models", "spot", tmp_path / "spot.onnx", tmp_path / "spot.json")
    return {"model": "spot", "sha256": digest}


@pytest.fixture
def film(tmp_path):
    """A white square of 8 px that goes to the right on grey, and a black one; absent in the last ten frames."""
    path = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (128, 96))
    for number in range(40):
        frame = np.full((96, 128, 3), 120, np.uint8)
        if number < 30:
            frame[40:48, 8 + 3 * number : 16 + 3 * number] = 255
            frame[80:88, 8 + 3 * number : 16 + 3 * number] = 0
        writer.write(frame)
    writer.release()
    return recording("video", "video", path)


def test_a_point_of_the_model_becomes_a_position_recording(tmp_path, registered, film):
    ruler = {"points": [[0, 0], [100, 0]], "distance_cm": 25}
    output, _ = run_pipeline("video.model", tmp_path / "run", film, likelihood=0.9, calibration=ruler, **registered)
    (made,) = output.recordings
    position = read_position(recording("position", made.format, tmp_path / "run" / made.files[0], **made.parameters))
    assert position.unit == "cm"
    assert np.isnan(position.xy[30:]).all()
    expected = np.stack([11.5 + 3 * np.arange(30), np.full(30, 43.5)], axis=1) / 4
    # A pixel of the network is four of the picture, one cm.
    assert np.abs(position.xy[:30] - expected).max() <= 1.0
    assert output.metrics["lost"].value == 10
    assert output.metrics["model"].value == registered["sha256"]
    with np.load(tmp_path / "run" / "points.npz") as points:
        assert points["names"].tolist() == ["light", "dark"]
        assert np.abs(points["xy_px"][:30, 1, 1] - 83.5).max() <= 4


def test_only_the_registered_file_is_used(tmp_path, registered, film):
    with pytest.raises(PipelineError, match="Name the model, and the SHA-256"):
        run_pipeline("video.model", tmp_path / "0", film)
    with pytest.raises(PipelineError, match="not the one asked for"):
        run_pipeline("video.model", tmp_path / "a", film, **registered | {"sha256": "0" * 64})
    with pytest.raises(PipelineError, match="no model 'eye'; registered are: spot"):
        run_pipeline("video.model", tmp_path / "b", film, **registered | {"model": "eye"})
    with pytest.raises(PipelineError, match="has no point 'nose'; it has light, dark"):
        run_pipeline("video.model", tmp_path / "c", film, point="nose", **registered)
    with pytest.raises(PipelineError, match="lost in all 40 frames"):
        run_pipeline("video.model", tmp_path / "d", film, likelihood=3.0, **registered)
    (tmp_path / "models" / "spot.onnx").write_bytes(brightest_and_darkest() + b"\x00")
    with pytest.raises(PipelineError, match="changed after it was registered"):
        run_pipeline("video.model", tmp_path / "e", film, **registered)


@pytest.mark.parametrize(
    ("content", "change", "words"),
    [
        (b"no network", {}, "no ONNX file"),
        (None, {"output": {"kind": "points", "names": ["light", "dark"]}}, r"points of 2 names are \(1, 2, 3\)"),
        (None, {"output": {"kind": "heatmaps", "names": ["light"]}}, "heatmaps of 1 names"),
        (None, {"output": {"kind": "boxes", "names": ["a"]}}, "wrong at output.kind"),
        (None, {"code": "import os"}, "wrong at code"),
    ],
)
def test_what_does_not_fit_its_description_is_not_registered(tmp_path, content, change, words):
    (tmp_path / "a.onnx").write_bytes(content or brightest_and_darkest())
    (tmp_path / "a.json").write_text(json.dumps(DESCRIPTION | change))
    with pytest.raises(PipelineError, match=words):
        register_model(tmp_path / "models", "a", tmp_path / "a.onnx", tmp_path / "a.json")
    assert not (tmp_path / "models").exists()


def test_an_administrator_registers_a_model_by_a_command(tmp_path, settings, capsys):
    settings.LAB_MODELS = tmp_path / "models"
    (tmp_path / "a.onnx").write_bytes(brightest_and_darkest())
    (tmp_path / "a.json").write_text(json.dumps(DESCRIPTION))
    call_command("register_model", "spot", tmp_path / "a.onnx", tmp_path / "a.json")
    digest = hashlib.sha256(brightest_and_darkest()).hexdigest()
    assert capsys.readouterr().out == f"registered spot: SHA-256 {digest}\n"
    assert json.loads((tmp_path / "models" / "spot.json").read_text())["sha256"] == digest
    with pytest.raises(CommandError, match="no name for a model"):
        call_command("register_model", "../spot", tmp_path / "a.onnx", tmp_path / "a.json")
