"""Registered commands as pipelines: those that can be queued now, and any version by its number."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from analysis.commands.models import Command
from analysis.commands.running import CommandPipeline
from analysis.pipelines.registry import COMMANDS


def newest() -> QuerySet[Command]:
    """Return the newest version of each command, by name; also of those that were retired."""
    return Command.objects.select_related("created_by").order_by("name", "-version").distinct("name")


def offered() -> list[Command]:
    """Return the newest version of each command that is in use."""
    return [command for command in newest() if command.retired is None]


def stated(command: Command) -> dict[str, Any]:
    """Return a command as plain values, from which the process of a job makes the pipeline again."""
    return {
        "name": command.pipeline,
        "version": str(command.version),
        "summary": command.summary,
        "queue": command.queue,
        "declaration": command.declaration,
        "files": command.files,
    }


def pipeline_of(command: Command) -> CommandPipeline:
    """Return a command as a pipeline."""
    return CommandPipeline(stated(command))


def find(pipeline: str, version: str = "") -> Command | None:
    """Return the command of a pipeline's name: the version asked for, or the newest; ``None`` where there is none."""
    if not pipeline.startswith(COMMANDS):
        return None
    rows = Command.objects.filter(name=pipeline.removeprefix(COMMANDS))
    if version:
        return rows.filter(version=int(version)).first() if version.isascii() and version.isdigit() else None
    return rows.order_by("-version").first()
