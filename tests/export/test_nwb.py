"""A session leaves as an NWB file that passes the field's own inspector and opens in pynapple with equal numbers."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.pipelines.base import InputFile, InputRecording, PipelineError
from analysis.pipelines.clocks import FIT
from tests.methods.running import run_pipeline

START = "2026-03-02T12:00:00+01:00"
ANIMAL = {
    "identifier": "R214", "species": "Rattus norvegicus", "sex": "F", "age": "P120D", "strain": "Long-Evans",
    "genotype": "wild type", "description": "a simulated rat",
}  # fmt: skip
WORDS = {
    "session_start": START,
    "identifier": "6f2c",
    "description": "Odours in their order.",
    "session": "day 3",
    "experiment": "Memory for the order of odours.",
    "experimenters": ["Klein, Ana"],
    "institution": "Laboratory of memory",
    "keywords": ["odour", "CA1"],
    "animal": ANIMAL,
    "trials": [
        {"start": 12.0, "stop": 14.5, "outcome": "correct", "measures": {"latency": 0.25}},
        {"start": 2.0, "stop": 3.5, "outcome": "wrong", "measures": {"latency": None}},
    ],
    "probes": [
        {
            "recording": "lfp-1",
            "name": "silicon probe",
            "description": "4 sites, 50 um apart",
            "location": "CA1",
            "positions": [[0, 0], [0, 50], [0, 100], [0, 150]],
        }
    ],
}


def recording(kind: str, file_format: str, path: Path, *, start: str = START, **parameters) -> InputRecording:
    rate = {"lfp": 1250.0, "units": 30_000.0}.get(kind)
    file = InputFile(path, path.stat().st_size)
    return InputRecording(f"{kind}-1", kind, file_format, (file,), parameters, rate, start, f"{kind} CA1 (day 3)")


class Truth:
    """What was recorded, in files as a laboratory has them; the tracker started half a second after the session."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(5)
        self.trains = [np.sort(rng.uniform(0, 20, count)) for count in (200, 40, 7)]
        self.position_time = np.sort(rng.uniform(0, 19, 600))
        self.xy = np.cumsum(rng.normal(0, 1, (600, 2)), axis=0)
        self.xy[40:50] = np.nan
        self.lfp = rng.normal(0, 80, (25_000, 4)).astype("f4")
        order = np.argsort(np.concatenate(self.trains), kind="stable")
        units = np.repeat([3, 5, 11], [train.size for train in self.trains])
        np.savez(folder / "units.npz", spike_times=np.concatenate(self.trains)[order], spike_units=units[order])
        stamps = np.insert(self.position_time, 100, self.position_time[99])
        twice = np.insert(self.xy, 100, self.xy[99] + 5, axis=0)
        np.savez(folder / "position.npz", time=stamps, x=twice[:, 0], y=twice[:, 1], unit=np.array("cm"))
        np.save(folder / "lfp.npy", self.lfp)
        self.recordings = (
            recording("units", "units-npz", folder / "units.npz", clock="recording"),
            recording(
                "position", "position-npz", folder / "position.npz", clock="recording", start="2026-03-02T11:00:00.5Z"
            ),
            recording("lfp", "npy", folder / "lfp.npy", clock="recording", unit="uV"),
        )


@pytest.fixture(scope="module")
def truth(tmp_path_factory) -> Truth:
    return Truth(tmp_path_factory.mktemp("session"))


@pytest.fixture(scope="module")
def exported(truth, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    output, heard = run_pipeline("export.nwb", folder, *truth.recordings, **WORDS)
    assert output.artifacts == ["session.nwb"]
    assert output.metrics["units"].value == 3
    assert output.metrics["trials"].value == 2
    assert "R214" in output.summary
    assert any("1 of 601 samples have a time that is not after the one before" in line for line in heard.log)
    assert heard.progress == sorted(heard.progress)
    return folder / "session.nwb"


def test_the_inspector_of_the_field_finds_nothing(exported):
    with warnings.catch_warnings():
        # The inspector and its libraries warn of their own age when they are imported.
        warnings.simplefilter("ignore")
        from nwbinspector import inspect_nwbfile

        found = [
            f"{message.importance.name}: {message.message} ({message.location})"
            for message in inspect_nwbfile(nwbfile_path=str(exported))
        ]
    assert found == []


def test_pynapple_opens_it_with_equal_numbers(exported, truth):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pynapple as nap

        data = nap.load_file(str(exported))
        units = data["units"]
        assert list(units.keys()) == [0, 1, 2]
        for number, train in enumerate(truth.trains):
            assert np.abs(units[number].t - train).max() < 1e-8
        assert list(units["label"]) == ["3", "5", "11"]
        track = data["position CA1"]
        assert np.abs(track.t - truth.position_time - 0.5).max() < 1e-8
        assert np.array_equal(track.values, truth.xy, equal_nan=True)
        lfp = data["lfp CA1"]
        assert np.array_equal(np.asarray(lfp.values), truth.lfp)
        assert np.abs(lfp.t - np.arange(25_000) / 1250).max() < 1e-8
        trials = data["trials"]
        assert trials.start.tolist() == [2.0, 12.0]
        assert trials.end.tolist() == [3.5, 14.5]


@pytest.mark.parametrize("align", ["auto", "starts"])
def test_times_are_on_the_clock_that_fits_of_the_catalog_bring_them_to(truth, tmp_path, align):
    # The box that wrote units and LFP started 3.2 s after the tracker, and its clock is 200 ppm slow.
    offset, drift, tracker = 3.2, 200e-6, truth.recordings[1]
    fit = {"reference": tracker.id, "offset": offset, "drift": drift, "origin": 0.0, "reference_clock": "recording",
           "reference_start": tracker.start}  # fmt: skip
    units, lfp = (
        replace(told, parameters={**told.parameters, FIT: fit}) for told in (truth.recordings[0], truth.recordings[2])
    )
    run_pipeline("export.nwb", tmp_path / "fitted", units, tracker, lfp, **WORDS, align=align)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pynapple as nap

        data = nap.load_file(str(tmp_path / "fitted" / "session.nwb"))
        placed = (lambda times: 0.5 + times + offset + drift * times) if align == "auto" else (lambda times: times)
        for number, train in enumerate(truth.trains):
            assert np.abs(data["units"][number].t - placed(train)).max() < 1e-8
        assert np.abs(data["lfp CA1"].t - placed(np.arange(25_000) / 1250)).max() < 1e-8
        assert np.abs(data["position CA1"].t - truth.position_time - 0.5).max() < 1e-8


def test_it_says_whose_session_it_was_when_and_with_what(exported):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pynwb import NWBHDF5IO

        with NWBHDF5IO(str(exported), "r") as opened:
            file = opened.read()
            assert file.units.resolution == 1 / 30_000
            assert file.session_start_time.isoformat() == START
            assert (file.session_id, file.experimenter) == ("day 3", ("Klein, Ana",))
            subject = file.subject
            assert (subject.subject_id, subject.species, subject.sex) == ("R214", "Rattus norvegicus", "F")
            assert (subject.age, subject.strain, subject.genotype) == ("P120D", "Long-Evans", "wild type")
            electrodes = file.electrodes.to_dataframe()
            assert electrodes["rel_y"].tolist() == [0, 50, 100, 150]
            assert set(electrodes["location"]) == {"CA1"}
            assert list(file.devices) == ["silicon probe"]
            series = file.processing["ecephys"]["LFP"]["lfp CA1"]
            assert (series.conversion, series.unit) == (1e-6, "volts")
            spatial = file.processing["behavior"]["Position"]["position CA1"]
            assert (spatial.conversion, spatial.unit) == (1e-2, "meters")
            trials = file.trials.to_dataframe()
            assert trials["outcome"].tolist() == ["wrong", "correct"]
            assert np.isnan(trials["latency"].tolist()[0])


def test_the_site_reads_back_what_it_wrote(exported, truth):
    from analysis.readers import open_signal, read_position, read_spikes

    def again(kind: str) -> InputRecording:
        return recording(kind, "nwb", exported)

    spikes = read_spikes(again("units"))
    assert np.allclose(spikes.times, np.sort(np.concatenate(truth.trains)), atol=1e-9)
    assert np.allclose(read_position(again("position")).xy * 100, truth.xy, equal_nan=True)
    signal = open_signal(again("lfp"))
    assert np.allclose(signal.read(1000, 2000), truth.lfp[1000:2000], rtol=1e-6)


def test_what_started_before_the_session_has_no_negative_times(truth, tmp_path):
    early = recording("units", "units-npz", truth.recordings[0].files[0].path, clock="recording",
                      start="2026-03-02T10:59:50Z")  # fmt: skip
    run_pipeline("export.nwb", tmp_path / "early", early, truth.recordings[1], **WORDS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pynapple as nap

        data = nap.load_file(str(tmp_path / "early" / "session.nwb"))
        assert np.abs(data["units"][0].t - truth.trains[0]).max() < 1e-8
        assert np.abs(data["position CA1"].t - truth.position_time - 10.5).max() < 1e-8
        assert data["trials"].start.tolist() == [12.0, 22.0]


def test_recordings_on_a_clock_of_their_own_keep_it_and_say_so(truth, tmp_path):
    units = recording("units", "units-npz", truth.recordings[0].files[0].path, time_offset=4442.0)
    output, heard = run_pipeline("export.nwb", tmp_path / "own", units, **WORDS)
    assert output.metrics["trials"].value == 0
    assert any("2 trials are left out" in line for line in heard.log)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pynwb import NWBHDF5IO

        with NWBHDF5IO(str(tmp_path / "own" / "session.nwb"), "r") as opened:
            file = opened.read()
            assert np.allclose(file.units[0, "spike_times"], truth.trains[0] + 4442.0)
            assert "clock that the recordings share" in file.notes


def test_names_that_a_file_cannot_have_are_changed_and_nothing_is_lost(truth, tmp_path):
    measures = {"in/out": 0.5, "in-out": 0.75, "outcome": 0.25, "id": 1.0, "tags": None, "Zeit µ": 2.0}
    words = {
        **WORDS,
        "probes": [{**WORDS["probes"][0], "name": "Neuropixels 2.0: left/1", "description": ""}],
        "trials": [{"start": 2.0, "stop": 3.5, "outcome": "wrong", "measures": measures}],
    }
    run_pipeline("export.nwb", tmp_path / "named", *truth.recordings, **words)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pynwb import NWBHDF5IO

        with NWBHDF5IO(str(tmp_path / "named" / "session.nwb"), "r") as opened:
            file = opened.read()
            (device,) = file.devices.values()
            assert (device.name, device.description) == ("Neuropixels 2.0- left-1", "Neuropixels 2.0: left/1")
            (row,) = file.trials.to_dataframe().to_dict("records")
            told = [row[name] for name in ("in-out", "in-out 2", "outcome 2", "id 2", "Zeit µ", "outcome")]
            assert told == [0.5, 0.75, 0.25, 1.0, 2.0, "wrong"]
            assert np.isnan(row["tags 2"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"position": {"clock": None}}, "does not say from when its times count"),
        ({"units": {"start": None}, "position": {"start": None}}, "has no start in the catalog"),
        ({"lfp": {"positions": [[0, 0]]}}, "has 1 pairs; there are 4 channels"),
    ],
)
def test_what_cannot_be_placed_is_told_in_one_sentence(truth, tmp_path, changes, said):
    from dataclasses import replace

    changed = []
    for each in truth.recordings:
        wanted = changes.get(each.kind, {})
        start = wanted.get("start", each.start) if "start" in wanted else each.start
        parameters = {**each.parameters, **{name: value for name, value in wanted.items() if name != "start"}}
        changed.append(replace(each, start=start, parameters={k: v for k, v in parameters.items() if v is not None}))
    with pytest.raises(PipelineError, match=said):
        run_pipeline("export.nwb", tmp_path / "wrong", *changed, **WORDS)
    assert not (tmp_path / "wrong" / "session.nwb").exists()
