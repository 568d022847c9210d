"""Recordings that nobody here made, through the front door: registered by REST, computed by a worker, read by REST."""

from __future__ import annotations

import csv
import io
import json
import re
import time

import numpy as np
import pytest
from django.test import Client

from sessions.models import DataRoot
from tests.data import SHARED, shared_data
from tests.promises.conftest import PASSWORD

pytestmark = pytest.mark.timeout(240)

EPOCH = {"epoch_start": 4442.86, "epoch_stop": 5361.97}


@pytest.fixture
def root(transactional_db) -> str:
    """The data root below which the real recordings lie; an administrator adds it in the admin."""
    return DataRoot.objects.create(name="shared", path=str(SHARED)).name


def test_position_of_a_real_rat_is_decoded(script, session, root):
    folder = shared_data("nelpy_linear_track").relative_to(SHARED) / "linear-track"
    units = script.register(session, "units", root, folder / "spikes.mat")
    position = script.register(session, "position", root, folder / "trajectory.videoPositionTracking")
    assert script.get(f"recordings/{units}/")["format"] == "matclust-mat"
    assert script.get(f"recordings/{position}/")["format"] == "trodes-position"

    parameters = {**EPOCH, "bin": 0.25, "speed_threshold": 5, "speed_unit": "%/s", "folds": 10, "shifts": 200}
    job = script.compute("decode.position", units, position, **parameters)
    assert (job["state"], job["progress"], job["attempt"]) == ("succeeded", 1.0, 1), job["error"]

    result = script.get(f"results/{job['result']}/")
    metrics = result["metrics"]
    assert metrics["median_error_percent"]["value"] <= 6.5
    assert metrics["median_error_percent"]["unit"] == "%"
    assert metrics["p"]["value"] <= 0.01
    assert metrics["shifts"]["value"] == 200
    assert 30 <= metrics["chance_median_error"]["value"] <= 38
    # In the order in which the pipeline gave them: the answer first.
    names = list(metrics)
    assert names[0] == "median_error"
    told = [names.index(name) for name in ("median_error", "p90_error", "within_10_percent", "p", "bins")]
    assert told == sorted(told)

    browser = Client()
    assert browser.login(username="experimenter", password=PASSWORD)
    page = browser.get(f"/results/{result['id']}/").content.decode()
    headline = re.findall(r'<div class="stat"><b>(.*?)</b><small>(.*?)[:<]', page)
    assert [label for _, label in headline[:3]] == ["median error", "90th percentile", "within 10 % of the track"]
    assert all(re.fullmatch(r"\d+(\.\d+)? %", value) for value, _ in headline[:3]), headline
    assert headline[3][0] == "p = 0.005"

    figures = {figure["name"]: figure for figure in result["figures"]}
    assert {"posterior", "error-distribution", "null-distribution"} <= set(figures)
    for figure in figures.values():
        assert script.download(figure["png"]).startswith(b"\x89PNG\r\n")
        assert b"<svg" in script.download(figure["svg"])[:2000]
        assert script.download(figure["pdf"]).startswith(b"%PDF-")
        assert json.loads(script.download(figure["data"]))["panels"]
    artifacts = {artifact["name"]: artifact for artifact in result["artifacts"]}
    with np.load(io.BytesIO(script.download(artifacts["decoded.npz"]["url"]))) as decoded:
        scored = decoded["moving"]
        error = np.abs(decoded["true_percent"] - decoded["decoded_percent"])[scored]
        assert np.median(error) == pytest.approx(metrics["median_error_percent"]["value"])
        assert np.unique(decoded["block"]).tolist() == list(range(10))
        null = decoded["null_median_error_percent"]
        assert (1 + np.count_nonzero(null <= np.median(error))) / 201 == pytest.approx(metrics["p"]["value"])
    inputs = {file["sha256"] for given in result["provenance"]["inputs"] for file in given["files"]}
    registered = [script.get(f"recordings/{one}/")["files"][0]["sha256"] for one in (units, position)]
    assert inputs == set(registered)

    again = {"pipeline": "decode.position", "recordings": [units, position], "parameters": parameters}
    assert script.post("jobs/", again, status=200)["id"] == job["id"]


# The same video is tracked to the same bounds without a server in tests/methods/test_real_data.py.
@pytest.mark.long
def test_a_real_mouse_is_tracked(script, session, root):
    folder = shared_data("tracktor_mouse")
    with (folder / "output" / "mouse_video_tracked.csv").open(newline="") as lines:
        tracktor = np.array([(float(row["pos_x"]), float(row["pos_y"])) for row in csv.DictReader(lines)])
    path = folder.relative_to(SHARED) / "videos" / "mouse_video.mp4"
    video = script.register(session, "video", root, path)

    began = time.monotonic()
    job = script.compute("video.track", video, seconds=200)
    assert job["state"] == "succeeded", job["error"]
    assert time.monotonic() - began < 180

    result = script.get(f"results/{job['result']}/")
    (made,) = result["recordings"]
    position = script.get(f"recordings/{made}/")
    assert (position["kind"], position["format"], position["derived_from"]) == ("position", "position-npz", [video])
    with np.load(io.BytesIO(script.download(position["files"][0]["download"]))) as arrays:
        xy = np.stack([arrays["x"], arrays["y"]], axis=1)
    assert len(xy) == len(tracktor) == 10_000
    distance = np.hypot(*(xy - tracktor).T)
    found = np.isfinite(distance)
    assert np.median(distance[found]) <= 1.0
    # The mouse is in the arena throughout, its body about 30 px across: further away there is no mouse.
    assert np.count_nonzero(distance[found] > 30) == 0
    assert result["metrics"]["lost"]["value"] == np.count_nonzero(~found) <= 20


def test_theta_of_a_real_rat_is_at_eight_hertz(script, session, root):
    path = (shared_data("bycycle_ca1_ec3_lfp") / "data" / "ca1.npy").relative_to(SHARED)
    lfp = script.register(session, "lfp", root, path, parameters={"rate": 1250, "unit": "mV"})
    job = script.compute("ephys.lfp", lfp)
    assert job["state"] == "succeeded", job["error"]
    metrics = script.get(f"results/{job['result']}/")["metrics"]
    assert metrics["theta_peak"]["value"] == pytest.approx(8.0, abs=0.25)
    assert metrics["theta_peak"]["unit"] == "Hz"
    assert metrics["theta_delta"]["value"] > 1
