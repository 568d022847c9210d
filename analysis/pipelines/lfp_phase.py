"""``lfp.phase``: at which phase of a rhythm each unit fires."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from analysis.pipelines import clocks
from analysis.pipelines.base import Input, Metric, Output, Parameters, Pipeline, PipelineError, Run
from analysis.pipelines.lfp_trace import LfpTrace, read_trace
from analysis.pipelines.unit_choice import WHICH_UNITS, WhichUnits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def _quantity(default: Any, unit: str, text: str, **limits: Any) -> Any:
    return Field(default, description=text, json_schema_extra={"unit": unit}, **limits)


class LfpPhaseParameters(Parameters):
    """The band is theta of the rat's hippocampus."""

    low: float = _quantity(6.0, "Hz", "Lower end of the rhythm's band.", gt=0, le=500)
    high: float = _quantity(10.0, "Hz", "Upper end of the band.", gt=0, le=600)
    channel: int | None = _quantity(
        None, "channel", "Channel of the rhythm, from 0; the one with most power in the band when empty.", ge=0
    )
    shifts: int = _quantity(
        1000, "shifts", "Circular shifts of each unit's spikes against the rhythm; 0 for none.", ge=0, le=10_000
    )
    shortest_shift: float = _quantity(20.0, "s", "Least distance of a shift from none.", ge=20, le=3600)
    which_units: WhichUnits = Field("all", description=WHICH_UNITS)
    least_spikes: int = _quantity(50, "spikes", "Units with fewer are left out.", ge=2)
    alpha: float = _quantity(
        0.05, "", "Units with a p below this, over the number of units, are called locked.", gt=0, lt=1
    )
    align: clocks.Align = Field(
        "auto",
        description=(
            "'times': spikes and LFP are on one clock. 'starts': each counts from the start of its own recording, "
            "which the catalog knows. 'auto': what the recordings say with their parameter 'clock'."
        ),
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.high <= self.low:
            raise ValueError("high must be above low")
        return self


class LfpPhase(Pipeline):
    """Zero-phase band pass and Hilbert transform; mean phase, pairwise phase consistency, circular shifts."""

    name = "lfp.phase"
    version = "1.0.0"
    summary = "Measures at which phase of theta, or another rhythm, each unit fires, against shifted spikes."
    inputs = (
        Input(("lfp", "ephys"), "The rhythm: LFP, or voltage that is slow enough to be filtered at once."),
        Input(("units",), "Sorted units on the same clock."),
    )
    parameters = LfpPhaseParameters

    def methods(self, parameters: LfpPhaseParameters) -> str:
        """Return how it was computed."""
        whose = "units labelled good" if parameters.which_units == "good" else "units"
        channel = "the channel with most power in it" if parameters.channel is None else f"channel {parameters.channel}"
        said = (
            f"The phase of the rhythm from {parameters.low:g} to {parameters.high:g} Hz was taken from {channel} by a "
            f"zero-phase filter and the Hilbert transform. Of {whose} with at least {parameters.least_spikes} spikes, "
            "mean phase and pairwise phase consistency were computed."
        )
        if parameters.shifts:
            said += (
                f" The latter was compared with {parameters.shifts} circular shifts of each unit's spikes against the "
                f"rhythm by at least {parameters.shortest_shift:g} s, p = (1 + k) / (1 + n); a unit is locked where p "
                f"is below {parameters.alpha:g} divided by the number of units."
            )
        return said

    def run(self, run: Run) -> Output:
        """Measure; ``PipelineError`` when the recordings do not overlap or no unit has enough spikes."""
        from analysis.methods.errors import InvalidDataError

        try:
            return _measure(run)
        except InvalidDataError as error:
            raise PipelineError(str(error)) from error


def _measure(run: Run) -> Output:
    import numpy as np

    from analysis.methods import oscillation
    from analysis.readers import read_spikes

    settings: LfpPhaseParameters = run.parameters
    lfp, units = run.of_kind("lfp", "ephys"), run.of_kind("units")
    if len(lfp) != 1 or len(units) != 1:
        raise PipelineError("Phase locking needs one recording of LFP and one of units.")
    run.progress(0.02, "reading")
    trace = read_trace(lfp[0], settings.channel, (settings.low, settings.high))
    trains = read_spikes(units[0])
    times = clocks.on_clock_of(lfp[0], units[0], trains.times, settings.align) - trace.start
    duration = trace.values.size / trace.rate
    inside = (times >= 0) & (times < duration)
    if not inside.any():
        raise PipelineError(
            f"No spike lies within the {duration:.1f} s of the LFP; on its clock they go from {times[0]:.2f} to "
            f"{times[-1]:.2f} s from its beginning: are both on one clock?"
        )
    run.progress(0.1, "filtering")
    signal = oscillation.analytic(trace.values, trace.rate, settings.low, settings.high)
    kept, phases, nulls = [], [], []
    rng = np.random.default_rng(run.seed)
    span = duration - 2 * settings.shortest_shift
    if settings.shifts and span <= 0:
        raise PipelineError(
            f"{duration:.0f} s are too short to shift spikes by at least {settings.shortest_shift:g} s in both "
            "directions; set shifts to 0 to do without."
        )
    lags = settings.shortest_shift + span * rng.random(settings.shifts)
    for unit, label in enumerate(trains.labels):
        mine = times[inside & (trains.units == unit)]
        run.progress(0.1 + 0.8 * (unit + 1) / len(trains.labels), f"unit {unit + 1} of {len(trains.labels)}")
        if mine.size < settings.least_spikes:
            continue
        phase = oscillation.at_times(signal, trace.rate, mine)
        kept.append((unit, label))
        phases.append(phase[np.isfinite(phase)])
        nulls.append(
            [
                oscillation.phase_locking(oscillation.at_times(signal, trace.rate, (mine + lag) % duration)).ppc
                for lag in lags
            ]
        )
    if not kept:
        raise PipelineError(f"No unit has {settings.least_spikes} spikes within the LFP.")
    left = len(trains.labels) - len(kept)
    if left:
        run.log(f"{left} units have fewer than {settings.least_spikes} spikes and are left out.")
    return _output(run, trace, [label for _, label in kept], phases, nulls)


def _output(
    run: Run,
    trace: LfpTrace,
    labels: list[str],
    phases: list[NDArray[np.floating]],
    nulls: list[list[float]],
) -> Output:
    from dataclasses import replace

    import numpy as np

    from analysis.figures import oscillation as draw
    from analysis.methods import oscillation, permutation

    settings: LfpPhaseParameters = run.parameters
    found = [oscillation.phase_locking(phase) for phase in phases]
    shifted = bool(settings.shifts)
    if shifted:
        found = [
            replace(one, p=permutation.permutation_p(one.ppc, np.array(null), smaller_is_better=False))
            for one, null in zip(found, nulls, strict=True)
        ]
    alpha = settings.alpha / len(found)
    # With few shifts no p can be that small: the threshold is then the smallest there is.
    alpha = max(alpha, 1.5 / (1 + settings.shifts)) if shifted else alpha
    locked = [one for one in found if one.p < alpha]
    with (run.folder / "units.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("unit", "spikes", "phase_deg", "length", "ppc", "p"))
        for label, one in zip(labels, found, strict=True):
            numbers = (np.degrees(one.phase), one.length, one.ppc, one.p)
            table.writerow([label, one.n, *(f"{value:.6g}" for value in numbers)])
    run.progress(0.95, "drawing")
    band = f"{settings.low:g}-{settings.high:g} Hz"
    mean = oscillation.phase_locking(np.array([one.phase for one in locked])) if len(locked) > 1 else None
    metrics = {
        "locked": Metric(
            len(locked), "units", "locked units",
            f"of {len(found)}; p below {alpha:.2g}, "
            + (f"{settings.shifts} circular shifts of at least {settings.shortest_shift:g} s" if shifted
               else "Rayleigh's test, which takes spikes as independent"),
            headline=True,
        ),
        "ppc": Metric(
            float(np.median([one.ppc for one in found])), "", "phase consistency",
            "median over units of the pairwise phase consistency", headline=True,
        ),
        "phase": Metric(
            float(np.degrees(mean.phase)) if mean else None, "°", "mean phase of locked units",
            "0° is the peak of the filtered voltage, ±180° its trough", headline=True,
        ),
        "units": Metric(len(found), "units", "units", f"with {settings.least_spikes} spikes or more"),
        "spikes": Metric(sum(one.n for one in found), "spikes", "spikes", "within the LFP"),
        "channel": Metric(trace.channel, "", "channel", "of the rhythm, counted from 0"),
    }  # fmt: skip
    figures = [draw.phase_histograms(phases, labels, band), draw.locking(found, alpha)]
    run.progress(1.0, "done")
    return Output(metrics, figures, ["units.csv"], [], f"{len(locked)} of {len(found)} units are locked to {band}.")
