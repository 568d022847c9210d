"""What pages and REST read of comments, papers, and results side by side, narrowed to what a user may see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q, QuerySet

from analysis import selectors
from analysis.discussion.models import PaperMark, ResultComment
from analysis.jobs.models import Result
from sessions.errors import Invalid
from sessions.permissions import projects_for, visible

LEAST_COMPARED, MOST_COMPARED = 2, 4
# So many of the newest results of the same pipeline are offered to compare with.
MOST_OFFERED = 40
# What a session is called, of the recordings that a job read.
CALLED = ("inputs__recording__session__animals", "inputs__recording__session__task")


def comments(user: Any) -> QuerySet[ResultComment]:
    """Return the comments on results of the user's projects, oldest first.

    Those that were withdrawn are seen by who wrote them and by who may withdraw any.
    """
    queryset = ResultComment.objects.select_related("person", "result__job__project").defer(*selectors.UNSHOWN_OF)
    shown = Q(withdrawn__isnull=True) | Q(result__job__project__in=projects_for(user, "delete"))
    if user.pk is not None:
        shown |= Q(person=user.pk)
    return visible(user, queryset.filter(shown), project="result__job__project")


def marks(user: Any) -> QuerySet[PaperMark]:
    """Return the marks of results of the user's projects, by paper and figure."""
    queryset = PaperMark.objects.select_related("person", "result__job__project").defer(*selectors.UNSHOWN_OF)
    return visible(user, queryset, project="result__job__project")


@dataclass(frozen=True)
class Paper:
    """A paper of a project with the marks of its results; ``results`` are the ids, each once, in that order."""

    name: str
    project: Any
    marks: list[PaperMark] = field(default_factory=list)

    @property
    def results(self) -> list[Any]:
        """The results, each once."""
        return list(dict.fromkeys(mark.result_id for mark in self.marks))


def papers(user: Any) -> list[Paper]:
    """Return every paper that results of the user's projects are marked for."""
    rows = marks(user).order_by("paper", "result__job__project__name", "figure", "created", "id")
    found: dict[tuple[str, Any], Paper] = {}
    for mark in rows.prefetch_related(*(f"result__job__{path}" for path in CALLED)):
        project = mark.project
        found.setdefault((mark.paper, project.pk), Paper(mark.paper, project)).marks.append(mark)
    return list(found.values())


def paper_names(user: Any, project: Any) -> list[str]:
    """Return what the papers of a project are called, each once, in order."""
    named = marks(user).filter(result__job__project=project).order_by("paper")
    return list(named.values_list("paper", flat=True).distinct())


def comparable(user: Any, result: Result) -> list[Result]:
    """Return the newest other results of the same pipeline, which make most sense beside this one."""
    rows = selectors.results(user).filter(job__pipeline=result.job.pipeline).exclude(pk=result.pk)
    rows = rows.defer("provenance", "metrics", "figures", "job__log", "job__environment", "job__parameters")
    return list(rows.prefetch_related(*(f"job__{path}" for path in CALLED)).order_by("-created")[:MOST_OFFERED])


@dataclass(frozen=True)
class Row:
    """One line of a comparison: what it is, and its cell for each result; ``differs`` where they are not all alike.

    ``told_by`` are what tells the cells apart where their words do not.
    """

    label: str
    cells: list[Any]
    unit: str = ""
    definition: str = ""
    told_by: list[Any] | None = None

    @property
    def differs(self) -> bool:
        """Whether any two cells differ."""
        first, *others = self.told_by or self.cells
        return any(other != first for other in others)


def side_by_side(user: Any, ids: Sequence[Any]) -> list[Result]:
    """Return results to compare in the order given; ``Invalid`` for too few or too many, ``NotFound`` for unknown."""
    wanted = list(dict.fromkeys(ids))
    if not LEAST_COMPARED <= len(wanted) <= MOST_COMPARED:
        sentence = f"Name {LEAST_COMPARED} to {MOST_COMPARED} results with id; these are {len(wanted)}."
        raise Invalid(sentence, {"id": [sentence]})
    return [selectors.result(user, pk) for pk in wanted]


def compared_numbers(results: Sequence[Result]) -> list[Row]:
    """Return every number that one of the results has, in the order of the first that has it."""
    told = [selectors.metrics(result) for result in results]
    names = dict.fromkeys(name for metrics in told for name in metrics)
    rows = []
    for name in names:
        mine = [metrics.get(name) for metrics in told]
        first = next(metric for metric in mine if metric is not None)
        units = {metric.get("unit", "") for metric in mine if metric is not None}
        # Where results are told in different units each number keeps its own.
        cells = [
            None if metric is None else (metric["value"] if len(units) == 1 else (metric["value"], metric["unit"]))
            for metric in mine
        ]
        unit = units.pop() if len(units) == 1 else ""
        rows.append(Row(first.get("label") or name, cells, unit, first.get("definition", "")))
    return rows


def compared_parameters(results: Sequence[Result]) -> list[Row]:
    """Return pipeline, seed, inputs and parameters of results; equal ones too, told apart by ``differs``."""
    jobs = [result.job for result in results]
    rows = [
        Row("pipeline", [f"{job.pipeline} {job.version}" for job in jobs]),
        Row("code", [_code(result) for result in results]),
        _recordings(results),
        Row("seed", [job.seed for job in jobs]),
    ]
    names = dict.fromkeys(name for job in jobs for name in job.parameters)
    rows += [Row(name.replace("_", " "), [job.parameters.get(name) for job in jobs]) for name in names]
    return rows


def _recordings(results: Sequence[Result]) -> Row:
    """Return what results were computed from: the same by what was read, not by what it is called."""
    inputs = [result.provenance.get("inputs", []) for result in results]
    read = [
        [
            (one.get("recording"), one.get("labels_revision"), [file.get("sha256") for file in one.get("files", [])])
            for one in each
        ]
        for each in inputs
    ]
    names = ["; ".join(one["label"] for one in each) for each in inputs]
    # Two recordings may be called the same, and one may have other files or other labels of its units by now.
    alike = len(set(names)) < len(names) and any(each != read[0] for each in read)
    cells = ["; ".join(_told(one, exactly=alike) for one in each) or None for each in inputs]
    return Row("recordings", cells, told_by=read)


def _told(recording: dict[str, Any], *, exactly: bool) -> str:
    revision = recording.get("labels_revision")
    labelled = f", labels by hand of revision {revision}" if revision else ""
    hashes = [file["sha256"][:12] for file in recording.get("files", []) if file.get("sha256")]
    which = f", recording {str(recording.get('recording'))[:8]}, SHA-256 {' '.join(hashes)}" if exactly else ""
    return f"{recording['label']}{labelled}{which}"


def _code(result: Result) -> str | None:
    code = result.provenance.get("code", {})
    commit = code.get("commit", "")[:12]
    changed = " with local changes" if code.get("changed_since_commit") else ""
    return f"{code.get('labsite', '')} {commit}{changed}".strip() or None


def compared_figures(results: Sequence[Result]) -> list[tuple[str, list[dict[str, Any] | None]]]:
    """Return the title of every figure and, for each result, that figure or none."""
    named = [{figure["name"]: figure for figure in result.figures} for result in results]
    names = dict.fromkeys(name for figures in named for name in figures)
    return [
        (next(figures[name]["title"] for figures in named if name in figures), [figures.get(name) for figures in named])
        for name in names
    ]
