"""``decode.sequence``: which odour of a sequence an ensemble tells of, when, and at which phase of theta."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from analysis.pipelines import clocks
from analysis.pipelines.base import Input, Output, Parameters, Pipeline, PipelineError, Run
from analysis.pipelines.odour_trials import TaskTrials, Theta, binned_trials, cut_trials
from analysis.pipelines.unit_choice import WHICH_UNITS, WhichUnits

if TYPE_CHECKING:
    from analysis.methods.odour_time import InAgainstOut, Windows
    from analysis.methods.theta_sequence import ThetaLag

# Parts of the theta cycle over which decoded probability is drawn.
CYCLE_PARTS = 12


def _quantity(default: Any, unit: str, text: str, **limits: Any) -> Any:
    return Field(default, description=text, json_schema_extra={"unit": unit}, **limits)


class DecodeSequenceParameters(Parameters):
    """Times are seconds from the poke."""

    poke: float = _quantity(
        0.0, "s", "Time of the poke from the beginning of each trial's data, where spikes are binned.", ge=0, le=60
    )
    before: float = _quantity(
        0.5, "s", "Time before the poke that is looked at, too, where trials are cut out of units.", ge=0, le=60
    )
    start: float = _quantity(0.0, "s", "Start of the time that is decoded, from the poke.", ge=-60, le=60)
    stop: float | None = _quantity(
        None,
        "s",
        "End of the time that is decoded; when empty the end of the trial's data, or the shortest correct poke.",
        gt=-60,
        le=60,
    )
    decoder: Literal["auto", "theta", "counts"] = Field(
        "auto",
        description=(
            "'theta': rates that follow theta around phases of their own for odours past, present and next. 'counts': "
            "spikes over the whole time. 'auto': theta where there is LFP."
        ),
    )
    which_units: WhichUnits = Field("all", description=WHICH_UNITS)
    folds: int = _quantity(10, "parts", "Parts of the trials, each tested once.", ge=2, le=100)
    draws: int = _quantity(
        10,
        "draws",
        "Times that training trials are drawn so that every odour has as many; 0 to train on all of them.",
        ge=0,
        le=1000,
    )
    permutations: int = _quantity(
        200,
        "permutations",
        "Shuffles of the labels within the session, each with the whole cross-validation.",
        ge=0,
        le=100_000,
    )
    window: float = _quantity(0.25, "s", "Length of the windows that slide over the trial.", ge=0.02, le=10)
    step: float = _quantity(0.05, "s", "Distance of these windows.", ge=0.01, le=10)
    low: float = _quantity(5.0, "Hz", "Lower end of theta.", gt=0, le=100)
    high: float = _quantity(11.0, "Hz", "Upper end of theta.", gt=0, le=200)
    channel: int | None = _quantity(
        None, "channel", "Channel of the LFP, from 0; the one with most theta when empty.", ge=0
    )
    least_spikes: int = _quantity(
        20, "spikes", "Units with fewer spikes in all trials together are left out.", ge=1, le=1_000_000
    )

    align: clocks.Align = Field(
        "auto",
        description=(
            "'times': units, trials and LFP are on one clock. 'starts': each counts from the start of its own "
            "recording, which the catalog knows. 'auto': what the recordings say with their parameter 'clock'."
        ),
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.stop is not None and self.stop <= self.start:
            raise ValueError("stop must be after start")
        if self.high <= self.low:
            raise ValueError("high must be above low")
        return self


@dataclass(frozen=True)
class SequenceOutcome:
    """All that was computed; ``posterior`` ``(n_trials, n_odours)`` is out of fold, its trials those of ``trials``.

    ``null`` and ``real`` are mean probabilities of the true odour in correct in-sequence trials, ``null_accuracy`` the
    shares told right under the same shuffles. ``over_time`` and ``over_phase`` ``(n, 3)`` are the probabilities of the
    odour before, the present and the next. ``chance`` ``(n_shuffles, n_windows)`` are shares told right.
    """

    trials: TaskTrials
    units: int
    units_left_out: int
    theta: bool
    decoded: slice
    posterior: NDArray[np.floating]
    training_trials: float
    real: float
    null: NDArray[np.floating]
    null_accuracy: NDArray[np.floating]
    windows: Windows
    accuracy_over_time: NDArray[np.floating]
    chance: NDArray[np.floating]
    generalisation: NDArray[np.floating]
    over_time: NDArray[np.floating]
    over_phase: NDArray[np.floating] | None
    lag: ThetaLag | None
    in_out: InAgainstOut | None

    @property
    def window_times(self) -> NDArray[np.floating]:
        """Return the middle of every sliding window, s from the poke."""
        return self.trials.start + self.windows.centres * self.trials.bin


class DecodeSequence(Pipeline):
    """Poisson decoding of odours, trained on correct in-sequence trials and tested on all, out of fold."""

    name = "decode.sequence"
    version = "1.1.0"
    summary = "Decodes which odour of a sequence the units tell of, over time and theta phase, and tests it."
    inputs = (
        Input(("units",), "Sorted units; or binned spikes of every trial, its odour and LFP (three .npy files)."),
        Input(("events",), "Trials that events.trials made, where the units do not say them.", minimum=0),
        Input(("lfp",), "LFP for the phase of theta, where it is not in the three files.", minimum=0),
    )
    parameters = DecodeSequenceParameters

    def methods(self, parameters: DecodeSequenceParameters) -> str:
        """Return what was decoded and how it was tested."""
        whose = "units labelled good" if parameters.which_units == "good" else "units"
        until = "the end of the trial" if parameters.stop is None else f"{parameters.stop:g} s after it"
        theta = f"theta ({parameters.low:g} to {parameters.high:g} Hz)"
        following = (
            f"rates that follow {theta} around phases of their own for odours past, present and next, with base and "
            "drives fitted by variational Bayes"
        )
        by = {
            "theta": following,
            "counts": "the mean counts of every odour",
            "auto": f"{following}, or, where no LFP was recorded, by the mean counts of every odour",
        }
        drawn = f", of which every odour had as many, drawn {parameters.draws} times" if parameters.draws else ""
        said = [
            (
                f"Odours were decoded from the spikes of {whose} with at least {parameters.least_spikes} spikes, from "
                f"{parameters.start:g} s after the poke to {until}, with a Poisson likelihood and a uniform prior over "
                f"odours (Zhang et al. 1998), by {by[parameters.decoder]}."
            ),
            (
                f"Rates were learned from correct in-sequence trials{drawn}; all trials were decoded in "
                f"{parameters.folds} parts, each from rates that it took no part in."
            ),
            f"Over time, spikes were counted in windows of {parameters.window:g} s, {parameters.step:g} s apart.",
        ]
        if parameters.permutations:
            said.append(
                f"Chance was taken from {parameters.permutations} shuffles of the labels within the session, each with "
                "the whole cross-validation repeated; p = (1 + k) / (1 + n), where k of n shuffles did at least as "
                "well."
            )
        return " ".join(said)

    def run(self, run: Run) -> Output:
        """Decode; ``PipelineError`` where trials, units or times do not suffice."""
        from threadpoolctl import threadpool_limits

        from analysis.methods.errors import InvalidDataError
        from analysis.pipelines.sequence_output import sequence_output

        try:
            # One thread, so that sums have the same last digits on every worker.
            with threadpool_limits(1):
                return sequence_output(run, _decode(run))
        except InvalidDataError as error:
            raise PipelineError(str(error)) from error


def _decode(run: Run) -> SequenceOutcome:
    from analysis.methods import odour_time, sequence, theta_decoder
    from analysis.methods.theta_sequence import theta_lag

    settings: DecodeSequenceParameters = run.parameters
    run.progress(0.01, "reading")
    trials, left_out = _with_enough_spikes(_read(run), settings.least_spikes)
    if settings.decoder == "theta" and trials.phase is None:
        raise PipelineError(
            "The decoder 'theta' needs LFP: a recording of it, or beside binned spikes with its rate as the "
            "recording's parameter 'lfp_rate' (Hz)."
        )
    theta = trials.phase is not None and settings.decoder != "counts"
    decoded = trials.bins(settings.start, settings.stop)
    n_odours, labels, trained = len(trials.names), trials.labels, trials.trained
    rng = np.random.default_rng(run.seed)
    fold = sequence.trial_folds(labels, trained, folds=settings.folds, rng=rng)
    counts = trials.counts[:, :, decoded]
    phase = None if trials.phase is None else trials.phase[:, decoded]
    decode = _decoder(counts, phase if theta else None, n_odours)

    run.progress(0.05, "decoding")
    masks = [sequence.balanced(labels, trained, fold, rng) for _ in range(settings.draws)] or [trained]
    posterior = np.mean([decode(labels, mask, fold, slice(None)) for mask in masks], axis=0)
    real, null, null_accuracy = _against_shuffles(run, decode, labels, trained, rng)

    run.progress(0.7, "over time")
    width, step = max(1, round(settings.window / trials.bin)), max(1, round(settings.step / trials.bin))
    windows = odour_time.sliding_windows(trials.counts, width=width, step=step)
    over_time = odour_time.decode_over_time(windows, labels, trained, fold, n_odours=n_odours)
    accuracy = np.mean(over_time[:, trained].argmax(axis=2) == labels[trained], axis=1)
    chance = odour_time.chance_over_time(
        windows, labels, trained, n_odours=n_odours, folds=settings.folds,
        shuffles=min(settings.permutations, 1000), rng=rng,
    )  # fmt: skip
    run.progress(0.85, "generalisation over time")
    general = odour_time.generalisation(windows, labels, trained, fold, n_odours=n_odours)
    whole = (counts.sum(axis=2), np.full(labels.size, float(counts.shape[2])))
    pieces = odour_time.decode_pieces(
        windows.counts, np.full(windows.counts.shape[:2], float(width)), *whole, labels=labels, trained=trained,
        fold=fold, n_odours=n_odours,
    )  # fmt: skip
    over_phase, lag = None, None
    if phase is not None:
        run.progress(0.9, "over theta")
        sorted_spikes = theta_decoder.phase_counts(counts, phase)
        turn = sorted_spikes.spikes.reshape(*sorted_spikes.spikes.shape[:2], CYCLE_PARTS, -1).sum(axis=3)
        share = sorted_spikes.bins.reshape(len(labels), CYCLE_PARTS, -1).sum(axis=2)
        by_phase = odour_time.decode_pieces(
            np.moveaxis(turn, 2, 0), share.T, *whole, labels=labels, trained=trained, fold=fold, n_odours=n_odours
        )
        over_phase = odour_time.along_the_sequence(by_phase, labels, trained)
        lag = theta_lag(counts, phase, labels, trained, n_odours=n_odours, rng=rng)
    true_odour = posterior[np.arange(labels.size), labels]
    in_out = odour_time.in_against_out(
        true_odour[trials.correct], labels[trials.correct], trials.in_sequence[trials.correct],
        draws=200, permutations=max(settings.permutations, 1), rng=rng,
    )  # fmt: skip
    return SequenceOutcome(
        trials, trials.counts.shape[1], left_out, theta, decoded, posterior,
        float(np.mean([np.count_nonzero(mask) for mask in masks])) * (1 - 1 / settings.folds),
        real, null, null_accuracy, windows, accuracy, chance, general,
        odour_time.along_the_sequence(pieces, labels, trained), over_phase, lag, in_out,
    )  # fmt: skip


def _read(run: Run) -> TaskTrials:
    settings: DecodeSequenceParameters = run.parameters
    units, tables, lfp = run.of_kind("units"), run.of_kind("events"), run.of_kind("lfp")
    if len(units) != 1 or len(tables) > 1 or len(lfp) > 1:
        raise PipelineError("One recording of units is read, and at most one table of trials and one of LFP.")
    theta = Theta((settings.low, settings.high), settings.channel)
    if not tables:
        if lfp:
            raise PipelineError("A recording of LFP is read with a table of trials; binned spikes have their own.")
        return binned_trials(units[0], theta, poke=settings.poke)
    return cut_trials(
        units[0], tables[0], lfp[0] if lfp else None, theta,
        start=min(settings.start, -settings.before), stop=settings.stop, align=settings.align,
    )  # fmt: skip


def _with_enough_spikes(trials: TaskTrials, least: int) -> tuple[TaskTrials, int]:
    from dataclasses import replace

    # Spikes in all trials whatever their odour: that tells nothing of what is decoded.
    kept = trials.counts.sum(axis=(0, 2)) >= least
    if not kept.any():
        raise PipelineError(f"No unit has {least} spikes in all trials together.")
    return replace(trials, counts=trials.counts[:, kept]), int(np.count_nonzero(~kept))


Decode = Callable[[NDArray[Any], NDArray[Any], NDArray[Any], Any], NDArray[np.floating]]


def _decoder(counts: NDArray[Any], phase: NDArray[Any] | None, n_odours: int) -> Decode:
    """Return ``decode(labels, trained, fold, trials)``, which gives the posterior of some trials out of fold."""
    from analysis.methods.sequence import decode_odours
    from analysis.methods.theta_decoder import decode_theta_odours, phase_counts

    if phase is None:
        whole = counts.sum(axis=2)
        return lambda labels, trained, fold, which: decode_odours(
            whole[which], labels, trained, fold, n_odours=n_odours
        )
    spikes = phase_counts(counts, phase)
    return lambda labels, trained, fold, which: decode_theta_odours(
        spikes[which], labels, trained, fold, n_odours=n_odours
    )


def _against_shuffles(
    run: Run, decode: Decode, labels: NDArray[Any], trained: NDArray[Any], rng: np.random.Generator
) -> tuple[float, NDArray[np.floating], NDArray[np.floating]]:
    """Return the mean probability of the true odour, and that and the share told right under each shuffle.

    Folds take no notice of labels and all correct in-sequence trials train, so that real and shuffled labels are
    exchangeable.
    """
    settings: DecodeSequenceParameters = run.parameters
    mine = labels[trained]
    every, each = np.ones(mine.size, dtype=bool), np.arange(mine.size)
    fold = rng.permutation(each % settings.folds)

    def told(labelling: NDArray[Any]) -> tuple[float, float]:
        posterior = decode(labelling, every, fold, trained)
        return float(posterior[each, labelling].mean()), float(np.mean(posterior.argmax(axis=1) == labelling))

    real, _ = told(mine)
    rows = np.empty((settings.permutations, 2))
    for number in range(settings.permutations):
        rows[number] = told(rng.permutation(mine))
        run.progress(0.1 + 0.6 * (number + 1) / settings.permutations, f"shuffle {number + 1} of {len(rows)}")
    return real, rows[:, 0], rows[:, 1]
