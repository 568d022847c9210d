"""``sync.align``: two clocks brought together by pulses that both have seen, and recordings of one put on the other."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from analysis.pipelines import clocks, sync_derived, sync_pulses
from analysis.pipelines.base import DerivedRecording, Input, Metric, Output, Parameters, Pipeline, PipelineError, Run

if TYPE_CHECKING:
    from analysis.methods.alignment import Alignment
    from analysis.pipelines.sync_pulses import Train


def _quantity(default: Any, unit: str, text: str, **limits: Any) -> Any:
    return Field(default, description=text, json_schema_extra={"unit": unit}, **limits)


class SyncAlignParameters(Parameters):
    """Where the pulses are, and how well they have to fit."""

    reference_channel: str | None = Field(
        None,
        description="Pulses of the reference: the kind or channel of its events, a channel of its voltage from 0, or "
        "one by its name, a bit of a digital word as SY0:6; the only one there is when empty.",
    )
    other_channel: str | None = Field(None, description="Pulses of the other recording, named in the same way.")
    reference_region: list[int] | None = _quantity(
        None, "px", "Where the light is in the reference's video: left, top, width, height."
    )
    other_region: list[int] | None = _quantity(
        None, "px", "Where the light is in the other's video: left, top, width, height."
    )
    reference_threshold: float | None = _quantity(
        None, "µV or grey value", "Where a pulse of the reference begins; halfway between its two levels when empty."
    )
    other_threshold: float | None = _quantity(
        None, "µV or grey value", "Where a pulse of the other begins; halfway between its two levels when empty."
    )
    edge: Literal["rising", "falling"] = Field(
        "rising", description="Which edge of a voltage or a light is the pulse; events are taken as they are."
    )
    bounce: float = _quantity(
        0.0, "s", "Pulses that follow another within this time are taken as that one.", ge=0, le=10
    )
    tolerance: float | None = _quantity(
        None,
        "s",
        "A pair lies so near to the line; 0.001 s when empty, and of a video the time between two frames.",
        gt=0,
        le=1,
    )
    most_drift: float = _quantity(200.0, "ppm", "The clocks' rates differ by at most this.", gt=0, le=20_000)
    most_lost: float = _quantity(
        20.0, "%", "At most this share of the pulses of either has no partner within their common time.", ge=0, le=45
    )
    align: clocks.Align = Field(
        "auto",
        description=(
            "Of recordings of the other clock, 'times': their times and those of its pulses count from one moment. "
            "'starts': each from the start of its own recording, which the catalog knows. 'auto': what the recordings "
            "say with their parameter 'clock'."
        ),
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in ("reference_region", "other_region"):
            region = getattr(self, name)
            if region is not None and (len(region) != 4 or min(region) < 0 or min(region[2:]) < 1):
                raise ValueError(f"{name} is four whole numbers of px: left, top, width and height")
        return self


class SyncAlign(Pipeline):
    """Pulses matched by the pattern of their intervals, and a robust line through all pairs.

    A train that does not match, matches in several ways, lost too much or whose clock jumps is refused; nothing is cut
    to equal length.
    """

    name = "sync.align"
    version = "1.0.1"
    summary = "Matches pulses or flashes between two clocks, and puts recordings of one on the other."
    inputs = (
        Input(sync_pulses.KINDS, "The reference: pulses on the clock that is kept. Give it first."),
        Input(sync_pulses.KINDS, "The same pulses, as the other clock saw them. Give it second."),
        Input(sync_derived.KINDS, "Recordings of the other clock, to have on the reference's.", minimum=0, maximum=20),
    )
    parameters = SyncAlignParameters

    def methods(self, parameters: SyncAlignParameters) -> str:
        """Return how it was computed."""
        tolerance = (
            "1 ms, or of a video the time between two frames,"
            if parameters.tolerance is None
            else (f"{1000 * parameters.tolerance:g} ms")
        )
        return (
            "Pulses of both recordings were matched by the pattern of the intervals between them, and a line was "
            "fitted through all pairs by robust regression (Huber 1964). A pair lies within "
            f"{tolerance} of that line; the clocks differ in rate by at most {parameters.most_drift:g} ppm, and of the "
            f"pulses of either within their common time at most {parameters.most_lost:g} % have no partner."
        )

    def run(self, run: Run) -> Output:
        """Align; ``PipelineError`` when pulses cannot be found or not be matched, with the reason."""
        from analysis.methods.errors import InvalidDataError

        try:
            return _align(run)
        except InvalidDataError as error:
            raise PipelineError(str(error)) from error


@dataclass(frozen=True)
class _Found:
    """Both trains, their alignment, and what a pair may be off (s)."""

    reference: Train
    other: Train
    alignment: Alignment
    tolerance: float


def _align(run: Run) -> Output:
    from analysis.methods import alignment

    settings: SyncAlignParameters = run.parameters
    if len(run.recordings) < 2 or any(one.kind not in sync_pulses.KINDS for one in run.recordings[:2]):
        raise PipelineError(
            "Give the reference first and the other recording of the same pulses second, then what is on the other "
            f"clock: got {', '.join(one.kind for one in run.recordings)}."
        )
    trains = []
    for number, which in enumerate(("reference", "other")):
        run.progress(0.05 + 0.35 * number, f"looking for the pulses of the {which}")
        train = sync_pulses.read_train(run.recordings[number], _wanted(settings, which))
        run.log(f"{which.capitalize()}: {train.times.size:,} pulses, {train.found_in}.")
        trains.append(train)
    tolerance = settings.tolerance or max(train.sharp for train in trains)
    run.progress(0.75, "matching")
    found = alignment.align(
        trains[0].times,
        trains[1].times,
        tolerance=tolerance,
        most_drift=settings.most_drift / 1e6,
        most_lost=settings.most_lost / 100,
    )
    run.log(
        f"{found.reference.size:,} pairs between {found.common[0]:.3f} and {found.common[1]:.3f} s of the reference; "
        f"without a partner there: {found.lost_reference.size:,} of the reference and {found.lost_other.size:,} of the "
        f"other; outside of it: {found.outside_reference:,} and {found.outside_other:,}."
    )
    run.progress(0.8, "writing")
    result = _Found(trains[0], trains[1], found, tolerance)
    _write(run, result)
    return _output(run, result, _brought(run, found))


def _wanted(settings: SyncAlignParameters, which: str) -> sync_pulses.Wanted:
    channel, region, threshold = (getattr(settings, f"{which}_{name}") for name in ("channel", "region", "threshold"))
    return sync_pulses.Wanted(which, channel, region, threshold, settings.edge, settings.bounce)


def _brought(run: Run, found: Alignment) -> list[DerivedRecording]:
    import numpy as np

    reference, other = run.recordings[:2]
    made = []
    for number, recording in enumerate(run.recordings[2:], start=2):
        shift = clocks.shift_between(recording, other, run.parameters.align)
        derived, times = sync_derived.bring(
            recording, found.line, shift=shift, reference=reference, folder=run.folder, number=number
        )
        beyond = int(np.count_nonzero((times < found.common[0]) | (times > found.common[1])))
        if beyond:
            run.log(
                f"{recording.label or recording.kind}: {beyond:,} of {times.size:,} times lie before the first or after"
                " the last pulse that both have, and were put there by the line."
            )
        made.append(derived)
    return made


def _write(run: Run, result: _Found) -> None:
    found, reference, other = result.alignment, result.reference.times, result.other.times
    with (run.folder / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("reference_pulse", "other_pulse", "reference_s", "other_s", "residual_ms"))
        for mine, theirs, residual in zip(found.reference, found.other, found.residual, strict=True):
            table.writerow(
                (mine + 1, theirs + 1, f"{reference[mine]:.6f}", f"{other[theirs]:.6f}", f"{residual * 1000:.4f}")
            )
    with (run.folder / "lost.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("only_in", "pulse", "time_s"))
        for name, numbers, times in (
            ("reference", found.lost_reference, reference), ("other", found.lost_other, other),
        ):  # fmt: skip
            table.writerows((name, number + 1, f"{times[number]:.6f}") for number in numbers)


def _output(run: Run, result: _Found, recordings: list[DerivedRecording]) -> Output:
    import numpy as np

    from analysis.figures import alignment as draw

    found, reference, other = result.alignment, result.reference.times, result.other.times
    line, size = found.line, found.reference.size
    largest = float(np.abs(found.residual).max() * 1000)
    covered = "within the time that both trains cover"
    metrics = {
        "offset": Metric(
            line.offset, "s", "offset",
            f"{line.offset:+.6f} s is added to {line.origin:.3f} s, the other clock's time of its first pair",
            headline=True,
        ),
        "drift": Metric(
            line.drift * 1e6, "ppm", "drift",
            f"the reference gains so much on the other clock; standard error {found.drift_error * 1e6:.2g} ppm",
            headline=True,
        ),
        "largest_residual": Metric(
            largest, "ms", "largest residual", f"of all pairs off the line; up to {result.tolerance * 1000:g} ms is a"
            " pair", headline=True,
        ),
        "pairs": Metric(size, "pulses", "pairs", "pulses that both trains have", headline=True),
        "residual": Metric(
            float(np.sqrt((found.residual**2).mean()) * 1000), "ms", "residual", "root mean square of all pairs"
        ),
        "lost_reference": Metric(
            int(found.lost_reference.size), "pulses", "only in the reference", f"no partner {covered}"
        ),
        "lost_other": Metric(int(found.lost_other.size), "pulses", "only in the other", f"no partner {covered}"),
        "outside_reference": Metric(
            found.outside_reference, "pulses", "reference, outside", "before or after the other has pulses"
        ),
        "outside_other": Metric(
            found.outside_other, "pulses", "other, outside", "before or after the reference has pulses"
        ),
        "common": Metric(found.common[1] - found.common[0], "s", "common time", "from pulse to pulse, reference clock"),
    }  # fmt: skip
    run.progress(0.95, "drawing")
    figures = [
        draw.residuals_over_time(found, reference, other, tolerance=result.tolerance),
        draw.residual_histogram(found),
        draw.intervals_matched(found, reference, other),
    ]
    run.progress(1.0, "done")
    return Output(
        metrics,
        figures,
        ["pairs.csv", "lost.csv"],
        recordings,
        f"{size:,} pairs; the other clock is {line.offset:+.4f} s off and the reference gains "
        f"{line.drift * 1e6:+.2f} ppm on it; residuals up to {largest:.2g} ms.",
    )
