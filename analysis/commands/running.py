"""A command that an administrator registered, run as a pipeline: files in, files out, no shell.

It runs in the process group of the job, so that a cancel and a worker's death end it with all that it started; its
environment is made anew and holds nothing of the server's. What it prints is the job's log. Only files that it declared
are taken, and only as plain files of its own folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from analysis.commands.declared import NUMBERS, Declaration, DeclaredOutput, declared, filled, number_text, places_of
from analysis.jobs.inputfiles import sha256_of
from analysis.jobs.surroundings import THREAD_VARIABLES
from analysis.pipelines.base import (
    DerivedRecording,
    InputRecording,
    Metric,
    Output,
    Pipeline,
    PipelineError,
    Run,
    places,
)

# All else of the environment is the server's own business.
KEPT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", *THREAD_VARIABLES)
# So much of what it prints is passed on to the log; of the rest its last lines are kept.
MOST_LINES = 5_000
LONGEST_LINE = 2_000
LAST_LINES = 5
LARGEST_NUMBERS = 1_000_000
LOOK_SECONDS = 0.1
_PROGRESS = re.compile(r"%progress +(?P<percent>\d{1,3}(\.\d+)?)(?: +(?P<what>.{1,200}))?$")


class CommandPipeline(Pipeline):
    """Runs a program of the server on files."""

    def __init__(
        self,
        stated: Mapping[str, Any],
        tell: Callable[[dict[str, Any]], None] = lambda _: None,
        *,
        leads: bool = False,
    ) -> None:
        """Take name, version, summary, declaration and pinned files; ``tell`` hears, before it runs, what will run.

        ``leads`` says that this process leads a process group of its own, in which all others are the command's.
        """
        self._leads = leads
        self.declaration: Declaration = declared(stated["declaration"])
        self.files: dict[str, str] = dict(stated["files"])
        self._tell = tell
        # Of a pipeline in a package these are its class's; a command has no class of its own.
        self.__dict__.update(
            name=stated["name"],
            version=stated["version"],
            summary=stated["summary"],
            inputs=self.declaration.pipeline_inputs(),
            parameters=self.declaration.parameter_model(stated["name"].replace(".", "_").replace("-", "_")),
            queue=stated["queue"],
        )

    def run(self, run: Run) -> Output:
        """Run the program and take what it left; ``PipelineError`` when it failed, took too long, or left less."""
        program = _program(self.declaration.argv[0])
        hashes = self._hashes(program)
        given = self._given(run)
        argv = [str(program), *self._arguments(run, given)]
        environment = self._environment(run.folder)
        (run.folder / ".step.json").write_text(json.dumps(self._described(run, given)))
        place = _identity(run.folder)
        self._tell({"name": self.name, "version": self.version, "argv": argv, "files": hashes})
        run.log(f"runs {json.dumps(argv)}")
        timeout, largest = self.declaration.timeout, self.declaration.largest
        Running(argv, run, environment, timeout=timeout, largest=largest, leads=self._leads).wait()
        if _identity(run.folder) != place:
            raise PipelineError("The command put another folder in the place of its own; nothing of it is taken.")
        return self._output(run.folder)

    def _hashes(self, program: Path) -> dict[str, str]:
        """Return the SHA-256 of the program and of every file that an argument names; refuse one that has changed."""
        named = [program, *(Path(argument) for argument in self.declaration.argv[1:] if argument.startswith("/"))]
        found = {str(path): sha256_of(path) for path in named if path.is_file()}
        for path, known in self.files.items():
            if path not in found:
                raise PipelineError(f"The file {path} of the command {self.name} is not on this machine.")
            if found[path] != known:
                raise PipelineError(
                    f"The file {path} has changed since {self.name} {self.version} was registered; an administrator"
                    " must register the command again, so that results of both can be told apart."
                )
        return found

    def _given(self, run: Run) -> dict[str, list[InputRecording]]:
        given: dict[str, list[InputRecording]] = {one.name: [] for one in self.declaration.inputs}
        taken = places(self.inputs, [recording.kind for recording in run.recordings])
        for recording, place in zip(run.recordings, taken, strict=True):
            if place is not None:
                given[self.declaration.inputs[place].name].append(recording)
        return given

    def _arguments(self, run: Run, given: Mapping[str, list[InputRecording]]) -> list[str]:
        values = {
            "seed": str(run.seed),
            "folder": str(run.folder),
            **{f"output.{one.name}": str(run.folder / one.name) for one in self.declaration.outputs},
            **{f"param.{one.name}": _text(getattr(run.parameters, one.name)) for one in self.declaration.parameters},
        }
        files = {
            f"input.{name}": [str(file.path) for recording in recordings for file in recording.files]
            for name, recordings in given.items()
        }
        found = []
        for argument in self.declaration.argv[1:]:
            named = [name for name in places_of(argument) if name in files]
            if named and argument == f"{{{named[0]}}}":
                found += files[named[0]]
            elif all(files[name] for name in named):
                if many := [name for name in named if len(files[name]) > 1]:
                    raise PipelineError(
                        f"{{{many[0]}}} is {len(files[many[0]])} files, and the command {self.name} puts one into an"
                        " argument."
                    )
                found.append(filled(argument, values | {name: files[name][0] for name in named}))
        return found

    def _environment(self, folder: Path) -> dict[str, str]:
        for name in (".home", ".tmp"):
            (folder / name).mkdir()
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        own = {"HOME": str(folder / ".home"), "TMPDIR": str(folder / ".tmp"), "LAB_STEP": str(folder / ".step.json")}
        return {"LANG": "C.UTF-8", **kept, **own, **self.declaration.environment}

    def _described(self, run: Run, given: Mapping[str, list[InputRecording]]) -> dict[str, Any]:
        """Return what ``LAB_STEP`` holds: everything, also what no argument can say."""
        return {
            "inputs": {
                name: [
                    {
                        "kind": recording.kind,
                        "format": recording.format,
                        "rate": recording.rate,
                        "start": recording.start,
                        "parameters": dict(recording.parameters),
                        "files": [str(file.path) for file in recording.files],
                    }
                    for recording in recordings
                ]
                for name, recordings in given.items()
            },
            "outputs": {one.name: str(run.folder / one.name) for one in self.declaration.outputs},
            "parameters": run.parameters.model_dump(mode="json"),
            "seed": run.seed,
            "folder": str(run.folder),
        }

    def _output(self, folder: Path) -> Output:
        output = Output()
        several = sum(one.kind not in ("", NUMBERS) for one in self.declaration.outputs) > 1
        for one in self.declaration.outputs:
            if not _left(folder, one, self.declaration.largest):
                continue
            if one.kind == NUMBERS:
                output.metrics |= _numbers(folder / one.name)
            elif one.kind:
                name = one.name.partition(".")[0] if several else ""
                output.recordings.append(
                    DerivedRecording(one.kind, one.format, (one.name,), one.parameters, one.rate, name=name)
                )
            else:
                output.artifacts.append(one.name)
        return output


class Running:
    """A program that runs: what it prints goes to the log, and it ends in time or is ended."""

    def __init__(
        self, argv: list[str], run: Run, environment: dict[str, str], *, timeout: float, largest: int, leads: bool
    ) -> None:
        self._run = run
        self._leads = leads
        self._timeout = timeout
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._lines = 0
        try:
            # Of the job's own process group, which whoever ends the job ends as a whole.
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=run.folder,
                env=environment,
            )
        except OSError as error:
            raise PipelineError(f"The program {argv[0]} cannot be started: {error.strerror}.") from error
        _limit_files(self._process.pid, largest)
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def wait(self) -> None:
        """Wait for its end, or end it; ``PipelineError`` unless it said that all is well."""
        try:
            status = self._process.wait(self._timeout)
        except subprocess.TimeoutExpired:
            self._end()
            raise PipelineError(
                f"The command ran longer than the {self._timeout:g} s that it may, and was ended.{self._said()}"
            ) from None
        # What it left running could still write into files that are being looked at.
        self._end()
        self._reader.join(2)
        if self._lines > MOST_LINES:
            self._run.log(f"... {self._lines - MOST_LINES} lines left out; the last:")
            for line in list(self._last):
                self._run.log(line)
        if status == -signal.SIGXFSZ:
            raise PipelineError("The command wrote a larger file than it may, and was ended.")
        if status:
            how = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
            raise PipelineError(f"The command ended {how}.{self._said()}")

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._leads:
            end_the_group()

    def _said(self) -> str:
        self._reader.join(1)
        said = " / ".join(line for line in list(self._last) if line.strip())
        return f" It said last: {said[-1000:]}" if said else " It said nothing."

    def _read(self, stream: IO[bytes]) -> None:
        # Until nobody writes any more; what left the group may hold the pipe for as long as it lives.
        with stream:
            self._hear(stream)

    def _hear(self, stream: IO[bytes]) -> None:
        for line in iter(lambda: stream.readline(LONGEST_LINE), b""):
            text = line.decode(errors="replace").rstrip().replace("\0", "")
            if told := _PROGRESS.fullmatch(text):
                self._run.progress(min(1.0, float(told["percent"]) / 100), told["what"] or "")
                continue
            self._last.append(text)
            self._lines += 1
            if self._lines <= MOST_LINES:
                self._run.log(text)


def end_the_group() -> None:
    """End all other processes of the group that this one leads; what left the group is not reached.

    Where there is no ``/proc``, they end with this process, when the worker ends the group.
    """
    own = os.getpid()
    if os.getpgrp() != own or not Path("/proc/self/stat").exists():
        return
    deadline = time.monotonic() + 5
    while (others := [pid for pid in _members(own) if pid != own]) and time.monotonic() < deadline:
        for pid in others:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                # It ended by itself.
                continue
        time.sleep(LOOK_SECONDS / 10)


def _members(group: int) -> list[int]:
    """Return the processes of a group that live."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, _, in_group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
        except OSError:
            # It ended while it was looked for.
            continue
        if int(in_group) == group and state not in "ZX":
            found.append(int(entry.name))
    return found


def _limit_files(pid: int, largest: int) -> None:
    """Let a process and all that it starts write no larger file; the kernel of Linux sees to that."""
    if sys.platform != "linux":
        return
    import resource

    try:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (largest, largest))
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError):
        # It has ended already, or a lower limit holds.
        return


def _program(named: str) -> Path:
    found = shutil.which(named)
    if found is None:
        raise PipelineError(f"There is no program {named} on this machine.")
    return Path(found).absolute()


def _text(value: Any) -> str:
    return number_text(value) if isinstance(value, int | float) else str(value)


def _identity(folder: Path) -> tuple[int, int, int]:
    """Return what tells a folder from another, or from a link, that has come to its place."""
    found = folder.lstat()
    return found.st_dev, found.st_ino, stat.S_IFMT(found.st_mode)


def _left(folder: Path, one: DeclaredOutput, largest: int) -> bool:
    """Whether a file is there that can be taken: a plain one, in the folder itself, with no other name elsewhere."""
    path = folder / one.name
    try:
        found = path.lstat()
    except OSError:
        if one.required:
            raise PipelineError(f"The command ended without an error, but left no file {one.name}.") from None
        return False
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        raise PipelineError(f"The command left {one.name} as a link, a folder or a device; only a plain file is taken.")
    if found.st_size > largest:
        raise PipelineError(f"The file {one.name} has {found.st_size} bytes; at most {largest} are taken.")
    return True


def _numbers(path: Path) -> dict[str, Metric]:
    """Return the metrics of a JSON ``{"name": 1.5, "other": {"value": 1.5, "unit": "Hz", "headline": true}}``."""
    if path.stat().st_size > LARGEST_NUMBERS:
        raise PipelineError(f"The file {path.name} is too long for a list of numbers.")
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        return {_storable(str(name)): _metric(value) for name, value in read.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise PipelineError(
            f'The file {path.name} is no JSON of numbers such as {{"rate": {{"value": 1.5, "unit": "Hz"}}}}: {error}.'
        ) from error


def _storable(text: str) -> str:
    """Return a text; ``ValueError`` for what no database keeps as text: NUL, and half of a surrogate pair."""
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError(f"{text!r} holds a character that is no text")
    return text


def _metric(stated: Any) -> Metric:
    whole = stated if isinstance(stated, dict) else {"value": stated}
    value = whole.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        raise TypeError(f"{value!r} is no number")
    texts = {name: _storable(str(whole.get(name, "")))[:300] for name in ("unit", "label", "definition")}
    return Metric(value, **texts, headline=whole.get("headline") is True)
