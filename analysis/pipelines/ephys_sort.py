"""``ephys.sort``: single units out of raw voltage, by a spike sorter that SpikeInterface runs, with their quality."""

from __future__ import annotations

import csv
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pydantic import Field

from analysis.pipelines.base import DerivedRecording, Input, Metric, Output, Parameters, Pipeline, PipelineError, Run

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from analysis.methods.units import Unit
    from analysis.readers.signal import Signal

# What of a recording is copied for a sorter at a time, s.
_PIECE = 5.0


def _quantity(default: Any, unit: str, text: str, **limits: Any) -> Any:
    return Field(default, description=text, json_schema_extra={"unit": unit}, **limits)


class EphysSortParameters(Parameters):
    """The sorter's own parameters are its defaults; the limits label its units."""

    sorter: str = Field(
        "spykingcircus2",
        description="Name of a sorter of SpikeInterface that is installed on the worker.",
        pattern="^[a-z][a-z0-9_]{1,40}$",
    )
    low: float = _quantity(
        300.0, "Hz", "Lower end of the band in which waveforms and noise are measured.", ge=100, le=2000
    )
    high: float = _quantity(6000.0, "Hz", "Upper end of that band.", ge=3000, le=15000)
    least_snr: float = _quantity(
        5.0, "noise", "A good unit's trough is at least so many times the noise of its channel.", ge=0, le=100
    )
    most_violations: float = _quantity(
        0.2,
        "",
        "A good unit has at most this share of the spike pairs within 1.5 ms that a Poisson train would have; an equal "
        "mix of two units has 0.5.",
        ge=0,
        le=2,
    )
    least_presence: float = _quantity(
        0.9, "", "A good unit fires in at least this share of twenty parts of the recording.", ge=0, le=1
    )
    least_spikes: int = _quantity(50, "spikes", "Units with fewer are called noise.", ge=1)


class EphysSort(Pipeline):
    """A sorter of SpikeInterface on the good channels, waveforms in the spike band, quality of each unit."""

    name = "ephys.sort"
    version = "1.0.0"
    summary = "Sorts the spikes of raw voltage into units and says which of them are good."
    inputs = (Input(("ephys",), "Wide-band voltage with the positions of its contacts."),)
    parameters = EphysSortParameters

    def run(self, run: Run) -> Output:
        """Sort; ``PipelineError`` without positions, without the sorter, or when it finds nothing."""
        from analysis.methods.errors import InvalidDataError

        recordings = run.of_kind("ephys")
        if len(recordings) != 1:
            raise PipelineError(f"Units are sorted from one recording of voltage, not {len(recordings)}.")
        from analysis.readers import open_signal

        try:
            with _quiet():
                return _sort(run, open_signal(recordings[0]))
        except InvalidDataError as error:
            raise PipelineError(str(error)) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """SpikeInterface warns of what is settled here, such as recordings that are not written to a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _sort(run: Run, signal: Signal) -> Output:
    import numpy as np

    from analysis.methods import channels
    from analysis.readers.probe import read_positions

    settings: EphysSortParameters = run.parameters
    if settings.high >= signal.rate / 2:
        raise PipelineError(f"At {signal.rate:g} Hz there is nothing above {signal.rate / 2:g} Hz; lower 'high'.")
    positions = read_positions(run.of_kind("ephys")[0], signal.n_channels)
    if positions is None:
        raise PipelineError(
            "A sorter must know where the contacts lie: set the parameter 'positions' of the recording, one pair of "
            "micrometres for each channel."
        )
    from spikeinterface.sorters import installed_sorters

    from analysis.pipelines.seeded import seeded_draws

    known = sorted(installed_sorters())
    if settings.sorter not in known:
        raise PipelineError(f"The sorter {settings.sorter!r} is not installed here; there are {', '.join(known)}.")
    run.progress(0.01, "judging the channels")
    quality = channels.assess(signal.read, signal.n_samples, signal.n_channels, signal.rate, positions=positions)
    good = np.flatnonzero(quality.good)
    bad = {n: label for n, label in enumerate(quality.labels) if label != "good"}
    run.log(f"{good.size} of {signal.n_channels} channels are good.")
    if bad:
        run.log("Left out: " + ", ".join(f"{n} ({label})" for n, label in bad.items()) + ".")
    if good.size == 0:
        raise PipelineError("No channel is good: there is nothing to sort.")
    scratch = run.folder / "sorting"
    scratch.mkdir()
    try:
        recording = _recording(run, signal, good, positions[good], scratch)
        # The same seed gives the same units, also where a sorter does not say that it draws.
        with seeded_draws(run.seed):
            sorting = _run_sorter(run, recording, scratch)
            run.progress(0.75, "measuring the units")
            units = _units(run, recording, sorting, good, signal.duration)
    finally:
        # As large as the recording itself, and nothing that belongs to the result.
        shutil.rmtree(scratch, ignore_errors=True)
    return _output(run, signal, units, n_good=int(good.size))


def _recording(run: Run, signal: Signal, good: NDArray[np.intp], positions: NDArray[np.floating], scratch: Path) -> Any:
    """Return the good channels (uV) as SpikeInterface's recording, from a file that any sorter can read."""
    import numpy as np
    import spikeinterface.full as si
    from probeinterface import Probe

    path = scratch / "voltage.f32"
    step = max(1, round(_PIECE * signal.rate))
    with path.open("wb") as file:
        for start in range(0, signal.n_samples, step):
            stop = min(start + step, signal.n_samples)
            piece = signal.read(start, stop)
            if len(piece) != stop - start:
                raise PipelineError(
                    f"The file ended early, near sample {start + len(piece):,} of {signal.n_samples:,}."
                )
            np.ascontiguousarray(piece[:, good], np.float32).tofile(file)
            run.progress(0.05 + 0.1 * stop / signal.n_samples, "reading the recording")
    recording = si.read_binary(
        path, sampling_frequency=signal.rate, dtype="float32", num_channels=good.size, gain_to_uV=1.0, offset_to_uV=0.0
    )
    probe = Probe(ndim=2, si_units="um")
    probe.set_contacts(positions, shapes="circle", shape_params={"radius": 5})
    probe.set_device_channel_indices(np.arange(good.size))
    return recording.set_probe(probe) or recording


def _run_sorter(run: Run, recording: Any, scratch: Path) -> Any:
    import spikeinterface.full as si
    from spikeinterface.sorters.utils.misc import SpikeSortingError

    settings: EphysSortParameters = run.parameters
    defaults = si.get_default_sorter_params(settings.sorter)
    # Where a sorter says that it draws at random it has these names for it.
    options: dict[str, Any] = {"seed": run.seed, "deterministic_peaks_detection": True, "job_kwargs": _jobs()}
    run.progress(0.16, f"sorting with {settings.sorter}")
    try:
        return si.run_sorter(
            settings.sorter,
            recording,
            folder=scratch / "sorter",
            verbose=False,
            **{name: value for name, value in options.items() if name in defaults},
        )
    except SpikeSortingError as error:
        last = [line for line in str(error).strip().splitlines() if line.strip() and "inspect the runtime" not in line]
        raise PipelineError(
            f"The sorter {settings.sorter} gave up: {last[-1].strip() if last else 'it does not say why'}"
        ) from error


def _jobs() -> dict[str, Any]:
    """How SpikeInterface shares its work: by threads, since a job is one process that a cancel must end.

    As many as the worker gives to OpenMP, which they use in turn.
    """
    stated = os.environ.get("OMP_NUM_THREADS", "")
    threads = int(stated) if stated.isdigit() and int(stated) > 0 else os.cpu_count() or 1
    return {"n_jobs": threads, "pool_engine": "thread", "chunk_duration": "1s", "progress_bar": False}


def _units(run: Run, recording: Any, sorting: Any, good: NDArray[np.intp], duration: float) -> list[Unit]:
    """Return the units with their waveforms and quality, from the top of the probe downwards."""
    import numpy as np
    import spikeinterface.full as si

    from analysis.methods import units

    settings: EphysSortParameters = run.parameters
    if len(sorting.unit_ids) == 0:
        raise PipelineError(f"The sorter {settings.sorter} found no unit.")
    filtered = si.bandpass_filter(recording, freq_min=settings.low, freq_max=settings.high, dtype="float32")
    if good.size >= units.LEAST_REFERENCED:
        filtered = si.common_reference(filtered, reference="global", operator="median")
    analyzer = si.create_sorting_analyzer(sorting, filtered, sparse=False, **_jobs())
    analyzer.compute(
        {
            "random_spikes": {"seed": run.seed, "max_spikes_per_unit": 500},
            "waveforms": {"ms_before": 1.0, "ms_after": 2.0},
            "templates": {},
            "noise_levels": {"random_slices_kwargs": {"seed": run.seed}},
            "spike_amplitudes": {},
        },
        **_jobs(),
    )
    templates = analyzer.get_extension("templates").get_data()
    noise = analyzer.get_extension("noise_levels").get_data()
    amplitudes = analyzer.get_extension("spike_amplitudes").get_data(outputs="by_unit")[0]
    limits = units.Limits(settings.least_snr, settings.most_violations, settings.least_presence, settings.least_spikes)
    made = [
        units.describe(
            sorting.get_unit_spike_train(unit) / recording.get_sampling_frequency(),
            np.asarray(amplitudes[unit], float),
            template,
            noise=noise,
            channels=good,
            duration=duration,
            rate=recording.get_sampling_frequency(),
            limits=limits,
        )
        for unit, template in zip(sorting.unit_ids, templates, strict=True)
        if len(sorting.get_unit_spike_train(unit))
    ]
    return sorted(made, key=lambda unit: (unit.channel, -unit.snr))


def _output(run: Run, signal: Signal, found: list[Unit], *, n_good: int) -> Output:
    import numpy as np

    from analysis.figures import units as draw
    from analysis.methods import units

    settings: EphysSortParameters = run.parameters
    source = run.of_kind("ephys")[0]
    order = np.argsort(np.concatenate([unit.times for unit in found]), kind="stable")
    numbers = np.repeat(np.arange(len(found)), [unit.times.size for unit in found])
    np.savez_compressed(
        run.folder / "units.npz",
        spike_times=np.concatenate([unit.times for unit in found])[order],
        spike_units=numbers[order].astype(np.int32),
        amplitude_uV=np.concatenate([unit.amplitudes for unit in found])[order].astype(np.float32),
        unit_labels=np.array([f"{number + 1} (channel {unit.channel})" for number, unit in enumerate(found)]),
        unit_quality=np.array([unit.label for unit in found]),
        waveform_uV=np.stack([unit.waveform for unit in found]).astype(np.float32),
        waveform_ms=found[0].waveform_time * 1000,
    )
    with (run.folder / "units.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(
            ("unit", "channel", "label", "spikes", "rate_Hz", "snr", "amplitude_uV", "violations", "presence")
        )
        for number, unit in enumerate(found, start=1):
            values = (unit.rate, unit.snr, unit.amplitude, unit.violations, unit.presence)
            written = ["" if np.isnan(value) else f"{value:.6g}" for value in values]
            table.writerow([number, unit.channel, unit.label, unit.times.size, *written])
    run.progress(0.95, "drawing")
    figures = [
        draw.waveforms(found),
        draw.autocorrelograms(found, units.autocorrelogram),
        draw.rates(found, signal.duration, start=signal.start),
        draw.amplitudes(found, start=signal.start),
        draw.quality(found, settings.least_snr, settings.most_violations),
    ]
    count = {label: sum(unit.label == label for unit in found) for label in units.LABELS}
    spikes = int(sum(unit.times.size for unit in found))
    metrics = {
        "good_units": Metric(
            count["good"],
            "units",
            "good units",
            f"trough at least {settings.least_snr:g} x noise, violations at most {settings.most_violations:g}, present "
            f"in {settings.least_presence:.0%} of the recording",
            headline=True,
        ),
        "multi_units": Metric(count["multi-unit"], "units", "multi-units", "miss one of the limits", headline=True),
        "noise_units": Metric(
            count["noise"], "units", "noise", f"fewer than {settings.least_spikes} spikes, or below twice the noise"
        ),
        "spikes": Metric(spikes, "spikes", "spikes", "of all units", headline=True),
        "snr": Metric(
            float(np.median([unit.snr for unit in found])), "noise", "trough over noise", "median over units"
        ),
        "good_channels": Metric(
            n_good, "channels", "good channels", f"of {signal.n_channels}; the others are left out"
        ),
        "sorter": Metric(
            settings.sorter, "", "sorter", f"of SpikeInterface {version('spikeinterface')}, with its own defaults"
        ),
        "duration": Metric(signal.duration, "s", "duration"),
    }
    clock = {"clock": source.parameters["clock"]} if "clock" in source.parameters else {}
    made = DerivedRecording(
        kind="units",
        format="units-npz",
        files=("units.npz",),
        parameters={"time_offset": signal.start, **clock},
        channels=signal.n_channels,
        duration=signal.duration,
    )
    run.progress(1.0, "done")
    counts = ", ".join(f"{count[label]} {label}" for label in units.LABELS)
    summary = f"{len(found)} units by {settings.sorter}: {counts}."
    return Output(metrics, figures, ["units.csv"], [made], summary)
