"""What ``decode.position`` gives back: numbers with their definitions, figures, and tables as files."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.figures import decoding as draw
from analysis.methods.decoding import Accuracy, accuracy, place_fields
from analysis.pipelines.base import Metric, Output, Run
from analysis.pipelines.weights import write_weights

if TYPE_CHECKING:
    from analysis.figures.spec import Figure
    from analysis.pipelines.decode_position import DecodePositionParameters
    from analysis.pipelines.position_decoders import Attempt, DecoderBench, TrackBehaviour


@dataclass(frozen=True)
class Outcome:
    """All that was computed; errors in % of the track. ``block`` is the fold of every bin.

    The first of ``attempts`` is the decoder asked for, the others are compared with it.
    """

    behaviour: TrackBehaviour
    bench: DecoderBench
    attempts: list[Attempt]
    counts: NDArray[np.floating]
    block: NDArray[np.int64]
    laps: int
    laps_given: bool
    accuracy: Accuracy
    interval: tuple[float, float]
    null: NDArray[np.floating]
    shifted_errors: NDArray[np.floating]
    p: float | None

    @property
    def attempt(self) -> Attempt:
        """Return what the decoder asked for found."""
        return self.attempts[0]

    @property
    def unit(self) -> str:
        """Return the unit that errors are told in: cm when the length of the track is known."""
        return "cm" if self.behaviour.length else "%"

    @property
    def scale(self) -> float:
        """Return how many of that unit one per cent of the track is."""
        return self.behaviour.length / 100 if self.behaviour.length else 1.0


def position_output(run: Run, outcome: Outcome) -> Output:
    """Write the files of a result into the run's folder and return it with its numbers and figures."""
    behaviour, attempt, measured, null = outcome.behaviour, outcome.attempt, outcome.accuracy, outcome.null
    probabilities: dict[str, Any] = {}
    if attempt.posterior is not None:
        bins = attempt.posterior.shape[1]
        probabilities = {
            "posterior": attempt.posterior.astype(np.float32),
            "place_centres_percent": (np.arange(bins) + 0.5) * 100 / bins,
        }
    np.savez_compressed(
        run.folder / "decoded.npz",
        time=(behaviour.edges[:-1] + behaviour.edges[1:]) / 2,
        true_percent=behaviour.position,
        decoded_percent=attempt.position,
        speed_percent_per_s=behaviour.speed,
        moving=outcome.bench.as_set.usable,
        block=outcome.block,
        null_median_error_percent=null,
        **probabilities,
    )
    artifacts = ["decoded.npz", _folds_table(run, outcome)]
    if weights := write_weights(run.folder, attempt.models):
        artifacts.append(weights)
    if len(outcome.attempts) > 1:
        artifacts.append(_comparison_table(run, outcome))
    metrics = _metrics(run.parameters, outcome)
    figures = _figures(run.parameters, outcome)
    run.progress(1.0, "done")
    median = f"{measured.median:.1f} % of the track"
    if behaviour.length:
        median = f"{measured.median * outcome.scale:.1f} cm ({median})"
    chance = "not tested against chance"
    if outcome.p is not None:
        chance = f"p = {outcome.p:.2g} against {null.size} circular shifts"
    return Output(metrics, figures, artifacts, [], f"{attempt.label}: median error {median}, {chance}.")


def _metrics(settings: DecodePositionParameters, outcome: Outcome) -> dict[str, Metric]:
    unit, scale, measured = outcome.unit, outcome.scale, outcome.accuracy
    low, high = (end * scale for end in outcome.interval)
    scored = f"moving > {settings.speed_threshold:g} {settings.speed_unit}, bins of {settings.bin * 1000:g} ms"
    metrics = {
        "median_error": Metric(
            measured.median * scale,
            unit,
            "median error",
            f"median distance of decoded and true position, {scored}; 95 % interval over blocks "
            f"{low:.1f}-{high:.1f} {unit}",
            headline=True,
        ),
        "median_error_percent": Metric(measured.median, "%", "median error", f"in % of the track; {scored}"),
        "median_error_low": Metric(low, unit, "median error, low end", "2.5 % of 1000 bootstraps over blocks"),
        "median_error_high": Metric(high, unit, "median error, high end", "97.5 % of 1000 bootstraps over blocks"),
        "p90_error": Metric(measured.p90 * scale, unit, "90th percentile", f"of the error; {scored}", headline=True),
        "within_10_percent": Metric(
            measured.within * 100,
            "%",
            "within 10 % of the track",
            f"share of bins with an error of at most {10 * scale:.3g} {unit}; {scored}",
            headline=True,
        ),
    }
    if outcome.p is not None:
        shifts = int(outcome.null.size)
        metrics["p"] = Metric(
            outcome.p,
            "",
            "p",
            f"(1 + k) / (1 + n), n = {shifts} circular shifts of at least {settings.shortest_shift:g} s, all units "
            "together, whole cross-validation repeated",
            headline=True,
        )
        metrics["chance_median_error"] = Metric(
            float(np.median(outcome.null)) * scale, unit, "chance", "median over shifts of the median error"
        )
        metrics["shifts"] = Metric(shifts, "shifts", "circular shifts", f"of at least {settings.shortest_shift:g} s")
    metrics |= {
        "r2": Metric(measured.r2, "", "R2", "1 - residual / total sum of squares of the decoded position"),
        "zone_accuracy": Metric(
            measured.zone_accuracy * 100,
            "%",
            "ten-zone accuracy",
            f"share of bins decoded into the right one of {measured.zones} zones of equal length, no "
            f"tolerance; {scored}",
        ),
        "bins": Metric(measured.n, "bins", "bins decoded", scored, headline=True),
        "moving_share": Metric(
            float(outcome.bench.as_set.usable.mean()) * 100, "%", "time moving", f"share of bins {scored}"
        ),
        "units": Metric(int(outcome.counts.shape[1]), "units", "units", "in the file"),
        "units_used": Metric(
            int(np.median(outcome.attempt.units_used)),
            "units",
            "units used",
            f"median over blocks of those with at least {settings.minimum_spikes} spikes in training bins",
        ),
        "along_track": Metric(
            outcome.behaviour.variance * 100,
            "%",
            "movement along the track",
            "variance on the first principal component",
        ),
        "laps": Metric(
            outcome.laps,
            "laps",
            "laps",
            "those given that end within the time decoded"
            if outcome.laps_given
            else "ways from one outermost 10 % of the track to the other",
        ),
    }
    rising = outcome.bench.behaviour.direction[outcome.bench.rows] == 1
    error = np.abs(outcome.behaviour.position - outcome.attempt.position)[outcome.bench.rows]
    for key, words, chosen in (("up", "rises", rising), ("down", "falls", ~rising)):
        if chosen.any():
            metrics[f"median_error_{key}"] = Metric(
                float(np.median(error[chosen])) * scale,
                unit,
                f"median error, running {key}",
                f"of the {np.count_nonzero(chosen):,} bins in which the position {words}",
            )
    if outcome.attempt.name == "bayesian":
        metrics["prior"] = Metric(settings.prior, "", "prior", "over places")
    for other in outcome.attempts[1:]:
        found = _accuracy(outcome, other)
        metrics[f"median_error_{other.name.replace('-', '_')}"] = Metric(
            found.median * scale,
            unit,
            f"median error of {other.label}",
            f"same bins and folds; 90th percentile {found.p90 * scale:.1f} {unit}, within 10 %: {found.within:.1%}, "
            f"ten-zone accuracy {found.zone_accuracy:.1%}; {other.seconds:.2g} s",
        )
    if outcome.behaviour.length:
        metrics["track_length"] = Metric(
            outcome.behaviour.length, "cm", "track length", "range of the linearised position"
        )
    return metrics


def _figures(settings: DecodePositionParameters, outcome: Outcome) -> list[Figure]:
    unit, scale, rows = outcome.unit, outcome.scale, outcome.bench.rows
    edges, position = outcome.behaviour.edges, outcome.behaviour.position
    length, null = 100 * scale, outcome.null
    true, found = position[rows], outcome.attempt.position[rows]
    error = np.abs(true - found)
    figures = []
    if outcome.attempt.posterior is not None:
        figures.append(
            draw.posterior_heat_map(
                (edges[:-1] + edges[1:]) / 2,
                outcome.attempt.posterior,
                position * scale,
                outcome.bench.as_set.usable,
                unit=unit,
                length=length,
            )
        )
    figures.append(draw.error_distribution(error * scale, outcome.shifted_errors * scale, unit=unit, length=length))
    if outcome.p is not None:
        median = outcome.accuracy.median * scale
        figures.append(
            draw.null_histogram(null * scale, median, outcome.p, unit=unit, shortest_shift=settings.shortest_shift)
        )
    block = outcome.block[rows]
    medians = np.array([np.median(error[block == k]) if np.any(block == k) else np.nan for k in range(settings.folds)])
    rates = place_fields(outcome.counts, position, outcome.bench.as_set.usable, outcome.bench.as_set.settings)
    enough = outcome.counts[rows].sum(axis=0) >= max(1, settings.minimum_spikes)
    chance = float(np.median(null)) * scale if null.size else None
    figures += [
        draw.confusion(outcome.accuracy.confusion, unit=unit, length=length),
        draw.error_by_place(true * scale, error * scale, unit=unit, length=length),
        draw.error_by_fold(medians * scale, np.bincount(block, minlength=settings.folds), chance, unit=unit),
        draw.place_field_map(rates[enough], unit=unit, length=length),
    ]
    if len(outcome.attempts) > 1:
        figures.append(_comparison(outcome))
    return figures


def _accuracy(outcome: Outcome, attempt: Attempt) -> Accuracy:
    rows = outcome.bench.rows
    return accuracy(outcome.behaviour.position[rows], attempt.position[rows])


def _comparison(outcome: Outcome) -> Figure:
    ranked = sorted(outcome.attempts, key=lambda attempt: _accuracy(outcome, attempt).median)
    rows = outcome.bench.rows
    errors = [np.abs(outcome.behaviour.position - attempt.position)[rows] * outcome.scale for attempt in ranked]
    return draw.decoder_comparison(
        [attempt.label for attempt in ranked],
        errors,
        [attempt.seconds for attempt in ranked],
        outcome.block[rows],
        unit=outcome.unit,
    )


def _folds_table(run: Run, outcome: Outcome) -> str:
    """Write one row per fold and return the file's name; errors in % of the track."""
    rows, attempt = outcome.bench.rows, outcome.attempt
    block = outcome.block[rows]
    with (run.folder / "folds.csv").open("w", newline="") as lines:
        table = csv.writer(lines)
        table.writerow(["block", "bins", "units", "median_percent", "p90_percent", "within_10_percent", "settings"])
        for number, (units, words) in enumerate(zip(attempt.units_used, attempt.chosen, strict=True)):
            here = rows[block == number]
            measured = ["", "", ""]
            if here.size:
                found = accuracy(outcome.behaviour.position[here], attempt.position[here])
                measured = [f"{value:.6g}" for value in (found.median, found.p90, found.within)]
            table.writerow([number + 1, here.size, units, *measured, words])
    return "folds.csv"


def _comparison_table(run: Run, outcome: Outcome) -> str:
    """Write one row per decoder and return the file's name; errors in % of the track, shares from 0 to 1."""
    with (run.folder / "decoders.csv").open("w", newline="") as lines:
        table = csv.writer(lines)
        table.writerow(
            ["decoder", "median_percent", "p90_percent", "within_10_percent", "zone_accuracy", "zones", "r2", "seconds"]
        )
        for attempt in outcome.attempts:
            found = _accuracy(outcome, attempt)
            shares = (found.median, found.p90, found.within, found.zone_accuracy, found.zones, found.r2)
            table.writerow([attempt.label, *(f"{value:.6g}" for value in shares), f"{attempt.seconds:.3g}"])
    return "decoders.csv"
