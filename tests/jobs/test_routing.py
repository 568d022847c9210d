"""Jobs go where they are best computed, and never wait for a GPU worker that is gone."""

from __future__ import annotations

import signal
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings
from django.utils import timezone

from analysis.jobs import routing, transitions
from analysis.jobs.models import ENDED, Job, JobState, Worker
from analysis.jobs.sweep import Sweep
from analysis.services import submit
from sessions.errors import Invalid
from sessions.permissions import LABORATORY
from sessions.services import register_recording
from tests.jobs.conftest import pid_at
from tests.methods.conftest import run_laps
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)


def ask(lab, gate, **parameters) -> Job:
    asked = {"folder": str(gate), "wait": False, **parameters}
    return submit(
        user=lab.experimenter, pipeline="test.gate", recordings=[lab.recording.pk], parameters=asked, anew=True
    ).job


def reported(name: str, *queues: str, packages: tuple[str, ...] = (), ago: float = 0.0) -> Worker:
    """The row of a worker that reported a while ago."""
    seen = timezone.now() + timedelta(seconds=60 if not ago else -ago)
    return Worker.objects.create(
        name=name, queues=list(queues), packages=list(packages), slots=1, started=timezone.now(), seen=seen
    )


def swept(job: Job, seconds: float = 60.0) -> Job:
    """Wait until a job has ended while somebody looks after all jobs."""
    sweep = Sweep()

    def look() -> bool:
        sweep()
        job.refresh_from_db()
        return job.state in ENDED

    until(look, seconds)
    return job


def test_a_job_that_gains_from_a_gpu_goes_where_one_is(lab, gate):
    assert ask(lab, gate, gpu=True).queue == "cpu"
    gpu = reported("gpu@test", "gpu")
    assert ask(lab, gate, gpu=True).queue == "gpu"
    assert ask(lab, gate).queue == "cpu"
    Worker.objects.filter(pk=gpu.pk).update(stopped=timezone.now())
    assert ask(lab, gate, gpu=True).queue == "cpu"


def test_a_job_is_refused_while_no_worker_has_what_it_needs(lab, gate):
    """Not while there is no worker at all: one that has it may come."""
    assert ask(lab, gate, package="torch").queue == "cpu"
    reported("cpu@test", "cpu")
    with pytest.raises(Invalid, match="needs PyTorch, which none of the 1 workers has") as refused:
        ask(lab, gate, package="torch")
    assert list(refused.value.errors) == ["parameters.package"]
    gpu = reported("gpu@test", "gpu", packages=("torch",))
    with pytest.raises(Invalid):
        ask(lab, gate, package="torch")
    assert ask(lab, gate, package="torch", gpu=True).queue == "gpu"
    Worker.objects.filter(pk=gpu.pk).update(packages=[])
    reported("other@test", "cpu", packages=("torch",))
    assert ask(lab, gate, package="torch", gpu=True).queue == "cpu"


def test_the_sweep_moves_jobs_from_a_gone_gpu_to_who_can_compute_them(lab, gate):
    gpu = reported("gpu@test", "gpu", packages=("torch",))
    plain, needing = ask(lab, gate, gpu=True), ask(lab, gate, gpu=True, package="torch")
    assert routing.reroute() == 0
    Worker.objects.filter(pk=gpu.pk).update(seen=timezone.now() - timedelta(hours=1))
    assert routing.reroute() == 0
    reported("cpu@test", "cpu")
    assert routing.reroute() == 1
    plain.refresh_from_db()
    assert (plain.queue, plain.sent) == ("cpu", None)
    needing.refresh_from_db()
    assert needing.queue == "gpu"
    reported("other@test", "cpu", packages=("torch",))
    assert routing.reroute() == 1
    running = ask(lab, gate, gpu=True)
    Job.objects.filter(pk=running.pk).update(queue="gpu")
    transitions.claim(job_id=running.pk, worker="gpu@test")
    assert routing.reroute() == 0


def test_decoders_by_networks_ask_for_pytorch_and_permutations_stay_on_the_cpu():
    from analysis.pipelines import registry

    for name, gains in (("decode.position", True), ("stats.permutation", False)):
        pipeline = registry.get(name)
        network, plain = (pipeline.parameters(decoder=decoder) for decoder in ("recurrent", "bayesian"))
        assert pipeline.needs(network) == {"torch": "decoder"}
        assert pipeline.gains_from_gpu(network) is gains
        assert pipeline.needs(plain) == {}
        assert not pipeline.gains_from_gpu(plain)


@pytest.mark.long
def test_real_workers_the_gpu_one_first_and_the_other_when_that_is_killed(lab, gate, workers):
    workers("plain", slots=1)
    gpu = workers("gpu", slots=1, queues="gpu")
    until(lambda: routing.able("gpu", []) and routing.able("cpu", []), 90.0)
    job = ask(lab, gate, gpu=True, wait=True)
    assert job.queue == "gpu"
    pid_at(gate)
    waits = ask(lab, gate, gpu=True)
    assert waits.queue == "gpu"
    gpu.signal(signal.SIGKILL)
    gpu.wait()
    (gate / "go").touch()
    for of in (job, waits):
        swept(of)
        assert (of.state, of.queue, of.worker) == (JobState.SUCCEEDED, "cpu", "plain@test")
    assert job.attempt == 2


@pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch, the extra 'torch', is not installed")
@pytest.mark.long
def test_a_network_learns_on_a_real_worker_that_has_pytorch(lab, workers):
    laps = run_laps(duration=120.0, units=12)
    root = Path(settings.LAB_DATA_ROOT)
    np.savez(root / "units.npz", spike_times=laps.spike_times, spike_units=laps.spike_units)
    np.savez(root / "position.npz", time=laps.time, x=laps.percent * 1.5, y=np.full(laps.time.size, 3.0), unit="cm")
    track = [
        register_recording(
            by=LABORATORY, session=lab.session, kind=kind, files=[{"root": "default", "path": f"{kind}.npz"}], name=kind
        ).pk
        for kind in ("units", "position")
    ]
    # PyTorch's own folder may be one that only this process knows.
    workers("gpu", slots=1, queues="gpu", sites=(Path(find_spec("torch").origin).parents[1],))
    until(lambda: routing.able("gpu", ["torch"]), 90.0)
    asked = {"decoder": "convolutional", "align": "times", "folds": 3, "shifts": 0}
    job = submit(user=lab.experimenter, pipeline="decode.position", recordings=track, parameters=asked).job
    swept(job, 200.0)
    assert (job.state, job.error, job.worker) == (JobState.SUCCEEDED, "", "gpu@test")
    assert job.result.artifacts.filter(name="weights.safetensors").exists()
    assert job.result.metrics["median_error"]["value"] < 30
