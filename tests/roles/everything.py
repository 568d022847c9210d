"""One of everything that an address can be about, by the name that the addresses have for it."""

from __future__ import annotations

import json
from datetime import date, timedelta
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import Group
from django.utils import timezone
from PIL import Image

from analysis.chains.models import Chain, ChainSource, ChainStep
from analysis.clockfits.models import ClockFit
from analysis.commands.services import register
from analysis.discussion.models import PaperMark, ResultComment
from analysis.figures.spec import Axis, Figure, Line, Panel
from analysis.jobs.models import Artifact, Job, JobInput, JobState, Result, Worker
from analysis.labels.services import label_units
from analysis.sharing.services import share
from cameras.models import AlertKind, CameraAlert, CameraRecording
from cameras.services import create_camera, start_recording, stop_recording
from sessions import services
from sessions.models import (
    Administration,
    DataRoot,
    Genotype,
    Housing,
    Implant,
    Procedure,
    Restriction,
    Tag,
    Weighing,
)
from sessions.permissions import LABORATORY
from sessions.services.sheets import send_sheet
from sessions.services.uploads import begin_upload
from sessions.tokens import create_token
from tests.cameras.conftest import store_frames
from tests.catalog.conftest import HOUR, NOON

NEW_ANIMAL = b"identifier,project,species\nN7,Memory,rat\n"
ENTRIES = {
    "weighing": (Weighing, {"weight": 300}),
    "restriction": (Restriction, {"kind": "water", "reference_weight": 300}),
    "administration": (Administration, {"kind": "water", "amount": 5}),
    "procedure": (Procedure, {"kind": "surgery"}),
    "implant": (Implant, {"device": "fibre"}),
    "genotype": (Genotype, {"zygosity": "present"}),
}


@pytest.fixture
def things(lab: Any, recording: Any, put: Any, settings: Any) -> dict[str, Any]:
    """Return one of everything, all of the project *Memory*; the token, the sheet and the upload the experimenter's."""
    settings.LAB_DISK_RESERVE = 0
    put("b.npy")
    return {**_catalog(lab, recording), **_care(lab), **_cameras(lab), **_analyses(lab, recording)}


def _catalog(lab: Any, recording: Any) -> dict[str, Any]:
    services.add_events(by=LABORATORY, session=lab.session, events=[{"time": NOON, "kind": "poke"}])
    token, _ = create_token(user=lab.experimenter, name="script")
    return {
        "project": lab.project,
        "species": lab.rat,
        "strain": services.create_strain(by=LABORATORY, name="Long-Evans", species=lab.rat),
        "animal": lab.animal,
        "rig": lab.rig,
        "task": lab.task,
        "session": lab.session,
        "session-end": services.start_session(by=lab.experimenter, project=lab.project, start=NOON + 100 * HOUR),
        "recording": recording,
        "file": recording.files.get(),
        "event": lab.session.events.get(),
        "token": token,
        "sheet": send_sheet(by=lab.experimenter, kind="animals", name="new.csv", content=NEW_ANIMAL),
        "upload": begin_upload(by=lab.experimenter, session=lab.session, kind="lfp", length=9, file_name="c.npy"),
        "root": DataRoot.objects.get(),
        "user": lab.viewer,
        "group": Group.objects.create(name="people"),
    }


def _care(lab: Any) -> dict[str, Any]:
    services.update_animal(by=LABORATORY, animal=lab.animal, cage="14")
    female = services.create_animal(by=LABORATORY, identifier="F1", project=lab.project, species=lab.rat)
    allele = services.create_allele(by=LABORATORY, name="Pvalb-Cre")
    services.create_allele(by=LABORATORY, name="Sst-Cre")
    pair = services.create_pair(
        by=LABORATORY, name="P1", project=lab.project, female=female, male=lab.animal, start=date(2026, 1, 1)
    )
    picture = BytesIO()
    Image.new("RGB", (40, 30), "sienna").save(picture, "PNG")
    note = services.add_note(by=LABORATORY, animal=lab.animal, photo=picture.getvalue(), tags=["fur"])
    return {
        "note": note,
        "tag": Tag.objects.get(),
        "housing": Housing.objects.get(),
        "cage": Housing.objects.get().cage,
        "allele": allele,
        "pair": pair,
        "litter": services.create_litter(by=LABORATORY, pair=pair, born=date(2026, 1, 24)),
        **{
            name: services.add_entry(
                model, by=LABORATORY, animal=lab.animal, **values, **({"allele": allele} if name == "genotype" else {})
            )
            for name, (model, values) in ENTRIES.items()
        },
    }


def _cameras(lab: Any) -> dict[str, Any]:
    """Return a camera that records for a running session, one that could, and what one has recorded."""
    found: dict[str, Any] = {}
    for name in ("idle", "busy"):
        rig = services.create_rig(by=LABORATORY, name=f"rig {name}", project=lab.project)
        session = services.start_session(by=LABORATORY, project=lab.project, rig=rig, start=timezone.now() - HOUR)
        camera, _ = create_camera(by=LABORATORY, slug=f"top-{name}", name=f"top {name}", rig=rig)
        found[name] = SimpleNamespace(session=session, camera=camera)
    busy, idle = found["busy"], found["idle"]
    (done,) = start_recording(session=busy.session, by=LABORATORY)
    stop_recording(session=busy.session, by=LABORATORY)
    store_frames(_below_data_root(done.folder), done.pk, [1, 2, 4])
    CameraRecording.objects.filter(pk=done.pk).update(state="finished", finished=timezone.now() + HOUR)
    start_recording(session=busy.session, by=LABORATORY)
    return {
        "camera": idle.camera,
        "camera-busy": busy.camera,
        "session-idle": idle.session,
        "session-busy": busy.session,
        "camera-recording": CameraRecording.objects.get(pk=done.pk),
        "video": done.recording,
        "camera-alert": CameraAlert.objects.create(kind=AlertKind.DARK, camera=idle.camera, message="It is dark."),
    }


def _below_data_root(folder: str) -> Path:
    from django.conf import settings

    return Path(settings.LAB_DATA_ROOT) / folder


def keep_figure(folder: str) -> str:
    """Write a figure, ``values.json``, into a folder of results that is not there yet; return the folder's name."""
    from django.conf import settings

    place = Path(settings.LAB_RESULTS) / folder
    place.mkdir(parents=True, exist_ok=True)
    line = Line(np.arange(3.0), np.arange(3.0), "data", "value")
    figure = Figure("values", "Values", "Every value.", (Panel(Axis("sample"), Axis("value", "mV"), (line,)),))
    (place / "values.json").write_text(json.dumps(figure.to_json()))
    return folder


def _analyses(lab: Any, recording: Any) -> dict[str, Any]:
    """Return a job that waits, and one that has ended with a figure and a file."""
    from django.conf import settings

    def job(state: JobState, mark: str, **more: Any) -> Job:
        made = Job.objects.create(
            project=lab.project, pipeline="ephys.lfp", version="1", fingerprint=mark * 64, state=state,
            user=lab.experimenter, **more,
        )  # fmt: skip
        JobInput.objects.create(job=made, recording=recording, order=0)
        return made

    done = job(JobState.SUCCEEDED, "a", attempt=1, started=NOON, finished=NOON)
    folder = Path(settings.LAB_RESULTS) / keep_figure("one")
    (folder / "artifacts").mkdir()
    (folder / "artifacts" / "values.npy").write_bytes(b"123")
    result = Result.objects.create(
        job=done, attempt=1, folder="one", provenance={"environment": {"cores": 2, "memory": 8_000_000_000}},
        figures=[{"name": "values", "title": "Values", "caption": "Every value.", "file": "values.json"}],
    )  # fmt: skip
    Artifact.objects.create(result=result, name="values.npy", size=3, sha256=sha256(b"123").hexdigest())
    other = Result.objects.create(job=job(JobState.SUCCEEDED, "c", attempt=1, finished=NOON), attempt=1, folder="two")
    comment = ResultComment.objects.create(result=result, text="Looks good.", person=lab.experimenter)
    mark = PaperMark.objects.create(result=result, paper="Memory 2027", figure="2b", person=lab.experimenter)
    now = timezone.now()
    waiting = Chain.objects.create(session=lab.session, title="To the LFP", user=lab.experimenter)
    failed = Chain.objects.create(
        session=lab.session, title="To the LFP", user=lab.experimenter, state="failed", finished=NOON
    )
    for chain, values in ((waiting, {}), (failed, {"state": "failed", "reason": "There is no signal."})):
        step = ChainStep.objects.create(chain=chain, name="lfp", order=0, pipeline="ephys.lfp", **values)
        ChainSource.objects.create(step=step, order=0, kind="lfp", recording=recording)
    np.savez(Path(settings.LAB_DATA_ROOT) / "units.npz", spike_times=np.arange(6.0), spike_units=[1, 2, 1, 2, 1, 2])
    units = services.register_recording(by=LABORATORY, session=lab.session, kind="units", files=[{"path": "units.npz"}])
    command = register(
        by=LABORATORY, name="first", summary="Does nothing.",
        declaration={
            "argv": ["true"], "inputs": [{"name": "lfp", "kinds": ["lfp"]}], "outputs": [{"name": "a.csv"}],
        },
    )  # fmt: skip
    link, key = share(by=lab.experimenter, result=result)
    return {
        "units": units,
        "clock-fit": ClockFit.objects.create(
            recording=units,
            revision=1,
            reference=recording,
            offset=2.5,
            drift=3e-6,
            origin=1.0,
            result=result,
            user=lab.manager,
        ),
        "unit-labels": label_units(by=lab.experimenter, recording=units, labels={"1": "good"}, base=0),
        "share-link": link,
        "share-key": SimpleNamespace(pk=key),
        "command": command,
        "chain": waiting,
        "chain-ended": failed,
        "job": job(JobState.QUEUED, "b"),
        "job-ended": done,
        "result": result,
        "result-other": other,
        "comment": comment,
        "paper-mark": mark,
        "worker": Worker.objects.create(name="cpu@box", started=now - timedelta(hours=1), seen=now),
    }
