"""What changes commands: register a version, retire one, bring it back. Administrators only."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from analysis.commands.declared import Declaration, declared
from analysis.commands.models import Command
from analysis.jobs.inputfiles import sha256_of
from sessions.errors import Conflict, Forbidden, Invalid
from sessions.permissions import RANK, rank_in

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,47}")
_QUEUE = re.compile(r"[a-z][a-z0-9_-]{0,19}")


def require_administrator(user: Any) -> None:
    """Raise ``Forbidden`` for everybody else: a command runs with all rights of the worker."""
    if rank_in(user, None) < RANK["administrator"]:
        raise Forbidden("Only an administrator registers commands, since they run with all rights of the worker.")


def register(*, by: Any, name: str, summary: str, declaration: Mapping[str, Any], queue: str = "cpu") -> Command:
    """Register a command, or the next version of it; the newest version is what is queued from now on.

    The files that its arguments name are hashed, where they are on this machine; a worker refuses to run others.
    ``Invalid`` names what is wrong, ``Conflict`` says that the newest version is just this.
    """
    require_administrator(by)
    checked = check(name=name, summary=summary, declaration=declaration, queue=queue)
    values = {
        "summary": summary.strip(),
        "queue": queue,
        "declaration": checked.model_dump(mode="json"),
        "files": _files(checked),
    }
    last = Command.objects.filter(name=name).order_by("-version").first()
    if last and last.retired is None and all(getattr(last, field) == value for field, value in values.items()):
        raise Conflict(f"{last} is just this already.")
    number = (Command.objects.filter(name=name).aggregate(last=Max("version"))["last"] or 0) + 1
    try:
        with transaction.atomic():
            command = Command.objects.create(name=name, version=number, created_by=_person(by), **values)
    except IntegrityError as error:
        raise Conflict(
            f"Somebody else registered version {number} of {name} at this moment; look at it first."
        ) from error
    command.refresh_from_db()
    return command


def check(*, name: str, summary: str, declaration: Mapping[str, Any], queue: str = "cpu") -> Declaration:
    """Return the checked declaration; ``Invalid`` names the field that is wrong."""
    if not _NAME.fullmatch(name):
        raise _invalid("name", "The name is small letters, digits, hyphens and underscores, at most 48.")
    if not 0 < len(summary.strip()) <= 300:  # noqa: PLR2004 - of the column
        raise _invalid("summary", "Say in one sentence of at most 300 characters what it does.")
    if not _QUEUE.fullmatch(queue):
        raise _invalid("queue", "The queue is one that workers serve, such as cpu or gpu.")
    try:
        return declared(declaration)
    except ValueError as error:
        raise _invalid("declaration", str(error)) from error


def retire(*, by: Any, command: Command) -> Command:
    """Take a version out of use: it cannot be queued, and what waits for it fails with a sentence."""
    require_administrator(by)
    if command.retired is not None:
        raise Conflict(f"{command} is out of use already.")
    command.retired = timezone.now()
    command.save(update_fields=["retired"])
    return command


def bring_back(*, by: Any, command: Command) -> Command:
    """Put a version into use again."""
    require_administrator(by)
    if command.retired is None:
        raise Conflict(f"{command} is in use.")
    command.retired = None
    command.save(update_fields=["retired"])
    return command


def _files(declaration: Declaration) -> dict[str, str]:
    """Return the hashes of files that arguments name; of the program where it is its own text and no interpreter."""
    named = [Path(argument) for argument in declaration.argv[1:] if argument.startswith("/")]
    scripts = [path for path in named if path.is_file()]
    program = Path(declaration.argv[0])
    if not scripts and program.is_absolute() and program.is_file():
        scripts = [program]
    try:
        return {str(path): sha256_of(path) for path in scripts}
    except OSError as error:
        raise _invalid("declaration", f"The file {error.filename} cannot be read: {error.strerror}.") from error


def _person(by: Any) -> Any:
    return by if getattr(by, "pk", None) else None


def _invalid(field: str, sentence: str) -> Invalid:
    return Invalid(sentence, {field: [sentence]})
