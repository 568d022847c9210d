"""What it costs to compute as a job: the same pipeline on the same recording, run by a script and through a worker.

A script is a fresh Python that runs the pipeline; a job goes from the request through Postgres, Redis, a real Celery
worker and the child process to the stored result with its hashes. They take turns, and the medians are compared. The
recording is that of ``voltage``, with its hash known, as it is some minutes after it was registered.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks._voltage_run import GAIN
from benchmarks.voltage import CHANNELS, RATE, write_recording

# It writes gigabytes and takes minutes.
ON_REQUEST = True
ROOT = Path(__file__).resolve().parents[1]
PIPELINE = "ephys.spikes"
TURNS = 3
MOST_PERCENT = 3.0
SCRIPT = """
import json, sys
from pathlib import Path
from analysis.pipelines import registry
from analysis.pipelines.base import InputFile, InputRecording, Run
plan = json.loads(sys.argv[1])
path = Path(plan["path"])
pipeline = registry.get(plan["pipeline"])
recording = InputRecording(
    "script", "ephys", "raw-binary", (InputFile(path, path.stat().st_size),), plan["parameters"], plan["rate"]
)
output = pipeline.run(
    Run((recording,), pipeline.parameters(), 1, Path(plan["folder"]), lambda *_: None, lambda _: None)
)
print(output.metrics["peaks"].value)
"""


def run(seconds: int = 300) -> list[dict[str, Any]]:
    """Return what a job takes beside a script, and the difference in per cent; broken above the promise."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "labsite.settings")
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from django.conf import settings

    root = Path(settings.LAB_DATA_ROOT)
    root.mkdir(parents=True, exist_ok=True)
    path = root / "raw.bin"
    write_recording(path, seconds)
    # Gigabytes still on their way to the disk would hold up what Postgres writes for a job, and not the script.
    os.sync()
    described = {"channels": CHANNELS, "rate": RATE, "dtype": "int16", "gain_to_uV": GAIN}
    recording, user = _registered(path, described)
    scripts, jobs = [], []
    with tempfile.TemporaryDirectory(prefix="labsite-jobs-") as folder, _worker(Path(folder)) as worker:
        plan = {"path": str(path), "pipeline": PIPELINE, "parameters": described, "rate": RATE, "folder": folder}
        _job(user, recording)
        for turn in range(TURNS):
            print(f"  turn {turn + 1} of {TURNS}", file=sys.stderr, flush=True)
            scripts.append(_script(plan))
            jobs.append(_job(user, recording))
        worker.terminate()
    if len({found for _, found in (*scripts, *jobs)}) != 1:
        raise RuntimeError("a job and a script found different numbers of peaks")
    script, job = (statistics.median(taken for taken, _ in turns) for turns in (scripts, jobs))
    percent = (job / script - 1) * 100
    name = f"{PIPELINE}, {seconds} s of {CHANNELS} channels"
    return [
        {
            "name": f"jobs: {name}",
            "value": job,
            "unit": "s",
            "peer": "the same in a script",
            "peer_value": script,
            "ratio": job / script,
        },
        {
            "name": "jobs: what a job adds",
            "value": percent,
            "unit": "%",
            "peer": "promise",
            "peer_value": MOST_PERCENT,
            "ratio": percent / MOST_PERCENT,
            "broken": percent > MOST_PERCENT,
        },
    ]


def _registered(path: Path, described: dict[str, Any]) -> tuple[Any, Any]:
    """Register the file with its hash; returns the recording and who asks for jobs."""
    from django.contrib.auth import get_user_model
    from django.utils import timezone

    from analysis.jobs.inputfiles import sha256_of
    from analysis.jobs.inputs import keep_hashes
    from sessions.models import Project, Session
    from sessions.permissions import LABORATORY
    from sessions.services import register_recording

    user = get_user_model().objects.create_superuser(f"asks {time.time_ns()}")
    project, _ = Project.objects.get_or_create(name="benchmark")
    recording = register_recording(
        by=LABORATORY,
        session=Session.objects.create(project=project, start=timezone.now()),
        kind="ephys",
        format="raw-binary",
        rate=RATE,
        channels=CHANNELS,
        parameters=described,
        files=[{"root": "default", "path": path.name}],
    )
    keep_hashes({str(recording.files.get().pk): sha256_of(path)})
    return recording, user


def _worker(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "celery", "-A", "labsite.celery", "worker", "-Q", "cpu", "--pool", "threads"]
    with (folder / "worker.log").open("wb") as log:
        return subprocess.Popen(
            [*command, "-c", "2", "--without-gossip", "--without-mingle"], cwd=ROOT, stdout=log, stderr=log
        )


def _script(plan: dict[str, Any]) -> tuple[float, int]:
    """Run the pipeline in a fresh Python; returns the seconds and how many peaks it found."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(plan)], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    return time.perf_counter() - began, int(done.stdout)


def _job(user: Any, recording: Any) -> tuple[float, int]:
    """Ask for the job anew and wait for its end; returns the seconds from request to result, and the peaks."""
    from analysis.jobs.models import JobState
    from analysis.services import submit

    began = time.perf_counter()
    job = submit(user=user, pipeline=PIPELINE, recordings=[recording.pk], anew=True).job
    while job.finished is None:
        time.sleep(0.02)
        job.refresh_from_db()
    taken = time.perf_counter() - began
    if job.state != JobState.SUCCEEDED:
        raise RuntimeError(f"the job is {job.state}: {job.error}")
    return taken, int(job.result.metrics["peaks"]["value"])
