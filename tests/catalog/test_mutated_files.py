"""Damaged files are refused with one sentence, or are read as what they honestly still are; never anything else."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from sessions import services
from sessions.errors import LabError
from sessions.isolation import IsolationError, isolated
from sessions.models import DataFile, Recording
from tests.catalog.mutations import Copy, copies, originals

SEED = 20261125


def is_one_sentence(text: str) -> bool:
    return text.endswith(".") and "\n" not in text and "Traceback" not in text and len(text) < 600


def register(owner, session, copy: Copy, root: Path):
    return services.register_recording(
        by=owner, session=session, kind=copy.original.kind, parameters=copy.original.parameters,
        files=[{"root": "default", "path": copy.path.relative_to(root).as_posix()}],
    )  # fmt: skip


def outcome(owner, session, copy: Copy, root: Path) -> str:
    """Register a damaged copy and read what it holds; return ``refused`` or ``read``, or fail."""
    before = Recording.objects.count(), DataFile.objects.count()
    label = f"{copy.damage} {copy.path.relative_to(root)}"
    try:
        made = register(owner, session, copy, root)
    except LabError as error:
        assert is_one_sentence(error.detail), (label, error.detail)
        # What is named is the file, or the one that belongs to it and is damaged; not a sound one of another kind.
        stems = {file.name.split(".")[0] for file in (root / copy.path.relative_to(root).parts[0]).rglob("*")}
        assert any(stem in error.detail for stem in stems) or "does not hold" in error.detail, (label, error.detail)
        assert (Recording.objects.count(), DataFile.objects.count()) == before, label
        return "refused"
    files = list(made.files.all())
    assert files, label
    assert all(len(file.sha256) == 64 and file.size > 0 for file in files), label
    assert made.rate is None or made.rate > 0
    assert made.duration is None or made.duration >= 0
    facts = made.facts
    if "samples" in facts and "duration" in facts and made.rate:
        assert facts["duration"] == pytest.approx(facts["samples"] / made.rate), label
    try:
        found = isolated(
            "tests.catalog.mutations:read_all", str(copy.path), made.format, made.kind, dict(made.parameters)
        )
    except IsolationError as error:
        # A job that reads it ends in its own process with the same words.
        found = {"refused": f"{error}."}
    assert "raised" not in found, (label, found["raised"])
    if "refused" in found:
        assert is_one_sentence(found["refused"]), (label, found)
        return "refused when read"
    return "read"


@pytest.fixture
def place(lab, settings) -> Path:
    return Path(settings.LAB_DATA_ROOT)


def all_outcomes(lab, place, sound, rounds) -> dict[str, int]:
    counts: dict[str, int] = {}
    for copy in copies(sound, place, rounds, SEED):
        told = outcome(lab.experimenter, lab.session, copy, place)
        counts[told] = counts.get(told, 0) + 1
        shutil.rmtree(place / copy.path.relative_to(place).parts[0])
    return counts


@pytest.mark.django_db
def test_a_few_damaged_copies_are_refused_or_honestly_read(lab, place, tmp_path):
    sound = originals(tmp_path / "sound")
    counts = all_outcomes(lab, place, sound[-11::6], 1)
    assert sum(counts.values()) == 14
    assert counts["refused"] > 3


@pytest.mark.long
@pytest.mark.django_db
@pytest.mark.timeout(600)
def test_hundreds_of_damaged_copies_are_refused_or_honestly_read(lab, place, tmp_path):
    sound = originals(tmp_path / "sound")
    counts = all_outcomes(lab, place, sound, 1)
    assert sum(counts.values()) == 7 * len(sound) >= 200
    # Copies that are empty, cut or of another format cannot be read; some flipped bytes lie within samples.
    assert counts["refused"] >= 80
    assert counts["read"] >= 20


@pytest.mark.django_db
def test_sound_files_are_registered_with_all_that_belongs_to_them(lab, place, tmp_path):
    sound = originals(tmp_path / "sound")
    for number, original in enumerate(sound[-14:]):
        folder = place / str(number)
        shutil.copytree(original.folder, folder)
        path = folder / original.path.relative_to(original.folder)
        made = register(lab.experimenter, lab.session, Copy(path, "none", original), place)
        present = sorted(file for file in folder.rglob("*") if file.is_file())
        registered = {file.path for file in made.files.all()}
        missing = {file.relative_to(place).as_posix() for file in present} - registered
        # A description of raw samples becomes parameters of the recording.
        assert missing <= {f"{number}/raw.toml"}, (original.path.name, missing)
    assert made.parameters["gain_to_uV"] == 0.5
    assert np.isclose(made.duration, 0.1)
