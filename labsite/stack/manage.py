"""`./lab manage ...`: manage.py with the database and the broker of LAB_HOME, started for it where they do not run."""

import os
import subprocess
import sys

from labsite.stack import services, state
from labsite.stack.home import HomeError, home_path, prepare_home
from labsite.stack.process import ROOT


def main(arguments: list[str]) -> int:
    """Run manage.py; returns its exit status."""
    home = home_path(os.environ.get("LAB_HOME", ROOT / ".lab"))
    embedded = "LAB_DATABASE_URL" not in os.environ or "LAB_REDIS_URL" not in os.environ
    try:
        prepare_home(home)
        if embedded and state.is_running(home):
            os.environ.update(state.read_state(home).get("environment", {}))
        elif embedded:
            return _with_services(arguments)
    except HomeError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return _manage(arguments)


def _with_services(arguments: list[str]) -> int:
    home = home_path(os.environ.get("LAB_HOME", ROOT / ".lab"))
    lock = state.HomeLock(home)
    lock.take()
    state.end_leftovers(home)
    try:
        if "LAB_DATABASE_URL" not in os.environ:
            os.environ["LAB_DATABASE_URL"] = services.embedded_postgres(home)
        if "LAB_REDIS_URL" not in os.environ:
            os.environ["LAB_REDIS_URL"] = services.embedded_redis(home)
        return _manage(arguments)
    finally:
        services.stop_redis(home)
        services.stop_postgres(home)


def _manage(arguments: list[str]) -> int:
    running = subprocess.Popen([sys.executable, str(ROOT / "manage.py"), *arguments])
    while True:
        try:
            return running.wait()
        except KeyboardInterrupt:
            # The terminal sent it to manage.py, too, which decides what it means.
            continue


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
