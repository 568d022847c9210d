"""Pipelines as they are queued: found by name, typed, reproducible, and clear about wrong inputs."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from analysis.pipelines import clocks, registry
from analysis.pipelines.base import PipelineError
from analysis.readers import open_signal, read_position
from tests.methods.running import recording, run_pipeline
from tests.methods.test_readers import film, pictures, segments


@pytest.fixture
def track(track):
    """Files of the simulated animal, of which the catalog knows when they were started."""
    return tuple(replace(one, start="2026-03-01T10:00:00+00:00") for one in track)


def test_there_are_three_pipelines_and_unknown_names_are_answered_with_them():
    assert set(registry.all_pipelines()) >= {"decode.position", "ephys.lfp", "video.track"}
    with pytest.raises(registry.UnknownPipelineError, match=r"no pipeline 'decode.odour'; there are decode\.across, "):
        registry.get("decode.odour")


def test_the_schema_tells_units_defaults_and_meaning():
    for pipeline in registry.all_pipelines().values():
        schema = pipeline.parameters.model_json_schema()
        assert pipeline.summary.endswith(".")
        assert pipeline.version.count(".") == 2
        for name, entry in schema["properties"].items():
            assert "default" in entry, name
            assert entry["description"].endswith("."), name
            numeric = json.dumps(entry).count('"number"') + json.dumps(entry).count('"integer"')
            assert not numeric or "unit" in entry, name


def test_finding_pipelines_loads_no_science():
    heavy = ("scipy", "numba", "matplotlib", "bokeh", "cv2", "av", "h5py", "pandas", "spikeinterface", "django")
    code = (
        "import sys; import analysis.pipelines.registry as r; r.all_pipelines(); "
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def plugin(tmp_path, target: str, body: str):
    (tmp_path / "ourlab.py").write_text(textwrap.dedent(body))
    info = tmp_path / "ourlab-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ourlab\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[labsite.pipelines]\nours = {target}\n")


@pytest.fixture
def fresh_registry(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.found.cache_clear()
    yield
    registry.found.cache_clear()
    sys.modules.pop("ourlab", None)


def test_a_lab_adds_its_own_pipeline(tmp_path, fresh_registry):
    body = """
        from analysis.pipelines.base import Input, Parameters, Pipeline
        class Bursts(Pipeline):
            name, version, summary, parameters = "spikes.bursts", "1.0.0", "Finds bursts.", Parameters
            inputs = (Input(("units",), "sorted units"),)
    """
    plugin(tmp_path, "ourlab:Bursts", body)
    assert registry.get("spikes.bursts").summary == "Finds bursts."
    assert str(registry.origin("spikes.bursts")) == "ourlab 1.0"
    assert registry.broken() == ()


TWIN = "from analysis.pipelines.video_track import VideoTrack\nclass Twin(VideoTrack): pass"
NAMELESS = """
    from analysis.pipelines.video_track import VideoTrack
    class Twin(VideoTrack):
        name = "bursts"
"""
SMELLS = """
    from analysis.pipelines.base import Input
    from analysis.pipelines.video_track import VideoTrack
    class Twin(VideoTrack):
        name, inputs = "smell.track", (Input(("smell",), "what it smells"),)
"""


@pytest.mark.parametrize(
    ("target", "body", "words"),
    [
        ("ourlab:Missing", "", "cannot be loaded: AttributeError"),
        ("ourlab:Missing", "import nothing_like_this", "cannot be loaded: ModuleNotFoundError"),
        ("ourlab:Missing", "def half(", "cannot be loaded: SyntaxError"),
        ("ourlab:Missing", "raise SystemExit(3)", "cannot be loaded: SystemExit: 3"),
        ("ourlab:Thing", "class Thing: pass", "neither a function with @step nor a subclass of Pipeline"),
        ("ourlab:Twin", TWIN, "name video.track is taken by labsite"),
        ("ourlab:Twin", NAMELESS, "'bursts' must be small letters with a dot"),
        ("ourlab:Twin", SMELLS, "takes smell; the kinds of recordings are ephys, lfp"),
    ],
)
def test_a_bad_plugin_is_listed_with_its_reason_and_stops_nothing(tmp_path, fresh_registry, target, body, words):
    plugin(tmp_path, target, body)
    (broken,) = registry.broken()
    assert (broken.name, str(broken.origin), broken.origin.target) == ("ours", "ourlab 1.0", target)
    assert words in broken.reason
    assert registry.get("video.track").name == "video.track"
    assert registry.origin("video.track").package == "labsite"


RULER = {"points": [(0, 0), (9, 0)], "distance_cm": 3}
BOX = {"name": "box", "points": [(0, 0), (50, 0), (50, 50)]}


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("decode.position", {"guard": 0.5}, "guard"),
        ("decode.position", {"window": 0.3}, "whole number of bins"),
        ("decode.position", {"epoch_start": 5, "epoch_stop": 4}, "epoch_stop must be after"),
        ("decode.position", {"shortest_shift": 5}, "greater than or equal to 20"),
        ("decode.position", {"bin": float("nan")}, "finite"),
        ("decode.position", {"bin": 1e-9}, "greater than or equal to 0.001"),
        ("decode.position", {"shortest_shift": 1e300}, "less than or equal to 86400"),
        ("decode.position", {"bins": 50}, "Extra inputs"),
        ("ephys.lfp", {"theta_low": 9.5}, "theta_high must be"),
        ("ephys.lfp", {"rate": -1}, "greater than or equal"),
        ("video.track", {"opening": 8}, "must be odd"),
        ("video.track", {"arenas": [BOX, BOX]}, "two arenas have the name box"),
        ("video.track", {"arenas": [BOX | {"points": [(0, 0), (50, 50), (50, 0), (0, 50)]}]}, "cross each other"),
        ("video.track", {"calibration": {"points": [(0, 0), (9, 0)]}}, "either the distance"),
        (
            "video.track",
            {"calibration": {"points": [(0, 0), (9, 0)], "distance_cm": 3}, "pixels_per_cm": 3},
            "not both",
        ),
        ("video.track", {"animal": "pink"}, "'dark' or 'light'"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_runs(name, parameters, words):
    with pytest.raises(ValidationError, match=words):
        registry.get(name).parameters(**parameters)


def test_decoding_is_told_in_cm_and_repeats_exactly(tmp_path, track):
    first, _ = run_pipeline("decode.position", tmp_path / "a", *track, shifts=50, seed=3)
    again, _ = run_pipeline("decode.position", tmp_path / "b", *track, shifts=50, seed=3)
    other, _ = run_pipeline("decode.position", tmp_path / "c", *track, shifts=50, seed=4)
    assert first.metrics == again.metrics
    assert first.metrics["chance_median_error"] != other.metrics["chance_median_error"]
    assert first.metrics["median_error"].unit == "cm"
    assert first.metrics["median_error"].value < 7
    assert first.metrics["track_length"].value == pytest.approx(150, abs=1)
    assert first.metrics["p"].value == pytest.approx(1 / 51)
    assert [json.dumps(figure.to_json()) for figure in first.figures] == [
        json.dumps(figure.to_json()) for figure in again.figures
    ]
    with np.load(tmp_path / "a" / "decoded.npz") as made:
        assert made["posterior"].shape == (made["time"].size, 50)
        assert made["null_median_error_percent"].size == 50


def test_decoders_are_compared_on_the_same_folds(tmp_path, track):
    asked = {"epoch_stop": 300.0, "decoder": "state-space", "compare": True, "folds": 5, "inner_folds": 3}
    output, heard = run_pipeline("decode.position", tmp_path / "a", *track, shifts=3, **asked)
    metrics = output.metrics
    assert output.summary.startswith("state space, smoothed: median error")
    assert metrics["median_error"].value < 5
    assert metrics["p"].value == pytest.approx(1 / 4)
    assert 40 < metrics["chance_median_error"].value < 80
    others = ("bayesian", "bayesian_chosen", "state_space_causal", "ridge", "kernel")
    assert all(0 < metrics[f"median_error_{name}"].value < 20 for name in others)
    assert heard.progress == sorted(heard.progress)
    assert output.artifacts == ["decoded.npz", "folds.csv", "decoders.csv"]
    with (tmp_path / "a" / "decoders.csv").open(newline="") as lines:
        table = list(csv.DictReader(lines))
    assert len({row["decoder"] for row in table}) == 6
    assert {row["zones"] for row in table} == {"10"}
    assert float(table[0]["median_percent"]) * 1.5 == pytest.approx(metrics["median_error"].value, rel=0.01)
    with (tmp_path / "a" / "folds.csv").open(newline="") as lines:
        blocks = list(csv.DictReader(lines))
    assert sum(int(row["bins"]) for row in blocks) == metrics["bins"].value
    assert all("bandwidth" in row["settings"] for row in blocks)
    assert output.figures[-1].name == "decoders"
    again, _ = run_pipeline("decode.position", tmp_path / "b", *track, shifts=0, **(asked | {"compare": False}))
    assert again.metrics["median_error"] == metrics["median_error"]
    # What one decoder alone was asked for does not depend on those it is compared with.
    ridge, _ = run_pipeline(
        "decode.position", tmp_path / "c", *track, shifts=0, **(asked | {"compare": False, "decoder": "ridge"})
    )
    assert ridge.metrics["median_error"].value == metrics["median_error_ridge"].value
    assert "posterior" not in {figure.name for figure in ridge.figures}


def test_a_learnt_decoder_starts_from_the_seed_of_the_job(tmp_path, track):
    asked = {"epoch_stop": 150.0, "decoder": "perceptron", "folds": 2, "bin": 0.5, "guard": 2.0, "shifts": 0}
    found = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        output, _ = run_pipeline("decode.position", tmp_path / name, *track, seed=seed, **asked)
        with np.load(tmp_path / name / "decoded.npz") as made:
            found.append(made["decoded_percent"])
            assert made["place_centres_percent"].size == made["posterior"].shape[1]
        assert output.summary.startswith("perceptron: median error")
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


@pytest.mark.long
def test_slow_decoders_are_compared_when_asked_for(tmp_path, track):
    asked = {"epoch_stop": 200.0, "compare_learned": True, "folds": 3, "inner_folds": 2, "shifts": 0}
    output, _ = run_pipeline("decode.position", tmp_path / "a", *track, **asked)
    with (tmp_path / "a" / "decoders.csv").open(newline="") as lines:
        table = {row["decoder"]: row for row in csv.DictReader(lines)}
    assert {"kernel regression", "boosted trees", "perceptron"} < set(table)
    assert all(float(row["median_percent"]) < 12 and float(row["seconds"]) > 0 for row in table.values())
    assert output.metrics["median_error_boosting"].value > 0


def test_blocks_can_be_whole_laps(tmp_path, track):
    by_laps, _ = run_pipeline("decode.position", tmp_path / "a", *track, shifts=0, blocks="laps")
    by_time, _ = run_pipeline("decode.position", tmp_path / "b", *track, shifts=0)
    assert by_laps.metrics["laps"] == by_time.metrics["laps"]
    assert by_laps.metrics["laps"].value > 40
    assert by_laps.metrics["median_error"].value < 7
    up, down = (by_laps.metrics[f"median_error_{way}"].value for way in ("up", "down"))
    assert min(up, down) <= by_laps.metrics["median_error"].value <= max(up, down)
    with np.load(tmp_path / "a" / "decoded.npz") as made:
        bounds = made["true_percent"][np.flatnonzero(np.diff(made["block"])) + 1]
    assert bounds.size == 9
    assert np.all((bounds <= 10) | (bounds >= 90))


def test_a_speed_in_cm_is_the_same_threshold_as_its_share_of_the_track(tmp_path, track):
    share, _ = run_pipeline("decode.position", tmp_path / "a", *track, shifts=0, speed_threshold=8)
    length = share.metrics["track_length"].value
    cm, _ = run_pipeline(
        "decode.position", tmp_path / "b", *track, shifts=0, speed_threshold=8 * length / 100, speed_unit="cm/s"
    )
    assert cm.metrics["bins"].value == share.metrics["bins"].value
    assert cm.metrics["median_error"].value == pytest.approx(share.metrics["median_error"].value)
    assert "p" not in share.metrics
    assert "not tested" in share.summary


def test_recordings_that_start_at_different_moments_are_put_on_one_clock(tmp_path, track, laps):
    np.savez(tmp_path / "late.npz", spike_times=laps.spike_times - 7.5, spike_units=laps.spike_units)
    late = recording("units", "units-npz", tmp_path / "late.npz", start="2026-03-01T10:00:07.500000+00:00")
    right, _ = run_pipeline("decode.position", tmp_path / "a", late, track[1], shifts=0, align="starts")
    wrong, _ = run_pipeline("decode.position", tmp_path / "b", late, track[1], shifts=0)
    assert right.metrics["median_error"].value < 7
    assert wrong.metrics["median_error"].value > 20


def test_the_clocks_are_what_the_recordings_say_and_never_a_guess(tmp_path, track, laps):
    np.savez(tmp_path / "late.npz", spike_times=laps.spike_times - 7.5, spike_units=laps.spike_units)
    late = recording(
        "units", "units-npz", tmp_path / "late.npz", start="2026-03-01T10:00:07.500000+00:00", clock="recording"
    )
    position = replace(track[1], parameters={**track[1].parameters, "clock": "recording"})
    aligned, _ = run_pipeline("decode.position", tmp_path / "a", late, position, shifts=0)
    assert aligned.metrics["median_error"].value < 7
    with pytest.raises(PipelineError, match="the position recording does not say from when"):
        run_pipeline("decode.position", tmp_path / "b", late, track[1], shifts=0)
    with pytest.raises(PipelineError, match="the units recording does not say from when"):
        run_pipeline("decode.position", tmp_path / "c", track[0], position, shifts=0)


def test_a_clock_fit_of_the_catalog_brings_spikes_to_positions_and_only_when_it_is_asked_for(tmp_path, track, laps):
    # Minutes into the session a drift of 2 % is seconds off, which no constant shift mends.
    fit = {"reference": track[1].id, "offset": 7.5, "drift": 0.02, "origin": 100.0, "reference_clock": "",
           "reference_start": track[1].start}  # fmt: skip
    written = (laps.spike_times - fit["offset"] + fit["drift"] * fit["origin"]) / (1 + fit["drift"])
    np.savez(tmp_path / "drifting.npz", spike_times=written, spike_units=laps.spike_units)
    plain = recording("units", "units-npz", tmp_path / "drifting.npz")
    fitted = replace(plain, parameters={**plain.parameters, clocks.FIT: fit})
    true, _ = run_pipeline("decode.position", tmp_path / "true", *track, shifts=0)
    mended, _ = run_pipeline("decode.position", tmp_path / "fit", fitted, track[1], shifts=0)
    assert mended.metrics["median_error"].value == pytest.approx(true.metrics["median_error"].value, rel=1e-6)
    for name, told, align in (("without", plain, "auto"), ("as-written", fitted, "times")):
        wrong, _ = run_pipeline("decode.position", tmp_path / name, told, track[1], shifts=0, align=align)
        assert wrong.metrics["median_error"].value > 3 * true.metrics["median_error"].value


def test_whatever_brings_clocks_together_goes_by_the_fits_of_the_catalog():
    aligning = {
        name for name, pipeline in registry.all_pipelines().items() if "align" in pipeline.parameters.model_fields
    }
    # This one finds fits out.
    assert aligning - {"sync.align"} == clocks.GOING_BY_FITS


def test_decoding_says_what_is_missing(tmp_path, track, laps):
    np.savez(tmp_path / "later.npz", spike_times=laps.spike_times + 1e5, spike_units=laps.spike_units)
    np.savez(tmp_path / "still.npz", time=laps.time, x=np.zeros(laps.time.size) + 4, y=np.ones(laps.time.size))
    later = recording("units", "units-npz", tmp_path / "later.npz")
    still = recording("position", "position-npz", tmp_path / "still.npz")
    for recordings, parameters, words in (
        ((later, track[1]), {}, "are both on one clock"),
        ((track[0], still), {}, "stays at one point"),
        (track, {"speed_threshold": 1e6}, "move fast enough"),
        (track, {"epoch_start": 1e6}, "no positions between"),
        (track, {"epoch_stop": 30.0}, "too few to shift"),
        (track, {"epoch_stop": 60.0, "blocks": "laps", "folds": 30}, "cannot be cut into 30 blocks of laps"),
        (track, {"minimum_spikes": 10**6, "decoder": "state-space"}, "no unit has"),
        (track, {"minimum_spikes": 10**6, "decoder": "ridge"}, "no unit has"),
        (track, {"minimum_spikes": 10**6}, "no unit has"),
        ((track[0],), {}, "one recording of position, not 0"),
        ((later, track[1]), {"align": "starts"}, "no start in the catalog"),
    ):
        with pytest.raises(PipelineError, match=words):
            run_pipeline("decode.position", tmp_path / "run", *recordings, **parameters)


def test_decoding_refuses_more_bins_than_memory_holds(tmp_path, track, monkeypatch):
    monkeypatch.setattr("analysis.pipelines.position_behaviour._MOST_CELLS", 1000)
    with pytest.raises(PipelineError, match="use longer bins or a shorter time"):
        run_pipeline("decode.position", tmp_path / "run", *track, shifts=0)


def test_raw_voltage_becomes_lfp_on_disk(tmp_path):
    rate, seconds = 30_000, 20
    time = np.arange(rate * seconds) / rate
    rng = np.random.default_rng(0)
    theta = 200 * np.sin(2 * np.pi * 7.4 * time)
    table = np.stack([rng.normal(0, 60, time.size) + theta, rng.normal(0, 60, time.size), np.zeros(time.size)], axis=1)
    (table / 0.195).astype(np.int16).tofile(tmp_path / "raw.bin")
    raw = recording("ephys", "raw-binary", tmp_path / "raw.bin", rate=rate, channels=3, dtype="int16", gain_to_uV=0.195)
    output, heard = run_pipeline("ephys.lfp", tmp_path / "run", raw)
    assert output.metrics["theta_peak"].value == pytest.approx(7.4, abs=0.15)
    assert output.metrics["channel"].value == 0
    assert output.metrics["dead_channels"].value == 1
    assert output.metrics["lfp_rate"].value == 1250
    assert heard.progress == sorted(heard.progress)
    made = output.recordings[0]
    again = open_signal(
        recording("lfp", made.format, tmp_path / "run" / made.files[0], rate=made.rate, **made.parameters)
    )
    assert (again.n_samples, again.n_channels, again.rate) == (25_000, 3, 1250)
    kept = again.read(100, 24_900)[:, 0]
    assert np.abs(kept - theta[2400:-2400:24]).std() < 30


def test_lfp_says_what_is_wrong(tmp_path):
    np.save(tmp_path / "short.npy", np.zeros(1000))
    np.save(tmp_path / "dead.npy", np.zeros((20_000, 2)))
    np.save(tmp_path / "good.npy", np.random.default_rng(0).normal(size=(20_000, 2)))
    for name, parameters, words in (
        ("short", {}, "less than one window"),
        ("dead", {}, "Every channel is dead"),
        ("dead", {"channel": 1}, "Channel 1 is dead"),
        ("good", {"channel": 9}, "no channel 9"),
    ):
        source = recording("lfp", "npy", tmp_path / f"{name}.npy", rate=1250, unit="uV")
        with pytest.raises(PipelineError, match=words):
            run_pipeline("ephys.lfp", tmp_path / "run", source, **parameters)


def test_video_becomes_positions_in_cm(tmp_path):
    video = recording("video", "video", film(tmp_path / "a.mp4", pictures(90)))
    output, heard = run_pipeline("video.track", tmp_path / "run", video, pixels_per_cm=4, minimum_area=40)
    made = output.recordings[0]
    position = read_position(recording("position", made.format, tmp_path / "run" / made.files[0], **made.parameters))
    assert position.unit == "cm"
    found = np.isfinite(position.xy[:, 0])
    assert found.mean() > 0.9
    wanted = np.stack([(20 + np.arange(90)) / 4, np.full(90, 12.0)], axis=1)
    assert np.hypot(*(position.xy - wanted)[found].T).max() < 0.5
    assert output.metrics["rate"].value == pytest.approx(25, rel=0.02)
    assert heard.progress[-1] == 1.0


def test_every_arena_becomes_a_position_recording_in_cm(tmp_path):
    video = recording("video", "video", film(tmp_path / "a.mp4", pictures(90)))
    # The animal goes through the upper half; the lower one is empty.
    drawn = [
        {"name": name, "points": [(0, top), (128, top), (128, top + 30), (0, top + 30)]}
        for name, top in (("upper", 33), ("lower", 65))
    ]
    corners = {"points": [(8, 8), (108, 8), (108, 88), (8, 88)], "width_cm": 25, "height_cm": 20}
    output, _ = run_pipeline("video.track", tmp_path / "run", video, minimum_area=40, arenas=drawn, calibration=corners)
    (made,) = output.recordings
    assert (made.name, made.files, made.parameters["arena"]) == ("upper", ("position-1.npz",), "upper")
    position = read_position(recording("position", made.format, tmp_path / "run" / made.files[0], **made.parameters))
    assert position.unit == "cm"
    found = np.isfinite(position.xy[:, 0])
    assert found.mean() > 0.9
    wanted = np.stack([(12 + np.arange(90)) / 4, np.full(90, 10.0)], axis=1)
    assert np.hypot(*(position.xy - wanted)[found].T).max() < 0.5
    assert output.metrics["found_1"].label == "frames with a position, upper"
    assert (output.metrics["found_2"].value, output.metrics["lost_2"].value) == (0, 90)
    assert "lower: Lost in 90 of 90 frames" in output.summary
    assert [figure.name for figure in output.figures] == ["track", "occupancy-1", "speed-1"]


def test_a_cameras_recording_is_tracked_with_its_own_times(tmp_path):
    camera = segments(tmp_path, damaged=(7,))
    output, _ = run_pipeline("video.track", tmp_path / "run", camera, minimum_area=40)
    with np.load(tmp_path / "run" / "position.npz") as made:
        assert made["time"][0] == pytest.approx(0.5)
        assert np.isnan(made["x"][7])
        assert made["time"].size == 29
    assert output.metrics["missing_frames"].value == 1
    assert "the picture is damaged" in output.summary


def test_an_empty_arena_fails_with_the_reason(tmp_path):
    rng = np.random.default_rng(0)
    frames = [np.clip(rng.normal(150, 2, (96, 128)), 0, 255).astype(np.uint8) for _ in range(40)]
    video = recording("video", "video", film(tmp_path / "a.avi", frames, codec="mjpeg"))
    with pytest.raises(PipelineError, match="lost in all 40 frames, mostly because nothing differs"):
        run_pipeline("video.track", tmp_path / "run", video)
