"""The page of the demo's first decoding shows the posterior with the true path, the errors and the null histogram."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from analysis.figures.spec import Bars, Figure, Image, Line, Rule
from tests.waiting import until

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def decoded(demo_laboratory):
    """The job of the first decoding that the demo has done."""
    headers = {"Authorization": f"Token {demo_laboratory.token()}"}

    def succeeded():
        status, body = demo_laboratory.get("/api/v1/jobs/?pipeline=decode.position&state=succeeded", **headers)
        assert status == 200, body
        return json.loads(body)["results"]

    job = until(succeeded, 180, "a decoded position")[-1]
    status, body = demo_laboratory.get(f"/api/v1/results/{job['result']}/", **headers)
    assert status == 200, body
    result = json.loads(body)
    figures = {}
    for figure in result["figures"]:
        status, data = demo_laboratory.get(figure["data"].partition(demo_laboratory.url)[2], **headers)
        assert status == 200, figure
        figures[figure["name"]] = Figure.from_json(json.loads(data))
    return result, figures


def layers(figure: Figure, kind: type) -> list:
    return [layer for panel in figure.panels for layer in panel.layers if isinstance(layer, kind)]


def test_the_figures_hold_what_was_decoded(decoded):
    result, figures = decoded
    metrics = result["metrics"]
    (posterior,) = layers(figures["posterior"], Image)
    assert np.nanmax(posterior.values) > 0
    (path,) = [line for line in layers(figures["posterior"], Line) if line.role == "truth"]
    assert np.isfinite(path.y).any()
    # Where the posterior is highest is near the true path, or the two are not one picture.
    rows, columns = posterior.values.shape
    times = posterior.x0 + (np.arange(columns) + 0.5) / columns * (posterior.x1 - posterior.x0)
    places = posterior.y0 + (np.arange(rows) + 0.5) / rows * (posterior.y1 - posterior.y0)
    known = np.isfinite(posterior.values).all(axis=0)
    best = places[np.argmax(posterior.values[:, known], axis=0)]
    true = np.interp(times[known], path.x, path.y)
    assert np.nanmedian(np.abs(best - true)) < 0.25 * (posterior.y1 - posterior.y0)

    shares = [line for line in layers(figures["error-distribution"], Line) if line.label == "decoded"]
    assert shares[0].y[-1] == pytest.approx(1)
    (null,) = layers(figures["null-distribution"], Bars)
    assert null.heights.sum() == metrics["shifts"]["value"]
    (real,) = [rule for rule in layers(figures["null-distribution"], Rule) if rule.role == "real"]
    assert real.at == pytest.approx(metrics["median_error"]["value"], rel=1e-3)
    assert real.at < null.edges[np.flatnonzero(null.heights)[0]]
    assert metrics["p"]["value"] <= 0.05


def test_the_page_draws_them(decoded, demo_laboratory):
    result, _ = decoded
    browser = demo_laboratory.browser()
    with browser.open(f"{demo_laboratory.url}/results/{result['id']}/", timeout=30) as reply:
        page = reply.read().decode()
    for name, title in (
        ("posterior", "Posterior and true path"),
        ("error-distribution", "Error"),
        ("null-distribution", "Against chance"),
    ):
        assert f"<h2>{title}</h2>" in page
        item = re.search(rf'data-item="([^"]*/figures/{name}/)THEME.json"', page)
        assert item, name
        with browser.open(f"{demo_laboratory.url}{item[1]}light.json", timeout=60) as reply:
            drawn = json.loads(reply.read())
        assert drawn["doc"]["roots"]
    headline = re.findall(r'<div class="stat"><b>(.*?)</b><small>(.*?)[:<]', page)
    assert headline[0][1] == "median error"
    assert re.fullmatch(r"[\d.]+ cm", headline[0][0]), headline
    assert headline[2] == (headline[2][0], "within 10 % of the track")
    assert headline[2][0].endswith(" %")
    assert headline[3][0].startswith("p = ")
    assert headline[4][1] == "bins decoded"
