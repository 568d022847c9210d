"""Wide work in parts: whether a job is split, what its parts came to, and what they computed.

A part (*shard*) is a job like any other, with its own heartbeat, attempts and fence; it reads what its parent reads.
The parent holds no worker while its parts run, so one worker with one slot gets to the end, too. Each move of a parent
is one transaction with its row locked, and the sweep finds every parent that has one to make.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.models import Exists, OuterRef, Sum

from analysis.jobs import routing, transitions, wake
from analysis.jobs.models import ENDED, Job, JobState
from analysis.jobs.transitions import Claim
from analysis.pipelines.base import Pipeline
from analysis.pipelines.sharded import ROWS, ShardedPipeline

# More parts than slots: a slow machine takes fewer of them, and a lost worker costs less.
PARTS_PER_SLOT = 2
MOST_PARTS = 64

logger = logging.getLogger(__name__)


def slots(queue: str) -> int:
    """Return how many jobs of a queue run at a time on all workers that are there."""
    return int(routing.there(queue).aggregate(slots=Sum("slots"))["slots"] or 0)


def parts(pipeline: Pipeline, parameters: dict[str, Any], slots: int) -> list[range]:
    """Return the items of each part that a job is split into; none when it is better computed in one."""
    if not isinstance(pipeline, ShardedPipeline) or slots <= 1:
        return []
    settled = pipeline.parameters.model_validate(parameters)
    items = pipeline.items(settled)
    count = min(items // max(1, pipeline.least_items(settled)), PARTS_PER_SLOT * slots, MOST_PARTS)
    return [range(items * k // count, items * (k + 1) // count) for k in range(count)] if count > 1 else []


def split(held: Claim, queue: str, items: list[range]) -> None:
    """Split a job and wake workers for its parts; it ends as cancelled where that was asked for meanwhile."""
    made = transitions.split(held, items)
    if not made and held.rows().filter(cancel_requested=True).exists():
        transitions.cancelled(held)
    for shard_id in made:
        if not wake.send(shard_id, queue):
            return


def computed(job: Job) -> list[dict[str, Any]]:
    """Return what the parts of a job computed, in the order of its items; nothing when it was not split.

    Each has its ``items``, ``path`` and ``sha256``, and where it was computed.
    """
    shards = job.shards.filter(state=JobState.SUCCEEDED).select_related("result").order_by("shard_start")
    return [
        {
            "items": [shard.shard_start, shard.shard_stop],
            "path": str(settings.LAB_RESULTS / shard.result.folder / "artifacts" / ROWS),
            "sha256": shard.result.artifacts.get(name=ROWS).sha256,
            "worker": shard.worker,
            "attempt": shard.result.attempt,
            "seconds": shard.result.provenance["compute_seconds"],
        }
        for shard in shards
    ]


def job_ended(job_id: UUID | str) -> UUID:
    """Move on the parent of a part that may have ended; return the job that others wait for.

    What goes wrong here is left to the sweep.
    """
    own = UUID(str(job_id))
    try:
        parent_id = Job.objects.filter(pk=own).values_list("parent", flat=True).first()
        if parent_id is None:
            return own
        advance(parent_id)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("The parent of part %s waits for the sweep: %s", job_id, error)
        connection.close()
        return own
    return UUID(str(parent_id))


def sweep() -> int:
    """Move on every parent that has a move to make, as a crash or a lost worker leaves it; return their number."""
    of_parent = Job.objects.filter(parent=OuterRef("pk"))
    found = Job.objects.filter(
        Exists(of_parent.filter(state__in=(JobState.FAILED, JobState.CANCELLED)))
        | ~Exists(of_parent.exclude(state__in=ENDED)),
        state=JobState.SPLIT,
    )
    ids = list(found.order_by("created").values_list("pk", flat=True))
    for parent_id in ids:
        advance(parent_id)
    return len(ids)


def advance(parent_id: UUID) -> None:
    """Queue a split job again when all its parts are there, or end it when one failed; else tell how far they are."""
    with transaction.atomic():
        parent = (
            Job.objects.select_for_update(of=("self",)).filter(pk=parent_id, state=JobState.SPLIT).only("queue").first()
        )
        if parent is None:
            return
        shards = list(parent.shards.order_by("shard_start").only("state", "error"))
        for number, shard in enumerate(shards, start=1):
            if shard.state in (JobState.FAILED, JobState.CANCELLED):
                what = shard.error or "It was cancelled."
                transitions.shards_failed(parent_id, error=f"Part {number} of {len(shards)} failed: {what}")
                return
        if all(shard.state == JobState.SUCCEEDED for shard in shards):
            transitions.shards_succeeded(parent_id)
            transaction.on_commit(partial(wake.send, parent_id, parent.queue))
            return
    transitions.tell_progress(parent_id)
