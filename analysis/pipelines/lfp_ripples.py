"""``lfp.ripples``: sharp-wave ripples of a field potential, while the animal rests where that is known."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from analysis.pipelines import clocks
from analysis.pipelines.base import Input, Metric, Output, Parameters, Pipeline, PipelineError, Run
from analysis.pipelines.lfp_trace import LfpTrace, read_trace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from analysis.methods.oscillation import Ripples

# What is shown around a ripple's trough, s.
_AROUND = 0.1


def _quantity(default: Any, unit: str, text: str, **limits: Any) -> Any:
    return Field(default, description=text, json_schema_extra={"unit": unit}, **limits)


class LfpRipplesParameters(Parameters):
    """Defaults of the rat's CA1."""

    low: float = _quantity(150.0, "Hz", "Lower end of the ripple band.", ge=50, le=1000)
    high: float = _quantity(250.0, "Hz", "Upper end of the ripple band.", ge=60, le=1000)
    channel: int | None = _quantity(
        None, "channel", "Channel, from 0; the one with most power in the band when empty.", ge=0
    )
    threshold: float = _quantity(
        6.0, "SD", "The envelope's peak lies so far above its median, in robust standard deviations.", ge=2, le=50
    )
    edge: float = _quantity(1.0, "SD", "A ripple lasts while the envelope stays above this.", ge=0, le=10)
    shortest: float = _quantity(0.015, "s", "Shorter events are no ripples.", ge=0.005, le=1)
    longest: float = _quantity(0.5, "s", "Longer events are no ripples.", ge=0.02, le=5)
    rest_below: float = _quantity(
        4.0,
        "units of the position per s",
        "With positions, only what happens at a lower speed than this is looked at.",
        gt=0,
    )
    align: clocks.Align = Field(
        "auto",
        description=(
            "'times': LFP and positions are on one clock. 'starts': each counts from the start of its own recording, "
            "which the catalog knows. 'auto': what the recordings say with their parameter 'clock'."
        ),
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.high <= self.low:
            raise ValueError("high must be above low")
        if self.longest <= self.shortest:
            raise ValueError("longest must be above shortest")
        if self.edge >= self.threshold:
            raise ValueError("edge must be below threshold")
        return self


class LfpRipples(Pipeline):
    """Zero-phase band pass, smoothed envelope, robust threshold; each with its start, peak, end and frequency."""

    name = "lfp.ripples"
    version = "1.0.0"
    summary = "Finds ripples in LFP, while the animal rests where its positions are given."
    inputs = (
        Input(("lfp",), "LFP of the pyramidal layer, sampled at 1 kHz or faster."),
        Input(("position",), "Tracked positions, to look only where the animal rests.", minimum=0),
    )
    parameters = LfpRipplesParameters

    def methods(self, parameters: LfpRipplesParameters) -> str:
        """Return how it was computed."""
        channel = "the channel with most power in it" if parameters.channel is None else f"channel {parameters.channel}"
        return (
            f"Ripples were looked for in the band from {parameters.low:g} to {parameters.high:g} Hz, filtered with "
            f"zero phase, of {channel}: where the smoothed envelope rose {parameters.threshold:g} robust standard "
            f"deviations above its median, for as long as it stayed {parameters.edge:g} above it, which must be "
            f"{parameters.shortest:g} to {parameters.longest:g} s. With positions, only time in which the animal moved "
            f"slower than {parameters.rest_below:g} of their units per second was looked at."
        )

    def run(self, run: Run) -> Output:
        """Find; ``PipelineError`` when the LFP is too slow for ripples, dead, or apart from the positions."""
        from analysis.methods.errors import InvalidDataError

        try:
            return _find(run)
        except InvalidDataError as error:
            raise PipelineError(str(error)) from error


def _find(run: Run) -> Output:
    import numpy as np

    from analysis.methods import oscillation

    settings: LfpRipplesParameters = run.parameters
    lfp = run.of_kind("lfp")
    if len(lfp) != 1:
        raise PipelineError(f"Ripples are found in one recording of LFP, not {len(lfp)}.")
    run.progress(0.05, "reading")
    trace = read_trace(lfp[0], settings.channel, (settings.low, settings.high))
    if settings.high > 0.45 * trace.rate:
        raise PipelineError(
            f"LFP at {trace.rate:g} Hz is not faithful up to {settings.high:g} Hz; make it with a higher rate."
        )
    rests = np.ones(trace.values.size, bool)
    unit = ""
    if run.of_kind("position"):
        run.progress(0.2, "speed")
        rests, unit = _resting(run, trace)
        if not rests.any():
            raise PipelineError(
                f"The animal is never slower than {settings.rest_below:g} {unit}/s while there is LFP: are both on one "
                "clock?"
            )
    run.progress(0.4, "finding ripples")
    found = oscillation.ripples(
        trace.values,
        trace.rate,
        low=settings.low,
        high=settings.high,
        threshold=settings.threshold,
        edge=settings.edge,
        shortest=settings.shortest,
        longest=settings.longest,
        usable=rests if unit else None,
    )
    return _output(run, trace, found, rests, unit)


def _resting(run: Run, trace: LfpTrace) -> tuple[NDArray[np.bool_], str]:
    """Return at which samples of the trace the animal is known to rest, and the unit of the positions."""
    import numpy as np

    from analysis.pipelines.running import running_speed

    settings: LfpRipplesParameters = run.parameters
    running = running_speed(run.of_kind("position")[0], run.of_kind("lfp")[0], settings.align)
    at = trace.start + np.arange(trace.values.size) / trace.rate
    there = running.time
    nearest = np.clip(np.searchsorted(there, at), 1, there.size - 1)
    nearest -= at - there[nearest - 1] < there[nearest] - at
    seen = np.abs(there[nearest] - at) < 0.5
    with np.errstate(invalid="ignore"):
        return seen & (running.speed[nearest] < settings.rest_below), running.unit


def _output(run: Run, trace: LfpTrace, found: Ripples, rests: NDArray[np.bool_], unit: str) -> Output:
    import numpy as np

    from analysis.figures import oscillation as draw
    from analysis.methods import oscillation

    settings: LfpRipplesParameters = run.parameters
    rested = float(rests.mean() * trace.values.size / trace.rate)
    count = found.peak.size
    with (run.folder / "ripples.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("start_s", "peak_s", "stop_s", "height_SD", "frequency_Hz"))
        for row in zip(found.start, found.peak, found.stop, found.height, found.frequency, strict=True):
            table.writerow([*(f"{value + trace.start:.5f}" for value in row[:3]), f"{row[3]:.3f}", f"{row[4]:.2f}"])
    run.progress(0.9, "drawing")
    figures = []
    if count:
        change = np.diff(np.concatenate([[1], rests.astype(np.int8), [1]]))
        moving = np.flatnonzero(change == -1) / trace.rate, np.flatnonzero(change == 1) / trace.rate
        band = oscillation.analytic(trace.values, trace.rate, settings.low, settings.high).real
        half = round(_AROUND * trace.rate)
        troughs = _troughs(band, found, trace.rate)
        troughs = troughs[(troughs >= half) & (troughs < band.size - half)]
        if troughs.size:
            lag = np.arange(-half, half + 1)
            pieces = troughs[:, None] + lag
            figures.append(
                draw.average_ripple(
                    lag / trace.rate,
                    trace.values[pieces].mean(axis=0),
                    band[pieces].mean(axis=0),
                    count=troughs.size,
                    band=f"{settings.low:g}-{settings.high:g} Hz",
                )
            )
        figures += [
            draw.ripples_over_time(found, trace.values.size / trace.rate, moving, start=trace.start),
            draw.ripple_shapes(found),
        ]
    where = f"while slower than {settings.rest_below:g} {unit}/s" if unit else "over the whole recording"
    metrics = {
        "ripples": Metric(
            count, "ripples", "ripples",
            f"envelope {settings.threshold:g} robust SD above its median, {settings.shortest * 1000:g} to "
            f"{settings.longest * 1000:g} ms, {where}",
            headline=True,
        ),
        "rate": Metric(count / rested * 60 if rested else None, "1/min", "rate", where, headline=True),
        "duration": Metric(
            float(np.median(found.stop - found.start) * 1000) if count else None, "ms", "duration",
            f"median, while above {settings.edge:g} SD", headline=True,
        ),
        "frequency": Metric(
            float(np.median(found.frequency)) if count else None, "Hz", "frequency", "median, cycles over duration",
            headline=True,
        ),
        "looked_at": Metric(rested, "s", "time looked at", where),
        "channel": Metric(trace.channel, "", "channel", "counted from 0"),
    }  # fmt: skip
    run.progress(1.0, "done")
    return Output(metrics, figures, ["ripples.csv"], [], f"{count:,} ripples {where}.")


def _troughs(band: NDArray[np.floating], found: Ripples, rate: float) -> NDArray[np.intp]:
    """Return the sample of each ripple's deepest trough: averaging around the envelope's peak would blur cycles."""
    import numpy as np

    return np.array(
        [
            round(start * rate) + int(np.argmin(band[round(start * rate) : round(stop * rate)]))
            for start, stop in zip(found.start, found.stop, strict=True)
        ],
        dtype=np.intp,
    )
