"""The linter, the formatter and the type checker find nothing, with the settings of ``pyproject.toml``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def said_by(*arguments: str) -> str:
    """What a tool of the environment complains of in the whole tree; nothing when it is content."""
    found = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=280
    )
    return found.stdout + found.stderr if found.returncode else ""


def test_the_linter_finds_nothing():
    assert said_by("ruff", "check", "--no-cache", "--output-format", "concise", ".") == ""


def test_everything_is_formatted():
    assert said_by("ruff", "format", "--no-cache", "--check", ".") == ""


@pytest.mark.long
def test_the_types_fit(tmp_path: Path):
    assert said_by("mypy", "--cache-dir", str(tmp_path)) == ""
