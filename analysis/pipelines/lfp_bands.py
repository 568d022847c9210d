"""``lfp.bands``: power of a field potential in bands over time, theta over delta, and how it goes with speed."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from analysis.pipelines import clocks
from analysis.pipelines.base import Input, Metric, Output, Parameters, Pipeline, PipelineError, Run
from analysis.pipelines.lfp_trace import open_trace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from analysis.methods.bands import BandPower
    from analysis.methods.permutation import ShiftedCorrelation
    from analysis.readers.signal import Signal

_BAND = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9 _]{0,30}) (?P<low>\d+(\.\d+)?)-(?P<high>\d+(\.\d+)?)")
# Half the rate cannot be reached by a filter; what decimation leaves above this share is not faithful.
_FAITHFUL = 0.45


def _quantity(default: Any, unit: str, text: str, **limits: Any) -> Any:
    return Field(default, description=text, json_schema_extra={"unit": unit}, **limits)


class LfpBandsParameters(Parameters):
    """Bands are those of the rat's hippocampus."""

    bands: tuple[str, ...] = Field(
        (
            "delta 1-4",
            "theta 6-10",
            "beta 12-30",
            "low gamma 30-60",
            "high gamma 60-120",
            "ripple 150-250",
        ),
        description="Bands as a name and its ends in Hz. Theta and delta must be among them, with any ends.",
        min_length=2,
        max_length=12,
        json_schema_extra={"unit": "Hz"},
    )
    channel: int | None = _quantity(
        None, "channel", "Channel, from 0; the one with most power in theta when empty.", ge=0
    )
    window: float = _quantity(2.0, "s", "Window of a spectrum.", ge=0.2, le=60)
    step: float = _quantity(0.5, "s", "From one window to the next.", ge=0.05, le=60)
    half_bandwidth: float = _quantity(
        1.0, "Hz", "Spectra are smoothed over so much to both sides; the window must be at least one over it.", gt=0
    )
    moving_above: float = _quantity(
        5.0, "units of the position per s", "Faster is called running, slower resting, with positions.", gt=0
    )
    shifts: int = _quantity(
        1000, "shifts", "Circular shifts of theta over delta against speed; 0 for none.", ge=0, le=10_000
    )
    shortest_shift: float = _quantity(20.0, "s", "Least distance of a shift from none.", ge=20, le=3600)
    align: clocks.Align = Field(
        "auto",
        description=(
            "'times': LFP and positions are on one clock. 'starts': each counts from the start of its own recording, "
            "which the catalog knows. 'auto': what the recordings say with their parameter 'clock'."
        ),
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        limits = self.limits()
        if len(limits) < len(self.bands):
            raise ValueError("bands must have different names")
        for name in ("theta", "delta"):
            if name not in limits:
                raise ValueError(f"bands must name {name}, such as '{name} {'6-10' if name == 'theta' else '1-4'}'")
        for name, (low, high) in limits.items():
            if (high - low) * self.window < 1:
                raise ValueError(f"window is too short to tell frequencies within {name} apart")
        if self.window * self.half_bandwidth < 1:
            raise ValueError("window must be at least one over half_bandwidth")
        if self.step > self.window:
            raise ValueError("step must not be longer than window, or parts of the recording are not looked at")
        return self

    def limits(self) -> dict[str, tuple[float, float]]:
        """Return the ends (Hz) of the bands by their names; ``ValueError`` for one that is not understood."""
        found = {}
        for text in self.bands:
            read = _BAND.fullmatch(text.strip())
            if read is None or not 0 <= float(read["low"]) < float(read["high"]):
                raise ValueError(f"{text!r} is no band: give its name and its ends in Hz, such as 'theta 6-10'")
            found[read["name"].strip().lower()] = (float(read["low"]), float(read["high"]))
        return found


class LfpBands(Pipeline):
    """Multitaper spectra of sliding windows, power by band; Spearman's correlation with speed, circular shifts."""

    name = "lfp.bands"
    version = "1.0.0"
    summary = "Measures power in delta, theta, beta, gamma and ripple bands over time, and theta over delta with speed."
    inputs = (
        Input(("lfp",), "LFP, sampled at 5 kHz or slower."),
        Input(("position",), "Tracked positions, for the speed of the animal.", minimum=0),
    )
    parameters = LfpBandsParameters

    def run(self, run: Run) -> Output:
        """Measure; ``PipelineError`` when the LFP is too short, dead, or apart from the positions."""
        from analysis.methods.errors import InvalidDataError

        try:
            return _measure(run)
        except InvalidDataError as error:
            raise PipelineError(str(error)) from error


def _measure(run: Run) -> Output:
    import numpy as np

    from analysis.methods import bands, permutation, spectral
    from analysis.methods.position import mean_around
    from analysis.pipelines.running import running_speed

    settings: LfpBandsParameters = run.parameters
    lfp, position = run.of_kind("lfp"), run.of_kind("position")
    if len(lfp) != 1:
        raise PipelineError(f"Power is measured in one recording of LFP, not {len(lfp)}.")
    limits = settings.limits()
    run.progress(0.02, "reading")
    signal, channel = open_trace(lfp[0], settings.channel, limits["theta"])
    time = spectral.window_times(signal.n_samples, signal.rate, window=settings.window, step=settings.step)
    wanted = {name: ends for name, ends in limits.items() if ends[1] <= _FAITHFUL * signal.rate}
    if missing := ", ".join(name for name in limits if name not in wanted):
        run.log(f"LFP at {signal.rate:g} Hz is faithful up to {_FAITHFUL * signal.rate:g} Hz; left out: {missing}.")
    if not {"theta", "delta"} <= set(wanted):
        raise PipelineError(f"LFP at {signal.rate:g} Hz does not reach up to theta and delta.")
    speed, unit, moving = None, "", None
    if position:
        run.progress(0.05, "speed")
        running = running_speed(position[0], lfp[0], settings.align)
        speed, unit = mean_around(running.time, running.speed, time + signal.start, settings.window), running.unit
        if not np.isfinite(speed).any():
            raise PipelineError(
                f"There is no speed within the {signal.duration:.1f} s of the LFP: are both on one clock?"
            )
        moving = np.where(np.isfinite(speed), (speed > settings.moving_above).astype(int), -1)
    run.progress(0.1, "spectra")
    reading = _Channel(signal, channel)
    measured = bands.power_in_bands(
        reading.read,
        signal.n_samples,
        signal.rate,
        wanted,
        window=settings.window,
        step=settings.step,
        half_bandwidth=settings.half_bandwidth,
        groups=moving,
        report=lambda share: run.progress(0.1 + 0.6 * share, f"spectra, {share:.0%} of {signal.duration:.0f} s"),
    )
    names = list(wanted)
    if not reading.high > reading.low:
        raise PipelineError(f"Channel {channel} is dead: it has one value throughout.")
    least = np.finfo(float).tiny
    ratio = measured.power[:, names.index("theta")] / np.maximum(measured.power[:, names.index("delta")], least)
    found = None
    if speed is not None:
        if settings.shifts and np.ptp(np.flatnonzero(np.isfinite(speed))) * settings.step < 2 * settings.shortest_shift:
            raise PipelineError(
                f"Speed is known for too short a time to shift it by at least {settings.shortest_shift:g} s in both "
                "directions; set shifts to 0 to do without."
            )
        found = permutation.shifted_correlation(
            ratio,
            speed,
            shifts=settings.shifts,
            minimum_bins=int(np.ceil(settings.shortest_shift / settings.step - 1e-9)),
            rng=np.random.default_rng(run.seed),
            report=lambda share: run.progress(0.7 + 0.2 * share, "circular shifts"),
        )
    return _output(run, _Measured(signal, channel, wanted, measured, ratio, speed, unit, found))


class _Channel:
    """Samples of one channel ``(n,)`` as they are read, with their extremes; tells a value that is not finite."""

    def __init__(self, signal: Signal, channel: int) -> None:
        self.signal, self.channel = signal, channel
        self.low, self.high = float("inf"), float("-inf")

    def read(self, start: int, stop: int) -> NDArray[np.floating]:
        import numpy as np

        piece = self.signal.read(start, stop)[:, self.channel]
        wrong = np.flatnonzero(~np.isfinite(piece))
        if wrong.size:
            at = self.signal.start + (start + wrong[0]) / self.signal.rate
            raise PipelineError(f"Channel {self.channel} has a value at {at:.3f} s that is not a finite number.")
        self.low, self.high = min(self.low, float(piece.min())), max(self.high, float(piece.max()))
        return piece


@dataclass(frozen=True)
class _Measured:
    """What was found on a channel; ``speed`` and ``correlation`` where there are positions, in ``unit``."""

    signal: Signal
    channel: int
    limits: dict[str, tuple[float, float]]
    power: BandPower
    ratio: NDArray[np.floating]
    speed: NDArray[np.floating] | None
    unit: str
    correlation: ShiftedCorrelation | None


def _output(run: Run, of: _Measured) -> Output:
    import numpy as np

    from analysis.figures import bands as draw

    settings: LfpBandsParameters = run.parameters
    signal, channel, limits, measured = of.signal, of.channel, of.limits, of.power
    ratio, speed, unit, found = of.ratio, of.speed, of.unit, of.correlation
    time = measured.time + signal.start
    _write(run, of, time)
    run.progress(0.95, "drawing")
    figures = [
        draw.spectrogram_with_speed(measured, speed, start=signal.start, unit=unit),
        draw.power_over_time(time, measured.power, limits),
        draw.mean_spectra(
            measured.spectrogram.frequency,
            measured.spectra,
            ("resting", "running") if speed is not None else ("all",),
            limits,
        ),
    ]
    shift = f"{settings.shifts} circular shifts of at least {settings.shortest_shift:g} s, two-sided"
    metrics = {
        "theta_delta": Metric(
            float(np.median(ratio)), "", "theta / delta",
            f"median over windows of {settings.window:g} s of power in {_ends(limits, 'theta')} over power in "
            f"{_ends(limits, 'delta')}",
            headline=True,
        )
    }  # fmt: skip
    summary = f"Theta over delta is {np.median(ratio):.2g} in the median (channel {channel})"
    if speed is not None and found is not None:
        figures.append(draw.ratio_with_speed(speed, ratio, unit=unit, rho=found.rho))
        if found.null.size:
            figures.append(draw.correlation_by_chance(found, shortest_shift=settings.shortest_shift))
        known = np.isfinite(found.rho)
        metrics |= {
            "speed_correlation": Metric(
                found.rho if known else None, "", "with speed",
                f"Spearman's correlation of theta / delta with the mean speed in {found.n} windows", headline=True,
            ),
            "speed_p": Metric(found.p if np.isfinite(found.p) else None, "", "p", shift, headline=True),
        }  # fmt: skip
        for name, mask in (("running", speed > settings.moving_above), ("resting", speed <= settings.moving_above)):
            metrics[f"theta_delta_{name}"] = Metric(
                float(np.median(ratio[mask])) if mask.any() else None, "", f"theta / delta, {name}",
                f"median of {int(mask.sum())} windows "
                f"{'above' if name == 'running' else 'up to'} {settings.moving_above:g} {unit}/s",
            )  # fmt: skip
        summary += f"; its correlation with speed is {found.rho:.2f}" if known else "; the speed never changes"
        summary += f", p = {found.p:.2g}" if np.isfinite(found.p) else ""
    for number, name in enumerate(limits):
        metrics[f"{name.replace(' ', '_')}_power"] = Metric(
            float(np.median(measured.power[:, number])),
            "µV²",
            f"{name} power",
            f"median over time, {_ends(limits, name)}",
        )
    metrics |= {
        "channel": Metric(channel, "", "channel", "counted from 0"),
        "windows": Metric(time.size, "windows", "windows", f"of {settings.window:g} s, every {settings.step:g} s"),
        "duration": Metric(signal.duration, "s", "duration"),
    }
    run.progress(1.0, "done")
    return Output(metrics, figures, ["bands.csv", "spectra.npz"], [], f"{summary}.")


def _ends(limits: dict[str, tuple[float, float]], name: str) -> str:
    return f"{limits[name][0]:g}-{limits[name][1]:g} Hz"


def _write(run: Run, of: _Measured, time: NDArray[np.floating]) -> None:
    """Write the table over time, and the spectrogram as it is drawn."""
    import numpy as np

    measured, speed = of.power, of.speed
    columns = [f"{name.replace(' ', '_')}_uV2" for name in of.limits]
    with (run.folder / "bands.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["time_s", *columns, "theta_delta", *([f"speed_{of.unit}_per_s"] if speed is not None else [])])
        for row in range(time.size):
            values = [*measured.power[row], of.ratio[row], *([speed[row]] if speed is not None else [])]
            written = ["" if np.isnan(value) else f"{value:.6g}" for value in values]
            table.writerow([f"{time[row]:.4f}", *written])
    np.savez_compressed(
        run.folder / "spectra.npz",
        time=measured.spectrogram.time + time[0] - measured.time[0],
        frequency=measured.spectrogram.frequency,
        power_uV2_per_Hz=measured.spectrogram.power.astype(np.float32),
        mean_uV2_per_Hz=measured.spectra,
        mean_of=np.array(["resting", "running"] if speed is not None else ["all"])[: len(measured.spectra)],
    )
