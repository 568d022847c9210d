"""An upload of 2 GB by tuspy through the real server, cut five times at random places: client killed, server killed.

The file has to arrive with its SHA-256, and the server's memory has to stay flat however long the file is.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import requests

from benchmarks._camera_stack import ROOT, Stack

# It takes minutes and four gigabytes of disk.
ON_REQUEST = True
CUTS = 5
PIECE = 64_000_000
MOST_GROWN_MB = 64
PATIENCE = 300.0


def run(megabytes: int = 2000) -> list[dict[str, Any]]:
    """Return how long the upload took and by how much the server grew; RuntimeError when it is not what was sent."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "labsite.settings")
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    with tempfile.TemporaryDirectory(prefix="labsite-bench-") as name:
        folder = Path(name)
        (folder / "data").mkdir()
        stack = Stack(Path(os.environ["LAB_HOME"]), folder, folder / "data")
        try:
            stack.start_servers()
            return _Upload(stack, _file(folder / "voltage.npy", megabytes)).measured()
        except BaseException:
            stack.print_logs()
            raise
        finally:
            stack.close()


def _file(path: Path, megabytes: int) -> Path:
    """Write an array of random samples (int32)."""
    numbers = np.random.default_rng(1)
    samples = np.lib.format.open_memmap(path, mode="w+", dtype="int32", shape=(megabytes * 250_000,))
    for start in range(0, len(samples), 1_000_000):
        part = samples[start : start + 1_000_000]
        part[:] = numbers.integers(-(2**31), 2**31, len(part), dtype="int32")
    samples.flush()
    return path


class _Upload:
    """The file on its way, its server, and who sends."""

    def __init__(self, stack: Stack, file: Path) -> None:
        from django.contrib.auth import get_user_model
        from django.utils import timezone

        from sessions.models import Project, Session
        from sessions.tokens import create_token

        self.stack, self.file, self.size = stack, file, file.stat().st_size
        user = get_user_model().objects.create_superuser(f"sender {time.time_ns()}")
        self.token = create_token(user=user, name="upload")[1]
        project, _ = Project.objects.get_or_create(name="benchmark")
        self.session = Session.objects.create(project=project, start=timezone.now())
        self.headers = {"Authorization": f"Token {self.token}"}
        self.grown = 0.0
        self._before: dict[int, int] = {}

    def measured(self) -> list[dict[str, Any]]:
        """Send the file with its cuts and return the rows."""
        from tusclient.client import TusClient

        collection = f"http://127.0.0.1:{self.stack.ports['web']}/api/v1/uploads/"
        named = {
            "filename": "voltage.npy",
            "session": str(self.session.pk),
            "kind": "lfp",
            "parameters": '{"rate": 1000}',
        }
        with self.file.open("rb") as stream:
            uploader = TusClient(collection, headers=self.headers).uploader(file_stream=stream, metadata=named)
            address = uploader.create_url()
        chance = random.SystemRandom()
        places = sorted(chance.sample(range(self.size // 50, self.size), CUTS))
        began = time.monotonic()
        client = self._client(address)
        try:
            for number, place in enumerate(places):
                self._wait_for(address, place, client)
                victim = ("client", "server")[number % 2]
                print(f"upload: the {victim} is killed at {place / 1e6:.0f} MB", file=sys.stderr, flush=True)
                if victim == "server":
                    self.stack.kill("web")
                    self.stack.restart("web")
                else:
                    client.kill()
                    client.wait()
                    client = self._client(address)
            self._wait_for(address, self.size, client)
            if client.wait(timeout=PATIENCE) != 0:
                raise RuntimeError("the client gave up")
        finally:
            client.kill()
            client.wait()
        seconds = time.monotonic() - began
        self._compare(address)
        return [
            _row(f"upload of {self.size / 1e6:.0f} MB cut {CUTS} times, rate", self.size / 1e6 / seconds, "MB/s"),
            _row("upload, the server's memory grew by", self.grown, "MB", MOST_GROWN_MB),
        ]

    def _client(self, address: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "benchmarks._upload_client", address, str(self.file), self.token, str(PIECE)]
        return subprocess.Popen(command, cwd=ROOT)

    def _wait_for(self, address: str, place: int, client: subprocess.Popen[bytes]) -> None:
        """Return when so many bytes are safe, looking at the server's memory meanwhile."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            safe = self._told(address)["offset"]
            self._look_at_memory()
            if safe >= place:
                return
            if client.poll() not in {None, 0}:
                raise RuntimeError(f"the client ended with {client.returncode}")
            time.sleep(0.05)
        raise RuntimeError(f"the upload did not come to {place} bytes in {PATIENCE:.0f} s")

    def _told(self, address: str) -> dict[str, Any]:
        reply = requests.get(address, headers=self.headers, timeout=60)
        reply.raise_for_status()
        return dict(reply.json())

    def _look_at_memory(self) -> None:
        server = psutil.Process(self.stack.pid("web"))
        resident = sum(process.memory_info().rss for process in [server, *server.children(recursive=True)])
        # Each server is compared with itself after its first reply: until then it loads what it is made of.
        before = self._before.setdefault(server.pid, resident)
        self.grown = max(self.grown, (resident - before) / 1e6)

    def _compare(self, address: str) -> None:
        from sessions.models import DataFile

        found = DataFile.objects.get(recording=self._told(address)["recording"])
        sums = []
        for path in (self.file, self.stack.data_root / found.path):
            with path.open("rb") as stream:
                sums.append(hashlib.file_digest(stream, "sha256").hexdigest())
        if sums[0] != sums[1]:
            raise RuntimeError("what arrived is not what was sent")


def _row(name: str, value: float, unit: str, most: float | None = None) -> dict[str, Any]:
    peer = {"peer": "at most" if most else None, "peer_value": most, "ratio": value / most if most else None}
    return {"name": name, "value": value, "unit": unit, **peer, "broken": most is not None and value > most}
