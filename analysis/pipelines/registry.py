"""Which pipelines there are: those of this package, and a laboratory's own.

Its own are found by the entry-point group ``labsite.pipelines``.

A laboratory adds one by a package whose ``pyproject.toml`` says::

    [project.entry-points."labsite.pipelines"]
    "spikes.bursts" = "ourlab.bursts:bursts"

where that is a function with ``analysis.pipelines.steps.step`` or a subclass of ``Pipeline``. What is wrong with one of
them is told by ``broken`` and keeps no other from being used.

Importing this module is quick: pipelines import SciPy, OpenCV and the like when they run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version

from analysis.pipelines.base import KINDS, Input, Parameters, Pipeline
from analysis.pipelines.decode_across import DecodeAcross
from analysis.pipelines.decode_position import DecodePosition
from analysis.pipelines.decode_sequence import DecodeSequence
from analysis.pipelines.ephys_inspect import EphysInspect
from analysis.pipelines.ephys_lfp import EphysLfp
from analysis.pipelines.ephys_overview import EphysOverview
from analysis.pipelines.ephys_preprocess import EphysPreprocess
from analysis.pipelines.ephys_sort import EphysSort
from analysis.pipelines.ephys_spikes import EphysSpikes
from analysis.pipelines.events_trials import EventsTrials
from analysis.pipelines.export_nwb import ExportNwb
from analysis.pipelines.lfp_bands import LfpBands
from analysis.pipelines.lfp_phase import LfpPhase
from analysis.pipelines.lfp_ripples import LfpRipples
from analysis.pipelines.spikes_fields import SpikesFields
from analysis.pipelines.stats_labels import StatsLabels
from analysis.pipelines.stats_permutation import StatsPermutation
from analysis.pipelines.steps import Step
from analysis.pipelines.sync_align import SyncAlign
from analysis.pipelines.video_model import VideoModel
from analysis.pipelines.video_track import VideoTrack

GROUP = "labsite.pipelines"
_OURS: tuple[type[Pipeline], ...] = (
    DecodeAcross,
    DecodePosition,
    DecodeSequence,
    EphysInspect,
    EphysLfp,
    EphysOverview,
    EphysPreprocess,
    EphysSort,
    EphysSpikes,
    EventsTrials,
    ExportNwb,
    LfpBands,
    LfpPhase,
    LfpRipples,
    SpikesFields,
    StatsLabels,
    StatsPermutation,
    SyncAlign,
    VideoModel,
    VideoTrack,
)


_NAME = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z0-9][a-z0-9_-]*)+")
LONGEST_NAME = 64
LONGEST_VERSION = 32
LONGEST_QUEUE = 20
# Under this the site offers the commands that an administrator registered.
COMMANDS = "command."
LABSITE = "labsite"


class UnknownPipelineError(LookupError):
    """No pipeline has the name asked for; the text lists those there are."""


class BadPipelineError(Exception):
    """What an installed package offers cannot be used; the text is one sentence."""


@dataclass(frozen=True)
class Origin:
    """Where a pipeline comes from: an installed package, its version, and the module and name in it."""

    package: str
    version: str
    target: str

    def __str__(self) -> str:
        return " ".join(filter(None, (self.package, self.version)))


@dataclass(frozen=True)
class Offer:
    """A pipeline and its origin."""

    pipeline: Pipeline
    origin: Origin


@dataclass(frozen=True)
class Broken:
    """An entry of a package that cannot be used, and why."""

    name: str
    origin: Origin
    reason: str


@dataclass(frozen=True)
class _Found:
    offers: dict[str, Offer]
    broken: tuple[Broken, ...]


@cache
def found() -> _Found:
    """Look once; a package that is installed later is found when the process starts again."""
    try:
        own_version = version(LABSITE)
    except PackageNotFoundError:
        own_version = ""
    offers = {
        made.name: Offer(made(), Origin(LABSITE, own_version, f"{made.__module__}:{made.__qualname__}"))
        for made in _OURS
    }
    broken = []
    # Of two packages that claim a name the first in this order has it, on every machine.
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (_origin(entry).package, entry.name, entry.value)):
        origin = _origin(entry)
        try:
            pipeline = _loaded(entry)
        except BadPipelineError as error:
            broken.append(Broken(entry.name, origin, str(error)))
            continue
        if other := offers.get(pipeline.name):
            reason = f"Its name {pipeline.name} is taken by {other.origin} ({other.origin.target})."
            broken.append(Broken(entry.name, origin, reason))
            continue
        offers[pipeline.name] = Offer(pipeline, origin)
    return _Found(dict(sorted(offers.items())), tuple(broken))


def _origin(entry: EntryPoint) -> Origin:
    return Origin(entry.dist.name if entry.dist else "", entry.dist.version if entry.dist else "", entry.value)


def _loaded(entry: EntryPoint) -> Pipeline:
    try:
        loaded = entry.load()
    except (Exception, SystemExit) as error:
        # Whatever a package does when it is imported is told of it, and the others are there.
        told = f"{type(error).__name__}: {error}".rstrip(": ")
        raise BadPipelineError(f"It cannot be loaded: {told}.") from error
    if isinstance(loaded, Step):
        loaded = loaded.pipeline
    if not (isinstance(loaded, type) and issubclass(loaded, Pipeline)):
        raise BadPipelineError("It is neither a function with @step nor a subclass of Pipeline.")
    try:
        pipeline = loaded()
        _check(pipeline)
    except BadPipelineError:
        raise
    except Exception as error:
        # A class may do anything when it is made or asked; that is told, too.
        raise BadPipelineError(f"It is no pipeline: {type(error).__name__}: {error}.") from error
    return pipeline


def _check(pipeline: Pipeline) -> None:
    """Check that a pipeline says of itself what forms, REST and the database need."""
    texts = {"name": LONGEST_NAME, "version": LONGEST_VERSION, "queue": LONGEST_QUEUE, "summary": 1000}
    for attribute, longest in texts.items():
        value = getattr(pipeline, attribute, None)
        if not isinstance(value, str) or not 0 < len(value) <= longest:
            raise BadPipelineError(f"Its {attribute} must be a text of 1 to {longest} characters.")
    if not _NAME.fullmatch(pipeline.name) or pipeline.name.startswith(COMMANDS):
        raise BadPipelineError(
            f"Its name {pipeline.name!r} must be small letters with a dot between, as in spikes.bursts, and not begin"
            f" with {COMMANDS!r}."
        )
    if not isinstance(pipeline.inputs, tuple) or not all(isinstance(wanted, Input) for wanted in pipeline.inputs):
        raise BadPipelineError("Its inputs must be a tuple of Input.")
    if not any(wanted.minimum for wanted in pipeline.inputs):
        raise BadPipelineError("It must read at least one recording.")
    for wanted in pipeline.inputs:
        if unknown := [kind for kind in wanted.kinds if kind not in KINDS]:
            raise BadPipelineError(f"It takes {', '.join(unknown)}; the kinds of recordings are {', '.join(KINDS)}.")
        if not 0 <= wanted.minimum <= wanted.maximum or wanted.maximum < 1:
            raise BadPipelineError(f"It takes {wanted.minimum} to {wanted.maximum} of {' or '.join(wanted.kinds)}.")
    if not (isinstance(pipeline.parameters, type) and issubclass(pipeline.parameters, Parameters)):
        raise BadPipelineError("Its parameters must be a subclass of Parameters.")
    pipeline.parameters.model_json_schema()


def all_pipelines() -> dict[str, Pipeline]:
    """Return every pipeline by its name, in the order of names."""
    return {name: offer.pipeline for name, offer in found().offers.items()}


def broken() -> tuple[Broken, ...]:
    """Return what installed packages offer that cannot be used, and why."""
    return found().broken


def origin(name: str) -> Origin:
    """Return where a pipeline comes from; ``UnknownPipelineError`` lists the names there are."""
    get(name)
    return found().offers[name].origin


def get(name: str) -> Pipeline:
    """Return one pipeline; ``UnknownPipelineError`` lists the names there are."""
    offer = found().offers.get(name)
    if offer is None:
        raise UnknownPipelineError(f"There is no pipeline {name!r}; there are {', '.join(found().offers)}.")
    return offer.pipeline
