"""Spikes, units and ripples on the traces that they were found in: in its samples, on its clock, or with the reason."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import numpy as np
import pytest
from django.conf import settings as configured
from django.utils import timezone

from analysis.clockfits.models import ClockFit
from analysis.jobs.models import Job, JobInput, JobState, Result
from sessions import services
from sessions.permissions import LABORATORY

pytestmark = pytest.mark.django_db
RATE, CHANNELS = 20_000, 6
SPIKES = np.array([0.5, 0.5002, 1.25, 3.0])
UNITS = np.array([7, 2, 7, 2])


def register(lab, name: str, kind: str, file_format: str, **values):
    return services.register_recording(
        by=LABORATORY, session=lab.session, kind=kind, format=file_format, files=[{"path": name}], **values
    )


@pytest.fixture
def voltage(lab, settings):
    """Four seconds of voltage, spikes found in it, LFP made of it and a result of ripples of that LFP."""
    root = Path(settings.LAB_DATA_ROOT)
    root.mkdir(parents=True, exist_ok=True)
    parameters = {"channels": CHANNELS, "dtype": "int16", "gain_to_uV": 0.2}
    np.zeros((4 * RATE, CHANNELS), np.int16).tofile(root / "raw.bin")
    np.zeros((4 * 2000, CHANNELS), np.int16).tofile(root / "lfp.bin")
    np.savez(
        root / "peaks.npz", spike_times=SPIKES, spike_units=UNITS, unit_labels=np.array(["channel 2", "3 (channel 5)"])
    )
    raw = register(lab, "raw.bin", "ephys", "raw-binary", parameters={"rate": RATE, **parameters})
    lfp = register(lab, "lfp.bin", "lfp", "raw-binary", derived_from={raw}, parameters={"rate": 2000, **parameters})
    spikes = register(lab, "peaks.npz", "spikes", "units-npz", derived_from={raw}, parameters={"time_offset": 0.0})
    result = computed(lab, "lfp.ripples", lfp)
    folder = Path(configured.LAB_RESULTS) / result.folder / "artifacts"
    folder.mkdir(parents=True)
    (folder / "ripples.csv").write_text(
        "start_s,peak_s,stop_s,height_SD,frequency_Hz\n0.9,1.0,1.1,8,170\n2.0,2.05,2.2,9,180\n"
    )
    return SimpleNamespace(raw=raw, lfp=lfp, spikes=spikes, ripples=result, folder=folder)


def computed(lab, pipeline: str, *inputs) -> Result:
    """Write the rows of a pipeline that has succeeded."""
    now = timezone.now()
    job = Job.objects.create(
        project=lab.project, pipeline=pipeline, version="1.0.0", fingerprint=uuid4().hex * 2, user=lab.experimenter,
        state=JobState.SUCCEEDED, attempt=1, started=now, finished=now,
    )  # fmt: skip
    for order, recording in enumerate(inputs):
        JobInput.objects.create(job=job, recording=recording, order=order)
    return Result.objects.create(job=job, attempt=1, folder=uuid4().hex)


def sources(api, recording) -> dict[str, dict]:
    found = api("viewer").get(f"/api/v1/recordings/{recording.pk}/traces/sources/").json()
    return {each["id"]: each for each in found}


def events(api, recording, source, query: str):
    return api("viewer").get(f"/api/v1/recordings/{recording.pk}/traces/events/?source={source.pk}&{query}")


def test_what_was_found_in_a_recording_and_in_its_lfp_is_offered_on_both(api, voltage):
    for shown in (voltage.raw, voltage.lfp):
        found = sources(api, shown)
        assert {each["kind"] for each in found.values()} == {"spikes", "ripples"}
        assert {each["reason"] for each in found.values()} == {""}
    assert found[str(voltage.ripples.pk)]["page"] == f"/results/{voltage.ripples.pk}/"
    outside = api("outsider").get(f"/api/v1/recordings/{voltage.raw.pk}/traces/sources/")
    assert outside.status_code == 404


def test_spikes_lie_at_the_samples_and_channels_where_they_were_found(api, voltage):
    told = events(api, voltage.raw, voltage.spikes, f"start=0&stop={2 * RATE}").json()
    assert told["events"] == [[10_000, 10_000, 10_000, 1], [10_004, 10_004, 10_004, 0], [25_000, 25_000, 25_000, 1]]
    assert told["units"] == [{"name": "channel 2", "channel": 2}, {"name": "3 (channel 5)", "channel": 5}]
    assert told["more"] == 0
    # LFP may have other channels than the voltage that it was made of.
    told = events(api, voltage.lfp, voltage.spikes, "start=0&stop=1100").json()
    assert [event[0] for event in told["events"]] == [1000, 1000]
    assert [unit["channel"] for unit in told["units"]] == [None, None]


def test_ripples_reach_from_their_start_to_their_end_also_into_a_window(api, voltage):
    first, second = [20_000, 18_000, 22_000, 0], [41_000, 40_000, 44_000, 0]
    for start, stop, found in (
        (2.1, 3.0, [second]), (1.5, 2.02, [second]), (0.0, 0.95, [first]), (1.05, 2.01, [first, second]),
        (1.15, 1.9, []), (0.0, 0.9, []), (2.25, 4.0, []),
    ):  # fmt: skip
        told = events(api, voltage.raw, voltage.ripples, f"start={round(start * RATE)}&stop={round(stop * RATE)}")
        assert told.json()["events"] == found, (start, stop)


def test_what_runs_by_another_clock_is_shown_where_the_fit_of_the_catalog_puts_it(api, lab, voltage):
    root = Path(configured.LAB_DATA_ROOT)
    (root / "box.npz").write_bytes((root / "peaks.npz").read_bytes())
    box = register(lab, "box.npz", "units", "units-npz")
    assert sources(api, voltage.raw)[str(box.pk)]["shift"] == 0
    fit(lab, box, voltage.raw, voltage.ripples, offset=0.25, drift=0.01, origin=1.0)
    expected = np.rint((SPIKES + 0.25 + 0.01 * (SPIKES - 1)) * RATE).astype(int).tolist()
    told = events(api, voltage.raw, box, f"start=0&stop={4 * RATE}").json()
    assert [event[0] for event in told["events"]] == expected
    assert sources(api, voltage.raw)[str(box.pk)]["shift"] == pytest.approx(0.24)
    told = events(api, voltage.raw, box, f"after={expected[2]}").json()
    assert [event[0] for event in told["events"]] == expected[3:]


def test_what_was_found_in_the_voltage_runs_by_its_clock_whatever_that_one_is_fitted_to(api, lab, voltage):
    root = Path(configured.LAB_DATA_ROOT)
    (root / "box.npz").write_bytes((root / "peaks.npz").read_bytes())
    box = register(lab, "box.npz", "units", "units-npz")
    fit(lab, voltage.raw, box, voltage.ripples, offset=7.0, drift=0.02, origin=0.0)
    for source, first in ((voltage.spikes, 10_000), (voltage.ripples, 20_000)):
        assert events(api, voltage.raw, source, "after=-1").json()["events"][0][0] == first
        assert sources(api, voltage.raw)[str(source.pk)]["shift"] == 0


def fit(lab, recording, reference, result, **line) -> None:
    """Write the first revision of a recording's clock fit."""
    ClockFit.objects.create(
        recording=recording, revision=1, reference=reference, result=result, user=lab.experimenter, **line
    )


@pytest.mark.parametrize(
    ("query", "peak"),
    [
        ("after=-1", 10_000),
        ("after=10000", 10_004),
        ("after=10004&unit=0", 60_000),
        ("before=25000", 10_004),
        ("before=10000", None),
        ("after=60000", None),
    ],
)
def test_the_next_event_on_either_side_is_found(api, voltage, query, peak):
    told = events(api, voltage.raw, voltage.spikes, query).json()
    assert [event[0] for event in told["events"]] == ([] if peak is None else [peak])


def test_times_of_another_clock_are_not_shown_but_said_to_be(api, lab, voltage):
    root = Path(configured.LAB_DATA_ROOT)
    (root / "phy.npz").write_bytes((root / "peaks.npz").read_bytes())
    brought = register(lab, "phy.npz", "units", "units-npz", parameters={"clock": "recording"})
    assert "count from its start" in sources(api, voltage.raw)[str(brought.pk)]["reason"]
    refused = events(api, voltage.raw, brought, "after=0")
    assert refused.status_code == 409
    # What was put on the clock of another recording no longer fits this one.
    (root / "aligned.npz").write_bytes((root / "peaks.npz").read_bytes())
    moved = register(lab, "aligned.npz", "spikes", "units-npz", derived_from={voltage.raw, voltage.lfp})
    result = computed(lab, "sync.align", voltage.lfp, voltage.raw, voltage.spikes)
    result.derived.add(moved)
    assert "put on the clock of another recording" in sources(api, voltage.raw)[str(moved.pk)]["reason"]


def test_sorted_units_are_offered_however_often_spikes_were_looked_for_since(api, lab, voltage):
    root = Path(configured.LAB_DATA_ROOT)
    names = ["sorted.npz", *(f"peaks-{number}.npz" for number in range(9))]
    for name in names:
        (root / name).write_bytes((root / "peaks.npz").read_bytes())
    units = register(lab, names[0], "units", "units-npz", derived_from={voltage.raw})
    for name in names[1:]:
        register(lab, name, "spikes", "units-npz", derived_from={voltage.raw})
    found = sources(api, voltage.raw)
    assert str(units.pk) in found
    assert [each["kind"] for each in found.values()].count("spikes") == 8
    made = [each["made"] for each in found.values() if each["kind"] != "ripples"]
    assert made == sorted(made, reverse=True)


@pytest.mark.parametrize("query", ["start=5", "start=5&stop=5", "after=1&before=2", "after=1&zoom=2"])
def test_what_is_asked_for_wrongly_is_refused(api, voltage, query):
    reply = events(api, voltage.raw, voltage.spikes, query)
    assert reply.status_code == 400
    assert reply.json()["detail"].endswith(".")


def test_times_beyond_every_recording_and_times_that_are_none_show_nothing_wrong(api, lab, voltage):
    root = Path(configured.LAB_DATA_ROOT)
    np.savez(root / "far.npz", spike_times=np.array([-1e300, 0.5, 1e300]), spike_units=np.array([0, 0, 0]))
    far = register(lab, "far.npz", "units", "units-npz")
    assert [event[0] for event in events(api, voltage.raw, far, "start=0&stop=80000").json()["events"]] == [10_000]
    assert events(api, voltage.raw, far, "before=10000").json()["events"][0][0] == -(2**53)
    (voltage.folder / "ripples.csv").write_text("start_s,peak_s,stop_s\n0.9,nan,1.1\n")
    reply = events(api, voltage.raw, voltage.ripples, "after=0")
    assert (reply.status_code, "times that are none" in reply.json()["detail"]) == (409, True)


def test_files_that_are_gone_and_sources_of_others_are_told(api, lab, voltage):
    (voltage.folder / "ripples.csv").unlink()
    reply = events(api, voltage.raw, voltage.ripples, "after=0")
    assert reply.status_code == 409
    assert "gone or damaged" in reply.json()["detail"]
    assert events(api, voltage.raw, voltage.raw, "after=0").status_code == 404
