"""Points of a body in a picture by a network in an ONNX file, through OpenCV's DNN module: data, no code is run."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from analysis.methods.errors import InvalidDataError

Side = Annotated[int, Field(ge=8, le=4096)]
Name = Annotated[str, Field(min_length=1, max_length=40)]


class _Stated(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NetworkInput(_Stated):
    """What a network takes: a picture of this size, each value minus ``mean`` (grey levels) times ``scale``.

    Blob: ``(1, channels, height, width)`` float32; three channels are all the same grey.
    """

    width: Side
    height: Side
    channels: Literal[1, 3] = 1
    mean: float = 0.0
    scale: float = 1 / 255


class NetworkOutput(_Stated):
    """What a network gives for each of ``names``.

    ``heatmaps``: ``(1, names, rows, columns)`` over the whole picture; where the largest value is, is the point, and
    the value its likelihood. ``points``: ``(1, names, 3)`` of x, y (px of the network's picture) and likelihood.
    """

    kind: Literal["heatmaps", "points"]
    names: list[Name] = Field(min_length=1, max_length=200)


class NetworkDescription(_Stated):
    """The description of a model file: its SHA-256, what it takes, what it gives."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    input: NetworkInput
    output: NetworkOutput


class Network:
    """A loaded network; ``InvalidDataError`` when the file is none, or does not give what its description says."""

    def __init__(self, content: bytes, described: NetworkDescription) -> None:
        import cv2

        self.described = described
        try:
            self._net = cv2.dnn.readNetFromONNX(np.frombuffer(content, np.uint8))
        except cv2.error as error:
            raise InvalidDataError(f"The model is no ONNX file that OpenCV can read: {error.err or error}.") from error
        taken = described.input
        self.find(np.zeros((taken.height, taken.width), np.uint8))

    def find(self, frame: NDArray[np.uint8]) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Return points ``(names, 2)`` (px of the frame) and likelihood ``(names,)`` in a grey frame."""
        import cv2

        taken, given = self.described.input, self.described.output
        picture = cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR) if taken.channels == 3 else np.ascontiguousarray(frame)
        size = (taken.width, taken.height)
        self._net.setInput(cv2.dnn.blobFromImage(picture, taken.scale, size, (taken.mean,) * taken.channels))
        try:
            found = np.asarray(self._net.forward())
        except cv2.error as error:
            raise InvalidDataError(f"The model does not take the input that is described: {error.err}.") from error
        count = len(given.names)
        # From pixels of the network's picture to those of the frame, middle to middle.
        across, down = frame.shape[1] / taken.width, frame.shape[0] / taken.height
        if given.kind == "points":
            if found.shape != (1, count, 3):
                raise InvalidDataError(f"The model gives {found.shape}; points of {count} names are (1, {count}, 3).")
            xy, likelihood = found[0, :, :2].astype(float), found[0, :, 2].astype(float)
        else:
            if found.ndim != 4 or found.shape[:2] != (1, count):
                raise InvalidDataError(
                    f"The model gives {found.shape}; heatmaps of {count} names are (1, {count}, ...)."
                )
            rows, columns = found.shape[2:]
            best = found[0].reshape(count, -1).argmax(axis=1)
            likelihood = found[0].reshape(count, -1)[np.arange(count), best].astype(float)
            xy = np.stack([(best % columns + 0.5) / columns, (best // columns + 0.5) / rows], axis=1)
            xy = xy * [taken.width, taken.height] - 0.5
        return (xy + 0.5) * [across, down] - 0.5, likelihood
