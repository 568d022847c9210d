"""A definition checked, and laid on a session: which recordings each step reads there, or why it cannot."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Prefetch

from analysis.chains.definitions import BUILT_IN, Definition, Source, Step, built_in
from analysis.services import check_parameters
from sessions.errors import Invalid
from sessions.models import DataFile, Recording, RecordingKind, Session
from sessions.permissions import visible

if TYPE_CHECKING:
    from analysis.pipelines.base import Pipeline

MOST_STEPS = 30
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")


def invalid(field: str, sentence: str) -> Invalid:
    """Return the error of one field."""
    return Invalid(sentence, {field: [sentence]})


def definition_of(name: str | None, steps: Sequence[Mapping[str, Any]] | None) -> Definition:
    """Return a built-in chain by its name, or an own one made of ``steps``; ``Invalid`` for neither or both.

    A step is ``{"name", "pipeline", "inputs": [{"kind", "step", "optional"}], "parameters"}``.
    """
    if steps is not None and name:
        raise invalid("chain", "Name a chain or give its steps, not both.")
    if steps is not None:
        return Definition("", "Own steps", "", tuple(_step(number, step) for number, step in enumerate(steps)))
    found = built_in(name or "")
    if found is None:
        known = ", ".join(definition.name for definition in BUILT_IN)
        raise invalid("chain", f"There is no chain {name or ''!r}; there are {known}.")
    return found


def _step(number: int, step: Mapping[str, Any]) -> Step:
    place = f"steps[{number}]"
    unknown = set(step) - {"name", "pipeline", "inputs", "parameters"}
    if unknown or not isinstance(step.get("name"), str) or not isinstance(step.get("pipeline"), str):
        raise invalid(place, "A step has a name, a pipeline, inputs and, where they differ from usual, parameters.")
    inputs = step.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(one, Mapping) for one in inputs):
        raise invalid(f"{place}.inputs", 'The inputs are a list such as [{"kind": "units", "step": "sort"}].')
    sources = []
    for position, one in enumerate(inputs):
        types = {"kind": str, "step": str, "optional": bool}
        if set(one) - set(types) or "kind" not in one or not all(isinstance(one[key], types[key]) for key in one):
            raise invalid(
                f"{place}.inputs[{position}]",
                "An input has a kind of recording and, where an earlier step makes it, the name of that step.",
            )
        sources.append(Source(one["kind"], one.get("step", ""), one.get("optional", False)))
    return Step(step["name"], step["pipeline"], tuple(sources), step.get("parameters", {}))


def checked(definition: Definition, changed: Mapping[str, Mapping[str, Any]]) -> Definition:
    """Return a definition with ``changed`` parameters by step, all of it checked; ``Invalid`` names what is wrong.

    The parameters of its steps are those that differ from a pipeline's usual ones; what a pipeline cannot take, a name
    that comes twice and an input from a step that does not come before are told now rather than after hours of sorting.
    """
    if not 0 < len(definition.steps) <= MOST_STEPS:
        raise invalid("steps", f"A chain has 1 to {MOST_STEPS} steps.")
    names = {step.name for step in definition.steps}
    for name in changed:
        if name not in names:
            raise invalid(f"parameters.{name}", f"The chain has no step {name!r}; it has {', '.join(sorted(names))}.")
    before: set[str] = set()
    steps = []
    for step in definition.steps:
        if not _NAME.fullmatch(step.name):
            raise invalid("steps", f"{step.name!r} is no name of a step: a letter, then letters, digits and hyphens.")
        if step.name in before:
            raise invalid("steps", f"Two steps have the name {step.name!r}.")
        for mapping in (step.parameters, changed.get(step.name, {})):
            if not isinstance(mapping, Mapping):
                raise invalid(f"parameters.{step.name}", "The parameters are an object of names and values.")
        given = {**step.parameters, **changed.get(step.name, {})}
        pipeline = pipeline_of(step)
        _fits(step, pipeline, before)
        _parameters(step, pipeline, given)
        steps.append(replace(step, parameters=given))
        before.add(step.name)
    return replace(definition, steps=tuple(steps))


def pipeline_of(step: Step) -> Pipeline:
    """Return a step's pipeline; ``Invalid`` when there is none of that name."""
    from analysis import offered

    try:
        return offered.get(step.pipeline)
    except LookupError as error:
        raise invalid("steps", f"Step {step.name}: {error}") from error


def _fits(step: Step, pipeline: Pipeline, before: Iterable[str]) -> None:
    """Check that a pipeline takes what its step reads, and that this comes from somewhere."""
    if not step.sources:
        raise invalid("steps", f"Step {step.name} reads nothing; name its inputs.")
    for source in step.sources:
        if source.kind not in RecordingKind.values:
            raise invalid("steps", f"Step {step.name}: there is no kind of recording {source.kind!r}.")
        if source.step and source.step not in before:
            raise invalid("steps", f"Step {step.name} reads what {source.step!r} makes, which is no step before it.")
        if not any(source.kind in wanted.kinds for wanted in pipeline.inputs):
            kinds = ", ".join(kind for wanted in pipeline.inputs for kind in wanted.kinds)
            raise invalid("steps", f"Step {step.name}: {pipeline.name} does not take {source.kind}; it takes {kinds}.")
    for wanted in pipeline.inputs:
        if wanted.minimum and not any(source.kind in wanted.kinds for source in step.sources):
            raise invalid("steps", f"Step {step.name}: {pipeline.name} needs {' or '.join(wanted.kinds)}, too.")


def _parameters(step: Step, pipeline: Pipeline, given: Mapping[str, Any]) -> None:
    try:
        check_parameters(pipeline, given)
    except Invalid as error:
        errors = {
            f"parameters.{step.name}.{field.removeprefix('parameters.')}": texts
            for field, texts in error.errors.items()
        }
        raise Invalid(f"Step {step.name}: {error.detail}", errors) from error


def sessions_for(user: Any, ids: Iterable[UUID]) -> list[Session]:
    """Return sessions that the user sees, in the order given, with ``chosen_from``: their recordings with files."""
    recordings = (
        Recording.objects.filter(Exists(DataFile.objects.filter(recording=OuterRef("pk"))))
        .annotate(is_derived=Exists(Recording.derived_from.through.objects.filter(from_recording=OuterRef("pk"))))
        .select_related("session__project", "session__rig")
        .order_by("created", "id")
    )
    wanted = list(dict.fromkeys(ids))
    found = visible(
        user,
        Session.objects.filter(pk__in=wanted)
        .select_related("project", "rig", "task")
        .prefetch_related("animals", Prefetch("recordings", recordings, to_attr="chosen_from")),
    )
    by_id = {session.pk: session for session in found}
    return [by_id[one] for one in wanted if one in by_id]


@dataclass(frozen=True)
class Choice:
    """The recordings of one kind that a session offers to a chain, and those that were taken, ``most`` at most."""

    kind: str
    offered: tuple[Any, ...]
    taken: tuple[Any, ...]
    most: int
    optional: bool

    @property
    def open(self) -> bool:
        """Whether a person may want another recording than was taken."""
        return len(self.offered) > 1

    @property
    def one(self) -> Any:
        """The recording that was taken, where it is one."""
        return self.taken[0] if len(self.taken) == 1 else None

    @property
    def label(self) -> str:
        """The kind as people call it."""
        return str(RecordingKind(self.kind).label)


@dataclass(frozen=True)
class Plan:
    """A definition on a session. ``problem`` says why it cannot be started there; it is empty where it can."""

    session: Session
    choices: tuple[Choice, ...]
    problem: str

    def taken(self, kind: str) -> tuple[Any, ...]:
        """Return the session's recordings of a kind that the chain reads."""
        return next((choice.taken for choice in self.choices if choice.kind == kind), ())


def plan(definition: Definition, session: Any, named: Iterable[UUID] = ()) -> Plan:
    """Lay a checked definition on a session of `sessions_for`.

    What is read of a kind are the ``named`` recordings of it; else what was recorded, and only where nothing was, what
    an analysis made. Where a step takes one and there are several, a person has to say which.
    """
    wanted = set(named)
    choices, problems = [], []
    for kind, (most, optional) in _read_of_session(definition).items():
        offered = [recording for recording in session.chosen_from if recording.kind == kind]
        taken = [recording for recording in offered if recording.pk in wanted]
        if not taken:
            recorded = [recording for recording in offered if not recording.is_derived]
            taken = recorded or offered
        if not taken and not optional:
            problems.append(f"It has no recording of {RecordingKind(kind).label} with files.")
        elif len(taken) > most:
            names = ", ".join(recording.name or str(recording) for recording in taken)
            problems.append(f"It has {len(taken)} recordings of {RecordingKind(kind).label} ({names}): choose one.")
        choices.append(Choice(kind, tuple(offered), tuple(taken), most, optional))
    return Plan(session, tuple(choices), " ".join(problems))


def _read_of_session(definition: Definition) -> dict[str, tuple[int, bool]]:
    """Return for each kind that is read of the session how many a step takes at most, and whether none will do."""
    found: dict[str, tuple[int, bool]] = {}
    for step in definition.steps:
        pipeline = pipeline_of(step)
        for source in step.sources:
            if source.step:
                continue
            room = sum(wanted.maximum for wanted in pipeline.inputs if source.kind in wanted.kinds)
            most, optional = found.get(source.kind, (room, True))
            found[source.kind] = (min(most, room), optional and source.optional)
    return found
