"""What ``decode.position`` gives back: numbers with their definitions, figures, and tables as files."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.methods.decoding import Accuracy, accuracy
from analysis.methods.grids import Grid
from analysis.pipelines.base import Metric, Output, Run
from analysis.pipelines.position_figures import position_figures
from analysis.pipelines.weights import write_weights

if TYPE_CHECKING:
    from analysis.pipelines.decode_position import DecodePositionParameters
    from analysis.pipelines.position_behaviour import AnimalBehaviour
    from analysis.pipelines.position_decoders import Attempt, DecoderBench


@dataclass(frozen=True)
class Outcome:
    """All that was computed; errors in % of the track or of the arena's longer side.

    ``block`` is the fold of every bin. The first of ``attempts`` is the decoder asked for, the others are compared with
    it.
    """

    behaviour: AnimalBehaviour
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
        """Return the unit that errors are told in: cm when the length of the track or longer side is known."""
        return "cm" if self.behaviour.length else "%"

    @property
    def scale(self) -> float:
        """Return how many of that unit one per cent is."""
        return self.behaviour.length / 100 if self.behaviour.length else 1.0

    def errors(self, attempt: Attempt) -> NDArray[np.floating]:
        """Return the error (%) of an attempt in every scored bin, ``(n_rows,)``."""
        return self.bench.behaviour.error(attempt.position)[self.bench.rows]

    def measure(self, attempt: Attempt, rows: NDArray[np.int64] | None = None) -> Accuracy:
        """Return the accuracy of an attempt in these bins, or in all scored ones."""
        rows = self.bench.rows if rows is None else rows
        return accuracy(self.behaviour.position[rows], attempt.position[rows], sides=self.behaviour.sides)


def position_output(run: Run, outcome: Outcome) -> Output:
    """Write the files of a result into the run's folder and return it with its numbers and figures."""
    behaviour, attempt, measured, null = outcome.behaviour, outcome.attempt, outcome.accuracy, outcome.null
    np.savez_compressed(
        run.folder / "decoded.npz",
        time=(behaviour.edges[:-1] + behaviour.edges[1:]) / 2,
        true_percent=behaviour.position,
        decoded_percent=attempt.position,
        speed_percent_per_s=behaviour.speed,
        moving=outcome.bench.as_set.usable,
        block=outcome.block,
        null_median_error_percent=null,
        **_probabilities(outcome),
    )
    artifacts = ["decoded.npz", _folds_table(run, outcome)]
    if weights := write_weights(run.folder, attempt.models):
        artifacts.append(weights)
    if len(outcome.attempts) > 1:
        artifacts.append(_comparison_table(run, outcome))
    metrics = _metrics(run.parameters, outcome)
    figures = position_figures(run.parameters, outcome)
    run.progress(1.0, "done")
    median = f"{measured.median:.1f} % of {run.parameters.whole}"
    if behaviour.length:
        median = f"{measured.median * outcome.scale:.1f} cm ({median})"
    chance = "not tested against chance"
    if outcome.p is not None:
        chance = f"p = {outcome.p:.2g} against {null.size} circular shifts"
    return Output(metrics, figures, artifacts, [], f"{attempt.label}: median error {median}, {chance}.")


def _probabilities(outcome: Outcome) -> dict[str, Any]:
    """Return the posterior and the middle of its places (%), on a track or on both axes of an arena."""
    posterior = outcome.attempt.posterior
    if posterior is None:
        return {}
    shape, sides = posterior.shape[1:], outcome.behaviour.sides
    names = ("place",) if len(sides) == 1 else ("x", "y")
    centres = {
        f"{name}_centres_percent": Grid((bins,), (side,)).centres
        for name, bins, side in zip(names, reversed(shape), sides, strict=True)
    }
    return {"posterior": posterior.astype(np.float32), **centres}


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
        "median_error_percent": Metric(measured.median, "%", "median error", f"in % of {settings.whole}; {scored}"),
        "median_error_low": Metric(low, unit, "median error, low end", "2.5 % of 1000 bootstraps over blocks"),
        "median_error_high": Metric(high, unit, "median error, high end", "97.5 % of 1000 bootstraps over blocks"),
        "p90_error": Metric(measured.p90 * scale, unit, "90th percentile", f"of the error; {scored}", headline=True),
        "within_10_percent": Metric(
            measured.within * 100,
            "%",
            f"within 10 % of {settings.whole}",
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
        "r2": Metric(measured.r2, "", "R²", "1 - residual / total sum of squares of the decoded position"),
        "zone_accuracy": Metric(
            measured.zone_accuracy * 100,
            "%",
            "16-zone accuracy" if settings.in_the_open else "ten-zone accuracy",
            f"share of bins decoded into the right one of {measured.zones} zones of equal "
            f"{'size, 4 rows of 4' if settings.in_the_open else 'length'}, no tolerance; {scored}",
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
    }
    metrics |= _of_arena(outcome) if settings.in_the_open else _of_track(outcome)
    if outcome.attempt.name == "bayesian":
        metrics["prior"] = Metric(settings.prior, "", "prior", "over places")
    for other in outcome.attempts[1:]:
        found = outcome.measure(other)
        metrics[f"median_error_{other.name.replace('-', '_')}"] = Metric(
            found.median * scale,
            unit,
            f"median error of {other.label}",
            f"same bins and folds; 90th percentile {found.p90 * scale:.1f} {unit}, within 10 %: {found.within:.1%}, "
            f"{'ten' if found.zones == 10 else found.zones}-zone accuracy {found.zone_accuracy:.1%}; "
            f"{other.seconds:.2g} s",
        )
    return metrics


def _of_arena(outcome: Outcome) -> dict[str, Metric]:
    places, sides = outcome.bench.as_set.grid, outcome.behaviour.sides
    size = " x ".join(f"{side * outcome.scale:.3g}" for side in sides)
    return {
        "visited": Metric(
            float(outcome.bench.visited.mean()) * 100,
            "%",
            "places visited",
            f"of {places.shape[0]} x {places.shape[1]} while moving, those beside a visited one among them"
            + ("; others are never decoded" if outcome.attempt.posterior is not None else ""),
        ),
        "longer_side": Metric(
            max(sides) * outcome.scale, outcome.unit, "longer side", f"range of the animal: {size} {outcome.unit}"
        ),
    }


def _of_track(outcome: Outcome) -> dict[str, Metric]:
    unit, scale = outcome.unit, outcome.scale
    metrics = {
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
    error = outcome.errors(outcome.attempt)
    for key, words, chosen in (("up", "rises", rising), ("down", "falls", ~rising)):
        if chosen.any():
            metrics[f"median_error_{key}"] = Metric(
                float(np.median(error[chosen])) * scale,
                unit,
                f"median error, running {key}",
                f"of the {np.count_nonzero(chosen):,} bins in which the position {words}",
            )
    if outcome.behaviour.length:
        metrics["track_length"] = Metric(
            outcome.behaviour.length, "cm", "track length", "range of the linearised position"
        )
    return metrics


def _folds_table(run: Run, outcome: Outcome) -> str:
    """Write one row per fold and return the file's name; errors in % of the track or the longer side."""
    rows, attempt = outcome.bench.rows, outcome.attempt
    block = outcome.block[rows]
    with (run.folder / "folds.csv").open("w", newline="") as lines:
        table = csv.writer(lines)
        table.writerow(["block", "bins", "units", "median_percent", "p90_percent", "within_10_percent", "settings"])
        for number, (units, words) in enumerate(zip(attempt.units_used, attempt.chosen, strict=True)):
            here = rows[block == number]
            measured = ["", "", ""]
            if here.size:
                found = outcome.measure(attempt, here)
                measured = [f"{value:.6g}" for value in (found.median, found.p90, found.within)]
            table.writerow([number + 1, here.size, units, *measured, words])
    return "folds.csv"


def _comparison_table(run: Run, outcome: Outcome) -> str:
    """Write one row per decoder and return the file's name; errors in % as there, shares from 0 to 1."""
    with (run.folder / "decoders.csv").open("w", newline="") as lines:
        table = csv.writer(lines)
        table.writerow(
            ["decoder", "median_percent", "p90_percent", "within_10_percent", "zone_accuracy", "zones", "r2", "seconds"]
        )
        for attempt in outcome.attempts:
            found = outcome.measure(attempt)
            shares = (found.median, found.p90, found.within, found.zone_accuracy, found.zones, found.r2)
            table.writerow([attempt.label, *(f"{value:.6g}" for value in shares), f"{attempt.seconds:.3g}"])
    return "decoders.csv"
