"""What ``decode.sequence`` gives back: numbers with their definitions, figures, and tables as files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analysis.figures import odour_time as draw
from analysis.figures.odours import label_null, odour_confusion
from analysis.methods.permutation import permutation_p
from analysis.methods.sequence import confusion
from analysis.pipelines.base import Metric, Output, Run

if TYPE_CHECKING:
    from analysis.figures.spec import Figure
    from analysis.pipelines.decode_sequence import SequenceOutcome

# Draws of trials with replacement for the interval of the accuracy.
_DRAWS = 2000


def sequence_output(run: Run, outcome: SequenceOutcome) -> Output:
    """Write the files of a result into the run's folder and return it with its numbers and figures."""
    run.progress(0.95, "drawing")
    p = permutation_p(outcome.real, outcome.null, smaller_is_better=False) if outcome.null.size else None
    _write_tables(run.folder, outcome)
    metrics = _metrics(run, outcome, p)
    accuracy, n = metrics["accuracy"].value, len(outcome.trials.names)
    tested = f", p = {p:.2g}" if p is not None else ""
    artifacts = ["trials.csv", "over_time.csv", "generalisation.csv"]
    artifacts += ["permutations.csv"] if outcome.null.size else []
    artifacts += ["over_theta.csv"] if outcome.over_phase is not None else []
    run.progress(1.0, "done")
    return Output(
        metrics,
        _figures(outcome, p),
        artifacts,
        [],
        f"{accuracy:.0f} % of correct in-sequence trials told right among {n} odours by {outcome.units} units{tested}.",
    )


def _metrics(run: Run, outcome: SequenceOutcome, p: float | None) -> dict[str, Metric]:
    trials, trained = outcome.trials, outcome.trials.trained
    right = outcome.posterior.argmax(axis=1) == trials.labels
    mine = right[trained]
    rng = np.random.default_rng(run.seed)
    low, high = 100 * np.quantile(mine[rng.integers(0, mine.size, (_DRAWS, mine.size))].mean(axis=1), [0.025, 0.975])
    odours = [float(right[trained & (trials.labels == odour)].mean()) for odour in range(len(trials.names))]
    first, last = trials.start + outcome.decoded.start * trials.bin, trials.start + outcome.decoded.stop * trials.bin
    scored = f"of correct in-sequence trials, decoded out of fold from {first:g} to {last:g} s after the poke"
    metrics = {
        "accuracy": Metric(
            100 * float(mine.mean()), "%", "right odour", f"share {scored}; {len(trials.names)} odours", headline=True
        ),
        "accuracy_low": Metric(float(low), "%", "right odour, low end", "95 % interval over trials"),
        "accuracy_high": Metric(float(high), "%", "right odour, high end", "95 % interval over trials"),
        "balanced_accuracy": Metric(
            100 * float(np.mean(odours)), "%", "right odour, odours alike", "mean over odours of the share told right"
        ),
    }
    if p is not None:
        metrics["chance"] = Metric(
            100 * float(np.median(outcome.null_accuracy)), "%", "chance",
            "median share told right with labels shuffled within the session", headline=True,
        )  # fmt: skip
        metrics["p"] = Metric(
            p, "", "p",
            f"(1 + k) / (1 + n), n = {outcome.null.size} shuffles, whole cross-validation repeated, of the mean "
            "decoded probability of the true odour", headline=True,
        )  # fmt: skip
    metrics |= _sequence_metrics(outcome)
    metrics |= {
        "units": Metric(outcome.units, "units", "units", "with enough spikes"),
        "units_left_out": Metric(outcome.units_left_out, "units", "units left out", "too few spikes"),
        "trials": Metric(int(trained.sum()), "trials", "trials", "correct and in sequence"),
        "training_trials": Metric(
            round(outcome.training_trials, 1), "trials", "trials to train on", "mean over folds and draws"
        ),
        "decoder": Metric(
            "theta" if outcome.theta else "counts", "", "decoder",
            "rates that follow theta" if outcome.theta else "spikes over the whole time",
        ),
    }  # fmt: skip
    if trials.channel is not None:
        metrics["channel"] = Metric(trials.channel, "", "channel of theta", "counted from 0")
    return metrics


def _sequence_metrics(outcome: SequenceOutcome) -> dict[str, Metric]:
    trials = outcome.trials
    out = trials.correct & ~trials.in_sequence
    metrics = {}
    if out.any():
        right = outcome.posterior[out].argmax(axis=1) == trials.labels[out]
        metrics["accuracy_out"] = Metric(
            100 * float(right.mean()), "%", "right odour, out of sequence",
            f"of {int(out.sum())} correct out-of-sequence trials, by decoders trained in sequence",
        )  # fmt: skip
    if outcome.in_out is not None:
        metrics["in_minus_out"] = Metric(
            outcome.in_out.difference, "", "in minus out of sequence",
            f"mean probability of the presented odour, in-sequence trials subsampled to the odours of the "
            f"{outcome.in_out.trials} out of sequence; 95 % of draws {outcome.in_out.interval[0]:.2f} to "
            f"{outcome.in_out.interval[1]:.2f}",
        )  # fmt: skip
        metrics["p_in_out"] = Metric(
            outcome.in_out.p, "", "p, in against out", "two-sided, trials of each odour shuffled between in and out"
        )
    if outcome.lag is not None:
        metrics["theta_lag"] = Metric(
            outcome.lag.lag, "°", "theta lag",
            "phase of the present odour to that of the next in rates fitted to correct in-sequence trials; positive: "
            "the next comes later in the cycle", headline=True,
        )  # fmt: skip
        metrics["theta_lag_low"] = Metric(
            outcome.lag.interval[0], "°", "theta lag, low end", "95 % interval over trials"
        )
        metrics["theta_lag_high"] = Metric(
            outcome.lag.interval[1], "°", "theta lag, high end", "95 % interval over trials"
        )
    return metrics


def _figures(outcome: SequenceOutcome, p: float | None) -> list[Figure]:
    trials, posterior, time = outcome.trials, outcome.posterior, outcome.window_times
    n, trained, labels = len(trials.names), trials.trained, trials.labels
    figures = [
        odour_confusion(confusion(posterior, labels, trained), trials.names, trials="correct in-sequence trials")
    ]
    if p is not None:
        figures.append(label_null(outcome.null, outcome.real, p))
    width = outcome.windows.width * trials.bin
    figures.append(
        draw.accuracy_over_time(
            time, outcome.accuracy_over_time, outcome.chance, n_odours=n, width=width, trials=int(trained.sum())
        )
    )
    ends = (trials.start + outcome.decoded.start * trials.bin, trials.start + outcome.decoded.stop * trials.bin)
    figures.append(draw.neighbours_over_time(time, outcome.over_time, decoded=ends, n_odours=n))
    if outcome.over_phase is not None and outcome.lag is not None:
        lag = (
            f"The lag from the present odour to the next, fitted to the rates: {outcome.lag.lag:g} degrees, 95 % from "
            f"{outcome.lag.interval[0]:.0f} to {outcome.lag.interval[1]:.0f}."
        )
        figures.append(draw.neighbours_over_theta(outcome.over_phase, lag=lag, n_odours=n))
    figures.append(draw.temporal_generalisation(time, outcome.generalisation, n_odours=n))
    out = trials.correct & ~trials.in_sequence
    if out.any() and outcome.in_out is not None:
        told = f"In minus out {outcome.in_out.difference:.2f}, p = {outcome.in_out.p:.2g}."
        true_odour = posterior[np.arange(labels.size), labels]
        inside, outside = (
            np.array([_mean(true_odour[group & (labels == odour)]) for odour in range(n)]) for group in (trained, out)
        )
        figures.append(draw.in_and_out(inside, outside, trials.names, (int(trained.sum()), int(out.sum())), told))
        figures.append(
            odour_confusion(
                confusion(posterior, labels, out), trials.names, name="confusion-out",
                title="Confusion, out of sequence", trials="correct out-of-sequence trials",
            )
        )  # fmt: skip
    rates = np.stack([outcome.windows.counts[:, trained & (labels == odour)].mean(axis=1) for odour in range(n)])
    figures.append(draw.responses(time, rates / width, trials.names, width=width))
    return figures


def _mean(values: NDArray[np.floating]) -> float:
    return float(values.mean()) if values.size else float("nan")


def _write_tables(folder: Path, outcome: SequenceOutcome) -> None:
    trials, names = outcome.trials, outcome.trials.names
    decoded = outcome.posterior.argmax(axis=1)
    _table(
        folder / "trials.csv",
        ["odour", "in_sequence", "correct", "decoded", *(f"p_{name}" for name in names)],
        (
            [names[label], int(inside), int(correct), names[best], *map(_digits, row)]
            for label, inside, correct, best, row in zip(
                trials.labels, trials.in_sequence, trials.correct, decoded, outcome.posterior, strict=True
            )
        ),
    )
    most = (
        np.quantile(outcome.chance, [0.025, 0.975], axis=0)
        if outcome.chance.size
        else np.full((2, len(outcome.window_times)), np.nan)
    )
    columns = [outcome.window_times, outcome.accuracy_over_time, *most, *outcome.over_time.T]
    _table(
        folder / "over_time.csv",
        ["time_s", "share_right", "chance_2.5", "chance_97.5", "p_before", "p_present", "p_next"],
        (map(_digits, row) for row in zip(*columns, strict=True)),
    )
    times = [_digits(time) for time in outcome.window_times]
    _table(
        folder / "generalisation.csv",
        ["trained_at_s", *times],
        ([time, *map(_digits, row)] for time, row in zip(times, outcome.generalisation, strict=True)),
    )
    if outcome.null.size:
        rows = zip(outcome.null, outcome.null_accuracy, strict=True)
        _table(
            folder / "permutations.csv",
            ["permutation", "probability", "share_right"],
            ([number, *map(_digits, row)] for number, row in enumerate(rows)),
        )
    if outcome.over_phase is not None:
        parts = len(outcome.over_phase)
        _table(
            folder / "over_theta.csv",
            ["phase_deg", "p_before", "p_present", "p_next"],
            ([_digits((part + 0.5) * 360 / parts), *map(_digits, row)] for part, row in enumerate(outcome.over_phase)),
        )


def _table(path: Path, names: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as lines:
        written = csv.writer(lines)
        written.writerow(names)
        written.writerows(list(row) for row in rows)


def _digits(value: float) -> str:
    return repr(round(float(value), 12))
