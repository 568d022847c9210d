"""The process that computes: ``python -m analysis.jobs.child FOLDER``. It knows no Django, no Postgres and no Redis.

``FOLDER/job.json`` says what to compute. Lines of JSON on the standard output tell the worker how it goes; whatever
the computation prints goes to the standard error, and so to the job's log. It ends with ``FOLDER/output.json``, written
last and moved into place, or with ``FOLDER/failure.json``. When the worker dies its end of the standard input closes,
and the whole process group goes with it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from analysis.jobs.inputfiles import check_and_hash, sha256_of
from analysis.jobs.surroundings import surroundings, used
from analysis.pipelines.base import InputFile, InputRecording, Output, Pipeline, PipelineError, Run
from analysis.pipelines.registry import LABSITE, Origin
from analysis.pipelines.sharded import Shard, ShardedPipeline

FAILED = 3
# So often at most a progress line is sent; a loop may call progress() a million times.
PROGRESS_SECONDS = 0.1
NICENESS = 5
# When memory runs out, the kernel shall take the computation and not the database.
OUT_OF_MEMORY_SCORE = 500


class Voice:
    """Speaks to the worker, one JSON object a line, from any thread."""

    def __init__(self, descriptor: int) -> None:
        self._stream = os.fdopen(descriptor, "w", encoding="utf-8", buffering=1)
        self._lock = threading.Lock()
        self._last = 0.0

    def say(self, **message: Any) -> None:
        """Send one message."""
        with self._lock:
            self._stream.write(json.dumps(message) + "\n")

    def progress(self, fraction: float, message: str = "") -> None:
        """Say how much of the work is done (0 to 1) and what is being done."""
        now = time.monotonic()
        if now - self._last >= PROGRESS_SECONDS or fraction >= 1:
            self._last = now
            self.say(progress=min(1.0, max(0.0, float(fraction))), message=str(message))

    def log(self, text: str) -> None:
        """Add a line to the job's log."""
        self.say(log=str(text))


def die_with_the_worker() -> None:
    """Wait for the worker's end of the standard input to close, then end this process and all that it started."""
    while os.read(0, 1024):
        continue
    os.killpg(0, signal.SIGKILL)


def own_the_output() -> Voice:
    """Keep the standard output for messages and let everything that prints print to the standard error."""
    descriptor = os.dup(1)
    os.dup2(2, 1)
    return Voice(descriptor)


def yield_to_live_work() -> None:
    """Run at lower priority than live pictures, and be what the kernel ends first when memory runs out."""
    os.nice(NICENESS)
    try:
        Path("/proc/self/oom_score_adj").write_text(str(OUT_OF_MEMORY_SCORE))
    except OSError:
        # Not Linux, or a container that does not allow it: the kernel's own choice stands.
        return


def file_below(folder: Path, name: str) -> Path:
    """Return the path of a file that the run wrote below its folder; refuse any other."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise ValueError(f"The pipeline names the file {name!r}, which it did not write in its folder.")
    return path


def described(path: Path, name: str) -> dict[str, Any]:
    """Return name, size and SHA-256 of a file."""
    return {"name": name, "size": path.stat().st_size, "sha256": sha256_of(path)}


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that the file is either whole on the disk or not there."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as stream:
        json.dump(value, stream, allow_nan=False)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)


def store(output: Output, folder: Path, made: Path, log: Callable[[str], None]) -> dict[str, Any]:
    """Write the figures; return the manifest: metrics, figures, artifacts, derived recordings, with their hashes."""
    figures = []
    (folder / "figures").mkdir(exist_ok=True)
    for number, figure in enumerate(output.figures, start=1):
        name = f"figures/{number:02d}-{figure.name}.json"
        value = figure.to_json()
        text = value if isinstance(value, str) else json.dumps(value, allow_nan=False)
        (folder / name).write_text(text, encoding="utf-8")
        figures.append(
            {"name": figure.name, "title": figure.title, "caption": figure.caption, "span": figure.span, "file": name}
        )
    recordings = []
    for recording in output.recordings:
        files = [described(file_below(made, name), name) for name in recording.files]
        recordings.append(
            {
                "kind": recording.kind,
                "format": recording.format,
                "files": files,
                "parameters": dict(recording.parameters),
                "rate": recording.rate,
                "channels": recording.channels,
                "duration": recording.duration,
                "name": recording.name,
                "made_of": recording.made_of,
            }
        )
    if recordings:
        log(f"made {len(recordings)} recording(s)")
    return {
        "summary": output.summary,
        "metrics": {
            name: {
                "value": plain(metric.value),
                "unit": metric.unit,
                "label": metric.label,
                "definition": metric.definition,
                "headline": metric.headline,
                # Postgres keeps no order of an object's names.
                "order": order,
            }
            for order, (name, metric) in enumerate(output.metrics.items())
        },
        "figures": figures,
        "artifacts": [described(file_below(made, name), name) for name in output.artifacts],
        "recordings": recordings,
    }


def plain(value: Any) -> Any:
    """Return a number of NumPy's as Python's, and one that JSON cannot hold (nan, inf) as None."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):  # noqa: PLR0124
        return None
    return value


def compute(spec: dict[str, Any], folder: Path, voice: Voice) -> dict[str, Any]:
    """Check the inputs, run the pipeline and return the manifest."""
    from analysis.pipelines import registry

    voice.progress(0.0, "checking the input files")
    hashes = check_and_hash(spec["recordings"], voice.progress)
    voice.say(hashes=hashes)
    pipeline = registry.get(spec["pipeline"]) if not spec["command"] else _command(spec["command"], voice)
    if pipeline.version != spec["version"]:
        raise PipelineError(
            f"The job is for {pipeline.name} {spec['version']}, and what is installed now is {pipeline.version}: start"
            " the workers again, and queue it again."
        )
    if not spec["command"]:
        voice.say(environment=own_code(registry.origin(pipeline.name), pipeline))
    recordings = tuple(
        InputRecording(
            id=recording["id"],
            kind=recording["kind"],
            format=recording["format"],
            files=tuple(
                InputFile(Path(f["path"]), f["size"], f["sha256"] or hashes.get(f["id"], ""), f["role"])
                for f in recording["files"]
            ),
            parameters=recording["parameters"],
            rate=recording["rate"],
            start=recording["start"],
            label=recording["label"],
            session=recording.get("session", ""),
        )
        for recording in spec["recordings"]
    )
    made = folder / "made"
    made.mkdir(exist_ok=True)
    run = Run(
        recordings=recordings,
        parameters=pipeline.parameters.model_validate(spec["parameters"]),
        seed=spec["seed"],
        folder=made,
        progress=voice.progress,
        log=voice.log,
    )
    began = time.perf_counter()
    output = _run(pipeline, run, spec)
    seconds = time.perf_counter() - began
    voice.say(environment={"used": used()})
    voice.progress(1.0, "storing the result")
    return {**store(output, folder, made, voice.log), "seconds": seconds}


def own_code(origin: Origin, pipeline: Pipeline) -> dict[str, Any]:
    """Return of a pipeline of another package where it comes from, with the SHA-256 of its module."""
    if origin.package == LABSITE:
        return {}
    source = getattr(sys.modules[type(pipeline).__module__], "__file__", None)
    return {
        "own_code": {
            "package": origin.package,
            "version": origin.version,
            "target": origin.target,
            "sha256": sha256_of(Path(source)) if source else "",
        }
    }


def _command(stated: dict[str, Any], voice: Voice) -> Pipeline:
    """Return a registered command; what it will run is told before it runs, so that a failed job has it, too."""
    from analysis.commands.running import CommandPipeline

    return CommandPipeline(stated, lambda told: voice.say(environment={"command": told}), leads=True)


def _run(pipeline: Pipeline, run: Run, spec: dict[str, Any]) -> Output:
    """Run a pipeline as a whole, or some of its items, or put together what the parts computed."""
    if not isinstance(pipeline, ShardedPipeline):
        return pipeline.run(run)
    if "items" in spec:
        return pipeline.run_shard(run, range(*spec["items"]))
    if spec.get("shards"):
        shards = [Shard(range(*shard["items"]), Path(shard["path"]), shard["sha256"]) for shard in spec["shards"]]
        return pipeline.run_gathered(run, shards)
    return pipeline.run(run)


def main(folder: Path) -> int:
    """Compute the job in ``folder``; return the exit status."""
    voice = own_the_output()
    threading.Thread(target=die_with_the_worker, name="worker's death", daemon=True).start()
    yield_to_live_work()
    voice.say(environment=surroundings())
    try:
        manifest = compute(json.loads((folder / "job.json").read_text()), folder, voice)
    except PipelineError as error:
        write_json(folder / "failure.json", {"error": str(error), "trace": ""})
        return FAILED
    except Exception as error:  # noqa: BLE001
        # Whatever went wrong in the computation is the job's failure: it is told in the row and, in full, in the log.
        told = sentence(error)
        write_json(folder / "failure.json", {"error": told, "trace": traceback.format_exc()})
        return FAILED
    write_json(folder / "output.json", manifest)
    return 0


def sentence(error: Exception) -> str:
    """Return what a person should read of an unexpected error: its type and message, or plain words for a full disk."""
    import errno

    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "The disk for results is full; free some space and run the job again."
    if isinstance(error, MemoryError):
        return f"The computation needs more memory than there is: {error}".rstrip(": ")
    return f"{type(error).__name__}: {error}".rstrip(": ")


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
