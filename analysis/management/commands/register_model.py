"""Register a model for ``video.model``: ``./lab manage register_model eye eye.onnx eye.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from analysis.pipelines.base import PipelineError
from analysis.readers.models import register_model


class Command(BaseCommand):
    help = "Register an ONNX model with its description (JSON: input, output), and print its SHA-256."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the name that jobs ask for, the model and the description."""
        parser.add_argument("name")
        parser.add_argument("model", type=Path)
        parser.add_argument("description", type=Path)

    def handle(self, *_args: Any, **options: Any) -> None:
        """Check and copy both files."""
        try:
            digest = register_model(
                Path(settings.LAB_MODELS), options["name"], options["model"], options["description"]
            )
        except PipelineError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"registered {options['name']}: SHA-256 {digest}")
