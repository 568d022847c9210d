"""How a recording's clock runs, found by a job and taken over by a manager: what is computed after goes by it."""

from __future__ import annotations

import csv
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.test import Client

from analysis.clockfits.models import ClockFit
from analysis.clockfits.selectors import clocks_of, fit_for
from analysis.clockfits.services import undo_fit, use_fit
from analysis.drawings import folder_of
from analysis.jobs.models import JobState
from analysis.pipelines import registry
from analysis.services import reproduce, submit
from sessions.errors import Conflict, Forbidden, Invalid, Stale
from sessions.permissions import LABORATORY
from sessions.services import register_recording, update_recording
from tests.jobs.conftest import ended

pytestmark = pytest.mark.django_db(transaction=True)
OFFSET, DRIFT = 3.2, 40e-6


@pytest.fixture
def computing(worker, monkeypatch):
    """The worker of the tests computes these pipelines, too."""
    for name in ("sync.align", "lfp.phase"):
        monkeypatch.setattr(type(registry.get(name)), "queue", "shared")
    return worker


def register(lab, kind: str, name: str, **more):
    parameters = more.pop("parameters", {})
    return register_recording(
        by=LABORATORY, session=lab.session, kind=kind, files=[{"root": "default", "path": name}], name=Path(name).stem,
        start=lab.session.start + timedelta(seconds=5), parameters=parameters, **more,
    )  # fmt: skip


def on_box(times: np.ndarray) -> np.ndarray:
    """Return what the box's clock says when the probe's says ``times``."""
    return (times - OFFSET) / (1 + DRIFT)


@pytest.fixture
def clocks(lab):
    """Pulses on two clocks, LFP of 8 Hz on the probe's, and a unit on the box's that fires at each trough."""
    rng = np.random.default_rng(0)
    folder = Path(settings.LAB_DATA_ROOT)
    pulses = 5 + np.cumsum(rng.uniform(0.5, 1.5, 120))
    np.save(folder / "probe-pulses.npy", pulses)
    np.save(folder / "box-pulses.npy", on_box(pulses))
    rate = 1250
    time = np.arange(120 * rate) / rate
    wave = 400 * np.cos(2 * np.pi * 8 * time) + rng.normal(0, 20, time.size)
    np.savez(folder / "wave.npz", lfp=wave[:, None].astype(np.float32), rate=np.array(float(rate)), unit=np.array("uV"))
    spikes = np.arange(10, 100, 0.125) + 0.0625
    np.savez(folder / "box-units.npz", spike_times=on_box(spikes), spike_units=np.zeros(spikes.size, int))
    return {
        "probe": register(lab, "events", "probe-pulses.npy"),
        "box": register(lab, "events", "box-pulses.npy"),
        "units": register(lab, "units", "box-units.npz"),
        "lfp": register(lab, "lfp", "wave.npz"),
    }


@pytest.fixture
def aligned(lab, clocks, computing):
    return alignment_of(lab, clocks["probe"], clocks["box"], clocks["units"])


def alignment_of(lab, *given):
    job = ended(submit(user=lab.experimenter, pipeline="sync.align", recordings=[one.pk for one in given]).job, 60)
    assert (job.state, job.error) == (JobState.SUCCEEDED, "")
    return job.result


@pytest.fixture
def camera(lab, clocks, aligned):
    """The same pulses as a camera saw them, 70 s off the probe's clock."""
    np.save(
        Path(settings.LAB_DATA_ROOT) / "camera.npy", np.load(Path(settings.LAB_DATA_ROOT) / "probe-pulses.npy") + 70
    )
    return register(lab, "events", "camera.npy")


def phase_of(lab, clocks):
    """Return the job that finds at which phase of 8 Hz the units fire."""
    given = [clocks["units"].pk, clocks["lfp"].pk]
    job = ended(submit(user=lab.experimenter, pipeline="lfp.phase", recordings=given).job, seconds=90)
    assert (job.state, job.error) == (JobState.SUCCEEDED, "")
    return job


def trough_of(job) -> float:
    """Return how far (degrees) the unit's mean phase is from the trough."""
    with (folder_of(job.result) / "artifacts" / "units.csv").open(encoding="utf-8", newline="") as file:
        phase = float(next(csv.DictReader(file))["phase_deg"])
    return abs(abs(phase) - 180)


def test_what_is_computed_after_goes_by_the_fit_and_says_so_and_what_was_before_says_that_it_is_older(
    lab, clocks, aligned
):
    before = phase_of(lab, clocks)
    assert clocks_of(before) == []
    fit = use_fit(by=lab.manager, result=aligned, recording=clocks["units"], base=0)
    assert (fit.revision, fit.reference, fit.result, fit.user) == (1, clocks["probe"], aligned, lab.manager)
    assert fit.offset + fit.drift * (50 - fit.origin) == pytest.approx(OFFSET + DRIFT * 50, abs=1e-4)
    after = phase_of(lab, clocks)
    assert after.pk != before.pk
    told = next(one for one in after.result.provenance["inputs"] if one["kind"] == "units")["clock_fit"]
    assert (told["revision"], told["result"], told["reference"]) == (1, str(aligned.pk), str(clocks["probe"].pk))
    assert told["offset"] == fit.offset
    # 3.2 s are 25.6 cycles: as the spikes are written, they are far from the trough at which the unit fires.
    assert trough_of(before) > 90
    assert trough_of(after) < 3
    assert [each.older for each in clocks_of(before)] == [True]
    assert [each.older for each in clocks_of(after)] == [False]
    client = Client()
    client.force_login(lab.experimenter)
    assert "Made by an older clock" in client.get(f"/results/{before.result.pk}/").content.decode()
    page = client.get(f"/results/{after.result.pk}/").content.decode()
    assert "Made by an older clock" not in page
    assert "of revision 1 of" in page
    # It is computed again by the clock that it was computed by.
    again = ended(reproduce(user=lab.experimenter, result=before.result).job, seconds=90)
    assert [row.clock for row in again.inputs.all()] == [None, None]
    # Taken back, what was made by it is the older one.
    undo_fit(by=lab.manager, recording=clocks["units"], base=1)
    assert [each.older for each in clocks_of(after)] == [True]
    assert clocks_of(before) == []


def test_each_change_is_a_revision_that_a_manager_makes_and_nobody_changes(lab, clocks, aligned):
    units, box = clocks["units"], clocks["box"]
    with pytest.raises(Forbidden):
        use_fit(by=lab.experimenter, result=aligned, recording=units, base=0)
    with pytest.raises(Invalid, match="says nothing of this recording"):
        use_fit(by=lab.manager, result=aligned, recording=clocks["probe"], base=0)
    with pytest.raises(Conflict, match="nothing to undo"):
        undo_fit(by=lab.manager, recording=units, base=0)
    first = use_fit(by=lab.manager, result=aligned, recording=units, base=0)
    # The same again is no change; who has not seen the last one makes none.
    assert use_fit(by=lab.manager, result=aligned, recording=units, base=1) == first
    with pytest.raises(Stale, match="changed this recording's clock since"):
        undo_fit(by=lab.manager, recording=units, base=0)
    back = undo_fit(by=lab.manager, recording=units, base=1)
    assert (back.revision, back.undoes, back.reference, fit_for(units)) == (2, 1, None, None)
    with pytest.raises(Conflict, match="taken back already"):
        undo_fit(by=lab.manager, recording=units, base=2)
    with pytest.raises(DatabaseError), transaction.atomic():
        ClockFit.objects.filter(pk=first.pk).update(offset=0)
    assert ClockFit.history.rel.related_model.objects.filter(recording=units).count() == 2
    # What was made of a recording runs by its clock; what was put on the reference's does not.
    use_fit(by=lab.manager, result=aligned, recording=box, base=0)
    folder = Path(settings.LAB_DATA_ROOT)
    (folder / "found.npz").write_bytes((folder / "box-units.npz").read_bytes())
    made = register(lab, "spikes", "found.npz", derived_from={box})
    assert fit_for(made) == fit_for(box)
    assert fit_for(aligned.derived.get()) is None


def test_the_button_of_a_result_is_for_managers_and_can_be_undone(lab, clocks, aligned):
    client = Client()
    page = f"/results/{aligned.pk}/"
    client.force_login(lab.experimenter)
    assert "Use this clock for a recording" in client.get(page).content.decode()
    assert f'action="{page}clock/use/"' not in client.get(page).content.decode()
    client.force_login(lab.manager)
    assert f'action="{page}clock/use/"' in client.get(page).content.decode()
    told = client.post(f"{page}clock/use/", {"recording": clocks["units"].pk, "base": 0}, follow=True).content.decode()
    assert "goes by this fit" in told
    undo = f'action="{page}clock/undo/"'
    assert undo in told
    assert undoable(client) == {1: True}
    client.post(f"{page}clock/undo/", {"recording": clocks["units"].pk, "base": 1})
    assert fit_for(clocks["units"]) is None
    # Nothing is left to be taken back, and nothing is offered.
    assert undo not in client.get(page).content.decode()
    assert undoable(client) == {1: False, 2: False}
    client.post(f"{page}clock/use/", {"recording": clocks["units"].pk, "base": 2})
    assert undo in client.get(page).content.decode()
    assert undoable(client) == {1: False, 2: False, 3: True}


def test_a_clock_is_followed_in_one_step_and_never_by_way_of_another(lab, clocks, aligned, camera):
    """The job would take the times on the probe's clock for times on the camera's, 70 s off."""
    probe, box, units = clocks["probe"], clocks["box"], clocks["units"]
    by_camera = alignment_of(lab, camera, probe)
    use_fit(by=lab.manager, result=aligned, recording=units, base=0)
    with pytest.raises(Conflict, match=r"give events probe-pulses first in sync\.align"):
        use_fit(by=lab.manager, result=by_camera, recording=probe, base=0)
    undo_fit(by=lab.manager, recording=units, base=1)
    use_fit(by=lab.manager, result=by_camera, recording=probe, base=0)
    for recording, base in ((units, 2), (box, 0)):
        with pytest.raises(Conflict, match=r"align .* with events camera, or take the fit of events probe-pulses back"):
            use_fit(by=lab.manager, result=aligned, recording=recording, base=base)
    # What was put on the probe's clock by a job goes by the probe's fit to the camera.
    assert fit_for(aligned.derived.get()).recording == probe
    # Nor does it go round: the camera by the box, and the box by what was made of the camera.
    undo_fit(by=lab.manager, recording=probe, base=1)
    folder = Path(settings.LAB_DATA_ROOT)
    (folder / "seen.npy").write_bytes((folder / "camera.npy").read_bytes())
    seen = register(lab, "events", "seen.npy", derived_from={camera})
    use_fit(by=lab.manager, result=alignment_of(lab, seen, box), recording=box, base=0)
    with pytest.raises(Conflict, match="read on the clock of events seen"):
        use_fit(by=lab.manager, result=alignment_of(lab, box, camera), recording=camera, base=0)
    with pytest.raises(Conflict, match="was made of"):
        use_fit(by=lab.manager, result=alignment_of(lab, seen, camera), recording=camera, base=0)


def test_of_two_managers_at_once_who_read_two_clocks_by_each_other_one_is_refused(lab, clocks, aligned):
    probe, box = clocks["probe"], clocks["box"]
    ways = [(aligned, box), (alignment_of(lab, box, probe), probe)]
    ready = threading.Barrier(2)

    def use(way) -> str:
        try:
            ready.wait(10)
            use_fit(by=lab.manager, result=way[0], recording=way[1], base=0)
        except Conflict as refused:
            return refused.detail
        finally:
            connection.close()
        return ""

    with ThreadPoolExecutor(2) as managers:
        told = sorted(managers.map(use, ways))
    assert told[0] == ""
    assert "followed in one step" in told[1]
    assert ClockFit.objects.count() == 1


def test_an_own_fit_that_was_taken_back_leaves_that_of_what_the_recording_was_made_of(lab, clocks, aligned):
    units, box = clocks["units"], clocks["box"]
    units.derived_from.add(box)
    of_box = use_fit(by=lab.manager, result=aligned, recording=box, base=0)
    own = use_fit(by=lab.manager, result=aligned, recording=units, base=0)
    assert fit_for(units) == own
    undo_fit(by=lab.manager, recording=units, base=1)
    assert fit_for(units) == of_box
    client = Client()
    client.force_login(lab.manager)
    assert "another fit</a> of events box-pulses" in client.get(f"/results/{aligned.pk}/").content.decode()


def test_a_fit_that_somebody_writes_into_a_recording_is_none(lab, clocks, aligned):
    claimed = {"offset": 9.0, "drift": 0.0, "origin": 0.0, "reference": "x"}
    update_recording(by=lab.experimenter, recording=clocks["units"], parameters={"clock_fit": claimed})
    assert clocks_of(phase_of(lab, clocks)) == []
    use_fit(by=lab.manager, result=aligned, recording=clocks["units"], base=0)
    assert trough_of(phase_of(lab, clocks)) < 3


def undoable(client: Client) -> dict[int, bool]:
    """Return of each revision whether REST offers to take it back."""
    return {row["revision"]: row["undoable"] for row in client.get("/api/v1/clock-fits/").json()["results"]}
