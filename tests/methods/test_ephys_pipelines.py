"""Raw voltage on disk becomes a judgement of its channels and peaks that another analysis can read."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import butter, sosfreqz

from analysis import readers
from analysis.figures import page, paper
from analysis.figures.spec import Figure
from analysis.pipelines import registry
from analysis.pipelines.base import PipelineError
from analysis.readers import read_spikes, signal
from tests.methods.running import recording, run_pipeline

RATE = 30_000
CHANNELS = 16
GAIN = 0.195
# Sample and channel of every spike that is put in.
SPIKES = [(900 + 1500 * k, (3 + 5 * k) % CHANNELS) for k in range(190)]
POSITIONS = [[0.0, 40.0 * n] for n in range(CHANNELS)]


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    """Ten seconds of 16 channels: noise, shared theta, spikes of -120 uV, channel 6 dead, a gap of 0.2 s at 4 s."""
    rng = np.random.default_rng(0)
    time = np.arange(10 * RATE) / RATE
    table = rng.normal(0, 8, (time.size, CHANNELS))
    table += 150 * np.sin(2 * np.pi * 7.5 * time)[:, None]
    wave = -120 * np.exp(-0.5 * (np.arange(-20, 21) / 5) ** 2)
    for sample, channel in SPIKES:
        table[sample - 20 : sample + 21, channel] += wave
    table[:, 6] = 0
    table[4 * RATE : 4 * RATE + RATE // 5] = 0
    return (table / GAIN).round().astype(np.int16)


def raw(folder, samples, **parameters):
    samples.tofile(folder / "raw.bin")
    stated = {"channels": CHANNELS, "dtype": "int16", "gain_to_uV": GAIN, "positions": POSITIONS, **parameters}
    return recording("ephys", "raw-binary", folder / "raw.bin", rate=RATE, **stated)


def drawn(figure) -> None:
    again = Figure.from_json(figure.to_json())
    assert page.json_item(again)
    assert paper.render(again, "svg").startswith(b"<?xml")


def test_peaks_lie_where_the_spikes_are_and_can_be_read_again(tmp_path, samples):
    source = raw(tmp_path, samples, time_offset=2.0)
    output, heard = run_pipeline("ephys.spikes", tmp_path / "run", source)
    assert output.metrics["good_channels"].value == CHANNELS - 1
    # What the filter, run both ways, leaves of 8 uV of white noise; the common median takes a little more.
    _, gain = sosfreqz(butter(3, (300, 6000), btype="bandpass", fs=RATE, output="sos"), worN=4096)
    assert output.metrics["noise"].value == pytest.approx(8 * np.sqrt(np.mean(np.abs(gain) ** 4)), rel=0.1)
    assert any("6 (dead)" in line for line in heard.log)
    assert heard.progress == sorted(heard.progress)
    made = output.recordings[0]
    assert (made.kind, made.format) == ("spikes", "units-npz")
    found = read_spikes(recording("spikes", made.format, tmp_path / "run" / made.files[0], **made.parameters))
    labels = np.array([int(found.labels[unit].removeprefix("channel ")) for unit in found.units])
    hit = [
        bool(np.any((np.abs(found.times - (2.0 + sample / RATE)) < 0.5e-3) & (labels == channel)))
        for sample, channel in SPIKES
        if channel != 6 and not 3.99 * RATE < sample < 4.21 * RATE
    ]
    assert len(hit) > 150
    assert np.mean(hit) >= 0.99
    assert len(found.times) < 1.1 * len(SPIKES)
    for figure in output.figures:
        drawn(figure)


def test_a_recording_is_judged(tmp_path, samples):
    output, heard = run_pipeline("ephys.inspect", tmp_path / "run", raw(tmp_path, samples))
    assert output.metrics["good_channels"].value == CHANNELS - 1
    assert output.metrics["dead"].value == 1
    assert output.metrics["gaps"].value == pytest.approx(2, abs=0.1)
    assert output.metrics["saturated"].value == pytest.approx(0, abs=0.01)
    assert "6 dead" in output.summary
    assert heard.progress == sorted(heard.progress)
    with (tmp_path / "run" / output.artifacts[0]).open() as lines:
        rows = list(csv.DictReader(lines))
    assert [row["label"] for row in rows] == ["dead" if n == 6 else "good" for n in range(CHANNELS)]
    for figure in output.figures:
        drawn(figure)


def test_one_pass_makes_what_two_make_to_the_last_bit(tmp_path, samples):
    source = raw(tmp_path, samples, time_offset=2.0, clock="recording")
    (low, _), (high, _) = (run_pipeline(name, tmp_path / name, source) for name in ("ephys.lfp", "ephys.spikes"))
    both, heard = run_pipeline("ephys.preprocess", tmp_path / "both", source)
    alone = [*low.recordings, *high.recordings]
    assert [one.kind for one in alone] == ["lfp", "spikes"]
    assert [(one.name, replace(one, name="")) for one in both.recordings] == [("LFP", alone[0]), ("spikes", alone[1])]
    assert (tmp_path / "both" / "lfp.npy").read_bytes() == (tmp_path / "ephys.lfp" / "lfp.npy").read_bytes()
    for name, folder in (("peaks.npz", "ephys.spikes"), ("spectra.npz", "ephys.lfp")):
        with np.load(tmp_path / "both" / name) as made, np.load(tmp_path / folder / name) as wanted:
            assert made.files == wanted.files
            assert all(made[each].tobytes() == wanted[each].tobytes() for each in made.files)
    assert len(read_spikes(recording("spikes", "units-npz", tmp_path / "both" / "peaks.npz")).times) > 150
    assert both.metrics == low.metrics | high.metrics
    assert [each.to_json() for each in both.figures] == [each.to_json() for each in low.figures + high.figures]
    assert heard.progress == sorted(heard.progress)
    assert heard.progress[-1] == 1.0


def test_one_pass_reads_each_sample_once(tmp_path, samples, monkeypatch):
    """What it is for: the pass reads no more than the pass for peaks alone, but for the margins of the LFP."""
    asked: dict[str, int] = {}
    opened = signal.open_signal

    def counting(name):
        def opening(source):
            found = opened(source)

            def read(start, stop):
                asked[name] = asked.get(name, 0) + stop - start
                return found.read(start, stop)

            return replace(found, read=read)

        return opening

    source = raw(tmp_path, samples)
    for name in ("ephys.lfp", "ephys.spikes", "ephys.preprocess"):
        monkeypatch.setattr(readers, "open_signal", counting(name))
        run_pipeline(name, tmp_path / name, source)
    assert asked["ephys.lfp"] >= len(samples)
    assert asked["ephys.preprocess"] < asked["ephys.spikes"] + 0.1 * asked["ephys.lfp"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"theta_low": 9.5}, "theta_high must be at least 1 Hz above theta_low"),
        ({"low": 2000, "high": 3000}, "high must be above twice low"),
    ],
)
def test_one_pass_refuses_what_either_refuses(given, words):
    with pytest.raises(ValueError, match=words):
        registry.get("ephys.preprocess").parameters(**given)


def test_saturation_is_told_with_its_time(tmp_path, samples):
    clipped = samples.copy()
    clipped[7 * RATE : 8 * RATE, 2] = np.clip(clipped[7 * RATE : 8 * RATE, 2] * 20, -2000, 2000)
    output, _ = run_pipeline("ephys.inspect", tmp_path / "run", raw(tmp_path, clipped))
    over_time = next(figure for figure in output.figures if figure.name == "faults").panels[0].layers[0]
    assert over_time.x[over_time.y.argmax()] == pytest.approx(7.5)
    assert output.metrics["saturated"].value > 0.1


def test_a_probe_without_positions_is_taken_in_the_order_of_its_channels(tmp_path, samples):
    source = raw(tmp_path, samples, positions=None)
    for name in ("ephys.inspect", "ephys.spikes"):
        output, _ = run_pipeline(name, tmp_path / name, source)
        assert output.metrics["good_channels"].value == CHANNELS - 1
        for figure in output.figures:
            drawn(figure)


@pytest.mark.parametrize("name", ["ephys.inspect", "ephys.spikes"])
@pytest.mark.parametrize(
    ("positions", "words"),
    [
        ([[0, 1]], "has 1 pairs; there are 16 channels"),
        ([0, 20, 40], "one pair of micrometres"),
        ("probe A", "one pair of micrometres"),
    ],
)
def test_wrong_positions_are_told(tmp_path, samples, name, positions, words):
    with pytest.raises(PipelineError, match=words):
        run_pipeline(name, tmp_path / "run", raw(tmp_path, samples[:RATE], positions=positions))


def test_what_holds_no_spikes_is_told(tmp_path):
    np.save(tmp_path / "slow.npy", np.random.default_rng(0).normal(size=(5000, 2)))
    np.save(tmp_path / "zeros.npy", np.zeros((60_000, 2), np.float32))
    slow = recording("ephys", "npy", tmp_path / "slow.npy", rate=1250, unit="uV")
    for name in ("ephys.spikes", "ephys.preprocess"):
        with pytest.raises(PipelineError, match="does not fit a recording at 1250 Hz"):
            run_pipeline(name, tmp_path / "run", slow)
    zeros = recording("ephys", "npy", tmp_path / "zeros.npy", rate=RATE, unit="uV")
    with pytest.raises(PipelineError, match="No channel is good"):
        run_pipeline("ephys.spikes", tmp_path / "run", zeros)
    output, _ = run_pipeline("ephys.inspect", tmp_path / "run", zeros)
    assert output.summary.startswith("0 of 2 channels are good")
