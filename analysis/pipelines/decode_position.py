"""``decode.position``: where on a track the animal is, decoded from its spikes and tested against chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from analysis.pipelines.base import Input, InputRecording, Metric, Output, Parameters, Pipeline, PipelineError, Run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from analysis.figures.spec import Figure
    from analysis.methods.decoding import Accuracy, BlockDecoder, Decoded

# A Gaussian over position samples is cut at three sigma, so this many sigmas are its full width.
_KERNEL_SIGMAS = 6.0
# Data sets per shift that the error distribution of chance is drawn from.
_SHOWN_SHIFTS = 50
# Probabilities of one decoding (time bins times place bins); as 8-byte numbers they take 4 GB.
_MOST_CELLS = 500_000_000


def _quantity(default: Any, unit: str, text: str, **limits: Any) -> Any:
    return Field(default, description=text, json_schema_extra={"unit": unit}, **limits)


class DecodePositionParameters(Parameters):
    """All choices of the analysis; the defaults are those of a running rat on a linear track."""

    epoch_start: float | None = _quantity(None, "s", "Start of the time decoded; the first position when empty.")
    epoch_stop: float | None = _quantity(None, "s", "End of the time decoded; the last position when empty.")
    bin: float = _quantity(0.25, "s", "Step of the time bins.", ge=0.001, le=10)
    window: float | None = _quantity(
        None, "s", "Time that one count of spikes covers, a whole number of bins; one bin when empty.", gt=0, le=30
    )
    place_bins: int = _quantity(50, "bins", "Bins of equal length along the track.", ge=5, le=500)
    map_smoothing: float = _quantity(1.0, "place bins", "Sigma of the Gaussian over place fields.", ge=0, le=20)
    position_smoothing: float = _quantity(0.1, "s", "Sigma of the Gaussian over tracked positions.", ge=0, le=5)
    speed_threshold: float = _quantity(5.0, "speed_unit", "Only faster bins train and are scored.", ge=0)
    speed_unit: Literal["%/s", "cm/s"] = Field("%/s", description="Unit of the speed threshold; % is of the track.")
    prior: Literal["occupancy", "uniform"] = Field(
        "occupancy", description="Prior over places: the training bins' occupancy, or the same everywhere."
    )
    minimum_spikes: int = _quantity(10, "spikes", "Units with fewer in a fold's training bins sit that fold out.", ge=0)
    folds: int = _quantity(10, "blocks", "Contiguous blocks of time, each tested once.", ge=2, le=100)
    guard: float = _quantity(
        1.0, "s", "Time left out between training and tested bins; at least the window and all smoothing.", ge=0, le=60
    )
    shifts: int = _quantity(1000, "shifts", "Circular shifts of all units together; 0 skips the test.", ge=0, le=10_000)
    shortest_shift: float = _quantity(20.0, "s", "Least distance of a shift from none.", ge=20, le=86_400)
    track_length: float | None = _quantity(
        None, "cm", "Length of the track from end to end of the animal's range; gives errors in cm.", gt=0
    )
    longest_gap: float = _quantity(0.5, "s", "Longer gaps between positions are left out, not bridged.", gt=0)
    align: Literal["auto", "times", "starts"] = Field(
        "auto",
        description=(
            "'times': spikes and positions are on one clock. 'starts': each counts from the start of its own "
            "recording, which the catalog knows. 'auto': what the recordings say with their parameter 'clock'."
        ),
    )

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


@dataclass(frozen=True)
class _Behaviour:
    """Behaviour on time bins; positions in % of the track, ``length`` in cm or None."""

    edges: NDArray[np.floating]
    position: NDArray[np.floating]
    speed: NDArray[np.floating]
    length: float | None
    threshold: float
    variance: float


@dataclass(frozen=True)
class _Outcome:
    """All that was computed; errors in % of the track. ``block`` is the fold of every bin."""

    behaviour: _Behaviour
    decoder: BlockDecoder
    decoded: Decoded
    counts: NDArray[np.floating]
    block: NDArray[np.int64]
    accuracy: Accuracy
    interval: tuple[float, float]
    null: NDArray[np.floating]
    shifted_errors: NDArray[np.floating]
    p: float | None

    @property
    def unit(self) -> str:
        """Return the unit that errors are told in: cm when the length of the track is known."""
        return "cm" if self.behaviour.length else "%"

    @property
    def scale(self) -> float:
        """Return how many of that unit one per cent of the track is."""
        return self.behaviour.length / 100 if self.behaviour.length else 1.0


class DecodePosition(Pipeline):
    """Bayesian one-step decoding with Poisson place fields, cross-validated over blocks, tested by circular shifts."""

    name = "decode.position"
    version = "1.0.0"
    summary = "Decodes position along a track from spikes, and says whether it beats chance."
    inputs = (
        Input(("units",), "Sorted units: spike times of every unit."),
        Input(("position",), "Tracked positions on the same clock."),
    )
    parameters = DecodePositionParameters

    def run(self, run: Run) -> Output:
        """Decode; ``PipelineError`` when data do not suffice, with the sentence that says what is missing."""
        from analysis.methods.errors import InvalidDataError

        try:
            return _decode(run)
        except InvalidDataError as error:
            raise PipelineError(str(error)) from error


def _decode(run: Run) -> Output:
    import numpy as np

    from analysis.methods import decoding, folds, permutation, spikes
    from analysis.readers import read_spikes

    settings: DecodePositionParameters = run.parameters
    units_recording, position_recording = _one(run, "units"), _one(run, "position")
    run.progress(0.02, "reading positions and spikes")
    behaviour = _behaviour(run, position_recording)
    trains = read_spikes(units_recording)
    shift = _clock_shift(settings, units_recording, position_recording)
    inside = (trains.times + shift >= behaviour.edges[0]) & (trains.times + shift < behaviour.edges[-1])
    if not inside.any():
        raise PipelineError(
            f"No spike lies between {behaviour.edges[0]:.2f} and {behaviour.edges[-1]:.2f} s, where there "
            "are positions; spikes go "
            f"from {trains.times[0] + shift:.2f} to {trains.times[-1] + shift:.2f} s: are both on one clock?"
        )
    run.log(f"{len(trains.labels)} units, {int(inside.sum()):,} spikes in the time decoded.")
    single = spikes.bin_spikes(
        trains.times[inside] + shift, trains.units[inside], behaviour.edges, n_units=len(trains.labels)
    )
    window = settings.window or settings.bin
    counts = spikes.sliding_counts(single, round(window / settings.bin))
    blocks = folds.contiguous_folds(
        counts.shape[0], folds=settings.folds, guard_bins=int(np.ceil(settings.guard / settings.bin - 1e-9))
    )
    decoder = decoding.BlockDecoder(
        behaviour.position,
        behaviour.speed > behaviour.threshold,
        blocks,
        decoding.DecoderSettings(
            window=window,
            place_bins=settings.place_bins,
            smoothing=settings.map_smoothing,
            prior=settings.prior,
            minimum_spikes=settings.minimum_spikes,
        ),
    )
    run.progress(0.1, "decoding")
    decoded = decoder.decode(counts)
    if decoded.units_used.min() == 0:
        raise PipelineError(
            f"In block {int(decoded.units_used.argmin()) + 1} no unit has {settings.minimum_spikes} spikes to train on."
        )
    rng = np.random.default_rng(run.seed)
    null: NDArray[np.floating] = np.zeros(0)
    shifted_errors: NDArray[np.floating] = np.zeros(0)
    if settings.shifts:
        lags = permutation.shift_lags(
            counts.shape[0],
            shifts=settings.shifts,
            minimum_bins=int(np.ceil(settings.shortest_shift / settings.bin - 1e-9)),
            rng=rng,
        )
        kept: list[NDArray] = []

        def median_error(shifted: NDArray) -> float:
            errors = decoder.errors(shifted)
            if len(kept) < _SHOWN_SHIFTS:
                kept.append(errors)
            return float(np.median(errors))

        def report(share: float) -> None:
            run.progress(0.15 + 0.7 * share, f"circular shifts, {round(share * lags.size)} of {lags.size}")

        null = permutation.circular_shift_null(counts, lags, median_error, report=report)
        shifted_errors = np.concatenate(kept)
    run.progress(0.88, "measuring and drawing")
    true, found = behaviour.position[decoder.rows], decoded.decoded[decoder.rows]
    measured = decoding.accuracy(true, found)
    block = folds.block_of(blocks)
    interval = permutation.block_bootstrap(
        np.abs(true - found), block[decoder.rows], lambda values: float(np.median(values)), repeats=1000, rng=rng
    )
    p = permutation.permutation_p(measured.median, null, smaller_is_better=True) if null.size else None
    return _output(
        run, _Outcome(behaviour, decoder, decoded, counts, block, measured, interval, null, shifted_errors, p)
    )


def _one(run: Run, kind: str) -> InputRecording:
    found = run.of_kind(kind)
    if len(found) != 1:
        raise PipelineError(f"Decoding needs one recording of {kind}, not {len(found)}.")
    return found[0]


def _clock_shift(settings: DecodePositionParameters, units: InputRecording, position: InputRecording) -> float:
    """Return the seconds that bring spikes onto the clock of the positions."""
    align = settings.align
    if align == "auto":
        # Guessing here would shift spikes against behaviour and only make the decoder look bad.
        from_start = [recording.parameters.get("clock") == "recording" for recording in (units, position)]
        if from_start[0] != from_start[1]:
            counting, other = ("units", "position") if from_start[0] else ("position", "units")
            raise PipelineError(
                f"The times of the {counting} recording count from its start, and the {other} recording does not say"
                " from when its times count: set align to 'times' if both are on one clock, or to 'starts' if both"
                " count from their starts."
            )
        align = "starts" if all(from_start) else "times"
    if align == "times":
        return 0.0
    from datetime import datetime

    starts = []
    for recording in (units, position):
        if recording.start is None:
            raise PipelineError(
                f"Times count from the start of each recording, but the {recording.kind} recording has no start in the"
                " catalog."
            )
        starts.append(datetime.fromisoformat(recording.start))
    return (starts[0] - starts[1]).total_seconds()


def _behaviour(run: Run, recording: InputRecording) -> _Behaviour:
    import numpy as np

    from analysis.methods import position, spikes
    from analysis.readers import read_position

    settings: DecodePositionParameters = run.parameters
    tracked = read_position(recording)
    finite = np.isfinite(tracked.time)
    first = tracked.time[finite].min() if settings.epoch_start is None else settings.epoch_start
    last = tracked.time[finite].max() if settings.epoch_stop is None else settings.epoch_stop
    inside = (tracked.time >= first) & (tracked.time <= last)
    if np.count_nonzero(inside) < 2:
        raise PipelineError(
            f"There are no positions between {first:.2f} and {last:.2f} s; they go from "
            f"{tracked.time[finite].min():.2f} to "
            f"{tracked.time[finite].max():.2f} s."
        )
    clean = position.clean_position(tracked.time[inside], tracked.xy[inside], zeros_are_missing=tracked.unit == "px")
    run.log(
        f"Positions: {clean.time.size:,} used; taken out: {clean.duplicates} repeated and {clean.backward} "
        "backward time "
        f"stamps, {clean.zeros} zeros, {clean.teleports} teleports."
    )
    along = position.linearise(clean.xy)
    if along.variance < 0.9:
        run.log(
            f"Only {along.variance:.0%} of the animal's movement is along one line: this is hardly a linear "
            "track, and what is "
            "decoded is the coordinate that varies most."
        )
    length = settings.track_length
    if length is None and tracked.unit in ("mm", "cm", "m"):
        length = along.length * {"mm": 0.1, "cm": 1.0, "m": 100.0}[tracked.unit]
    threshold = settings.speed_threshold
    if settings.speed_unit == "cm/s":
        if length is None:
            raise PipelineError("The speed threshold is in cm/s, but positions are in px: set track_length (cm).")
        threshold = threshold / length * 100
    bins = (min(last, clean.time[-1]) - max(first, clean.time[0])) / settings.bin
    if bins * settings.place_bins > _MOST_CELLS:
        raise PipelineError(
            f"{bins:,.0f} time bins times {settings.place_bins} place bins are more than memory should hold "
            f"({_MOST_CELLS:,}): use longer bins or a shorter time."
        )
    edges = spikes.time_edges(float(max(first, clean.time[0])), float(min(last, clean.time[-1])), settings.bin)
    binned = position.bin_position(
        clean.time,
        along.percent,
        edges,
        smoothing=settings.position_smoothing,
        longest_gap=settings.longest_gap,
    )
    return _Behaviour(edges, binned.position, binned.speed, length, threshold, along.variance)


def _output(run: Run, outcome: _Outcome) -> Output:
    import numpy as np

    behaviour, decoded, measured, null = outcome.behaviour, outcome.decoded, outcome.accuracy, outcome.null
    np.savez_compressed(
        run.folder / "decoded.npz",
        time=(behaviour.edges[:-1] + behaviour.edges[1:]) / 2,
        true_percent=behaviour.position,
        decoded_percent=decoded.decoded,
        speed_percent_per_s=behaviour.speed,
        moving=outcome.decoder.usable,
        block=outcome.block,
        posterior=decoded.posterior.astype(np.float32),
        place_centres_percent=decoded.centres,
        null_median_error_percent=null,
    )
    metrics = _metrics(run.parameters, outcome)
    figures = _figures(run.parameters, outcome)
    run.progress(1.0, "done")
    median = f"{measured.median:.1f} % of the track"
    if behaviour.length:
        median = f"{measured.median * outcome.scale:.1f} cm ({median})"
    chance = "not tested against chance"
    if outcome.p is not None:
        chance = f"p = {outcome.p:.2g} against {null.size} circular shifts"
    return Output(metrics, figures, ["decoded.npz"], [], f"Median error {median}, {chance}.")


def _metrics(settings: DecodePositionParameters, outcome: _Outcome) -> dict[str, Metric]:
    import numpy as np

    unit, scale, measured = outcome.unit, outcome.scale, outcome.accuracy
    low, high = (end * scale for end in outcome.interval)
    scored = f"moving > {settings.speed_threshold:g} {settings.speed_unit}, bins of {settings.bin * 1000:g} ms"
    metrics = {
        "median_error": Metric(
            measured.median * scale,
            unit,
            "median error",
            f"median distance of decoded maximum and true position, {scored}; 95 % interval over blocks "
            f"{low:.1f}-{high:.1f} {unit}",
            headline=True,
        ),
        "median_error_percent": Metric(measured.median, "%", "median error", f"in % of the track; {scored}"),
        "median_error_low": Metric(low, unit, "median error, low end", "2.5 % of 1000 bootstraps over blocks"),
        "median_error_high": Metric(high, unit, "median error, high end", "97.5 % of 1000 bootstraps over blocks"),
        "p90_error": Metric(measured.p90 * scale, unit, "90th percentile", f"of the error; {scored}", headline=True),
        "within_10_percent": Metric(
            measured.within * 100,
            "%",
            "within 10 % of the track",
            f"share of bins with an error of at most {10 * scale:.3g} {unit}; {scored}",
            headline=True,
        ),
    }
    if outcome.p is not None:
        shifts = int(outcome.null.size)
        metrics["p"] = Metric(
            outcome.p,
            "",
            "p",
            f"(1 + k) / (1 + n), n = {shifts} circular shifts of at least {settings.shortest_shift:g} s, all units "
            "together, whole cross-validation repeated",
            headline=True,
        )
        metrics["chance_median_error"] = Metric(
            float(np.median(outcome.null)) * scale, unit, "chance", "median over shifts of the median error"
        )
        metrics["shifts"] = Metric(shifts, "shifts", "circular shifts", f"of at least {settings.shortest_shift:g} s")
    metrics |= {
        "r2": Metric(measured.r2, "", "R2", "1 - residual / total sum of squares of the decoded maximum"),
        "zone_accuracy": Metric(
            measured.zone_accuracy * 100,
            "%",
            "ten-zone accuracy",
            f"share of bins decoded into the right one of {measured.zones} zones of equal length, no "
            f"tolerance; {scored}",
        ),
        "bins": Metric(measured.n, "bins", "bins decoded", scored, headline=True),
        "moving_share": Metric(
            float(outcome.decoder.usable.mean()) * 100, "%", "time moving", f"share of bins {scored}"
        ),
        "units": Metric(int(outcome.counts.shape[1]), "units", "units", "in the file"),
        "units_used": Metric(
            int(np.median(outcome.decoded.units_used)),
            "units",
            "units used",
            f"median over blocks of those with at least {settings.minimum_spikes} spikes in training bins",
        ),
        "along_track": Metric(
            outcome.behaviour.variance * 100,
            "%",
            "movement along the track",
            "variance on the first principal component",
        ),
        "prior": Metric(settings.prior, "", "prior", "over places"),
    }
    if outcome.behaviour.length:
        metrics["track_length"] = Metric(
            outcome.behaviour.length, "cm", "track length", "range of the linearised position"
        )
    return metrics


def _figures(settings: DecodePositionParameters, outcome: _Outcome) -> list[Figure]:
    import numpy as np

    from analysis.figures import decoding as draw
    from analysis.methods.decoding import place_fields

    unit, scale, rows = outcome.unit, outcome.scale, outcome.decoder.rows
    edges, position = outcome.behaviour.edges, outcome.behaviour.position
    length, null = 100 * scale, outcome.null
    true, found = position[rows], outcome.decoded.decoded[rows]
    error = np.abs(true - found)
    figures = [
        draw.posterior_heat_map(
            (edges[:-1] + edges[1:]) / 2,
            outcome.decoded.posterior,
            position * scale,
            outcome.decoder.usable,
            unit=unit,
            length=length,
        ),
        draw.error_distribution(error * scale, outcome.shifted_errors * scale, unit=unit, length=length),
    ]
    if outcome.p is not None:
        median = outcome.accuracy.median * scale
        figures.append(
            draw.null_histogram(null * scale, median, outcome.p, unit=unit, shortest_shift=settings.shortest_shift)
        )
    block = outcome.block[rows]
    medians = np.array([np.median(error[block == k]) if np.any(block == k) else np.nan for k in range(settings.folds)])
    rates = place_fields(outcome.counts, position, outcome.decoder.usable, outcome.decoder.settings)
    enough = outcome.counts[rows].sum(axis=0) >= max(1, settings.minimum_spikes)
    chance = float(np.median(null)) * scale if null.size else None
    figures += [
        draw.confusion(outcome.accuracy.confusion, unit=unit, length=length),
        draw.error_by_place(true * scale, error * scale, unit=unit, length=length),
        draw.error_by_fold(medians * scale, np.bincount(block, minlength=settings.folds), chance, unit=unit),
        draw.place_field_map(rates[enough], unit=unit, length=length),
    ]
    return figures
