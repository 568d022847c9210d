"""What can be queued here: the pipelines of packages, and the commands that an administrator registered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from analysis.commands import selectors as commands
from analysis.pipelines import registry
from analysis.pipelines.base import Pipeline


@dataclass(frozen=True)
class Offered:
    """A pipeline with where it comes from, in words and by its place there; ``own`` is what is not Labsite's."""

    pipeline: Pipeline
    origin: str
    target: str
    own: bool


def everything() -> Iterator[Offered]:
    """Yield all that can be queued, by name: one query."""
    found = [
        Offered(offer.pipeline, str(offer.origin), offer.origin.target, offer.origin.package != registry.LABSITE)
        for offer in registry.found().offers.values()
    ]
    for command in commands.offered():
        by = command.created_by.get_username() if command.created_by else "an administrator"
        made = f"command registered by {by}"
        # Where things lie on the server is for administrators.
        runs = " ".join(argument.rpartition("/")[2] for argument in command.declaration["argv"])
        found.append(Offered(commands.pipeline_of(command), made, runs, own=True))
    yield from sorted(found, key=lambda one: one.pipeline.name)


def all_pipelines() -> dict[str, Pipeline]:
    """Return all that can be queued, by name."""
    return {one.pipeline.name: one.pipeline for one in everything()}


def get(name: str, version: str = "") -> Pipeline:
    """Return what is queued under a name; ``UnknownPipelineError`` lists the names there are.

    Every version of a command is there for ever: ``version`` asks for one rather than for the newest. Of a pipeline in
    a package there is only what is installed, whatever was asked for.
    """
    if not name.startswith(registry.COMMANDS):
        return registry.get(name)
    command = commands.find(name, version)
    if version and command is not None and command.retired is not None:
        raise registry.UnknownPipelineError(f"{command} was taken out of use by an administrator.")
    if command is None or command.retired is not None:
        there = ", ".join(all_pipelines())
        raise registry.UnknownPipelineError(f"There is no pipeline {name!r}; there are {there}.")
    return commands.pipeline_of(command)


def known(name: str, version: str = "") -> Pipeline | None:
    """Return what a job was or will be computed by, as far as it is known here: of a command just that version."""
    if command := commands.find(name, version):
        return commands.pipeline_of(command)
    return registry.all_pipelines().get(name)


def in_words(pipeline: Pipeline, parameters: Mapping[str, Any] | None = None) -> str:
    """Return how a pipeline computes: in its own sentences on these ``parameters``, where it has any.

    Otherwise in one sentence: what its class says; of a command, what was said of it.
    """
    if parameters is not None and (said := sentences(pipeline, parameters)):
        return said
    if pipeline.name.startswith(registry.COMMANDS):
        return pipeline.summary
    return " ".join((type(pipeline).__doc__ or "").partition("\n\n")[0].split())


def sentences(pipeline: Pipeline, parameters: Mapping[str, Any]) -> str:
    """Return what a pipeline says itself of computing with these ``parameters``; empty where it says nothing."""
    with suppress(ValidationError):
        return pipeline.methods(pipeline.parameters.model_validate(parameters))
    return ""
