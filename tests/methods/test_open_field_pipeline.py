"""``decode.position`` and ``stats.permutation`` of an open field: what they say, draw and refuse."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from analysis.figures import page, paper
from analysis.pipelines import registry
from analysis.pipelines.base import PipelineError
from analysis.readers import read_position
from tests.methods.running import recording, run_pipeline
from tests.methods.wandering import HEIGHT, WIDTH, wander

OPEN = {"arena": "open-field", "align": "times", "place_bins": 20, "epoch_stop": 300.0, "folds": 5, "inner_folds": 3}


def files(folder, walk, *, moved=0.0, unit="cm", scale=1.0):
    """Write spikes and positions; ``moved`` (s) shifts the spikes circularly against the positions."""
    folder.mkdir(exist_ok=True)
    times = np.mod(walk.spike_times + moved, walk.time[-1])
    np.savez(folder / "units.npz", spike_times=np.sort(times), spike_units=walk.spike_units[np.argsort(times)])
    np.savez(folder / "position.npz", time=walk.time, x=walk.xy[:, 0] * scale, y=walk.xy[:, 1] * scale, unit=unit)
    return (
        recording("units", "units-npz", folder / "units.npz"),
        recording("position", "position-npz", folder / "position.npz"),
    )


@pytest.fixture
def field(tmp_path):
    return files(tmp_path / "data", wander(peak=8.0))


def test_an_open_field_is_told_in_cm_with_its_zones_and_against_chance(field, tmp_path):
    output, heard = run_pipeline(
        "decode.position", tmp_path / "a", *field, decoder="state-space", compare=True, shifts=9, **OPEN
    )
    metrics = output.metrics
    assert output.summary.startswith("state space, smoothed: median error")
    assert "% of the longer side" in output.summary
    assert metrics["median_error"].unit == "cm"
    assert 1 < metrics["median_error_low"].value < metrics["median_error"].value < metrics["median_error_high"].value
    assert metrics["median_error"].value < 4.5
    assert metrics["p90_error"].value > metrics["median_error"].value
    assert metrics["within_10_percent"].value > 90
    assert "one of 16 zones" in metrics["zone_accuracy"].definition
    assert metrics["zone_accuracy"].label == "16-zone accuracy"
    assert metrics["p"].value == pytest.approx(1 / 10)
    assert 15 < metrics["chance_median_error"].value < 60
    assert metrics["longer_side"].value == pytest.approx(WIDTH, rel=0.05)
    assert "laps" not in metrics
    assert "median_error_up" not in metrics
    others = ("bayesian", "bayesian_chosen", "state_space_causal", "ridge")
    assert all(metrics["median_error"].value < metrics[f"median_error_{name}"].value < 15 for name in others)
    assert heard.progress == sorted(heard.progress)
    with (tmp_path / "a" / "decoders.csv").open(newline="") as lines:
        table = list(csv.DictReader(lines))
    assert len(table) == 5
    assert {row["zones"] for row in table} == {"16"}
    with (tmp_path / "a" / "folds.csv").open(newline="") as lines:
        assert sum(int(row["bins"]) for row in csv.DictReader(lines)) == metrics["bins"].value
    with np.load(tmp_path / "a" / "decoded.npz") as made:
        shape = (made["y_centres_percent"].size, made["x_centres_percent"].size)
        assert made["posterior"].shape == (made["time"].size, *shape)
        assert shape == (round(20 * HEIGHT / WIDTH), 20)
        error = np.hypot(*(made["true_percent"] - made["decoded_percent"])[made["moving"]].T)
        assert np.median(error) == pytest.approx(metrics["median_error_percent"].value)


def test_figures_of_an_open_field_are_drawn_for_page_and_paper(field, tmp_path):
    output, _ = run_pipeline("decode.position", tmp_path / "a", *field, shifts=20, **OPEN)
    names = [figure.name for figure in output.figures]
    assert names == [
        "posterior", "decoded-path", "error-distribution", "null-distribution", "error-by-place", "confusion",
        "error-by-block",
    ]  # fmt: skip
    for figure in output.figures:
        assert page.json_item(figure, theme="dark")["doc"]["roots"]
        assert paper.render(figure, "svg").startswith(b"<?xml")


# That each decoder by itself stays at chance is tested on arrays, too (test_open_field.py).
@pytest.mark.parametrize("decoder", ["bayesian", pytest.param("state-space", marks=pytest.mark.long)])
def test_spikes_that_know_nothing_of_the_place_stay_at_chance(tmp_path, decoder):
    free = files(tmp_path / "free", wander(peak=8.0), moved=200.0)
    output, _ = run_pipeline("decode.position", tmp_path / "a", *free, decoder=decoder, shifts=19, **OPEN)
    assert output.metrics["p"].value > 0.1
    assert output.metrics["median_error"].value > 0.8 * output.metrics["chance_median_error"].value


def test_pixels_are_told_in_per_cent_until_the_longer_side_is_known(tmp_path):
    field = files(tmp_path / "data", wander(peak=8.0), unit="px", scale=5.0)
    bare, _ = run_pipeline("decode.position", tmp_path / "a", *field, shifts=0, **OPEN)
    known, _ = run_pipeline("decode.position", tmp_path / "b", *field, shifts=0, track_length=WIDTH, **OPEN)
    assert bare.metrics["median_error"].unit == "%"
    assert known.metrics["median_error"].unit == "cm"
    assert known.metrics["median_error"].value == pytest.approx(bare.metrics["median_error"].value * WIDTH / 100)
    with pytest.raises(PipelineError, match="positions are in px: set track_length"):
        run_pipeline("decode.position", tmp_path / "c", *field, shifts=0, speed_unit="cm/s", **OPEN)


def test_permutations_of_an_open_field_are_those_of_the_same_decoder(field, tmp_path):
    output, _ = run_pipeline("stats.permutation", tmp_path / "a", *field, permutations=30, **OPEN)
    decoded, _ = run_pipeline("decode.position", tmp_path / "b", *field, shifts=0, **OPEN)
    assert output.metrics["median_error"].value == pytest.approx(decoded.metrics["median_error"].value)
    assert output.metrics["p"].value == pytest.approx(1 / 31)
    assert output.metrics["within_10_percent"].label == "within 10 % of the longer side"


@pytest.mark.parametrize("decoder", ["bayesian", "bayesian-chosen"])
def test_permutations_of_units_that_hardly_fire_say_so_instead_of_p(field, tmp_path, decoder):
    with pytest.raises(PipelineError, match="In block 1 no unit has 90000 spikes to train on"):
        run_pipeline(
            "stats.permutation", tmp_path / "a", *field, decoder=decoder, minimum_spikes=90_000, permutations=1, **OPEN
        )


def test_only_decoders_that_keep_to_visited_places_are_said_to(field, tmp_path):
    for decoder, confined in (("bayesian", True), ("ridge", False)):
        output, _ = run_pipeline("decode.position", tmp_path / decoder, *field, decoder=decoder, shifts=0, **OPEN)
        path = next(figure for figure in output.figures if figure.name == "decoded-path")
        assert ("never decoded" in path.caption) is confined
        assert ("never decoded" in output.metrics["visited"].definition) is confined


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"decoder": "kernel"}, "learns places along a track; for an open field choose bayesian, .* or ridge"),
        ({"decoder": "recurrent"}, "learns places along a track"),
        ({"blocks": "laps"}, "laps are ways along a track"),
    ],
)
@pytest.mark.parametrize("pipeline", ["decode.position", "stats.permutation"])
def test_what_belongs_to_a_track_is_refused(pipeline, parameters, words):
    with pytest.raises(ValidationError, match=words):
        registry.get(pipeline).parameters(arena="open-field", **parameters)


def test_a_line_is_no_open_field_and_laps_are_none_of_it(field, tmp_path):
    units, position = field
    laps = replace(position, kind="events")
    with pytest.raises(PipelineError, match="ways along a track: leave them out"):
        run_pipeline("decode.position", tmp_path / "a", units, position, laps, shifts=0, **OPEN)
    walk = wander(peak=8.0)
    np.savez(tmp_path / "line.npz", time=walk.time, x=walk.xy[:, 0], y=walk.xy[:, 1] / 20, unit="cm")
    line = recording("position", "position-npz", tmp_path / "line.npz")
    assert np.ptp(read_position(line).xy[:, 1]) < 5
    with pytest.raises(PipelineError, match="hardly an open field: set arena to 'track'"):
        run_pipeline("decode.position", tmp_path / "b", units, line, shifts=0, **OPEN)
    np.savez(tmp_path / "still.npz", time=walk.time, x=np.full(walk.time.size, 5.0), y=walk.time * 0, unit="cm")
    still = recording("position", "position-npz", tmp_path / "still.npz")
    with pytest.raises(PipelineError, match="stays at one point"):
        run_pipeline("decode.position", tmp_path / "c", units, still, shifts=0, **OPEN)


def test_an_open_field_taken_for_a_track_is_told_of_the_other_choice(field, tmp_path):
    _, heard = run_pipeline("decode.position", tmp_path / "a", *field, shifts=0, epoch_stop=200.0, align="times")
    assert any("set arena to 'open-field' for both" in line for line in heard.log)
