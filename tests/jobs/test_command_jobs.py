"""Commands through real workers: what they leave becomes a result, and nothing of them stays when they are ended."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from django.test import Client

from analysis.chains import services as chains
from analysis.chains.models import Chain
from analysis.commands import services
from analysis.commands.admin import EXAMPLE
from analysis.commands.declared import declared
from analysis.commands.models import Command
from analysis.jobs.models import JobState
from analysis.selectors import methods_text, metrics
from analysis.services import cancel, submit
from tests.jobs.conftest import alive, ended, pid_at, ready
from tests.waiting import until

pytestmark = pytest.mark.django_db(transaction=True)

COUNT = """
import json, sys
import numpy as np
path, threshold, table, numbers = sys.argv[1:]
values = np.load(path)["lfp"].ravel()
print("%progress 50 counting")
print(values.size, "samples")
above = np.flatnonzero(values > float(threshold))
with open(table, "w") as file:
    file.write("time,kind\\n" + "".join(f"{n / 1000},above\\n" for n in above[:5]))
told = {"value": int(above.size), "unit": "1", "label": "samples above", "headline": True}
json.dump({"above": told}, open(numbers, "w"))
"""
SHELL = """#!/bin/sh
set -eu
printf '%s\\n' "$1" > note.txt
wc -c < "$2" > "$3"
echo "wrote $3"
"""
# It starts a process, which starts another, and both would sleep on.
WAITS = """#!/bin/sh
sh -c 'sleep 300 & echo $! > "$0/started-$!"; wait' "$1" &
wait
"""
# It ends at once and leaves a process behind.
LEAVES_ONE = """#!/bin/sh
sleep 300 &
echo $! > "$1/started-$!"
echo done > "$2"
"""
# It puts a process into a session of its own, out of the group of the job.
DETACHES = """#!/bin/sh
setsid sh -c 'echo $$ > "$0/started-$$"; exec sleep 300' "$1" < /dev/null > /dev/null 2>&1 &
while [ -z "$(ls "$1")" ]; do sleep 0.05; done
echo done > "$2"
"""


@pytest.fixture
def command(lab, tmp_path):
    """Register a script as a command: ``command(text, argv...)``; returns its path."""

    def register(text: str, *argv: str, queue: str = "cpu", **more) -> Path:
        script = tmp_path / "script"
        script.write_text(text)
        script.chmod(0o755)
        program = [str(script)] if text.startswith("#!") else [sys.executable, str(script)]
        stated = {
            "argv": [*program, *argv],
            "inputs": [{"name": "lfp", "kinds": ["lfp"]}],
            "outputs": [{"name": "out.txt", "required": False}],
            "timeout": 60,
            **more,
        }
        services.register(by=lab.administrator, name="own", summary="A script.", declaration=stated, queue=queue)
        return script

    return register


def queue(lab, **parameters):
    return submit(
        user=lab.experimenter, pipeline="command.own", recordings=[lab.recording.pk], parameters=parameters
    ).job


def test_what_a_python_script_leaves_is_a_result_with_its_provenance(lab, worker, command):
    script = command(
        COUNT, "{input.lfp}", "{param.threshold}", "{output.above.csv}", "{output.numbers.json}",
        queue="shared",
        outputs=[
            {"name": "above.csv", "kind": "events", "format": "csv"}, {"name": "numbers.json", "kind": "numbers"},
        ],
        parameters=[{"name": "threshold", "kind": "number", "unit": "mV", "summary": "Least value.", "default": 0.5}],
    )  # fmt: skip
    job = ended(queue(lab, threshold=0.25), 120)
    assert (job.state, job.error) == (JobState.SUCCEEDED, "")
    assert "1000 samples" in job.log
    assert metrics(job.result)["above"]["value"] == 1000
    onsets = job.result.derived.get()
    assert (onsets.kind, onsets.format) == ("events", "csv")
    ran = job.result.provenance["environment"]["command"]
    assert (ran["name"], ran["version"]) == ("command.own", "1")
    assert ran["argv"][1] == str(script)
    assert ran["argv"][3] == "0.25"
    assert ran["files"][str(script)] == hashlib.sha256(script.read_bytes()).hexdigest()
    assert "with command.own 1" in methods_text(job.result)
    assert "least value: 0.25 mV" in methods_text(job.result)
    browse = Client()
    browse.force_login(lab.viewer)
    page = browse.get(f"/results/{job.result.pk}/").content.decode()
    assert ran["files"][str(script)][:16] in page
    assert str(script) in page


@pytest.mark.long
def test_a_shell_script_in_a_chain_takes_a_text_as_one_word(lab, workers, command):
    command(
        SHELL, "{param.note}", "{input.lfp}", "{output.out.txt}",
        outputs=[{"name": "note.txt"}, {"name": "out.txt"}],
        parameters=[{"name": "note", "kind": "text", "summary": "What is noted.", "pattern": ".*"}],
    )  # fmt: skip
    ready(workers())
    note = "$(touch there); `touch there` | cat > there"
    steps = [
        {"name": "own", "pipeline": "command.own", "inputs": [{"kind": "lfp"}], "parameters": {"note": note}},
        {"name": "mean", "pipeline": "test.mean", "inputs": [{"kind": "lfp"}]},
    ]
    (chain,) = chains.start(user=lab.experimenter, sessions=[lab.session.pk], steps=steps)
    until(lambda: Chain.objects.get(pk=chain.pk).finished, 60)
    job = chain.steps.get(name="own").job
    assert (job.state, job.error) == (JobState.SUCCEEDED, "")
    assert "wrote " in job.log
    browse = Client()
    browse.force_login(lab.viewer)
    left = b"".join(browse.get(f"/api/v1/results/{job.result.pk}/artifacts/note.txt").streaming_content)
    assert left == f"{note}\n".encode()


@pytest.mark.long
@pytest.mark.parametrize("how", ["cancel", "timeout", "kill -9 of the worker"])
def test_a_command_that_is_ended_takes_what_it_started_along(lab, workers, command, gate, how):
    command(WAITS, str(gate), timeout=2 if how == "timeout" else 60)
    worker = ready(workers())
    job = queue(lab)
    grandchild = pid_at(gate)
    assert alive(grandchild)
    if how == "cancel":
        cancel(user=lab.experimenter, job=job)
    elif how == "kill -9 of the worker":
        worker.process.kill()
        until(lambda: not alive(grandchild), 20)
        return
    ended(job)
    assert job.state == (JobState.CANCELLED if how == "cancel" else JobState.FAILED)
    if how == "timeout":
        assert "ran longer than the 2 s that it may, and was ended" in job.error
    until(lambda: not alive(grandchild), 20)


@pytest.mark.long
def test_what_a_command_leaves_running_is_ended_before_its_files_are_taken(lab, workers, command, gate):
    command(LEAVES_ONE, str(gate), "{output.out.txt}")
    ready(workers())
    job = ended(queue(lab), 60)
    assert (job.state, job.error) == (JobState.SUCCEEDED, "")
    assert not alive(pid_at(gate))


@pytest.mark.long
def test_what_leaves_its_group_outlives_the_job_as_the_document_says(lab, workers, command, gate):
    command(DETACHES, str(gate), "{output.out.txt}")
    ready(workers())
    job = ended(queue(lab), 60)
    detached = pid_at(gate)
    try:
        assert (job.state, job.error) == (JobState.SUCCEEDED, "")
        assert alive(detached)
        assert "setsid" in (Path(__file__).resolve().parents[2] / "docs" / "commands.md").read_text()
    finally:
        os.kill(detached, signal.SIGKILL)


@pytest.mark.long
def test_a_command_that_is_taken_out_of_use_runs_no_job_that_waited(lab, workers, command):
    command(SHELL, "{input.lfp}")
    job = queue(lab)
    services.retire(by=lab.administrator, command=Command.objects.get())
    ready(workers())
    ended(job, 60)
    assert (job.state, job.error) == (
        JobState.FAILED, "The command command.own 1 was taken out of use by an administrator.",
    )  # fmt: skip


def test_the_examples_of_the_document_are_sound():
    text = (Path(__file__).resolve().parents[2] / "docs" / "commands.md").read_text()
    blocks = [block.partition("\n```")[0] for block in text.split("```json\n")[1:]]
    assert len(blocks) >= 2
    for block in blocks:
        assert declared(json.loads(block)).argv
    assert declared(EXAMPLE)
