"""Place fields: found where they are, none found where there are none, on a track, in the open and in a real rat."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from scipy.stats import kstest

from analysis.figures.spec import Figure, Image
from analysis.methods import place_fields
from analysis.methods.errors import InvalidDataError
from analysis.methods.raw_sessions import RawTruth, simulate_raw_session
from analysis.pipelines.base import PipelineError
from labsite.demo.rawsession import write_position, write_units
from tests.data import shared_data
from tests.methods.running import recording, run_pipeline


def laps(seconds=400, step=0.05):
    """A track of 100 % run back and forth, each lap at its own speed, without rests."""
    rng = np.random.default_rng(0)
    pieces, forward = [], []
    while sum(map(len, pieces)) < seconds / step:
        n = round(rng.uniform(3, 6) / step)
        there = len(pieces) % 2 == 0
        pieces.append(np.linspace(0, 100, n) if there else np.linspace(100, 0, n))
        forward.append(np.full(n, there))
    return np.concatenate(pieces), np.concatenate(forward)


def track(smoothing=1.5):
    percent, forward = laps()
    return place_fields.on_track(
        percent, bins=50, length=200, seconds=0.05, smoothing=smoothing, least=0.1, forward=forward
    )


def drawn(places, rate, seed):
    """Running bins of the spikes of a Poisson cell with this rate (Hz) in each bin."""
    counts = np.random.default_rng(seed).poisson(np.broadcast_to(rate, places.cell.shape) * places.seconds)
    return np.repeat(np.arange(places.cell.size), counts)


def test_a_field_is_found_where_it_is_and_only_in_its_direction():
    percent, forward = laps()
    places = track()
    rate = 0.2 + 20 * np.exp(-0.5 * ((percent - 30) / 6) ** 2) * forward
    (unit,) = place_fields.map_units(
        places, [drawn(places, rate, 1)], shifts=200, shortest_shift=20, share=0.5, rng=np.random.default_rng(0)
    )
    there, back = unit.fields
    assert there.at[0] == pytest.approx(60, abs=6)
    # The map is smoothed, which makes a field of sigma 12 cm one of 13.4: half of the peak is 2.35 sigma wide.
    assert there.width == pytest.approx(2.35 * 13.4, rel=0.25)
    assert there.peak == pytest.approx(20, rel=0.25)
    assert back.peak < 3
    assert unit.information.p == pytest.approx(1 / 201)
    assert unit.stability > 0.9


def test_information_is_what_skaggs_formula_says():
    places = track(smoothing=0)
    rates = np.zeros((2, 50))
    rates[:, :25] = 8.0
    share = places.occupancy[:, :25].sum(axis=1) / places.occupancy.sum(axis=1)
    pooled, by_group = place_fields.information(places, rates)
    # A cell that is silent in a part of the time tells log2 of one over the rest of it.
    assert by_group == pytest.approx(np.log2(1 / share))
    assert pooled == pytest.approx(np.average(np.log2(1 / share), weights=places.occupancy[:, :25].sum(axis=1)))
    assert place_fields.information(places, np.full((2, 50), 3.0))[0] == pytest.approx(0, abs=1e-12)
    only_forth = np.zeros((2, 50))
    only_forth[0] = 5
    assert place_fields.information(places, only_forth)[0] == pytest.approx(0, abs=1e-12)
    assert np.isnan(place_fields.information(places, np.zeros((2, 50)))[0])


def test_no_place_is_told_by_cells_that_know_none():
    # Bursts that have nothing to do with the place, and a cell that only knows the direction of running.
    places = track()
    _, forward = laps()
    p = []
    for seed in range(100):
        slow = np.repeat(np.random.default_rng([seed, 1]).gamma(0.5, 4, places.cell.size // 100 + 1), 100)
        for spikes in (
            drawn(places, slow[: places.cell.size], seed),
            drawn(places, np.where(forward, 4.0, 1.0), [seed, 2]),
        ):
            lags = np.random.default_rng([seed, 3]).integers(400, places.cell.size - 400, 99)
            p.append(place_fields.tested_information(places, spikes, lags).p)
    bursting, directed = np.reshape(p, (100, 2)).T
    assert kstest(bursting, "uniform").pvalue > 0.01
    # Shifted against the laps, a cell that knows the direction seems to know places: its test says rather too little.
    assert np.mean(directed <= 0.05) <= 0.05


def test_in_the_open_the_field_is_found_and_what_was_not_visited_is_not_known():
    rng = np.random.default_rng(2)
    xy = np.abs((np.cumsum(rng.normal(0, 2.5, (20_000, 2)), axis=0) + 40) % 160 - 80)
    xy = xy[~((xy > 60).all(axis=1))]
    places = place_fields.in_the_open(xy, size=4, seconds=0.05, smoothing=1, least=0.1)
    rate = 0.1 + 25 * np.exp(-0.5 * np.sum((xy - [20, 50]) ** 2, axis=1) / 8**2)
    (unit,) = place_fields.map_units(
        places, [drawn(places, rate, 3)], shifts=200, shortest_shift=20, share=0.5, rng=np.random.default_rng(0)
    )
    assert np.hypot(*(np.array(unit.fields[0].at) - [20, 50])) < 5
    assert unit.fields[0].width == pytest.approx(np.pi * (1.18 * np.hypot(8, 4)) ** 2, rel=0.3)
    assert unit.information.p == pytest.approx(1 / 201)
    assert np.isnan(unit.rates[0, 16:, 16:]).all()
    assert np.isfinite(unit.rates[0, :14, :14]).mean() > 0.95


def test_a_short_run_is_not_shifted():
    places = place_fields.on_track(
        np.linspace(0, 100, 700), bins=20, length=100, seconds=0.05, smoothing=1, least=0.1, forward=np.ones(700, bool)
    )
    with pytest.raises(InvalidDataError, match=r"runs for 35 s, too little to shift spikes by at least 20 s"):
        place_fields.map_units(
            places, [np.arange(60)], shifts=10, shortest_shift=20, share=0.5, rng=np.random.default_rng(0)
        )


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("session")
    session = simulate_raw_session(RawTruth(seconds=180), seed=2)
    return (
        session,
        recording("units", "units-npz", write_units(session, folder / "units.npz")),
        recording("position", "csv", write_position(session, folder / "position.csv")),
    )


def rows(folder):
    with (folder / "units.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_pipeline_finds_the_fields_of_a_simulated_session(simulated, tmp_path):
    session, units, position = simulated
    output, heard = run_pipeline("spikes.fields", tmp_path / "run", units, position, shifts=200)
    assert output.metrics["place_cells"].value == output.metrics["units"].value == 20
    assert output.metrics["width"].unit == "cm"
    for cell, (forth, back) in enumerate(zip(*[iter(rows(tmp_path / "run"))] * 2, strict=True)):
        assert forth["unit"] == f"cell {cell + 1}"
        way = {1: [forth], -1: [back], 0: [forth, back]}[session.direction[cell]]
        for row in way:
            assert abs(float(row["at_cm"]) - session.centre[cell]) < session.sigma[cell]
    names = [figure.name for figure in output.figures]
    assert names == ["fields", "spikes-on-path", "information", "stability", "occupancy"]
    assert all(Figure.from_json(figure.to_json()).caption for figure in output.figures)
    maps = np.load(tmp_path / "run" / "maps.npz")
    assert maps["rates_Hz"].shape == (20, 2, 50)
    assert maps["occupancy_s"].sum() == pytest.approx(output.metrics["running_time"].value, rel=1e-4)
    assert heard.progress == sorted(heard.progress)
    again, _ = run_pipeline("spikes.fields", tmp_path / "again", units, position, shifts=200)
    assert again.metrics == output.metrics


def test_unvisited_places_are_grey_in_the_open(simulated, tmp_path):
    _, units, position = simulated
    output, _ = run_pipeline("spikes.fields", tmp_path, units, position, space="open", shifts=0, place_bins=20)
    assert "place_cells" not in output.metrics
    assert output.metrics["width"].unit == "cm²"
    maps = next(figure for figure in output.figures if figure.name == "fields")
    ground, rates = (layer for layer in maps.panels[0].layers if isinstance(layer, Image))
    assert ground.palette == "unknown"
    assert not (np.isfinite(ground.values) & np.isfinite(rates.values)).any()
    assert "information" not in {figure.name for figure in output.figures}


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"least_spikes": 5000}, "No unit has 5000 spikes while the animal runs"),
        ({"epoch_start": 900}, "There are no positions between"),
        ({"shortest_shift": 200}, "too little to shift spikes"),
    ],
)
def test_what_cannot_be_mapped_is_refused(simulated, tmp_path, parameters, said):
    _, units, position = simulated
    with pytest.raises(PipelineError, match=said):
        run_pipeline("spikes.fields", tmp_path, units, position, **parameters)
    with pytest.raises(ValueError, match="cannot give a p below alpha"):
        run_pipeline("spikes.fields", tmp_path, units, position, shifts=20)


def test_the_place_cells_of_a_real_rat(tmp_path):
    folder = shared_data("nelpy_linear_track") / "linear-track"
    output, _ = run_pipeline(
        "spikes.fields",
        tmp_path,
        recording("units", "matclust-mat", folder / "spikes.mat"),
        recording("position", "trodes-position", folder / "trajectory.videoPositionTracking"),
        epoch_start=4442.86,
        epoch_stop=5361.97,
        shifts=200,
    )
    # Most units of CA1 that fire on the track are place cells; those of high rate that tell little are interneurons.
    assert output.metrics["units"].value == 16
    assert 10 <= output.metrics["place_cells"].value <= 14
    assert output.metrics["stability"].value > 0.8
    fast = [row for row in rows(tmp_path) if float(row["rate_Hz"]) > 5]
    assert fast
    assert all(row["place_cell"] == "0" for row in fast)
