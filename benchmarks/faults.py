"""No frame is lost: four cameras record at 30 a second while everything is killed, cut off, stalled and filled.

SIGKILL and restart of web, ingest, Redis, Postgres and the agents, in turn and then at random (sometimes two at once);
a network that is cut like a cable; a disk that stalls (a frozen file system, where one may be mounted, else an ingest
that is stopped); a disk that fills. After each the run waits until live pictures come again and the recording is whole
up to now; at the end every picture is decoded and the number in it compared with the frame table.

Only a killed agent may lose frames: what it had captured and not yet written, at most a second of it, as one gap that
is marked. It takes minutes, so it runs only when it is named: ``./lab bench faults --kills 50 --cut 60``.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import requests

from benchmarks._camera_recordings import LostFramesError, look_at_every_picture, table_of, until
from benchmarks._camera_stack import Link, Stack, disk_of_its_own, make_cameras, make_session, viewer_key

ON_REQUEST = True
CAMERAS, FPS, SIZE = 4, 30, "320x240"
BOXES = 2
VICTIMS = ("box-0", "box-1", "web", "ingest", "redis", "postgres")
MOST_LOST_BY_AN_AGENT = 1.0
CATCH_UP_SECONDS = 60.0
DISK_BYTES = 3_000_000_000
ALARM_BYTES, RESERVE_BYTES = 400_000_000, 200_000_000


@dataclass
class Followed:
    """A recording, and the gaps that killed agents have left in it."""

    slug: str
    box: str
    folder: Path
    gaps: list[tuple[int, int]] = field(default_factory=list)


def run(*, kills: int = 50, cut: int = 60) -> list[dict[str, Any]]:
    """Do it; ``kills`` processes are killed and the network is cut for ``cut`` seconds. LostFramesError ends it."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "labsite.settings")
    django.setup()
    from django.conf import settings
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    home = Path(os.environ["LAB_HOME"])
    with tempfile.TemporaryDirectory(prefix="labsite-faults-") as name:
        folder = Path(name)
        with disk_of_its_own(folder, DISK_BYTES) as (data, no_disk):
            settings.LAB_DATA_ROOT, settings.LAB_DISK_RESERVE = data, RESERVE_BYTES
            limits = {"LAB_DISK_ALARM": str(ALARM_BYTES), "LAB_DISK_RESERVE": str(RESERVE_BYTES)}
            stack = Stack(home, folder, data, **limits)
            stack.start_servers()
            link = Link(stack.ports["ingest"])
            try:
                with _recording(stack, link) as trial:
                    trial.kill_all(kills)
                    trial.cut(link, cut)
                    trial.stall(no_disk, max(3.0, cut / 6))
                    trial.fill(no_disk)
                return trial.rows()
            except (LostFramesError, TimeoutError):
                stack.print_logs()
                raise
            finally:
                stack.close()
                link.close()


@contextmanager
def _recording(stack: Stack, link: Link) -> Iterator[Trial]:
    """Record all cameras, two to a box, for as long as the block lasts; then stop and look at every picture."""
    from cameras import services
    from sessions.permissions import LABORATORY

    rig, cameras = make_cameras(CAMERAS, "faults")
    session = make_session(rig)
    each = CAMERAS // BOXES
    for box in range(BOXES):
        stack.start_box(f"box-{box}", cameras[box * each : (box + 1) * each], link.port, fps=FPS, size=SIZE)
    recordings = services.start_recording(session=session, by=LABORATORY)
    recordings.sort(key=lambda row: row.camera.slug)
    followed = [
        Followed(row.camera.slug, f"box-{number // each}", stack.data_root / row.folder)
        for number, row in enumerate(recordings)
    ]
    trial = Trial(stack, session, followed, viewer_key())
    trial.settle("start", time.monotonic())
    yield trial
    services.stop_recording(session=session, by=LABORATORY)
    for row, one in zip(recordings, followed, strict=True):
        trial.finish(row, one)


class Trial:
    """One run: what is done to the laboratory, and what is found afterwards."""

    def __init__(self, stack: Stack, session: Any, followed: list[Followed], key: str) -> None:
        self._stack, self._session, self._followed = stack, session, followed
        self._viewer = requests.Session()
        self._viewer.headers["Authorization"] = f"Token {key}"
        # Which victim comes next is the same in each run, the moment is not.
        self._random = random.Random(7)
        self._kills = self._frames = self._allowed = 0
        self._longest: dict[str, float] = {}
        self._agent_lost: list[float] = []
        self._skipped: list[str] = []
        print(f"{'what':<22}{'down s':>8}{'live s':>8}{'whole s':>9}{'lost':>6}  a killed agent had not spooled")

    # ---- what is done

    def kill_all(self, kills: int) -> None:
        """Kill each in turn, then at random, one in four times two at once, until there were so many kills."""
        turn = list(VICTIMS)
        while self._kills < kills:
            victims = [turn.pop(0)] if turn else [self._random.choice(VICTIMS)]
            if not turn and self._kills + 1 < kills and self._random.random() < 0.25:
                victims.append(self._random.choice([name for name in VICTIMS if name != victims[0]]))
            began = time.monotonic()
            killed = {victim: self._stack.kill(victim) for victim in victims}
            self._kills += len(victims)
            time.sleep(self._random.uniform(0.2, 1.5))
            # Postgres and Redis before those that need them to start.
            for victim in sorted(victims, key=("postgres", "redis").__contains__, reverse=True):
                self._stack.restart(victim)
            self.settle("+".join(victims), began, killed)

    def cut(self, link: Link, seconds: float) -> None:
        """Cut the network between the boxes and the server."""
        began = time.monotonic()
        link.tell("cut")
        time.sleep(seconds)
        link.tell("join")
        self.settle(f"network cut {seconds:g} s", began)

    def stall(self, no_disk: str, seconds: float) -> None:
        """Let the disk take nothing for a while; where there is none to freeze, stop the one that writes."""
        began = time.monotonic()
        if no_disk:
            ingest = self._stack.processes["ingest"]
            ingest.send_signal(signal.SIGSTOP)
            time.sleep(seconds)
            ingest.send_signal(signal.SIGCONT)
            self.settle(f"ingest stopped {seconds:g} s", began)
            return
        # In a process of its own: however this one ends, the disk is let go again.
        command = 'fsfreeze -f "$0"; sleep "$1"; fsfreeze -u "$0"'
        done = subprocess.run(["sh", "-c", command, str(self._stack.data_root), str(seconds)], check=False)
        if done.returncode:
            raise RuntimeError("the disk could not be frozen and let go")
        self.settle(f"disk stalled {seconds:g} s", began)

    def fill(self, no_disk: str) -> None:
        """Fill the disk: an early alarm, then an alert that nothing is stored; nothing is deleted, all is caught up."""
        from cameras import services
        from cameras.errors import DiskLow
        from cameras.models import AlertKind
        from sessions.permissions import LABORATORY

        if no_disk:
            self._skipped.append(f"full disk: {no_disk}")
            return
        data = self._stack.data_root
        free = shutil.disk_usage(data).free
        ballast = data / "ballast"
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free - ALARM_BYTES + 50_000_000)
        until(lambda: _open_alerts() == {AlertKind.DISK: 1}, "the early alarm", 30)
        began = time.monotonic()
        size = _fill(data / "ballast-2")
        until(lambda: _open_alerts().get(AlertKind.UNSTORED) == len(self._followed), "the alert that it is full", 60)
        before = [len(table_of(one.folder)) for one in self._followed]
        try:
            services.start_recording(session=self._session, by=LABORATORY)
        except DiskLow:
            pass
        else:
            raise RuntimeError("a recording was started on a full disk")
        if any(len(table_of(one.folder)) < count for one, count in zip(self._followed, before, strict=True)):
            raise LostFramesError("something was deleted to make room")
        ballast.unlink()
        (data / "ballast-2").unlink()
        self.settle(f"disk full ({size / 1e6:.0f} MB)", began)
        until(lambda: not _open_alerts(), "the end of the alerts", 30)

    # ---- what is found

    def settle(self, what: str, began: float, killed: dict[str, int] | None = None) -> None:
        """Wait until live pictures come again and the recordings are whole up to now; print how long it took."""
        killed = killed or {}
        back, now = time.monotonic(), time.time_ns()
        for one in self._followed:
            until(lambda one=one: self._live(one.slug), f"a live picture of {one.slug} after {what}")  # type: ignore[misc]
        live = time.monotonic()
        lost: list[str] = []
        for one in self._followed:
            if (seconds := self._whole(one, what, now, killed.get(one.box))) is not None:
                self._agent_lost.append(seconds)
                lost.append(f"{seconds * 1000:.0f} ms")
        whole = time.monotonic()
        self._longest[what] = whole - back
        print(
            f"{what:<22}{back - began:>8.1f}{live - back:>8.1f}{whole - back:>9.1f}{0:>6}  {', '.join(lost)}",
            flush=True,
        )

    def _live(self, slug: str) -> bool:
        url = f"http://127.0.0.1:{self._stack.ports['web']}/cameras/{slug}/snapshot.jpg"
        try:
            return self._viewer.get(url, timeout=10).status_code == 200
        except requests.RequestException:
            return False

    def _whole(self, one: Followed, what: str, since: int, killed: int | None) -> float | None:
        """Wait until all captured before ``since`` is stored; returns what a killed agent had not spooled (s)."""
        expected = len(one.gaps) + (killed is not None)
        found: Any = None

        def whole() -> bool:
            nonlocal found
            found = table_of(one.folder)
            if _newest(found) <= since or len(found.gaps()) != expected:
                return False
            # Live frames overtake those that are sent again: the gap is as it stays once the marked frame is there.
            return killed is None or all(_is_marked(found, gap) for gap in found.gaps() if gap not in one.gaps)

        try:
            until(whole, "", CATCH_UP_SECONDS)
        except TimeoutError:
            gaps = [gap for gap in found.gaps() if gap not in one.gaps]
            late = "" if _newest(found) > since else ", and none that was captured since is there"
            raise LostFramesError(f"{one.slug} after {what}: the gaps {gaps} are no marked ones{late}") from None
        if killed is None:
            return None
        records = found.in_order()
        new = [gap for gap in found.gaps() if gap not in one.gaps]
        if len(new) != 1:
            raise LostFramesError(f"{one.slug} after {what}: the gaps {new} are not the one of the killed agent")
        after = int(np.searchsorted(records["sequence"], new[0][1] + 1))
        last, first = int(records["captured_ns"][after - 1]), int(records["captured_ns"][after])
        if not last <= killed < first:
            raise LostFramesError(f"{one.slug} after {what}: the gap {new[0]} is not where the agent was killed")
        seconds = (killed - last) / 1e9
        if seconds > MOST_LOST_BY_AN_AGENT:
            raise LostFramesError(f"{one.slug} after {what}: the killed agent had not spooled {seconds:.2f} s")
        one.gaps.append(new[0])
        one.gaps.sort()
        return seconds

    def finish(self, row: Any, one: Followed) -> None:
        """Wait for the end of a recording; look at every byte and every picture of it."""

        def done() -> bool:
            row.refresh_from_db()
            return row.state in {"finished", "failed"}

        until(done, f"the end of the recording of {one.slug}")
        if row.state != "finished":
            raise LostFramesError(f"{one.slug}: {row.message}")
        table = table_of(one.folder)
        allowed = sum(last - first + 1 for first, last in one.gaps)
        if table.gaps() != one.gaps or row.lost != allowed or table.torn_bytes or table.missing:
            raise LostFramesError(
                f"{one.slug}: gaps {table.gaps()}, {row.lost} lost, {table.missing} without a picture"
            )
        look_at_every_picture(one.folder, table)
        self._frames += len(table)
        self._allowed += allowed

    def rows(self) -> list[dict[str, Any]]:
        """Return the figures of the run."""

        def row(name: str, value: float, unit: str, promise: float | None = None) -> dict[str, Any]:
            ratio = value / promise if promise else None
            peer = None if promise is None else "promise"
            return {
                "name": f"faults: {name}", "value": value, "unit": unit,
                "peer": peer, "peer_value": promise, "ratio": ratio,
            }  # fmt: skip

        for reason in self._skipped:
            print(f"left out: {reason}")
        rows = [
            row("processes killed", self._kills, "kills"),
            row("frames recorded and looked at", self._frames, "frames"),
            row("frames lost that nobody may lose", 0, "frames", 0.0),
            row("longest until a recording was whole again", max(self._longest.values()), "s"),
        ]
        if self._agent_lost:
            rows.append(row("most that a killed agent had not spooled", max(self._agent_lost), "s", 1.0))
        return rows


def _is_marked(table: Any, gap: tuple[int, int]) -> bool:
    """Return whether the frame behind a gap says that it comes after one."""
    records = table.in_order()
    return bool(records["flags"][np.searchsorted(records["sequence"], gap[1] + 1)] & 4)


def _newest(table: Any) -> int:
    """Return when the newest frame was captured, ns since the Unix epoch."""
    return int(table.records["captured_ns"].max()) if len(table) else 0


def _open_alerts() -> dict[str, int]:
    from cameras.models import CameraAlert

    kinds = CameraAlert.objects.filter(resolved__isnull=True).values_list("kind", flat=True)
    return {kind: list(kinds).count(kind) for kind in kinds}


def _fill(path: Path) -> int:
    """Write until the disk is full; returns how many bytes it took."""
    size = 0
    with path.open("wb", buffering=0) as file:
        for step in (1 << 24, 1 << 20, 1 << 16, 1 << 12):
            try:
                while True:
                    os.posix_fallocate(file.fileno(), size, step)
                    size += step
            except OSError:
                continue
    return size
