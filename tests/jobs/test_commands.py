"""Programs of the server as steps: what an administrator declares, and what a declaration cannot be made to do."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.db.utils import ProgrammingError
from pydantic import ValidationError

from analysis import offered
from analysis.commands import selectors, services
from analysis.commands.declared import declared, filled, number_text
from analysis.commands.models import Command
from analysis.commands.running import CommandPipeline
from analysis.jobs.models import Job, Result
from analysis.pipelines.base import InputFile, InputRecording, PipelineError, Run
from analysis.services import reproduce, submit
from sessions.errors import Conflict, Forbidden, Invalid

SCRIPT = """
import json, os, sys
print("reads", sys.argv[1])
step = json.load(open(os.environ["LAB_STEP"]))
out = dict(argv=sys.argv[1:], environment=dict(os.environ), folder=os.getcwd(), step=step)
json.dump(out, open(sys.argv[-1], "w"))
"""
NASTY = (
    "; rm -rf {there}/..", "$(touch {there})", "`touch {there}`", "| touch {there}", "&& touch {there}", "> {there}",
    "' $HOME *", '" & "', "../../etc/passwd", "%s%n", "{seed}",
)  # fmt: skip
REFUSED = ("-rf", "--output=/etc/passwd", "one\ntwo", "one\rtwo", "nul\0", "bell\7")


def declaration(*argv: str, **more) -> dict:
    return {
        "argv": [sys.executable, *argv],
        "inputs": [{"name": "lfp", "kinds": ["lfp"], "summary": "What is read."}],
        "outputs": [{"name": "said.json"}],
        "timeout": 20,
        **more,
    }


@pytest.fixture
def script(tmp_path) -> Path:
    path = tmp_path / "say.py"
    path.write_text(SCRIPT)
    return path


def command(stated: dict, files: dict | None = None, heard: list | None = None) -> CommandPipeline:
    whole = {"name": "command.say", "version": "1", "summary": "Says it.", "queue": "cpu"}
    tell = heard.append if heard is not None else lambda _: None
    return CommandPipeline({**whole, "declaration": stated, "files": files or {}}, tell)


def run(pipeline: CommandPipeline, folder: Path, *files: Path, log: list | None = None, **parameters):
    made = folder / "made"
    made.mkdir()
    inputs = tuple(InputFile(path, 0) for path in files or (folder / "lfp.npz",))
    recording = InputRecording("id", "lfp", "lfp-npz", inputs, {"unit": "mV"}, 1000.0)
    logged = log.append if log is not None else lambda _: None
    checked = pipeline.parameters.model_validate(parameters)
    return pipeline.run(Run((recording,), checked, 7, made, lambda *_: None, logged)), made


def text_parameter(**more) -> dict:
    return {"name": "note", "kind": "text", "summary": "What is noted.", **more}


def test_the_program_gets_paths_and_values_as_arguments_and_nothing_of_the_server(script, tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_SECRET_KEY", "opens-all-doors")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-somebody")
    heard, log = [], []
    stated = declaration(
        str(script), "{input.lfp}", "--threshold={param.threshold}", "{seed}", "{output.said.json}",
        parameters=[{"name": "threshold", "kind": "number", "unit": "Hz", "summary": "Least rate.", "default": 2}],
        environment={"R_LIBS_USER": "/srv/r"},
    )  # fmt: skip
    output, made = run(command(stated, heard=heard), tmp_path, log=log, threshold=-0.5)
    assert output.artifacts == ["said.json"]
    said = json.loads((made / "said.json").read_text())
    assert said["argv"] == [str(tmp_path / "lfp.npz"), "--threshold=-0.5", "7", str(made / "said.json")]
    assert said["folder"] == str(made)
    assert "opens-all-doors" not in json.dumps(said)
    assert "of-somebody" not in json.dumps(said)
    assert said["environment"]["R_LIBS_USER"] == "/srv/r"
    assert said["environment"]["HOME"].startswith(str(made))
    assert said["step"]["inputs"]["lfp"][0]["rate"] == 1000.0
    assert said["step"]["parameters"] == {"threshold": -0.5}
    assert f"reads {tmp_path / 'lfp.npz'}" in log
    (told,) = heard
    assert told["argv"][1:] == [str(script), *said["argv"]]
    assert set(told["files"]) == {sys.executable, str(script)}


@pytest.mark.parametrize("nasty", NASTY)
def test_what_a_shell_would_run_is_one_argument(script, tmp_path, nasty):
    there = tmp_path / "there"
    text = nasty.replace("{there}", str(there))
    # The widest pattern that an administrator can write.
    stated = declaration(str(script), "{param.note}", "{output.said.json}", parameters=[text_parameter(pattern=".*")])
    _, made = run(command(stated), tmp_path, note=text)
    assert json.loads((made / "said.json").read_text())["argv"][0] == text
    assert not there.exists()


@pytest.mark.parametrize("text", REFUSED)
def test_a_text_that_is_an_option_or_no_line_is_refused_whatever_its_pattern(text):
    pipeline = command(declaration("a.py", "{param.note}", parameters=[text_parameter(pattern="(?s).*")]))
    with pytest.raises(ValidationError, match=r"begins with a hyphen|one line"):
        pipeline.parameters.model_validate({"note": text})


def test_a_text_has_no_shell_characters_where_nothing_else_was_declared():
    pipeline = command(declaration("a.py", "{param.note}", parameters=[text_parameter(longest=12)]))
    assert pipeline.parameters.model_validate({"note": "CA1, left"}).note == "CA1, left"
    for text in ("a;b", "$(a)", "a/b", "a|b", "`a`", "a'b", "thirteen char"):
        with pytest.raises(ValidationError):
            pipeline.parameters.model_validate({"note": text})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"argv": []}, "argv"),
        ({"argv": ["{param.note}"]}, "must stand for itself"),
        ({"argv": ["bin/tool"]}, "by its whole path, or by its name alone"),
        ({"argv": ["tool", "{param.other}"]}, r"\{param.other\} is nothing that was declared"),
        ({"argv": ["tool", "{0.__class__}"]}, "is nothing that was declared"),
        ({"argv": ["tool", "{seed!r}"]}, "may have nothing beside its name"),
        ({"argv": ["tool", "{seed:>9}"]}, "may have nothing beside its name"),
        ({"argv": ["tool", "{seed"]}, "a brace that is meant as such is written twice"),
        ({"argv": ["/bin/sh", "-c", "cat {input.lfp}"]}, "stands in code"),
        ({"argv": ["/bin/bash", "-lc", "echo {param.note}"]}, "stands in code"),
        ({"argv": ["/usr/bin/env", "python3.11", "-c", "print('{param.note}')"]}, "stands in code"),
        ({"argv": ["matlab", "-batch", "f('{input.lfp}')"]}, "stands in code"),
        ({"argv": ["Rscript", "-e", "f('{param.note}')"]}, "stands in code"),
        ({"outputs": [{"name": "../passwd"}]}, "no name of a file"),
        ({"outputs": [{"name": "/etc/passwd"}]}, "no name of a file"),
        ({"outputs": [{"name": ".step.json"}]}, "no name of a file"),
        ({"outputs": [{"name": "a/b"}]}, "no name of a file"),
        ({"outputs": [{"name": "-rf"}]}, "no name of a file"),
        ({"outputs": [{"name": "a\nb"}]}, "no name of a file"),
        ({"outputs": [{"name": "a.csv"}, {"name": "a.csv"}]}, "named twice"),
        ({"outputs": [{"name": "a.csv", "kind": "smell", "format": "csv"}]}, "there is no kind smell"),
        ({"outputs": [{"name": "a.csv", "kind": "events"}]}, "needs its format"),
        ({"inputs": [{"name": "lfp", "kinds": ["smell"]}]}, "There is no kind smell"),
        ({"inputs": [{"name": "lfp", "kinds": ["lfp"], "minimum": 0}]}, "at least one recording"),
        ({"parameters": [text_parameter() | {"name": "model_note"}]}, "no name here"),
        ({"parameters": [text_parameter() | {"name": "note;"}]}, "no name here"),
        ({"parameters": [text_parameter(pattern="(")]}, "pattern of note cannot be read"),
        ({"parameters": [text_parameter(default="-x")]}, "default of note does not fit"),
        ({"parameters": [{"name": "note", "kind": "number", "summary": "How many."}]}, "a number without a unit"),
        ({"parameters": [{"name": "note", "kind": "choice", "summary": "Which."}]}, "must name its choices"),
        ({"parameters": [{"name": "note", "kind": "choice", "summary": "Which.", "choices": ["-x"]}]}, "hyphen"),
        ({"environment": {"LAB_SECRET_KEY": "x"}}, "no variable that a command may be given"),
        ({"environment": {"A=B": "x"}}, "no variable that a command may be given"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"shell": True}, "shell"),
    ],
)
def test_a_declaration_that_could_do_more_than_it_says_is_refused(change, words):
    stated = declaration("a.py", "{param.note}", parameters=[text_parameter()])
    assert declared(copy.deepcopy(stated))
    with pytest.raises(ValueError, match=words):
        declared({**stated, **change})


def test_a_mapping_is_filled_in_once_and_never_read_again():
    assert filled("--a={param.a} {{b}}", {"param.a": "{seed}"}) == "--a={seed} {b}"
    assert (number_text(0.1), number_text(3), number_text(1e-7)) == ("0.1", "3", "1e-07")


def test_each_file_of_an_input_is_an_argument_and_an_input_that_is_missing_none(script, tmp_path):
    stated = declaration(str(script), "{input.lfp}", "{input.map}", "--map={input.map}", "{output.said.json}")
    stated["inputs"] = [*stated["inputs"], {"name": "map", "kinds": ["position"], "minimum": 0}]
    _, made = run(command(stated), tmp_path, tmp_path / "a.dat", tmp_path / "b.dat")
    said = json.loads((made / "said.json").read_text())["argv"]
    assert said == [str(tmp_path / "a.dat"), str(tmp_path / "b.dat"), str(made / "said.json")]
    stated["argv"] = [*stated["argv"][:2], "--in={input.lfp}", "{output.said.json}"]
    (tmp_path / "again").mkdir()
    with pytest.raises(PipelineError, match=r"is 2 files, and the command command.say puts one into an argument"):
        run(command(stated), tmp_path / "again", tmp_path / "a.dat", tmp_path / "b.dat")


LEAVES = {
    "nothing": ("pass", "left no file said.json"),
    "a link": ("os.symlink('/etc/hostname', out)", "only a plain file is taken"),
    "a second name": ("open('a', 'w'); os.link('a', out)", "only a plain file is taken"),
    "a folder": ("os.mkdir(out)", "only a plain file is taken"),
    "a pipe": ("os.mkfifo(out)", "only a plain file is taken"),
    "too much": ("open(out, 'wb').write(b'x' * 20000)", "wrote a larger file than it may"),
    "another folder": (
        "own = os.getcwd(); os.rename(own, own + '-old'); os.symlink('/etc', own)",
        "put another folder in the place of its own",
    ),
    "an error": ("print('no spikes'); sys.exit(3)", "ended with status 3. It said last: no spikes"),
    "a crash": ("os.kill(os.getpid(), 11)", "ended by SIGSEGV. It said nothing"),
    "no end": ("import time; print('waits', flush=True); time.sleep(60)", "ran longer than the 1 s that it may"),
    "bad numbers": ("open(out, 'w').write('[1]')", "is no JSON of numbers"),
    "bad numbers, NUL": (r"""open(out, 'w').write(r'{"a\u0000": 1}')""", "a character that is no text"),
    "bad numbers, half a letter": (
        r"""open(out, 'w').write(r'{"a": {"value": 1, "label": "\ud800"}}')""", "a character that is no text",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", LEAVES)
def test_what_a_program_leaves_is_judged(tmp_path, what):
    body, words = LEAVES[what]
    path = tmp_path / "leave.py"
    path.write_text(f"import os, sys\nout = sys.argv[1]\n{body}\n")
    stated = declaration(str(path), "{output.said.json}", largest=10_000)
    stated["outputs"] = [{"name": "said.json", "kind": "numbers" if what.startswith("bad numbers") else ""}]
    if what == "no end":
        stated["timeout"] = 1
    if what == "too much":
        # Python ignores the signal that the kernel sends, and hears an error instead.
        path.write_text(f"import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_DFL)\n{path.read_text()}")
    with pytest.raises(PipelineError, match=words):
        run(command(stated), tmp_path)


def test_a_flood_of_words_is_bounded_and_its_end_is_kept(tmp_path):
    path = tmp_path / "flood.py"
    path.write_text("import sys\nfor n in range(200_000): print('line', n)\nopen(sys.argv[1], 'w')\n")
    log: list[str] = []
    run(command(declaration(str(path), "{output.said.json}")), tmp_path, log=log)
    assert len(log) < 5_100
    assert "lines left out" in log[-6]
    assert log[-1] == "line 199999"


def test_a_program_that_is_not_there_or_was_changed_is_not_run(script, tmp_path):
    with pytest.raises(PipelineError, match="no program /nowhere/tool on this machine"):
        run(command({**declaration("a"), "argv": ["/nowhere/tool"]}), tmp_path)
    changed = command(declaration(str(script), "{output.said.json}"), files={str(script): "0" * 64})
    (tmp_path / "again").mkdir()
    with pytest.raises(PipelineError, match=r"say.py has changed since command.say 1 was registered"):
        run(changed, tmp_path / "again")


@pytest.mark.django_db
def test_a_change_is_a_new_version_and_what_was_registered_stays(lab, script):
    asked = {"name": "say", "summary": "Says it.", "declaration": declaration(str(script), "{output.said.json}")}
    with pytest.raises(Forbidden):
        services.register(by=lab.manager, **asked)
    first = services.register(by=lab.administrator, **asked)
    assert (first.pipeline, first.version, set(first.files)) == ("command.say", 1, {str(script)})
    with pytest.raises(Conflict, match="is just this already"):
        services.register(by=lab.administrator, **asked)
    script.write_text(SCRIPT + "# changed\n")
    second = services.register(by=lab.administrator, **asked)
    assert second.version == 2
    assert second.files != first.files
    assert offered.get("command.say").version == "2"
    assert offered.known("command.say", "1").version == "1"
    for sql in (
        "UPDATE analysis_command SET declaration = '{}' WHERE version = 1",
        "UPDATE analysis_command SET version = 3 WHERE version = 1",
        "DELETE FROM analysis_command",
    ):
        with (
            pytest.raises(ProgrammingError, match=r"Cannot (update|delete) rows"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(sql)
    services.retire(by=lab.administrator, command=second)
    with pytest.raises(LookupError):
        offered.get("command.say")
    assert "command.say" not in offered.all_pipelines()
    services.bring_back(by=lab.administrator, command=second)
    assert offered.get("command.say").version == "2"
    assert [row.pgh_label for row in second.history.order_by("pgh_id")] == ["insert", "update", "update"]


@pytest.mark.django_db
def test_over_rest_and_in_the_admin_what_is_wrong_is_told_at_its_field(client, lab, script):
    client.force_login(lab.administrator)
    body = {"name": "say", "summary": "Says it.", "declaration": declaration(str(script), "{output.said.json}")}
    made = client.post("/api/v1/commands/", body, content_type="application/json")
    assert (made.status_code, made.json()["pipeline"], made.json()["version"]) == (201, "command.say", 1)
    assert client.post("/api/v1/commands/", body, content_type="application/json").status_code == 409
    body["declaration"]["argv"] = ["sh", "-c", "{input.lfp}"]
    wrong = client.post("/api/v1/commands/", body, content_type="application/json")
    assert wrong.status_code == 400
    assert "stands in code" in wrong.json()["errors"]["declaration"][0]
    page = client.get("/admin/analysis/command/add/?name=say").content.decode()
    assert str(script) in page
    form = {"name": "say", "summary": "Says it.", "queue": "cpu", "declaration": json.dumps(body["declaration"])}
    assert "stands in code" in client.post("/admin/analysis/command/add/", form).content.decode()
    form["declaration"] = json.dumps(declaration(str(script), "{output.said.json}", timeout=5))
    assert client.post("/admin/analysis/command/add/", form).status_code == 302
    second = Command.objects.get(version=2)
    assert (second.created_by, second.declaration["timeout"]) == (lab.administrator, 5)
    shown = client.get(f"/admin/analysis/command/{second.pk}/change/").content.decode()
    assert str(script) in shown
    client.post("/admin/analysis/command/", {"action": "retire", "_selected_action": [str(second.pk)]})
    second.refresh_from_db()
    assert second.retired is not None
    client.force_login(lab.viewer)
    listed = client.get("/pipelines/").content.decode()
    assert 'id="command.say"' not in listed
    services.bring_back(by=lab.administrator, command=second)
    listed = client.get("/pipelines/").content.decode()
    assert 'id="command.say"' in listed
    assert "command registered by administrator" in listed
    assert "say.py {output.said.json}" in listed
    assert str(script) not in listed
    assert selectors.find("command.say", "9") is None


@pytest.mark.django_db
def test_the_form_of_a_command_has_its_parameters_with_unit_and_range(client, lab, script):
    number = {"name": "threshold", "kind": "number", "unit": "Hz", "summary": "Least rate.", "default": 2, "most": 9}
    stated = declaration(str(script), "{param.threshold}", "{output.said.json}", parameters=[number])
    services.register(by=lab.administrator, name="say", summary="Says it.", declaration=stated)
    client.force_login(lab.experimenter)
    page = client.get("/jobs/new/?pipeline=command.say").content.decode()
    assert 'name="p.threshold" value="2"' in page
    assert 'max="9"' in page
    assert '<span class="unit">Hz</span>' in page
    asked = {"pipeline": "command.say", "recordings": [str(lab.recording.pk)], "parameters": {"threshold": 10}}
    refused = client.post("/api/v1/jobs/", asked, content_type="application/json")
    assert refused.json()["errors"] == {"parameters.threshold": ["Write at most 9.0."]}
    asked["parameters"]["threshold"] = 3
    assert client.post("/api/v1/jobs/", asked, content_type="application/json").status_code == 201


def test_names_and_numbers_of_a_command_that_are_none_are_told():
    wrong = (("Say", "x", "cpu", "name"), ("say", " ", "cpu", "summary"), ("say", "x", "", "queue"))
    for name, summary, queue, field in wrong:
        with pytest.raises(Invalid) as told:
            services.check(name=name, summary=summary, declaration={}, queue=queue)
        assert set(told.value.errors) == {field}


@pytest.mark.django_db
def test_reproduce_queues_the_version_that_made_the_result_and_says_when_it_may_not(client, lab, script):
    asked = {"name": "say", "summary": "Says it."}
    stated = declaration(str(script), "{output.said.json}")
    first = services.register(by=lab.administrator, **asked, declaration=stated)
    job = submit(user=lab.experimenter, pipeline="command.say", recordings=[lab.recording.pk]).job
    Job.objects.filter(pk=job.pk).update(state="succeeded", progress=1, started=job.created, finished=job.created)
    result = Result.objects.create(job=job, attempt=1)
    services.register(by=lab.administrator, **asked, declaration={**stated, "timeout": 5})
    assert submit(user=lab.experimenter, pipeline="command.say", recordings=[lab.recording.pk]).job.version == "2"
    again = reproduce(user=lab.experimenter, result=result).job
    assert (again.version, again.reproduces) == ("1", result)
    services.retire(by=lab.administrator, command=first)
    client.force_login(lab.experimenter)
    refused = client.post(f"/api/v1/results/{result.pk}/reproduce/")
    assert refused.status_code == 400
    assert refused.json()["errors"]["pipeline"] == ["command.say 1 was taken out of use by an administrator."]
