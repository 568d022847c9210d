"""What changes jobs: queue one, cancel one, compute a result again. Pages, REST and the admin call these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef
from pydantic import ValidationError

from analysis.clockfits.models import ClockFit
from analysis.clockfits.selectors import fits_by_id, reads_fits
from analysis.jobs import routing, transitions, wake
from analysis.jobs.inputs import chooses_units, fingerprint, input_files
from analysis.jobs.models import ANSWERING, ENDED, Job, JobInput, Result
from analysis.labels.models import UnitLabels
from analysis.labels.selectors import newest
from sessions.errors import Conflict, Invalid
from sessions.models import Recording, RecordingKind, Session
from sessions.permissions import require, visible

if TYPE_CHECKING:
    from analysis.pipelines.base import Pipeline

LARGEST_SEED = 2**32 - 1
# Two of the same request at the same moment: one row wins, and the other request finds it when it looks again.
LOOKS = 3


class Submission(NamedTuple):
    """A job, and whether this request made it."""

    job: Job
    created: bool


def submit(
    *,
    user: Any,
    pipeline: str,
    recordings: Sequence[UUID | str],
    parameters: Mapping[str, Any] | None = None,
    seed: int = 1,
    anew: bool = False,
    reproduces: Result | None = None,
    labels: Mapping[UUID, UnitLabels | None] | None = None,
    clocks: Mapping[UUID, ClockFit | None] | None = None,
    version: str = "",
) -> Submission:
    """Queue a pipeline on recordings, or return the job that computes or has computed just that.

    Raises ``Invalid`` with ``errors`` per field (``pipeline``, ``recordings``, ``seed``, ``parameters.<name>``),
    ``Forbidden`` when the user may not change the recordings' project. A Redis that is down does not matter: the sweep
    wakes a worker when it is back. Which units are good is told by the newest revision of their labels, or by
    ``labels`` (revisions by the recording's id), those of a job that is run again; how recordings' clocks run, by their
    fits now, or by ``clocks``. ``version`` asks for just that version of a registered command rather than its newest.
    """
    chosen = _pipeline(pipeline, version)
    found = _recordings(user, recordings)
    require(user, "change", found[0])
    _fits(chosen, found)
    checked = check_parameters(chosen, parameters or {})
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= LARGEST_SEED:
        raise _invalid("seed", f"The seed is a whole number from 0 to {LARGEST_SEED}.")
    if unmet := routing.missing(chosen, checked):
        raise Invalid(" ".join(unmet.values()), {f"parameters.{name}": [sentence] for name, sentence in unmet.items()})
    if labels is None:
        good = chooses_units(checked)
        labels = {one.pk: newest(one) for one in found if good and one.kind == RecordingKind.UNITS}
    if clocks is None:
        clocks = fits_by_id(found) if reads_fits(chosen.name, checked) else {}
    mark = fingerprint(
        pipeline=chosen.name,
        version=chosen.version,
        parameters=checked,
        seed=seed,
        recordings=found,
        labels=labels,
        clocks=clocks,
    )
    for _ in range(LOOKS):
        if not anew and (known := _answering(mark)):
            return Submission(known, created=False)
        try:
            with transaction.atomic():
                job = Job.objects.create(
                    project=found[0].project,
                    pipeline=chosen.name,
                    version=chosen.version,
                    queue=routing.route(chosen, checked),
                    parameters=checked,
                    seed=seed,
                    fingerprint=mark,
                    anew=anew,
                    reproduces=reproduces,
                    user=user,
                )
                JobInput.objects.bulk_create(
                    JobInput(
                        job=job,
                        recording=recording,
                        order=order,
                        labels=labels.get(recording.pk),
                        clock=clocks.get(recording.pk),
                    )
                    for order, recording in enumerate(found)
                )
                transaction.on_commit(partial(wake.send, job.pk, job.queue))
        except IntegrityError as error:
            if "job_computed_once" not in str(error):
                raise
        else:
            job.refresh_from_db()
            return Submission(job, created=True)
    raise Conflict("The same job was queued and ended several times in this moment; look at the list of jobs.")


def follow_session(*, session: Session) -> int:
    """Give the jobs on a session's recordings to the project that it went to; returns how many.

    A job that also reads recordings of another project stays where it is.
    """
    elsewhere = JobInput.objects.filter(job=OuterRef("pk")).exclude(recording__session__project=session.project_id)
    jobs = Job.objects.filter(inputs__recording__session=session).exclude(project=session.project_id)
    with transaction.atomic():
        following = list(jobs.filter(~Exists(elsewhere)).values_list("pk", flat=True))
        Job.objects.filter(parent__in=following).update(project=session.project_id)
        return Job.objects.filter(pk__in=following).update(project=session.project_id)


def cancel(*, user: Any, job: Job) -> Job:
    """End a job: at once when it is queued, within seconds when it runs. ``Conflict`` when it has ended already."""
    require(user, "change", job)
    _is_whole(job)
    if not transitions.cancel(job_id=job.pk):
        job.refresh_from_db()
        raise Conflict(f"The job has already ended: it is {job.state}.")
    job.refresh_from_db()
    return job


def run_again(*, user: Any, job: Job) -> Submission:
    """Queue a job that failed or was cancelled once more, with its recordings, parameters and seed."""
    _is_whole(job)
    if job.state not in ENDED:
        raise Conflict(f"The job has not ended: it is {job.state}.")
    return submit(user=user, anew=job.state == "succeeded", **_same(job))


def reproduce(*, user: Any, result: Result) -> Submission:
    """Compute a result again from the same inputs; the new result says whether the numbers agree.

    A registered command is run in the version that made the result: another one is another program.
    """
    return submit(user=user, anew=True, reproduces=result, version=result.job.version, **_same(result.job))


def _is_whole(job: Job) -> None:
    if job.parent_id is not None:
        raise Conflict("This is a part of another job, which decides about it: cancel that one, or run it again.")


def _same(job: Job) -> dict[str, Any]:
    return {
        "pipeline": job.pipeline,
        "recordings": list(job.inputs.values_list("recording_id", flat=True)),
        # What people have said of the units, or of the clocks, since is for another request.
        "labels": {row.recording_id: row.labels for row in job.inputs.select_related("labels")},
        "clocks": {row.recording_id: row.clock for row in job.inputs.select_related("clock__reference")},
        "parameters": job.parameters,
        "seed": job.seed,
    }


def _invalid(field: str, sentence: str) -> Invalid:
    return Invalid(sentence, {field: [sentence]})


def _pipeline(name: str, version: str = "") -> Pipeline:
    from analysis import offered

    try:
        return offered.get(name, version)
    except LookupError as error:
        raise _invalid("pipeline", str(error)) from error


def _recordings(user: Any, ids: Sequence[UUID | str]) -> list[Recording]:
    """Return the recordings in the order given: each once, all seen by the user, all of one project."""
    if not ids:
        raise _invalid("recordings", "Name at least one recording.")
    try:
        wanted = [UUID(str(recording_id)) for recording_id in ids]
    except ValueError as error:
        raise _invalid("recordings", f"A recording's id is a UUID: {error}.") from error
    if len(set(wanted)) < len(wanted):
        raise _invalid("recordings", "A recording is named twice.")
    seen = visible(user, Recording.objects.filter(pk__in=wanted), project="session__project")
    by_id = {
        recording.pk: recording for recording in seen.select_related("session__project").prefetch_related("files__root")
    }
    for recording_id in wanted:
        if recording_id not in by_id:
            raise _invalid("recordings", f"There is no recording {recording_id} here.")
    found = [by_id[recording_id] for recording_id in wanted]
    if len({recording.session.project_id for recording in found}) > 1:
        raise _invalid("recordings", "The recordings belong to different projects.")
    for recording in found:
        if not input_files(recording):
            raise _invalid("recordings", f"The recording {recording} ({recording.session}) has no data files.")
    return found


def _fits(pipeline: Pipeline, recordings: list[Recording]) -> None:
    """Check that kinds and counts of the recordings are what the pipeline takes."""
    from analysis.pipelines.base import places

    taken = places(pipeline.inputs, [recording.kind for recording in recordings])
    for recording, place in zip(recordings, taken, strict=True):
        if place is None:
            raise _invalid("recordings", f"{pipeline.name} does not take {recording.kind}; it takes {takes(pipeline)}.")
    counts = [taken.count(number) for number in range(len(pipeline.inputs))]
    for wanted, count in zip(pipeline.inputs, counts, strict=True):
        if not wanted.minimum <= count <= wanted.maximum:
            kinds = " or ".join(wanted.kinds)
            raise _invalid("recordings", f"{pipeline.name} got {count} of {kinds}; it takes {takes(pipeline)}.")


def takes(pipeline: Pipeline) -> str:
    """Return the inputs of a pipeline in words, such as ``1 units and 1 position``."""
    words = []
    for wanted in pipeline.inputs:
        count = f"{wanted.minimum}" if wanted.minimum == wanted.maximum else f"{wanted.minimum} to {wanted.maximum}"
        words.append(f"{count} {' or '.join(wanted.kinds)}")
    return " and ".join(words)


def check_parameters(pipeline: Pipeline, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return all parameters of a pipeline, defaults filled in, as JSON; ``Invalid`` names each wrong one."""
    if not isinstance(parameters, Mapping):
        raise _invalid("parameters", "The parameters are an object of names and values.")
    try:
        return pipeline.parameters.model_validate(dict(parameters)).model_dump(mode="json")
    except ValidationError as error:
        errors: dict[str, list[str]] = {}
        for problem in error.errors():
            field = ".".join(["parameters", *map(str, problem["loc"])])
            errors.setdefault(field, []).append(_worded(pipeline, problem))
        raise Invalid("; ".join(f"{field}: {texts[0]}" for field, texts in errors.items()), errors) from error


# What the types of problems mean to who fills in a form; the limit is put in.
_WORDS = {
    "int_parsing": "Write a whole number.",
    "int_type": "Write a whole number.",
    "int_from_float": "Write a whole number.",
    "float_parsing": "Write a number.",
    "float_type": "Write a number.",
    "finite_number": "Write a finite number.",
    "bool_parsing": "Choose yes or no.",
    "bool_type": "Choose yes or no.",
    "missing": "This is needed.",
    "greater_than": "Write more than {}.",
    "greater_than_equal": "Write at least {}.",
    "less_than": "Write less than {}.",
    "less_than_equal": "Write at most {}.",
    "literal_error": "Choose one of {}.",
}


def _worded(pipeline: Pipeline, problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        return f"{pipeline.name} has no such parameter; it has {', '.join(pipeline.parameters.model_fields)}."
    limit = next(iter(problem.get("ctx", {}).values()), "")
    if words := _WORDS.get(problem["type"]):
        return words.format(limit)
    text = problem["msg"].removeprefix("Value error, ")
    return text if text.endswith(".") else f"{text}."


def _answering(mark: str) -> Job | None:
    return Job.objects.filter(fingerprint=mark, state__in=ANSWERING).order_by("-created").first()
