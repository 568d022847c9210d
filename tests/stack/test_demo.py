"""A newcomer's first minutes: a fresh clone, an empty LAB_HOME, `./lab demo`, a decoded brain on a page."""

from __future__ import annotations

import json
from datetime import datetime

from tests.waiting import until

SECONDS_TO_A_DECODED_POSITION = 180


def test_a_fresh_clone_decodes_within_three_minutes_of_its_banner(demo_laboratory):
    laboratory = demo_laboratory
    assert "simulated laboratory" in laboratory.output
    assert laboratory.output.rstrip().count("Ctrl-C stops everything.") == 1
    status, health = laboratory.health()
    assert status == 200, health

    authorization = {"Authorization": f"Token {laboratory.token()}"}

    def decoded() -> dict:
        status, body = laboratory.get("/api/v1/jobs/?pipeline=decode.position", **authorization)
        assert status == 200, body
        jobs = json.loads(body)["results"]
        assert jobs, "the demo has queued no decoding"
        assert all(job["state"] != "failed" for job in jobs), jobs
        # The first there was: the demo decodes again when its chain has come so far.
        done = [job for job in jobs if job["state"] == "succeeded"]
        return min(done, key=lambda job: job["finished"], default={})

    job = until(decoded, SECONDS_TO_A_DECODED_POSITION, "a decoded position")
    finished = datetime.fromisoformat(job["finished"]).timestamp()
    assert finished - laboratory.banner_at < SECONDS_TO_A_DECODED_POSITION

    status, body = laboratory.get(f"/api/v1/results/{job['result']}/", **authorization)
    assert status == 200, body
    result = json.loads(body)
    names = {figure["name"] for figure in result["figures"]}
    assert {"posterior", "error-distribution", "null-distribution"} <= names
    assert result["metrics"]["median_error"]["unit"]

    browser = laboratory.browser()
    with browser.open(f"{laboratory.url}/jobs/{job['id']}/", timeout=30) as reply:
        job_page = reply.read().decode()
    with browser.open(f"{laboratory.url}/results/{job['result']}/", timeout=30) as reply:
        page = reply.read().decode()
    assert f"/results/{job['result']}/" in job_page
    for title in ("Posterior and true path", "Against chance"):
        assert title in page
    assert "simulated" in page.lower()


def test_its_animals_are_seen_by_cameras_that_are_alive(demo_laboratory):
    authorization = {"Authorization": f"Token {demo_laboratory.token()}"}
    status, body = demo_laboratory.get("/api/v1/cameras/", **authorization)
    assert status == 200, body
    cameras = json.loads(body)["results"]
    assert len(cameras) >= 2
    for camera in cameras:
        slug = camera["slug"]
        status, picture = until(
            lambda slug=slug: (
                answer
                if (answer := demo_laboratory.get(f"/cameras/{slug}/snapshot.jpg", **authorization))[0] == 200
                else ()
            ),
            30,
            f"a picture of {slug}",
        )
        assert picture.startswith(b"\xff\xd8")
