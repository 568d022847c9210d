"""What changes a recording's clock: take over the fit of a result, and take that back. Each change is a revision."""

from __future__ import annotations

import csv
from typing import Any

from analysis.clockfits.models import ClockFit
from analysis.clockfits.selectors import fit_for, is_alignment, newest, read_on, runs_with
from analysis.drawings import folder_of
from analysis.jobs.models import Result
from analysis.pipelines import clocks
from analysis.pipelines.base import InputRecording, PipelineError
from analysis.revisions import to_undo
from sessions.errors import Conflict, Invalid, Stale
from sessions.models import Project, Recording
from sessions.permissions import require
from sessions.services.transaction import one_write

PAIRS = "pairs.csv"


def use_fit(*, by: Any, result: Result, recording: Recording, base: int) -> ClockFit:
    """Have a recording's times read on the clock of the reference, as a result of ``sync.align`` found it runs.

    For managers. ``base`` is the last revision seen (0 before the first); ``Stale`` when it is no longer the last.
    ``Invalid`` for a result of another pipeline and for a recording that it does not say anything of; ``Conflict`` when
    its files are gone, and where the reference is itself read on another clock or others are read on the recording's: a
    clock is followed in one step. The same fit again makes no revision.
    """
    require(by, "manage", recording)
    line, reference = _line(result, recording)
    with one_write():
        last = _locked(recording)
        _is_last(last, base)
        if last is not None and last.result_id == result.pk:
            return last
        _in_one_step(recording, reference)
        return _added(by, recording, last, reference=reference, result=result, **line)


def undo_fit(*, by: Any, recording: Recording, base: int) -> ClockFit:
    """Take the last change back that was not taken back yet; ``Stale`` when ``base`` is no longer the last revision.

    ``Conflict`` where nothing is left to take back, and where the fit before it is none that ``use_fit`` would take.
    """
    require(by, "manage", recording)
    with one_write():
        last = _locked(recording)
        if last is None:
            raise Conflict("This recording's clock was never fitted: there is nothing to undo.")
        _is_last(last, base)
        revisions = {row.revision: row for row in ClockFit.objects.filter(recording=recording)}
        undone = to_undo(revisions)
        kept = revisions.get(undone - 1)
        if kept is not None and kept.reference is not None:
            _in_one_step(recording, kept.reference)
        values = {name: getattr(kept, name) if kept else None for name in
                  ("reference", "result", "offset", "drift", "origin")}  # fmt: skip
        return _added(by, recording, last, undoes=undone, **values)


def _locked(recording: Recording) -> ClockFit | None:
    """Return the last revision, and keep others from changing a clock of the project until this transaction ends.

    Whether clocks make a chain is told by several of them.
    """
    Project.objects.select_for_update(of=("self",), no_key=True).only("pk").get(pk=recording.session.project_id)
    return newest(recording)


def _in_one_step(recording: Recording, reference: Recording) -> None:
    """Refuse a fit to a reference that goes by a fit of its own, and one of a recording that others are read on.

    A job knows the last step alone: it would take times on the clock in between for times on the last.
    """
    made = runs_with(recording)
    if reference.pk in made:
        raise Conflict(f"{reference} was made of {recording}, and runs by its clock: there is nothing to fit.")
    beyond = fit_for(reference)
    if beyond is not None:
        raise Conflict(
            f"The times of {reference} are themselves read on the clock of {beyond.reference}, and a clock is followed "
            f"in one step: align {recording} with {beyond.reference}, or take the fit of {beyond.recording} back."
        )
    before = read_on(made)
    if before is not None:
        raise Conflict(
            f"The times of {before.recording} are read on the clock of {before.reference}, and a clock is followed in "
            f"one step: give {before.reference} first in sync.align, so that it stays the reference, or take the fit "
            f"of {before.recording} back."
        )


def _is_last(last: ClockFit | None, base: int) -> None:
    revision = last.revision if last else 0
    if base > revision:
        raise Invalid(f"The last revision is {revision}.", {"base": [f"It is at most {revision}."]})
    if base < revision and last is not None:
        who = last.user.get_username() if last.user else "Somebody"
        raise Stale(f"{who} changed this recording's clock since you looked: look at it before you change it.")


def _added(by: Any, recording: Recording, last: ClockFit | None, **values: Any) -> ClockFit:
    made = ClockFit.objects.create(
        recording=recording, revision=(last.revision if last else 0) + 1, user=by if by.pk else None, **values
    )
    made.refresh_from_db()
    return made


def _line(result: Result, recording: Recording) -> tuple[dict[str, float], Recording]:
    """Return offset (s), drift (s per s) and origin (s) of a recording of the other clock, and the reference."""
    if not is_alignment(result.job):
        raise Invalid("A clock is taken over from a result of sync.align.", {"result": ["It is of another pipeline."]})
    rows = [row.recording for row in result.job.inputs.select_related("recording__session")]
    if recording.pk not in [one.pk for one in rows[1:]]:
        raise Invalid(
            "The result says nothing of this recording's clock.",
            {"recording": ["It is no recording of the other clock of this result."]},
        )
    try:
        with (folder_of(result) / "artifacts" / PAIRS).open(encoding="utf-8", newline="") as file:
            # The offset is that at the other clock's time of the first pair.
            origin = float(next(csv.DictReader(file))["other_s"])
        offset, drift = (float(result.metrics[name]["value"]) for name in ("offset", "drift"))
    except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
        raise Conflict("The files of the result are gone or damaged: align the clocks anew.") from error
    if recording.pk == rows[1].pk:
        # The pulses are its own, and were never moved.
        return {"offset": offset, "drift": drift / 1e6, "origin": origin}, rows[0]
    try:
        shift = clocks.shift_between(_seen(recording), _seen(rows[1]), result.job.parameters.get("align", "auto"))
    except PipelineError as error:
        raise Conflict(str(error)) from error
    return {"offset": offset + shift, "drift": drift / 1e6, "origin": origin - shift}, rows[0]


def _seen(recording: Recording) -> InputRecording:
    start = recording.start.isoformat() if recording.start else None
    return InputRecording(
        id=str(recording.pk), kind=recording.kind, format=recording.format, files=(),
        parameters=recording.parameters, start=start,
    )  # fmt: skip
