"""LAB_HOME, the one directory that holds everything a laboratory's server keeps."""

import errno
import hashlib
import os
import secrets
import shutil
import socket
import tempfile
from pathlib import Path

# Postgres' own files, a first recording and the logs; less would fail a minute later with a worse message.
LEAST_FREE_BYTES = 1 << 30
DIRECTORIES = ("data", "results", "logs", "run", "static", "media")
# The kernel holds a socket's address in 108 bytes, the last one being zero.
LONGEST_SOCKET_PATH = 107


class HomeError(Exception):
    """LAB_HOME or a service in it cannot be used; the text is one sentence for the person at the terminal."""


def home_path(text: str | os.PathLike[str]) -> Path:
    """Absolute path of a LAB_HOME given by a person."""
    return Path(text).expanduser().resolve()


def free_bytes(home: Path) -> int:
    """Bytes that this user can still write on the disk of `home` or of its nearest existing parent."""
    existing = home
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free


def prepare_home(home: Path, *, least_free: int = LEAST_FREE_BYTES) -> None:
    """Create LAB_HOME, its directories and its secret key, idempotently.

    Raises HomeError where it is a file, cannot be written, or its disk is full.
    """
    if home.exists() and not home.is_dir():
        raise HomeError(f"LAB_HOME {home} is a file; name a directory, or a path where one can be made.")
    try:
        free = free_bytes(home)
        if free < least_free:
            raise HomeError(
                f"The disk of LAB_HOME {home} has {free / 1e9:.2f} GB free and {least_free / 1e9:.2f} GB are needed;"
                " free some space or choose another --home."
            )
        home.mkdir(mode=0o750, parents=True, exist_ok=True)
        for name in DIRECTORIES:
            (home / name).mkdir(mode=0o750, exist_ok=True)
        probe = home / "run" / f".write-{os.getpid()}"
        probe.write_bytes(b"\0" * 65536)
        probe.unlink()
        secret = home / "secret-key"
        if not secret.exists():
            write_private(secret, secrets.token_urlsafe(48) + "\n")
        elif not secret.read_text().strip():
            raise HomeError(f"{secret} is empty; delete it and a new key is made (everyone has to log in again).")
    except OSError as error:
        raise HomeError(_sentence(home, error)) from error


def _sentence(home: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk of LAB_HOME {home} is full; free some space or choose another --home."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"LAB_HOME {home} cannot be written by this user ({error.strerror}: {error.filename or home})."
    return f"LAB_HOME {home} cannot be used: {error.strerror} ({error.filename or home})."


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def socket_directory(home: Path, service: str, name: str) -> Path:
    """Directory, private to this user, in which `service` can create the socket `name`.

    It is `LAB_HOME/run/<service>`; where that is too long for a socket's address, or on a disk that holds no sockets
    (some network shares), one under the temporary directory whose name follows from LAB_HOME.
    """
    directory = home / "run" / service
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if _can_hold_socket(directory, name):
        return directory
    # Root's Postgres runs as another account, to which its directory was given.
    trusted = {os.geteuid(), (home / "postgres").stat().st_uid if (home / "postgres").exists() else os.geteuid()}
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:12]
    for root in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 - checked below
        directory = root / f"labsite-{os.getuid()}-{digest}-{service}"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Anyone may have made it first; one that we neither own nor may trust is no place for a database's socket.
        status = directory.lstat()
        private = status.st_uid in trusted and status.st_mode & 0o077 == 0 and not directory.is_symlink()
        if private and _can_hold_socket(directory, name):
            return directory
    raise HomeError(
        f"No directory can hold the socket of {service}: LAB_HOME {home} is too long a path, and /tmp refuses."
    )


def _can_hold_socket(directory: Path, name: str) -> bool:
    if len(os.fsencode(directory / name)) > LONGEST_SOCKET_PATH:
        return False
    probe = directory / f"p{os.getpid() % 100000}"
    with socket.socket(socket.AF_UNIX) as candidate:
        try:
            candidate.bind(os.fspath(probe))
        except OSError:
            # Read-only, foreign, or a file system without sockets: the caller tries the next place.
            return False
    probe.unlink()
    return True
