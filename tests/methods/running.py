"""Running a pipeline as a job would: files on disk, validated parameters, an empty folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from analysis.pipelines import registry
from analysis.pipelines.base import InputFile, InputRecording, Output, Run


def recording(kind: str, file_format: str, *paths: Path, rate: float | None = None, start=None, roles=(), **parameters):
    files = tuple(
        InputFile(path, path.stat().st_size if path.exists() else 0, role=roles[number] if roles else "data")
        for number, path in enumerate(paths)
    )
    return InputRecording(f"{kind}-1", kind, file_format, files, parameters, rate, start)


@dataclass
class Heard:
    """What a run said on its way."""

    progress: list[float] = field(default_factory=list)
    log: list[str] = field(default_factory=list)


def run_pipeline(
    name: str, folder: Path, *recordings: InputRecording, seed: int = 1, **parameters
) -> tuple[Output, Heard]:
    pipeline = registry.get(name)
    heard = Heard()
    folder.mkdir(exist_ok=True)
    output = pipeline.run(
        Run(
            recordings,
            pipeline.parameters(**parameters),
            seed,
            folder,
            lambda share, _message: heard.progress.append(share),
            heard.log.append,
        )
    )
    return output, heard
