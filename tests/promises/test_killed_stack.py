"""All is killed in the middle of a recording: the pictures are there, play, and come into the catalog."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import psutil
import pytest

from cameras import frametable
from cameras.agent.strip import read_number
from tests.stack.laboratory import ROOT, Laboratory, alive, environment
from tests.waiting import until

pytestmark = pytest.mark.timeout(600)

PROCESSES = {"postgres", "redis", "web", "ingest", "worker-default", "worker-cpu", "supervise"}


def free_ports() -> list[str]:
    """Two ports that nobody listens on now: a laboratory that starts again has to be where its agents look for it."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(2)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [str(one.getsockname()[1]) for one in sockets]


class Box:
    """A behaviour box: a machine of its own, whose camera agent is started by its command."""

    def __init__(self, folder: Path, slug: str, token: str, ingest_port: str) -> None:
        self._log = (folder / "agent.log").open("ab")
        (folder / "token").write_text(token)
        self._command = [
            str(ROOT / "lab"), "agent", "--source", "sim:", "--size", "320x240", "--fps", "30",
            "--url", f"ws://127.0.0.1:{ingest_port}/ws/cameras/{slug}/ingest/",
            "--token-file", str(folder / "token"), "--spool", str(folder / "spool"),
        ]  # fmt: skip
        self.running = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        self.running = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, env=environment()
        )
        return self.running

    def end(self) -> None:
        self.running.kill()
        self.running.wait(10)
        self._log.close()


@pytest.fixture
def ending() -> Iterator[ExitStack]:
    """What is put here ends with the test, last first."""
    with ExitStack() as stack:
        yield stack


def ask(laboratory: Laboratory, token: str, path: str) -> dict[str, Any]:
    status, body = laboratory.get(f"/api/v1/{path}", Authorization=f"Token {token}")
    assert status == 200, body
    return json.loads(body)


def tell(laboratory: Laboratory, token: str, path: str, **body: Any) -> dict[str, Any]:
    status, reply = laboratory.post(f"/api/v1/{path}", body, Authorization=f"Token {token}")
    assert status in (200, 201), reply
    return reply


def frames_below(folder: Path) -> int:
    """How many frames the table holds that lies somewhere below a folder; 0 before there is one."""
    try:
        (table,) = folder.rglob("frames.labt")
        return len(frametable.read(table.parent))
    except (ValueError, frametable.TableError):
        return 0


def check(folder: Path) -> frametable.FrameTable:
    """Every record of the table names a picture that carries its number, and players read the segments as they are."""
    table = frametable.read(folder)
    numbers = []
    for record in table.records:
        picture = cv2.imdecode(np.frombuffer(frametable.read_picture(folder, record), np.uint8), cv2.IMREAD_GRAYSCALE)
        assert picture.shape == (record["height"], record["width"])
        numbers.append(read_number(picture))
    assert numbers == table.records["sequence"].tolist()
    played = []
    for segment in np.unique(table.records["segment"]):
        with av.open(str(folder / frametable.segment_name(int(segment))), format="mjpeg") as film:
            played += [read_number(frame.to_ndarray(format="gray")) for frame in film.decode(video=0)]
    # A picture whose record the crash took may follow the last one of the table; none may be missing or out of place.
    assert played[: len(numbers)] == numbers
    return table


def kill_all(laboratory: Laboratory, box: Box) -> None:
    """``kill -9`` of the supervisor first, so that it can repair nothing, then of all that it started and the agent."""
    agent = psutil.Process(box.running.pid)
    killed = [psutil.Process(laboratory.running.pid), *laboratory.descendants(), agent, *agent.children(recursive=True)]
    assert {process["name"] for process in laboratory.state()["processes"]} >= PROCESSES
    assert len(killed) > len(PROCESSES) + 2
    for process in killed:
        # The kernel may have ended a child with its supervisor.
        if process.is_running():
            process.kill()
    for popen in (laboratory.running, box.running):
        popen.wait(10)
    until(lambda: not alive(killed), 15, lambda: f"the end of {alive(killed)}")
    # After a restart of the machine the numbers of the dead are those of others.
    for lock in (laboratory.home / "postgres" / "postmaster.pid", *(laboratory.home / "run").rglob(".s.PGSQL.*.lock")):
        lock.write_text("\n".join([str(os.getpid()), *lock.read_text().splitlines()[1:]]) + "\n")


# The processes of the cameras are killed in the middle of a recording in every run (tests/cameras/test_recording.py).
@pytest.mark.long
def test_a_recording_survives_the_end_of_every_process(tmp_path, ending):
    home = tmp_path / "home"
    port, ingest_port = free_ports()
    listening = ("--port", port, "--ingest-port", ingest_port)
    laboratory = Laboratory(home, "up", *listening)
    ending.callback(laboratory.stop)
    laboratory.wait_for_banner()
    token = laboratory.token()
    tell(laboratory, token, "projects/", name="Memory")
    rig = tell(laboratory, token, "rigs/", name="Box 1", project="Memory")
    camera = tell(laboratory, token, "cameras/", slug="box-1-top", name="from above", rig=rig["id"])
    session = tell(laboratory, token, "sessions/", project="Memory", rig="Box 1")
    box = Box(tmp_path, "box-1-top", camera["token"], ingest_port)
    ending.callback(box.end)
    until(lambda: ask(laboratory, token, "cameras/box-1-top/")["state"]["live"], 60, "a live picture")

    (started,) = tell(laboratory, token, f"sessions/{session['id']}/record/")["recordings"]
    videos = home / "data" / "video"
    until(lambda: frames_below(videos) >= 60, 60, "60 frames on the disk")
    kill_all(laboratory, box)

    (folder,) = (table.parent for table in videos.rglob("frames.labt"))
    before = check(folder)
    assert len(before) >= 60
    assert before.lost() == 0

    laboratory = Laboratory(home, "up", *listening)
    ending.callback(laboratory.stop)
    laboratory.wait_for_banner()
    box.start()
    # It records on by itself: nobody has told it to stop.
    until(lambda: frames_below(videos) >= len(before) + 60, 90, "60 more frames on the disk")
    tell(laboratory, token, f"sessions/{session['id']}/stop/")

    def ended() -> dict[str, Any]:
        row = ask(laboratory, token, f"camera-recordings/{started['id']}/")
        assert row["state"] != "failed", row
        return row if row["state"] == "finished" else {}

    row = until(ended, 60, "the end of the recording")
    table = check(folder)
    assert table.torn_bytes == table.missing == 0
    assert table.in_order()["sequence"][: len(before)].tolist() == before.in_order()["sequence"].tolist()
    # What the agent had taken and could no more send is one gap, counted and marked, and nothing else is missing.
    assert len(table.gaps()) <= 1
    assert row["lost"] == table.lost()
    assert row["frames"] == len(table.in_order())

    recording = ask(laboratory, token, f"recordings/{row['recording']}/")
    assert (recording["kind"], recording["session"]) == ("video", session["id"])
    assert recording["facts"]["frames"] == row["frames"]
    assert {"segment", "frames", "clock"} <= {file["role"] for file in recording["files"]}
    for file in recording["files"]:
        assert (home / "data" / file["path"]).stat().st_size == file["size"]
    status, content = laboratory.get(
        next(file["download"] for file in recording["files"] if file["role"] == "frames").partition(laboratory.url)[2],
        Authorization=f"Token {token}",
    )
    assert status == 200
    assert content == (folder / "frames.labt").read_bytes()
