"""What pages and REST read of jobs and results, narrowed to what a user may see, in a constant number of queries."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Prefetch, QuerySet
from django.utils import timezone

from analysis.jobs.models import Job, JobInput, JobState, Result, Worker
from sessions.errors import NotFound
from sessions.models import Animal, Recording
from sessions.permissions import visible

# What a list shows nothing of; figures and where a result comes from are long.
UNSHOWN = ("result__provenance", "result__metrics", "result__figures")
# Of what is said of results, or leads to them; their jobs have logs besides.
UNSHOWN_OF = (*UNSHOWN, "result__job__log", "result__job__environment", "result__job__parameters")
# Too little is done before this to say how long the rest takes.
LEAST_PROGRESS = 0.02
COMPUTING = (JobState.RUNNING, JobState.SPLIT)


def jobs(user: Any) -> QuerySet[Job]:
    """Return the jobs of the user's projects, newest first, without their logs; not the parts of jobs."""
    return every_job(user).filter(parent__isnull=True)


def every_job(user: Any) -> QuerySet[Job]:
    """Return the jobs of the user's projects and the parts of these, newest first, without their logs."""
    queryset = Job.objects.select_related("user", "result").prefetch_related("inputs")
    return visible(user, queryset.defer("log", "environment", *UNSHOWN))


def shards(of: Job) -> list[Job]:
    """Return the parts of a job in the order of its items; who sees the job sees them."""
    if of.parent_id is not None:
        return []
    shown = ("pipeline", "state", "progress", "worker", "attempt", "lost", "shard_start", "shard_stop", "started")
    return list(of.shards.order_by("shard_start").only(*shown, "finished", "parent"))


def job_rows(user: Any) -> QuerySet[Job]:
    """Return jobs as a table shows them: with what the sessions that they read are called."""
    read = Recording.objects.select_related("session__task").only(
        "kind", "name", *(f"session__{name}" for name in ("title", "start", "number", "task__name"))
    )
    return (
        jobs(user)
        .defer("log", "environment", "parameters", *UNSHOWN)
        .prefetch_related(
            Prefetch("inputs__recording", read),
            Prefetch("inputs__recording__session__animals", Animal.objects.only("identifier")),
        )
    )


def of_session(queryset: QuerySet[Job], session_id: str) -> QuerySet[Job]:
    """Narrow jobs to those that read a recording of a session; ``NotFound`` when that is no identifier."""
    try:
        UUID(session_id)
    except ValueError as error:
        raise NotFound("There is no such session here.") from error
    inputs = JobInput.objects.filter(recording__session_id=session_id)
    return queryset.filter(pk__in=inputs.values("job_id"))


def job(user: Any, job_id: UUID) -> Job:
    """Return one job with its log; ``NotFound`` when the user may not know of it."""
    queryset = Job.objects.select_related("project", "user", "result", "reproduces__job", "parent")
    found = visible(user, queryset.prefetch_related("inputs__recording__session")).filter(pk=job_id).first()
    if found is None:
        raise NotFound("There is no such job here.")
    return found


def results(user: Any) -> QuerySet[Result]:
    """Return the results of the user's projects with their artifacts."""
    queryset = Result.objects.select_related("job__project", "job__user").prefetch_related("artifacts")
    return visible(user, queryset.filter(job__parent__isnull=True), project="job__project")


def result(user: Any, result_id: UUID) -> Result:
    """Return one result; ``NotFound`` when the user may not know of it."""
    found = results(user).filter(pk=result_id).first()
    if found is None:
        raise NotFound("There is no such result here.")
    return found


def recordings_to_analyse(user: Any) -> QuerySet[Recording]:
    """Return the recordings of the projects that the user sees, newest session first."""
    queryset = Recording.objects.select_related("session__project").order_by("-session__start", "kind", "name")
    return visible(user, queryset, project="session__project")


def last_seen(queue: str) -> datetime | None:
    """Return when a worker of a queue last reported to Postgres; ``None`` when none ever did."""
    return Worker.objects.filter(queues__contains=[queue]).order_by("-seen").values_list("seen", flat=True).first()


def works(queue: str) -> bool:
    """Return whether a worker of a queue is there: reported lately and did not leave."""
    since = timezone.now() - timedelta(seconds=settings.LAB_JOB_STALE)
    return Worker.objects.filter(queues__contains=[queue], seen__gt=since, stopped__isnull=True).exists()


def trouble(of: Job) -> str:
    """Return a sentence when nobody computes a job that waits or runs, else an empty one. It needs only the rows."""
    if of.state == JobState.RUNNING and of.heartbeat:
        silent = timezone.now() - of.heartbeat
        if silent.total_seconds() > settings.LAB_JOB_STALE:
            ago = in_words(silent)
            return f"Its worker {of.worker} has not been heard of for {ago}; the job will be given to another."
    elif of.state in (JobState.QUEUED, JobState.SPLIT) and not works(of.queue):
        seen = last_seen(of.queue)
        if seen is None:
            return f"No worker of the queue {of.queue} has ever been seen; start one, or look at /healthz."
        ago = in_words(timezone.now() - seen)
        return f"No worker of the queue {of.queue} has been seen for {ago}; the job waits until one is back."
    return ""


def in_words(span: timedelta) -> str:
    """Return a span of time as people say it: 40 s, 3 min, 2 h 10 min, 4 days."""
    seconds = max(0, round(span.total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 100:  # noqa: PLR2004 - up to here seconds say more
        return f"{seconds} s"
    if hours < 1:
        return f"{minutes} min"
    if days < 2:  # noqa: PLR2004
        return f"{hours} h {minutes % 60} min"
    return f"{days} days"


def time_left(of: Job) -> timedelta | None:
    """Return how long a running job will still take if it goes on so; ``None`` when it is too early to say."""
    if of.state not in COMPUTING or of.started is None or not LEAST_PROGRESS < of.progress < 1:
        return None
    return (timezone.now() - of.started) * (1 - of.progress) / of.progress


def took(of: Job) -> timedelta | None:
    """Return how long the last attempt took, or takes until now."""
    if of.started is None:
        return None
    return max(timedelta(), (of.finished or timezone.now()) - of.started)


def ahead(of: Job) -> int:
    """Return how many jobs of the queue were there before a queued one."""
    return Job.objects.filter(queue=of.queue, state=JobState.QUEUED, created__lt=of.created).count()


def metrics(of: Result) -> dict[str, dict[str, Any]]:
    """Return a result's numbers in the order in which the pipeline gave them."""
    ordered = sorted(of.metrics.items(), key=lambda item: item[1].get("order", 0))
    return {name: {key: value for key, value in metric.items() if key != "order"} for name, metric in ordered}


def methods_text(of: Result, *, outside: bool = False) -> str:
    """Return the paragraph on methods of a result, in words that only say what its provenance does.

    For readers ``outside`` the laboratory it names no session and leaves out parameters that are private.
    """
    from analysis import offered
    from analysis.export.methods_text import Setting, methods_paragraph
    from analysis.forms import parameter_table

    job = of.job
    known = offered.known(job.pipeline, job.version)
    # What another version says of itself need not be true of this result.
    same = known is not None and known.version == job.version
    method = offered.in_words(known, job.parameters) if known and same else ""
    # Where sentences explain what was set, a list needs the names alone, and nothing that was left to the pipeline.
    told_already = bool(known and same and offered.sentences(known, job.parameters))
    settings_used = [
        Setting((row["help"] if same and not told_already else "") or row["label"], row["value"], row["unit"])
        for row in parameter_table(job.pipeline, job.version, job.parameters)
        if not (outside and row["private"]) and not (told_already and row["value"] in (None, ""))
    ]
    told = of.provenance
    if outside:
        inputs = [{**each, "label": outside_name(each["label"])} for each in told.get("inputs", [])]
        told = {**told, "inputs": inputs}
    return methods_paragraph(told, method=method, settings=settings_used)


def outside_name(label: str) -> str:
    """Return what a recording is called outside the laboratory: its label without the session in brackets."""
    return label.partition(" (")[0]
