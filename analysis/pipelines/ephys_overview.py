"""``ephys.overview``: what a page needs to scroll and zoom through hours of voltage without reading them again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from analysis.pipelines.base import Input, Metric, Output, Parameters, Pipeline, PipelineError, Run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analysis.figures.spec import Figure
    from analysis.readers.signal import Signal

# Values that the figure shows.
_DRAWN = 75_000


class EphysOverviewParameters(Parameters):
    """There is nothing to choose: every page draws from the same levels."""


class EphysOverview(Pipeline):
    """Lowest and highest value of every channel in bins of 64 samples and of four times as many, again and again."""

    name = "ephys.overview"
    version = "1.0.0"
    summary = "Makes the overview from which a page scrolls and zooms through hours of voltage on all channels."
    inputs = (Input(("ephys", "lfp"), "Wide-band voltage or LFP."),)
    parameters = EphysOverviewParameters

    def run(self, run: Run) -> Output:
        """Read the recording once; ``PipelineError`` when it ends early or does not say what it is."""
        from analysis.methods.errors import InvalidDataError

        recordings = run.of_kind("ephys", "lfp")
        if len(recordings) != 1:
            raise PipelineError(f"An overview is made of one recording of voltage, not {len(recordings)}.")
        from analysis.readers import open_signal

        try:
            return _overview(run, open_signal(recordings[0]))
        except InvalidDataError as error:
            raise PipelineError(str(error)) from error


def _overview(run: Run, signal: Signal) -> Output:
    import numpy as np

    from analysis.methods import overview, voltage
    from analysis.readers import traces

    steps = signal.steps()
    shape = (2, signal.n_channels)
    widths = overview.widths(signal.n_samples)
    names = [f"overview-{width}.npy" for width in widths]
    levels = [
        np.lib.format.open_memmap(
            run.folder / name,
            mode="w+",
            dtype="<i2" if steps else "<f4",
            shape=(-(-signal.n_samples // width), *shape),
        )
        for name, width in zip(names, widths, strict=True)
    ]
    overview.build(
        steps.read if steps else signal.read,
        signal.n_samples,
        signal.n_channels,
        levels,
        workers=voltage.threads(),
        progress=lambda share: run.progress(
            0.01 + 0.94 * share, f"reading, {share * signal.duration:.0f} of {signal.duration:.0f} s"
        ),
    )
    for level in levels:
        level.flush()
    told = traces.facts(run.of_kind("ephys", "lfp")[0], signal) | {
        "gain": steps.gain.tolist() if steps else None,
        "offset": steps.offset.tolist() if steps else None,
        "levels": [{"width": width, "file": name} for width, name in zip(widths, names, strict=True)],
    }
    (run.folder / traces.DESCRIPTION).write_text(json.dumps(told, allow_nan=False), encoding="utf-8")
    run.progress(0.96, "drawing")
    size = sum(level.nbytes for level in levels)
    span = overview.joined(levels[-1], -(-len(levels[-1]) * signal.n_channels // _DRAWN)).astype(np.float32)
    if steps:
        span = span * steps.gain + steps.offset
    metrics = {
        "levels": Metric(len(levels), "", "levels", f"bins of {widths[0]} samples, then four times as wide each"),
        "size": Metric(round(size / 1e6, 3), "MB", "size", "of all levels", headline=True),
        "channels": Metric(signal.n_channels, "channels", "channels", headline=True),
        "duration": Metric(signal.duration, "s", "duration", headline=True),
    }
    run.progress(1.0, "done")
    summary = f"{signal.n_channels} channels over {signal.duration:,.1f} s can be scrolled and zoomed through."
    return Output(metrics, [_range(span, signal)], [traces.DESCRIPTION, *names], [], summary)


def _range(span: NDArray[Any], signal: Signal) -> Figure:
    from analysis.figures.voltage import range_over_time

    return range_over_time(span[:, 1] - span[:, 0], start=signal.start, duration=signal.duration)
