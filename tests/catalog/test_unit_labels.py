"""Labels of units by hand: every change a revision, two people at once lose nothing, and jobs keep to what was said."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from django.db import ProgrammingError, connection, transaction
from django.urls import reverse

from analysis.jobs.inputs import inputs_of
from analysis.jobs.models import JobState
from analysis.labels.models import UnitLabels
from analysis.labels.services import label_units
from analysis.pipelines.base import PipelineError
from analysis.readers import read_spikes
from analysis.readers.frame import as_input
from analysis.readers.unitsheet import MOST_UNITS
from analysis.services import run_again, submit
from sessions import services
from sessions.permissions import LABORATORY

pytestmark = pytest.mark.django_db
API = "/api/v1/unit-labels/"
NAMES = ("1 (channel 4)", "2 (channel 9)", "3 (channel 9)")


def registered(lab, settings, **more):
    """Register three units of 200, 100 and 50 spikes, without or with what their sorter says of them."""
    counts = (200, 100, 50)
    times = np.concatenate([np.linspace(0, 100, count) + 0.01 * n for n, count in enumerate(counts)])
    units = np.repeat([0, 1, 2], counts)
    order = np.argsort(times, kind="stable")
    name = f"units-{len(more)}.npz"
    np.savez(
        Path(settings.LAB_DATA_ROOT) / name, spike_times=times[order], spike_units=units[order],
        unit_labels=np.array(NAMES), **more,
    )  # fmt: skip
    return services.register_recording(by=LABORATORY, session=lab.session, kind="units", files=[{"path": name}])


@pytest.fixture
def units(lab, settings):
    return registered(lab, settings)


@pytest.fixture
def say(api, units):
    """Say something of units as a person, who has seen a revision."""

    def post(labels, base, role="experimenter"):
        return api(role).post(API, {"recording": str(units.pk), "base": base, "labels": labels}, format="json")

    return post


def test_each_change_is_a_revision_with_who_and_when_and_none_is_overwritten(api, lab, units, say):
    first = say({NAMES[0]: "good"}, 0)
    assert (first.status_code, first.json()["revision"], first.json()["user"]) == (201, 1, "experimenter")
    second = say({NAMES[0]: "noise", NAMES[2]: "multi-unit"}, 1, role="manager").json()
    assert second["labels"] == {NAMES[0]: "noise", NAMES[2]: "multi-unit"}
    assert second["changed"] == {NAMES[0]: ["good", "noise"], NAMES[2]: [None, "multi-unit"]}
    assert say({NAMES[2]: None}, 2).json()["labels"] == {NAMES[0]: "noise"}
    rows = api("viewer").get(f"{API}?recording={units.pk}&ordering=revision").json()["results"]
    assert [(row["revision"], row["user"]) for row in rows] == [
        (1, "experimenter"),
        (2, "manager"),
        (3, "experimenter"),
    ]
    assert rows[0]["labels"] == {NAMES[0]: "good"}
    # Nor can raw SQL change what was said.
    with pytest.raises(ProgrammingError, match="Cannot update"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE analysis_unitlabels SET labels = '{}' WHERE revision = 1")
    assert UnitLabels.objects.get(revision=1).history.get().pgh_label == "insert"


def test_what_was_said_already_makes_no_revision(say):
    say({NAMES[0]: "good"}, 0)
    assert say({NAMES[0]: "good"}, 1).json()["revision"] == 1


def test_two_people_at_different_units_lose_nothing(say):
    say({NAMES[0]: "good"}, 0)
    # Who has seen nothing of it yet, and labels another unit, adds to it.
    merged = say({NAMES[1]: "noise"}, 0, role="manager")
    assert (merged.status_code, merged.json()["labels"]) == (201, {NAMES[0]: "good", NAMES[1]: "noise"})


def test_two_people_at_the_same_unit_are_told_and_the_second_decides(say):
    say({NAMES[0]: "good"}, 0, role="manager")
    refused = say({NAMES[0]: "noise", NAMES[1]: "noise"}, 0)
    assert refused.status_code == 412
    assert refused.json()["errors"] == {
        f"labels.{NAMES[0]}": [f"manager said good of unit {NAMES[0]} since you looked."]
    }
    assert UnitLabels.objects.count() == 1
    # They agree, or the second has seen it.
    assert say({NAMES[0]: "good"}, 0).status_code == 201
    assert say({NAMES[0]: "noise"}, 1).json()["labels"] == {NAMES[0]: "noise"}


@pytest.mark.django_db(transaction=True)
def test_many_at_the_same_moment_make_one_revision_each(lab, units):
    def label(number: int) -> int:
        try:
            return label_units(
                by=lab.experimenter, recording=units, labels={NAMES[number]: "good"}, base=0
            ).revision  # fmt: skip
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as threads:
        assert sorted(threads.map(label, range(3))) == [1, 2, 3]
    assert UnitLabels.objects.get(revision=3).labels == dict.fromkeys(NAMES, "good")


def test_undo_goes_back_change_by_change_as_new_revisions(api, say):
    say({NAMES[0]: "good"}, 0)
    say({NAMES[1]: "noise"}, 1)
    last = say({NAMES[0]: "multi-unit"}, 2).json()
    stale = UnitLabels.objects.get(revision=1).pk
    assert api().post(f"{API}{stale}/undo/").status_code == 412
    seen = []
    for _ in range(3):
        last = api().post(f"{API}{last['id']}/undo/").json()
        seen.append((last["revision"], last["undoes"], last["labels"]))
    assert seen == [
        (4, 3, {NAMES[0]: "good", NAMES[1]: "noise"}),
        (5, 2, {NAMES[0]: "good"}),
        (6, 1, {}),
    ]
    assert api().post(f"{API}{last['id']}/undo/").status_code == 409
    # After an undo something new may be said, and taken back again.
    last = say({NAMES[2]: "noise"}, 6).json()
    assert api().post(f"{API}{last['id']}/undo/").json()["labels"] == {}


@pytest.mark.parametrize(
    ("labels", "base", "field"),
    [
        ({"7": "good"}, 0, "labels.7"),
        ({NAMES[0]: "fine"}, 0, "labels"),
        ({}, 0, "labels"),
        ({NAMES[0]: "good"}, 5, "base"),
    ],
)
def test_what_cannot_be_said_is_refused(say, labels, base, field):
    reply = say(labels, base)
    assert reply.status_code == 400
    assert field in str(reply.json()["errors"])
    assert not UnitLabels.objects.exists()


def test_only_who_may_change_labels_and_only_who_may_see_looks(api, say, units):
    assert say({NAMES[0]: "good"}, 0, role="viewer").status_code == 403
    assert say({NAMES[0]: "good"}, 0, role="outsider").status_code == 404
    address = f"/api/v1/recordings/{units.pk}/units/"
    assert [api(role).get(address).status_code for role in ("outsider", "viewer")] == [404, 200]


def test_the_page_has_what_it_draws_of_every_unit(api, client, lab, units):
    client.force_login(lab.viewer)
    page = client.get(reverse("recording-units-page", args=[units.pk]))
    assert b'data-may-change="no"' in page.content
    told = api("viewer").get(f"/api/v1/recordings/{units.pk}/units/").json()
    assert [(unit["name"], unit["spikes"]) for unit in told["units"]] == list(zip(NAMES, (200, 100, 50), strict=True))
    first = told["units"][0]
    assert (len(first["rates"]), len(first["correlogram"]), first["waveform"], first["own"]) == (100, 100, [], None)
    assert sum(first["rates"]) * (told["stop"] - told["start"]) / 100 == pytest.approx(200, rel=1e-3)


def test_the_most_units_that_a_page_shows_fit_into_it(api, lab, settings):
    spikes_each, samples = 400, 120
    rng = np.random.default_rng(1)
    times = np.sort(rng.uniform(0, 3600, MOST_UNITS * spikes_each))
    units = rng.permutation(np.repeat(np.arange(MOST_UNITS), spikes_each))
    np.savez(
        Path(settings.LAB_DATA_ROOT) / "many.npz", spike_times=times, spike_units=units,
        amplitude_uV=rng.normal(-123, 20, times.size), waveform_ms=np.linspace(-1, 2, samples),
        waveform_uV=rng.normal(0, 100, (MOST_UNITS, samples)),
    )  # fmt: skip
    many = services.register_recording(by=LABORATORY, session=lab.session, kind="units", files=[{"path": "many.npz"}])
    reply = api("viewer").get(f"/api/v1/recordings/{many.pk}/units/")
    assert reply.status_code == 200, reply.json()["detail"]
    told = reply.json()["units"]
    assert len(told) == MOST_UNITS
    assert min(len(unit["amplitude"][0]) for unit in told) >= 70


@pytest.fixture
def asked(lab, units, put):
    """Ask for the phase of the good units, or of all."""
    lfp = services.register_recording(
        by=LABORATORY, session=lab.session, kind="lfp", files=[{"path": put()}],
        parameters={"rate": 1000, "unit": "uV"},
    )  # fmt: skip

    def ask(which="good", recording=units):
        return submit(
            user=lab.experimenter, pipeline="lfp.phase", recordings=[lfp.pk, recording.pk],
            parameters={"which_units": which},
        )  # fmt: skip

    return ask


def read_by(job):
    """The units that the job's pipeline gets to read."""
    return read_spikes(as_input(inputs_of(job)[1]))


def test_a_job_on_good_units_keeps_to_the_labels_of_when_it_was_queued(lab, units, asked, say):
    say({NAMES[0]: "good", NAMES[1]: "noise", NAMES[2]: "good"}, 0)
    first, every = asked(), asked("all")
    found = read_by(first.job)
    assert found.labels == (NAMES[0], NAMES[2])
    assert np.bincount(found.units).tolist() == [200, 50]
    assert read_by(every.job).labels == NAMES
    say({NAMES[2]: "noise"}, 1)
    # The same request is answered by another job now, the first reads what it read; all units are still all units.
    second = asked()
    assert (second.created, read_by(second.job).labels) == (True, (NAMES[0],))
    assert read_by(first.job).labels == (NAMES[0], NAMES[2])
    assert not asked("all").created
    assert [row.labels and row.labels.revision for row in second.job.inputs.all()] == [None, 2]
    # Run again or reproduced, it is the same question.
    first.job.state, first.job.finished = JobState.FAILED, first.job.created
    first.job.save()
    again = run_again(user=lab.experimenter, job=first.job).job
    assert (again.pk != first.job.pk, again.fingerprint) == (True, first.job.fingerprint)
    assert read_by(again).labels == (NAMES[0], NAMES[2])


def test_where_nobody_said_anything_the_sorter_is_believed(lab, settings, asked):
    of_sorter = registered(lab, settings, unit_quality=np.array(["good", "multi-unit", "good"]))
    label_units(by=lab.experimenter, recording=of_sorter, labels={NAMES[0]: "noise"}, base=0)
    assert read_by(asked(recording=of_sorter).job).labels == (NAMES[2],)


def test_good_units_where_none_is_known_are_refused_in_a_sentence(asked, say):
    with pytest.raises(PipelineError, match="label the units, or take all"):
        read_by(asked().job)
    say(dict.fromkeys(NAMES, "noise"), 0)
    with pytest.raises(PipelineError, match="None of the 3 units is labelled good"):
        read_by(asked().job)


def test_a_label_taken_off_where_there_is_none_makes_no_revision(units, say):
    refused = say({NAMES[0]: None}, 0)
    assert (refused.status_code, refused.json()["detail"]) == (
        409, "No unit of this recording has a label yet: there is none to take off.",
    )  # fmt: skip
    assert not UnitLabels.objects.filter(recording=units).exists()
    assert say({NAMES[0]: "good"}, 0).status_code == 201
    assert say({NAMES[1]: None}, 1).json()["revision"] == 1
