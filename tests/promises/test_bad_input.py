"""Wrong files, tokens, addresses and parameters are answered with what is wrong and where, and leave nothing behind."""

from __future__ import annotations

from pathlib import Path

import av
import h5py
import numpy as np
import pytest
from django.conf import settings as configured
from rest_framework.test import APIClient

from analysis.jobs.models import Job, Result
from sessions.models import DataFile, Recording
from tests.promises.conftest import Script

NOBODY = "00000000-0000-0000-0000-000000000000"


def film(path: Path) -> Path:
    """Two seconds of a moving disc in a camera's noise."""
    rows, columns = np.mgrid[:96, :128]
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("h264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for k in range(50):
            grey = np.where((columns - 20 - k) ** 2 + (rows - 48) ** 2 < 80, 30, 180)
            grey = (grey + rng.normal(0, 8, grey.shape)).clip(0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="gray")))
        container.mux(stream.encode())
    return path


def units(path: Path) -> Path:
    """Units in an NWB file whose spike times are compressed, as most are."""
    rng = np.random.default_rng(1)
    with h5py.File(path, "w") as file:
        file.attrs["nwb_version"] = "2.7.0"
        group = file.create_group("units")
        times = np.sort(rng.uniform(0, 900, 20_000))
        group.create_dataset("spike_times", data=times, chunks=(2000,), compression="gzip")
        group.create_dataset("spike_times_index", data=np.arange(1, 11) * 2000)
        group.create_dataset("id", data=np.arange(10))
    return path


def damage(path: Path) -> None:
    """Overwrite the data of a file with noise, but neither its beginning nor its end: its headers stay as they were."""
    content = bytearray(path.read_bytes())
    noise = np.random.default_rng(0).integers(0, 256, len(content), dtype=np.uint8).tobytes()
    first, last = len(content) // 4, len(content) * 3 // 4
    content[first:last] = noise[first:last]
    path.write_bytes(content)


def nothing_is_left(job: dict) -> None:
    """A job that failed has no result, no files and no recording made of it."""
    assert not Result.objects.filter(job=job["id"]).exists()
    assert not (Path(configured.LAB_RESULTS) / job["id"]).exists()
    assert list((Path(configured.LAB_RESULTS) / ".work").glob(f"{job['id']}*")) == []
    assert not Recording.objects.filter(derived_from__isnull=False).exists()


def is_one_sentence(text: str) -> bool:
    return text.endswith(".") and "\n" not in text and "Traceback" not in text and len(text) < 400


@pytest.mark.timeout(120)
def test_a_damaged_video_fails_its_job_with_one_sentence(script, session, place):
    damage(film(place / "data" / "damaged.mp4"))
    video = script.register(session, "video", "default", "damaged.mp4")
    job = script.compute("video.track", video)
    assert (job["state"], job["result"], job["attempt"]) == ("failed", None, 1)
    assert "damaged.mp4" in job["error"]
    assert is_one_sentence(job["error"]), job["error"]
    nothing_is_left(job)


@pytest.mark.timeout(120)
def test_damaged_units_fail_their_job_with_one_sentence(script, session, place):
    damage(units(place / "data" / "damaged.nwb"))
    time = np.arange(0, 900, 0.1)
    np.savez(place / "data" / "track.npz", time=time, x=50 + 50 * np.sin(time / 5), y=np.ones(time.size))
    recordings = [
        script.register(session, "units", "default", "damaged.nwb"),
        script.register(session, "position", "default", "track.npz"),
    ]
    job = script.compute("decode.position", *recordings, shifts=0)
    assert (job["state"], job["result"], job["attempt"]) == ("failed", None, 1)
    assert "damaged.nwb" in job["error"]
    assert is_one_sentence(job["error"]), job["error"]
    nothing_is_left(job)


@pytest.mark.parametrize(("name", "kind"), [("cut.nwb", "units"), ("cut.mp4", "video"), ("notes.txt", "lfp")])
def test_a_file_that_cannot_be_opened_is_refused_before_anything_is_written(script, session, place, name, kind):
    path = place / "data" / name
    if name == "notes.txt":
        path.write_text("these are notes, not data\n" * 50)
    else:
        whole = (units if kind == "units" else film)(path).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    files = [{"root": "default", "path": name}]
    reply = script.client.post("/api/v1/recordings/", {"session": session, "kind": kind, "files": files}, format="json")
    assert reply.status_code == 400
    assert name in reply.json()["detail"]
    assert not Recording.objects.exists()
    assert not DataFile.objects.exists()


@pytest.fixture
def lfp(script: Script, session: str, place: Path) -> str:
    np.save(place / "data" / "lfp.npy", np.random.default_rng(0).normal(size=5000))
    return script.register(session, "lfp", "default", "lfp.npy", parameters={"rate": 1000, "unit": "mV"})


def test_wrong_tokens_and_addresses(script, session):
    for header in ("Token lab_wrong", "Token", "Bearer x", ""):
        stranger = APIClient()
        stranger.credentials(HTTP_AUTHORIZATION=header)
        reply = stranger.get("/api/v1/sessions/")
        assert reply.status_code == 401, header
        assert reply.json()["detail"]
    for path in ("sesions/", f"sessions/{NOBODY}/", f"jobs/{NOBODY}/", f"results/{NOBODY}/", "sessions/42/"):
        reply = script.client.get(f"/api/v1/{path}")
        assert reply.status_code == 404, path
        assert reply["Content-Type"].startswith("application/json"), path
        assert reply.json()["detail"], path
    # What lacks its last slash is read all the same, but nothing is sent there that a redirect would lose.
    assert script.client.get("/api/v1/sessions", follow=True).json()["count"] == 1
    reply = script.client.post("/api/v1/jobs", {"pipeline": "ephys.lfp"}, format="json")
    assert (reply.status_code, "/api/v1/jobs/" in reply.json()["detail"]) == (404, True)
    reply = script.client.delete("/api/v1/pipelines/")
    assert (reply.status_code, "DELETE" in reply.json()["detail"]) == (405, True)
    reply = script.client.get("/api/v1/sessions/?projekt=1")
    assert (reply.status_code, "projekt" in reply.content.decode()) == (400, True)


@pytest.mark.parametrize(
    ("pipeline", "parameters", "field"),
    [
        ("ephys.lfp", {"thta": [4, 8]}, "parameters.thta"),
        ("ephys.lfp", {"theta_low": "low"}, "parameters.theta_low"),
        ("decode.everything", {}, "pipeline"),
        ("video.track", {}, "recordings"),
    ],
)
def test_wrong_parameters_are_named_and_queue_nothing(script, lfp, pipeline, parameters, field):
    body = {"pipeline": pipeline, "recordings": [lfp], "parameters": parameters}
    reply = script.client.post("/api/v1/jobs/", body, format="json")
    assert reply.status_code == 400
    assert field in reply.json()["errors"], reply.json()
    assert not Job.objects.exists()


def test_a_body_that_is_no_json_is_refused(script):
    reply = script.client.post("/api/v1/jobs/", "{pipeline", content_type="application/json")
    assert reply.status_code == 400
    assert "JSON" in reply.json()["detail"]
    reply = script.client.post("/api/v1/jobs/", "pipeline: x", content_type="application/yaml")
    assert reply.status_code == 415
