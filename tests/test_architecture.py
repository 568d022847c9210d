"""Imports point one way; what a notebook or a Raspberry Pi runs knows no Django; what the project promises holds."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FRAMEWORK = {"django", "rest_framework", "channels", "celery", "redis", "psycopg"}

# folder or file -> top-level packages that it may not import
FORBIDDEN = {
    "sessions": {"cameras", "analysis"},
    "cameras": {"analysis"},
    "analysis/commands/declared.py": FRAMEWORK | {"labsite", "sessions", "cameras"},
    "analysis/commands/running.py": FRAMEWORK | {"labsite", "sessions", "cameras"},
    "analysis/methods": FRAMEWORK | {"labsite", "sessions", "cameras"},
    "analysis/readers": FRAMEWORK | {"labsite", "sessions"},
    "analysis/pipelines": FRAMEWORK | {"labsite", "sessions"},
    "analysis/export": FRAMEWORK | {"labsite", "sessions", "cameras"},
    "analysis/figures": FRAMEWORK | {"labsite", "sessions", "cameras"},
    "cameras/agent": FRAMEWORK | {"labsite", "sessions", "analysis"},
    "cameras/wire.py": FRAMEWORK | {"labsite", "sessions", "analysis"},
    "cameras/frametable.py": FRAMEWORK | {"labsite", "sessions", "analysis"},
    "sessions/formats.py": FRAMEWORK | {"labsite", "cameras", "analysis"},
}
# What every process reports through, and where Celery tasks hang: the only parts of the project that apps may name.
ALLOWED_OF_LABSITE = {"labsite.stack.alive", "labsite.celery"}


def modules(place: str) -> Iterator[Path]:
    path = ROOT / place
    yield from [path] if path.is_file() else sorted(path.rglob("*.py"))


def imported(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module


@pytest.mark.parametrize("place", FORBIDDEN)
def test_imports_point_one_way(place):
    paths = list(modules(place))
    assert paths
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in paths
        for line, name in imported(path)
        if name.split(".")[0] in FORBIDDEN[place]
    ]
    assert wrong == []


def test_apps_import_nothing_of_the_project_but_settings():
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for place in ("sessions", "cameras", "analysis")
        for path in modules(place)
        for line, name in imported(path)
        if name.split(".")[0] == "labsite" and name not in ALLOWED_OF_LABSITE
    ]
    assert wrong == []


def tracked_files() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_locks_name_no_host_and_hash_everything():
    for name in ("requirements.lock", "requirements-test.lock", "analysis/export/requirements.lock"):
        text = (ROOT / name).read_text()
        assert "://" not in text
        requirements = re.findall(r"^[a-z0-9].*==", text, flags=re.MULTILINE)
        assert len(requirements) > 10
        assert text.count("--hash=sha256:") >= len(requirements)


def test_nothing_is_left_unfinished():
    marks = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked_files()
        if path.suffix in {".py", ".js", ".css", ".html"}
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if marks.search(line)
    ]
    assert wrong == []


def test_pages_load_nothing_from_elsewhere():
    # The strict Content-Security-Policy would block it in the browser; here it is named with its line.
    outside = re.compile(
        r"""(?:src|href)=["']https?://|<script(?![^>]*\bsrc=)(?![^>]*type="application/json")|\son\w+="""
    )
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in (ROOT / "templates").rglob("*.html")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if outside.search(line)
    ]
    assert wrong == []


def test_no_markup_is_written_where_only_text_may_stand():
    """In an attribute its quotes end the value, and what follows shows on the page; an option drops it."""
    markup = re.compile(r"\|(lab_time|lab_time_long|iso_time)\b(?!_plain)")
    text_only = re.compile(r'[\w-]="([^"]*)"|<option[^>]*>(.*?)</option>', re.DOTALL)
    found = []
    for path in sorted((ROOT / "templates").rglob("*.html")):
        page = re.sub(r"\{%.*?%\}", "", path.read_text())
        for place in text_only.finditer(page):
            found += [f"{path.name}: {place[0]}"] if markup.search(place[1] or place[2] or "") else []
    assert found == []


@pytest.mark.django_db
def test_migrations_are_complete():
    from django.core.management import call_command

    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_modules_of_the_browser_do_not_import_each_other():
    # They are served under hashed names; a relative import would ask for a name that is not there.
    wrong = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "static/js").rglob("*.js")
        if re.search(r"""^\s*(?:import|export)\b[^;(]*["']\.""", path.read_text(), flags=re.MULTILINE)
    ]
    assert wrong == []
