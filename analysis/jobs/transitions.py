"""Every change of a job's state, as a compare-and-set on the row: who loses a race changes nothing.

queued -> running -> succeeded | failed | cancelled; a lost worker or one that leaves makes it queued again. A job whose
work is split goes from running to *in parts*, which no worker holds, and to queued again when all parts are there: who
claims it then puts them together. The attempt
number is part of each condition of a running job, so that a worker which was taken for dead cannot speak for the job
that somebody else computes by now.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, TextField, Value
from django.db.models.functions import Concat, Now, Right

from analysis.jobs.models import Job, JobState

LOG_CHARACTERS = 60_000
MESSAGE_CHARACTERS = 500
# So much of a split job is done when its parts are; putting them together is the rest.
PARTS_SHARE = 0.9

LOST = (
    "The worker {worker} was lost while it computed ({lost} times in all): it was stopped hard, its machine went away,"
    " or it ran out of memory. Look at the workers' logs, then queue the job again."
)


@dataclass(frozen=True)
class Claim:
    """The right to compute a job: it holds while the row is running with this attempt."""

    job_id: UUID
    attempt: int
    worker: str
    parent: UUID | None = None

    def rows(self) -> Any:
        """Return the row if the claim still holds, as a queryset to update."""
        return Job.objects.filter(pk=self.job_id, state=JobState.RUNNING, attempt=self.attempt)


def appended(text: str) -> Right:
    """Return the expression for the log with more text, bounded to its last characters."""
    return Right(Concat("log", Value(text), output_field=TextField()), LOG_CHARACTERS)


def claim(*, job_id: UUID | str, worker: str) -> Claim | None:
    """Take a queued job to compute it; ``None`` when somebody else has it, or it ended meanwhile."""
    queued = Job.objects.filter(pk=job_id, state=JobState.QUEUED)
    found = queued.annotate(split=Exists(Job.objects.filter(parent=OuterRef("pk")))).only("attempt", "parent").first()
    if found is None:
        return None
    attempt = found.attempt
    # What goes on from its parts has been computed since they were.
    began: dict[str, Any] = {} if found.split else {"started": Now(), "progress": 0}
    taken = Job.objects.filter(pk=job_id, state=JobState.QUEUED, attempt=attempt).update(
        state=JobState.RUNNING,
        attempt=attempt + 1,
        heartbeat=Now(),
        worker=worker[:200],
        message="starting",
        log=appended(f"attempt {attempt + 1} on {worker}\n"),
        **began,
    )
    return Claim(UUID(str(job_id)), attempt + 1, worker, found.parent_id) if taken else None


def beat(held: Claim, *, progress: float | None = None, message: str | None = None, log: str = "") -> bool | None:
    """Say that the job lives and how it goes. Returns whether to cancel it, or ``None`` when the claim is lost."""
    values: dict[str, Any] = {"heartbeat": Now()}
    if progress is not None:
        values["progress"] = min(1.0, max(0.0, progress))
    if message is not None:
        values["message"] = message[:MESSAGE_CHARACTERS]
    if log:
        values["log"] = appended(log)
    if not held.rows().update(**values):
        return None
    if progress is not None and held.parent is not None:
        tell_progress(held.parent)
    return held.rows().values_list("cancel_requested", flat=True).first()


def tell_progress(parent_id: UUID) -> None:
    """Write how far the parts of a split job are, each counting by its items."""
    shards = Job.objects.filter(parent=parent_id).values_list("state", "progress", "shard_start", "shard_stop")
    done = items = ended = 0.0
    for state, progress, start, stop in shards:
        if start is None or stop is None:
            continue
        items += stop - start
        done += progress * (stop - start)
        ended += state == JobState.SUCCEEDED
    Job.objects.filter(pk=parent_id, state=JobState.SPLIT).update(
        progress=PARTS_SHARE * min(1.0, done / max(items, 1.0)),
        message=f"{ended:.0f} of {len(shards)} parts computed",
    )


def keep_environment(held: Claim, environment: dict[str, Any]) -> None:
    """Keep what the computation runs on, also for a job that fails."""
    held.rows().update(environment=environment)


def succeed(held: Claim, *, log: str = "") -> bool:
    """End as succeeded; call it in the transaction that writes the result. False: the claim is lost, write nothing."""
    return bool(
        held.rows().update(
            state=JobState.SUCCEEDED,
            finished=Now(),
            heartbeat=Now(),
            progress=1,
            message="",
            error="",
            log=appended(log),
        )
    )


def fail(held: Claim, *, error: str, log: str = "") -> bool:
    """End as failed with a sentence for a person."""
    return bool(
        held.rows().update(
            state=JobState.FAILED, finished=Now(), heartbeat=Now(), message="", error=error, log=appended(log)
        )
    )


def cancelled(held: Claim, *, log: str = "") -> bool:
    """End as cancelled, after the computation was stopped."""
    return bool(
        held.rows().update(
            state=JobState.CANCELLED, finished=Now(), heartbeat=Now(), message="", log=appended(log + "cancelled\n")
        )
    )


def give_back(held: Claim, *, log: str = "") -> bool:
    """Queue the job again because this worker leaves; it does not count as lost, and the sweep wakes another."""
    return bool(
        held.rows().update(
            state=JobState.QUEUED, sent=None, progress=0, message="", log=appended(log + f"{held.worker} leaves\n")
        )
    )


def split(held: Claim, shards: Sequence[range]) -> list[UUID]:
    """Make a part of the job for each range of its items, and let go of it until they have ended.

    Returns the ids of the parts; none when the claim is lost or a cancel was asked for, and then nothing is made.
    """
    with transaction.atomic():
        if (
            not held.rows()
            .filter(cancel_requested=False)
            .update(
                state=JobState.SPLIT,
                progress=0,
                message=f"0 of {len(shards)} parts computed",
                log=appended(f"split into {len(shards)} parts\n"),
            )
        ):
            return []
        job = Job.objects.get(pk=held.job_id)
        made = Job.objects.bulk_create(
            Job(
                project_id=job.project_id,
                pipeline=job.pipeline,
                version=job.version,
                queue=job.queue,
                parameters=job.parameters,
                seed=job.seed,
                fingerprint=hashlib.sha256(f"{job.pk}:{items.start}:{items.stop}".encode()).hexdigest(),
                max_attempts=job.max_attempts,
                user_id=job.user_id,
                parent=job,
                shard_start=items.start,
                shard_stop=items.stop,
            )
            for items in shards
        )
        return [shard.pk for shard in made]


def shards_succeeded(job_id: UUID) -> bool:
    """Queue a split job whose parts have all been computed, for a worker to put them together."""
    return bool(
        Job.objects.filter(pk=job_id, state=JobState.SPLIT).update(
            state=JobState.QUEUED,
            sent=None,
            progress=PARTS_SHARE,
            message="",
            log=appended("all parts are computed\n"),
        )
    )


def shards_failed(job_id: UUID, *, error: str) -> bool:
    """End a split job of which a part failed, with a sentence for a person, and end its other parts."""
    with transaction.atomic():
        failed = Job.objects.filter(pk=job_id, state=JobState.SPLIT).update(
            state=JobState.FAILED, finished=Now(), message="", error=error, log=appended("a part failed\n")
        )
        if failed:
            _cancel_shards(job_id)
    return bool(failed)


def cancel(*, job_id: UUID) -> bool:
    """Ask for the end of a job: one that is queued ends now, one that runs when its worker has stopped it.

    One in parts ends now, too, and its parts like any job.
    """
    with transaction.atomic():
        job = Job.objects.select_for_update(of=("self",)).filter(pk=job_id).only("state").first()
        if job is None:
            return False
        rows = Job.objects.filter(pk=job_id)
        if job.state == JobState.RUNNING:
            return bool(rows.update(cancel_requested=True))
        if job.state not in (JobState.QUEUED, JobState.SPLIT):
            return False
        rows.update(
            state=JobState.CANCELLED, cancel_requested=True, finished=Now(), message="", log=appended("cancelled\n")
        )
        if job.state == JobState.SPLIT:
            _cancel_shards(job_id)
    return True


def _cancel_shards(job_id: UUID) -> None:
    for shard_id in Job.objects.filter(parent=job_id).order_by("shard_start").values_list("pk", flat=True):
        cancel(job_id=shard_id)


def reap() -> dict[str, int]:
    """Take the jobs whose worker is silent away from it: queued again, or ended when that happened too often.

    Returns how many were queued again, failed and cancelled.
    """
    counts = {"queued": 0, "failed": 0, "cancelled": 0}
    silent = Job.objects.filter(state=JobState.RUNNING, heartbeat__lt=Now() - timedelta(seconds=settings.LAB_JOB_STALE))
    for job in silent.only("id", "attempt", "worker", "lost", "max_attempts", "cancel_requested"):
        # The row must be as it was seen: a worker that speaks again in this moment keeps its job.
        rows = silent.filter(pk=job.pk, attempt=job.attempt)
        lost = job.lost + 1
        line = appended(f"{job.worker} was silent for {settings.LAB_JOB_STALE:g} s and is taken for lost\n")
        if job.cancel_requested:
            state: dict[str, Any] = {"state": JobState.CANCELLED, "finished": Now()}
        elif lost >= job.max_attempts:
            state = {
                "state": JobState.FAILED,
                "finished": Now(),
                "error": LOST.format(worker=job.worker, lost=lost),
            }
        else:
            state = {"state": JobState.QUEUED, "sent": None, "progress": 0}
        if rows.update(**state, lost=F("lost") + 1, message="", log=line):
            counts[str(state["state"].value)] += 1
    return counts
