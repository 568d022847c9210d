"""A bundle has all that draws the figures of a result again, and the same result gives the same bytes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from analysis.export.bundle import write_bundle
from labsite.stack.environment import pip_options, uv_environment

ROOT = Path(__file__).resolve().parents[2]
FOLDER = "decode.position-1a2b3c4d"


@pytest.fixture
def unpacked(tmp_path, drawn_result) -> Path:
    """The folder of a result, out of its ZIP."""
    write_bundle(tmp_path / "one.zip", [drawn_result])
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        archive.extractall(tmp_path / "taken home")
    return tmp_path / "taken home" / FOLDER


def test_a_bundle_has_data_code_versions_and_words(unpacked):
    assert sorted(path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()) == [
        "README.md",
        "SHA256SUMS",
        "artifacts/permutations.csv",
        "data/figure-1-posterior.json",
        "data/figure-2-speed.json",
        "drawn/figure-1-posterior.svg",
        "drawn/figure-2-speed.svg",
        "environment.txt",
        "figures.ipynb",
        "figures/__init__.py",
        "figures/colours.py",
        "figures/paper.py",
        "figures/spec.py",
        "methods.txt",
        "numbers.json",
        "provenance.json",
        "requirements.txt",
    ]
    readme = (unpacked / "README.md").read_text()
    assert "| median error | 4.2 cm | of all \\| bins |" in readme
    assert "2. Speed and lost frames: Running speed of 160 samples" in readme
    assert json.loads((unpacked / "provenance.json").read_text())["seed"] == 7
    assert (unpacked / "environment.txt").read_text() == "# Python 3.12.1 on Linux\nnumpy==2.4.6\nscipy==1.17.0\n"
    sums = dict(reversed(line.split("  ")) for line in (unpacked / "SHA256SUMS").read_text().splitlines())
    assert len(sums) == 16
    for name, digest in sums.items():
        assert hashlib.sha256((unpacked / name).read_bytes()).hexdigest() == digest, name


def test_its_notebook_has_the_figures_in_their_order(unpacked):
    notebook = nbformat.read(unpacked / "figures.ipynb", as_version=4)
    nbformat.validate(notebook)
    text = "\n".join(cell.source for cell in notebook.cells)
    order = [text.index(part) for part in (
        "# decode.position 3", "## Figure 1. Posterior", 'draw("figure-1-posterior")', "## Figure 2. Speed",
        'draw("figure-2-speed")',
    )]  # fmt: skip
    assert order == sorted(order)


def test_its_code_draws_where_there_is_nothing_of_the_site(unpacked):
    # -I: neither the project nor what a user has set is on the path.
    program = """
import json, sys
from pathlib import Path
sys.path.insert(0, ".")
from figures.paper import render
from figures.spec import Figure
for data in Path("data").iterdir():
    drawn = render(Figure.from_json(json.loads(data.read_text())), "svg")
    assert drawn == Path("drawn", data.stem + ".svg").read_bytes(), data.name
assert not {name.partition(".")[0] for name in sys.modules} & {"analysis", "django", "labsite"}
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], cwd=unpacked, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_same_result_is_the_same_bundle_to_the_byte(tmp_path, drawn_result):
    write_bundle(tmp_path / "one.zip", [drawn_result])
    moved = tmp_path / "moved"
    shutil.copytree(drawn_result.figures[0].data.parent, moved)
    figures = [replace(f, data=moved / f.data.name, drawn=moved / f.drawn.name) for f in drawn_result.figures]
    artifacts = {name: moved / path.name for name, path in drawn_result.artifacts.items()}
    for path in moved.iterdir():
        # Neither when a file was made nor where it lay is in the bundle.
        os.utime(path, (1e9, 1e9))
    write_bundle(tmp_path / "two.zip", [replace(drawn_result, figures=tuple(figures), artifacts=artifacts)])
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_several_results_stand_side_by_side(tmp_path, drawn_result):
    results = [replace(drawn_result, folder=name) for name in ("01-first", "02-second")]
    write_bundle(tmp_path / "both.zip", results)
    with zipfile.ZipFile(tmp_path / "both.zip") as archive:
        names = archive.namelist()
        assert "[02-second](02-second/README.md)" in archive.read("README.md").decode()
    assert {name.partition("/")[0] for name in names} == {"README.md", "01-first", "02-second"}
    with pytest.raises(ValueError, match="same folder"):
        write_bundle(tmp_path / "clash.zip", [results[0], results[0]])


def test_its_requirements_are_versions_of_the_site_and_name_no_host():
    lock = re.compile(r"^([a-z0-9.-]+==[^ ]+)", re.MULTILINE)
    text = (ROOT / "analysis/export/requirements.lock").read_text()
    assert "://" not in text
    ours = set(lock.findall(text))
    assert text.count("--hash=sha256:") >= len(ours) > 30
    site = {
        pin
        for name in ("requirements.lock", "requirements-test.lock")
        for pin in lock.findall((ROOT / name).read_text())
    }
    # What another system alone needs is in no lock of the site.
    assert {pin.partition("==")[0] for pin in ours - site} <= {"appnope", "nest-asyncio2"}
    assert {"matplotlib", "numpy", "nbclient", "ipykernel"} <= {pin.partition("==")[0] for pin in ours}


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_notebook_draws_the_same_figures_in_an_empty_environment(unpacked, tmp_path):
    environment = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / "bin" / "python"
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    uv = Path(sys.prefix) / "bin" / "uv"
    installer = (
        [str(uv), "pip", "install", "--python", str(python)] if uv.exists() else [str(python), "-m", "pip", "install"]
    )
    subprocess.run(
        [*installer, "--require-hashes", "-r", "requirements.txt"],
        cwd=unpacked,
        env={**os.environ, **uv_environment(pip_options(listed.stdout))},
        check=True,
        capture_output=True,
        text=True,
    )
    installed = subprocess.run([str(python), "-c", "import django"], capture_output=True, check=False)
    assert installed.returncode, "the environment is not an empty one"
    done = subprocess.run(
        [str(environment / "bin" / "jupyter"), "execute", "--inplace", "figures.ipynb"],
        cwd=unpacked,
        env={"PATH": f"{environment / 'bin'}:/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for then in sorted((unpacked / "drawn").iterdir()):
        assert then.read_bytes() == (unpacked / "drawn-here" / then.name).read_bytes(), then.name
        assert (unpacked / "drawn-here" / f"{then.stem}.pdf").read_bytes().startswith(b"%PDF")
    notebook = nbformat.read(unpacked / "figures.ipynb", as_version=4)
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/svg+xml" in output.get("data", {}) for output in shown) == 2
    said = "".join(output.get("text", "") for output in shown)
    assert said.count("the same to the byte") == 2
    assert "median error: 4.2 cm" in said
