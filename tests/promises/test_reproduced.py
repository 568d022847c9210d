"""*Reproduce* of each result of the demo gives every number, and the data of every figure, within 1e-9."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from analysis.figures.spec import restored
from labsite.demo.analyses import FOLLOWING, IN_THE_OPEN, first
from tests.stack.laboratory import Laboratory
from tests.waiting import until

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]
AGREES = 1e-9
# What the demo computes of what it has recorded; then what follows from that.
OF_THE_DEMO = sorted(
    [*(pipeline for pipeline, *_ in [*first(), *IN_THE_OPEN]), *(following.pipeline for following in FOLLOWING)]
)


class Site:
    """The demo over REST."""

    def __init__(self, laboratory: Laboratory) -> None:
        self.laboratory = laboratory
        self.headers = {"Authorization": f"Token {laboratory.token()}"}

    def get(self, address: str) -> Any:
        """Return the JSON of an address, absolute or below the site."""
        status, body = self.laboratory.get(address.removeprefix(self.laboratory.url), **self.headers)
        assert status == 200, body
        return json.loads(body)

    def jobs(self) -> list[dict[str, Any]]:
        """Return the jobs, oldest first; other tests of the run may have queued some of them."""
        return self.get("/api/v1/jobs/?page_size=200&ordering=created")["results"]

    def of_the_demo(self) -> list[dict[str, Any]]:
        """Return the first jobs of each pipeline that the demo computes, as many as it has of each."""
        found, left = [], list(OF_THE_DEMO)
        for job in self.jobs():
            if job["pipeline"] in left:
                left.remove(job["pipeline"])
                found.append(job)
        return found


@pytest.fixture
def site(demo_laboratory) -> Site:
    return Site(demo_laboratory)


def numbers(value: Any, place: str = "") -> dict[str, Any]:
    """Return every number, array and text of JSON by its place."""
    if isinstance(value, dict) and ("list" in value or "zlib" in value):
        return {place: restored(value)}
    if isinstance(value, dict):
        return {key: v for name, each in value.items() for key, v in numbers(each, f"{place}.{name}").items()}
    if isinstance(value, list):
        return {key: v for number, each in enumerate(value) for key, v in numbers(each, f"{place}[{number}]").items()}
    return {place: value}


def test_every_number_and_every_figure_of_the_demo_is_reproduced(site):
    def done() -> list[dict[str, Any]]:
        found = site.of_the_demo()
        assert all(job["state"] not in ("failed", "cancelled") for job in found), found
        ready = len(found) == len(OF_THE_DEMO) and all(job["state"] == "succeeded" for job in found)
        return found if ready else []

    originals = until(done, 600, "the results of the demo")
    assert sorted(job["pipeline"] for job in originals) == OF_THE_DEMO
    repeated = {}
    for job in originals:
        status, reply = site.laboratory.post(f"/api/v1/results/{job['result']}/reproduce/", {}, **site.headers)
        assert status == 201, reply
        repeated[job["id"]] = reply["id"]
    for job in originals:

        def again(job_id: str = repeated[job["id"]]) -> dict[str, Any]:
            now = site.get(f"/api/v1/jobs/{job_id}/")
            assert now["state"] not in ("failed", "cancelled"), now
            return now if now["state"] == "succeeded" else {}

        now = site.get(f"/api/v1/results/{until(again, 600, job['pipeline'])['result']}/")
        then = site.get(f"/api/v1/results/{job['result']}/")
        same(then, now, job["pipeline"], site)


def same(then: dict[str, Any], now: dict[str, Any], pipeline: str, site: Site) -> None:
    """Check two results against each other, and what the site says of them."""
    assert now["provenance"]["inputs"] == then["provenance"]["inputs"]
    assert [figure["name"] for figure in now["figures"]] == [figure["name"] for figure in then["figures"]]
    # A definition or a caption may tell how long something took.
    values = [{name: metric["value"] for name, metric in result["metrics"].items()} for result in (then, now)]
    compared = {"metrics": (values[0], values[1])}
    for one, other in zip(then["figures"], now["figures"], strict=True):
        compared[one["name"]] = (site.get(one["data"])["panels"], site.get(other["data"])["panels"])
    for what, (before, after) in compared.items():
        first, second = numbers(before), numbers(after)
        assert first.keys() == second.keys(), (pipeline, what)
        for place, value in first.items():
            if isinstance(value, int | float | np.ndarray):
                assert np.allclose(value, second[place], rtol=AGREES, atol=0, equal_nan=True), (pipeline, what, place)
            else:
                assert value == second[place], (pipeline, what, place)
    told = now["agreement"]
    assert [row["name"] for row in told if row["kind"] == "number"] == list(then["metrics"])
    assert [row["name"] for row in told if row["kind"] == "figure"] == [figure["name"] for figure in then["figures"]]
    assert all(row["agrees"] for row in told), (pipeline, told)
    # What reproduces nothing is compared with nothing.
    assert then["agreement"] == []
