"""`./lab manage import_alyx FILE [--project NAME] [--time-zone ZONE] [--report FILE] [--check]`."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import pghistory
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from sessions.alyx.dump import IMPORTED, MERGED, REFUSED, Report, read_dump
from sessions.alyx.taking import Taking
from sessions.errors import LabError
from sessions.permissions import LABORATORY
from sessions.sheets.files import write_csv

REASONS_SHOWN = 12


class Command(BaseCommand):
    help = "Take the animals and sessions of an Alyx dump (JSON, may be gzipped), all in one transaction."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--by", metavar="USER", help="whose name and role the writes have (the laboratory's)")
        parser.add_argument("--project", default="", help="where animals without a project go (the dump's laboratory)")
        parser.add_argument("--time-zone", default="", help="of times without one (that of the dump's laboratory)")
        parser.add_argument("--report", type=Path, help="a CSV file that tells of every record")
        parser.add_argument("--check", action="store_true", help="write nothing, only say what would be")

    def handle(self, *_args: Any, file: Path, by: str | None, report: Path | None, **options: Any) -> None:
        user: Any = LABORATORY
        if by is not None:
            user = get_user_model().objects.filter(username=by, is_active=True).first()
            if user is None:
                raise CommandError(f"There is no active user {by!r}.")
        try:
            taking = Taking(
                read_dump(file), by=user, project=options["project"], time_zone=options["time_zone"]
            )  # fmt: skip
            who = {} if user is LABORATORY else {"user": user.pk}
            with pghistory.context(url=f"Alyx dump {file.name}", **who), transaction.atomic():
                told = taking.take()
                transaction.set_rollback(options["check"])
        except LabError as error:
            raise CommandError(error.detail) from error
        self._summary(told)
        self.stdout.write(f"Times without a zone were taken as of {taking.zone.key}.")
        if report is not None:
            try:
                report.write_bytes(write_csv(["model", "key", "name", "outcome", "reason"], told.rows()))
            except OSError as error:
                raise CommandError(f"{report} cannot be written: {error.strerror}.") from error
            self.stdout.write(f"{report} tells of every record.")
        if options["check"]:
            self.stdout.write("This was a check; nothing was written.")

    def _summary(self, told: Report) -> None:
        counts = told.counts()
        width = max(len(model) for model in counts)
        self.stdout.write(f"{'':{width}} {IMPORTED:>9} {MERGED:>7} {REFUSED:>8}")
        for model, found in counts.items():
            self.stdout.write(f"{model:{width}} {found[IMPORTED]:9} {found[MERGED]:7} {found[REFUSED]:8}")
        refused = [entry for entry in told.entries if entry.outcome == REFUSED]
        for entry in refused[:REASONS_SHOWN]:
            self.stdout.write(f"refused: {entry.record.model} {entry.record.name}: {entry.reason}")
        if len(refused) > REASONS_SHOWN:
            self.stdout.write(f"... and {len(refused) - REASONS_SHOWN} more; --report FILE tells of all.")
