"""Which queue a job waits in: that of a GPU where it gains from one and a worker serves it, else its pipeline's own.

Workers report to Postgres which queues they serve and which optional packages they have (``jobs/presence.py``), so a
job that needs one is not given to a queue where nobody has it while another has.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from importlib.util import find_spec
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet
from django.db.models.functions import Now
from pydantic import ValidationError

from analysis.jobs.models import Job, JobState, Worker
from analysis.pipelines.base import Pipeline

GPU = "gpu"
# Packages of the extras of pyproject.toml that pipelines may need, and what people call them.
OPTIONAL = {"torch": "PyTorch"}


def installed() -> list[str]:
    """Return the optional packages that a computation of this process would find; nothing is imported."""
    return [package for package in OPTIONAL if find_spec(package) is not None]


def there(queue: str) -> QuerySet[Worker]:
    """Return the workers of a queue that reported lately and did not leave."""
    since = Now() - timedelta(seconds=settings.LAB_JOB_STALE)
    return Worker.objects.filter(queues__contains=[queue], seen__gt=since, stopped__isnull=True)


def able(queue: str, packages: Sequence[str]) -> bool:
    """Whether a worker of a queue is there that has these packages."""
    return there(queue).filter(packages__contains=list(packages)).exists()


def queues(pipeline: Pipeline, settled: Any) -> list[str]:
    """Return the queues that a job may wait in, the best first."""
    best = [GPU] if pipeline.gains_from_gpu(settled) else []
    return list(dict.fromkeys([*best, pipeline.queue]))


def route(pipeline: Pipeline, parameters: dict[str, Any]) -> str:
    """Return the queue for a job: the best of which a worker is there that can compute it, else the pipeline's own."""
    settled = pipeline.parameters.model_validate(parameters)
    packages = list(pipeline.needs(settled))
    return next((queue for queue in queues(pipeline, settled) if able(queue, packages)), pipeline.queue)


def missing(pipeline: Pipeline, parameters: dict[str, Any]) -> dict[str, str]:
    """Return a sentence for each parameter that asks for a package which no worker has.

    While no worker is there at all nothing is known, and the job may wait for one.
    """
    settled = pipeline.parameters.model_validate(parameters)
    serving = [worker for queue in queues(pipeline, settled) for worker in there(queue)]
    if not serving:
        return {}
    return {
        parameter: (
            f"This needs {OPTIONAL.get(package, package)}, which none of the {len(serving)} workers has: install"
            f" labsite[{package}] where one runs and start it again, or choose another {parameter}."
        )
        for package, parameter in pipeline.needs(settled).items()
        if not any(package in worker.packages for worker in serving)
    }


def left_to_others(job_id: UUID | str) -> bool:
    """Whether a queued job needs a package that this worker has not and another worker of its queue has.

    The sweep wakes one for it again.
    """
    waiting = Job.objects.filter(pk=job_id, state=JobState.QUEUED)
    job = waiting.only("pipeline", "version", "parameters", "queue").first()
    if job is None or (known := _known(job)) is None:
        return False
    pipeline, settled = known
    needed = set(pipeline.needs(settled))
    return not needed <= set(installed()) and able(job.queue, sorted(needed))


def reroute() -> int:
    """Give jobs that wait for a GPU worker which is gone to a queue where one is; return how many were moved."""
    waiting = Job.objects.filter(queue=GPU, state=JobState.QUEUED)
    moved = 0
    for job in waiting.order_by("created").only("pipeline", "version", "parameters"):
        known = _known(job)
        if known is None or known[0].queue == GPU:
            continue
        pipeline, settled = known
        queue = route(pipeline, job.parameters)
        if queue != GPU and able(queue, list(pipeline.needs(settled))):
            # As it was seen: a worker that comes back in this moment may have it.
            moved += waiting.filter(pk=job.pk).update(queue=queue, sent=None)
    return moved


def _known(job: Job) -> tuple[Pipeline, Any] | None:
    """Return the pipeline of a job and its parameters where this process knows them in the job's version.

    Who claims a job of another says what is wrong with it.
    """
    from analysis.pipelines import registry

    try:
        pipeline = registry.get(job.pipeline)
        return (
            (pipeline, pipeline.parameters.model_validate(job.parameters)) if pipeline.version == job.version else None
        )
    except (LookupError, ValidationError):
        return None
