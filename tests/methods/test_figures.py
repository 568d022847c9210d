"""A figure is one description, kept as JSON and drawn alike for page and paper."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from analysis.figures import alignment as alignment_figures
from analysis.figures import colours, decoding, odours, open_field, page, paper, tracking, voltage
from analysis.figures import lfp as lfp_figures
from analysis.figures import place_fields as field_figures
from analysis.figures import trials as trial_figures
from analysis.figures.comparing import compare
from analysis.figures.spec import (
    MOST_POINTS,
    Axis,
    Band,
    Figure,
    Image,
    Line,
    Panel,
    Points,
    Spans,
    every,
    reduce_trace,
)
from analysis.methods import place_fields, spectral
from analysis.methods.alignment import align
from analysis.methods.trials import LapTable, OdourTable


def made() -> list[Figure]:
    """Every figure of the three pipelines, from small data with gaps in them."""
    rng = np.random.default_rng(0)
    time = np.arange(0, 120, 0.25)
    true = 50 + 50 * np.sin(time / 5)
    posterior = np.exp(-0.5 * ((np.linspace(1, 99, 50) - true[:, None]) / 10) ** 2)
    posterior /= posterior.sum(axis=1, keepdims=True)
    posterior[:3] = np.nan
    error = np.abs(rng.normal(0, 8, time.size))
    confusion = rng.random((10, 10))
    confusion[4] = np.nan
    rate = 1250
    signal = rng.normal(0, 50, rate * 20) + 100 * np.sin(2 * np.pi * 8 * np.arange(rate * 20) / rate)
    spectra = spectral.spectrogram(signal, rate, window=2, step=0.5, highest=100)
    density = spectral.power_spectrum(signal, rate, window=4, highest=100)
    rhythm = spectral.find_rhythm(density.power[0], density.frequency, band=(6, 10))
    xy = np.cumsum(rng.normal(0, 3, (900, 2)), axis=0) + 200
    xy[100:120] = np.nan
    frames = np.arange(900) / 30
    lost = np.isnan(xy[:, 0])
    pulses = np.cumsum(rng.uniform(0.5, 1.5, 200))
    both = pulses[rng.random(200) > 0.03], pulses[rng.random(200) > 0.03] - 3
    aligned = align(*both)
    pokes = np.cumsum(rng.uniform(2, 5, 80))
    odour_table = OdourTable(
        pokes, pokes + 0.1, pokes + rng.uniform(0.3, 1.5, 80), tuple(rng.choice(list("ABCDE"), 80)),
        np.arange(80) % 5 + 1, np.arange(80) // 5 + 1, rng.random(80) > 0.2, rng.random(80) > 0.1,
    )  # fmt: skip
    lap_table = LapTable(pokes, pokes + rng.uniform(1, 2, 80), ("up", "down") * 40)
    return [
        decoding.posterior_heat_map(time, posterior, true, np.abs(np.cos(time / 5)) > 0.3, unit="cm", length=100),
        decoding.error_distribution(error, error * 3, unit="cm", length=100),
        decoding.null_histogram(rng.normal(34, 3, 200), 6.0, 1 / 201, unit="cm", shortest_shift=20),
        decoding.null_by_lag(rng.uniform(20, 400, 200), rng.normal(34, 3, 200), 6.0, unit="cm"),
        odours.label_null(rng.normal(0.2, 0.02, 200), 0.8, 1 / 201),
        odours.odour_confusion(rng.integers(0, 20, (5, 5)), tuple("ABCDE")),
        decoding.confusion(confusion, unit="%", length=100),
        decoding.error_by_place(true, error, unit="%", length=100),
        decoding.error_by_fold(rng.uniform(3, 9, 10), np.full(10, 40), 34.0, unit="%"),
        decoding.place_field_map(rng.random((20, 50)), unit="%", length=100),
        lfp_figures.trace(np.arange(signal.size) / rate, signal, channel=0),
        lfp_figures.spectrogram(spectra, start=0.0, highest=40),
        lfp_figures.spectrum(density.frequency, density.power[0], rhythm, band=(6, 10), highest=100),
        lfp_figures.theta_over_time(spectra.time, spectra.time, spectra.time / 3, band=(6, 10), slow=(1, 4)),
        tracking.track_on_background(np.full((480, 640), 120, np.uint8), [xy], scale=0.1, unit="cm"),
        tracking.occupancy(rng.poisson(1, (24, 32)).astype(float), bin_size=20, unit="px"),
        voltage.range_over_time(rng.gamma(3, 50, (195, 384)), start=0.0, duration=3600.0),
        tracking.over_time(frames, tracking_speed(frames, xy), np.sin(frames), lost, unit="px"),
        alignment_figures.residuals_over_time(aligned, *both, tolerance=0.001),
        alignment_figures.residual_histogram(aligned),
        alignment_figures.intervals_matched(aligned, *both),
        trial_figures.odour_raster(odour_table),
        trial_figures.accuracy_by_place(odour_table),
        trial_figures.poke_durations(odour_table),
        trial_figures.laps_over_time(lap_table),
        trial_figures.lap_durations(lap_table),
        *of_fields(),
        *of_an_open_field(),
    ]


def of_an_open_field() -> list[Figure]:
    """The figures of a position decoded in an oval arena that was left for a while."""
    rng = np.random.default_rng(2)
    time = np.arange(0, 120, 0.25)
    xy = np.stack([40 + 35 * np.sin(time / 5), 30 + 25 * np.sin(time / 7)], axis=1)
    xy[100:110] = np.nan
    found = xy + rng.normal(0, 3, xy.shape)
    posterior = rng.random((time.size, 12, 16))
    posterior[:3] = np.nan
    visited = np.hypot(*np.meshgrid(np.linspace(-1, 1, 16), np.linspace(-1, 1, 12))) < 1.1
    moving = np.abs(np.cos(time / 5)) > 0.3
    shown = {"unit": "cm", "size": (80.0, 60.0)}
    scored = moving & np.isfinite(xy[:, 0])
    confusion = rng.random((16, 16))
    confusion[0] = np.nan
    return [
        open_field.decoded_path(time, xy, found, moving, visited, **shown),
        open_field.posterior_moments(time, posterior, xy, moving, visited, **shown),
        open_field.error_map(xy[scored], np.hypot(*(found - xy)[scored].T), **shown),
        decoding.zone_confusion(confusion, (4, 4)),
    ]


def of_fields() -> list[Figure]:
    """The figures of place fields, on a track and in the open; one unit is silent in a half of it."""
    rng = np.random.default_rng(1)
    x, edges = 50 + 45 * np.sin(np.arange(2000) / 20), np.arange(2001) * 0.05
    settings = {"seconds": 0.05, "smoothing": 1.0, "least": 0.1}
    track = place_fields.on_track(x, bins=20, length=90, forward=np.gradient(x) > 0, **settings)
    plane = np.stack([x, x[::-1] * 0.5], axis=1)
    field = place_fields.in_the_open(plane, size=5, **settings)
    trains = [np.sort(rng.integers(0, 2000, 80)), np.flatnonzero((x > 60) & (rng.random(2000) < 0.2))]
    cells = np.array([False, True])
    drawn = []
    for places, path in ((track, x[:, None]), (field, plane)):
        found = place_fields.map_units(places, trains, shifts=99, shortest_shift=20, share=0.5, rng=rng)
        drawn += [
            field_figures.track_maps(found, 4.5, "cm")
            if places is track
            else field_figures.open_maps(found, 5.0, "cm", ("1", "2")),
            field_figures.spikes_on_path(
                edges, path, [(edges[train], train) for train in trains], ("1", "2"), np.array([0.1, 1.2]), unit="cm"
            ),
            field_figures.information(found, cells, cells),
            field_figures.stable(found, cells, tested=True),
            field_figures.occupancy(places, "cm"),
        ]
    return drawn


def tracking_speed(time, xy):
    from analysis.methods.tracking import speed_of

    return speed_of(time, xy)


FIGURES = made()


@pytest.fixture(params=FIGURES, ids=[figure.name for figure in FIGURES])
def figure(request) -> Figure:
    return request.param


def test_wide_maps_keep_their_shape_on_a_phone():
    """A height made for a wide page would leave maps lost in a tall panel; what is no map keeps its height."""
    path, *_ = of_an_open_field()
    maps = next(figure for figure in FIGURES if figure.name == "fields" and figure.panels[0].equal)
    heat_map = FIGURES[0]
    assert f'"aspect_ratio": {1 / maps.aspect}' in json.dumps(page.json_item(maps))
    assert '"scale_width"' not in json.dumps(page.json_item(heat_map))
    # A mask is open where places were visited.
    assert "rgba(0,0,0,0)" in json.dumps(page.json_item(path))


def test_a_figure_survives_json(figure):
    text = json.dumps(figure.to_json(), allow_nan=False)
    again = Figure.from_json(json.loads(text))
    assert json.dumps(again.to_json(), allow_nan=False) == text
    assert [panel.x for panel in again.panels] == [panel.x for panel in figure.panels]
    for panel, other in zip(figure.panels, again.panels, strict=True):
        for layer, same in zip(panel.layers, other.layers, strict=True):
            assert type(layer) is type(same)
            for name in ("x", "y", "values", "heights"):
                if hasattr(layer, name) and isinstance(getattr(layer, name), np.ndarray):
                    wanted = np.asarray(getattr(layer, name), float)
                    assert np.allclose(wanted, getattr(same, name), rtol=1e-5, atol=1e-6, equal_nan=True)


def test_every_figure_says_what_it_shows_and_in_which_units(figure):
    assert figure.title
    assert len(figure.caption) > 40
    assert all(panel.x.label and panel.y.label for panel in figure.panels)
    assert figure.name == figure.name.lower()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_gets_plain_json_of_bounded_size(figure, theme):
    text = json.dumps(page.json_item(figure, theme=theme), allow_nan=False)
    assert len(text) < 400_000
    assert colours.GROUND[theme]["soft"] in text
    # Nothing that would be run as code: a page under a strict policy could not.
    assert "CustomJS" not in text


def test_a_paper_gets_every_figure(figure):
    assert paper.render(figure, "svg").startswith(b"<?xml")


@pytest.mark.parametrize("file_format", ["png", "svg", "pdf"])
@pytest.mark.parametrize("figure", [FIGURES[1], FIGURES[8]], ids=["half", "full"])
def test_a_paper_gets_a_file_at_column_width_with_text_as_text(figure, file_format):
    data = paper.render(figure, file_format)
    width_mm = {"half": 85, "full": 180}[figure.span]
    if file_format == "png":
        assert data.startswith(b"\x89PNG")
        assert int.from_bytes(data[16:20], "big") == pytest.approx(width_mm / 25.4 * 300, abs=2)
    elif file_format == "svg":
        assert f'width="{width_mm / 25.4 * 72:.2f}'.encode()[:11] in data
        assert b"<text" in data
        assert figure.panels[-1].x.label.encode() in data
    else:
        assert data.startswith(b"%PDF")
        assert b"/Subtype /Type3" not in data


def test_the_same_figure_is_the_same_file():
    assert paper.render(FIGURES[1], "svg") == paper.render(FIGURES[1], "svg")
    assert paper.render(FIGURES[1], "pdf") == paper.render(FIGURES[1], "pdf")


def test_names_in_a_drawing_tell_the_figure_and_an_order(figure):
    # Matplotlib's own are made of the last bits of the layout, which are others in another process.
    drawing = paper.render(figure, "svg").decode()
    defined = re.findall('<clipPath id="([^"]+)"', drawing)
    assert defined == [f"{figure.name}-clip-{number}" for number in range(1, len(defined) + 1)]
    assert set(re.findall(r'clip-path="url\(#([^)]+)\)"', drawing)) == set(defined)


def test_a_reduced_trace_keeps_its_extremes_and_its_order():
    rng = np.random.default_rng(0)
    x, y = np.arange(1_000_003.0), rng.normal(size=1_000_003)
    y[123_456], y[777_777] = 40, -40
    y[500_000:510_000] = np.nan
    small_x, small_y = reduce_trace(x, y)
    assert small_x.size <= MOST_POINTS
    assert np.nanmax(small_y) == 40
    assert np.nanmin(small_y) == -40
    assert np.all(np.diff(small_x) >= 0)
    assert np.isnan(small_y).any()
    assert reduce_trace(x[:100], y[:100])[0].size == 100
    assert every(x, y)[0].size <= MOST_POINTS


def test_figures_hold_no_more_points_than_a_page_can_show():
    time = np.arange(2_000_000) / 1250
    figures = [
        lfp_figures.trace(time, np.sin(time), channel=0),
        tracking.over_time(time, np.sin(time), np.sin(time), np.sin(40 * time) > 0.9, unit="px"),
    ]
    for drawn in figures:
        for panel in drawn.panels:
            for layer in panel.layers:
                assert not isinstance(layer, Line) or layer.x.size <= 6250
                assert not isinstance(layer, Spans) or layer.starts.size <= 510


def test_layers_of_every_kind_are_drawn():
    x = np.linspace(1, 5, 9)
    panel = Panel(Axis("x"), Axis("y", log=True), (Band(x, x, 2 * x, label="chance"), Line(x, x, steps=True)))
    drawn = Figure("band", "Band", "A band.", (panel,))
    assert paper.render(drawn, "png").startswith(b"\x89PNG")
    assert "VArea" in json.dumps(page.json_item(drawn))


def test_data_of_a_figure_are_compared_number_by_number(figure):
    data = json.loads(json.dumps(figure.to_json()))
    same = compare(data, json.loads(json.dumps(data)))
    assert same.numbers > 5
    assert (same.largest, same.agrees(0)) == (0, True)


def test_the_least_difference_of_two_figures_is_found_and_named():
    x, values = np.arange(1.0, 9.0), np.arange(6.0).reshape(2, 3)
    values[0, 1] = np.nan

    def drawn(y, values=values, title="Values") -> dict:
        layers = (Line(x, y), Image(values, 0, 1, 0, 1))
        return Figure("one", title, "All of them.", (Panel(Axis("x"), Axis("y"), layers),)).to_json()

    then = drawn(x)
    assert compare(then, drawn(x)).agrees(0)
    moved = x.copy()
    moved[3] *= 1 + 1e-6
    assert compare(then, drawn(moved)).largest == pytest.approx(1e-6, rel=1e-3)
    assert not compare(then, drawn(moved)).agrees(1e-9)
    moved[3] = np.nan
    assert compare(then, drawn(moved)).elsewhere == "figure.panels[0].layers[0].y"
    assert compare(then, drawn(x, np.zeros((2, 3)))).elsewhere == "figure.panels[0].layers[1].values"
    assert compare(then, drawn(x, values + 1)).largest == pytest.approx(1)
    assert compare(then, drawn(x[:-1])).elsewhere == "figure.panels[0].layers[0].y"
    assert compare(then, drawn(x, title="Other")).elsewhere == "figure.title"


def test_wrong_requests_are_refused():
    with pytest.raises(ValueError, match="not as 'gif'"):
        paper.render(FIGURES[0], "gif")
    with pytest.raises(ValueError, match="light or dark"):
        page.json_item(FIGURES[0], theme="sepia")
    with pytest.raises(ValueError, match="no figure"):
        Figure.from_json({"name": "a"})
    with pytest.raises(ValueError, match="no figure"):
        Figure.from_json({**FIGURES[0].to_json(), "sparkle": 1})


def test_colour_maps_grow_in_lightness_one_way():
    for name in ("density", "power", "grey"):
        for theme in ("light", "dark"):
            rgb = [[int(colour[k : k + 2], 16) for k in (1, 3, 5)] for colour in colours.palette(name, theme)]
            steps = np.diff(np.array(rgb) @ [0.2126, 0.7152, 0.0722])
            assert np.all(steps >= -1) or np.all(steps <= 1)


@pytest.mark.parametrize(
    ("names", "angle"),
    [(("A", "B"), 0.0), (("good", "noise"), 0.5), (("state space, smoothed", "ridge"), np.pi / 2)],
)
def test_names_on_an_axis_stand_so_that_they_do_not_run_into_one_another(names, angle):
    dots = Points(np.arange(1.0, 3.0), np.arange(2.0))
    drawn = Figure("a", "A", "A.", (Panel(Axis("kind", names=names), Axis("error"), (dots,)),))
    text = json.dumps(page.json_item(drawn))
    axes = re.findall(r'"major_label_orientation": ([\d.]+)', text)
    assert [float(each) for each in axes] == [pytest.approx(angle)]


@pytest.mark.parametrize(
    ("lowest", "highest", "ticks"),
    [
        (450.0, 9000.0, [100, 200, 500, 1000, 2000, 5000, 10000]),
        (380.0, 900.0, [400, 600, 800]),
        (0.21, 0.22, [0.21, 0.215, 0.22]),
        (7.0, 7.0, [7.0]),
        (450.0, 1e7, None),
    ],
)
def test_a_logarithmic_axis_of_few_decades_is_numbered_by_round_numbers_as_they_are(lowest, highest, ticks):
    line = Line(np.arange(3.0), np.array([lowest, np.nan, highest]))
    drawn = Figure("a", "A", "A.", (Panel(Axis("time", "s"), Axis("power", "µV²", log=True), (line,)),))
    text = json.dumps(page.json_item(drawn))
    found = re.search(r'"name": "FixedTicker".*?"ticks": (\[.*?\])', text)
    shown = json.loads(found[1]) if found else None
    assert (shown if shown is None or len(shown) < 7 else shown[:7]) == ticks
    # The formatter of logarithmic axes rounds 500 to a power of ten.
    assert ("LogTickFormatter" in text) == (ticks is None)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_is_not_known_looks_like_no_value_of_a_map(theme):
    def channels(colour):
        return np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)], float)

    (unknown,) = {*colours.palette("unknown", theme)}
    others = [*colours.palette("density", theme), colours.GROUND[theme]["surface"]]
    assert min(np.linalg.norm(channels(unknown) - channels(other)) for other in others) > 30
    # Nor does it outshine the map on a dark page.
    assert contrast(unknown, colours.GROUND[theme]["surface"]) < 2.5


def contrast(one: str, other: str) -> float:
    def light(colour):
        channels = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    lighter, darker = sorted((light(one), light(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_lines_are_seen_on_their_ground(theme):
    ground = colours.GROUND[theme]
    assert contrast(ground["text"], ground["surface"]) >= 7
    assert contrast(ground["soft"], ground["surface"]) >= 4.5
    for role in ("data", "truth", "real", "reference", "second"):
        assert contrast(colours.ROLES[theme][role], ground["surface"]) >= 3, role


def test_an_image_without_range_still_has_a_scale():
    assert Image(np.full((2, 2), 5.0), 0, 1, 0, 1).limits() == (5.0, 6.0)
    assert Image(np.full((2, 2), np.nan), 0, 1, 0, 1).limits() == (0.0, 1.0)


@pytest.mark.parametrize(
    ("labels", "columns"), [(["data", "chance"], 2), (["out of sequence, correct (40)", "wrong"], 1), (["data"], 1)]
)
def test_a_legend_with_long_names_is_one_column_so_that_a_phone_shows_all_of_it(labels, columns):
    steps = np.arange(3.0)
    layers = tuple(Points(steps, steps, label=label) for label in labels)
    drawn = page.json_item(Figure.wide("named", "Named", "Points.", Panel(Axis("x"), Axis("y"), layers)))
    assert re.search(r'"name": "Legend".*?"ncols": (\d)', json.dumps(drawn))[1] == str(columns)
