"""The Python environment `.venv`, made from the locks by the system's Python with its standard library alone.

pip brings uv, uv brings the rest, in a fraction of pip's time; where uv cannot be had, pip brings everything. Every
file is checked against the hashes in the locks. Which index the packages come from is pip's configuration, also for uv.
"""

import ast
import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

LOCK = "requirements.lock"
TEST_LOCK = "requirements-test.lock"
UV_LOCK = "requirements-uv.lock"
# The environment with its tests, and the same once more in the cache of the installer.
NEEDED_BYTES = 3_000_000_000
PULSE_SECONDS = 10.0


class EnvironmentFailureError(Exception):
    """The environment could not be made; the text is one sentence for the person at the terminal."""


def ensure(root: Path, *, tests: bool) -> Path:
    """Make or update the environment of the project in `root`; returns the path of its Python.

    `LAB_VENV` names another place than `.venv`. Two that start at once do it one after the other; one that was cut off
    is done anew. Raises EnvironmentFailureError.
    """
    venv = Path(os.environ.get("LAB_VENV") or root / ".venv")
    python = venv / "bin" / "python"
    locks = [root / LOCK, *([root / TEST_LOCK] if tests else [])]
    if _is_done(venv, locks):
        return python
    with _alone(root):
        missing = [lock for lock in locks if not _is_done(venv, [lock])]
        if missing:
            Bootstrap(root, venv).make(missing)
    return python


def _stamp(venv: Path, lock: Path) -> Path:
    return venv / f".installed-{lock.name}"


def _fingerprint(lock: Path) -> str:
    try:
        return hashlib.sha256(lock.read_bytes()).hexdigest()
    except OSError as error:
        raise EnvironmentFailureError(f"{lock} cannot be read ({error.strerror}); clone the project anew.") from error


def _is_done(venv: Path, locks: list[Path]) -> bool:
    """Whether the environment holds what the locks name, and its Python still starts."""
    try:
        if any(_stamp(venv, lock).read_text() != _fingerprint(lock) for lock in locks):
            return False
    except OSError:
        return False
    # The Python that the environment stands on may have been removed or replaced by an upgrade of the system.
    return _works(venv / "bin" / "python")


def _works(python: Path) -> bool:
    if not python.exists():
        return False
    version = venv_version(python.parent.parent)
    return not version or (python.parent.parent / "lib" / f"python{version}" / "site-packages").is_dir()


def venv_version(venv: Path) -> str:
    """Version, such as 3.11, of the Python that an environment stands on; empty where it does not say."""
    try:
        lines = (venv / "pyvenv.cfg").read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        name, _, value = line.partition("=")
        if name.strip() in ("version", "version_info"):
            return ".".join(value.strip().split(".")[:2])
    return ""


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Let one process at a time make the environment of this clone."""
    with (root / "lab").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another ./lab is making the environment; waiting for it.", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            # Some network shares cannot lock; two at once are rare enough there to go on.
            print(f"No lock on {file.name} ({error.strerror}); do not start ./lab twice now.", flush=True)
        yield


class Bootstrap:
    """Makes one environment, telling what it does and how long it took."""

    def __init__(self, root: Path, venv: Path) -> None:
        self._root = root
        self._venv = venv
        self._python = venv / "bin" / "python"
        self._began = time.monotonic()
        self._unfinished = venv / ".unfinished"

    def make(self, locks: list[Path]) -> None:
        """Create the environment if need be and install what the locks name."""
        free = shutil.disk_usage(self._venv.parent).free
        if free < NEEDED_BYTES and not self._python.exists():
            raise EnvironmentFailureError(
                f"The disk of {self._venv} has {free / 1e9:.1f} GB free and {NEEDED_BYTES / 1e9:.0f} GB are needed"
                " for the environment; free some space."
            )
        try:
            if self._unfinished.exists() or not _works(self._python):
                self._create()
            self._unfinished.touch()
            for lock in locks:
                self._install(lock)
                _stamp(self._venv, lock).write_text(_fingerprint(lock))
            self._unfinished.unlink()
        except OSError as error:
            raise EnvironmentFailureError(
                f"{self._venv} cannot be made: {error.strerror} ({error.filename})."
            ) from error
        self._say("The environment is ready")

    def _say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._began:6.1f} s] {text}", flush=True)

    def _create(self) -> None:
        """A fresh environment; what an interrupted run or an older Python left goes first."""
        try:
            import ensurepip  # noqa: F401
            import venv  # noqa: F401
        except ImportError:
            raise EnvironmentFailureError(
                "This Python cannot make environments; install its venv"
                f" (on Debian and Ubuntu: apt install python3-venv), then run ./lab again. Python: {sys.executable}"
            ) from None
        self._say(f"Making {self._venv} with Python {sys.version.split()[0]}")
        if self._venv.exists():
            if not (self._venv / "pyvenv.cfg").exists() and any(self._venv.iterdir()):
                raise EnvironmentFailureError(
                    f"{self._venv} is no Python environment; move it away and run ./lab again."
                )
            for child in self._venv.iterdir():
                # The marker goes last of all, by being written again: a second interruption is seen, too.
                shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
        self._venv.mkdir(parents=True, exist_ok=True)
        self._unfinished.touch()
        base = getattr(sys, "_base_executable", sys.executable)
        self._run([base, "-m", "venv", str(self._venv)], "python -m venv")

    def _install(self, lock: Path) -> None:
        count = sum(1 for line in lock.read_text().splitlines() if line[:1].isalnum())
        if uv := self._uv():
            self._say(f"Installing from {lock.name} ({count} entries) with uv")
            command = [uv, "pip", "install", "--python", str(self._python), "--require-hashes", "-r", str(lock)]
            try:
                self._run(command, "uv", environment=uv_environment(self._pip_configuration()))
            except EnvironmentFailureError as error:
                self._say(f"{error} Trying with pip.")
            else:
                return
        self._say(f"Installing from {lock.name} ({count} entries) with pip; this takes some minutes")
        self._run([str(self._python), "-m", "pip", "install", "--require-hashes", "-r", str(lock)], "pip")

    def _uv(self) -> str:
        """Path of uv, brought into the environment by pip; empty where it cannot be had."""
        uv = self._venv / "bin" / "uv"
        if not uv.exists():
            self._say("Installing uv with pip")
            lock = self._root / UV_LOCK
            try:
                self._run([str(self._python), "-m", "pip", "install", "--require-hashes", "-r", str(lock)], "pip")
            except EnvironmentFailureError as error:
                self._say(f"uv cannot be had: {error}")
                return ""
        return str(uv)

    def _pip_configuration(self) -> dict[str, str]:
        listed = subprocess.run(
            [str(self._python), "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
        )
        return pip_options(listed.stdout)

    def _run(self, command: list[str], name: str, environment: dict[str, str] | None = None) -> None:
        """Run an installer to its end; on a terminal it shows its own progress, elsewhere a line now and then."""
        log = self._venv / "install.log"
        ended = threading.Event()
        threading.Thread(target=self._pulse, args=(ended, name), daemon=True).start()
        try:
            with log.open("ab") as output:
                visible = sys.stderr.isatty() and name == "uv"
                running = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=None if visible else output,
                    env={**os.environ, **(environment or {}), "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
                )
                try:
                    status = running.wait()
                except BaseException:
                    running.terminate()
                    running.wait()
                    raise
        finally:
            ended.set()
        if status:
            raise EnvironmentFailureError(f"{name} failed: {_telling_line(log)} (see {log})")

    def _pulse(self, ended: threading.Event, name: str) -> None:
        while not ended.wait(PULSE_SECONDS):
            if not (sys.stderr.isatty() and name == "uv"):
                self._say(f"{name} is still at work")


def _telling_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()[-40:] if line.strip()]
    telling = [line for line in lines if "rror" in line or "No space" in line or "hash" in line.lower()]
    return (telling or lines or ["it said nothing"])[-1]


def pip_options(listed: str) -> dict[str, str]:
    """The options in the output of `pip config list`; the environment goes before `[install]` before `[global]`."""
    found: dict[str, tuple[int, str]] = {}
    order = {"global": 0, "install": 1, ":env:": 2}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        section, _, option = name.rpartition(".")
        if section not in order or not value:
            continue
        try:
            text = str(ast.literal_eval(value))
        except (SyntaxError, ValueError):
            continue
        if option not in found or found[option][0] <= order[section]:
            found[option] = (order[section], text)
    return {option: text for option, (_, text) in found.items()}


def uv_environment(options: dict[str, str]) -> dict[str, str]:
    """Return uv's environment variables that say the same as pip's options; what is already set for uv itself stays.

    Values keep to variables, out of the argument list: an index's address may hold a password.
    """
    same = {
        "UV_DEFAULT_INDEX": options.get("index-url", ""),
        "UV_INDEX": " ".join(options.get("extra-index-url", "").split()),
        "UV_FIND_LINKS": ",".join(options.get("find-links", "").split()),
        "UV_NO_INDEX": "1" if options.get("no-index", "").lower() in ("1", "true", "yes", "on") else "",
        "UV_INSECURE_HOST": " ".join(options.get("trusted-host", "").split()),
        "UV_HTTP_TIMEOUT": options.get("timeout", options.get("default-timeout", "")),
        "SSL_CERT_FILE": options.get("cert", ""),
        "SSL_CLIENT_CERT": options.get("client-cert", ""),
        "ALL_PROXY": options.get("proxy", ""),
        # pip takes the best version from all indexes; with hashes required that is as safe as the locks.
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        # The cache may lie on another disk; a copy then is no reason to warn.
        "UV_LINK_MODE": "" if _same_disk(Path.home(), Path.cwd()) else "copy",
        "UV_NO_PROGRESS": "" if sys.stderr.isatty() else "1",
    }
    return {name: value for name, value in same.items() if value and not os.environ.get(name)}


def _same_disk(one: Path, other: Path) -> bool:
    try:
        return one.stat().st_dev == other.stat().st_dev
    except OSError:
        return False
