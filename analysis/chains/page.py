"""What the page of a new chain offers: chains, the sessions with what each would read, the parameters of every step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from analysis import forms
from analysis.chains import selectors
from analysis.chains.definitions import BUILT_IN, Definition, built_in
from analysis.chains.planning import checked, definition_of, pipeline_of, plan, sessions_for
from analysis.chains.services import MOST_SESSIONS
from sessions.errors import Invalid
from sessions.models import Session
from sessions.permissions import projects_for

if TYPE_CHECKING:
    from django.http import QueryDict

    from analysis.chains.models import Chain

OWN = "own"
# Without a session to start on, so many of the newest are offered.
MOST_OFFERED = 20
EXAMPLE = """[
  {"name": "lfp", "pipeline": "ephys.lfp", "inputs": [{"kind": "ephys"}]},
  {"name": "ripples", "pipeline": "lfp.ripples", "inputs": [{"kind": "lfp", "step": "lfp"}]}
]"""


def page_of_choices(user: Any, asked: QueryDict) -> dict[str, Any]:
    """Return the template variables for ``?chain=&session=&like=`` or a posted form."""
    like = _like(user, asked.get("like", ""))
    ids = uuids(asked.getlist("session")) or ([like.session_id] if like else [])
    named = bool(ids)
    if not named:
        mine = Session.objects.filter(project__in=projects_for(user, "change")).order_by("-start", "id")
        ids = list(mine.values_list("pk", flat=True)[:MOST_OFFERED])
    sessions = sessions_for(user, ids[:MOST_SESSIONS])
    text = asked.get("steps", "") or (_own_steps(like) if like else "")
    chosen = asked.get("chain", "") or ((like.definition or OWN) if like else "")
    errors: list[str] = []
    definition = built_in(chosen)
    if chosen == OWN:
        definition, errors = _own(text)
    elif definition is None:
        definition = _fitting(sessions)
    rows = _rows(definition, sessions, asked, like, named=named) if definition else []
    return {
        "definitions": BUILT_IN,
        "chosen": OWN if chosen == OWN else definition.name if definition else "",
        "definition": definition,
        "steps_text": text or EXAMPLE,
        "sessions": rows,
        "named": named,
        "left_out": len(ids) - len(sessions),
        "fitting": sum(not row["problem"] for row in rows),
        "fields": _fields(definition, asked, like) if definition else [],
        "seed": asked.get("seed", "1"),
        "errors": errors,
        "filled": bool(asked.get("filled")),
    }


def posted(definition: Definition | None, asked: QueryDict) -> dict[str, Any]:
    """Return what a posted form asks to start, for ``services.start``; of parameters, those that differ from usual."""
    ids = uuids(asked.getlist("session"))
    recordings = [one for session in ids for one in uuids(asked.getlist(f"recording-{session}"))]
    seed = asked.get("seed", "1").strip()
    values: dict[str, Any] = {
        "sessions": ids,
        "recordings": list(dict.fromkeys(recordings)),
        "seed": int(seed) if seed.isdigit() else seed,
        "anew": "anew" in asked,
        "parameters": _changed(definition, asked) if definition else {},
    }
    if asked.get("chain") == OWN:
        return {**values, "steps": _parsed(asked.get("steps", ""))}
    return {**values, "chain": asked.get("chain", "")}


def uuids(texts: list[str]) -> list[UUID]:
    """Return those of the texts that are ids, each once."""
    found = []
    for text in texts:
        try:
            found.append(UUID(text))
        except ValueError:
            continue
    return list(dict.fromkeys(found))


def _like(user: Any, text: str) -> Chain | None:
    ids = uuids([text])
    return selectors.chains(user).filter(pk=ids[0]).first() if ids else None


def _own(text: str) -> tuple[Definition | None, list[str]]:
    """Return an own chain as far as it is right, and what is wrong with it; nothing is wrong with none."""
    if not text.strip():
        return None, []
    try:
        return checked(definition_of(None, _parsed(text)), {}), []
    except Invalid as error:
        return None, [error.detail]


def _parsed(text: str) -> list[Any]:
    try:
        steps = json.loads(text)
    except ValueError as error:
        sentence = f"The steps are not JSON: {error}."
        raise Invalid(sentence, {"steps": [sentence]}) from error
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        sentence = "The steps are a list of objects."
        raise Invalid(sentence, {"steps": [sentence]})
    return steps


def _own_steps(chain: Chain) -> str:
    """Return the steps of a chain that is no built-in one as the text that makes it."""
    if chain.definition:
        return ""
    steps = []
    for step in chain.steps.all():
        inputs: list[dict[str, str]] = []
        for source in step.sources.all():
            one = {"kind": source.kind, **({"step": source.origin.name} if source.origin else {})}
            if one not in inputs:
                inputs.append(one)
        steps.append({"name": step.name, "pipeline": step.pipeline, "inputs": inputs})
    return "[\n  " + ",\n  ".join(json.dumps(step) for step in steps) + "\n]"


def _fitting(sessions: list[Session]) -> Definition:
    """Return the built-in chain that can be started on most of the sessions."""
    return max(BUILT_IN, key=lambda one: sum(not plan(one, session).problem for session in sessions))


def _rows(
    definition: Definition, sessions: list[Session], asked: QueryDict, like: Chain | None, *, named: bool
) -> list[dict[str, Any]]:
    """Return each session with what the chain would read there; those that were named are ticked where it can."""
    ticked = set(uuids(asked.getlist("session"))) if named else set()
    sources = [source for step in like.steps.all() for source in step.sources.all()] if like else []
    read = {source.recording_id for source in sources if source.recording_id is not None}
    rows = []
    for session in sessions:
        wanted = set(uuids(asked.getlist(f"recording-{session.pk}"))) | read
        laid = plan(definition, session, wanted)
        rows.append(
            {
                "session": session,
                "choices": laid.choices,
                "problem": laid.problem,
                # A choice of recordings may still make it fit.
                "startable": not laid.problem or all(choice.taken for choice in laid.choices if not choice.optional),
                "ticked": not laid.problem and (session.pk in ticked or like is not None),
            }
        )
    # What can be started comes first: a phone shows few of the rest, which only say what they lack.
    return sorted(rows, key=lambda row: not row["startable"])


def _fields(definition: Definition, asked: QueryDict, like: Chain | None) -> list[dict[str, Any]]:
    """Return each step with the inputs of its parameters."""
    kept = {step.name: step.parameters for step in like.steps.all()} if like else {}
    rows = []
    for step in definition.steps:
        pipeline = pipeline_of(step)
        values: Mapping[str, Any] = kept.get(step.name, step.parameters)
        if asked.get("filled") and f"of.{step.name}" in asked:
            values = forms.posted_parameters(pipeline, asked, _prefix(step.name))
        fields = forms.parameter_fields(pipeline, {**step.parameters, **values}, _prefix(step.name))
        rows.append({"step": step, "pipeline": pipeline, "fields": fields, "wrong": False})
    return rows


def _changed(definition: Definition, asked: QueryDict) -> dict[str, dict[str, Any]]:
    """Return by step the posted parameters that differ from the pipeline's usual ones.

    What is as usual is not said, so that what was drawn on a video, say, holds.
    """
    changed = {}
    for step in definition.steps:
        if f"of.{step.name}" not in asked:
            continue
        pipeline = pipeline_of(step)
        usual = {field.name: field.value for field in forms.parameter_fields(pipeline)}
        given = forms.posted_parameters(pipeline, asked, _prefix(step.name))
        told = {field.name: field.value for field in forms.parameter_fields(pipeline, given)}
        own = {name: value for name, value in given.items() if told[name] != usual[name] or name in step.parameters}
        if own:
            changed[step.name] = own
    return changed


def _prefix(step: str) -> str:
    return f"{step}.p."
