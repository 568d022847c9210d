"""A laboratory started by its command as a person would, and watched from outside."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import psutil
import pytest

from tests.waiting import until

ROOT = Path(__file__).resolve().parent.parent.parent
# Laboratories that several tests share, by the group of those tests (`SHARED` in tests/conftest.py).
LABORATORIES = pytest.StashKey[dict[str, "Laboratory"]]()
# For two cores that other tests keep busy; alone it is a fraction of that.
START_SECONDS = 240


def environment(**more: str) -> dict[str, str]:
    """What a person's shell has: nothing of the laboratory, but the environment that these tests run in."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("LAB_", "DJANGO_"))}
    return {**inherited, "LAB_VENV": sys.prefix, **more}


def lab(*arguments: str, seconds: float = START_SECONDS, root: Path = ROOT, **more: str) -> subprocess.CompletedProcess:
    """Run `./lab` to its end."""
    return subprocess.run(
        [str(root / "lab"), *arguments],
        capture_output=True,
        text=True,
        env=environment(**more),
        timeout=seconds,
        check=False,
        stdin=subprocess.DEVNULL,
    )


class Laboratory:
    """`./lab up` or `./lab demo` on a LAB_HOME, with what it prints."""

    def __init__(self, home: Path, command: str = "up", *arguments: str, root: Path = ROOT, **more: str) -> None:
        self.home = home
        self.began = time.monotonic()
        self.running = subprocess.Popen(
            [str(root / "lab"), command, "--home", str(home), *(arguments or ("--port", "0"))],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            env=environment(**more),
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.running.stdout is not None
        with self.running.stdout as lines:
            for line in lines:
                self._lines.append(line)

    @property
    def output(self) -> str:
        return "".join(self._lines)

    def wait_for_banner(self, seconds: float = START_SECONDS) -> Laboratory:
        """Wait until it says that it runs."""

        def banner() -> bool:
            assert self.running.poll() is None, self.output
            return "Ctrl-C stops everything." in self.output

        until(banner, seconds, lambda: f"the banner; it said:\n{self.output}")
        self.url = self.state()["url"].rstrip("/")
        self.banner_at = time.time()
        return self

    def state(self) -> dict[str, Any]:
        return json.loads((self.home / "run" / "stack.json").read_text())

    def process(self, name: str) -> dict[str, Any]:
        return next(process for process in self.state()["processes"] if process["name"] == name)

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        """Status and body of a page."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=10)
        try:
            connection.request("GET", path, headers=headers)
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def post(self, path: str, body: dict[str, Any], **headers: str) -> tuple[int, Any]:
        """Status and JSON of a POST."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=10)
        try:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **headers})
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read())
        finally:
            connection.close()

    def token(self) -> str:
        """A token of the administrator, for REST."""
        password = (self.home / "admin-password").read_text().strip()
        status, reply = self.post("/api/v1/auth/token/", {"username": "admin", "password": password})
        assert status == 200, reply
        return reply["token"]

    def browser(self) -> urllib.request.OpenerDirector:
        """Someone who has logged in by the login page."""
        cookies = CookieJar()
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(cookies)
        )
        opener.open(f"{self.url}/login/", timeout=20).close()
        form = {
            "username": "admin",
            "password": (self.home / "admin-password").read_text().strip(),
            "csrfmiddlewaretoken": next(cookie.value for cookie in cookies if cookie.name == "csrftoken"),
        }
        with opener.open(f"{self.url}/login/", urlencode(form).encode(), timeout=20) as reply:
            assert "/login/" not in reply.url, "the login page refused the password"
        return opener

    def health(self) -> tuple[int, dict[str, Any]]:
        """Status and body of /healthz; 0 and nothing while no page comes."""
        try:
            status, body = self.get("/healthz")
            return status, json.loads(body)
        except (OSError, http.client.HTTPException, ValueError):
            return 0, {}

    def descendants(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.running.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def stop(self, number: signal.Signals = signal.SIGINT, seconds: float = 60) -> int:
        """Send it a signal, wait, and check that nothing that it started is left; returns its exit status."""
        started = self.descendants()
        if self.running.poll() is None:
            self.running.send_signal(number)
        status = self.running.wait(seconds)
        self._reader.join(10)
        until(lambda: not alive(started), 15, f"the end of {[process.name() for process in alive(started)]}")
        return status


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; one that ended and waits for its parent does not."""
    found = []
    for process in processes:
        try:
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found
