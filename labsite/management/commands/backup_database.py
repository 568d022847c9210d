"""`./lab manage backup_database FILE`."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from labsite.stack.backup import backup
from labsite.stack.home import HomeError


class Command(BaseCommand):
    help = "Write the whole database to one compressed file, while the laboratory runs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *_args: Any, file: Path, **_options: Any) -> None:
        try:
            size = backup(file)
        except HomeError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{file}: {size / 1e6:.1f} MB")
