"""``stats.permutation``: whether a decoder of position beats chance, with as many permutations as that takes."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import Field

from analysis.pipelines.base import Input, Metric, Output, PipelineError, Run
from analysis.pipelines.decode_position import (
    PositionDecodingParameters,
    Prepared,
    prepare,
    refuse_without_units,
)
from analysis.pipelines.sharded import ShardedPipeline

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# What every permutation is measured by: a row is the lag (bins), then these, errors in % of the track or longer side.
_MEASURES = ("median_error", "p90_error", "within_10_percent")
_TOLERANCE_PERCENT = 10.0
# A permutation of the decoder as set takes about a millisecond, one that chooses settings a second or more, and one of
# what learns slowly a minute.
_WORTH_A_JOB, _WORTH_A_JOB_CHOOSING, _WORTH_A_JOB_SLOW = 500, 4, 1

T = TypeVar("T")


@dataclass(frozen=True)
class _Test:
    """The real data and the permutations ``(n,)`` by each measure, and p; ``scale`` is ``unit`` per %."""

    real: dict[str, float]
    null: dict[str, NDArray[np.floating]]
    p: dict[str, float]
    unit: str
    scale: float


class PermutationParameters(PositionDecodingParameters):
    """What is decoded, as in ``decode.position``, and how often it is permuted."""

    permutations: int = Field(
        1000,
        description="Circular shifts of all units together against behaviour, each with the whole cross-validation.",
        json_schema_extra={"unit": "permutations"},
        ge=1,
        le=1_000_000,
    )


class StatsPermutation(ShardedPipeline):
    """Permutation test of a decoder of position, the whole cross-validation repeated with every circular shift.

    Permutation i is drawn from the seed and i alone, and computed on one thread in the same order of operations: the
    same p, to the digit, on one worker or on many.
    """

    name = "stats.permutation"
    version = "1.2.1"
    summary = "Tests a decoder of position against chance by many permutations, on all workers side by side."
    inputs = (
        Input(("units",), "Sorted units: spike times of every unit."),
        Input(("position",), "Tracked positions on the same clock."),
    )
    parameters = PermutationParameters

    def needs(self, parameters: PermutationParameters) -> dict[str, str]:
        """Return PyTorch for networks. They learn on the CPU: digits of a GPU would tell who computed which part."""
        return {"torch": "decoder"} if parameters.learns_in_torch else {}

    def methods(self, parameters: PermutationParameters) -> str:
        """Return what was decoded and how it was tested."""
        from analysis.pipelines.position_words import position_methods, shift_methods

        return " ".join([*position_methods(parameters), shift_methods(parameters.permutations, parameters)])

    def items(self, parameters: PermutationParameters) -> int:
        """Return how many permutations there are."""
        return parameters.permutations

    def least_items(self, parameters: PermutationParameters) -> int:
        """Return how many permutations take some seconds."""
        from analysis.pipelines.position_decoders import SLOW

        if parameters.decoder in SLOW:
            return _WORTH_A_JOB_SLOW
        return _WORTH_A_JOB if parameters.decoder == "bayesian" else _WORTH_A_JOB_CHOOSING

    def rows(self, run: Run, items: range) -> NDArray[np.floating]:
        """Compute permutations: the lag (bins), median error, 90th percentile and share within 10 % of each."""
        return _stated(lambda: _permuted(run, items))

    def gather(self, run: Run, rows: NDArray[np.floating]) -> Output:
        """Decode the real data in the same way, and compare."""
        return _stated(lambda: _compared(run, rows))


def _stated(compute: Callable[[], T]) -> T:
    from threadpoolctl import threadpool_limits

    from analysis.methods.errors import InvalidDataError

    try:
        # Threads share sums out by their number, which differs between workers, and so would the last digits.
        with threadpool_limits(1):
            return compute()
    except InvalidDataError as error:
        raise PipelineError(str(error)) from error


def _permuted(run: Run, items: range) -> NDArray[np.floating]:
    import numpy as np

    from analysis.methods import permutation

    settings: PermutationParameters = run.parameters
    prepared = prepare(run)
    counts = prepared.bench.given(settings.decoder)
    least = int(np.ceil(settings.shortest_shift / settings.bin - 1e-9))
    rows = np.empty((len(items), 1 + len(_MEASURES)))
    for row, number in enumerate(items):
        lag = permutation.shift_lag(number, seed=run.seed, n_bins=counts.shape[0], minimum_bins=least)
        rows[row] = lag, *_measured(prepared.bench.errors(settings.decoder, np.roll(counts, lag, axis=0)))
        run.progress((row + 1) / len(items), f"permutations, {row + 1} of {len(items)}")
    return rows


def _measured(errors: NDArray[np.floating]) -> tuple[float, float, float]:
    """Return median error, 90th percentile (%) and share within 10 % (0-1), of the moving bins."""
    import numpy as np

    return (
        float(np.median(errors)),
        float(np.quantile(errors, 0.9)),
        float(np.mean(errors <= _TOLERANCE_PERCENT)),
    )


def _compared(run: Run, rows: NDArray[np.floating]) -> Output:
    import numpy as np

    from analysis.figures import decoding as draw
    from analysis.methods import permutation
    from analysis.pipelines.position_decoders import LABELS

    settings: PermutationParameters = run.parameters
    prepared = prepare(run)
    run.progress(0.5, "decoding the real data")
    errors, units_used = prepared.bench.real(settings.decoder)
    refuse_without_units(units_used, settings)
    real = dict(zip(_MEASURES, _measured(errors), strict=True))
    lags, null = rows[:, 0] * settings.bin, dict(zip(_MEASURES, rows[:, 1:].T, strict=True))
    p = {
        name: permutation.permutation_p(real[name], null[name], smaller_is_better=name != "within_10_percent")
        for name in _MEASURES
    }
    length = prepared.behaviour.length
    unit, scale = ("cm", length / 100) if length else ("%", 1.0)
    _write_table(run, lags, null)
    label = LABELS[settings.decoder]
    return Output(
        metrics=_metrics(prepared, settings, _Test(real, null, p, unit, scale)),
        figures=[
            draw.null_histogram(
                null["median_error"] * scale,
                real["median_error"] * scale,
                p["median_error"],
                unit=unit,
                shortest_shift=settings.shortest_shift,
            ),
            draw.null_by_lag(lags, null["median_error"] * scale, real["median_error"] * scale, unit=unit),
        ],
        artifacts=["permutations.csv"],
        summary=(
            f"{label}: median error {real['median_error'] * scale:.1f} {unit} against"
            f" {float(np.median(null['median_error'])) * scale:.1f} {unit} by chance, p = {p['median_error']:.2g}"
            f" (n = {len(rows):,})."
        ),
    )


def _metrics(prepared: Prepared, settings: PermutationParameters, test: _Test) -> dict[str, Metric]:
    import numpy as np

    real, null, p, unit, scale = test.real, test.null, test.p, test.unit, test.scale
    scored = f"moving > {settings.speed_threshold:g} {settings.speed_unit}, bins of {settings.bin * 1000:g} ms"
    chance = null["median_error"]
    ways = (
        f"(1 + k) / (1 + n), n = {chance.size} circular shifts of at least {settings.shortest_shift:g} s, all units"
        " together, whole cross-validation repeated"
    )
    return {
        "p": Metric(p["median_error"], "", "p", f"of the median error; {ways}", headline=True),
        "median_error": Metric(real["median_error"] * scale, unit, "median error", scored, headline=True),
        "chance_median_error": Metric(
            float(np.median(chance)) * scale, unit, "chance", "median over permutations of the median error",
            headline=True,
        ),
        "best_by_chance": Metric(
            float(chance.min()) * scale, unit, "best by chance", "least median error of a permutation"
        ),
        "permutations": Metric(int(chance.size), "permutations", "permutations", "each drawn anew", headline=True),
        "as_good": Metric(
            int(np.count_nonzero(chance <= real["median_error"])), "permutations", "as good as the real data",
            "k: those with at most the real median error",
        ),
        "p90_error": Metric(real["p90_error"] * scale, unit, "90th percentile", f"of the error; {scored}"),
        "p_p90": Metric(p["p90_error"], "", "p of the 90th percentile", ways),
        "within_10_percent": Metric(
            real["within_10_percent"] * 100, "%", f"within 10 % of {settings.whole}", f"share of bins; {scored}"
        ),
        "chance_within_10_percent": Metric(
            float(np.median(null["within_10_percent"])) * 100, "%", "within 10 % by chance", "median over permutations"
        ),
        "p_within": Metric(p["within_10_percent"], "", "p of the share within 10 %", ways),
        "bins": Metric(int(prepared.bench.rows.size), "bins", "bins decoded", scored),
        "units": Metric(int(prepared.counts.shape[1]), "units", "units", "in the file"),
    }  # fmt: skip


def _write_table(run: Run, lags: NDArray[np.floating], null: dict[str, Any]) -> None:
    """Write one row per permutation, in their order."""
    with (run.folder / "permutations.csv").open("w", newline="") as lines:
        table = csv.writer(lines)
        table.writerow(["permutation", "lag_s", "median_percent", "p90_percent", "within_10_percent"])
        for number, (lag, *values) in enumerate(zip(lags, *(null[name] for name in _MEASURES), strict=True)):
            table.writerow([number, repr(float(lag)), *(repr(float(value)) for value in values)])
