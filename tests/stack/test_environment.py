"""The environment that `./lab` makes: from hashes, from the index that pip is told of, whole even when interrupted."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from labsite.stack import environment as subject
from labsite.stack.environment import EnvironmentFailureError, ensure, pip_options, uv_environment
from tests.stack.laboratory import ROOT, environment
from tests.waiting import until


def wheel(folder: Path, name: str, version: str) -> str:
    """Make a package with one module in `folder`; returns its line for a lock."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"version = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{file},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},"
        f"{len(text)}\n"
        for file, text in files.items()
    )
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**files, f"{info}/RECORD": record + f"{info}/RECORD,,\n"}.items():
            archive.writestr(file, text)
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose locks name tiny packages, with an index that is one folder: no network is needed or used."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    root = tmp_path / "project"
    root.mkdir()
    shutil.copy(ROOT / "lab", root / "lab")
    (root / subject.LOCK).write_text(wheel(wheels, "cortex", "1.0"))
    (root / subject.TEST_LOCK).write_text(wheel(wheels, "probe", "2.0"))
    (root / subject.UV_LOCK).write_text("uv==0.0.1 --hash=sha256:" + "0" * 64 + "\n")
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_", "LAB_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    return root


def imported(python: Path, module: str) -> str:
    """Version that a module of the environment says, empty where it is not there."""
    program = f"import {module}; print({module}.version)"
    return subprocess.run([python, "-c", program], capture_output=True, text=True, check=False).stdout.strip()


@pytest.mark.long
def test_pip_makes_it_where_uv_cannot_be_had(project, capsys):
    python = ensure(project, tests=False)
    assert python == project / ".venv" / "bin" / "python"
    assert imported(python, "cortex") == "1.0"
    assert imported(python, "probe") == ""
    said = capsys.readouterr().out
    assert "uv cannot be had" in said
    assert "with pip" in said
    assert "The environment is ready" in said

    # The second start does nothing, and says nothing.
    ensure(project, tests=False)
    assert capsys.readouterr().out == ""

    ensure(project, tests=True)
    assert imported(python, "probe") == "2.0"

    # A changed lock is installed, into what is there.
    (project / subject.LOCK).write_text(wheel(project.parent / "wheels", "cortex", "1.1"))
    ensure(project, tests=False)
    assert imported(python, "cortex") == "1.1"


def test_uv_gets_the_packages_from_where_pip_would(project, capsys):
    uv = Path(sys.prefix) / "bin" / "uv"
    if not uv.exists():
        pytest.skip("this environment was made without uv")
    (project / subject.UV_LOCK).unlink()
    venv = project / ".venv"
    subprocess.run([sys._base_executable, "-m", "venv", str(venv)], check=True)
    (venv / "bin" / "uv").symlink_to(uv)
    python = ensure(project, tests=False)
    assert imported(python, "cortex") == "1.0"
    assert "with uv" in capsys.readouterr().out
    assert "cortex==1.0" in (venv / "install.log").read_text()


def test_a_package_that_is_not_the_locked_one_is_refused(project):
    wheel(project.parent / "wheels", "cortex", "1.0")
    lock = (project / subject.LOCK).read_text()
    (project / subject.LOCK).write_text(lock.replace("sha256:", "sha256:0000")[: len(lock) - 1])
    with pytest.raises(EnvironmentFailureError, match=r"pip failed: .*(hash|HASH)"):
        ensure(project, tests=False)
    assert imported(project / ".venv" / "bin" / "python", "cortex") == ""


@pytest.mark.long
def test_what_was_interrupted_is_done_anew(project):
    venv = project / ".venv"
    python = ensure(project, tests=False)
    # As if it had been cut off while it was installing: half a package, and the mark that work is going on.
    (venv / ".unfinished").touch()
    (venv / f".installed-{subject.LOCK}").unlink()
    module = next(venv.glob("lib/python*/site-packages/cortex.py"))
    module.write_text("vers")
    assert ensure(project, tests=False) == python
    assert imported(python, "cortex") == "1.0"
    assert not (venv / ".unfinished").exists()


@pytest.mark.long
def test_one_whose_python_is_gone_is_made_anew(project):
    python = ensure(project, tests=False)
    for link in python.parent.glob("python*"):
        link.unlink()
    python.symlink_to("/nonexistent/python3")
    ensure(project, tests=False)
    assert imported(python, "cortex") == "1.0"


def test_a_folder_that_is_no_environment_is_left_alone(project):
    (project / ".venv").mkdir()
    (project / ".venv" / "thesis.txt").write_text("years of work")
    with pytest.raises(EnvironmentFailureError, match="is no Python environment"):
        ensure(project, tests=False)
    assert (project / ".venv" / "thesis.txt").read_text() == "years of work"


@pytest.mark.long
def test_two_at_once_take_turns(project):
    program = "import sys; from pathlib import Path; from labsite.stack.environment import ensure\n"
    program += "print(ensure(Path(sys.argv[1]), tests=False))"
    command = [sys.executable, "-c", program, str(project)]
    own = {name: os.environ[name] for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_CONFIG_FILE")}
    shell = {**environment(PYTHONPATH=str(ROOT)), **own}
    shell.pop("LAB_VENV")
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=shell) for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted("Making" in output for output in outputs) == [False, True]
    assert sum("waiting for it" in output for output in outputs) == 1
    assert imported(project / ".venv" / "bin" / "python", "cortex") == "1.0"


@pytest.mark.long
def test_ctrl_c_while_it_installs_leaves_what_the_next_start_repairs(project):
    (project / "labsite").symlink_to(ROOT / "labsite")
    own = {name: os.environ[name] for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_CONFIG_FILE")}
    shell = {**environment(), **own}
    shell.pop("LAB_VENV")
    program = "import signal, sys; from pathlib import Path; from labsite.stack import environment as e\n"
    # A suite that runs in the background of a shell inherits that Ctrl-C is ignored.
    program += "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    program += "try: e.ensure(Path(sys.argv[1]), tests=False)\nexcept KeyboardInterrupt: sys.exit(130)"
    shell["PYTHONPATH"] = str(ROOT)
    running = subprocess.Popen([sys.executable, "-c", program, str(project)], env=shell)
    until((project / ".venv" / "pyvenv.cfg").exists, 60, "the environment to be begun")
    running.send_signal(signal.SIGINT)
    assert running.wait(30) == 130
    assert (project / ".venv" / ".unfinished").exists()
    assert imported(ensure(project, tests=False), "cortex") == "1.0"


def test_pips_configuration_is_read_in_its_order():
    listed = (
        ":env:.index-url='https://env.example/simple'\n"
        "global.index-url='https://global.example/simple'\n"
        "global.extra-index-url='https://a.example/simple\\nhttps://b.example/simple'\n"
        "install.no-index='true'\n"
        "global.find-links='/one /two'\n"
        "global.proxy='http://proxy.example:3128'\n"
        "download.index-url='https://other.example'\n"
        "nonsense\n"
    )
    options = pip_options(listed)
    assert options["index-url"] == "https://env.example/simple"
    same = uv_environment(options)
    assert same["UV_DEFAULT_INDEX"] == "https://env.example/simple"
    assert same["UV_INDEX"] == "https://a.example/simple https://b.example/simple"
    assert same["UV_NO_INDEX"] == "1"
    assert same["UV_FIND_LINKS"] == "/one,/two"
    assert same["ALL_PROXY"] == "http://proxy.example:3128" or os.environ.get("ALL_PROXY")


def test_what_is_set_for_uv_itself_stays(monkeypatch):
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://own.example/simple")
    assert "UV_DEFAULT_INDEX" not in uv_environment({"index-url": "https://pip.example/simple"})
