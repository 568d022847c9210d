"""The times of a recording: what is drawn of them, and what can be taken home."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.test import Client

from cameras import frametable, services, timing
from cameras.clock import ClockLine, Sample
from cameras.models import CameraRecording
from sessions.models import Task
from sessions.permissions import LABORATORY
from sessions.services import add_events, create_task
from tests.cameras.conftest import START, Catalog


@pytest.fixture
def get(catalog: Catalog, recording: CameraRecording, settings: Any) -> Any:
    """GET of the finished recording (frames 1 to 60, 40 ms apart, of which 20 to 29 are lost, as is 61)."""
    folder = Path(settings.LAB_DATA_ROOT) / recording.folder
    line = ClockLine([Sample(START + n * 10**9, 2_000_000 + n * 50_000, 400_000) for n in range(40)])
    line.save(folder / "clock.json")
    services.finish_recording(recording_id=recording.pk, first=1, last=61, clock=line.estimate())

    def call(path: str, who: str = "view") -> Any:
        headers = {"Authorization": f"Token {catalog.keys[who]}"}
        return Client(headers=headers).get(f"/api/v1/camera-recordings/{recording.pk}/{path}")

    return call


def test_intervals_losses_and_the_clock(get: Any, catalog: Catalog) -> None:
    # On the server's clock: the agent's is 4 ms ahead at the end.
    first = datetime.fromtimestamp((START + 40_000_000) / 1e9, tz=UTC)
    for seconds, kind in ((-1, "before"), (0.5, "poke"), (0.6, "poke"), (1.0, "reward"), (60, "after")):
        event = {"time": first + timedelta(seconds=seconds), "kind": kind}
        add_events(by=catalog.experimenter, session=catalog.session, events=[event])
    found = get("timing/").json()
    assert (found["frames"], found["duration"]) == (50, pytest.approx(59 * 0.04))
    assert found["intervals"]["median_ms"] == pytest.approx(40)
    assert found["intervals"]["largest_ms"] == pytest.approx(11 * 40)
    assert found["intervals"]["late"] == 1
    assert found["lost"]["frames"] == 11
    assert found["lost"]["longest"] == [
        {"first": 20, "last": 29, "frames": 10, "after": pytest.approx(0.72), "before": pytest.approx(1.16)},
        {"first": 61, "last": 61, "frames": 1, "after": pytest.approx(2.36), "before": None},
    ]
    assert found["clock"]["drift_ppm"] == pytest.approx(50, rel=0.01)
    assert found["clock"]["offsets_ms"][0] == pytest.approx(2)
    events = {row["kind"]: (row["count"], row["seconds"]) for row in found["events"]}
    assert set(events) == {"poke", "reward"}
    assert events["poke"][0] == 2
    assert events["poke"][1] == pytest.approx([0.504, 0.604], abs=0.001)


def test_trials_are_on_the_timeline_by_outcome(get: Any, catalog: Catalog) -> None:
    rule = {"start": "go", "end": "over", "outcomes": {"reward": "correct"}, "otherwise": "missed"}
    session = catalog.session
    session.task = create_task(by=LABORATORY, name="two choices", parameters={"trials": rule})
    session.save(update_fields=["task"])
    first = datetime.fromtimestamp((START + 40_000_000) / 1e9, tz=UTC)
    told = [(-9, "go"), (-8, "over"), (-1, "go"), (0.2, "reward"), (0.3, "over"), (1, "go"), (1.4, "over")]
    told += [(1.5, "go"), (1.6, "reward"), (1.9, "over"), (2.2, "go"), (70, "over"), (80, "go")]
    for seconds, kind in told:
        event = {"time": first + timedelta(seconds=seconds), "kind": kind}
        add_events(by=catalog.experimenter, session=session, events=[event])
    found = get("timing/").json()["trials"]
    assert (found["count"], found["problem"]) == (4, "")
    outcomes = {row["outcome"]: (row["count"], row["spans"]) for row in found["outcomes"]}
    assert set(outcomes) == {"correct", "missed"}
    # The agent's clock is 4 ms ahead; what reaches beyond the recording ends with it.
    places = [(span["first"], span["start"], span["stop"]) for span in outcomes["correct"][1] + outcomes["missed"][1]]
    expected = [(2, 0, 0.304), (4, 1.504, 1.904), (3, 1.004, 1.404), (5, 2.204, 2.36)]
    for place, wanted in zip(places, expected, strict=True):
        assert place == pytest.approx(wanted, abs=0.001)
    # Drawn with fewer points, what is closer together than one of them is one span, and none is left out.
    few = get("timing/?points=2").json()["trials"]["outcomes"]
    assert sum(row["count"] for row in few) == 4
    assert {row["outcome"]: [(span["first"], span["last"]) for span in row["spans"]] for row in few}["missed"] == [
        (3, 3),
        (5, 5),
    ]

    Task.objects.update(parameters={"trials": {"end": "over"}})
    found = get("timing/").json()
    assert found["trials"]["outcomes"] == []
    assert "trials.start is needed" in found["trials"]["problem"]
    assert found["frames"] == 50


def test_a_long_recording_is_drawn_with_few_points_and_no_outlier_is_lost() -> None:
    rng = np.random.default_rng(1)
    intervals = rng.normal(33e6, 1e5, 200_000).astype(np.int64)
    intervals[123_456] = 400_000_000
    captured = START + np.concatenate([[0], np.cumsum(intervals)])
    sequence = np.arange(1, 200_002)
    found = timing.describe(
        timing.FrameTimes(sequence, captured, captured), ClockLine(), first=1, last=200_001, points=300
    )
    curve = found["intervals"]
    assert len(curve["seconds"]) == len(curve["least"]) == len(curve["middle"]) == len(curve["most"]) == 300
    assert max(curve["most"]) == curve["largest_ms"] == 400
    assert curve["seconds"][int(np.argmax(curve["most"]))] == pytest.approx(123_456 * 0.033, rel=0.01)
    assert found["lost"] == {"frames": 0, "gaps": 0, "longest": []}
    assert found["clock"]["offset_ms"] is None


def test_a_frame_is_found_by_time_and_by_number(get: Any) -> None:
    for query, number in (
        ("seconds=0", 1), ("seconds=0.0399", 1), ("seconds=0.04", 2), ("seconds=1", 19), ("seconds=99", 60),
        ("sequence=22", 19), ("sequence=27", 30), ("sequence=60", 60), ("sequence=9999", 60),
    ):  # fmt: skip
        assert get(f"frame/?{query}").json()["sequence"] == number, query
    found = get("frame/?sequence=19").json()
    assert (found["previous"], found["next"]) == (18, 30)
    assert found["captured_ns"] == START + 19 * 40_000_000
    assert found["seconds"] < found["seek"] < found["seconds"] + 0.04
    assert get("frame/?sequence=1").json()["previous"] is None


def test_the_times_come_as_csv_and_npy(get: Any) -> None:
    numbers = [*range(1, 20), *range(30, 61)]
    rows = np.load(io.BytesIO(get("frames-npy/").getvalue()))
    assert rows["sequence"].tolist() == numbers
    assert rows["captured_ns"].tolist() == [START + n * 40_000_000 for n in numbers]
    lines = get("frames-csv/").getvalue().decode().splitlines()
    assert [int(line.split(",")[0]) for line in lines[1:]] == numbers


def test_a_cut_has_the_original_pictures_and_their_table(
    get: Any, recording: CameraRecording, settings: Any, tmp_path: Path
) -> None:
    reply = get("cut/?from=0.6&to=1.3")
    assert reply.headers["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(reply.getvalue())) as archive:
        assert archive.testzip() is None
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        archive.extractall(tmp_path / "cut")
    (folder,) = (tmp_path / "cut").iterdir()
    assert {path.name for path in folder.iterdir()} == {
        "segment-0001.mjpeg", "frames.labt", "frames.csv", "clock.json", "cut.json"
    }  # fmt: skip
    piece = frametable.read(folder)
    assert (piece.torn_bytes, piece.missing, piece.recording) == (0, 0, recording.pk)
    assert piece.records["sequence"].tolist() == [16, 17, 18, 19, 30, 31, 32, 33]
    whole_folder = Path(settings.LAB_DATA_ROOT) / recording.folder
    whole = {int(record["sequence"]): record for record in frametable.read(whole_folder).records}
    for record in piece.records:
        original = whole[int(record["sequence"])]
        assert frametable.read_picture(folder, record) == frametable.read_picture(whole_folder, original)
        assert record["captured_ns"] == original["captured_ns"]
    assert (folder / "segment-0001.mjpeg").stat().st_size == piece.records["length"].sum()
    about = json.loads((folder / "cut.json").read_text())
    assert (about["frames"], about["first_sequence"], about["last_sequence"]) == (8, 16, 33)


def test_what_cannot_be_asked_for_is_named(get: Any, recording: CameraRecording, settings: Any) -> None:
    for path, field in (
        ("cut/?from=-1", "from"), ("cut/?from=nan", "from"), ("cut/?to=x", "to"), ("cut/?from=2&to=1", "to"),
        ("cut/?from=100", "from"), ("timing/?points=0", "points"), ("timing/?points=1e9", "points"),
        ("frame/?seconds=inf", "seconds"), ("frame/?sequence=-1", "sequence"),
    ):  # fmt: skip
        reply = get(path)
        assert reply.status_code == 400, path
        assert field in reply.json()["errors"], path
    for path in ("timing/", "frame/", "frames-csv/", "frames-npy/", "cut/"):
        assert get(path, who="other").status_code == 404
    (Path(settings.LAB_DATA_ROOT) / recording.folder / "frames.labt").write_bytes(b"no table")
    for path in ("timing/", "frame/", "frames-csv/", "frames-npy/", "cut/"):
        assert "cannot be read" in get(path).json()["detail"], path


def test_the_page_offers_them(get: Any, catalog: Catalog, recording: CameraRecording) -> None:
    browser = Client()
    page = f"/cameras/recordings/{recording.pk}/"
    browser.force_login(catalog.viewer)
    content = browser.get(page).content.decode()
    for name in ("frames.csv", "frames.npy", "cut.zip"):
        assert f"{page}{name}" in content
        assert browser.get(page + name).getvalue()
    browser.force_login(catalog.stranger)
    for name in ("", "frames.csv", "frames.npy", "cut.zip"):
        assert browser.get(page + name).status_code == 404
