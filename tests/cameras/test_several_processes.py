"""Several ingest processes share the agents and several web processes the viewers: nobody notices which."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.db import connection
from websockets.exceptions import ConnectionClosed

from cameras import services
from cameras.models import CameraRecording
from labsite.stack.command import main, parser
from tests.cameras.conftest import make_catalog
from tests.cameras.laboratory import Laboratory, database_url, next_frame, next_json, wait_for


def test_the_command_line_says_how_many(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    options = parser().parse_args(["up", "--web", "2", "--ingest", "3"])
    assert (options.web, options.ingest) == (2, 3)
    monkeypatch.setenv("LAB_INGEST_PROCESSES", "4")
    assert parser().parse_args(["up"]).ingest == 4
    monkeypatch.setenv("LAB_WEB_PROCESSES", "many")
    with pytest.raises(SystemExit):
        main(["up"])
    assert "'many' is no number of processes" in capsys.readouterr().err


@pytest.fixture
def shared(transactional_db: None, tmp_path: Path, settings: Any) -> Iterator[Laboratory]:
    """A laboratory with two processes of each kind."""
    made = Laboratory(tmp_path, tmp_path / "data", database_url(connection.settings_dict))
    settings.LAB_REDIS_URL, settings.LAB_DATA_ROOT, settings.LAB_DISK_RESERVE = made.redis_url, made.data_root, 0
    try:
        made.start_redis()
        made.start_server("ingest", "web", processes=2)
        for part in ("ingest", "web"):
            wait_for(
                lambda part=part: made.log(part).count("Started server process") == 2, f"two processes of {part}", 60
            )
        yield made
    finally:
        made.close()


def processes(laboratory: Laboratory, part: str) -> list[psutil.Process]:
    return psutil.Process(laboratory.processes[part].pid).children()


@contextmanager
def only(one: psutil.Process, both: list[psutil.Process]) -> Iterator[None]:
    """Let one of two processes take what connects now: the other is stopped for so long."""
    other = next(process for process in both if process.pid != one.pid)
    other.send_signal(signal.SIGSTOP)
    wait_for(lambda: other.status() == psutil.STATUS_STOPPED, "stopped process")
    try:
        yield
    finally:
        other.send_signal(signal.SIGCONT)


@pytest.mark.long
def test_cameras_are_recorded_and_watched_through_any_of_them(shared: Laboratory) -> None:
    catalog = make_catalog(cameras=5)
    slugs = [camera.slug for camera in catalog.cameras]
    ingest, web = processes(shared, "ingest"), processes(shared, "web")
    for process, mine in zip(ingest, (slugs[:2], slugs[2:4]), strict=True):
        with only(process, ingest):
            for slug in mine:
                shared.start_agent(slug, catalog.tokens[slugs.index(slug)], fps=10)
            for slug in mine:
                wait_for(lambda slug=slug: shared.state(slug).get("fps"), f"picture of {slug}")
    spare = catalog.cameras[4]

    # An agent that comes back to the other process: that one has it, and the older connection is told so.
    with only(ingest[0], ingest):
        older = shared.connect_agent(spare.slug, catalog.tokens[4])
        next_json(older, "hello")
    with only(ingest[1], ingest):
        newer = shared.connect_agent(spare.slug, catalog.tokens[4])
        next_json(newer, "hello")
    with pytest.raises(ConnectionClosed) as closed:
        next_json(older, "never")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4409
    next_json(newer, "time")
    assert shared.state(spare.slug)["online"]
    newer.close()
    services.update_camera(by=catalog.experimenter, camera=spare, enabled=False)

    recordings = services.start_recording(session=catalog.session, by=catalog.experimenter)
    assert len(recordings) == 4
    for slug in slugs[:4]:
        wait_for(lambda slug=slug: shared.state(slug).get("recording"), f"recording of {slug}")

    # Both web processes show the cameras of both ingest processes.
    for process in web:
        with only(process, web):
            for slug in slugs[1:3]:
                assert next_frame(shared.connect_viewer(slug, catalog.keys["view"]))

    # One dies in the middle; the other takes its cameras over until it is back.
    ingest[0].kill()
    wait_for(
        lambda: len(processes(shared, "ingest")) == 2 and ingest[0].pid not in _pids(shared), "process started again"
    )
    counted = {slug: len(shared.table(row.folder)) for slug, row in zip(slugs, recordings, strict=False)}
    for slug, row in zip(slugs, recordings, strict=False):
        wait_for(lambda slug=slug, row=row: len(shared.table(row.folder)) > counted[slug] + 10, f"more of {slug}", 40)
    services.stop_recording(session=catalog.session, by=catalog.experimenter)
    wait_for(lambda: not CameraRecording.objects.exclude(state="finished").exists(), "finished recordings", 40)
    for row in CameraRecording.objects.all():
        numbers = shared.table(row.folder).in_order()["sequence"].tolist()
        assert row.lost == 0
        assert numbers == list(range(row.first_sequence, row.last_sequence + 1))


def _pids(laboratory: Laboratory) -> set[int]:
    return {process.pid for process in processes(laboratory, "ingest")}
