"""``ephys.lfp``: from voltage to LFP, its spectrogram, and theta."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from analysis.pipelines.base import DerivedRecording, Input, Metric, Output, Parameters, Pipeline, PipelineError, Run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from analysis.methods.voltage import Chunk
    from analysis.readers.signal import Signal


def _quantity(default: Any, unit: str, text: str, **limits: Any) -> Any:
    return Field(default, description=text, json_schema_extra={"unit": unit}, **limits)


class EphysLfpParameters(Parameters):
    """Bands are of the rat's hippocampus."""

    rate: float = _quantity(
        1250.0,
        "Hz",
        "Rate of the LFP; the recording's rate is divided by the whole number that comes nearest.",
        ge=100,
        le=5000,
    )
    channel: int | None = _quantity(
        None,
        "channel",
        "Channel of spectra and theta, from 0; the one with the largest theta over delta when empty.",
        ge=0,
    )
    theta_low: float = _quantity(6.0, "Hz", "Lower end of theta.", gt=0, le=50)
    theta_high: float = _quantity(10.0, "Hz", "Upper end of theta.", gt=0, le=50)
    delta_low: float = _quantity(1.0, "Hz", "Lower end of delta.", gt=0, le=50)
    delta_high: float = _quantity(4.0, "Hz", "Upper end of delta.", gt=0, le=50)
    window: float = _quantity(2.0, "s", "Window of the spectrogram and of theta over time.", ge=0.5, le=60)
    step: float = _quantity(0.5, "s", "Step of the spectrogram.", ge=0.05, le=60)
    spectrum_window: float = _quantity(
        4.0, "s", "Window of the power spectrum; its resolution is one over this.", ge=1, le=60
    )
    highest: float = _quantity(150.0, "Hz", "Highest frequency of spectra.", gt=20, le=1000)

    @model_validator(mode="after")
    def _rhythms_consistent(self) -> Self:
        if self.theta_high - self.theta_low < 1:
            raise ValueError("theta_high must be at least 1 Hz above theta_low")
        if self.delta_high <= self.delta_low:
            raise ValueError("delta_high must be above delta_low")
        if (self.delta_high - self.delta_low) * self.window < 1:
            raise ValueError("window is too short to tell frequencies within delta apart")
        return self


class EphysLfp(Pipeline):
    """Zero-phase decimation in pieces, Welch spectra, theta peak above the 1/f background."""

    name = "ephys.lfp"
    version = "1.2.0"
    summary = "Makes LFP from voltage and measures theta: peak frequency, power over time, ratio to delta."
    inputs = (Input(("ephys", "lfp"), "Wide-band voltage or LFP."),)
    parameters = EphysLfpParameters

    def run(self, run: Run) -> Output:
        """Filter and measure; ``PipelineError`` when the signal is too short, dead, or does not say what it is."""
        from analysis.methods.errors import InvalidDataError

        recordings = run.of_kind("ephys", "lfp")
        if len(recordings) != 1:
            raise PipelineError(f"LFP is made of one recording of voltage, not {len(recordings)}.")
        from analysis.readers import open_signal

        try:
            return _measure(run, open_signal(recordings[0]))
        except InvalidDataError as error:
            raise PipelineError(str(error)) from error


def _measure(run: Run, signal: Signal) -> Output:
    from analysis.methods import voltage

    table = LfpTable(run, signal)
    for made_of in voltage.scan(
        signal.read,
        signal.n_samples,
        signal.n_channels,
        signal.rate,
        decimator=table.decimator,
        chunk=table.chunk,
        workers=voltage.threads(),
    ):
        table.add(made_of)
        run.progress(
            0.02 + 0.68 * made_of.stop / signal.n_samples,
            f"filtering, {made_of.stop / signal.rate:.0f} of {signal.duration:.0f} s",
        )
    return table.measured(run)


class LfpTable:
    """The LFP of a recording on its way to ``lfp.npy``, and what is measured on it.

    ``decimator`` and ``chunk`` (s) are for the pass over the voltage, whose chunks come to ``add`` in order. Making one
    raises ``PipelineError`` for a recording that is too short or too slow.
    """

    def __init__(self, run: Run, signal: Signal) -> None:
        """Check the signal and make room for its LFP in the run's folder."""
        import numpy as np

        from analysis.methods import lfp

        settings: EphysLfpParameters = run.parameters
        if signal.duration < settings.spectrum_window:
            raise PipelineError(
                f"The recording lasts {signal.duration:.3g} s, less than one window of {settings.spectrum_window:g} s."
            )
        self.signal = signal
        self.factor = lfp.decimation_factor(signal.rate, settings.rate)
        self.rate = signal.rate / self.factor
        self.highest = min(settings.highest, 0.4 * self.rate)
        if settings.theta_high >= self.highest:
            raise PipelineError(
                f"Sampled at {self.rate:g} Hz the signal is faithful up to {0.4 * self.rate:g} Hz, which is below "
                "theta."
            )
        run.log(
            f"{signal.n_channels} channels, {signal.duration:.1f} s at {signal.rate:g} Hz; LFP at {self.rate:g} Hz "
            f"(1 in {self.factor})."
        )
        self.decimator = lfp.Decimator(self.factor)
        # About 64 MB of float32 at a time and thread, whatever the number of channels.
        self.chunk = max(20_000, 16_000_000 // signal.n_channels) / signal.rate
        self.total = -(-signal.n_samples // self.factor)
        self.table = np.lib.format.open_memmap(
            run.folder / "lfp.npy", mode="w+", dtype="<f4", shape=(self.total, signal.n_channels)
        )
        self._done = 0

    def add(self, chunk: Chunk) -> None:
        """Write the LFP of the next chunk."""
        if chunk.lfp is not None:
            self.table[self._done : self._done + len(chunk.lfp)] = chunk.lfp
            self._done += len(chunk.lfp)

    def measured(self, run: Run) -> Output:
        """Return what ``ephys.lfp`` gives back, once all chunks were added."""
        self.table.flush()
        return _spectra(run, self)


def _spectra(run: Run, made_of: LfpTable) -> Output:
    import numpy as np

    from analysis.methods import spectral

    settings: EphysLfpParameters = run.parameters
    signal, table, rate, factor = made_of.signal, made_of.table, made_of.rate, made_of.factor
    highest, total = made_of.highest, made_of.total
    channel, dead = _channel(run, table, rate)
    trace = np.array(table[:, channel], np.float64)
    if not np.isfinite(trace).all():
        raise PipelineError(f"Channel {channel} has values that are not finite numbers.")
    run.progress(0.75, "spectra")
    theta, delta = (settings.theta_low, settings.theta_high), (settings.delta_low, settings.delta_high)
    spectra = spectral.spectrogram(trace, rate, window=settings.window, step=settings.step, highest=highest)
    density = spectral.power_spectrum(trace, rate, window=settings.spectrum_window, highest=highest)
    rhythm = spectral.find_rhythm(density.power[0], density.frequency, band=theta)
    over_time = spectral.band_power(spectra.power, spectra.frequency, *theta)
    slow = spectral.band_power(spectra.power, spectra.frequency, *delta)
    ratio = over_time / np.maximum(slow, np.finfo(float).tiny)
    overall = float(
        spectral.band_power(density.power[0], density.frequency, *theta)
        / spectral.band_power(density.power[0], density.frequency, *delta)
    )
    np.savez_compressed(
        run.folder / "spectra.npz",
        time=spectra.time + signal.start,
        frequency=spectra.frequency,
        power_uV2_per_Hz=spectra.power.astype(np.float32),
        theta_uV2=over_time,
        theta_delta=ratio,
        spectrum_frequency=density.frequency,
        spectrum_uV2_per_Hz=density.power[0],
        background_uV2_per_Hz=rhythm.background,
    )
    run.progress(0.9, "drawing")
    from analysis.figures import lfp as draw

    time = signal.start + np.arange(total) / rate
    figures = [
        draw.trace(time, trace, channel=channel),
        draw.spectrogram(spectra, start=signal.start, highest=min(highest, 40.0)),
        draw.spectrum(density.frequency, density.power[0], rhythm, band=theta, highest=highest),
        draw.theta_over_time(spectra.time + signal.start, over_time, ratio, band=theta, slow=delta),
    ]
    band = f"{theta[0]:g}-{theta[1]:g} Hz"
    metrics = {
        "theta_peak": Metric(
            rhythm.frequency,
            "Hz",
            "theta peak",
            f"largest power above the fitted 1/f background within {band}; empty when no peak stands out",
            headline=True,
        ),
        "theta_height": Metric(
            rhythm.height, "dB", "theta above background", "power at the peak over the 1/f background", headline=True
        ),
        "theta_raw_peak": Metric(rhythm.raw, "Hz", "largest power in theta", f"within {band}, background left in"),
        "theta_delta": Metric(
            overall,
            "",
            "theta / delta",
            f"power in {band} over power in {delta[0]:g}-{delta[1]:g} Hz, whole recording",
            headline=True,
        ),
        "theta_power": Metric(
            float(np.median(over_time)), "µV²", "theta power", f"median over time of power in {band}"
        ),
        "background_exponent": Metric(
            rhythm.exponent, "", "1/f exponent", "slope of the background, 2 to 40 Hz without theta"
        ),
        "lfp_rate": Metric(
            rate, "Hz", "LFP rate", f"{signal.rate:g} Hz divided by {factor}; flat to {0.4 * rate:g} Hz"
        ),
        "channel": Metric(channel, "", "channel", "of spectra and theta, counted from 0"),
        "channels": Metric(signal.n_channels, "channels", "channels"),
        "dead_channels": Metric(len(dead), "channels", "dead channels", "constant from beginning to end"),
        "duration": Metric(signal.duration, "s", "duration"),
    }
    run.progress(1.0, "done")
    source = run.of_kind("ephys", "lfp")[0]
    clock = {"clock": source.parameters["clock"]} if "clock" in source.parameters else {}
    made = DerivedRecording(
        kind="lfp",
        format="npy",
        files=("lfp.npy",),
        parameters={"unit": "uV", "time_offset": signal.start, **clock},
        rate=rate,
        channels=signal.n_channels,
        duration=total / rate,
    )
    peak = (
        f"Theta peak at {rhythm.frequency:.2f} Hz, {rhythm.height:.1f} dB above the 1/f background"
        if rhythm.frequency is not None
        else "No theta peak stands out above the 1/f background"
    )
    return Output(metrics, figures, ["spectra.npz"], [made], f"{peak} (channel {channel}).")


def _channel(run: Run, table: NDArray[np.float32], rate: float) -> tuple[int, list[int]]:
    """Return the channel to measure and those that are dead, judged on at most a minute from the middle."""
    import numpy as np

    from analysis.methods import spectral

    settings: EphysLfpParameters = run.parameters
    span = min(len(table), round(60 * rate))
    first = (len(table) - span) // 2
    piece = np.asarray(table[first : first + span], np.float64)
    dead = [int(k) for k in np.flatnonzero(~(np.ptp(piece, axis=0) > 0))]
    if dead:
        run.log(f"Dead channels: {', '.join(map(str, dead))}.")
    if settings.channel is not None:
        if settings.channel >= table.shape[1]:
            raise PipelineError(f"There is no channel {settings.channel}; the recording has {table.shape[1]}, from 0.")
        if settings.channel in dead:
            raise PipelineError(f"Channel {settings.channel} is dead: it has one value throughout.")
        return settings.channel, dead
    best, chosen = -1.0, None
    for channel in range(table.shape[1]):
        if channel in dead:
            continue
        density = spectral.power_spectrum(piece[:, channel], rate, window=settings.window, highest=50)
        theta = spectral.band_power(density.power[0], density.frequency, settings.theta_low, settings.theta_high)
        delta = spectral.band_power(density.power[0], density.frequency, settings.delta_low, settings.delta_high)
        if delta > 0 and theta / delta > best:
            best, chosen = float(theta / delta), channel
    if chosen is None:
        raise PipelineError("Every channel is dead: none has more than one value.")
    return chosen, dead
