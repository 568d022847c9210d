"""``ephys.inspect``: is a recording of raw voltage good, and which of its channels are."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from pydantic import Field

from analysis.pipelines.base import Input, Metric, Output, Parameters, Pipeline, PipelineError, Run

if TYPE_CHECKING:
    from analysis.readers.signal import Signal


def _quantity(default: Any, unit: str, text: str, **limits: Any) -> Any:
    return Field(default, description=text, json_schema_extra={"unit": unit}, **limits)


class EphysInspectParameters(Parameters):
    """How much of the recording is looked at."""

    pieces: int = _quantity(20, "pieces", "Pieces on which channels are judged, spread evenly.", ge=1, le=200)
    piece: float = _quantity(0.5, "s", "Length of a piece.", ge=0.1, le=5)
    window: float = _quantity(1.0, "s", "Window of saturation and gaps over the whole recording.", ge=0.1, le=60)


class EphysInspect(Pipeline):
    """Channels judged by noise, standstill and shared low frequencies; spectra; saturation and gaps over time."""

    name = "ephys.inspect"
    version = "1.0.0"
    summary = "Tells whether a recording is good: bad channels, noise, spectra, saturation and gaps."
    inputs = (Input(("ephys",), "Wide-band voltage."),)
    parameters = EphysInspectParameters

    def run(self, run: Run) -> Output:
        """Judge; ``PipelineError`` when the recording is too short or slow, or has values that are no numbers."""
        from analysis.methods.errors import InvalidDataError

        recordings = run.of_kind("ephys")
        if len(recordings) != 1:
            raise PipelineError(f"One recording of voltage is inspected, not {len(recordings)}.")
        from analysis.readers import open_signal

        try:
            return _inspect(run, open_signal(recordings[0]))
        except InvalidDataError as error:
            raise PipelineError(str(error)) from error


def _inspect(run: Run, signal: Signal) -> Output:
    import numpy as np

    from analysis.figures import voltage as draw
    from analysis.methods import channels
    from analysis.readers.probe import read_positions

    settings: EphysInspectParameters = run.parameters
    positions = read_positions(run.of_kind("ephys")[0], signal.n_channels)
    shape = (signal.n_samples, signal.n_channels, signal.rate)
    run.progress(0.01, "judging the channels")
    quality = channels.assess(signal.read, *shape, positions=positions, pieces=settings.pieces, seconds=settings.piece)
    run.progress(0.2, "spectra")
    frequency, density = channels.power_densities(signal.read, *shape)
    faults = channels.faults_over_time(
        signal.read,
        *shape,
        window=settings.window,
        progress=lambda share: run.progress(0.3 + 0.6 * share, "saturation and gaps"),
    )
    good = quality.good
    bad = {n: label for n, label in enumerate(quality.labels) if label != "good"}
    if bad:
        run.log("Not good: " + ", ".join(f"{n} ({label})" for n, label in bad.items()) + ".")
    with (run.folder / "channels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("channel", "label", "noise_uV", "shared", "slow_power_uV2", "saturated_share"))
        for n, label in enumerate(quality.labels):
            values = (quality.noise[n], quality.shared[n], quality.power[n], quality.saturated[n])
            table.writerow((n, label, *("" if np.isnan(value) else f"{value:.6g}" for value in values)))
    run.progress(0.95, "drawing")
    figures = [
        draw.probe_map(positions, quality.labels, quality.noise),
        draw.spectra(frequency, density, good),
        draw.faults_over_time(faults.time + signal.start, faults.saturated, faults.gaps),
    ]
    metrics: dict[str, Metric] = {
        "good_channels": Metric(int(good.sum()), "channels", "good channels", f"of {signal.n_channels}", headline=True),
        "noise": Metric(
            float(np.median(quality.noise[good])) if good.any() else None,
            "µV",
            "noise",
            "median over good channels of the median absolute value over 0.6745, spike band without reference",
            headline=True,
        ),
        "gaps": Metric(
            100 * float(faults.gaps.mean()),
            "%",
            "gaps",
            "time in which no channel moves for 2 ms or more",
            headline=True,
        ),
        "saturated": Metric(
            100 * float(faults.saturated.mean()), "%", "saturated", "samples that stand at their channel's extreme"
        ),
        **{
            str(label): Metric(quality.labels.count(label), "channels", f"{label} channels")
            for label in channels.LABELS
            if label != "good"
        },
        "duration": Metric(signal.duration, "s", "duration"),
    }
    run.progress(1.0, "done")
    told = f"; not good: {', '.join(f'{n} {label}' for n, label in list(bad.items())[:8])}" if bad else ""
    more = f" and {len(bad) - 8} more" if len(bad) > 8 else ""
    summary = f"{int(good.sum())} of {signal.n_channels} channels are good{told}{more}."
    return Output(metrics, figures, ["channels.csv"], [], summary)
