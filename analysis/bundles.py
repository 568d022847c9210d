"""Results as bundles: made when somebody asks, then kept beside the data of the (first) result."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analysis import drawings, selectors
from analysis.jobs.models import Result
from sessions.errors import Invalid, NotFound

if TYPE_CHECKING:
    from analysis.export.bundle import BundledResult

# A paper has so many results at most; a bundle is written before its first byte is sent.
MOST_RESULTS = 50
_GONE = "The files of this result are gone from the disk; compute it again with Reproduce."

# One at a time: a second request for the same bundle waits for the first and finds it.
_bundling = threading.Lock()


def name_of(result: Result) -> str:
    """Return what a result is called as a file: its pipeline and the start of its id."""
    return f"{result.job.pipeline}-{str(result.pk)[:8]}"


def of_result(result: Result) -> Path:
    """Return the bundle of a result; ``NotFound`` when its files are gone, ``Unavailable`` when the disk is full."""
    return _kept([result], "bundle.zip")


def of_results(results: Sequence[Result]) -> Path:
    """Return the bundle of several results in the order given, each in a folder of its own.

    Raises ``Invalid`` for more than ``MOST_RESULTS`` or none, and what ``of_result`` does.
    """
    if not 0 < len(results) <= MOST_RESULTS:
        sentence = f"Name 1 to {MOST_RESULTS} results with id; these are {len(results)}."
        raise Invalid(sentence, {"id": [sentence]})
    told = hashlib.sha256(" ".join(str(result.pk) for result in results).encode()).hexdigest()[:16]
    return _kept(results, f"bundle-{told}.zip")


def _kept(results: Sequence[Result], file_name: str) -> Path:
    from analysis.export.bundle import write_bundle

    folder = drawings.kept_folder(results[0])

    def write(path: Path) -> None:
        numbered = len(results) > 1
        write_bundle(
            path,
            [
                _bundled(result, f"{number:02d}-{name_of(result)}" if numbered else name_of(result))
                for number, result in enumerate(results, start=1)
            ],
        )

    return drawings.keep(folder / file_name, write, alone=_bundling)


def _bundled(result: Result, folder: str) -> BundledResult:
    from analysis.export.bundle import BundledFigure, BundledResult

    artifacts = {each.name: drawings.folder_of(result) / "artifacts" / each.name for each in result.artifacts.all()}
    if not all(path.is_file() for path in artifacts.values()):
        raise NotFound(_GONE)
    return BundledResult(
        folder=folder,
        pipeline=result.job.pipeline,
        version=result.job.version,
        title=_title(result),
        summary=result.summary,
        methods=selectors.methods_text(result),
        numbers=selectors.metrics(result),
        figures=tuple(
            BundledFigure(
                number=number,
                name=figure["name"],
                title=figure["title"],
                caption=figure["caption"],
                data=drawings.data_path(result, figure["name"]),
                drawn=drawings.paper(result, figure["name"], "svg"),
            )
            for number, figure in enumerate(result.figures, start=1)
        ),
        artifacts=artifacts,
        recordings=tuple(
            f"{recording} ({recording.format}, recording {recording.pk})" for recording in result.derived.all()
        ),
        provenance={"result": str(result.pk), "job": str(result.job_id), **result.provenance},
    )


def _title(result: Result) -> str:
    labels = [recording["label"] for recording in result.provenance.get("inputs", [])]
    return f"{result.job.pipeline} {result.job.version}: {', '.join(labels)}" if labels else result.job.pipeline
