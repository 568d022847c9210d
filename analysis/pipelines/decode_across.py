"""``decode.across``: what a decoder of position of one session tells of others, and what goes on learning forgets."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from analysis.pipelines.base import Input, InputRecording, Metric, Output, Pipeline, PipelineError, Run
from analysis.pipelines.decode_position import TrackDecodingParameters, prepare

if TYPE_CHECKING:
    from analysis.methods.across import Day, Learning, Transfer
    from analysis.methods.decoders import Decoder

MOST_SESSIONS = 30
# With fewer cells in common a decoder has nothing to go by.
_LEAST_UNITS = 3


def _quantity(default: Any, unit: str, text: str, **limits: Any) -> Any:
    return Field(default, description=text, json_schema_extra={"unit": unit}, **limits)


class DecodeAcrossParameters(TrackDecodingParameters):
    """Bins, maps, folds and thresholds are those of ``decode.position``, the same for every session."""

    decoder: Literal["bayesian-chosen", "state-space", "state-space-causal", "ridge"] = Field(
        "bayesian-chosen",
        description=(
            "Decoder that is carried from session to session; its settings are chosen by inner folds of the session "
            "that it is trained on."
        ),
    )
    shuffles: int = _quantity(
        100, "shuffles", "Shuffles of the units, and shifts of the spikes, for each pair of sessions.", ge=0, le=10_000
    )
    epochs: int = _quantity(20, "passes", "Passes of the perceptron through each stage's bins.", ge=1, le=1000)
    hidden: int = _quantity(64, "units", "Hidden units of the perceptron.", ge=1, le=4096)
    replayed: float = _quantity(
        0.2, "", "Share of the earlier sessions' training bins that are replayed at each stage.", gt=0, le=1
    )
    repeats: int = _quantity(
        5, "networks", "Perceptrons from other first weights; 0 leaves learning in turn out.", ge=0, le=100
    )


@dataclass(frozen=True)
class _Sessions:
    days: list[Day]
    names: list[str]
    units: tuple[str, ...]
    scale: float
    unit: str


class DecodeAcross(Pipeline):
    """Transfer between sessions with matched units, its two controls, and forgetting with replay and joint training."""

    name = "decode.across"
    version = "1.1.0"
    summary = "Carries decoders of position from session to session, and measures what is kept and forgotten."
    inputs = (
        Input(("units",), "Units of each session, the same cell under the same name in all.", 2, MOST_SESSIONS),
        Input(("position",), "Tracked positions of the same sessions.", 2, MOST_SESSIONS),
    )
    parameters = DecodeAcrossParameters

    def run(self, run: Run) -> Output:
        """Decode; ``PipelineError`` where sessions do not pair, share too few units or are too short."""
        from threadpoolctl import threadpool_limits

        from analysis.methods.errors import InvalidDataError

        try:
            with threadpool_limits(1):
                return _across(run)
        except InvalidDataError as error:
            raise PipelineError(str(error)) from error


def _across(run: Run) -> Output:
    from analysis.methods import across

    settings: DecodeAcrossParameters = run.parameters
    sessions = _read(run)
    guard_bins = int(np.ceil(settings.guard / settings.bin - 1e-9))
    moved = across.transfer(
        sessions.days,
        _candidates(settings),
        inner_folds=settings.inner_folds,
        guard_bins=guard_bins,
        shuffles=settings.shuffles,
        shortest_shift_bins=int(np.ceil(settings.shortest_shift / settings.bin - 1e-9)),
        rng=np.random.default_rng(run.seed),
        report=lambda share: run.progress(0.1 + 0.5 * share, "from session to session"),
    )
    learnt = None
    if settings.repeats:
        learnt = across.learn_in_turn(
            sessions.days,
            place_bins=settings.bins_along,
            epochs=settings.epochs,
            hidden=settings.hidden,
            replayed=settings.replayed,
            repeats=settings.repeats,
            seed=run.seed,
            report=lambda share: run.progress(0.6 + 0.35 * share, "learning in turn"),
        )
    return _output(run, sessions, moved, learnt)


def _candidates(settings: DecodeAcrossParameters) -> Sequence[Decoder]:
    from analysis.methods import decoding, linear, statespace

    if settings.decoder == "ridge":
        return linear.candidates(step=settings.bin, minimum_spikes=settings.minimum_spikes)
    if settings.decoder == "bayesian-chosen":
        return decoding.candidates(
            step=settings.bin, place_bins=settings.bins_along, minimum_spikes=settings.minimum_spikes
        )
    return statespace.candidates(
        place_bins=settings.bins_along,
        smoothed=settings.decoder == "state-space",
        minimum_spikes=settings.minimum_spikes,
    )


def _read(run: Run) -> _Sessions:
    from analysis.methods.across import Day
    from analysis.readers import read_spikes

    pairs = _paired(run)
    names, prepared, labels = [], [], []
    for number, (units, position) in enumerate(pairs):
        run.progress(0.1 * number / len(pairs), f"reading session {number + 1} of {len(pairs)}")
        names.append(units.label or units.id)
        labels.append(read_spikes(units).labels)
        try:
            prepared.append(prepare(replace(run, recordings=(units, position), progress=lambda _share, _text: None)))
        except PipelineError as error:
            raise PipelineError(f"Session {number + 1} ({names[-1]}): {error}") from error
    common = tuple(label for label in labels[0] if all(label in others for others in labels[1:]))
    if len(common) < _LEAST_UNITS:
        raise PipelineError(
            f"{len(common)} units have the same name in all sessions and at least {_LEAST_UNITS} are needed; sort the "
            "sessions together, so that a cell keeps its name."
        )
    left = [len(mine) - len(common) for mine in labels]
    run.log(f"{len(common)} units are in all sessions; left out: {', '.join(map(str, left))}.")
    lengths = [one.behaviour.length for one in prepared]
    # Where not every track has a length, errors are told in % of the track.
    scale = float(np.mean([length for length in lengths if length])) / 100 if all(lengths) else 1.0
    days = []
    for one, mine in zip(prepared, labels, strict=True):
        columns = [mine.index(label) for label in common]
        days.append(Day(one.bench.given("bayesian-chosen")[:, columns], one.bench.behaviour, one.blocks))
    return _Sessions(days, names, common, scale, "cm" if all(lengths) else "%")


def _paired(run: Run) -> list[tuple[InputRecording, InputRecording]]:
    """Return units and positions session by session, in order of time; by their order where no session is known."""
    units, positions = run.of_kind("units"), run.of_kind("position")
    if len(units) != len(positions) or len(units) < 2:
        raise PipelineError(
            f"Units and positions of two sessions or more are needed, one of each for every session; there are "
            f"{len(units)} of units and {len(positions)} of positions."
        )
    if not all(recording.session for recording in run.recordings):
        return list(zip(units, positions, strict=True))
    where = {recording.session: recording for recording in positions}
    sessions = {recording.session for recording in units}
    if len(where) < len(positions) or len(sessions) < len(units) or sessions != set(where):
        raise PipelineError("Every session needs one recording of units and one of positions among those chosen.")
    return [(one, where[one.session]) for one in sorted(units, key=lambda one: one.start or "")]


def _output(run: Run, sessions: _Sessions, moved: Transfer, learnt: Learning | None) -> Output:
    from analysis.figures import across as draw
    from analysis.methods.permutation import permutation_p

    scale, unit, n = sessions.scale, sessions.unit, len(sessions.days)
    away = ~np.eye(n, dtype=bool)
    error, shuffled, shifted = moved.error * scale, moved.shuffled * scale, moved.shifted * scale
    within, across = float(np.mean(error[~away])), float(np.mean(error[away]))
    metrics = {
        "within": Metric(
            within, unit, "within a session", "mean over sessions of the median error, out of fold", headline=True
        ),
        "across": Metric(
            across, unit, "to other sessions",
            "mean over pairs of the median error on a session that was not trained on", headline=True,
        ),
    }  # fmt: skip
    if shuffled.shape[2]:
        # The mean over all pairs, with every pair's units shuffled: one draw of the null for each number.
        control, chance = shuffled[away].mean(axis=0), shifted[away].mean(axis=0)
        metrics |= {
            "units_shuffled": Metric(
                float(np.median(control)), unit, "units shuffled",
                "the same with the tested session's units shuffled, median over shuffles", headline=True,
            ),
            "p_units": Metric(
                permutation_p(across, control, smaller_is_better=True), "", "p, same units",
                f"(1 + k) / (1 + n), n = {control.size} shuffles of the units, all pairs together",
            ),
            "spikes_shifted": Metric(
                float(np.median(chance)), unit, "spikes shifted", "the same with the tested session's spikes shifted"
            ),
            "p": Metric(
                permutation_p(across, chance, smaller_is_better=True), "", "p",
                f"(1 + k) / (1 + n), n = {chance.size} circular shifts, all pairs together", headline=True,
            ),
        }  # fmt: skip
    metrics |= {
        "sessions": Metric(n, "sessions", "sessions", "in order of time"),
        "units": Metric(len(sessions.units), "units", "units", "with the same name in all sessions"),
    }
    figures = [
        draw.transfer_matrix(error, sessions.names, unit=unit),
        draw.transfer_with_distance(error, shuffled, shifted, unit=unit),
    ]
    artifacts = ["transfer.csv"]
    _write_transfer(run, error, shuffled, shifted, unit)
    if learnt is not None:
        for regime in learnt.error:
            forgotten = learnt.forgotten(regime) * scale
            spread = f", {forgotten.min():.2g} to {forgotten.max():.2g}" if forgotten.size > 1 else ""
            metrics[f"forgotten_{regime.replace(' ', '_')}"] = Metric(
                float(forgotten.mean()), unit, f"forgotten, {regime}",
                "growth of the median error on earlier sessions after the last was trained on, mean over "
                f"{forgotten.size} networks{spread}",
            )  # fmt: skip
        figures.append(
            draw.forgetting(
                {regime: values * scale for regime, values in learnt.error.items()}, sessions.names, unit=unit
            )
        )
        artifacts.append("learning.csv")
        _write_learning(run, learnt, scale, unit)
    run.progress(1.0, "done")
    return Output(
        metrics,
        figures,
        artifacts,
        [],
        f"{n} sessions, {len(sessions.units)} units: {within:.1f} {unit} within a session, {across:.1f} {unit} on "
        "others.",
    )


def _write_transfer(
    run: Run,
    error: NDArray[np.floating],
    shuffled: NDArray[np.floating],
    shifted: NDArray[np.floating],
    unit: str,
) -> None:
    name = "percent" if unit == "%" else unit
    with (run.folder / "transfer.csv").open("w", newline="") as lines:
        written = csv.writer(lines)
        written.writerow(["trained_on", "tested_on", f"median_error_{name}", "units_shuffled", "spikes_shifted"])
        for train, test in np.ndindex(error.shape):
            controls = [_median(control[train, test]) for control in (shuffled, shifted)]
            written.writerow([train + 1, test + 1, f"{error[train, test]:.9g}", *controls])


def _median(values: NDArray[np.floating]) -> str:
    finite = values[np.isfinite(values)]
    return f"{np.median(finite):.9g}" if finite.size else ""


def _write_learning(run: Run, learnt: Learning, scale: float, unit: str) -> None:
    name = "percent" if unit == "%" else unit
    with (run.folder / "learning.csv").open("w", newline="") as lines:
        written = csv.writer(lines)
        written.writerow(["regime", "network", "sessions_trained_on", "tested_on", f"median_error_{name}"])
        for regime, errors in learnt.error.items():
            for (network, stage, test), value in np.ndenumerate(errors * scale):
                written.writerow([regime, network + 1, stage + 1, test + 1, f"{value:.9g}"])
