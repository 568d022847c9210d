"""Live cameras through the real ingest and web processes: 4 cameras x 8 viewers, thin links, viewers who stop reading.

Frames of about 60 kB (640x480 JPEG) come at 30 a second from a feeder that speaks the agents' protocol. The peer is
ustreamer where it is installed (with a stand-in for its camera device), else the figure printed in its place is the
bound that is promised. CPU is that of web, ingest and Redis together, for 1,000 frames delivered to viewers.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks._camera_stack import Link, cpu_seconds, free_port, say, viewer_key, wait_port

ROOT = Path(__file__).resolve().parents[1]
SHIM = ROOT.parent / "shared" / "tools" / "camera_load" / "v4l2shim.c"
CAMERAS, VIEWERS, FPS = 4, 8, 30
WARM_SECONDS, SECONDS = 3.0, 10.0
# A link far away: s each way; which share of 16 kB pieces is lost, and how long TCP takes to send one again.
DELAY, STALLS, STALL = 0.15, 0.01, 0.2


def run() -> list[dict[str, Any]]:
    """Return the rows of the camera benchmark."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "labsite.settings")
    django.setup()
    with tempfile.TemporaryDirectory(prefix="labsite-bench-") as folder:
        with _laboratory(Path(folder)) as place:
            thin = place.measure([*place.viewers(CAMERAS, 1), *place.viewers(1, 4, label="thin", rate=300_000)], "thin")
            stalled = place.measure(
                [*place.viewers(CAMERAS, VIEWERS), *place.viewers(1, VIEWERS, label="stalled", stalled=True)],
                "stalled",
            )
            with closing(Link(place.web_port, delay=DELAY, stalls=STALLS, stall=STALL)) as link:
                far = place.measure(
                    [*place.viewers(CAMERAS, VIEWERS - 1), *place.viewers(CAMERAS, 1, label="far", port=link.port)],
                    "far",
                )
            # Right before its peer: what else runs on the machine costs both the same.
            full = place.measure(place.viewers(CAMERAS, VIEWERS), "full")
        peer = _ustreamer(Path(folder))
    return [*_rows(full, thin, stalled, far, peer)]


def _rows(
    full: dict[str, Any], thin: dict[str, Any], stalled: dict[str, Any], far: dict[str, Any], peer: float | None
) -> Iterator[dict[str, Any]]:
    def row(
        name: str, value: float, unit: str, against: str | None = None, figure: float | None = None
    ) -> dict[str, Any]:
        ratio = value / figure if figure else None
        return {"name": name, "value": value, "unit": unit, "peer": against, "peer_value": figure, "ratio": ratio}

    slowest = min(viewer["fps"] for viewer in full["viewers"])
    yield row(f"cameras: slowest of {CAMERAS} x {VIEWERS} viewers", slowest, "frames/s", "promise", 29.0)
    yield row("cameras: picture age p95", max(v["age_p95"] for v in full["viewers"]), "ms")
    cost = full["cpu"] / full["frames"] * 1000
    against = "ustreamer" if peer else None
    if not peer:
        print(f"cameras: no ratio to ustreamer: {_without_ustreamer()}", file=sys.stderr)
    yield row("cameras: CPU per 1,000 delivered frames, ingest included", cost, "s", against, peer)
    relay = (full["cpu_of"]["web"] + full["cpu_of"]["redis"]) / full["frames"] * 1000
    yield row("cameras: CPU per 1,000 delivered frames, relay and Redis", relay, "s", against, peer)
    for part in ("web", "ingest", "redis"):
        yield row(f"cameras: of which {part}", full["cpu_of"][part] / full["frames"] * 1000, "s")
    thin_age = max(v["age_p95"] for v in thin["viewers"] if v["label"] == "thin")
    yield row("cameras: picture age p95 at 300 kB/s", thin_age / 1000, "s", "promise", 0.5)
    others = min(v["fps"] for v in stalled["viewers"] if v["label"] == "full")
    yield row(f"cameras: slowest viewer beside {VIEWERS} that stopped reading", others, "frames/s", "promise", 29.0)
    lost = sum(v["skipped"] for v in stalled["viewers"] if v["label"] == "full")
    yield row("cameras: frames the others lost to them", lost, "frames")
    age = max(v["age_p95"] for v in far["viewers"] if v["label"] == "far")
    yield row("cameras: picture age p95 with 150 ms each way and 1 % stalls", age / 1000, "s", "promise", 0.6)
    others = min(v["fps"] for v in far["viewers"] if v["label"] == "full")
    yield row("cameras: slowest viewer beside those", others, "frames/s", "promise", 29.0)
    yield row("cameras: memory growth of web with viewers that stopped reading", stalled["growth"] / 1e6, "MB")


class Place:
    """The running processes and how to measure them."""

    def __init__(self, web_port: int, slugs: list[str], key: str, pids: dict[str, int]) -> None:
        self.web_port, self.slugs, self.key, self.pids = web_port, slugs, key, pids

    def _memory(self) -> int:
        return sum(psutil.Process(pid).memory_info().rss for name, pid in self.pids.items() if name == "web")

    def viewers(
        self, cameras: int, each: int, label: str = "full", *, rendition: str = "main", **more: Any
    ) -> list[dict[str, Any]]:
        """Return the plan of ``each`` viewers for each of the first ``cameras``."""
        return [
            {
                "host": "127.0.0.1",
                "port": self.web_port,
                "path": f"/ws/cameras/{slug}/live/?credit=2&rendition={rendition}",
                "key": self.key,
                "label": label,
                **more,
            }
            for slug in self.slugs[:cameras]
            for _ in range(each)
        ]

    def measure(self, plan: list[dict[str, Any]], what: str) -> dict[str, Any]:
        """Let viewers look for SECONDS; returns their frames and what the servers used."""
        command = [sys.executable, "-m", "benchmarks._camera_viewers"]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            say(process, json.dumps(plan))
            if process.stdout.readline().strip() != "ready":
                raise RuntimeError(f"the viewers of {what} did not connect")
            time.sleep(WARM_SECONDS)
            memory = self._memory()
            before = {name: cpu_seconds(pid) for name, pid in self.pids.items()}
            say(process, "start")
            time.sleep(SECONDS)
            after = {name: cpu_seconds(pid) for name, pid in self.pids.items()}
            grown = self._memory() - memory
            say(process, "stop")
            viewers = json.loads(process.stdout.readline())
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            process.stdin.close()
        used = {name: after[name] - before[name] for name in after}
        frames = sum(viewer["frames"] for viewer in viewers)
        return {"viewers": viewers, "frames": frames, "cpu": sum(used.values()), "cpu_of": used, "growth": grown}


@contextmanager
def _laboratory(folder: Path) -> Iterator[Place]:
    """Start ingest and web on the database and Redis of the environment, and a feeder for the cameras."""
    import redis
    from django.conf import settings
    from django.core.management import call_command

    from cameras.models import Camera
    from cameras.services import create_camera
    from sessions.models import Rig
    from sessions.permissions import LABORATORY

    call_command("migrate", verbosity=0)
    key = viewer_key()
    rig, _ = Rig.objects.get_or_create(name="benchmark")
    ports = {"web": free_port(), "ingest": free_port()}
    slugs, feed = [], []
    for number in range(CAMERAS):
        slug = f"bench-{number}"
        Camera.objects.filter(slug=slug).delete()
        _, token = create_camera(by=LABORATORY, slug=slug, name=slug, rig=rig)
        slugs.append(slug)
        url = f"ws://127.0.0.1:{ports['ingest']}/ws/cameras/{slug}/ingest/"
        feed.append({"url": url, "token": token, "fps": FPS, "width": 640, "height": 480})
    processes: list[subprocess.Popen[Any]] = []
    try:
        pids = {}
        for part, port in ports.items():
            command = [sys.executable, "-m", "labsite.stack.serve", part, "--port", str(port)]
            with (folder / f"{part}.log").open("wb") as log:
                started = subprocess.Popen(
                    command, cwd=ROOT, stdout=log, stderr=log, env={**os.environ, "LAB_LOG_LEVEL": "WARNING"}
                )
            processes.append(started)
            pids[part] = started.pid
        for port in ports.values():
            wait_port(port)
        with redis.Redis.from_url(settings.LAB_REDIS_URL) as client:
            pids["redis"] = client.info("server")["process_id"]
        feeder = subprocess.Popen(
            [sys.executable, "-m", "benchmarks._camera_feeder"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(feeder)
        say(feeder, json.dumps(feed))
        assert feeder.stdout is not None
        feeder.stdout.readline()
        yield Place(ports["web"], slugs, key, pids)
    finally:
        # The feeder first: it would complain of servers that go.
        for process in reversed(processes):
            process.kill()
            process.wait()
        for slug in slugs:
            Camera.objects.filter(slug=slug).delete()


def _without_ustreamer() -> str:
    """Return why ustreamer cannot run here, in words; empty where it can."""
    for program in ("ustreamer", "gcc"):
        if not shutil.which(program):
            return f"there is no {program} on PATH"
    return "" if SHIM.is_file() else f"there is no {SHIM}"


def _ustreamer(folder: Path) -> float | None:
    """Return ustreamer's CPU seconds for 1,000 delivered frames of the same size, or ``None`` where it cannot run."""
    from benchmarks._camera_feeder import pool

    if _without_ustreamer():
        return None
    library = folder / "v4l2shim.so"
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", str(library), str(SHIM), "-ldl"], check=True)
    pictures = folder / "pool.bin"
    pictures.write_bytes(b"".join(len(p).to_bytes(4, "little") + p for p in pool(640, 480, 62_000)))
    processes, ports = [], []
    try:
        for number in range(CAMERAS):
            port = free_port()
            ports.append(port)
            command = [
                "ustreamer", "-d", "/dev/video0", "-m", "MJPEG", "-c", "HW", "-r", "640x480", "-f", str(FPS),
                "-s", "127.0.0.1", "-p", str(port), "--log-level", "0",
            ]  # fmt: skip
            environment = {"SHIM_POOL": str(pictures), "SHIM_CAM": str(number), "LD_PRELOAD": str(library)}
            processes.append(
                subprocess.Popen(
                    command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
            )
        for port in ports:
            wait_port(port)
        plan = [
            {"host": "127.0.0.1", "port": port, "path": "/stream", "http": True, "label": "full"}
            for port in ports
            for _ in range(VIEWERS)
        ]
        pids = {f"ustreamer {number}": process.pid for number, process in enumerate(processes)}
        measured = Place(0, [], "", pids).measure(plan, "ustreamer")
        return measured["cpu"] / measured["frames"] * 1000 if measured["frames"] else None
    finally:
        for process in processes:
            process.kill()
            process.wait()
