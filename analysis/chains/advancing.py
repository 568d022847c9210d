"""Moving chains on: what a chain's jobs came to is taken over, what waited for that is queued or stopped.

Each move is one transaction with the chain's row locked: a step and its job appear together or not at all, and nobody
else moves the same chain meanwhile. Whoever dies before a move has left nothing; the sweep finds every chain that has
one to make, so that it does not matter who was to make it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now

from analysis.chains.models import UNENDED, Chain, ChainSource, ChainState, ChainStep, StepState
from analysis.jobs.models import ENDED, JobState
from analysis.services import submit
from sessions.errors import LabError

GONE = "Who started the chain is no longer in the laboratory; somebody else has to try it again."
OF_JOB = {
    JobState.SUCCEEDED: StepState.SUCCEEDED,
    JobState.FAILED: StepState.FAILED,
    JobState.CANCELLED: StepState.CANCELLED,
}

logger = logging.getLogger(__name__)


def advance(chain_id: UUID) -> None:
    """Make all moves that a chain has now; it does nothing when there is none."""
    while _move(chain_id):
        continue


def job_ended(job_id: UUID | str) -> None:
    """Move on the chains of a job that may have ended; what goes wrong here is left to the sweep."""
    try:
        steps = ChainStep.objects.filter(
            job=UUID(str(job_id)), state=StepState.STARTED, chain__state=ChainState.RUNNING
        )
        for chain_id in sorted(set(steps.values_list("chain", flat=True))):
            advance(chain_id)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("The chains of job %s wait for the sweep: %s", job_id, error)
        connection.close()


def sweep_chains() -> int:
    """Move on every chain that has a move to make; returns how many there were."""
    found = list(with_a_move().values_list("pk", flat=True))
    for chain_id in found:
        try:
            advance(chain_id)
        except (DatabaseError, InterfaceError):
            raise
        except Exception:
            # One chain that surprises must not keep all others waiting; the log says why, and it is looked at again.
            logger.exception("Chain %s could not be moved on", chain_id)
    return len(found)


def with_a_move() -> QuerySet[Chain]:
    """Return the running chains that are not where they should be: a crash, a reaped job or a cancel left them so."""
    of_chain = ChainStep.objects.filter(chain=OuterRef("pk"))
    unfinished = ChainSource.objects.filter(step=OuterRef("pk"), origin__state__in=UNENDED)
    return Chain.objects.filter(
        Exists(of_chain.filter(state=StepState.STARTED, job__state__in=ENDED))
        | Exists(of_chain.filter(~Exists(unfinished), state=StepState.WAITING))
        | ~Exists(of_chain.filter(state__in=UNENDED)),
        state=ChainState.RUNNING,
    ).order_by("created")


def _move(chain_id: UUID) -> bool:
    """Make the next move of a chain; returns whether there may be another."""
    with transaction.atomic():
        chain = (
            Chain.objects.select_for_update(of=("self",))
            .select_related("user", "session")
            .filter(pk=chain_id, state=ChainState.RUNNING)
            .first()
        )
        if chain is None:
            return False
        steps = list(chain.steps.select_related("job").prefetch_related("sources"))
        by_id = {step.pk: step for step in steps}
        for step in steps:
            _take_over(step)
            _stop_if_in_vain(step, by_id)
        ready = next((step for step in steps if _is_ready(step, by_id)), None)
        if ready is not None:
            _queue(chain, ready)
            return True
        if not any(step.state in UNENDED for step in steps):
            _close(chain, steps)
        return False


def _take_over(step: ChainStep) -> None:
    """Write what the job of a started step came to."""
    if step.state != StepState.STARTED or step.job is None or step.job.state not in ENDED:
        return
    _becomes(step, OF_JOB[JobState(step.job.state)], step.job.error)


def _stop_if_in_vain(step: ChainStep, by_id: dict[int, ChainStep]) -> None:
    """Stop a step that waits for one that will not succeed."""
    if step.state != StepState.WAITING:
        return
    for source in step.sources.all():
        origin = by_id.get(source.origin_id or 0)
        if origin is not None and origin.state not in (*UNENDED, StepState.SUCCEEDED):
            was = {StepState.FAILED: "failed", StepState.CANCELLED: "was cancelled"}.get(
                StepState(origin.state), "was stopped"
            )
            _becomes(step, StepState.STOPPED, f"It needs the {source.kind} that {origin.name} makes, which {was}.")
            return


def _is_ready(step: ChainStep, by_id: dict[int, ChainStep]) -> bool:
    return step.state == StepState.WAITING and all(
        by_id[source.origin_id].state == StepState.SUCCEEDED for source in step.sources.all() if source.origin_id
    )


def _queue(chain: Chain, step: ChainStep) -> None:
    """Queue a step's job in this transaction, or find the one that has computed just that."""
    if chain.user is None:
        _becomes(step, StepState.FAILED, GONE)
        return
    recordings, missing = _inputs(step)
    if missing:
        _becomes(step, StepState.FAILED, missing)
        return
    try:
        job, created = submit(
            user=chain.user,
            pipeline=step.pipeline,
            recordings=recordings,
            parameters=step.parameters,
            seed=step.seed,
            anew=chain.anew,
        )
    except LabError as error:
        _becomes(step, StepState.FAILED, error.detail)
        return
    step.job, step.reused = job, not created
    _becomes(step, StepState.STARTED, "")


def _inputs(step: ChainStep) -> tuple[list[UUID], str]:
    """Return the recordings that a step reads, in order, or a sentence on what is missing."""
    found: list[UUID] = []
    for source in step.sources.select_related("origin__job__result"):
        if source.recording_id is not None:
            found.append(source.recording_id)
            continue
        origin: Any = source.origin
        made = origin.job.result.derived.filter(kind=source.kind).order_by("created", "id")
        ids = list(made.values_list("pk", flat=True))
        if not ids:
            return [], f"{origin.name} succeeded but made no recording of {source.kind}, which this step reads."
        found += ids
    return found, ""


def _becomes(step: ChainStep, state: StepState, reason: str) -> None:
    step.state, step.reason = state, reason
    step.save(update_fields=["state", "reason", "job", "reused"])


def _close(chain: Chain, steps: Iterable[ChainStep]) -> None:
    """End a chain whose steps have all ended."""
    states = {step.state for step in steps}
    state = ChainState.FAILED
    if states <= {StepState.SUCCEEDED}:
        state = ChainState.SUCCEEDED
    elif chain.cancel_requested or states <= {StepState.SUCCEEDED, StepState.CANCELLED, StepState.STOPPED}:
        state = ChainState.CANCELLED
    Chain.objects.filter(pk=chain.pk).update(state=state, finished=Now())
