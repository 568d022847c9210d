"""``ephys.spikes``: peaks of the spike band on the good channels of a probe."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from analysis.pipelines.base import DerivedRecording, Input, Metric, Output, Parameters, Pipeline, PipelineError, Run

if TYPE_CHECKING:
    from analysis.methods.spike_band import Peaks
    from analysis.methods.voltage import Chunk
    from analysis.readers.signal import Signal


def _quantity(default: Any, unit: str, text: str, **limits: Any) -> Any:
    return Field(default, description=text, json_schema_extra={"unit": unit}, **limits)


class EphysSpikesParameters(Parameters):
    """Defaults are those common for silicon probes."""

    low: float = _quantity(300.0, "Hz", "Lower end of the spike band.", ge=100, le=2000)
    high: float = _quantity(6000.0, "Hz", "Upper end of the spike band.", ge=1000, le=15000)
    reference: bool = Field(
        default=True, description="Subtract the median over the good channels, where there are eight or more."
    )
    threshold: float = _quantity(5.0, "noise", "How deep a peak is, as a multiple of its channel's noise.", ge=3, le=30)
    radius: float = _quantity(
        50.0, "µm", "Within this distance only the deepest peak counts; needs the probe's positions.", ge=0, le=1000
    )
    sweep: float = _quantity(0.1, "ms", "Within this time on both sides only the deepest counts.", ge=0.03, le=2)

    @model_validator(mode="after")
    def _band_consistent(self) -> Self:
        if self.high <= 2 * self.low:
            raise ValueError("high must be above twice low")
        return self


class EphysSpikes(Pipeline):
    """Zero-phase band pass, common median reference, noise from the median, locally exclusive negative peaks."""

    name = "ephys.spikes"
    version = "1.0.0"
    summary = "Finds spikes in raw voltage: filters, takes the common median off, and detects peaks by channel."
    inputs = (Input(("ephys",), "Wide-band voltage, 10 kHz or faster."),)
    parameters = EphysSpikesParameters

    def methods(self, parameters: EphysSpikesParameters) -> str:
        """Return how it was computed."""
        reference = (
            "the median over good channels was subtracted at every sample, where there were eight of them or more, and "
            if parameters.reference
            else ""
        )
        return (
            f"Voltage was filtered from {parameters.low:g} to {parameters.high:g} Hz with zero phase, {reference}"
            "each channel's noise was taken from the median of its absolute values. A spike is a negative peak of at "
            f"least {parameters.threshold:g} times that noise, the deepest within {parameters.sweep:g} ms and, where "
            f"the probe is known, within {parameters.radius:g} µm."
        )

    def run(self, run: Run) -> Output:
        """Detect; ``PipelineError`` when the recording is too slow or short, or no channel is good."""
        from analysis.methods.errors import InvalidDataError

        recordings = run.of_kind("ephys")
        if len(recordings) != 1:
            raise PipelineError(f"Spikes are found in one recording of voltage, not {len(recordings)}.")
        from analysis.readers import open_signal

        try:
            return _detect(run, open_signal(recordings[0]))
        except InvalidDataError as error:
            raise PipelineError(str(error)) from error


# Below so many channels a spike is a large part of their median.
_REFERENCED = 8


def _detect(run: Run, signal: Signal) -> Output:
    from analysis.methods import voltage

    search = PeakSearch(run, signal)
    for chunk in voltage.scan(
        signal.read,
        signal.n_samples,
        signal.n_channels,
        signal.rate,
        peaks=search.detection,
        workers=voltage.threads(),
    ):
        search.add(chunk)
        run.progress(
            0.1 + 0.8 * chunk.stop / signal.n_samples,
            f"finding peaks, {chunk.stop / signal.rate:.0f} of {signal.duration:.0f} s",
        )
    return search.found(run)


class PeakSearch:
    """How peaks are found in a recording, those found so far, and what is told of them.

    ``detection`` is for the pass over the voltage, whose chunks come to ``add`` in order. Making one judges the
    channels and measures their noise; it raises ``InvalidDataError`` where no channel is good.
    """

    def __init__(self, run: Run, signal: Signal) -> None:
        """Judge the channels and set the thresholds."""
        from analysis.methods import channels, spike_band, voltage
        from analysis.readers.probe import read_positions

        settings: EphysSpikesParameters = run.parameters
        shape = (signal.n_samples, signal.n_channels, signal.rate)
        self.signal = signal
        self.positions = read_positions(run.of_kind("ephys")[0], signal.n_channels)
        band = spike_band.band_pass(signal.rate, settings.low, settings.high)
        run.progress(0.01, "judging the channels")
        quality = channels.assess(signal.read, *shape, positions=self.positions)
        self.good = quality.good
        bad = {n: label for n, label in enumerate(quality.labels) if label != "good"}
        run.log(f"{int(self.good.sum())} of {self.good.size} channels are good.")
        if bad:
            run.log("Left out: " + ", ".join(f"{n} ({label})" for n, label in bad.items()) + ".")
        reference = settings.reference and int(self.good.sum()) >= _REFERENCED
        self.noise = voltage.measure_noise(signal.read, *shape, band=band, good=self.good, reference=reference)
        self.detection = voltage.detection(
            self.noise,
            self.good,
            signal.rate,
            band,
            positions=self.positions,
            threshold=settings.threshold,
            radius=settings.radius,
            sweep=settings.sweep / 1000,
            reference=reference,
        )
        run.progress(0.1, "finding peaks")
        self._began = time.perf_counter()
        self._parts: list[Peaks] = []

    def add(self, chunk: Chunk) -> None:
        """Keep the peaks of the next chunk."""
        if chunk.peaks is not None:
            self._parts.append(chunk.peaks)

    def found(self, run: Run) -> Output:
        """Return what ``ephys.spikes`` gives back, once all chunks were added."""
        import numpy as np

        from analysis.methods import voltage

        took = time.perf_counter() - self._began
        peaks = voltage.joined(self._parts)
        run.log(f"{len(peaks.samples):,} peaks; {self.signal.duration / took:.1f} x real time.")
        np.savez_compressed(
            run.folder / "peaks.npz",
            spike_times=peaks.samples / self.signal.rate,
            spike_units=peaks.channels.astype(np.int32),
            unit_labels=np.array([f"channel {n}" for n in np.unique(peaks.channels)]),
            amplitude_uV=peaks.amplitudes,
        )
        run.progress(0.95, "drawing")
        return _output(run, self.signal, peaks, noise=self.noise, good=self.good, positions=self.positions)


def _output(run: Run, signal: Signal, peaks: Peaks, *, noise: Any, good: Any, positions: Any) -> Output:
    import numpy as np

    from analysis.figures import voltage as draw

    settings: EphysSpikesParameters = run.parameters
    source = run.of_kind("ephys")[0]
    known = positions is not None
    depth = positions[:, 1] if known else np.arange(signal.n_channels, dtype=float)
    times = peaks.samples / signal.rate + signal.start
    typical = float(np.median(noise[good]))
    figures = [
        draw.peaks_by_depth(times, depth[peaks.channels], signal.duration, start=signal.start, known=known),
        draw.amplitudes(peaks.amplitudes.astype(float), settings.threshold * typical),
    ]
    metrics = {
        "peaks": Metric(
            len(peaks.samples),
            "peaks",
            "peaks",
            f"deeper than {settings.threshold:g} x noise, the deepest within {settings.sweep:g} ms"
            + (f" and {settings.radius:g} µm" if known else " on their channel"),
            headline=True,
        ),
        "rate": Metric(len(peaks.samples) / signal.duration, "1/s", "peaks per second", "all channels", headline=True),
        "good_channels": Metric(
            int(good.sum()),
            "channels",
            "good channels",
            f"of {signal.n_channels}; the others are left out",
            headline=True,
        ),
        "noise": Metric(
            typical, "µV", "noise", f"median over good channels, {settings.low:g}-{settings.high:g} Hz, from the median"
        ),
        "amplitude": Metric(
            float(np.median(peaks.amplitudes)) if len(peaks.samples) else None, "µV", "amplitude", "median over peaks"
        ),
        "duration": Metric(signal.duration, "s", "duration"),
    }
    made = []
    if len(peaks.samples):
        clock = {"clock": source.parameters["clock"]} if "clock" in source.parameters else {}
        made.append(
            DerivedRecording(
                kind="spikes",
                format="units-npz",
                files=("peaks.npz",),
                parameters={"time_offset": signal.start, **clock},
                channels=signal.n_channels,
                duration=signal.duration,
            )
        )
    run.progress(1.0, "done")
    summary = (
        f"{len(peaks.samples):,} peaks on {int(good.sum())} good channels of {signal.n_channels}, "
        f"noise {typical:.1f} µV."
    )
    return Output(metrics, figures, [] if made else ["peaks.npz"], made, summary)
