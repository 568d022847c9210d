"""The NumPy triple of odour-sequence laboratories: trials, binned spikes and LFP of one animal in three files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.marks import ODOUR, odour_files
from analysis.pipelines.base import InputRecording, PipelineError
from analysis.readers import sources
from analysis.readers.contents import Contents, Segment, Stream

BIN = 0.01


def open_triple(recording: InputRecording, path: Path) -> Contents:
    """Return spike counts (bins of 10 ms) and LFP, a segment for each trial, and what the trials were.

    The rate of the LFP is not in the files: parameter ``lfp_rate`` (Hz).
    """
    found = odour_files(path)
    trial_ending, spike_ending, lfp_ending = ODOUR
    if trial_ending not in found or spike_ending not in found:
        raise PipelineError(
            f"{path.name} is one of three files; beside it {trial_ending} and {spike_ending} of the same animal are "
            "needed."
        )
    trials = _numbers(found[trial_ending], 2)
    spikes = _numbers(found[spike_ending], 3)
    n_trials = len(spikes)
    if len(trials) != n_trials or trials.shape[1] < 4:
        raise PipelineError(
            f"{found[trial_ending].name} has the shape {trials.shape}; {n_trials} trials with at least 4 columns are "
            "expected."
        )
    info = np.asarray(trials[:, [0, 1, 3]], float)
    if not np.isin(info[:, 0], (0, 1)).all() or not np.isin(info[:, 1], (0, 1)).all():
        raise PipelineError(f"{found[trial_ending].name} should say correct and in sequence as 0 or 1.")
    notes = ["Times count from the start of each trial."]
    streams = [_stream("spike counts", spikes, 1 / BIN, "spikes", 1.0, unit_axis=1)]
    if lfp_ending in found:
        lfp = _numbers(found[lfp_ending], 3)
        if len(lfp) != n_trials:
            raise PipelineError(f"{found[lfp_ending].name} has {len(lfp)} trials; there are {n_trials}.")
        if recording.parameters.get("lfp_rate") is None:
            notes.append("The rate of its LFP is not in the files: set the parameter 'lfp_rate' (Hz) to have it read.")
        else:
            rate = sources.positive(recording, "lfp_rate", "rate of the LFP in Hz")
            unit = str(recording.parameters.get("unit") or "")
            streams.append(_stream("LFP", lfp, rate, unit, 1.0 if unit else None, unit_axis=2))
    odours, counts = np.unique(info[:, 2], return_counts=True)
    more = {
        "trials": n_trials,
        "correct": int(info[:, 0].sum()),
        "in_sequence": int(info[:, 1].sum()),
        "odours": {f"{odour:g}": int(count) for odour, count in zip(odours, counts, strict=True)},
        "units": int(spikes.shape[1]),
    }
    return Contents("odour-triple", tuple(found.values()), tuple(streams), notes=tuple(notes), more=more)


@dataclass(frozen=True)
class OdourTrials:
    """``counts`` ``(n_trials, n_units, n_bins)`` in bins of 10 ms; odours as written, all three ``(n_trials,)``.

    ``lfp`` ``(n_trials, n_samples, n_channels)`` at ``lfp_rate`` (Hz), from the same moment on, where there is one
    whose rate is known; ``poke`` (s) where the trials were cut out of a whole recording, on its clock.
    """

    counts: NDArray[Any]
    odour: NDArray[Any]
    correct: NDArray[np.bool_]
    in_sequence: NDArray[np.bool_]
    lfp: NDArray[Any] | None = None
    lfp_rate: float = 0.0
    poke: NDArray[np.floating] | None = None


def read_odour_trials(recording: InputRecording) -> OdourTrials:
    """Return the trials of a NumPy triple; ``PipelineError`` when the recording is none, or its files do not fit."""
    if recording.format != "odour-triple":
        raise PipelineError(
            f"{recording.label or 'The recording'} is {recording.format}, which has no odour for each trial; the three"
            " .npy files of an odour-sequence laboratory have."
        )
    if recording.parameters.get("only"):
        raise PipelineError("Binned spikes of trials carry no labels of units, so none is known to be good: take all.")
    path = recording.files[0].path
    open_triple(recording, path)
    found = odour_files(path)
    trials = _numbers(found[ODOUR[0]], 2)
    counts = np.asarray(_numbers(found[ODOUR[1]], 3), float)
    lfp, rate = None, 0.0
    if ODOUR[2] in found and recording.parameters.get("lfp_rate") is not None:
        lfp, rate = _numbers(found[ODOUR[2]], 3), sources.positive(recording, "lfp_rate", "rate of the LFP in Hz")
    return OdourTrials(counts, trials[:, 3], trials[:, 0] == 1, trials[:, 1] == 1, lfp, rate)


def _stream(name: str, array: NDArray, rate: float, unit: str, gain: float | None, *, unit_axis: int) -> Stream:
    trials, channels = len(array), array.shape[unit_axis]
    samples = array.shape[3 - unit_axis]

    def stored(segment: int, first: int, last: int) -> NDArray:
        trial = array[segment]
        return (trial.T if unit_axis == 1 else trial)[first:last]

    return Stream(
        name,
        tuple(str(number + 1) for number in range(channels)),
        rate,
        tuple(Segment(0.0, samples) for _ in range(trials)),
        (unit,) * channels,
        stored,
        None if gain is None else np.full(channels, gain),
    )


def _numbers(path: Path, dimensions: int) -> NDArray:
    array = sources.load_npy(path)
    if array.ndim != dimensions or array.dtype.kind not in "iufb" or 0 in array.shape:
        raise PipelineError(
            f"{path.name} should be numbers in {dimensions} dimensions, not {array.dtype} {array.shape}."
        )
    return array
