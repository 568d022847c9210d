"""Quality of sorted units on trains whose contamination is known, and sorting of a recording whose units are known."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from analysis.figures import page, paper
from analysis.figures.spec import Figure
from analysis.methods import units
from analysis.pipelines.base import PipelineError
from analysis.readers import read_spikes
from tests.methods.running import recording, run_pipeline

RATE = 30_000
DURATION = 600.0


def refractory(rate: float, seed: int, dead: float = 0.003) -> np.ndarray:
    """Return a train of a neuron that is silent for ``dead`` s after each spike."""
    rng = np.random.default_rng(seed)
    gaps = dead + rng.exponential(1 / rate - dead, round(1.2 * rate * DURATION))
    times = np.cumsum(gaps)
    return times[times < DURATION]


def test_refractory_violations_tell_how_much_is_mixed():
    one, other = refractory(15, 1), refractory(15, 2)
    poisson = np.sort(np.random.default_rng(3).uniform(0, DURATION, 9000))
    assert units.violations(one, DURATION) == 0
    assert units.violations(np.concatenate([one, other]), DURATION) == pytest.approx(0.5, abs=0.1)
    assert units.violations(poisson, DURATION) == pytest.approx(1.0, abs=0.15)
    tenth = np.concatenate([one, np.random.default_rng(4).uniform(0, DURATION, one.size // 9)])
    # Of all pairs, 2 x 0.1 x 0.9 are of a foreign spike and one of the unit, 0.1^2 of two foreign ones.
    assert units.violations(tenth, DURATION) == pytest.approx(0.19, abs=0.06)
    assert np.isnan(units.violations(one[:40], DURATION))
    assert np.isnan(units.violations(np.zeros(0), DURATION))


def test_presence_is_the_share_of_the_recording_in_which_it_fires():
    assert units.presence(refractory(10, 5), DURATION) == 1.0
    assert units.presence(np.linspace(0, DURATION / 2 - 1, 500), DURATION) == 0.5
    assert units.presence(np.zeros(0), DURATION) == 0.0


def test_the_autocorrelogram_counts_every_pair_once_to_each_side():
    times = np.sort(np.random.default_rng(6).uniform(0, 20, 400))
    lags, rate = units.autocorrelogram(times)
    pairs = times[None, :] - times[:, None]
    inside = np.abs(pairs[~np.eye(times.size, dtype=bool)])
    assert lags.size == 100
    assert rate.sum() * 0.001 * times.size == pytest.approx(np.count_nonzero(inside < 0.05))
    np.testing.assert_allclose(rate, rate[::-1])
    assert units.autocorrelogram(refractory(15, 7))[1][48:52].max() == 0


def template(depth: float) -> np.ndarray:
    """Return waveforms of four channels, the deepest on the third."""
    shape = -np.exp(-0.5 * ((np.arange(90) - 30) / 4) ** 2)
    return depth * shape[:, None] * np.array([0.1, 0.3, 1.0, 0.5])


@pytest.mark.parametrize(
    ("times", "depth", "label"),
    [
        (refractory(15, 1), 80.0, "good"),
        (np.concatenate([refractory(15, 1), refractory(15, 2)]), 80.0, "multi-unit"),
        (refractory(15, 1), 30.0, "multi-unit"),
        (refractory(15, 1) / 2, 80.0, "multi-unit"),
        (refractory(15, 1)[::500], 80.0, "noise"),
        (refractory(15, 1), 10.0, "noise"),
        # Too slow to have violations: that it has none says nothing against it.
        (refractory(15, 1)[::30], 80.0, "good"),
    ],
)
def test_units_are_labelled_by_their_limits(times, depth, label):
    made = units.describe(
        times,
        np.full(times.size, -depth),
        template(depth),
        noise=np.full(4, 8.0),
        channels=np.array([4, 5, 7, 9]),
        duration=DURATION,
        rate=RATE,
    )
    assert made.label == label
    assert made.channel == 7
    assert made.snr == pytest.approx(depth / 8)
    assert made.waveform_time[made.waveform.argmin()] == 0
    assert made.rate == pytest.approx(times.size / DURATION)


def raw(folder, samples, **parameters):
    samples.tofile(folder / "raw.bin")
    stated = {"channels": samples.shape[1], "dtype": "int16", "gain_to_uV": 0.195, **parameters}
    return recording("ephys", "raw-binary", folder / "raw.bin", rate=RATE, **stated)


def test_what_cannot_be_sorted_is_refused(tmp_path):
    samples = np.random.default_rng(0).normal(0, 40, (3 * RATE, 4)).astype(np.int16)
    positions = [[0.0, 20.0 * n] for n in range(4)]
    with pytest.raises(PipelineError, match="where the contacts lie: set the parameter 'positions'"):
        run_pipeline("ephys.sort", tmp_path / "a", raw(tmp_path, samples))
    source = raw(tmp_path, samples, positions=positions)
    with pytest.raises(PipelineError, match=r"'kilosort99' is not installed here; there are .*spykingcircus2"):
        run_pipeline("ephys.sort", tmp_path / "b", source, sorter="kilosort99")
    with pytest.raises(PipelineError, match="nothing above 15000 Hz"):
        run_pipeline("ephys.sort", tmp_path / "c", source, high=15000)
    flat = raw(tmp_path, np.zeros((3 * RATE, 4), np.int16), positions=positions)
    with pytest.raises(PipelineError, match="No channel is good"):
        run_pipeline("ephys.sort", tmp_path / "d", flat)
    assert not (tmp_path / "d" / "sorting").exists()


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # the making of the truth warns of its own defaults
def test_known_units_are_found_again(tmp_path):
    from spikeinterface.core import generate_ground_truth_recording

    simulated, truth = generate_ground_truth_recording(
        durations=[30.0], sampling_frequency=RATE, num_channels=16, num_units=8, seed=0
    )
    samples = (simulated.get_traces() / 0.195).round().astype(np.int16)
    # One contact that is broken must neither be sorted nor move the numbers of the others.
    samples[:, 2] = 0
    source = raw(tmp_path, samples, positions=simulated.get_channel_locations().tolist(), time_offset=2.0)
    output, heard = run_pipeline("ephys.sort", tmp_path / "run", source)
    assert heard.progress == sorted(heard.progress)
    assert any("2 (dead)" in line for line in heard.log)
    made = output.recordings[0]
    assert (made.kind, made.format) == ("units", "units-npz")
    found = read_spikes(recording("units", made.format, tmp_path / "run" / made.files[0], **made.parameters))
    agreement = []
    for unit in truth.unit_ids:
        train = truth.get_unit_spike_train(unit) / RATE + 2.0
        best = 0.0
        for number in range(len(found.labels)):
            ours = found.times[found.units == number]
            low = np.searchsorted(ours, train - 0.5e-3)
            both = np.count_nonzero(np.searchsorted(ours, train + 0.5e-3, "right") > low)
            best = max(best, both / (train.size + ours.size - both))
        agreement.append(best)
    # One of the eight lies so far off the probe that its spikes drown in the noise.
    assert sum(value >= 0.95 for value in agreement) >= 7
    assert output.metrics["good_units"].value >= 7
    with (tmp_path / "run" / output.artifacts[0]).open() as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == len(found.labels)
    assert "2" not in {row["channel"] for row in rows}
    assert not (tmp_path / "run" / "sorting").exists()
    run_pipeline("ephys.sort", tmp_path / "again", source)
    for name in (*made.files, *output.artifacts):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "run" / name).read_bytes()
    for figure in output.figures:
        again = Figure.from_json(figure.to_json())
        assert page.json_item(again)
        assert paper.render(again, "svg").startswith(b"<?xml")
