"""``decode.position``: where on a track or in an arena the animal is, decoded from spikes and tested against chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from analysis.pipelines import clocks
from analysis.pipelines.base import Input, InputRecording, Output, Parameters, Pipeline, PipelineError, Run
from analysis.pipelines.unit_choice import WHICH_UNITS, WhichUnits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from analysis.methods.folds import Fold
    from analysis.pipelines.position_behaviour import AnimalBehaviour
    from analysis.pipelines.position_decoders import DecoderBench

# A Gaussian over position samples is cut at three sigma, so this many sigmas are its full width.
_KERNEL_SIGMAS = 6.0
# Data sets per shift that the error distribution of chance is drawn from.
_SHOWN_SHIFTS = 50
# Those that know places of an arena; the others learn places along a track.
IN_THE_OPEN = ("bayesian", "bayesian-chosen", "state-space", "state-space-causal", "ridge")


def _quantity(default: Any, unit: str, text: str, **limits: Any) -> Any:
    return Field(default, description=text, json_schema_extra={"unit": unit}, **limits)


class TrackDecodingParameters(Parameters):
    """What is decoded and how it is cross-validated; the defaults are those of a running rat on a linear track."""

    decoder: Literal[
        "bayesian",
        "bayesian-chosen",
        "state-space",
        "state-space-causal",
        "ridge",
        "kernel",
        "boosting",
        "perceptron",
        "recurrent",
        "convolutional",
    ] = Field(
        "bayesian",
        description=(
            "Kind of decoder. 'bayesian': one step, with the window, smoothing and prior below. The others choose "
            "their settings by inner folds of the training bins. 'bayesian-chosen': one step. 'state-space': place and "
            "running direction (in an open field, running or resting) as a chain over time, with the spikes before and "
            "after a bin ('state-space-causal': before only). 'ridge': linear, the baseline. 'kernel': where the "
            "animal was when counts were alike. 'boosting' (trees) and 'perceptron' learn for a minute or more, and so "
            "do the networks over time, 'recurrent' and 'convolutional', which need a worker with PyTorch and use its "
            "GPU where it has one."
        ),
    )
    which_units: WhichUnits = Field("all", description=WHICH_UNITS)
    epoch_start: float | None = _quantity(None, "s", "Start of the time decoded; the first position when empty.")
    epoch_stop: float | None = _quantity(None, "s", "End of the time decoded; the last position when empty.")
    bin: float = _quantity(0.25, "s", "Step of the time bins.", ge=0.001, le=10)
    window: float | None = _quantity(
        None, "s", "Time that one count of spikes covers, a whole number of bins; one bin when empty.", gt=0, le=30
    )
    place_bins: int | None = _quantity(
        None,
        "bins",
        "Bins of equal length along the track (50 when empty), or squares along the longer side of an open field (25).",
        ge=5,
        le=500,
    )
    map_smoothing: float = _quantity(1.0, "place bins", "Sigma of the Gaussian over place fields.", ge=0, le=20)
    position_smoothing: float = _quantity(0.1, "s", "Sigma of the Gaussian over tracked positions.", ge=0, le=5)
    speed_threshold: float = _quantity(5.0, "speed_unit", "Only faster bins train and are scored.", ge=0)
    speed_unit: Literal["%/s", "cm/s"] = Field(
        "%/s", description="Unit of the speed threshold; % is of the track, or of the longer side."
    )
    prior: Literal["occupancy", "uniform"] = Field(
        "occupancy", description="Prior over places: the training bins' occupancy, or the same everywhere."
    )
    minimum_spikes: int = _quantity(10, "spikes", "Units with fewer in a fold's training bins sit that fold out.", ge=0)
    folds: int = _quantity(10, "parts", "Contiguous blocks of time, each tested once.", ge=2, le=100)
    inner_folds: int = _quantity(
        5, "parts", "Contiguous blocks by which settings are chosen within the training bins.", ge=2, le=20
    )
    blocks: Literal["time", "laps"] = Field(
        "time",
        description="Blocks of equal time, or of whole laps: those given, or ways from end to end of the track.",
    )
    guard: float = _quantity(
        1.0, "s", "Time left out between training and tested bins; at least the window and all smoothing.", ge=0, le=60
    )
    shortest_shift: float = _quantity(20.0, "s", "Least distance of a shift from none.", ge=20, le=86_400)
    track_length: float | None = _quantity(
        None,
        "cm",
        "Length of the track, or of an open field's longer side, from end to end of the animal's range; gives errors "
        "in cm.",
        gt=0,
    )
    longest_gap: float = _quantity(0.5, "s", "Longer gaps between positions are left out, not bridged.", gt=0)
    align: clocks.Align = Field(
        "auto",
        description=(
            "'times': spikes and positions are on one clock. 'starts': each counts from the start of its own "
            "recording, which the catalog knows. 'auto': what the recordings say with their parameter 'clock'."
        ),
    )

    @property
    def in_the_open(self) -> bool:
        """Whether places are those of an open field and not of a track."""
        return False

    @property
    def bins_along(self) -> int:
        """How many places lie along the track, or along the longer side of an open field."""
        return self.place_bins or (25 if self.in_the_open else 50)

    @property
    def whole(self) -> str:
        """What positions and errors are in % of."""
        return "the longer side" if self.in_the_open else "the track"

    @property
    def learns_in_torch(self) -> bool:
        """Whether the decoder is a network that learns in PyTorch."""
        return self.decoder in ("recurrent", "convolutional")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        window = self.window or self.bin
        if abs(window / self.bin - round(window / self.bin)) > 1e-6 or window < self.bin:
            raise ValueError(f"window ({window:g} s) must be a whole number of bins ({self.bin:g} s)")
        least = window + _KERNEL_SIGMAS * self.position_smoothing
        if self.guard < least - 1e-9:
            raise ValueError(
                f"guard ({self.guard:g} s) must be at least the window and the full width of the smoothing "
                f"({least:g} s), "
                "or tested bins share data with training bins"
            )
        start, stop = self.epoch_start, self.epoch_stop
        if start is not None and stop is not None and stop <= start:
            raise ValueError("epoch_stop must be after epoch_start")
        return self


class PositionDecodingParameters(TrackDecodingParameters):
    """What is decoded, along a track or in two dimensions."""

    arena: Literal["track", "open-field"] = Field(
        "track",
        description=(
            "Shape of the arena. 'track': where along it the animal is. 'open-field': x and y, by a Bayesian decoder "
            "or a state space in places of equal size, of which those that the animal never visited are never decoded, "
            "or by ridge, anywhere within the animal's range."
        ),
    )

    @property
    def in_the_open(self) -> bool:
        """Whether places are those of an open field and not of a track."""
        return self.arena == "open-field"

    @model_validator(mode="after")
    def _fits_the_arena(self) -> Self:
        if self.in_the_open and self.decoder not in IN_THE_OPEN:
            raise ValueError(
                f"the decoder {self.decoder!r} learns places along a track; for an open field choose "
                f"{', '.join(IN_THE_OPEN[:-1])} or {IN_THE_OPEN[-1]}"
            )
        if self.in_the_open and self.blocks == "laps":
            raise ValueError("laps are ways along a track: an open field is cut into blocks of time")
        return self


class DecodePositionParameters(PositionDecodingParameters):
    """All choices of the analysis."""

    compare: bool = Field(
        default=False,
        description="Decode with the other quick decoders on the same folds, too; show errors and times side by side.",
    )
    compare_learned: bool = Field(
        default=False,
        description="Compare with the slow ones as well: boosted trees, the perceptron and, where PyTorch is installed,"
        " networks take a minute or more each. Of a track only.",
    )
    shifts: int | None = _quantity(
        None,
        "shifts",
        "Circular shifts of all units together, each with the whole cross-validation; 0 skips the test. When empty, "
        "1000 for the Bayesian decoder as set and 19 for those that choose their settings, which take seconds a shift, "
        "those that learn slowly a minute: stats.permutation shares such work among all workers.",
        ge=0,
        le=10_000,
    )

    @property
    def planned_shifts(self) -> int:
        """How many circular shifts are computed."""
        if self.shifts is not None:
            return self.shifts
        return 1000 if self.decoder == "bayesian" else 19


class DecodePosition(Pipeline):
    """Decoding of position on a track or in an arena, cross-validated over blocks and tested by circular shifts."""

    name = "decode.position"
    version = "2.2.1"
    summary = "Decodes position on a track or in an open field from spikes, and says whether it beats chance."
    inputs = (
        Input(("units",), "Sorted units: spike times of every unit."),
        Input(("position",), "Tracked positions on the same clock."),
        Input(("events",), "Laps that events.trials made, to cut blocks of laps by.", minimum=0),
    )
    parameters = DecodePositionParameters

    def needs(self, parameters: TrackDecodingParameters) -> dict[str, str]:
        """Return PyTorch for networks."""
        return {"torch": "decoder"} if parameters.learns_in_torch else {}

    def gains_from_gpu(self, parameters: TrackDecodingParameters) -> bool:
        """Whether a network is to learn."""
        return parameters.learns_in_torch

    def methods(self, parameters: DecodePositionParameters) -> str:
        """Return what was decoded and how it was tested."""
        from analysis.pipelines.position_words import position_methods, shift_methods

        said = position_methods(parameters)
        if shifts := parameters.planned_shifts:
            said.append(shift_methods(shifts, parameters))
        return " ".join(said)

    def run(self, run: Run) -> Output:
        """Decode; ``PipelineError`` when data do not suffice, with the sentence that says what is missing."""
        from threadpoolctl import threadpool_limits

        from analysis.methods.errors import InvalidDataError

        try:
            # Threads share sums out by their number, and what learns step by step makes the last digit the first.
            with threadpool_limits(1):
                return _decode(run)
        except InvalidDataError as error:
            raise PipelineError(str(error)) from error


@dataclass(frozen=True)
class Prepared:
    """All that a decoder needs: ``counts`` of the window ``(n_bins, n_units)``, the folds, and the decoders on them."""

    behaviour: AnimalBehaviour
    counts: NDArray[np.floating]
    blocks: list[Fold]
    laps: int
    bench: DecoderBench


def prepare(run: Run, *, gpu: bool = False) -> Prepared:
    """Read the recordings of a run with ``TrackDecodingParameters``, and bin and cut them into folds.

    ``gpu`` lets networks learn on a GPU where there is one.
    """
    import numpy as np

    from analysis.methods import folds, spikes
    from analysis.pipelines.position_behaviour import lap_ends, read_behaviour
    from analysis.pipelines.position_decoders import DecoderBench
    from analysis.readers import read_spikes

    settings: TrackDecodingParameters = run.parameters
    units_recording, position_recording = _one(run, "units"), _one(run, "position")
    run.progress(0.02, "reading positions and spikes")
    behaviour = read_behaviour(run, position_recording)
    trains = read_spikes(units_recording)
    times = clocks.on_clock_of(position_recording, units_recording, trains.times, settings.align)
    inside = (times >= behaviour.edges[0]) & (times < behaviour.edges[-1])
    if not inside.any():
        raise PipelineError(
            f"No spike lies between {behaviour.edges[0]:.2f} and {behaviour.edges[-1]:.2f} s, where there "
            "are positions; spikes go "
            f"from {times[0]:.2f} to {times[-1]:.2f} s: are both on one clock?"
        )
    run.log(f"{len(trains.labels)} units, {int(inside.sum()):,} spikes in the time decoded.")
    single = spikes.bin_spikes(times[inside], trains.units[inside], behaviour.edges, n_units=len(trains.labels))
    window = settings.window or settings.bin
    counts = spikes.sliding_counts(single, round(window / settings.bin))
    guard_bins = int(np.ceil(settings.guard / settings.bin - 1e-9))
    ends = lap_ends(run, position_recording, behaviour)
    if settings.blocks == "laps":
        blocks = folds.lap_folds(counts.shape[0], ends, folds=settings.folds, guard_bins=guard_bins)
    else:
        blocks = folds.contiguous_folds(counts.shape[0], folds=settings.folds, guard_bins=guard_bins)
    bench = DecoderBench(
        settings, behaviour, blocks, single=single, windowed=counts, guard_bins=guard_bins, seed=run.seed, gpu=gpu
    )
    return Prepared(behaviour, counts, blocks, ends.size, bench)


def _decode(run: Run) -> Output:
    import numpy as np

    from analysis.methods import decoding, folds, grids, permutation
    from analysis.pipelines.position_decoders import LABELS, SLOW
    from analysis.pipelines.position_output import Outcome, position_output

    settings: DecodePositionParameters = run.parameters
    prepared = prepare(run, gpu=True)
    behaviour, counts, bench = prepared.behaviour, prepared.counts, prepared.bench
    run.progress(0.1, "decoding")
    attempt = bench.decode(settings.decoder)
    refuse_without_units(attempt.units_used, settings)
    run.log(f"{attempt.label}: {attempt.seconds:.2f} s.")
    attempts = [attempt]
    others = [name for name in bench.offered() if name != settings.decoder]
    for name in others:
        if settings.compare_learned if name in SLOW else settings.compare or settings.compare_learned:
            run.progress(0.1 + 0.05 * len(attempts) / len(others), f"comparing: {LABELS[name]}")
            attempts.append(bench.decode(name))
    rng = np.random.default_rng(run.seed)
    null: NDArray[np.floating] = np.zeros(0)
    shifted_errors: NDArray[np.floating] = np.zeros(0)
    if shifts := settings.planned_shifts:
        lags = permutation.shift_lags(
            counts.shape[0],
            shifts=shifts,
            minimum_bins=int(np.ceil(settings.shortest_shift / settings.bin - 1e-9)),
            rng=rng,
        )
        kept: list[NDArray] = []

        def median_error(shifted: NDArray) -> float:
            errors = bench.errors(settings.decoder, shifted)
            if len(kept) < _SHOWN_SHIFTS:
                kept.append(errors)
            return float(np.median(errors))

        def report(share: float) -> None:
            run.progress(0.15 + 0.7 * share, f"circular shifts, {round(share * lags.size)} of {lags.size}")

        null = permutation.circular_shift_null(bench.given(settings.decoder), lags, median_error, report=report)
        shifted_errors = np.concatenate(kept)
    run.progress(0.88, "measuring and drawing")
    true, found = behaviour.position[bench.rows], attempt.position[bench.rows]
    measured = decoding.accuracy(true, found, sides=behaviour.sides)
    block = folds.block_of(prepared.blocks)
    interval = permutation.block_bootstrap(
        grids.distance(true, found), block[bench.rows], lambda values: float(np.median(values)), repeats=1000, rng=rng
    )
    p = permutation.permutation_p(measured.median, null, smaller_is_better=True) if null.size else None
    return position_output(
        run,
        Outcome(
            behaviour,
            bench,
            attempts,
            counts,
            block,
            prepared.laps,
            bool(run.of_kind("events")),
            measured,
            interval,
            null,
            shifted_errors,
            p,
        ),
    )


def refuse_without_units(units_used: NDArray[np.int64], settings: TrackDecodingParameters) -> None:
    """Raise ``PipelineError`` where a block had no unit to learn from: what is decoded there is the prior alone."""
    if units_used.min() == 0:
        raise PipelineError(
            f"In block {int(units_used.argmin()) + 1} no unit has {settings.minimum_spikes} spikes to train on."
        )


def _one(run: Run, kind: str) -> InputRecording:
    found = run.of_kind(kind)
    if len(found) != 1:
        raise PipelineError(f"Decoding needs one recording of {kind}, not {len(found)}.")
    return found[0]
