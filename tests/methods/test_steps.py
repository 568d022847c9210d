"""A laboratory's own step: a typed function says what it takes and gives, and what it says wrongly is told at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest
from pydantic import ValidationError

from analysis.figures.spec import Axis, Figure, Line, Panel
from analysis.pipelines.base import KINDS, DerivedRecording, Input, InputRecording, Run, places
from analysis.pipelines.registry import _check
from analysis.pipelines.steps import File, NewRecording, Number, Plot, StepError, quantity, setting, step
from analysis.readers import read_spikes
from tests.methods.running import recording

UNITS = Input(("units",), "Sorted units.")
RATE = {"rate": Number("Hz", "Spikes per second.", "rate", headline=True)}


@step(
    name="spikes.count",
    version="2.1.0",
    inputs={"units": UNITS, "position": Input(("position",), "Where it was.", 0, 1)},
    outputs={**RATE, "counts": Plot(), "counts.csv": File(), "bursts": NewRecording("events", "csv", {"unit": "s"})},
)
def count(
    units: InputRecording,
    run: Run,
    stop: Annotated[float, quantity("s", "Until when spikes count.", gt=0)] = 2.0,
    mode: Annotated[Literal["all", "none"], setting("Which spikes count.")] = "all",
    position: InputRecording | None = None,
):
    """Counts spikes. It knows nothing of bursts.

    More of it.
    """
    times = read_spikes(units).times
    run.log(f"{run.seed} {mode} {position}")
    run.progress(0.5, "counting")
    Path(run.folder / "counts.csv").write_text("time\n1\n")
    Path(run.folder / "bursts.csv").write_text("time\n1\n")
    layers = (Line(np.arange(2.0), np.arange(2.0), "data", "spikes"),)
    figure = Figure("counts", "Counts", "Every spike.", (Panel(Axis("time", "s"), Axis("spikes"), layers),))
    return {
        "rate": float((times < stop).sum() / stop),
        "counts": figure,
        "counts.csv": run.folder / "counts.csv",
        "bursts": "bursts.csv",
    }


@pytest.fixture
def units(tmp_path) -> InputRecording:
    np.savez(tmp_path / "units.npz", spike_times=np.array([0.5, 1.0, 1.5, 3.0]), spike_units=np.array([0, 0, 1, 1]))
    return recording("units", "units-npz", tmp_path / "units.npz")


def begin(folder: Path, *recordings: InputRecording, of=count, **parameters) -> Run:
    folder.mkdir(exist_ok=True)
    return Run(recordings, of.pipeline.parameters(**parameters), 7, folder, lambda *_: None, lambda _: None)


def test_a_function_becomes_a_pipeline_that_says_what_it_takes():
    pipeline = count.pipeline()
    _check(pipeline)
    assert (pipeline.name, pipeline.version, pipeline.summary) == ("spikes.count", "2.1.0", "Counts spikes.")
    assert pipeline.inputs[1].minimum == 0
    described = pipeline.parameters.model_json_schema()["properties"]
    assert list(described) == ["stop", "mode"]
    assert described["stop"] | {"title": ""} == {
        "type": "number", "unit": "s", "description": "Until when spikes count.", "exclusiveMinimum": 0,
        "default": 2.0, "title": "",
    }  # fmt: skip
    with pytest.raises(ValidationError, match="greater than 0"):
        pipeline.parameters(stop=0)


def test_what_it_returns_becomes_metrics_figures_files_and_recordings(units, tmp_path):
    output = count.pipeline().run(begin(tmp_path / "made", units))
    assert output.metrics["rate"].value == 1.5
    assert (output.metrics["rate"].unit, output.metrics["rate"].headline) == ("Hz", True)
    assert [figure.name for figure in output.figures] == ["counts"]
    assert output.artifacts == ["counts.csv"]
    assert output.recordings == [DerivedRecording("events", "csv", ("bursts.csv",), {"unit": "s"})]


def test_it_stays_a_function_for_a_notebook(units, tmp_path):
    assert count(units, begin(tmp_path / "made", units), stop=1.0)["rate"] == 1.0
    assert count.__name__ == "count"


def test_several_recordings_come_as_a_tuple_in_the_order_given(units, tmp_path):
    @step(name="a.b", version="1", inputs={"units": Input(("units",), "Units.", 1, 3)}, outputs=RATE)
    def several(units: tuple[InputRecording, ...]):
        """Counts recordings."""
        return {"rate": np.float32(len(units))}

    assert several.pipeline().run(begin(tmp_path / "m", units, units, of=several)).metrics["rate"].value == 2


def test_two_inputs_of_one_kind_are_filled_in_order():
    two = (Input(("units", "spikes"), "First."), Input(("units",), "Second."))
    assert places(two, ["units", "units", "spikes", "video"]) == [0, 1, 0, None]


def test_what_was_not_declared_is_refused(units, tmp_path):
    def returning(value, outputs=RATE):
        @step(name="a.b", version="1", inputs={"units": UNITS}, outputs=outputs)
        def some(units: InputRecording):
            """Returns something."""
            return value

        return lambda: some.pipeline().run(begin(tmp_path / "m", units, of=some))

    for run, words in (
        (returning({"rat": 1.0}), "returned rat; it declares rate"),
        (returning(None), "returned NoneType; it declares rate"),
        (returning({"rate": "high"}), "'high' as rate, which is no number"),
        (returning({"rate": 1.0}, {"rate": Plot()}), "which is no Figure"),
        (returning({"x": DerivedRecording("lfp", "csv", ())}, {"x": NewRecording("units", "csv")}), "declares units"),
    ):
        with pytest.raises(TypeError, match=words):
            run()


def nothing_said(units: InputRecording):
    return units


def no_annotation(units: InputRecording, stop=1.0):
    """Counts."""


def no_sentence(units: InputRecording, stop: float = 1.0):
    """Counts."""


def no_unit(units: InputRecording, stop: Annotated[list[float], setting("Until when.")] = ()):  # type: ignore[assignment]
    """Counts."""


def no_recording(stop: Annotated[float, quantity("s", "Until when.")] = 1.0):
    """Counts."""


def any_number(units: InputRecording, *others: float):
    """Counts."""


def may_be_none(units: InputRecording | None):
    """Counts."""


def several(units: tuple[InputRecording, ...]):
    """Counts."""


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (nothing_said, "says nothing of itself"),
        (no_annotation, "say of the argument stop what it is"),
        (no_sentence, "says nothing of its parameter stop"),
        (no_unit, "says no unit of its parameter stop"),
        (no_recording, "declares the inputs units, and its function takes the recordings none"),
        (any_number, "others must be one that can be given by its name"),
        (may_be_none, r"must have units; write `units: InputRecording`"),
        (several, r"takes up to 1 as units; write `units: InputRecording`"),
    ],
)
def test_a_wrong_declaration_says_what_to_write(function, words):
    with pytest.raises(StepError, match=words):
        step(name="a.b", version="1", inputs={"units": UNITS}, outputs=RATE)(function)


def test_the_kinds_are_those_of_the_catalog():
    from sessions.models import RecordingKind

    assert set(KINDS) == set(RecordingKind.values)
