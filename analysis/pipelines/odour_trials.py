"""Trials of the odour-sequence task as decoding takes them: spikes around the poke, odours in their order, theta."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.pipelines import clocks
from analysis.pipelines.base import InputRecording, PipelineError

if TYPE_CHECKING:
    from analysis.readers.odour import OdourTrials

# So many trials of LFP are looked at to choose the channel with most theta.
_CHOSEN_ON = 50


@dataclass(frozen=True)
class TaskTrials:
    """``counts`` ``(n_trials, n_units, n_bins)`` in bins of ``bin`` (s), the first ``start`` (s) from the poke.

    ``labels`` ``(n_trials,)`` number the odours ``names`` from 0 in the order of the sequence; ``phase`` of theta (rad,
    0 at its peak) ``(n_trials, n_bins)`` or none; ``channel`` is the one that it was taken from.
    """

    counts: NDArray[np.floating]
    bin: float
    start: float
    labels: NDArray[np.integer]
    names: tuple[str, ...]
    correct: NDArray[np.bool_]
    in_sequence: NDArray[np.bool_]
    phase: NDArray[np.floating] | None
    channel: int | None

    @property
    def trained(self) -> NDArray[np.bool_]:
        """Return the trials that train: correct and in sequence."""
        return self.correct & self.in_sequence

    @property
    def stop(self) -> float:
        """Return the end of the trials, s from the poke."""
        return self.start + self.counts.shape[2] * self.bin

    def bins(self, first: float, last: float | None) -> slice:
        """Return the bins between two times (s from the poke); ``PipelineError`` where they are not in the trials."""
        last = self.stop if last is None else last
        low, high = round((first - self.start) / self.bin), round((last - self.start) / self.bin)
        if not 0 <= low < high <= self.counts.shape[2]:
            raise PipelineError(
                f"The trials last from {self.start:g} to {self.stop:g} s after the poke; the time that is decoded, "
                f"{first:g} to {last:g} s, must lie within."
            )
        return slice(low, high)


@dataclass(frozen=True)
class Theta:
    """Where theta is looked for: its band (Hz) and the channel of the LFP, that with most theta when none is named."""

    band: tuple[float, float]
    channel: int | None = None


def binned_trials(recording: InputRecording, theta: Theta, *, poke: float) -> TaskTrials:
    """Return the trials of an odour-sequence triple, with theta where its LFP and the rate of that are there.

    ``poke`` is the time of the poke from the beginning of each trial's data (s). ``PipelineError`` where no correct
    in-sequence trial is there or fewer than three odours.
    """
    from analysis.readers.odour import BIN, read_odour_trials

    read = read_odour_trials(recording)
    phase, channel = _theta(read, theta.band, theta.channel, BIN)
    names = np.unique(read.odour[read.correct & read.in_sequence])
    return _task_trials(read, names, -poke, phase, channel)


def cut_trials(
    units: InputRecording,
    table: InputRecording,
    lfp: InputRecording | None,
    theta: Theta,
    *,
    start: float,
    stop: float | None,
    align: clocks.Align,
) -> TaskTrials:
    """Return the trials of a table cut out of units and LFP from ``start`` to ``stop`` (s from the poke).

    Odours are in the order of their places in the sequence. ``PipelineError`` as for ``binned_trials``, where the
    recordings do not overlap, and where an odour has two places in sequence.
    """
    from analysis.methods.oscillation import analytic, at_times
    from analysis.pipelines.lfp_trace import read_trace
    from analysis.readers.odour import BIN
    from analysis.readers.trials import read_odours

    read = around_pokes(units, table, start=start, stop=stop, align=align)
    trials = read_odours(table)
    place: dict[str, int] = {}
    for odour, position, inside in zip(trials.odour, trials.position, trials.in_sequence, strict=True):
        if inside and place.setdefault(odour, int(position)) != position:
            raise PipelineError(f"Odour {odour} is in sequence at the places {place[odour]} and {position}.")
    trained = set(read.odour[read.correct & read.in_sequence].tolist())
    names = np.array(sorted(trained, key=lambda odour: (place[odour], odour)))
    phase, channel = None, None
    if lfp is not None and read.poke is not None:
        trace = read_trace(lfp, theta.channel, theta.band)
        middles = start + (np.arange(read.counts.shape[2]) + 0.5) * BIN
        times = clocks.on_clock_of(lfp, units, read.poke[:, None] + middles, align) - trace.start
        signal = analytic(trace.values, trace.rate, *theta.band)
        phase, channel = at_times(signal, trace.rate, times), trace.channel
        whole = np.isfinite(phase).all(axis=1)
        if not whole.any():
            raise PipelineError(
                f"No trial lies within the {trace.values.size / trace.rate:.1f} s of the LFP: is it on one clock with "
                "the units?"
            )
        read = replace(
            read, counts=read.counts[whole], odour=read.odour[whole], correct=read.correct[whole],
            in_sequence=read.in_sequence[whole],
        )  # fmt: skip
        phase = phase[whole]
    return _task_trials(read, names, start, phase, channel)


def _task_trials(
    read: OdourTrials, names: NDArray[Any], start: float, phase: NDArray[np.floating] | None, channel: int | None
) -> TaskTrials:
    """Number the odours; trials of one that is never correct and in sequence are left out."""
    from analysis.readers.odour import BIN

    if not (read.correct & read.in_sequence).any():
        raise PipelineError("No trial is correct and in sequence, so there is nothing to train on.")
    if names.size < 3:
        raise PipelineError(
            f"Correct in-sequence trials have {names.size} odours; a sequence with an odour before and one after "
            "needs three."
        )
    number = {odour: label for label, odour in enumerate(names.tolist())}
    known = np.isin(read.odour, names)
    return TaskTrials(
        counts=read.counts[known],
        bin=BIN,
        start=start,
        labels=np.array([number[odour] for odour in read.odour[known].tolist()]),
        names=tuple(odour if isinstance(odour, str) else f"{odour:g}" for odour in names.tolist()),
        correct=read.correct[known],
        in_sequence=read.in_sequence[known],
        phase=None if phase is None else phase[known],
        channel=channel,
    )


def _theta(
    read: OdourTrials, band: tuple[float, float], channel: int | None, bin_width: float
) -> tuple[NDArray[np.floating] | None, int | None]:
    """Return the phase in the middle of every bin ``(n_trials, n_bins)`` and the channel, where there is LFP."""
    from analysis.methods import spectral
    from analysis.methods.oscillation import analytic, at_times

    if read.lfp is None:
        return None, None
    channels = read.lfp.shape[2]
    if channel is None:
        some = read.lfp[:: max(1, len(read.lfp) // _CHOSEN_ON)].astype(float)
        window = min(1.0, some.shape[1] / read.lfp_rate)
        powers = np.zeros(channels)
        for number in range(channels):
            for trial in some[..., number]:
                density = spectral.power_spectrum(trial, read.lfp_rate, window=window, highest=band[1] + 1)
                powers[number] += float(spectral.band_power(density.power[0], density.frequency, *band))
        channel = int(np.nanargmax(powers)) if np.isfinite(powers).any() else 0
    if channel >= channels:
        raise PipelineError(f"There is no channel {channel} of the LFP; it has {channels}, from 0.")
    middles = (np.arange(read.counts.shape[2]) + 0.5) * bin_width
    if middles[-1] > read.lfp.shape[1] / read.lfp_rate:
        raise PipelineError(
            f"The LFP of a trial lasts {read.lfp.shape[1] / read.lfp_rate:g} s and its spikes "
            f"{read.counts.shape[2] * bin_width:g} s: is the rate of the LFP right?"
        )
    phase = np.empty((len(read.lfp), middles.size))
    for number, trial in enumerate(read.lfp[..., channel].astype(float)):
        if not np.isfinite(trial).all():
            raise PipelineError(f"The LFP of trial {number + 1} has values that are not finite numbers.")
        phase[number] = at_times(analytic(trial, read.lfp_rate, *band), read.lfp_rate, middles)
    return phase, channel


def around_pokes(
    units: InputRecording, table: InputRecording, *, start: float, stop: float | None, align: clocks.Align
) -> OdourTrials:
    """Return spikes around the pokes of a table of trials, in bins of 10 ms from ``start`` (s from the poke).

    They end at ``stop``, or with the shortest poke of a correct trial in sequence, which all that train have. Trials
    that go beyond the first or the last spike are left out. ``PipelineError`` where none is left.
    """
    from analysis.methods.spikes import bin_spikes
    from analysis.readers import read_spikes
    from analysis.readers.odour import BIN, OdourTrials
    from analysis.readers.trials import read_odours

    trials, trains = read_odours(table), read_spikes(units)
    pokes = clocks.on_clock_of(units, table, trials.poke_in, align)
    right = trials.correct & trials.in_sequence
    if stop is None:
        stop = float(trials.held[right].min()) if right.any() else float(trials.held.min())
    n_bins = int(np.floor((stop - start) / BIN + 1e-6))
    if n_bins < 1:
        raise PipelineError(
            f"Nothing lies between {start:g} s after the poke and the end, {stop:.3f} s after it: set start and stop."
        )
    inside = (pokes + start >= trains.times[0]) & (pokes + start + n_bins * BIN <= trains.times[-1])
    if not inside.any():
        raise PipelineError(
            f"No trial lies within the spikes, which go from {trains.times[0]:.2f} to {trains.times[-1]:.2f} s; on "
            f"their clock the pokes go from {pokes[0]:.2f} to {pokes[-1]:.2f} s: are both on one clock?"
        )
    edges = start + np.arange(n_bins + 1) * BIN
    counts = np.stack(
        [bin_spikes(trains.times, trains.units, poke + edges, n_units=len(trains.labels)).T for poke in pokes[inside]]
    )
    odour = np.array(trials.odour)
    return OdourTrials(counts, odour[inside], trials.correct[inside], trials.in_sequence[inside], poke=pokes[inside])
