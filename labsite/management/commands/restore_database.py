"""`./lab manage restore_database FILE`."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from labsite.stack.backup import restore
from labsite.stack.home import HomeError


class Command(BaseCommand):
    help = "Fill the database of a LAB_HOME that was never started from a file of backup_database."
    # The tables that the checks look at come only now.
    requires_system_checks: list[str] = []
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *_args: Any, file: Path, **_options: Any) -> None:
        try:
            restore(file)
        except HomeError as error:
            raise CommandError(str(error)) from error
        self.stdout.write("The database is restored; ./lab up starts the laboratory on it.")
