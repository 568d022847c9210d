"""What docs/deploy.md promises of a backup."""

from __future__ import annotations

import pytest

from labsite.stack import backup
from labsite.stack.home import HomeError
from tests.stack.laboratory import lab

USERS = (
    "from django.contrib.auth import get_user_model as u; print('users', sorted(x.username for x in u().objects.all()))"
)


@pytest.mark.long
def test_a_backup_of_a_running_laboratory_restores_into_an_empty_one(laboratory, tmp_path):
    here, there = str(laboratory.home), str(tmp_path / "other")
    dump = tmp_path / "lab.dump"
    told = lab("manage", "backup_database", str(dump), LAB_HOME=here)
    assert told.returncode == 0, told.stderr
    size = dump.stat().st_size
    assert size > 10_000

    again = lab("manage", "backup_database", str(dump), LAB_HOME=here)
    assert again.returncode == 1
    assert "overwrites nothing" in again.stderr
    assert dump.stat().st_size == size

    told = lab("manage", "restore_database", str(dump), LAB_HOME=there)
    assert told.returncode == 0, told.stderr
    told = lab("manage", "shell", "--no-imports", "-c", USERS, LAB_HOME=there)
    assert "users ['admin']" in told.stdout, told.stderr
    told = lab("manage", "migrate", "--check", LAB_HOME=there)
    assert told.returncode == 0, told.stdout + told.stderr

    again = lab("manage", "restore_database", str(dump), LAB_HOME=there)
    assert again.returncode == 1
    assert "restore into a LAB_HOME that was never started" in again.stderr


@pytest.mark.django_db
def test_a_backup_whose_program_is_killed_without_a_word_says_how_it_ended(tmp_path, monkeypatch):
    killed = tmp_path / "pg_dump"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o700)
    monkeypatch.setattr(backup, "postgres_program", lambda _name: killed)
    with pytest.raises(HomeError, match="ended with status -9 and said nothing"):
        backup.backup(tmp_path / "lab.dump")
    assert list(tmp_path.glob("lab.dump*")) == []
