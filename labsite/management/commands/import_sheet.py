"""`./lab manage import_sheet KIND FILE --by USER [--write]`."""

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pghistory
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from sessions.errors import LabError
from sessions.services.sheets import carry_out, count
from sessions.sheets.base import SAME, WRONG, Verdict
from sessions.sheets.kinds import KINDS


class Command(BaseCommand):
    help = "Say what every line of a CSV or XLSX file would do in the catalog; with --write do it, all or nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("kind", choices=KINDS, help="what the lines of the file are")
        parser.add_argument("file", type=Path)
        parser.add_argument("--by", required=True, metavar="USER", help="whose name and role the writes have")
        parser.add_argument("--write", action="store_true", help="write it when no line is wrong")

    def handle(self, *_args: Any, kind: str, file: Path, by: str, write: bool, **_options: Any) -> None:
        user = get_user_model().objects.filter(username=by, is_active=True).first()
        if user is None:
            raise CommandError(f"There is no active user {by!r}.")
        try:
            content = file.read_bytes()
            with pghistory.context(user=user.pk, url=f"spreadsheet {file.name}"):
                verdicts, written = carry_out(by=user, kind=kind, name=file.name, content=content, write=write)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from error
        except LabError as error:
            raise CommandError(error.detail) from error
        self._report(verdicts)
        counts = count(verdicts)
        self.stdout.write(", ".join(f"{number} {verdict}" for verdict, number in counts.items()))
        if counts[WRONG]:
            raise CommandError(f"{counts[WRONG]} lines are wrong; nothing was written.")
        self.stdout.write("All of it was written." if written else "Nothing was written; add --write to write it.")

    def _report(self, verdicts: Sequence[Verdict]) -> None:
        for verdict in verdicts:
            if verdict.kind != SAME:
                details = "; ".join(verdict.details)
                about = " ".join(part for part in (verdict.kind, verdict.about) if part)
                self.stdout.write(f"line {verdict.line}: {about}{': ' if details else ''}{details}")
