"""One way to open every format: with known truth, and with the numbers of files that nobody here made."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from analysis.pipelines.base import PipelineError
from analysis.readers import open_recording, open_signal, read_position, read_spikes
from analysis.readers.describing import describe
from analysis.readers.probe import read_positions
from analysis.readers.sources import damage
from tests.data import shared_data
from tests.methods import acquired
from tests.methods.running import recording


def told(path, kind=None, **parameters):
    """What a registration is told of a file; one that is refused fails the test."""
    found = describe(str(path), None, kind, parameters)
    assert "error" not in found, found
    return found


@pytest.mark.parametrize(
    ("write", "step", "rate", "start"),
    [
        (acquired.spikeglx, 2.34375, 30_000, 0.0),
        (acquired.openephys, 0.195, 30_000, 0.02),
        (acquired.intan, 0.195, 30_000, 0.0),
        (acquired.blackrock, 0.25, 30_000, 0.0),
        (acquired.axona, 1.5e6 / (1000 * 32768), 48_000, 0.0),
    ],
)
def test_voltages_of_every_acquisition_system_come_in_microvolts(tmp_path, write, step, rate, start):
    path = write(tmp_path)
    found = told(path, "ephys")
    facts = found["facts"]
    assert (facts["channels"], facts["rate"], facts["samples"]) == (4, rate, 3000)
    assert facts["duration"] == pytest.approx(3000 / rate)
    signal = open_signal(recording("ephys", found["format"], path))
    assert (signal.n_samples, signal.n_channels, signal.rate, signal.start) == (3000, 4, rate, pytest.approx(start))
    assert signal.read(1000, 1100) == pytest.approx(acquired.TRUTH[1000:1100] * step, rel=1e-5, abs=2e-3)
    assert signal.read(2990, 3000).shape == (10, 4)


def test_what_lies_beside_voltages_is_read_too(tmp_path):
    path = acquired.spikeglx(tmp_path)
    _, digital = open_recording(recording("ephys", "spikeglx", path)).streams
    assert digital.read(999, 1001).ravel().tolist() == [0, 64]
    (ttl,) = open_recording(recording("ephys", "openephys", acquired.openephys(tmp_path))).events
    times, labels = ttl.read()
    assert times.tolist() == pytest.approx([0.03, 0.032, 0.05, 0.052])
    assert labels == ("1 on", "1 off", "1 on", "1 off")


def test_plexon_has_slow_channels_units_and_events(tmp_path):
    contents = open_recording(recording("ephys", "plexon", acquired.plexon(tmp_path)))
    (stream,) = contents.streams
    assert stream.read(100, 200)[:, 0] == pytest.approx(acquired.TRUTH[100:200, 0] * 5000.0 / (2048 * 1000), rel=1e-5)
    assert stream.units == ("mV",)
    spikes = read_spikes(recording("units", "plexon", tmp_path / "day.plx"))
    assert spikes.times.tolist() == pytest.approx([0.02, 0.04, 0.06])
    assert spikes.units.tolist() == [0, 1, 0]
    assert contents.events[0].read()[0].tolist() == [0.05]


def test_sorted_units_are_those_that_people_did_not_call_noise(tmp_path):
    path = acquired.phy(tmp_path)
    found = told(path, "units")
    assert found["facts"] == {
        "units": 2, "spikes": 4, "clock_rate": 30_000.0, "duration": 0.09, "labels": {"good": 1, "mua": 1, "noise": 1},
    }  # fmt: skip
    assert [Path(file).name for file in found["files"]] == [
        "params.py", "spike_times.npy", "spike_clusters.npy", "cluster_group.tsv",
    ]  # fmt: skip
    spikes = read_spikes(recording("units", "phy", path))
    assert spikes.times.tolist() == pytest.approx([0.01, 0.03, 0.05, 0.09])
    assert spikes.labels == ("2", "7")


def test_settings_of_phy_are_never_run(tmp_path):
    path = acquired.phy(tmp_path)
    trap = tmp_path / "trap"
    path.write_text(f"import os\nos.mkdir({str(trap)!r})\nsample_rate = 20000\nx = [os.mkdir({str(trap)!r})]\n")
    assert told(path)["facts"]["clock_rate"] == 20_000
    assert not trap.exists()


def test_matrices_of_odour_laboratories(tmp_path):
    stat = acquired.statmatrix(tmp_path)
    facts = told(stat, "lfp")["facts"]
    assert (facts["channels"], facts["rate"], facts["samples"], facts["units"]) == (2, 1000.0, 4000, 2)
    assert facts["asked"] == ["gain_to_uV"]
    with pytest.raises(PipelineError, match="gain_to_uV"):
        open_signal(recording("lfp", "statmatrix-mat", stat, stream="LFP"))
    signal = open_signal(recording("lfp", "statmatrix-mat", stat, stream="LFP", gain_to_uV=1000))
    wave = np.sin(2 * np.pi * 8 * np.arange(4000) / 1000)
    assert signal.read(0, 4000) == pytest.approx(np.column_stack([2 * wave, wave]) * 1000, abs=1e-2)
    spikes = read_spikes(recording("units", "statmatrix-mat", stat))
    assert spikes.times.tolist() == pytest.approx([0.1, 0.5, 0.6, 1.1, 2.1])
    assert spikes.labels == ("T3-U1", "T3-U2")

    events = {e.name: e.read() for e in open_recording(
        recording("events", "behavmatrix-mat", acquired.behavmatrix(tmp_path))
    ).events}  # fmt: skip
    assert events["Odor4"][0].tolist() == pytest.approx([11.5])
    assert events["InSeqLog"][1] == ("1", "-1")
    assert events["PokeEvents"][0].tolist() == pytest.approx([10.4, 11.0, 11.4, 12.0])


def test_the_three_files_of_a_rat_belong_together(tmp_path):
    path = acquired.odour_triple(tmp_path)
    found = told(path)
    assert len(found["files"]) == 3
    facts = found["facts"]
    assert (facts["trials"], facts["correct"], facts["in_sequence"], facts["units"]) == (6, 5, 4, 8)
    assert facts["odours"] == {"1": 2, "2": 1, "3": 1, "5": 2}
    assert any("lfp_rate" in note for note in facts["notes"])
    counts, lfp = open_recording(recording("units", "odour-triple", path, lfp_rate=1000)).streams
    truth = np.load(tmp_path / "rat_spike_data_binned.npy")
    assert np.array_equal(counts.read(10, 20, segment=2), truth[2, :, 10:20].T)
    assert (len(lfp.segments), lfp.rate, lfp.channels) == (6, 1000, ("1", "2"))


@pytest.mark.parametrize("write", [acquired.deeplabcut_h5, acquired.sleap_analysis])
def test_tracks_become_positions_of_one_point(tmp_path, write):
    path = write(tmp_path)
    name = told(path, "position")["format"]
    with pytest.raises(PipelineError, match="'point'"):
        read_position(recording("position", name, path, rate=30))
    with pytest.raises(PipelineError, match="'rate'"):
        read_position(recording("position", name, path, point="tail"))
    position = read_position(recording("position", name, path, rate=30, point="tail"))
    assert position.xy == pytest.approx(acquired.POINTS[:, 1])
    assert position.time[[1, -1]].tolist() == pytest.approx([1 / 30, 49 / 30])


def test_names_in_a_pickle_are_read_as_words_and_never_loaded(tmp_path):
    path, trap = acquired.deeplabcut_h5(tmp_path), tmp_path / "trap"
    attack = b"cposix\nmkdir\n(S'" + str(trap).encode() + b"'\ntR."
    with h5py.File(path, "r+") as file:
        file["df_with_missing/table"].attrs["values_block_0_kind"] = np.void(attack)
    assert "more than words" in describe(str(path), None, None, {})["error"]
    assert not trap.exists()


def test_files_that_reach_into_others_are_refused(tmp_path):
    (tmp_path / "secret").write_bytes(b"0123456789abcdef")
    with h5py.File(tmp_path / "a.nwb", "w") as file:
        file.attrs["nwb_version"] = "2.7.0"
        file["units"] = h5py.ExternalLink(str(tmp_path / "other.nwb"), "/units")
    with h5py.File(tmp_path / "b.nwb", "w") as file:
        file.attrs["nwb_version"] = "2.7.0"
        group = file.create_group("acquisition/x")
        group.attrs["neurodata_type"] = "ElectricalSeries"
        group.create_dataset("data", (16,), "u1", external=[(str(tmp_path / "secret"), 0, 16)])
        group.create_dataset("starting_time", data=0.0).attrs["rate"] = 1.0
    (tmp_path / "recording1").mkdir()
    (tmp_path / "recording1/structure.oebin").write_text(
        '{"continuous": [{"folder_name": "../../", "sample_rate": 1, "num_channels": 1, "channels": [{}]}]}'
    )
    assert "link to another file" in describe(str(tmp_path / "a.nwb"), None, None, {})["error"]
    assert "lie in another file" in describe(str(tmp_path / "b.nwb"), None, None, {})["error"]
    outside = describe(str(tmp_path / "recording1/structure.oebin"), None, None, {})["error"]
    assert "outside of the recording" in outside


@pytest.mark.parametrize(
    ("write", "spoil", "sentence"),
    [
        (acquired.spikeglx, lambda p: p.write_bytes(p.read_bytes()[:-10]), "not copied completely"),
        (acquired.openephys, lambda p: next(p.parent.rglob("continuous.dat")).write_bytes(b"123"), "do not divide"),
        (acquired.axona, lambda p: p.with_suffix(".bin").write_bytes(b"ADU1" * 200), "within a packet"),
        (acquired.phy, lambda p: np.save(p.parent / "spike_times.npy", np.array([{}])), "not a sound .npy file"),
        (acquired.matlab_table, lambda p: scipy.io.savemat(p, {"x": "words"}), "no table of numbers"),
        (acquired.odour_triple, lambda p: np.save(p, np.zeros((5, 5))), "6 trials"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path, write, spoil, sentence):
    path = write(tmp_path)
    spoil(path)
    assert sentence in describe(str(path), None, None, {})["error"]


# name below the shared data: (kind, what registering it says)
REAL = {
    "ndr_example/example_data/example.abf": (
        "ephys", {"channels": 1, "rate": 10_000, "samples": 1_120_000, "duration": 112.0},
    ),
    "ndr_example/example_data/example_2.ns2": (
        "lfp", {"channels": 6, "rate": 1000, "samples": 3640, "asked": ["gain_to_uV"]},
    ),
    "ndr_example/example_data/example_1.nev": ("units", {"units": 324, "spikes": 14_210}),
    "nelpy_linear_track/linear-track/spikes.mat": ("units", {"units": 31}),
    "pynapple_nwb/tests/nwbfilestest/phy/pynapplenwb/A8604-211122.nwb": (
        "units", {"units": 3, "spikes": 21_354, "electrodes": 383, "start": "2022-04-05T03:07:59.411186+00:00"},
    ),
    "neuroconv_nwb/tests/test_minimal/test_testing/test_mocks/mock_ttl_examples.nwb": (
        "events", {"rate": 25_000, "samples": 175_000},
    ),
    "probeinterface_headers/tests/data/3brain/biocam_hw3.0_fw1.6.brw": (
        "ephys", {"channels": 36, "samples": 19_754},
    ),
    "probeinterface_headers/tests/data/maxwell/data.raw.h5": (
        "ephys", {"channels": 16, "rate": 10_000, "samples": 10_000},
    ),
    "probeinterface_headers/tests/data/openephys/OE_Neuropix-PXI-NP1-binary/Record_Node_101/experiment1/recording1"
    "/structure.oebin": ("ephys", {"channels": 384, "rate": 30_000, "start": "11 Sep 2025 9:57:24"}),
    "sleap_test_videos/tests/data/tracks/clip.slp": ("position", {"sleap_format": 1.1}),
}  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_real_files_have_the_numbers_of_their_makers(name):
    folder, _, rest = name.partition("/")
    kind, facts = REAL[name]
    found = told(shared_data(folder) / rest, kind)["facts"]
    assert {key: found[key] for key in facts} == facts


@pytest.mark.parametrize(
    ("said", "told"), [("", "ValueError"), ("\n\n", "ValueError"), ("\nno such part\nin it", "no such part")]
)
def test_an_error_of_a_library_without_a_word_is_told_by_its_kind(said, told, tmp_path):
    told = f"The file a.csv is not a sound table: {told}."
    with pytest.raises(PipelineError) as raised, damage(tmp_path / "a.csv", "table", ValueError):
        raise ValueError(said)
    assert str(raised.value) == told


def test_headers_of_every_neuropixels_probe():
    folder = shared_data("probeinterface_headers") / "tests/data/spikeglx"
    from neo.rawio.spikeglxrawio import extract_stream_info, read_meta_file

    seen = 0
    for meta in sorted(folder.glob("*.meta")):
        contents = open_recording(recording("ephys", "spikeglx", meta))
        facts, fields = contents.facts(), read_meta_file(meta)
        stream = contents.streams[0]
        assert len(stream.channels) == int(fields["nSavedChans"]) - int(fields["snsApLfSy"].split(",")[2])
        assert stream.rate == float(fields["imSampRate"])
        assert facts["duration"] == pytest.approx(float(fields["fileTimeSecs"]), abs=0.01)
        assert facts["start"] == fields["fileCreateTime"]
        assert facts["probe"]["contacts"] == len(stream.channels)
        assert read_positions(recording("ephys", "spikeglx", meta), len(stream.channels)).shape[1] == 2
        assert "cannot be read" in facts["notes"][0]
        if not meta.name.startswith("NP1110"):  # of which neo does not know the gain
            gains = extract_stream_info(meta, fields)["channel_gains"][: len(stream.channels)]
            assert stream.gain == pytest.approx(gains)
        seen += 1
    assert seen == 19


def test_real_tracks_of_people_and_networks():
    folder = shared_data("sleap_test_videos") / "tests/data"
    clip = open_recording(recording("position", "sleap-slp", folder / "tracks/clip.slp")).tracks
    assert (clip.animals, len(clip.points), clip.frames.size) == (("female", "male"), 13, 1500)
    xy, _ = clip.read(0, 1500)
    assert np.isfinite(xy).all(axis=-1).mean() > 0.95
    tables = folder / "dlc/labeled-data/video"
    for path in sorted(tables.glob("*.csv")):
        tracks = open_recording(recording("position", "deeplabcut-csv", path)).tracks
        xy, _ = tracks.read(0, 1)
        assert xy[0, 0, :3].tolist() == [[0, 1], [2, 3], [4, 5]], path.name
    single = open_recording(recording("position", "deeplabcut-csv", tables / "dlc_testdata.csv")).tracks
    assert np.isnan(single.read(1, 2)[0][0, 0, 1]).all()


def test_sweeps_are_never_joined():
    path = shared_data("ndr_example") / "example_data/example.abf"
    with pytest.raises(PipelineError, match="28 segments"):
        open_signal(recording("ephys", "axon-abf", path))
    signal = open_signal(recording("ephys", "axon-abf", path, segment=27))
    assert (signal.n_samples, signal.rate) == (40_000, 10_000)
    assert np.isfinite(signal.read(39_990, 40_000)).all()
