"""What pages and REST read of chains: rows with their steps, the graph of one, and how long it will still take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from typing import Any
from uuid import UUID

from django.db.models import Count, Max, OuterRef, Prefetch, QuerySet, Subquery

from analysis.chains.definitions import layers
from analysis.chains.models import UNENDED, Chain, ChainSource, ChainState, ChainStep, StepState
from analysis.jobs.models import Job, JobInput, JobState
from analysis.selectors import COMPUTING, time_left, took, trouble
from sessions.errors import NotFound
from sessions.models import Animal
from sessions.permissions import visible

# What a step usually takes is told from so many of the newest jobs of the project.
REMEMBERED = 200
UNSHOWN = ("log", "environment", "parameters", "result__provenance", "result__metrics", "result__figures")


def chains(user: Any) -> QuerySet[Chain]:
    """Return the chains of the user's projects, newest first, with their steps, jobs and what the steps read."""
    steps = (
        ChainStep.objects.select_related("job__result")
        .defer(*(f"job__{name}" for name in UNSHOWN))
        .prefetch_related(Prefetch("sources", ChainSource.objects.select_related("origin", "recording")))
    )
    queryset = Chain.objects.select_related("session__project", "session__task", "user").prefetch_related(
        Prefetch("steps", steps), Prefetch("session__animals", Animal.objects.only("identifier"))
    )
    return visible(user, queryset, project="session__project")


def chain(user: Any, chain_id: UUID) -> Chain:
    """Return one chain; ``NotFound`` when the user may not know of it."""
    found = chains(user).filter(pk=chain_id).first()
    if found is None:
        raise NotFound("There is no such chain here.")
    return found


def of_job(user: Any, job: Job) -> QuerySet[Chain]:
    """Return the chains that a job is a step of."""
    mine = visible(user, Chain.objects.filter(steps__job=job), project="session__project")
    return mine.distinct().order_by("-created")


def shown_state(step: ChainStep) -> str:
    """Return a step's state as people see it: once it was queued, that of its job."""
    if step.state == StepState.STARTED and step.job is not None:
        return step.job.state
    return step.state


@dataclass(frozen=True)
class Node:
    """A step in the graph: after which steps it comes, what it reads, how long it takes or took."""

    step: ChainStep
    state: str
    after: tuple[str, ...]
    reads: tuple[str, ...]
    left: timedelta | None
    took: timedelta | None


def nodes(of: Chain) -> list[Node]:
    """Return the steps of a chain of `chains` in order, without what only the past tells."""
    return [_node(step, None) for step in of.steps.all()]


def _node(step: ChainStep, left: timedelta | None) -> Node:
    return Node(
        step=step,
        state=shown_state(step),
        after=tuple(after(step)),
        reads=tuple(_reads(step)),
        left=left if step.state in UNENDED else None,
        took=took(step.job) if step.job is not None and step.job.finished else None,
    )


def counts(of: QuerySet[Chain]) -> dict[str, int]:
    """Return how many chains there are in each state."""
    return dict(of.order_by().values_list("state").annotate(Count("pk")))


def together(user: Any, of: Chain) -> int:
    """Return how many chains were started together with one, itself included."""
    return visible(user, Chain.objects.filter(batch=of.batch), project="session__project").count()


def troubles(of: Chain) -> list[str]:
    """Return sentences when nobody computes what waits or runs."""
    jobs = [step.job for step in of.steps.all() if step.job is not None and step.state == StepState.STARTED]
    return list(dict.fromkeys(filter(None, map(trouble, jobs))))


@dataclass(frozen=True)
class Graph:
    """A chain in layers, from what reads the session's recordings on; ``left`` is the longest way still to go."""

    layers: list[list[Node]]
    left: timedelta | None
    done: int
    steps: int


def graph(of: Chain) -> Graph:
    """Return the graph of a chain of `chains`, with the time left where the past tells it."""
    steps = list(of.steps.all())
    origins = {step.name: after(step) for step in steps}
    usual = _usual_seconds(of, steps) if of.state == ChainState.RUNNING else {}
    left = {step.name: _left(step, usual) for step in steps}
    drawn = {step.name: _node(step, left[step.name]) for step in steps}
    laid = layers([step.name for step in steps], origins)
    return Graph(
        layers=[[drawn[name] for name in layer] for layer in laid],
        left=_longest([step.name for step in steps], origins, left) if of.state == ChainState.RUNNING else None,
        done=sum(step.state == StepState.SUCCEEDED for step in steps),
        steps=len(steps),
    )


def after(step: ChainStep) -> list[str]:
    """Return the names of the steps that one waits for."""
    return list(dict.fromkeys(source.origin.name for source in step.sources.all() if source.origin is not None))


def _reads(step: ChainStep) -> Iterable[str]:
    for source in step.sources.all():
        if source.origin is not None:
            yield f"{source.get_kind_display()} from {source.origin.name}"
        elif source.recording is not None:
            yield str(source.recording)


def _left(step: ChainStep, usual: dict[str, float]) -> timedelta | None:
    """Return how long a step will still take: by its own progress once that tells, else as long as usual."""
    if step.state not in UNENDED:
        return timedelta()
    if step.job is not None and (told := time_left(step.job)) is not None:
        return told
    if step.pipeline not in usual:
        return None
    whole = timedelta(seconds=usual[step.pipeline])
    spent = took(step.job) if step.job is not None and step.job.state in COMPUTING else None
    return max(timedelta(), whole - (spent or timedelta()))


def _longest(
    names: Sequence[str], origins: dict[str, list[str]], left: dict[str, timedelta | None]
) -> timedelta | None:
    """Return the longest way through the graph; ``None`` while nobody can tell how long a part of it takes."""
    ends: dict[str, timedelta] = {}
    for name in names:
        own = left[name]
        if own is None:
            return None
        ends[name] = own + max((ends[origin] for origin in origins[name]), default=timedelta())
    return max(ends.values(), default=timedelta())


def _usual_seconds(of: Chain, steps: Sequence[ChainStep]) -> dict[str, float]:
    """Return by pipeline how long the project's newest jobs took (median, s).

    Where recordings say how long they are, a job counts by the second of what it read, and this session's length sets
    how long it will take here.
    """
    length = ChainSource.objects.filter(step__chain=of).aggregate(longest=Max("recording__duration"))["longest"]
    first = JobInput.objects.filter(job=OuterRef("pk")).order_by("order").values("recording__duration")[:1]
    known = (
        Job.objects.filter(
            project=of.session.project_id,
            parent__isnull=True,
            pipeline__in={step.pipeline for step in steps if step.state in UNENDED},
            state=JobState.SUCCEEDED,
            started__isnull=False,
        )
        .annotate(length=Subquery(first))
        .order_by("-created")
        .values_list("pipeline", "started", "finished", "length")[:REMEMBERED]
    )
    taken: dict[str, list[float]] = {}
    for pipeline, started, finished, read in known:
        if started is None or finished is None:
            continue
        scale = length / read if length and read else 1.0
        taken.setdefault(pipeline, []).append((finished - started).total_seconds() * scale)
    return {pipeline: median(seconds) for pipeline, seconds in taken.items()}
