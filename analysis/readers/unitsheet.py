"""What a page draws of sorted units, unit by unit; called through ``sessions.isolation``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.methods import units
from analysis.pipelines.base import InputRecording, PipelineError
from analysis.readers import sources
from analysis.readers.frame import as_input
from analysis.readers.spikes import Spikes, own_labels, read_spikes

MOST_UNITS = 2000
# Bins of the rate over the recording; spikes that an autocorrelogram looks at.
RATE_BINS, MOST_CORRELATED = 100, 20_000
# Points of amplitudes of a unit, and of all units together: what a page draws of many units must fit into a reply.
MOST_AMPLITUDES, ALL_AMPLITUDES = 400, 200_000


def names(recording: Mapping[str, Any]) -> list[str]:
    """Return the names of the units of a recording that is described as JSON."""
    return list(_spikes(as_input(recording)).labels)


def sheet(recording: Mapping[str, Any]) -> dict[str, Any]:
    """Return times from and to (s) and of every unit its name, quality and curves, as JSON holds them.

    ``rate`` over the recording is in 1/s in equal bins; ``correlogram`` in 1/s in bins of 1 ms from -50 to 50 ms;
    ``amplitude`` pairs of time (s) and uV, ``waveform`` uV at ``waveform_ms``: both empty where the file has none.
    """
    source = as_input(recording)
    spikes = _spikes(source)
    own = own_labels(source)
    waveforms, waveform_ms, amplitudes = _measured(source, spikes)
    first, last = float(spikes.times[0]), float(spikes.times[-1])
    duration = max(last - first, 1e-9)
    order = np.argsort(spikes.units, kind="stable")
    cuts = np.searchsorted(spikes.units[order], np.arange(len(spikes.labels) + 1))
    points = min(MOST_AMPLITUDES, ALL_AMPLITUDES // len(spikes.labels))
    rows = []
    for number, name in enumerate(spikes.labels):
        mine = order[cuts[number] : cuts[number + 1]]
        times = spikes.times[mine]
        counts, _ = np.histogram(times, RATE_BINS, (first, max(last, first + 1e-9)))
        lags = units.autocorrelogram(times[:MOST_CORRELATED])[1]
        shown = mine[:: max(1, -(-mine.size // points))]
        rows.append(
            {
                "name": name,
                "spikes": int(times.size),
                "rate": times.size / duration,
                "violations": units.violations(times - first, duration),
                "presence": units.presence(times - first, duration),
                "own": own[number] if own else None,
                "rates": _rounded(counts / (duration / RATE_BINS)),
                "correlogram": _rounded(lags),
                "amplitude": [] if amplitudes is None else [_rounded(spikes.times[shown]), _rounded(amplitudes[shown])],
                "waveform": [] if waveforms is None else _rounded(waveforms[number]),
            }
        )
    return {"start": first, "stop": last, "waveform_ms": _rounded(waveform_ms), "units": rows}


def _rounded(values: NDArray[Any]) -> list[float]:
    return [float(f"{value:.5g}") for value in values.tolist()]


def _spikes(source: InputRecording) -> Spikes:
    spikes = read_spikes(source)
    if len(spikes.labels) > MOST_UNITS:
        raise PipelineError(f"there are {len(spikes.labels):,} units; up to {MOST_UNITS:,} are shown on a page")
    if len(set(spikes.labels)) < len(spikes.labels):
        raise PipelineError("two units have the same name")
    return spikes


def _measured(
    source: InputRecording, spikes: Spikes
) -> tuple[NDArray[np.floating] | None, NDArray[np.floating], NDArray[np.floating] | None]:
    """Return mean waveforms ``(units, samples)`` (uV), their times (ms) and the amplitude (uV) of every spike."""
    if source.format != "units-npz":
        return None, np.zeros(0), None
    path = sources.data_file(source)
    arrays = sources.load_npz(path, ("spike_times", "spike_units"), ("waveform_uV", "waveform_ms", "amplitude_uV"))
    waveforms, amplitudes = None, None
    moments: NDArray[np.floating] = np.zeros(0)
    if "waveform_uV" in arrays and "waveform_ms" in arrays:
        waveforms = sources.numbers(path, "waveform_uV", arrays["waveform_uV"])
        moments = sources.numbers(path, "waveform_ms", arrays["waveform_ms"])
        if waveforms.shape != (len(spikes.labels), moments.size):
            raise PipelineError(f"{path.name} has waveforms of the shape {waveforms.shape} for its units.")
    if "amplitude_uV" in arrays:
        amplitudes = sources.numbers(path, "amplitude_uV", arrays["amplitude_uV"])
        if amplitudes.shape != spikes.times.shape:
            raise PipelineError(f"{path.name} has {amplitudes.size:,} amplitudes for {spikes.times.size:,} spikes.")
        # As read_spikes puts them: by time, those of one moment by unit.
        amplitudes = amplitudes[np.lexsort((arrays["spike_units"], arrays["spike_times"]))]
    return waveforms, moments, amplitudes
