"""`./lab manage export_sheet KIND FILE [--by USER] [--project NAME]`."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from sessions.errors import LabError
from sessions.permissions import LABORATORY, projects_for
from sessions.sheets.files import format_of
from sessions.sheets.kinds import KINDS, export


class Command(BaseCommand):
    help = "Write animals, sessions or events to a CSV or XLSX file that imports again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("kind", choices=KINDS)
        parser.add_argument("file", type=Path)
        parser.add_argument("--by", metavar="USER", help="only what this user may see")
        parser.add_argument("--project", metavar="NAME", help="only what is of this project")

    def handle(self, *_args: Any, kind: str, file: Path, by: str | None, project: str | None, **_options: Any) -> None:
        user: Any = LABORATORY
        if by is not None:
            user = get_user_model().objects.filter(username=by, is_active=True).first()
            if user is None:
                raise CommandError(f"There is no active user {by!r}.")
        filters = {}
        if project is not None:
            found = projects_for(user).filter(name=project).first()
            if found is None:
                raise CommandError(f"There is no project {project!r}.")
            filters["project"] = found
        try:
            file.write_bytes(export(user, kind, format_of(file.name), filters))
        except OSError as error:
            raise CommandError(f"{file} cannot be written: {error.strerror}.") from error
        except LabError as error:
            raise CommandError(error.detail) from error
        self.stdout.write(f"{file}: {file.stat().st_size / 1000:.0f} kB")
