"""Bring the database and the static files to this version: `python -m labsite.stack.prepare [--static]`.

With `--static` only the static files, which need no database: a container image does that when it is built.

One process for what would be four `manage.py` commands, each of which starts Django anew: migrations, static files,
the first user. Everything is idempotent; a second run takes as long as importing Django.
"""

import hashlib
import os
import secrets
import sys
from pathlib import Path

import django

from labsite.stack.home import HomeError, home_path, prepare_home, write_private

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "labsite.settings")

ADMIN = "admin"


def static_fingerprint() -> str:
    """SHA-256 over path, size and time of every file that collectstatic would take, and how it would store it."""
    from django.conf import settings
    from django.contrib.staticfiles.finders import get_finders

    digest = hashlib.sha256(repr((django.__version__, settings.STORAGES["staticfiles"])).encode())
    for finder in get_finders():
        for path, storage in sorted(finder.list([]), key=lambda found: found[0]):
            status = Path(storage.path(path)).stat()
            prefix = getattr(storage, "prefix", "")
            digest.update(f"{prefix}/{path}:{status.st_size}:{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def collect_static() -> None:
    """Gather the browser's files into STATIC_ROOT, unless they are those that are there."""
    from django.conf import settings
    from django.core.management import call_command

    stamp = Path(settings.STATIC_ROOT) / ".fingerprint"
    wanted = static_fingerprint()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    stamp.unlink(missing_ok=True)
    call_command("collectstatic", interactive=False, verbosity=0)
    stamp.write_text(wanted)


def first_user(home: Path) -> None:
    """Create the administrator with a random password in LAB_HOME, where there is no administrator yet."""
    from django.contrib.auth import get_user_model

    users = get_user_model().objects
    if users.filter(is_superuser=True).exists():
        return
    # The file first: were it written after, a crash between the two would leave a user whose password nobody knows.
    password_file = home / "admin-password"
    if not password_file.exists():
        write_private(password_file, secrets.token_urlsafe(12) + "\n")
    users.create_superuser(ADMIN, password=password_file.read_text().strip())


def main() -> int:
    """Prepare everything; returns the exit status."""
    from django.core.management import call_command

    home = home_path(os.environ.get("LAB_HOME", ".lab"))
    try:
        # Before the settings are read: the secret key that they need is made here.
        prepare_home(home)
    except HomeError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    django.setup()
    collect_static()
    if "--static" not in sys.argv[1:]:
        call_command("migrate", interactive=False, verbosity=0)
        first_user(home)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
