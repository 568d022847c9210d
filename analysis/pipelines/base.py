"""What a pipeline is: typed parameters and recordings in, metrics, figures and files out.

A pipeline runs in a child process that knows nothing of Django, Postgres or Redis: it gets plain paths and returns
plain values. So the same class runs in a job, in a notebook, in a shard on another machine and in a result's bundle.

Conventions that both sides keep: a derived recording has the start of the first input it was made of; its
``parameters`` are what a reader needs to open it again (``analysis.readers``). A figure is stored as
``figure.to_json()`` and drawn on demand by ``analysis.figures.page.json_item`` and ``analysis.figures.paper.render``.
A ``ValidationError`` of ``Parameters`` is a wrong parameter; ``PipelineError`` while running is a wrong input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from analysis.figures.spec import Figure


# What a recording may hold; the catalog has the same kinds.
KINDS = ("ephys", "lfp", "spikes", "units", "position", "video", "events", "other")


class PipelineError(Exception):
    """A wrong input or parameter found while running; its text is one sentence that a user can act on."""


class Parameters(BaseModel):
    """Base of all parameter sets: unknown names are refused, values never change after validation.

    State the unit of a quantity with ``Field(json_schema_extra={"unit": "s"})``; the schema is served over REST.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True)
class InputFile:
    """One file of an input recording, where it lies on this machine."""

    path: Path
    size: int
    sha256: str = ""
    role: str = "data"


@dataclass(frozen=True)
class InputRecording:
    """A recording as a pipeline sees it; times are seconds.

    ``parameters`` describe the files (rate in Hz, gain, unit, ...); recordings of one session have one ``session``.
    """

    id: str
    kind: str
    format: str
    files: tuple[InputFile, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    rate: float | None = None
    start: str | None = None
    label: str = ""
    session: str = ""


@dataclass(frozen=True)
class Input:
    """A recording that a pipeline takes: its kinds, how many, and one sentence on what it is used for."""

    kinds: tuple[str, ...]
    summary: str
    minimum: int = 1
    maximum: int = 1


def places(inputs: Sequence[Input], kinds: Sequence[str]) -> list[int | None]:
    """Return for each recording, by its kind, the number of the input that takes it; ``None`` where none does.

    It goes to the first input that still has room, so that two inputs may take the same kind.
    """
    counts = [0] * len(inputs)
    found: list[int | None] = []
    for kind in kinds:
        taking = [number for number, wanted in enumerate(inputs) if kind in wanted.kinds]
        place = next((n for n in taking if counts[n] < inputs[n].maximum), taking[-1] if taking else None)
        if place is not None:
            counts[place] += 1
        found.append(place)
    return found


@dataclass(frozen=True)
class Metric:
    """A number with its unit, a label for people, and the definition that makes it unambiguous."""

    value: float | int | str | None
    unit: str = ""
    label: str = ""
    definition: str = ""
    headline: bool = False


@dataclass(frozen=True)
class DerivedRecording:
    """A recording that the pipeline made (a track from a video, LFP from raw voltage); it is added to the catalog.

    It has the name of the recording that it is made of, number ``made_of`` of the run's, and ``name`` behind it where
    several are made.
    """

    kind: str
    format: str
    files: tuple[str, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    rate: float | None = None
    channels: int | None = None
    duration: float | None = None
    name: str = ""
    made_of: int = 0


@dataclass
class Output:
    """What a run gives back. ``artifacts`` and ``recordings`` name files that the run wrote below ``Run.folder``."""

    metrics: dict[str, Metric] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    artifacts: list[str] = field(default_factory=list)
    recordings: list[DerivedRecording] = field(default_factory=list)
    summary: str = ""


@dataclass(frozen=True)
class Run:
    """One run: inputs in the order given, validated parameters, the seed, an empty folder, and two ways to speak."""

    recordings: tuple[InputRecording, ...]
    parameters: Any
    seed: int
    folder: Path
    progress: Callable[[float, str], None]
    log: Callable[[str], None]

    def of_kind(self, *kinds: str) -> tuple[InputRecording, ...]:
        """Return the recordings of these kinds, in the order given."""
        return tuple(r for r in self.recordings if r.kind in kinds)


class Pipeline:
    """Base of all pipelines; subclasses set the class variables and write ``run``."""

    name: ClassVar[str]
    version: ClassVar[str]
    summary: ClassVar[str]
    inputs: ClassVar[tuple[Input, ...]]
    parameters: ClassVar[type[Parameters]]
    queue: ClassVar[str] = "cpu"

    def needs(self, parameters: Any) -> dict[str, str]:  # noqa: ARG002 - the signature is what subclasses fill
        """Return the optional packages that a worker must have, each with the parameter that asks for it."""
        return {}

    def gains_from_gpu(self, parameters: Any) -> bool:  # noqa: ARG002
        """Whether a worker with a GPU should compute this, where there is one."""
        return False

    def methods(self, parameters: Any) -> str:  # noqa: ARG002
        """Return what was done with these parameters, in sentences as they stand in a paper; empty to leave it."""
        return ""

    def run(self, run: Run) -> Output:  # noqa: ARG002 - the signature is what subclasses fill
        """Compute. Raise ``PipelineError`` with one sentence when an input or a parameter is wrong."""
        raise TypeError(f"{type(self).__name__} does not say how it runs")
