"""Small real pipelines for the tests of jobs, offered by the entry points of a package that the tests install."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from analysis.figures.spec import Axis, Figure, Line, Panel
from analysis.pipelines.base import (
    DerivedRecording,
    Input,
    Metric,
    Output,
    Parameters,
    Pipeline,
    PipelineError,
    Run,
)
from analysis.pipelines.sharded import ShardedPipeline

# A worker of another queue queues what follows its jobs there, too.
QUEUE = os.environ.get("LAB_TEST_QUEUE", "cpu")


class MeanParameters(Parameters):
    """Of ``test.mean``."""

    window: float = Field(
        0.5,
        gt=0,
        le=10,
        title="Window",
        description="Samples of so long are averaged.",
        json_schema_extra={"unit": "s"},
    )
    mode: Literal["mean", "median"] = Field("mean", description="How they are averaged.")
    shifts: int = Field(10, ge=0, le=1000)
    rectify: bool = False


class Mean(Pipeline):
    """Averages numbers in a .npy file; writes an artifact and a derived recording."""

    name = "test.mean"
    version = "1.0"
    summary = "The mean of a recording in windows."
    inputs = (Input(("lfp",), "numbers to average", 1, 2),)
    parameters = MeanParameters
    queue = QUEUE

    def run(self, run: Run) -> Output:
        values = np.load(run.recordings[0].files[0].path)["lfp"].astype(float).ravel()
        run.progress(0.5, "averaging")
        run.log(f"{values.size} samples")
        print("printed by the pipeline")  # noqa: T201
        mean = float(np.abs(values).mean() if run.parameters.rectify else values.mean())
        np.save(run.folder / "values.npy", values)
        np.savez(run.folder / "smooth.npz", lfp=values.reshape(-1, 1).astype("f4"), rate=np.array(1000.0))
        layers = (Line(np.arange(values.size, dtype=float), values, "data", "value"),)
        figure = Figure("values", "Values", "Every value.", (Panel(Axis("sample"), Axis("value", "mV"), layers),))
        return Output(
            metrics={"mean": Metric(mean, "mV", "mean value", "of all samples", headline=True)},
            figures=[figure],
            artifacts=["values.npy"],
            recordings=[DerivedRecording("lfp", "lfp-npz", ("smooth.npz",), {"unit": "mV"}, rate=1000.0, channels=1)],
            summary=f"The mean is {mean:.2f} mV.",
        )


class GateParameters(Parameters):
    """Of ``test.gate``."""

    folder: str
    fail: Literal["", "sentence", "exception", "memory", "segfault", "disk"] = ""
    wait: bool = True
    makes: bool = Field(default=False, description="Whether it makes an LFP recording.")
    gpu: bool = Field(default=False, description="Whether it gains from a GPU.")
    package: str = Field("", description="The optional package that it needs.")


class Gate(Pipeline):
    """Says in a folder that it runs, and waits there for leave to go on: tests stop it wherever they like."""

    name = "test.gate"
    version = "1.0"
    summary = "Waits for a file."
    inputs = (Input(("lfp",), "not read"),)
    parameters = GateParameters
    queue = QUEUE

    def needs(self, parameters: GateParameters) -> dict[str, str]:
        return {parameters.package: "package"} if parameters.package else {}

    def gains_from_gpu(self, parameters: GateParameters) -> bool:
        return parameters.gpu

    def run(self, run: Run) -> Output:
        folder = Path(run.parameters.folder)
        (folder / f"started-{os.getpid()}").write_text(str(os.getpid()))
        run.progress(0.25, "waiting at the gate")
        while run.parameters.wait and not (folder / "go").exists():
            time.sleep(0.02)
        match run.parameters.fail:
            case "sentence":
                raise PipelineError("The recording has 3 units; decoding needs at least 5.")
            case "exception":
                raise ValueError("bin 7 is empty")
            case "memory":
                os.kill(os.getpid(), signal.SIGKILL)
            case "segfault":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "disk":
                raise OSError(28, "No space left on device")
        if not run.parameters.makes:
            return Output(metrics={"pid": Metric(os.getpid())})
        np.savez(run.folder / "ones.npz", lfp=np.ones((100, 1), "f4"), rate=np.array(1000.0))
        made = DerivedRecording("lfp", "lfp-npz", ("ones.npz",), {"unit": "mV"}, rate=1000.0, channels=1)
        return Output(metrics={"pid": Metric(os.getpid())}, recordings=[made])


class ItemsParameters(Parameters):
    """Of ``test.items``."""

    folder: str
    count: int = 12
    least: int = 1
    waits_at: int | None = Field(None, description="The item that waits for leave to go on.")
    bad: int | None = Field(None, description="The item that cannot be computed.")


class Items(ShardedPipeline):
    """Draws a number for each item; a test stops it at any item, or has it fail there."""

    name = "test.items"
    version = "1.0"
    summary = "The mean of drawn numbers."
    inputs = (Input(("lfp",), "not read"),)
    parameters = ItemsParameters
    queue = QUEUE

    def items(self, parameters: ItemsParameters) -> int:
        return parameters.count

    def least_items(self, parameters: ItemsParameters) -> int:
        return parameters.least

    def rows(self, run: Run, items: range) -> np.ndarray:
        folder = Path(run.parameters.folder)
        rows = np.empty((len(items), 1))
        for row, item in enumerate(items):
            if item == run.parameters.waits_at:
                (folder / f"started-{os.getpid()}").write_text(str(os.getpid()))
                while not (folder / "go").exists():
                    time.sleep(0.02)
            if item == run.parameters.bad:
                raise PipelineError(f"Item {item} has no spikes.")
            rows[row] = np.random.default_rng([run.seed, item]).random()
            run.progress((row + 1) / len(items), f"item {item}")
        return rows

    def gather(self, run: Run, rows: np.ndarray) -> Output:
        np.save(run.folder / "all.npy", rows)
        return Output(metrics={"mean": Metric(float(rows.mean())), "items": Metric(len(rows))}, artifacts=["all.npy"])
