"""Two clocks and the trials of a box, through real jobs: what is made stands where people look for it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings
from django.test import Client

from analysis.jobs.models import JobState
from analysis.pipelines import registry
from analysis.services import submit
from sessions.permissions import LABORATORY
from sessions.services import add_events, keep_events, register_recording
from tests.jobs.conftest import ended

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def computing(worker, monkeypatch):
    """The worker of the tests computes these pipelines, too."""
    for name in ("sync.align", "events.trials"):
        monkeypatch.setattr(type(registry.get(name)), "queue", "shared")
    return worker


def register(lab, kind: str, name: str, *, after: float, **more):
    """Register a file whose times count from the start of its recording, ``after`` s into the session."""
    return register_recording(
        by=LABORATORY, session=lab.session, kind=kind, files=[{"root": "default", "path": name}], name=Path(name).stem,
        start=lab.session.start + timedelta(seconds=after), parameters={"clock": "recording"}, **more,
    )  # fmt: skip


def two_clocks(lab):
    """Register pulses on two clocks and units on the second; each recording starts at another time."""
    rng = np.random.default_rng(0)
    pulses = 5 + np.cumsum(rng.uniform(0.5, 1.5, 80))
    folder = Path(settings.LAB_DATA_ROOT)
    np.save(folder / "probe-pulses.npy", pulses)
    np.save(folder / "box-pulses.npy", (pulses - 3.2) / (1 + 40e-6))
    spikes = np.linspace(10, 60, 200)
    np.savez(folder / "box-units.npz", spike_times=(spikes - 3.2) / (1 + 40e-6), spike_units=np.zeros(200, int))
    return (
        register(lab, "events", "probe-pulses.npy", after=10),
        register(lab, "events", "box-pulses.npy", after=30),
        register(lab, "units", "box-units.npz", after=30),
        spikes,
    )


def test_units_are_put_on_the_clock_of_the_reference_and_carry_its_start_and_their_own_name(lab, computing):
    reference, other, units, spikes = two_clocks(lab)
    given = [reference.pk, other.pk, units.pk]
    job = ended(submit(user=lab.experimenter, pipeline="sync.align", recordings=given).job, seconds=60)
    assert (job.state, job.error) == (JobState.SUCCEEDED, "")
    made = job.result.derived.get()
    assert (made.kind, made.name, made.start) == ("units", "box-units · aligned", reference.start)
    assert set(made.derived_from.all()) == {reference, units}
    assert made.parameters == {"clock": "recording"}
    file = made.files.get()
    with np.load(Path(file.root.path) / file.path) as archive:
        assert archive["spike_times"] == pytest.approx(spikes, abs=1e-3)


def test_the_form_gives_two_inputs_of_one_kind_two_recordings(lab):
    reference, other, *_ = two_clocks(lab)
    client = Client()
    client.force_login(lab.experimenter)
    named = "&".join(f"recording={one.pk}" for one in (reference, other))
    page = client.get(f"/jobs/new/?pipeline=sync.align&{named}").content.decode()
    chosen = []
    for number in (0, 1):
        options = page.split(f'name="input-{number}" value="')[1:]
        chosen += [option[:36] for option in options if "checked" in option.partition(">")[0]]
    assert sorted(chosen) == sorted([str(reference.pk), str(other.pk)])


def test_events_that_a_box_reported_become_trials_that_other_analyses_take(lab, computing):
    events = []
    for number in range(10):
        at, odour = 4.0 * number, "ABCDE"[number % 5]
        said = {"odour": odour, "position": number % 5 + 1, "in_sequence": True, "correct": True}
        events += [
            (at, "poke_in", {}),
            (at + 0.1, "odour", said),
            (at + 1.2, "poke_out", {}),
            (at + 1.2, "trial", said),
        ]
    add_events(
        by=lab.experimenter,
        session=lab.session,
        events=[
            {"time": lab.session.start + timedelta(seconds=at + 1), "kind": kind, "value": value}
            for at, kind, value in events
        ],
    )
    kept, _ = keep_events(by=lab.experimenter, session=lab.session)
    job = ended(submit(user=lab.experimenter, pipeline="events.trials", recordings=[kept.pk]).job, seconds=60)
    assert (job.state, job.error) == (JobState.SUCCEEDED, "")
    made = job.result.derived.get()
    assert (made.kind, made.format, made.start) == ("events", "csv", lab.session.start)
    assert made.parameters == {"table": "odours", "clock": "recording"}
    assert made.name == "Reported events · trials"
    assert (job.result.metrics["trials"]["value"], job.result.metrics["correct"]["value"]) == (10, 100)
