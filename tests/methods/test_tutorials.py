"""The tutorials run from the first cell to the last where there is no Django, and say and draw what they promise."""

from __future__ import annotations

import os
import re
from pathlib import Path

import nbformat
import pytest

from tests.data import SHARED

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "tutorials"
# Whatever a cell imports: what serves pages, jobs and the catalog is not there.
REFUSED = """
import sys

class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"django", "celery", "redis", "psycopg", "channels", "sessions", "cameras"}:
            raise ImportError(f"{name} is not here")

sys.meta_path.insert(0, Refused())
"""
# The drawings that each shows, and what it has found when it has run.
TUTORIALS = {
    "1-voltage-to-spikes": (4, r"\d[\d.]*% of the true spikes hit"),
    "2-units-to-path": (3, r"p = 0\.01 with 99 shifts"),
    "3-odours-to-lag": (3, r"lag \d+ degrees, .* the truth is 100"),
    "4-video-to-position": (2, r"lost in 100% of the frames without it"),
}


def run(name: str) -> nbformat.NotebookNode:
    """Run a notebook in a kernel of its own and return it with what it showed."""
    from nbclient import NotebookClient

    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(REFUSED))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LAB_TUTORIAL_DATA": str(SHARED)}
    client = NotebookClient(notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(FOLDER)}})
    client.execute(env=environment)
    return notebook


def check(name: str) -> None:
    """Run a tutorial; every cell's own assertions hold, and it shows what it should."""
    drawings, said = TUTORIALS[name]
    notebook = run(name)
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/svg+xml" in output.get("data", {}) for output in shown) == drawings
    text = "".join(output.get("text", "") for output in shown if output.output_type == "stream")
    assert re.search(said, text), text


def test_every_tutorial_is_known_to_the_tests_and_to_who_reads_on():
    there = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    assert there == sorted(TUTORIALS)
    readme = (ROOT / "README.md").read_text()
    for name in there:
        assert f"docs/tutorials/{name}.ipynb" in readme
        notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
        nbformat.validate(notebook)
        # A sentence before every drawing, no outputs of somebody's machine in the repository.
        assert notebook.cells[0].cell_type == "markdown"
        assert not any(cell.get("outputs") for cell in notebook.cells)
        text = "".join(cell.source for cell in notebook.cells)
        for link in re.findall(r"\]\(([^)]+\.ipynb)\)", text):
            assert (FOLDER / link).is_file(), link


def test_the_odours_are_told_apart():
    check("3-odours-to-lag")


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", sorted(set(TUTORIALS) - {"3-odours-to-lag"}))
def test_a_tutorial_runs_to_its_end(name):
    check(name)
