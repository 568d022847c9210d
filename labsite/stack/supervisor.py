"""Everything that `./lab up` and `./lab demo` run, started in order, kept running, and ended in the reverse order."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labsite.stack import addresses, services, state
from labsite.stack.banner import Progress, banner
from labsite.stack.home import HomeError, prepare_home
from labsite.stack.logs import RotatingLog
from labsite.stack.process import ROOT, Child, Process, python, servers, started_ticks

SERVE_SECONDS = 120.0
PREPARE_SECONDS = 600.0
# How a command of ours tells of its steps: ` 12.3 s  what it does`.
STEP = re.compile(r"\s*\d+\.\d s\s+(.+)")


@dataclass(frozen=True)
class Options:
    """What the command line of `up` and `demo` says."""

    home: Path
    host: str = "127.0.0.1"
    port: int = 8000
    # None: the one after `port`.
    ingest_port: int | None = None
    # How many processes share the browsers, and the cameras.
    web: int = 1
    ingest: int = 1
    demo: bool = False
    began: float | None = None


class StoppedEarlyError(Exception):
    """Somebody asked to stop while the laboratory was starting."""


class Supervisor:
    """Starts, watches and ends the processes of one LAB_HOME."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.home = options.home
        self._progress = Progress(began=options.began)
        self._stop = asyncio.Event()
        # Started together, ended together; the last group is ended first.
        self._groups: list[list[Child]] = []
        self._environment: dict[str, str] = {}
        self._listeners: list[socket.socket] = []
        self._state: dict[str, Any] = {}

    # ---- life

    async def run(self) -> int:
        """Run until told to stop; returns the exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._asked_to_stop)
        try:
            await self._start()
            print(self._banner(), flush=True)
            await self._stop.wait()
        except StoppedEarlyError:
            pass
        except HomeError as error:
            print(f"lab: {error}", file=sys.stderr, flush=True)
            return 1
        finally:
            await self._end()
        return 0

    def _asked_to_stop(self) -> None:
        if self._stop.is_set():
            # Asked twice: somebody does not want to wait.
            for group in self._groups:
                for child in group:
                    child.kill()
            return
        self._stop.set()

    async def _start(self) -> None:
        options = self.options
        prepare_home(self.home)
        self._lock = state.HomeLock(self.home)
        self._lock.take()
        if found := state.end_leftovers(self.home):
            self._progress.say(f"Ended what an earlier run had left: {', '.join(found)}")
        web = addresses.bind(options.host, options.port, "--port")
        self._listeners.append(web)
        port = web.getsockname()[1]
        wanted = options.ingest_port
        if wanted is None:
            wanted = port + 1 if options.port else 0
        ingest = addresses.bind(options.host, wanted, "--ingest-port")
        self._listeners.append(ingest)
        ingest_port = ingest.getsockname()[1]
        self._ports = (port, ingest_port)
        self._environment = self._environment_of(port, ingest_port)
        self._state = {
            "pid": os.getpid(),
            "url": f"http://{addresses.local_host(options.host)}:{port}/",
            "demo": options.demo,
            "started": time.time(),
        }
        await self._start_services()
        await self._once("prepare", "Database and static files", "-m", "labsite.stack.prepare")
        if options.demo:
            await self._once("seed", "The simulated laboratory", "manage.py", "seed_demo")
        self._progress.say("Pages, cameras and workers")
        self._launch(self._workers())
        self._launch(self._servers(web, ingest))
        if options.demo:
            from labsite.demo.processes import processes

            self._launch(list(processes(self.home, port, ingest_port)))
        await self._until_it_serves(port)

    async def _end(self) -> None:
        if any(self._groups):
            self._progress.say("Stopping")
        for group in reversed(self._groups):
            await asyncio.gather(*(child.stop() for child in group))
        for listener in self._listeners:
            listener.close()
        if self._state:
            state.forget_state(self.home)
        if any(self._groups):
            self._progress.say("Stopped")

    # ---- what runs

    def _environment_of(self, port: int, ingest_port: int) -> dict[str, str]:
        """The environment of every process: settings, and as many threads as leave room for the others."""
        own = os.environ
        host = addresses.local_host(self.options.host)
        hosts = own.get("LAB_ALLOWED_HOSTS") or ",".join(addresses.allowed_hosts(self.options.host))
        (self.home / "run" / "matplotlib").mkdir(exist_ok=True)
        return {
            **own,
            "LAB_HOME": str(self.home),
            "LAB_ALLOWED_HOSTS": hosts,
            "LAB_URL": f"http://{host}:{port}",
            "LAB_INGEST_URL": own.get("LAB_INGEST_URL") or f"ws://{host}:{ingest_port}",
            "LAB_SIMULATED": "1" if self.options.demo else own.get("LAB_SIMULATED", "0"),
            "DJANGO_SETTINGS_MODULE": "labsite.settings",
            "PYTHONUNBUFFERED": "1",
            "MPLBACKEND": "agg",
            "MPLCONFIGDIR": str(self.home / "run" / "matplotlib"),
        }

    async def _start_services(self) -> None:
        if "LAB_DATABASE_URL" not in os.environ:
            self._progress.say("Postgres")
            services.prepare_postgres(self.home)
            command = services.postgres_command(self.home)
            child = self._launch(
                [Process("postgres", (), stop_signal=signal.SIGINT, stop_seconds=30, command=command)]
            )[0]
            await self._ready(child, lambda: services.postgres_ready(self.home))
            services.ensure_database(self.home)
            self._environment["LAB_DATABASE_URL"] = services.postgres_url(self.home)
        if "LAB_REDIS_URL" not in os.environ:
            self._progress.say("Redis")
            child = self._launch([Process("redis", (), command=services.redis_command(self.home))])[0]
            await self._ready(child, lambda: services.redis_ready(self.home))
            self._environment["LAB_REDIS_URL"] = services.redis_url(self.home)
        embedded = ("LAB_DATABASE_URL", "LAB_REDIS_URL")
        self._state["environment"] = {name: self._environment[name] for name in embedded if name not in os.environ}
        self._said()

    def _workers(self) -> list[Process]:
        cores = os.cpu_count() or 1
        # A job waits for its shards in a slot of its own: one slot would wait for itself.
        return [worker("default", 4), worker("cpu", max(2, cores)), python("supervise", "manage.py", "supervise")]

    def _servers(self, web: socket.socket, ingest: socket.socket) -> list[Process]:
        return [*servers("web", web, self.options.web), *servers("ingest", ingest, self.options.ingest)]

    def _launch(self, processes: list[Process]) -> list[Child]:
        """Start a group of processes and keep them running; it is ended before the groups launched earlier."""
        logs = self.home / "logs"
        group = [
            Child(each, RotatingLog(logs / f"{each.name}.log"), self._environment, self._said) for each in processes
        ]
        self._groups.append(group)
        for child in group:
            child.start()
        return group

    def _said(self) -> None:
        """Write down what runs now, for `./lab status` and for the next start after a kill."""
        children = [child for group in self._groups for child in group]
        self._state["processes"] = [
            {
                "name": child.process.name,
                "pid": child.pid,
                "ticks": started_ticks(child.pid) if child.pid else 0,
                "state": child.state,
                "restarts": child.restarts,
                "ended": child.ended,
            }
            for child in children
        ]
        try:
            state.write_state(self.home, self._state)
        except OSError as error:
            # A full disk must not end the laboratory; /healthz reports it.
            print(f"lab: {self.home / 'run' / 'stack.json'}: {error.strerror}", file=sys.stderr, flush=True)

    # ---- waiting

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), 0.1)
        except TimeoutError:
            return
        raise StoppedEarlyError

    async def _ready(self, child: Child, ready: Callable[[], bool]) -> None:
        """Wait for a service; raises HomeError with its own words when it ends instead."""
        deadline = time.monotonic() + SERVE_SECONDS
        while not await asyncio.to_thread(ready):
            # Parts of a server that was killed may hold its memory for a moment longer: it may try again.
            if child.restarts >= services.MOST_STARTS or time.monotonic() > deadline:
                log = self.home / "logs" / f"{child.process.name}.log"
                what = f"ended with {child.ended}" if child.ended else f"does not answer after {SERVE_SECONDS:.0f} s"
                raise HomeError(f"{child.process.name} {what}: {services.last_line(log)} (see {log})")
            await self._pause()

    async def _once(self, name: str, title: str, *arguments: str) -> None:
        """Run a command of this environment to its end; raises HomeError when it fails."""
        self._progress.say(title)
        log = self.home / "logs" / f"{name}.log"
        log.unlink(missing_ok=True)
        running = await asyncio.create_subprocess_exec(
            *services.Command((sys.executable, *arguments)).launched(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._environment,
            cwd=ROOT,
            limit=1 << 20,
        )
        ending = asyncio.create_task(self._follow(running, log))
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({ending, stopping}, timeout=PREPARE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not ending.done():
            running.kill()
            await ending
            if self._stop.is_set():
                raise StoppedEarlyError
            raise HomeError(f"{title}: not done after {PREPARE_SECONDS:.0f} s (see {log})")
        if ending.result():
            raise HomeError(f"{title}: {services.last_line(log)} (see {log})")

    async def _follow(self, running: asyncio.subprocess.Process, log: Path) -> int:
        """Keep what a command says, and show its steps, which begin with its own seconds; returns its exit status."""
        kept = RotatingLog(log)
        while line := await running.stdout.readline():  # type: ignore[union-attr]
            kept.write(line)
            if step := STEP.fullmatch(line.decode(errors="replace").rstrip()):
                self._progress.say(f"  {step[1]}")
        kept.close()
        return await running.wait()

    async def _until_it_serves(self, port: int) -> None:
        """Wait for /healthz to be 200; the banner tells of a part that is late, pages that never come are an error."""
        host = addresses.local_host(self.options.host)
        deadline = time.monotonic() + SERVE_SECONDS
        web = next(child for group in self._groups for child in group if child.process.name == "web")
        told = ""
        while True:
            answer = await asyncio.to_thread(look_at_health, f"http://{host}:{port}/healthz")
            self._failing = answer.get("failing", ["web"])
            if not self._failing:
                return
            broken = web.restarts >= services.MOST_STARTS
            if broken or time.monotonic() > deadline:
                if "web" in self._failing:
                    log = self.home / "logs" / "web.log"
                    what = f"ends with {web.ended}" if broken else f"answers nothing after {SERVE_SECONDS:.0f} s"
                    raise HomeError(f"web {what}: {services.last_line(log)} (see {log})")
                return
            waiting = ", ".join(self._failing)
            if waiting != told:
                self._progress.say(f"Waiting for {waiting}")
                told = waiting
            await self._pause()

    def _banner(self) -> str:
        port, ingest_port = self._ports
        return banner(
            host=self.options.host,
            port=port,
            ingest_port=ingest_port,
            home=self.home,
            demo=self.options.demo,
            warnings=[f"{part} does not serve yet; see {self.home / 'logs'}" for part in self._failing],
            tty=sys.stdout.isatty(),
        )


def worker(queue: str, slots: int) -> Process:
    """A Celery worker of one queue with `slots` jobs at a time; each job's computation is a process of its own."""
    threads = str(max(1, (os.cpu_count() or 1) // slots))
    libraries = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    return python(
        f"worker-{queue}",
        *("-m", "celery", "-A", "labsite.celery", "worker", "-Q", queue, "-n", f"{queue}@%h"),
        *("--pool", "threads", "-c", str(slots), "--loglevel", "INFO", "--without-gossip", "--without-mingle"),
        environment=dict.fromkeys(libraries, threads),
        # Live pictures and pages come first.
        nice=5,
    )


def look_at_health(url: str) -> dict[str, Any]:
    """The body of /healthz, with 200 or 503; empty where nothing answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:  # noqa: S310 - our own address
            body = json.load(reply)
    except urllib.error.HTTPError as error:
        try:
            body = json.load(error)
        except ValueError:
            return {}
    except (OSError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}


def run(options: Options) -> int:
    """Run a laboratory until it is told to stop; returns the exit status."""
    # A proxy of the environment must not be asked for this machine's own pages.
    urllib.request.install_opener(urllib.request.build_opener(urllib.request.ProxyHandler({})))
    return asyncio.run(Supervisor(options).run())
