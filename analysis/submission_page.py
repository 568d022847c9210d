"""What the page of a new job offers: pipelines, recordings that fit each of their inputs, and the parameters' form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from analysis import drawing, forms, selectors
from sessions.models import Recording
from sessions.permissions import projects_for

if TYPE_CHECKING:
    from django.http import QueryDict

    from analysis.pipelines.base import Input, Pipeline

# Without a session to look in, so many of the newest recordings of the right kind are offered.
MOST_OFFERED = 100


def page_of_choices(user: Any, asked: QueryDict) -> dict[str, Any]:
    """Return the template variables of the page for ``?recording=&session=&pipeline=`` or a posted form."""
    from analysis import offered

    mine = selectors.recordings_to_analyse(user).filter(session__project__in=projects_for(user, "change"))
    named = _recordings(mine, asked.getlist("recording"))
    session_id = _uuid(asked.get("session", "")) or (named[0].session_id if named else None)
    pipelines = offered.all_pipelines()
    fitting = [pipeline for pipeline in pipelines.values() if _may_take(pipeline, named)]
    wanted = asked.get("pipeline", "")
    pipeline = pipelines.get(wanted)
    if pipeline is None and not wanted and named and len(fitting) == 1:
        pipeline = fitting[0]
    values = forms.posted_parameters(pipeline, asked) if pipeline and asked.get("filled") else None
    slots = _slots(mine, pipeline, asked, named, session_id) if pipeline else []
    video = _drawn_on(pipeline, slots)
    if video is not None and values is None:
        values = drawing.parameters_of(drawing.drawing_for(user, video))
    return {
        "pipelines": [{"pipeline": each, "fits": each in fitting} for each in pipelines.values()],
        "pipeline": pipeline,
        "named": named,
        "session_id": session_id,
        "slots": slots,
        "video": video,
        "fields": forms.parameter_fields(pipeline, values) if pipeline else [],
        "seed": asked.get("seed", "1"),
        "errors": [],
        "nothing": not mine.exists(),
    }


def _drawn_on(pipeline: Pipeline | None, slots: list[dict[str, Any]]) -> Recording | None:
    """Return the chosen video of a pipeline whose parameters are drawn on a frame of it."""
    if pipeline is None or "arenas" not in pipeline.parameters.model_fields:
        return None
    chosen = [offer["recording"] for slot in slots for offer in slot["offered"] if offer["chosen"]]
    return next((recording for recording in chosen if recording.kind == "video"), None)


def chosen_inputs(posted: QueryDict, pipeline: Pipeline) -> list[str]:
    """Return the ids of the recordings chosen in a posted form, input by input."""
    return [chosen for number in range(len(pipeline.inputs)) for chosen in posted.getlist(f"input-{number}") if chosen]


def _recordings(mine: Any, ids: list[str]) -> list[Recording]:
    wanted = [recording_id for recording_id in map(_uuid, ids) if recording_id]
    return list(mine.filter(pk__in=wanted)) if wanted else []


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _may_take(pipeline: Pipeline, named: list[Recording]) -> bool:
    kinds = {kind for wanted in pipeline.inputs for kind in wanted.kinds}
    return all(recording.kind in kinds for recording in named)


def _slots(
    mine: Any, pipeline: Pipeline, asked: QueryDict, named: list[Recording], session_id: UUID | None
) -> list[dict[str, Any]]:
    """Return each input of a pipeline with the recordings offered for it; what was named is chosen."""
    slots: list[dict[str, Any]] = []
    given = {recording.pk for recording in named}
    taken: set[Any] = set()
    for number, wanted in enumerate(pipeline.inputs):
        offered = _offered(mine, wanted, session_id, given)
        posted = {_uuid(text) for text in asked.getlist(f"input-{number}")}
        # Two inputs may take the same kind, and a recording is given once.
        free = [recording.pk for recording in offered if recording.pk not in taken]
        chosen = posted - {None} or set([pk for pk in free if pk in given][: wanted.maximum])
        if not chosen and len(free) >= wanted.minimum > 0:
            chosen = set(free[: wanted.minimum])
        taken |= chosen
        slots.append(
            {
                "name": f"input-{number}",
                "input": wanted,
                "kinds": " or ".join(wanted.kinds),
                "several": wanted.maximum > 1,
                "offered": [{"recording": recording, "chosen": recording.pk in chosen} for recording in offered],
            }
        )
    return slots


def _offered(mine: Any, wanted: Input, session_id: UUID | None, given: set[Any]) -> list[Recording]:
    suiting = mine.filter(kind__in=wanted.kinds)
    if session_id is not None:
        here = list(suiting.filter(session_id=session_id)[:MOST_OFFERED])
        # What takes recordings of several sessions has a use for those of others.
        if here and len(here) >= wanted.minimum:
            return here
    newest = list(suiting[:MOST_OFFERED])
    missing = given - {recording.pk for recording in newest}
    return [*suiting.filter(pk__in=missing), *newest] if missing else newest
