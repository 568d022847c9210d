"""``stats.labels``: whether units tell the odours of the sequence task, against labels shuffled within the session."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from analysis.pipelines import clocks
from analysis.pipelines.base import Input, Metric, Output, Parameters, PipelineError, Run
from analysis.pipelines.odour_trials import around_pokes
from analysis.pipelines.sharded import ShardedPipeline
from analysis.pipelines.unit_choice import WHICH_UNITS, WhichUnits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# So many labellings are decoded abreast, which bounds the memory.
_ABREAST = 64
_WORTH_A_JOB = 500


class LabelParameters(Parameters):
    """What is decoded of each trial, and how often its labels are shuffled."""

    start: float = Field(
        0.0,
        description="Start of the time in each trial; with a table of trials, from the poke.",
        json_schema_extra={"unit": "s"},
        ge=-60,
        le=60,
    )
    stop: float | None = Field(
        None,
        description=(
            "End of the time in each trial; when empty the end of the trial, with a table of trials that of the "
            "shortest poke that was correct and in sequence."
        ),
        json_schema_extra={"unit": "s"},
        gt=0,
        le=60,
    )
    which_units: WhichUnits = Field("all", description=WHICH_UNITS)
    folds: int = Field(
        5, description="Parts of the trials, each tested once.", json_schema_extra={"unit": "parts"}, ge=2, le=100
    )
    permutations: int = Field(
        1000,
        description="Shuffles of the labels within the session, each with the whole cross-validation.",
        json_schema_extra={"unit": "permutations"},
        ge=1,
        le=1_000_000,
    )
    align: clocks.Align = Field(
        "auto",
        description=(
            "'times': units and trials are on one clock. 'starts': each counts from the start of its own recording, "
            "which the catalog knows. 'auto': what the recordings say with their parameter 'clock'."
        ),
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.stop is not None and self.stop <= self.start:
            raise ValueError("stop must be after start")
        return self


class StatsLabels(ShardedPipeline):
    """Decoding of odours from correct in-sequence trials, tested by labels shuffled within the session.

    Shuffle i is drawn from the seed and i alone: the same p, to the digit, on one worker or on many.
    """

    name = "stats.labels"
    version = "1.2.0"
    summary = "Tests whether units tell odours apart, against labels shuffled within the session."
    inputs = (
        Input(("units",), "Sorted units; or binned spikes of every trial, with its odour (three .npy files)."),
        Input(("events",), "Trials that events.trials made, where the units do not say them.", minimum=0),
    )
    parameters = LabelParameters

    def methods(self, parameters: LabelParameters) -> str:
        """Return what was decoded and how it was tested."""
        whose = "units labelled good" if parameters.which_units == "good" else "all units"
        until = "the end" if parameters.stop is None else f"{parameters.stop:g} s"
        return (
            f"Odours of correct in-sequence trials were decoded from the spike counts of {whose} between "
            f"{parameters.start:g} s and {until} of each trial, with a Poisson likelihood and a uniform prior (Zhang "
            f"et al. 1998), in {parameters.folds} parts of the trials, each from rates that it took no part in. The "
            f"mean decoded probability of the true odour was compared with that under {parameters.permutations} "
            "shuffles of the labels within the session, each with the whole cross-validation repeated; "
            "p = (1 + k) / (1 + n), where k of n shuffles did at least as well."
        )

    def items(self, parameters: LabelParameters) -> int:
        """Return how many shuffles there are."""
        return parameters.permutations

    def least_items(self, parameters: LabelParameters) -> int:  # noqa: ARG002
        """Return how many shuffles take some seconds."""
        return _WORTH_A_JOB

    def rows(self, run: Run, items: range) -> NDArray[np.floating]:
        """Return the mean decoded probability of the shuffled odours, ``(len(items), 1)``."""
        import numpy as np
        from threadpoolctl import threadpool_limits

        from analysis.methods.permutation import shuffled

        trials = _trials(run)
        parts = []
        # Threads share sums out by their number, which differs between workers, and so would the last digits.
        with threadpool_limits(1):
            for first in range(0, len(items), _ABREAST):
                numbers = items[first : first + _ABREAST]
                parts.append(_told(trials, np.stack([shuffled(trials.labels, n, seed=run.seed) for n in numbers])))
                run.progress((first + len(numbers)) / len(items), f"shuffles, {first + len(numbers)} of {len(items)}")
        return np.concatenate(parts)[:, None]

    def gather(self, run: Run, rows: NDArray[np.floating]) -> Output:
        """Decode with the real labels in the same way, and compare."""
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            return _compared(run, rows[:, 0])


@dataclass(frozen=True)
class _Trials:
    """Correct in-sequence trials: ``counts`` ``(n_trials, n_units)``; ``labels`` from 0, ``fold`` ``(n_trials,)``."""

    counts: NDArray[np.floating]
    labels: NDArray[np.integer]
    fold: NDArray[np.integer]
    names: tuple[str, ...]
    left_out: int


def _trials(run: Run) -> _Trials:
    import numpy as np

    from analysis.methods.errors import InvalidDataError
    from analysis.readers.odour import BIN, read_odour_trials

    settings: LabelParameters = run.parameters
    units, tables = run.of_kind("units"), run.of_kind("events")
    if len(units) != 1 or len(tables) > 1:
        raise PipelineError("One recording of units is read, and at most one table of trials.")
    if tables:
        try:
            read = around_pokes(units[0], tables[0], start=settings.start, stop=settings.stop, align=settings.align)
        except InvalidDataError as error:
            raise PipelineError(str(error)) from error
        first, last = 0, read.counts.shape[2]
    else:
        read = read_odour_trials(units[0])
        bins = read.counts.shape[2]
        first, last = round(settings.start / BIN), bins if settings.stop is None else round(settings.stop / BIN)
        if not 0 <= first < last <= bins:
            raise PipelineError(f"The trials last {bins * BIN:g} s; start and stop must lie within them.")
    trained = read.correct & read.in_sequence
    if not trained.any():
        raise PipelineError("No trial is correct and in sequence, so there is nothing to train on.")
    odours, labels = np.unique(read.odour[trained], return_inverse=True)
    if odours.size < 2:
        raise PipelineError("All correct in-sequence trials have one odour, so there is nothing to tell apart.")
    fold = np.random.default_rng(run.seed).permutation(np.arange(labels.size) % settings.folds)
    names = tuple(str(odour) if odours.dtype.kind == "U" else f"{odour:g}" for odour in odours)
    counts = read.counts[trained][:, :, first:last].sum(axis=2)
    return _Trials(counts, labels, fold, names, int(np.count_nonzero(~trained)))


def _told(trials: _Trials, labellings: NDArray[np.integer]) -> NDArray[np.floating]:
    from analysis.methods.errors import InvalidDataError
    from analysis.methods.sequence import told_apart

    try:
        return told_apart(trials.counts, labellings, trials.fold, n_odours=len(trials.names))
    except InvalidDataError as error:
        raise PipelineError(str(error)) from error


def _compared(run: Run, null: NDArray[np.floating]) -> Output:
    import numpy as np

    from analysis.figures.odours import label_null, odour_confusion
    from analysis.methods import permutation, sequence

    trials = _trials(run)
    real = float(_told(trials, trials.labels[None])[0])
    p = permutation.permutation_p(real, null, smaller_is_better=False)
    every = np.ones(trials.labels.size, dtype=bool)
    posterior = sequence.decode_odours(trials.counts, trials.labels, every, trials.fold, n_odours=len(trials.names))
    table = sequence.confusion(posterior, trials.labels, every)
    with (run.folder / "permutations.csv").open("w", newline="") as lines:
        written = csv.writer(lines)
        written.writerow(["permutation", "probability"])
        written.writerows([number, repr(float(value))] for number, value in enumerate(null))
    scored = "of correct in-sequence trials, decoded out of fold; in sequence, an odour is also its place in it"
    chance = float(np.median(null))
    metrics = {
        "p": Metric(
            p, "", "p", f"(1 + k) / (1 + n), n = {null.size} shuffles of the labels within the session, whole"
            " cross-validation repeated", headline=True,
        ),
        "probability": Metric(real, "", "probability of the true odour", f"mean {scored}", headline=True),
        "chance": Metric(chance, "", "chance", "median over shuffles of that probability", headline=True),
        "accuracy": Metric(
            100 * float(np.trace(table) / table.sum()), "%", "right odour",
            f"share {scored}; {len(trials.names)} odours", headline=True,
        ),
        "permutations": Metric(int(null.size), "permutations", "permutations", "each drawn anew"),
        "as_good": Metric(int(np.count_nonzero(null >= real)), "permutations", "as good as the real labels", "k"),
        "trials": Metric(int(trials.labels.size), "trials", "trials", "correct and in sequence"),
        "left_out": Metric(trials.left_out, "trials", "trials left out", "wrong or out of sequence"),
        "units": Metric(int(trials.counts.shape[1]), "units", "units", "in the file"),
    }  # fmt: skip
    return Output(
        metrics=metrics,
        figures=[label_null(null, real, p), odour_confusion(table, trials.names)],
        artifacts=["permutations.csv"],
        summary=f"The true odour has a decoded probability of {real:.2f} against {chance:.2f} by chance, p = {p:.2g}"
        f" (n = {null.size:,}).",
    )
