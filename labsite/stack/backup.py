"""The database as one file, and back: pg_dump and pg_restore of the version that the laboratory brings."""

import os
import subprocess
from pathlib import Path

from django.db import connection

from labsite.stack.home import HomeError
from labsite.stack.services import postgres_program


def _address() -> tuple[list[str], dict[str, str]]:
    """Options and environment with which Postgres' programs find the database of the settings."""
    settings = connection.get_connection_params()
    options = [f"--dbname={settings['dbname']}"]
    options += [f"--{name}={settings[key]}" for name, key in _NAMES if settings.get(key)]
    return options, {**os.environ, "PGPASSWORD": str(settings.get("password") or "")}


_NAMES = (("host", "host"), ("port", "port"), ("username", "user"))


def backup(file: Path) -> int:
    """Write the whole database, as it is at one moment, to a compressed file; returns its bytes.

    Raises HomeError where the file exists or cannot be written; a half-written file is removed.
    """
    if file.exists():
        raise HomeError(f"{file} exists; a backup overwrites nothing.")
    part = file.with_name(f"{file.name}.part")
    options, environment = _address()
    command = [str(postgres_program("pg_dump")), "--format=custom", "--no-owner", f"--file={part}", *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        part.unlink(missing_ok=True)
        raise HomeError(f"The backup failed: {_said_last(done)}")
    part.replace(file)
    return file.stat().st_size


def restore(file: Path) -> None:
    """Fill an empty database from a backup, whole or not at all; raises HomeError where it is not empty."""
    if not file.is_file():
        raise HomeError(f"There is no file {file}.")
    if tables := connection.introspection.table_names():
        raise HomeError(f"The database holds {len(tables)} tables; restore into a LAB_HOME that was never started.")
    options, environment = _address()
    connection.close()
    program = str(postgres_program("pg_restore"))
    command = [program, "--single-transaction", "--exit-on-error", "--no-owner", *options, str(file)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HomeError(f"Nothing was restored: {_said_last(done)}")


def _said_last(done: subprocess.CompletedProcess[str]) -> str:
    """The last line that a program said; how it ended where it said nothing, as one that the kernel kills does."""
    said = done.stderr.strip()
    return said.splitlines()[-1] if said else f"it ended with status {done.returncode} and said nothing"
