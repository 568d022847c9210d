"""A laboratory's own package: what the document says, word by word, is installed and computes in a worker."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings
from django.test import Client

from analysis.chains import services as chains
from analysis.chains.models import Chain
from analysis.jobs.child import FAILED, own_code
from analysis.jobs.models import JobState
from analysis.pipelines import registry
from analysis.selectors import methods_text, metrics
from analysis.services import submit
from sessions.permissions import LABORATORY
from sessions.services import register_recording
from tests.jobs.conftest import ended, ready
from tests.methods.running import recording, run_pipeline
from tests.waiting import until

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "own_steps.md"
NAMED_BLOCK = re.compile(r"^`(?P<name>[\w/.-]+)`\n\n```\w+\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
BROKEN = """[labsite.pipelines]
theirs.absent = theirs_absent:step
theirs.json = json:JSONDecoder
theirs.track = analysis.pipelines.video_track:VideoTrack
"""


def files_of_the_document(folder: Path) -> Path:
    """Write the files that the document shows; return the folder of the package."""
    shown = {found["name"]: found["text"] for found in NAMED_BLOCK.finditer(DOCUMENT.read_text())}
    assert set(shown) == {"ourlab-steps/pyproject.toml", "ourlab-steps/ourlab_steps.py"}
    for name, text in shown.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder / "ourlab-steps"


def announce(site: Path, name: str, entries: str) -> None:
    """Leave in a folder what pip leaves of an installed package: its entry points."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entries)


@pytest.fixture
def site(tmp_path, monkeypatch) -> Path:
    """A folder of packages of this process."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    registry.found.cache_clear()
    yield folder
    registry.found.cache_clear()
    sys.modules.pop("ourlab_steps", None)


@pytest.fixture
def bursting() -> dict[str, np.ndarray]:
    """Two units: one with 3 bursts of 4 spikes and 8 lone spikes, one with 10 lone spikes."""
    bursts = (np.array([1.0, 5.0, 9.0])[:, None] + np.arange(4) * 0.004).ravel()
    lone = np.arange(20.0, 28.0)
    times = np.concatenate([bursts, lone, np.arange(40.0, 50.0)])
    return {"spike_times": times, "spike_units": np.repeat([0, 1], [20, 10])}


def test_the_step_of_the_document_finds_the_bursts_there_are(tmp_path, site, bursting):
    package = files_of_the_document(tmp_path)
    announce(site, "ourlab-steps", '[labsite.pipelines]\n"spikes.bursts" = "ourlab_steps:bursts"\n'.replace('"', ""))
    (site / "ourlab_steps.py").write_text((package / "ourlab_steps.py").read_text())
    registry.found.cache_clear()
    assert registry.broken() == ()
    np.savez(tmp_path / "units.npz", **bursting)
    units = recording("units", "units-npz", tmp_path / "units.npz")
    output, heard = run_pipeline("spikes.bursts", tmp_path / "made", units)
    assert output.metrics["bursts"].value == 3
    assert output.metrics["share"].value == pytest.approx(100 * 12 / 30)
    assert (tmp_path / "made" / "onsets.csv").read_text().split()[:2] == ["time,kind", "1.0,burst"]
    assert heard.progress == [0.0, 0.5]
    said = own_code(registry.origin("spikes.bursts"), registry.get("spikes.bursts"))["own_code"]
    assert said == {
        "package": "ourlab-steps",
        "version": "1.0",
        "target": "ourlab_steps:bursts",
        "sha256": hashlib.sha256((site / "ourlab_steps.py").read_bytes()).hexdigest(),
    }
    assert own_code(registry.origin("video.track"), registry.get("video.track")) == {}


@pytest.mark.django_db
def test_the_page_lists_every_pipeline_and_what_cannot_be_used_with_its_reason(client, lab, site):
    announce(site, "theirs", BROKEN)
    registry.found.cache_clear()
    client.force_login(lab.viewer)
    page = " ".join(client.get("/pipelines/").content.decode().split())
    for name, offer in registry.found().offers.items():
        assert f'id="{name}"' in page
        assert offer.pipeline.version in page
    assert "ourlab-pipelines 1.0" in page
    assert "Samples of so long are averaged." in page
    assert "1 to 2 lfp" in page
    reasons = page.partition("Cannot be used")[2].partition("</section>")[0]
    assert "ModuleNotFoundError: No module named &#x27;theirs_absent&#x27;" in reasons
    assert "<b>theirs.json</b>" in reasons
    assert "neither a function with @step nor a subclass of Pipeline" in reasons
    assert "Its name video.track is taken by labsite" in reasons
    assert client.get("/jobs/new/?pipeline=video.track").status_code == 200
    told = {row["name"]: row["origin"] for row in client.get("/api/v1/pipelines/").json()}
    assert told["test.mean"] == "ourlab-pipelines 1.0"
    assert told["video.track"].startswith("labsite")


def test_a_package_that_was_changed_since_its_worker_started_computes_nothing(tmp_path, place):
    # The worker still has the version that it found when it started; the process that computes looks anew.
    spec = {"pipeline": "test.mean", "version": "0.9", "parameters": {}, "seed": 1, "recordings": [], "command": None}
    (tmp_path / "job.json").write_text(json.dumps(spec))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(place / "site"), str(DOCUMENT.parents[1])])}
    child = subprocess.Popen(
        [sys.executable, "-m", "analysis.jobs.child", str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )
    assert child.wait(60) == FAILED
    child.stdin.close()
    told = json.loads((tmp_path / "failure.json").read_text())["error"]
    assert told.startswith("The job is for test.mean 0.9, and what is installed now is 1.0:")


@pytest.mark.long
@pytest.mark.django_db(transaction=True)
def test_the_package_of_the_document_is_installed_and_computes_in_a_worker(lab, workers, site, tmp_path, bursting):
    package = files_of_the_document(tmp_path)
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation",
            "--disable-pip-version-check", "--target", str(site), str(package),
        ],
        check=True,
    )  # fmt: skip
    announce(site, "theirs", BROKEN)
    registry.found.cache_clear()
    assert len(registry.broken()) == 3
    np.savez(settings.LAB_DATA_ROOT / "bursting.npz", **bursting)
    units = register_recording(
        by=LABORATORY, session=lab.session, kind="units", files=[{"root": "default", "path": "bursting.npz"}], name="A"
    )
    ready(workers("own", sites=(site,)))

    job = ended(
        submit(user=lab.experimenter, pipeline="spikes.bursts", recordings=[units.pk], parameters={"gap": 0.02}).job,
        120,
    )
    assert (job.state, job.error) == (JobState.SUCCEEDED, "")
    found = metrics(job.result)
    assert (found["bursts"]["value"], found["share"]["unit"]) == (3, "%")
    assert [figure["name"] for figure in job.result.figures] == ["sizes"]
    assert job.result.artifacts.get().name == "bursts.csv"
    onsets = job.result.derived.get()
    assert (onsets.kind, onsets.format, list(onsets.derived_from.all())) == ("events", "csv", [units])
    source = hashlib.sha256((package / "ourlab_steps.py").read_bytes()).hexdigest()
    assert job.result.provenance["environment"]["own_code"]["sha256"] == source
    assert job.result.provenance["environment"]["packages"]["ourlab-steps"] == "1.0.0"
    told = methods_text(job.result)
    assert f"with spikes.bursts 1.0.0 of ourlab-steps 1.0.0 (SHA-256 {source[:12]}), run by Labsite" in told
    page = Client()
    page.force_login(lab.viewer)
    assert source[:16] in page.get(f"/results/{job.result.pk}/").content.decode()

    steps = [
        {"name": "bursts", "pipeline": "spikes.bursts", "inputs": [{"kind": "units"}], "parameters": {"least": 4}},
        {"name": "smooth", "pipeline": "test.mean", "inputs": [{"kind": "lfp"}]},
    ]
    (chain,) = chains.start(user=lab.experimenter, sessions=[lab.session.pk], steps=steps)
    until(lambda: Chain.objects.get(pk=chain.pk).finished, 60)
    assert Chain.objects.get(pk=chain.pk).state == "succeeded"
    assert metrics(chain.steps.get(name="bursts").job.result)["bursts"]["value"] == 3
