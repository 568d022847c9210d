"""What a hostile file does to its parser happens where it harms nobody, and is told in one sentence."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.urls import reverse

from sessions import formats, isolation, services
from sessions.errors import Invalid
from sessions.isolation import IsolationError, isolated
from tests.methods import acquired

HOSTILE = "tests.catalog.hostile"


@pytest.mark.parametrize(
    ("function", "arguments", "sentence"),
    [
        ("crash", (), "reading it crashed"),
        ("loop", (), "took longer than 1 s"),
        ("swallow", (), "more memory than a header should"),
        ("nothing", (), "nothing"),
    ],
)
def test_whatever_a_parser_does_ends_in_a_sentence(function, arguments, sentence):
    with pytest.raises(IsolationError, match=sentence):
        isolated(f"{HOSTILE}:{function}", *arguments, seconds=1)
    assert isolated("math:sqrt", 9) == 3


def test_a_file_of_which_too_much_is_to_tell_is_not_called_damaged():
    with pytest.raises(IsolationError, match="there is more in it than the 16 MB that are read at once"):
        isolated(f"{HOSTILE}:talk")
    assert isolated("math:sqrt", 9) == 3


def test_a_parser_may_write_nothing_and_knows_no_secret(tmp_path):
    with pytest.raises(IsolationError):
        isolated(f"{HOSTILE}:write", str(tmp_path / "harm"))
    assert not (tmp_path / "harm").exists() or not (tmp_path / "harm").stat().st_size
    assert not {"LAB_SECRET_KEY", "LAB_DATABASE_URL", "LAB_REDIS_URL"} & set(isolated(f"{HOSTILE}:environment"))


def test_calls_do_not_wait_for_one_that_never_ends():
    def hang() -> str:
        try:
            return isolated(f"{HOSTILE}:loop", seconds=2)
        except IsolationError as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        hanging = pool.submit(hang)
        assert isolated("math:sqrt", 16) == 4
        assert "took longer" in hanging.result()


@pytest.mark.django_db
def test_a_file_that_crashes_its_parser_is_refused(lab, put, monkeypatch):
    hostile = formats.Family(frozenset(), lambda _path, start: start == b"HOSTILE", f"{HOSTILE}:crash_on")
    monkeypatch.setattr(formats, "FAMILIES", [hostile])
    with pytest.raises(Invalid, match=r"x\.dat: .*crashed"):
        services.register_recording(
            by=lab.experimenter, session=lab.session, kind="ephys",
            files=[{"root": "default", "path": put("x.dat", b"HOSTILE")}],
        )  # fmt: skip
    assert not lab.session.recordings.exists()


@pytest.mark.django_db
def test_the_page_of_a_recording_says_what_its_files_hold(lab, client, settings):
    root = Path(settings.LAB_DATA_ROOT)
    path = acquired.spikeglx(root)
    recording = services.register_recording(
        by=lab.experimenter, session=lab.session, kind="ephys", files=[{"root": "default", "path": path.name}]
    )
    assert (recording.format, recording.channels, recording.rate, recording.duration) == ("spikeglx", 4, 30_000, 0.1)
    assert {file.path for file in recording.files.all()} == {path.name, path.with_suffix(".meta").name}
    client.force_login(lab.viewer)
    page = client.get(reverse("lab:recording", args=[recording.pk])).content.decode()
    for words in ("What its files say", "imec0.ap", "30 kHz", "2.34375 uV per step", "2026-03-02T12:00:00"):
        assert words in page, words
    assert "asked" not in page


@pytest.mark.django_db
def test_a_missing_gain_is_asked_for_on_the_page(lab, client, settings, put):
    recording = services.register_recording(
        by=lab.experimenter, session=lab.session, kind="ephys",
        files=[{"root": "default", "path": put("x.dat", b"\0" * 800)}],
        parameters={"channels": 4, "rate": 1000, "dtype": "int16"},
    )  # fmt: skip
    client.force_login(lab.viewer)
    page = client.get(reverse("lab:recording", args=[recording.pk])).content.decode()
    assert "gain_to_uV" in page
    assert "do not say the gain" in page
    services.update_recording(
        by=lab.experimenter, recording=recording, parameters={**recording.parameters, "gain_to_uV": 0.5}
    )
    page = client.get(reverse("lab:recording", args=[recording.pk])).content.decode()
    assert "do not say the gain" not in page


def test_many_questions_at_once_are_answered_by_the_few_processes_that_are_kept():
    def started() -> set[int]:
        # Children of this process that read files for it.
        names = subprocess.run(
            ["ps", "--ppid", str(os.getpid()), "-o", "pid=,args="], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        return {int(line.split()[0]) for line in names if "sessions.isolated" in line}

    seen: set[int] = set()

    def ask(number: int) -> float:
        value = isolated("math:sqrt", float(number))
        seen.update(started())
        return value

    ask(0)
    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(ask, range(12))) == [number**0.5 for number in range(12)]
    assert 1 <= len(seen) <= isolation.KEPT
