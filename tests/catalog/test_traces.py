"""Traces of a recording over REST: what the file has, to whom may see it, from its overview as soon as there is one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import numpy as np
import pytest
from django.conf import settings as configured
from django.utils import timezone

from analysis.jobs.models import Job, JobInput, JobState, Result
from analysis.readers.traces import unpack
from analysis.traces import traced
from sessions import services
from sessions.permissions import LABORATORY
from tests.methods.running import recording as as_input
from tests.methods.running import run_pipeline

pytestmark = pytest.mark.django_db
CHANNELS, RATE, GAIN = 6, 20_000, 0.195


@pytest.fixture
def voltage(lab, settings):
    """Ten seconds of six channels of raw voltage, with a pulse of 1 ms on channel 3 at 4.2 s."""
    table = np.random.default_rng(4).integers(-200, 200, (10 * RATE, CHANNELS), dtype=np.int16)
    table[84_000:84_020, 3] = 9000
    path = Path(settings.LAB_DATA_ROOT) / "raw.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    table.tofile(path)
    parameters = {
        "rate": RATE, "channels": CHANNELS, "dtype": "int16", "gain_to_uV": GAIN,
        "positions": [[0, 20 * n] for n in range(CHANNELS)],
    }  # fmt: skip
    recording = services.register_recording(
        by=LABORATORY, session=lab.session, kind="ephys", format="raw-binary", files=[{"path": "raw.bin"}],
        parameters=parameters,
    )  # fmt: skip
    return SimpleNamespace(recording=recording, table=table, path=path, parameters=parameters)


def overviewed(user, voltage) -> Path:
    """Leave behind what a worker does that has made the overview of the recording."""
    folder = computed(user, voltage, "ephys.overview", traced(user, voltage.recording.pk).mark)
    parameters = {name: value for name, value in voltage.parameters.items() if name != "rate"}
    source = as_input("ephys", "raw-binary", voltage.path, rate=RATE, **parameters)
    run_pipeline("ephys.overview", folder, source)
    return folder


def computed(user, voltage, pipeline: str, mark: str) -> Path:
    """Write the rows of a pipeline that has succeeded on the recording; return the folder of its files."""
    folder = Path(configured.LAB_RESULTS) / uuid4().hex
    now = timezone.now()
    job = Job.objects.create(
        project=voltage.recording.project, pipeline=pipeline, version="1.0.0", fingerprint=mark, user=user,
        state=JobState.SUCCEEDED, attempt=1, started=now, finished=now,
    )  # fmt: skip
    JobInput.objects.create(job=job, recording=voltage.recording, order=0)
    Result.objects.create(job=job, attempt=1, folder=folder.name)
    (folder / "artifacts").mkdir(parents=True)
    return folder / "artifacts"


def addresses(recording) -> tuple[str, str]:
    base = f"/api/v1/recordings/{recording.pk}/traces/"
    return base, f"{base}window/"


def test_who_may_see_the_recording_sees_its_traces_and_nobody_else(api, voltage):
    for address in (addresses(voltage.recording)[0], addresses(voltage.recording)[1] + "?stop=100"):
        codes = {role: api(role).get(address).status_code for role in (None, "outsider", "viewer", "administrator")}
        assert codes == {None: 401, "outsider": 404, "viewer": 200, "administrator": 200}


def test_without_an_overview_a_short_stretch_is_read_and_a_long_one_asks_for_it(api, voltage, monkeypatch):
    described, window = addresses(voltage.recording)
    told = api("viewer").get(described).json()
    assert (told["samples"], told["channels"], told["rate"], told["start"]) == (10 * RATE, CHANNELS, RATE, 0)
    assert told["overview"] == {"state": "none", "job": None, "finest": None}
    assert told["positions"][5] == [0, 100]
    assert told["quality"] is None
    assert (told["may_compute"], api("experimenter").get(described).json()["may_compute"]) == (False, True)
    reply = api("viewer").get(f"{window}?start=83990&stop=84030&first=3&channels=1")
    found = unpack(reply.content)
    assert np.array_equal(found.columns[:, 0, 0], voltage.table[83_990:84_030, 3])
    whole = unpack(api("viewer").get(f"{window}?stop={10 * RATE}&columns=100&channels=6").content)
    assert np.array_equal(whole.columns[0], [voltage.table[:2048].min(axis=0), voltage.table[:2048].max(axis=0)])


def test_without_an_overview_a_long_stretch_asks_for_one(api, lab, settings):
    # Half an hour of one channel, in no room at all.
    os.truncate(os.open(settings.LAB_DATA_ROOT / "long.bin", os.O_CREAT | os.O_WRONLY), 2 * 36_000_000)
    long = services.register_recording(
        by=LABORATORY, session=lab.session, kind="ephys", format="raw-binary", files=[{"path": "long.bin"}],
        parameters={"rate": RATE, "channels": 1, "dtype": "int16", "gain_to_uV": GAIN},
    )  # fmt: skip
    described, window = addresses(long)
    readable = api("viewer").get(described).json()["readable"]
    assert readable < 36_000_000
    reply = api("viewer").get(f"{window}?stop=36000000&channels=1")
    assert reply.status_code == 409
    assert "compute the overview" in reply.json()["detail"]


def test_with_its_overview_the_whole_is_told_without_a_look_at_the_file(api, lab, voltage):
    described, window = addresses(voltage.recording)
    overviewed(lab.experimenter, voltage)
    told = api("viewer").get(described).json()
    assert told["overview"]["state"] == "ready"
    assert told["overview"]["finest"] == 64
    # What is drawn of the overview needs the recording no more.
    voltage.path.rename(voltage.path.with_suffix(".away"))
    reply = api("viewer").get(f"{window}?stop={10 * RATE}&columns=800&channels=6&mark={told['mark']}")
    found = unpack(reply.content)
    assert (found.start, found.width, found.columns.shape) == (0, 256, (782, 2, CHANNELS))
    cut = voltage.table[84_000 // 256 * 256 : 84_000 // 256 * 256 + 256]
    assert np.array_equal(found.columns[84_000 // 256], [cut.min(axis=0), cut.max(axis=0)])
    assert found.columns[84_000 // 256, 1, 3] == 9000
    assert "immutable" in reply["Cache-Control"]
    finer = api("viewer").get(f"{window}?stop=1000")
    assert finer.status_code == 404
    assert "raw.bin" in finer.json()["detail"]


def test_other_files_or_another_way_to_read_them_have_another_overview(api, lab, voltage):
    described, window = addresses(voltage.recording)
    overviewed(lab.experimenter, voltage)
    mark = api("viewer").get(described).json()["mark"]
    services.update_recording(
        by=lab.experimenter, recording=voltage.recording, parameters={**voltage.parameters, "gain_to_uV": 2.0}
    )
    told = api("viewer").get(described).json()
    assert told["overview"]["state"] == "none"
    assert told["mark"] != mark
    refused = api("viewer").get(f"{window}?stop=100&mark={mark}")
    assert refused.status_code == 409
    assert "load the page again" in refused.json()["detail"]
    assert np.allclose(unpack(api("viewer").get(f"{window}?stop=100").content).gain, 2.0)


def test_channels_that_the_last_inspection_found_bad_are_told(api, lab, voltage):
    folder = computed(lab.experimenter, voltage, "ephys.inspect", "c" * 64)
    (folder / "channels.csv").write_text(
        "channel,label\n" + "".join(f"{n},{'dead' if n == 1 else 'good'}\n" for n in range(6))
    )
    quality = api("viewer").get(addresses(voltage.recording)[0]).json()["quality"]
    assert quality["result"] == str(Result.objects.get().pk)
    assert quality["labels"] == ["good", "dead", "good", "good", "good", "good"]
    # An inspection of other channels says nothing of these.
    (folder / "channels.csv").write_text("channel,label\n0,dead\n")
    assert api("viewer").get(addresses(voltage.recording)[0]).json()["quality"] is None


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("", 400, "stop"),
        ("stop=5&start=5", 400, "stop"),
        ("stop=5&zoom=2", 400, "zoom"),
        ("stop=5&columns=4096&channels=512", 400, "columns"),
        ("stop=5&columns=0", 400, "columns"),
        ("stop=5&mark=abc", 400, "mark"),
        ("start=200000&stop=200001", 409, None),
        ("stop=5&first=6", 409, None),
    ],
)
def test_what_cannot_be_is_told(api, voltage, query, status, field):
    reply = api("viewer").get(f"{addresses(voltage.recording)[1]}?{query}")
    assert reply.status_code == status
    assert reply.json()["detail"].endswith(".")
    assert field is None or field in json.dumps(reply.json()["errors"])


def test_only_voltage_has_traces(api, lab, put):
    times = services.register_recording(
        by=LABORATORY, session=lab.session, kind="events", format="csv", files=[{"path": put("t.csv", b"time\n1\n")}]
    )
    assert api("administrator").get(addresses(times)[0]).status_code == 404


@pytest.fixture
def shared(lab, settings):
    """Ten channels at 20 kHz that share a slow wave and a hum; channel 9 is broken, channel 4 has a spike at 1 s."""
    time = np.arange(4 * RATE) / RATE
    common = 900 * np.sin(2 * np.pi * 6 * time) + 250 * np.sin(2 * np.pi * 900 * time)
    voltage = np.random.default_rng(8).normal(common[:, None], 20, (4 * RATE, 10))
    voltage[RATE : RATE + 6, 4] -= 700
    voltage[:, 9] = np.random.default_rng(9).normal(0, 5000, 4 * RATE)
    table = voltage.round().clip(-32000, 32000).astype(np.int16)
    path = Path(settings.LAB_DATA_ROOT) / "shared.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    table.tofile(path)
    recording = services.register_recording(
        by=LABORATORY, session=lab.session, kind="ephys", format="raw-binary", files=[{"path": path.name}],
        parameters={"rate": RATE, "channels": 10, "dtype": "int16", "gain_to_uV": GAIN},
    )  # fmt: skip
    return SimpleNamespace(recording=recording, table=table, path=path)


def test_a_short_stretch_is_filtered_and_the_median_of_good_channels_taken_off(api, lab, shared):
    described, window = addresses(shared.recording)
    folder = computed(lab.experimenter, shared, "ephys.inspect", "d" * 64)
    labels = ["good"] * 9 + ["noisy"]
    (folder / "channels.csv").write_text("channel,label\n" + "".join(f"{n},{one}\n" for n, one in enumerate(labels)))
    told = api("viewer").get(described).json()
    assert told["cleaning"] == {"samples": 2**22 // 10, "high_pass": 300.0, "reference": True}
    from scipy.signal import butter, sosfiltfilt

    sections = butter(3, 300, "highpass", fs=RATE, output="sos")
    passed = sosfiltfilt(sections, shared.table * GAIN, axis=0)
    expected = passed - np.median(passed[:, :9], axis=1, keepdims=True)
    asked = f"{window}?start=19900&stop=20100&first=3&channels=7&mark={told['mark']}"
    reply = api("viewer").get(f"{asked}&high_pass=true&reference=true&inspection={told['quality']['result']}")
    found = unpack(reply.content)
    assert (found.start, found.width, found.first, found.columns.shape) == (19_900, 1, 3, (200, 1, 7))
    # Packed to 1/65534 of a channel's range.
    assert np.allclose(found.columns[:, 0] * found.gain + found.offset, expected[19_900:20_100, 3:], atol=0.3)
    # The broken channel would have been in the median; the filter alone leaves what all share.
    alone = unpack(api("viewer").get(f"{asked}&high_pass=true").content)
    assert np.allclose(alone.columns[:, 0] * alone.gain + alone.offset, passed[19_900:20_100, 3:], atol=0.3)
    # Over bins the lowest and highest are those of what was filtered.
    bins = unpack(api("viewer").get(f"{window}?start=19200&stop=20480&columns=20&high_pass=1&channels=10").content)
    cut = passed[19_200:20_480].reshape(20, 64, 10)
    low_and_high = np.stack([cut.min(axis=1), cut.max(axis=1)], axis=1)
    assert np.allclose(bins.columns * bins.gain + bins.offset, low_and_high, atol=0.4)


def test_what_cannot_be_filtered_is_told(api, lab, voltage, shared, settings):
    six, ten = addresses(voltage.recording)[1], addresses(shared.recording)[1]
    assert api("viewer").get(addresses(voltage.recording)[0]).json()["cleaning"]["reference"] is False
    few = api("viewer").get(f"{six}?stop=500&reference=true")
    assert few.status_code == 409
    assert "8 good channels or more" in few.json()["detail"]
    folder = computed(lab.experimenter, voltage, "ephys.inspect", "e" * 64)
    (folder / "channels.csv").write_text("channel,label\n0,good\n")
    other = api("viewer").get(f"{ten}?stop=500&reference=true&inspection={Result.objects.get().pk}")
    assert other.status_code == 404
    os.truncate(os.open(settings.LAB_DATA_ROOT / "slow.bin", os.O_CREAT | os.O_WRONLY), 2 * 5_000_000)
    slow = services.register_recording(
        by=LABORATORY, session=lab.session, kind="lfp", format="raw-binary", files=[{"path": "slow.bin"}],
        parameters={"rate": 1000, "channels": 1, "dtype": "int16", "gain_to_uV": GAIN},
    )  # fmt: skip
    described, window = addresses(slow)
    assert api("viewer").get(described).json()["cleaning"]["high_pass"] is None
    assert "too little above 300 Hz" in api("viewer").get(f"{window}?stop=500&high_pass=true").json()["detail"]
    long = api("viewer").get(f"{window}?stop=5000000&high_pass=true")
    assert long.status_code == 409
    assert "are filtered at a time" in long.json()["detail"]
