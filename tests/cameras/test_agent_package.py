"""The agent as a box installs it: the same source, its own few dependencies, and no Django."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.cameras.conftest import make_catalog
from tests.cameras.laboratory import ROOT, Laboratory, wait_for

DEPENDENCIES = re.compile(r"[A-Za-z0-9-]+")


def test_the_agent_needs_what_the_project_locks() -> None:
    project, agent = (
        tomllib.loads((ROOT / path).read_text())["project"] for path in ("pyproject.toml", "box-agent/pyproject.toml")
    )
    assert set(agent["dependencies"]) <= set(project["dependencies"])
    assert agent["version"] == project["version"]
    assert agent["requires-python"] == project["requires-python"]


def link(name: str, into: Path) -> None:
    """Let a bare environment have one distribution of this one, and nothing else."""
    found = distribution(name)
    for top in {file.parts[0] for file in found.files or [] if file.parts[0] != ".."}:
        (into / top).symlink_to(str(found.locate_file(top)))


@pytest.mark.long
def test_installed_in_an_environment_without_django_it_sends_pictures(laboratory: Laboratory, tmp_path: Path) -> None:
    source, box = tmp_path / "source", tmp_path / "box"
    for folder in ("cameras", "box-agent"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheel = ["wheel", "--no-index", "--no-deps", "--no-build-isolation", "-w", str(tmp_path / "wheels")]
    subprocess.run([*pip, *wheel, str(source / "box-agent")], check=True, timeout=120)
    venv.create(box, with_pip=False, symlinks=True)
    packages = next((box / "lib").glob("python3*")) / "site-packages"
    for requirement in tomllib.loads((ROOT / "box-agent/pyproject.toml").read_text())["project"]["dependencies"]:
        link(DEPENDENCIES.match(requirement)[0], packages)  # type: ignore[index]
    install = ["--python", str(box / "bin" / "python"), "install", "--no-index", "--no-deps"]
    subprocess.run([*pip, *install, *map(str, (tmp_path / "wheels").iterdir())], check=True, timeout=120)

    clean = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    program = [str(box / "bin" / "labsite-agent")]
    inside = subprocess.run(
        [str(box / "bin" / "python"), "-c", "import cameras.agent.__main__ as agent; print(agent.__file__)"],
        cwd=tmp_path, env=clean, capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip
    assert inside.strip().startswith(str(box))
    django = subprocess.run(
        [str(box / "bin" / "python"), "-c", "import django"],
        cwd=tmp_path, env=clean, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert b"No module named 'django'" in django.stderr

    catalog = make_catalog(cameras=1)
    camera = catalog.cameras[0]
    (tmp_path / "token").write_text(catalog.tokens[0])
    url = ["--url", laboratory.ingest_url(camera.slug), "--token-file", str(tmp_path / "token")]
    laboratory.environment, before = {**clean, "PYTHONUNBUFFERED": "1"}, laboratory.environment
    try:
        laboratory.run("agent-installed", [*program, *url, "--source", "sim:", "--spool", str(tmp_path / "spool")])
    finally:
        laboratory.environment = before
    wait_for(lambda: laboratory.state(camera.slug).get("fps"), "picture of the installed agent")
