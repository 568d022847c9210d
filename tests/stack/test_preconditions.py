"""What stands in the way of a start is said in one sentence, at once, and nothing is left half-made."""

from __future__ import annotations

import ast
import os
import shutil
import socket
import subprocess
import sys

import pytest

from labsite.stack.services import LAUNCHER
from tests.stack.laboratory import ROOT, environment, lab


def refused(answer: subprocess.CompletedProcess) -> str:
    """The one sentence of a failed start."""
    assert answer.returncode == 1, answer.stdout + answer.stderr
    assert "Traceback" not in answer.stdout + answer.stderr
    sentences = [line for line in answer.stderr.splitlines() if line]
    assert len(sentences) == 1, answer.stderr
    assert sentences[0].startswith("lab: ")
    return sentences[0]


@pytest.fixture
def taken():
    """A port on which something listens already."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("command", ["up", "demo"])
def test_a_taken_port_is_named_with_who_has_it(tmp_path, taken, command):
    said = refused(lab(command, "--home", str(tmp_path / "home"), "--port", str(taken)))
    assert f"Port {taken} is taken" in said
    assert f"process {os.getpid()}" in said
    assert "--port" in said
    assert not (tmp_path / "home" / "postgres").exists()


def test_a_taken_camera_port_is_named(tmp_path, taken):
    arguments = ("--port", "0", "--ingest-port", str(taken))
    said = refused(lab("up", "--home", str(tmp_path / "home"), *arguments))
    assert f"Port {taken} is taken" in said
    assert "--ingest-port" in said


def test_an_address_of_another_machine_is_refused(tmp_path):
    said = refused(lab("up", "--home", str(tmp_path / "home"), "--host", "192.0.2.7", "--port", "0"))
    assert "--host 192.0.2.7 is not an address of this machine" in said


def test_a_port_must_be_one():
    for port in ("70000", "eighty", "-1"):
        answer = lab("up", f"--port={port}")
        assert answer.returncode == 2
        assert "is no port" in answer.stderr


def test_so_many_processes_as_could_never_run_are_refused():
    for web in ("0", "65", "000199999", "two"):
        answer = lab("up", f"--web={web}")
        assert answer.returncode == 2
        assert "is no number of processes" in answer.stderr


def test_a_home_that_is_a_file_is_refused(tmp_path):
    home = tmp_path / "home"
    home.write_text("a file")
    said = refused(lab("up", "--home", str(home), "--port", "0"))
    assert f"LAB_HOME {home} is a file" in said
    assert home.read_text() == "a file"


def test_a_home_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("a file")
    said = refused(lab("up", "--home", str(tmp_path / "file" / "home"), "--port", "0"))
    assert "cannot be used" in said


def test_a_home_that_cannot_be_written_is_refused(tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o555)
    command = [str(ROOT / "lab"), "up", "--home", str(home), "--port", "0"]
    if os.geteuid() == 0:
        # Nothing is unwritable to root, so somebody else tries: with root's right to read, for the project may lie
        # where only root may look.
        for directory in (tmp_path, *tmp_path.parents[:2]):
            directory.chmod(0o755)
        command = [
            sys.executable,
            "-I",
            str(LAUNCHER),
            "--account",
            "nobody",
            "--reach",
            "--",
            sys.executable,
            *command,
        ]
    answer = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False, timeout=60)
    said = refused(answer)
    assert f"LAB_HOME {home} cannot be written by this user" in said


def test_a_database_of_another_version_is_refused(tmp_path):
    data = tmp_path / "home" / "postgres"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("14\n")
    said = refused(lab("up", "--home", str(tmp_path / "home"), "--port", "0"))
    assert "PostgreSQL 14" in said
    assert "PostgreSQL 18" in said
    assert (data / "PG_VERSION").read_text() == "14\n"


def test_somebody_elses_files_are_not_taken_for_a_database(tmp_path):
    data = tmp_path / "home" / "postgres"
    data.mkdir(parents=True)
    (data / "thesis.txt").write_text("years of work")
    said = refused(lab("up", "--home", str(tmp_path / "home"), "--port", "0"))
    assert "holds no database" in said
    assert (data / "thesis.txt").read_text() == "years of work"


def small_disk(tmp_path, size: str) -> list[str]:
    """The beginning of a command that runs with a small disk mounted on `tmp_path/disk`."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o size={size} none {disk} && exec "$@"'
    command = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-c", mount, "sh"]
    if not shutil.which("unshare") or subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        if os.environ.get("CI") == "true" and os.geteuid() == 0:
            pytest.fail("a small disk cannot be mounted here")
        pytest.skip("a small disk cannot be mounted here")
    return command


def test_a_full_disk_is_refused_before_anything_is_made(tmp_path):
    command = small_disk(tmp_path, "8m")
    home = tmp_path / "disk" / "home"
    answer = subprocess.run(
        [*command, str(ROOT / "lab"), "up", "--home", str(home), "--port", "0"],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
        timeout=60,
    )
    said = refused(answer)
    assert "0.01 GB free and 1.07 GB are needed" in said


def test_a_disk_that_fills_while_the_database_is_made_is_named(tmp_path):
    command = small_disk(tmp_path, "24m")
    program = (
        "import sys; from pathlib import Path; from labsite.stack import home, services\n"
        "place = Path(sys.argv[1])\n"
        "home.prepare_home(place, least_free=1)\n"
        "try: services.prepare_postgres(place)\n"
        "except home.HomeError as error: print(error); print(sorted(p.name for p in place.iterdir()))\n"
    )
    answer = subprocess.run(
        [*command, sys.executable, "-c", program, str(tmp_path / "disk" / "home")],
        capture_output=True,
        text=True,
        env=environment(PYTHONPATH=str(ROOT)),
        check=False,
        timeout=60,
    )
    assert "No space left on device" in answer.stdout, answer.stdout + answer.stderr
    assert "'postgres'" not in answer.stdout
    assert "postgres.part" not in answer.stdout.splitlines()[-1]


def python_that_is(version: tuple[int, int, int], program: str = "pass") -> list[str]:
    """A command that runs the file named next as a Python of another version would see it."""
    pretend = f"import sys, runpy; sys.version_info = {version} + ('final', 0); {program}; sys.argv = sys.argv[1:];"
    return [sys.executable, "-c", f"{pretend} runpy.run_path(sys.argv[0], run_name='__main__')"]


def test_an_old_python_is_told_what_is_needed(tmp_path):
    answer = subprocess.run(
        [*python_that_is((3, 9, 2)), str(ROOT / "lab"), "up"],
        capture_output=True,
        text=True,
        env={**environment(), "PATH": str(tmp_path)},
        check=False,
        timeout=30,
    )
    said = refused(answer)
    assert "this is Python 3.9.2" in said
    assert "3.11 or newer is needed" in said


def test_an_old_python_finds_a_newer_one(tmp_path):
    (tmp_path / "python3.13").symlink_to(sys.executable)
    answer = subprocess.run(
        [*python_that_is((3, 9, 2)), str(ROOT / "lab"), "--help"],
        capture_output=True,
        text=True,
        env={**environment(), "PATH": str(tmp_path)},
        check=False,
        timeout=30,
    )
    assert answer.returncode == 0, answer.stderr
    assert "./lab" in answer.stdout


def test_old_pythons_can_read_the_script():
    ast.parse((ROOT / "lab").read_text(), feature_version=(3, 6))


def test_a_python_without_venv_is_told_the_package(tmp_path):
    answer = subprocess.run(
        [*python_that_is(sys.version_info[:3], "sys.modules['ensurepip'] = None"), str(ROOT / "lab"), "up"],
        capture_output=True,
        text=True,
        env=environment(LAB_VENV=str(tmp_path / "venv")),
        check=False,
        timeout=30,
    )
    assert "apt install python3-venv" in refused(answer)
    assert not (tmp_path / "venv").exists()


def test_help_needs_no_environment(tmp_path):
    for arguments in (["--help"], ["up", "--help"], ["demo", "-h"], ["bench", "-h"], ["test", "-h"]):
        answer = lab(*arguments, LAB_VENV=str(tmp_path / "none"))
        assert answer.returncode == 0
        assert "./lab" in answer.stdout
    assert not (tmp_path / "none").exists()


def test_an_unknown_word_is_refused():
    answer = lab("up", "--prot", "8000")
    assert answer.returncode == 2
    assert "--prot" in answer.stderr
    assert lab("start").returncode == 2
