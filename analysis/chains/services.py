"""What changes chains: start them on sessions, cancel one, try again what failed. Pages and REST call these."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db.models import Q

from analysis import drawing
from analysis.chains import advancing
from analysis.chains.definitions import Definition, Step
from analysis.chains.models import Chain, ChainSource, ChainState, ChainStep, StepState
from analysis.chains.planning import Plan, checked, definition_of, invalid, pipeline_of, plan, sessions_for
from analysis.jobs import transitions
from analysis.jobs.models import Job
from analysis.services import LARGEST_SEED, check_parameters
from sessions.errors import Conflict, Invalid
from sessions.models import Session
from sessions.permissions import require
from sessions.services.transaction import one_write

MOST_SESSIONS = 250
# A request moves so many chains to their first jobs itself; the sweep does the others within seconds.
MOVED_AT_ONCE = 3
GOES_ON = "Its job goes on: it was not queued for this chain alone."
TRIED_AGAIN = (StepState.FAILED, StepState.CANCELLED)


def start(
    *,
    user: Any,
    sessions: Sequence[UUID],
    chain: str | None = None,
    steps: Sequence[Mapping[str, Any]] | None = None,
    parameters: Mapping[str, Mapping[str, Any]] | None = None,
    recordings: Sequence[UUID] = (),
    seed: int = 1,
    anew: bool = False,
) -> list[Chain]:
    """Start a chain on each of the sessions, on all or on none; returns them in the order of the sessions.

    ``chain`` names a built-in one, or ``steps`` are its own; ``parameters`` are those that differ from usual, by step.
    ``recordings`` say which to read where a session has several of a kind. Raises ``Invalid`` with what is wrong by
    field (``sessions[3]``, ``parameters.sort.low``), ``Forbidden`` where the user may not change a session's project.
    """
    definition = checked(definition_of(chain, steps), parameters or {})
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= LARGEST_SEED:
        raise invalid("seed", f"The seed is a whole number from 0 to {LARGEST_SEED}.")
    found = _sessions(user, sessions)
    for session in {session.project_id: session for session in found}.values():
        require(user, "change", session)
    plans = [plan(definition, session, recordings) for session in found]
    _refuse(plans, found, recordings)
    batch = uuid.uuid4()
    with one_write():
        started = Chain.objects.bulk_create(
            Chain(
                session=session, definition=definition.name, title=definition.title, batch=batch, anew=anew, user=user
            )
            for session in found
        )
        _write_steps(user, definition, list(zip(started, plans, strict=True)), seed)
    for one in started[:MOVED_AT_ONCE]:
        advancing.advance(one.pk)
    return started


def _sessions(user: Any, ids: Sequence[UUID]) -> list[Session]:
    if not 0 < len(ids) <= MOST_SESSIONS:
        raise invalid("sessions", f"A chain is started on 1 to {MOST_SESSIONS} sessions at a time.")
    found = {session.pk: session for session in sessions_for(user, ids)}
    problems = {
        f"sessions[{number}]": [f"There is no session {one} here."]
        for number, one in enumerate(ids)
        if one not in found
    }
    if len(set(ids)) < len(ids):
        raise invalid("sessions", "A session is named twice.")
    if problems:
        raise Invalid(next(iter(problems.values()))[0], problems)
    return [found[one] for one in ids]


def _refuse(plans: Sequence[Plan], sessions: Sequence[Session], recordings: Sequence[UUID]) -> None:
    """Raise what keeps the chain from being started on some session, or what was named for none."""
    problems = {
        f"sessions[{number}]": [f"{one.session}: {one.problem}"] for number, one in enumerate(plans) if one.problem
    }
    if problems:
        raise Invalid("; ".join(texts[0] for texts in problems.values()), problems)
    read = {recording.pk for one in plans for choice in one.choices for recording in choice.taken}
    if unread := [named for named in recordings if named not in read]:
        raise invalid("recordings", f"The chain reads no recording {unread[0]} in {len(sessions)} session(s).")


def _write_steps(user: Any, definition: Definition, laid: list[tuple[Chain, Plan]], seed: int) -> None:
    steps = ChainStep.objects.bulk_create(
        ChainStep(
            chain=chain,
            name=step.name,
            order=order,
            pipeline=step.pipeline,
            parameters=_parameters(user, step, on),
            seed=seed,
        )
        for chain, on in laid
        for order, step in enumerate(definition.steps)
    )
    by_name = {(step.chain_id, step.name): step for step in steps}
    sources = []
    for chain, on in laid:
        for step in definition.steps:
            row = by_name[chain.pk, step.name]
            wanted: list[dict[str, Any]] = []
            for source in step.sources:
                if source.step:
                    wanted.append({"kind": source.kind, "origin": by_name[chain.pk, source.step]})
                else:
                    wanted += [{"kind": source.kind, "recording": recording} for recording in on.taken(source.kind)]
            sources += [ChainSource(step=row, order=order, **values) for order, values in enumerate(wanted)]
    ChainSource.objects.bulk_create(sources)


def _parameters(user: Any, step: Step, on: Plan) -> dict[str, Any]:
    """Return all parameters of a step; what was drawn on its video holds where nothing else was said."""
    pipeline = pipeline_of(step)
    given = dict(step.parameters)
    video = next(
        (recording for source in step.sources if source.kind == "video" for recording in on.taken("video")), None
    )
    if video is not None and "arenas" in pipeline.parameters.model_fields:
        drawn = drawing.parameters_of(drawing.drawing_for(user, video))
        if "pixels_per_cm" in given:
            drawn.pop("calibration", None)
        given = {**drawn, **given}
    return check_parameters(pipeline, given)


def _locked(chain: Chain) -> Chain:
    return Chain.objects.select_for_update(of=("self",)).select_related("session__project").get(pk=chain.pk)


def cancel(*, user: Any, chain: Chain) -> Chain:
    """End a chain: what waits is cancelled now, what is computed within seconds; ``Conflict`` when it has ended.

    A job that somebody else asked for, or that another chain waits for too, is not this chain's to end.
    """
    require(user, "change", chain)
    with one_write():
        held = _locked(chain)
        if held.state != ChainState.RUNNING:
            raise Conflict(f"The chain has already ended: it is {held.state}.")
        held.cancel_requested = True
        held.save(update_fields=["cancel_requested"])
        held.steps.filter(state=StepState.WAITING).update(state=StepState.CANCELLED)
        for step in held.steps.filter(state=StepState.STARTED).select_related("job"):
            if step.reused or _others_wait_for(step.job, held):
                step.state, step.reason = StepState.CANCELLED, GOES_ON
                step.save(update_fields=["state", "reason"])
            elif step.job is not None:
                transitions.cancel(job_id=step.job.pk)
    advancing.advance(held.pk)
    held.refresh_from_db()
    return held


def _others_wait_for(job: Job | None, chain: Chain) -> bool:
    others = ChainStep.objects.filter(job=job, state=StepState.STARTED, chain__state=ChainState.RUNNING)
    return others.exclude(chain=chain).exists()


def try_again(*, user: Any, chain: Chain, step: str | None = None) -> Chain:
    """Queue once more what failed or was cancelled in a chain, or one such step of it, and go on from there.

    What has succeeded stays. The steps are queued with the roles of who tries. ``Conflict`` when nothing of the chain
    failed, ``Invalid`` for a step that did not.
    """
    require(user, "change", chain)
    with one_write():
        held = _locked(chain)
        failed = held.steps.filter(state__in=TRIED_AGAIN)
        if step is not None:
            failed = failed.filter(name=step)
        names = list(failed.values_list("name", flat=True))
        if not names and step is not None:
            raise invalid("step", f"No step {step!r} of the chain has failed or was cancelled.")
        if not names:
            raise Conflict("Nothing of the chain failed or was cancelled.")
        held.steps.filter(Q(name__in=names) | Q(state=StepState.STOPPED)).update(
            state=StepState.WAITING, job=None, reused=False, reason=""
        )
        held.state, held.finished, held.cancel_requested, held.user = ChainState.RUNNING, None, False, user
        held.save(update_fields=["state", "finished", "cancel_requested", "user"])
    advancing.advance(held.pk)
    held.refresh_from_db()
    return held
