"""``events.trials``: what a box reported as a table of trials, of the odour-sequence task or of laps on a track."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from analysis.pipelines.base import (
    DerivedRecording,
    Input,
    InputRecording,
    Metric,
    Output,
    Parameters,
    Pipeline,
    PipelineError,
    Run,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from analysis.methods.trials import LapTable
    from analysis.readers.trials import Words


def _kind(default: str, text: str) -> Any:
    return Field(default, description=f"Kind of the event {text}", min_length=1, max_length=64)


class EventsTrialsParameters(Parameters):
    """Which events mean what; a ``behavMatrix`` says it itself."""

    task: Literal["auto", "odours", "laps"] = Field(
        "auto",
        description="What the trials are; 'auto': odours where there are odours, laps of positions and lap marks.",
    )
    poke_in: str = _kind("poke_in", "when the nose goes in.")
    poke_out: str = _kind("poke_out", "when it comes out.")
    odour: str = _kind("odour", "of an odour, which says odour, position and in_sequence.")
    verdict: str = _kind("trial", "that says correct: yes or no.")
    right: str = _kind("reward", "of a correct trial, where no event says correct.")
    wrong: str = _kind("error_tone", "of a wrong trial, where no event says correct.")
    order: list[str] = Field(
        [], description="The odours in their right order, where events do not say what was in sequence."
    )
    lap_start: str = _kind("lap_start", "that begins a lap; it may say direction.")
    lap_end: str = _kind("lap_end", "that ends a lap; it may say direction.")
    ends: list[str] = Field(
        [], description="Two kinds of events that are the ends of a track, where no event marks laps."
    )
    end: float = Field(
        10.0, description="Of positions: so much of the track is its end.", json_schema_extra={"unit": "%"}, gt=0, le=40
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.ends and (len(self.ends) != 2 or self.ends[0] == self.ends[1]):
            raise ValueError("ends names two different kinds of events")
        if len(set(self.order)) < len(self.order):
            raise ValueError("order names an odour twice")
        return self


class EventsTrials(Pipeline):
    """Events in the order of their times, taken as trials one by one; what cannot have happened is refused."""

    name = "events.trials"
    version = "1.0.0"
    summary = "Makes trials of events: odours of the sequence task, or laps; refuses what cannot have happened."
    inputs = (
        Input(("events", "position"), "Events of a controller, a behavMatrix, or positions on a track (for laps)."),
    )
    parameters = EventsTrialsParameters

    def run(self, run: Run) -> Output:
        """Make trials; ``PipelineError`` with the time of what cannot have happened."""
        from analysis.methods.errors import InvalidDataError
        from analysis.readers.trials import ODOURS, Words

        settings: EventsTrialsParameters = run.parameters
        words = Words(
            **{name: getattr(settings, name) for name in Words.__dataclass_fields__ if name != "ends"},
            ends=tuple(settings.ends),
        )
        if len(run.recordings) != 1:
            raise PipelineError(f"Trials are made of one recording, not {len(run.recordings)}.")
        run.progress(0.1, "reading")
        recording = run.recordings[0]
        try:
            task = _task(recording, words) if settings.task == "auto" else settings.task
            return _odours(run, recording, words) if task == ODOURS else _laps(run, recording, words)
        except InvalidDataError as error:
            raise PipelineError(str(error)) from error


def _task(recording: InputRecording, words: Words) -> str:
    from analysis.readers.trials import LAPS, ODOURS, read_events

    if recording.kind == "position":
        return LAPS
    if recording.format == "behavmatrix-mat":
        return ODOURS
    kinds = {event.kind for event in read_events(recording)}
    if words.odour in kinds:
        return ODOURS
    if words.lap_start in kinds or kinds & set(words.ends):
        return LAPS
    raise PipelineError(
        f"The events have neither {words.odour} nor {words.lap_start}; there is {', '.join(sorted(kinds)[:12])}: say "
        "which kinds mean what."
    )


def _odours(run: Run, recording: InputRecording, words: Words) -> Output:
    import numpy as np

    from analysis.figures import trials as draw
    from analysis.methods.trials import odour_trials
    from analysis.readers import trials as tables

    table = odour_trials(tables.odour_events(recording, words), order=run.parameters.order)
    if table.empty_pokes:
        run.log(f"{table.empty_pokes:,} pokes brought no odour and are no trials.")
    if table.cut:
        run.log("The last trial had not ended with the events and is left out.")
    tables.write_odours(run.folder / "trials.csv", table)
    inside, right = table.in_sequence, table.correct
    n = right.size
    metrics = {
        "trials": Metric(n, "trials", "trials", "odours that came in a poke", headline=True),
        "correct": Metric(_percent(right), "%", "correct", f"of all {n}", headline=True),
        "correct_in": Metric(
            _percent(right[inside]), "%", "correct, in sequence", f"of {inside.sum()} whose odour was at its place",
            headline=True,
        ),
        "correct_out": Metric(
            _percent(right[~inside]), "%", "correct, out of sequence", f"of {(~inside).sum()} whose odour was not",
            headline=True,
        ),
        "poke_in_sequence": Metric(
            float(np.median(table.held[inside])) if inside.any() else None, "s", "poke, in sequence", "median"
        ),
        "poke_out_of_sequence": Metric(
            float(np.median(table.held[~inside])) if (~inside).any() else None, "s", "poke, out of sequence", "median"
        ),
        "sequences": Metric(int(table.sequence[-1]), "sequences", "sequences", "each begins at position 1"),
        "empty_pokes": Metric(table.empty_pokes, "pokes", "pokes without odour", "no trials"),
    }  # fmt: skip
    figures = [draw.odour_raster(table), draw.accuracy_by_place(table), draw.poke_durations(table)]
    run.progress(1.0, "done")
    span = float(table.poke_out[-1] - table.poke_in[0])
    return Output(
        metrics, figures, ["trials.csv"], [_derived(recording, tables.ODOURS, "trials", span)],
        f"{n:,} trials, {_percent(right):.0f} % correct; {(~inside).sum()} out of sequence.",
    )  # fmt: skip


def _laps(run: Run, recording: InputRecording, words: Words) -> Output:
    import numpy as np

    from analysis.figures import trials as draw
    from analysis.readers import trials as tables

    table: LapTable = tables.lap_table(recording, words, end=run.parameters.end)
    if table.cut:
        run.log(f"{table.cut} laps were cut off by the first or the last event and are left out.")
    tables.write_laps(run.folder / "trials.csv", table)
    lasts = table.lasts
    span = float(table.end[-1] - table.start[0])
    metrics = {
        "laps": Metric(lasts.size, "laps", "laps", "from one end of the track to the other", headline=True),
        "rate": Metric(60 * lasts.size / span, "1/min", "laps a minute", "from the first to the last", headline=True),
        "duration": Metric(float(np.median(lasts)), "s", "duration", "median of all laps", headline=True),
    }
    for number, way in enumerate(sorted(set(table.direction)), start=1):
        count = table.direction.count(way)
        metrics[f"direction_{number}"] = Metric(count, "laps", way or "no direction", "laps in this direction")
    figures = [draw.laps_over_time(table), draw.lap_durations(table)]
    run.progress(1.0, "done")
    return Output(
        metrics, figures, ["trials.csv"], [_derived(recording, tables.LAPS, "laps", span)],
        f"{lasts.size:,} laps, {np.median(lasts):.2g} s each.",
    )  # fmt: skip


def _derived(recording: InputRecording, table: str, name: str, span: float) -> DerivedRecording:
    clock = {"clock": recording.parameters["clock"]} if "clock" in recording.parameters else {}
    return DerivedRecording("events", "csv", ("trials.csv",), {"table": table, **clock}, duration=span, name=name)


def _percent(values: NDArray[np.bool_]) -> float | None:
    return 100 * float(values.mean()) if values.size else None
