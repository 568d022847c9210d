"""Two clocks that saw the same pulses are brought together, and those that did not are refused with a reason."""

from __future__ import annotations

import csv
import time as timing
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from analysis.methods import pulses
from analysis.methods.alignment import align
from analysis.methods.errors import InvalidDataError
from analysis.pipelines.base import PipelineError
from analysis.readers import read_position, read_spikes
from tests.methods.acquired import behavmatrix, spikeglx
from tests.methods.running import recording, run_pipeline

OFFSET, DRIFT = 3.2, 40e-6


def irregular(n: int, seed: int = 0) -> np.ndarray:
    return 10 + np.cumsum(np.random.default_rng(seed).uniform(0.5, 1.5, n))


def on_other_clock(time: np.ndarray) -> np.ndarray:
    return (time - OFFSET) / (1 + DRIFT)


def seen(n: int, seed: int, *, lost: float = 0.01, jitter: float = 1e-4):
    """Return both trains, and which pulse each of theirs is."""
    rng = np.random.default_rng(seed)
    true = irregular(n, seed)
    kept = [np.flatnonzero(rng.random(n) >= lost) for _ in range(2)]
    first, second = (clock + rng.normal(0, jitter, n) for clock in (true, on_other_clock(true)))
    return first[kept[0]], second[kept[1]], *kept


@pytest.mark.parametrize("seed", range(20))
def test_every_pulse_finds_its_own_within_a_millisecond(seed):
    reference, other, first, second = seen(1000, seed)
    found = align(reference, other)
    assert np.array_equal(first[found.reference], second[found.other])
    assert found.reference.size == np.intersect1d(first, second).size
    assert np.abs(found.residual).max() <= 1e-3
    assert found.line.drift == pytest.approx(DRIFT, abs=1e-6)
    assert found.line.of(on_other_clock(np.array([0.0, 700.0]))) == pytest.approx([0.0, 700.0], abs=2e-4)
    # What is no pair is told, to the last pulse.
    for size, pairs, lost, outside in (
        (reference.size, found.reference, found.lost_reference, found.outside_reference),
        (other.size, found.other, found.lost_other, found.outside_other),
    ):
        assert pairs.size + lost.size + outside == size


def test_a_day_of_pulses_takes_seconds():
    reference, other, first, second = seen(90_000, 1)
    began = timing.process_time()
    found = align(reference, other)
    assert timing.process_time() - began < 10
    assert np.array_equal(first[found.reference], second[found.other])
    assert np.abs(found.residual).max() <= 1e-3


def test_one_may_begin_later_and_end_earlier_than_the_other():
    reference, other, first, second = seen(500, 3)
    found = align(reference[60:], other[:400])
    assert np.array_equal(first[60:][found.reference], second[found.other])
    assert found.outside_reference == np.count_nonzero(first[60:] > second[399])
    assert found.outside_other == np.count_nonzero(second[:400] < first[60])


def test_pulses_that_only_one_saw_besides_are_told_as_lost():
    reference, other, _, second = seen(400, 4)
    noise = np.random.default_rng(5).uniform(other[0], other[-1], 30)
    times = np.concatenate([other, noise])
    order = np.argsort(times)
    found = align(reference, times[order])
    assert np.isin(np.flatnonzero(order >= other.size), found.lost_other).all()
    assert found.reference.size == np.intersect1d(seen(400, 4)[2], second).size


def test_frames_of_a_camera_are_blunt_and_match_all_the_same():
    reference, other, first, second = seen(600, 6)
    blunt = other + np.random.default_rng(0).uniform(-1 / 60, 1 / 60, other.size)
    found = align(reference, blunt, tolerance=1 / 30)
    assert np.array_equal(first[found.reference], second[found.other])
    assert found.line.drift == pytest.approx(DRIFT, abs=2e-5)


def even(n: int = 300) -> np.ndarray:
    return np.arange(n) * 1.0


def refused() -> dict[str, tuple[np.ndarray, np.ndarray, str]]:
    reference, other, _, _ = seen(400, 8)
    rng = np.random.default_rng(9)
    jump, step = other.copy(), other.copy()
    jump[200:] += 1.5
    step[300:] -= 0.0025
    thinned = rng.random(other.size) < 0.5
    again = np.cumsum(np.tile(rng.uniform(0.5, 1.5, 10), 30))
    slow = other + 0.02 * np.sin(other / other[-1] * 3)
    return {
        "unrelated": (reference, irregular(400, 99), "not those of the same pulses"),
        "even": (even(), even() - 3.2, "evenly spaced"),
        "even with losses": (even()[rng.random(300) > 0.01], even()[rng.random(300) > 0.01], "evenly spaced"),
        "repeating": (again, again - 3.2, "repeat themselves"),
        "half missing": (reference, other[thinned], "have no partner"),
        "jumped": (reference, jump, f"jumps by +1.500 s between {jump[199]:.3f} and {jump[200]:.3f} s"),
        "stepped": (reference, step, f"ms between {step[299]:.3f} and {step[300]:.3f} s"),
        "wandering": (reference, slow, "do not run along one line"),
        "too fast": (reference, other * 1.001, "drifts by -959 ppm"),
        "hardly overlapping": (reference[:300], other[250:], "hardly overlap"),
        "few": (reference[:5], other, "has 5 pulses"),
        "disorderly": (reference[::-1], other, "rising times"),
    }


@pytest.mark.parametrize("case", refused())
def test_what_cannot_be_matched_is_refused_with_one_sentence(case):
    reference, other, reason = refused()[case]
    with pytest.raises(InvalidDataError) as caught:
        align(reference, other)
    assert reason in str(caught.value)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_pulses_that_never_match_for_a_while_are_not_taken_as_lost_by_chance():
    reference, other, _, _ = seen(600, 11, lost=0.0)
    swapped = other.copy()
    swapped[580:595] = np.sort(np.random.default_rng(2).uniform(other[580], other[594], 15))
    with pytest.raises(InvalidDataError, match=r"both have pulses .* and none of them match"):
        align(reference, swapped)


RATE = 2000.0


def voltage(times: np.ndarray, seconds: float, *, width: float = 0.005) -> np.ndarray:
    """Return pulses of 3 mV on noise, sampled at 2 kHz; an edge between two samples shows in the first of the pulse."""
    sample = np.arange(round(seconds * RATE)) / RATE
    trace = np.random.default_rng(1).normal(0, 60, sample.size)
    for time in times:
        begin = int(np.ceil(time * RATE))
        trace[begin : begin + round(width * RATE)] += 3000
    return trace


@pytest.mark.parametrize("piece", [37, 1000, 10**9])
def test_edges_of_a_voltage_do_not_depend_on_the_pieces_it_is_read_in(piece):
    true = irregular(60)
    trace = voltage(true, 85)
    between = pulses.levels(pulses.extremes(trace))
    assert (between.low, between.high) == (pytest.approx(0, abs=250), pytest.approx(3000, abs=250))
    time = np.arange(trace.size) / RATE
    cut = [(time[at : at + piece], trace[at : at + piece]) for at in range(0, trace.size, piece)]
    found = pulses.edges(cut, between)
    assert found.rising == pytest.approx(true, abs=1 / RATE)
    assert found.falling - found.rising == pytest.approx(0.005, abs=1 / RATE)


def test_a_pulse_under_way_at_the_beginning_is_no_edge_and_a_missing_value_no_pulse():
    time, value = np.arange(12.0), np.array([9, 9, 0, 0, np.nan, 9, 9, 0, 0, 0, 9, 9.0])
    found = pulses.edges([(time, value)], pulses.Levels(0, 9))
    assert found.rising == pytest.approx([4.0, 9.5])
    assert found.falling == pytest.approx([1.5, 6.5])


@pytest.mark.parametrize("kind", ["noise", "rhythm", "constant"])
def test_what_has_no_two_levels_has_no_pulses(kind):
    time = np.arange(20_000) / 1000
    value = {
        "noise": np.random.default_rng(0).normal(size=time.size),
        "rhythm": np.sin(2 * np.pi * 8 * time),
        "constant": np.full(time.size, 5.0),
    }[kind]
    with pytest.raises(InvalidDataError, match="no pulses"):
        pulses.edges([(time, value)], pulses.levels(pulses.extremes(value)))


def test_what_bounces_is_one_pulse():
    assert pulses.in_order(np.array([2.001, 1.0, 1.0, 2.0, 3.0]), bounce=0.01) == pytest.approx([1, 2, 3])
    assert pulses.in_order(np.array([2.001, 1.0, 1.0, 2.0, 3.0])) == pytest.approx([1, 2, 2.001, 3])


def events_table(path, times, kind="sync", others=()):
    with path.open("w", newline="") as file:
        rows = sorted([(time, kind) for time in times] + [(time, "poke") for time in others])
        csv.writer(file).writerows([("time", "kind"), *((f"{time:.6f}", word) for time, word in rows)])
    return recording("events", "csv", path)


def voltage_recording(path, times, seconds):
    traces = np.stack([np.random.default_rng(0).normal(0, 60, round(seconds * RATE)), voltage(times, seconds)], axis=1)
    traces.astype(np.int16).tofile(path)
    return recording("ephys", "raw-binary", path, rate=RATE, channels=2, dtype="int16", gain_to_uV=1.0)


def test_a_controller_is_put_on_the_clock_of_the_probe_with_all_that_is_on_its_clock(tmp_path):
    true = irregular(150)
    rng = np.random.default_rng(3)
    kept = rng.random((2, 150)) > 0.02
    probe = voltage_recording(tmp_path / "probe.bin", true[kept[0]], 180)
    pokes = np.array([20.0, 50.0, 90.0])
    controller = events_table(tmp_path / "box.csv", on_other_clock(true[kept[1]]), others=on_other_clock(pokes))
    spikes = np.sort(rng.uniform(5, 170, 400))
    np.savez(
        tmp_path / "u.npz", spike_times=on_other_clock(spikes), spike_units=rng.integers(3, 6, 400),
        unit_quality=np.array(["good", "noise", "good"]),
    )  # fmt: skip
    frames = np.arange(0, 170, 0.1)
    np.savez(tmp_path / "p.npz", time=on_other_clock(frames), x=frames, y=-frames, unit="cm")
    units = recording("units", "units-npz", tmp_path / "u.npz")
    position = recording("position", "position-npz", tmp_path / "p.npz")
    output, _ = run_pipeline(
        "sync.align", tmp_path / "out", probe, controller, units, position, controller,
        reference_channel="1", other_channel="sync",
    )  # fmt: skip
    metrics = output.metrics
    assert metrics["drift"].value == pytest.approx(40, abs=5)
    assert metrics["largest_residual"].value < 1
    assert metrics["pairs"].value == np.count_nonzero(kept.all(axis=0))
    told = {
        name: metrics[name].value for name in ("lost_reference", "lost_other", "outside_reference", "outside_other")
    }
    assert told["lost_reference"] + told["outside_reference"] == np.count_nonzero(kept[0] & ~kept[1])
    assert told["lost_other"] + told["outside_other"] == np.count_nonzero(kept[1] & ~kept[0])
    made = {one.kind: recording(one.kind, one.format, tmp_path / "out" / one.files[0]) for one in output.recordings}
    assert [one.made_of for one in output.recordings] == [2, 3, 4]
    assert read_spikes(made["units"]).times == pytest.approx(spikes, abs=1e-3)
    assert set(read_spikes(made["units"]).labels) == {"3", "4", "5"}
    # Those that their sorter calls good still are.
    assert set(read_spikes(replace(made["units"], parameters={"only": "good"})).labels) == {"3", "5"}
    assert read_position(made["position"]).time == pytest.approx(frames, abs=1e-3)
    with (tmp_path / "out" / made["events"].files[0].path.name).open() as file:
        moved = [float(row["time"]) for row in csv.DictReader(file) if row["kind"] == "poke"]
    assert moved == pytest.approx(pokes, abs=1e-3)
    with (tmp_path / "out" / "pairs.csv").open() as file:
        assert len(list(csv.DictReader(file))) == metrics["pairs"].value
    assert [figure.name for figure in output.figures] == ["residuals", "histogram", "intervals"]


def test_times_that_count_from_the_start_of_their_recording_are_put_on_the_reference_s(tmp_path):
    """The controller's pulses count from 12:00:00, its units from a minute later; the reference from its own start."""
    true = irregular(120)
    clock = {"clock": "recording"}
    reference = events_table(tmp_path / "a.csv", true)
    reference = recording("events", "csv", tmp_path / "a.csv", start="2026-03-02T11:59:00+00:00", **clock)
    events_table(tmp_path / "b.csv", on_other_clock(true))
    other = recording("events", "csv", tmp_path / "b.csv", start="2026-03-02T12:00:00+00:00", **clock)
    spikes = np.linspace(70, 120, 50)
    np.savez(tmp_path / "u.npz", spike_times=on_other_clock(spikes) - 60, spike_units=np.zeros(50, int))
    units = recording("units", "units-npz", tmp_path / "u.npz", start="2026-03-02T12:01:00+00:00", **clock)
    output, _ = run_pipeline("sync.align", tmp_path / "out", reference, other, units)
    (made,) = output.recordings
    assert made.parameters == clock
    found = read_spikes(recording("units", made.format, tmp_path / "out" / made.files[0])).times
    assert found == pytest.approx(spikes, abs=1e-3)
    bare = recording("units", "units-npz", tmp_path / "u.npz")
    with pytest.raises(PipelineError, match="does not say from when its times count"):
        run_pipeline("sync.align", tmp_path / "no", reference, other, bare)


def flashing_video(path, times, seconds, *, rate=25, flash=0.1):
    """Write grey noise with a light in one corner that is on for a tenth of a second from each time on."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = Fraction(1, rate)
        for number in range(round(seconds * rate)):
            picture = rng.integers(90, 110, (48, 64), dtype=np.uint8)
            on = ((times <= number / rate) & (times > number / rate - flash)).any()
            picture[4:12, 40:52] = 230 if on else 30
            frame = av.VideoFrame.from_ndarray(np.repeat(picture[..., None], 3, axis=2), format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def test_a_light_that_flashes_in_a_video_is_matched_to_within_a_frame(tmp_path):
    true = irregular(60)
    flashing_video(tmp_path / "v.mp4", on_other_clock(true), 75)
    reference = events_table(tmp_path / "a.csv", true)
    video = recording("video", "video", tmp_path / "v.mp4")
    output, _ = run_pipeline("sync.align", tmp_path / "out", reference, video, other_region=[40, 4, 12, 8])
    assert output.metrics["largest_residual"].value <= 1000 / 25
    assert output.metrics["offset"].value == pytest.approx(3.2, abs=0.02)
    assert output.metrics["pairs"].value >= 59
    with pytest.raises(PipelineError, match=r"64 x 48 px the light is: set other_region"):
        run_pipeline("sync.align", tmp_path / "no", reference, video)
    with pytest.raises(PipelineError, match="not within the picture"):
        run_pipeline("sync.align", tmp_path / "no", reference, video, other_region=[60, 4, 12, 8])


def test_a_bit_of_the_synchronisation_word_of_neuropixels_is_a_train_of_pulses(tmp_path):
    path = spikeglx(tmp_path)
    rate, true = 30_000, 0.2 + np.cumsum(np.random.default_rng(4).uniform(0.05, 0.15, 40))
    samples = np.zeros((round(5 * rate), 5), "<i2")
    samples[:, :4] = np.random.default_rng(5).integers(-50, 50, (len(samples), 4))
    for time in true:
        at = int(np.ceil(time * rate))
        samples[at : at + 300, 4] |= 64
    # Another line of the same word.
    samples[::7, 4] |= 1
    samples.tofile(path)
    meta = path.with_suffix(".meta")
    lines = [line for line in meta.read_text().splitlines() if not line.startswith(("fileSizeBytes", "fileTimeSecs"))]
    meta.write_text("\n".join([*lines, f"fileSizeBytes={samples.nbytes}", f"fileTimeSecs={len(samples) / rate}", ""]))
    probe = recording("ephys", "spikeglx", path, time_offset=100.0)
    other = events_table(tmp_path / "a.csv", on_other_clock(true + 100))
    output, _ = run_pipeline("sync.align", tmp_path / "out", probe, other, reference_channel="SY0:6")
    assert output.metrics["pairs"].value == 40
    assert output.metrics["largest_residual"].value < 0.1
    with pytest.raises(PipelineError, match="no channel 'SY0:x'"):
        run_pipeline("sync.align", tmp_path / "no", probe, other, reference_channel="SY0:x")


def test_what_is_missing_to_find_the_pulses_is_asked_for(tmp_path):
    true = irregular(30)
    one = events_table(tmp_path / "a.csv", true)
    several = events_table(tmp_path / "b.csv", true, others=true + 0.1)
    probe = voltage_recording(tmp_path / "probe.bin", true, 50)
    matlab = recording("events", "behavmatrix-mat", behavmatrix(tmp_path))
    for other, given, reason in (
        (several, {}, "set other_channel to one of poke, sync"),
        (several, {"other_channel": "led"}, "one of poke, sync, not 'led'"),
        (probe, {}, "set other_channel to a number from 0 to 1"),
        (probe, {"other_channel": "2"}, "from 0 to 1, or a channel's name, not '2'"),
        (probe, {"other_channel": "TTL"}, "no channel 'TTL'; set other_channel to one of 0, 1"),
        (probe, {"other_channel": "0"}, "no pulses"),
        (matlab, {}, "one of Odor1, Odor4, Position1, Position2, InSeqLog: -1"),
    ):
        with pytest.raises(PipelineError, match=reason):
            run_pipeline("sync.align", tmp_path / "no", one, other, **given)
    units = recording("units", "units-npz", tmp_path / "a.csv")
    with pytest.raises(PipelineError, match="Give the reference first"):
        run_pipeline("sync.align", tmp_path / "no", units, one, several)
    with pytest.raises(ValueError, match="four whole numbers of px"):
        run_pipeline("sync.align", tmp_path / "no", one, several, other_region=[1, 2, 0, 4])
