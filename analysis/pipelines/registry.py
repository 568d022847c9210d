"""Which pipelines there are.

Those of this package and a lab's own, found by the entry-point group ``labsite.pipelines``.

A lab adds one by a package whose ``pyproject.toml`` says::

[project.entry-points."labsite.pipelines"] "spikes.bursts" = "ourlab.bursts:BurstPipeline"

Importing this module is quick: pipelines import SciPy, OpenCV and the like when they run.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from analysis.pipelines.base import Pipeline
from analysis.pipelines.decode_position import DecodePosition
from analysis.pipelines.decode_sequence import DecodeSequence
from analysis.pipelines.ephys_inspect import EphysInspect
from analysis.pipelines.ephys_lfp import EphysLfp
from analysis.pipelines.ephys_overview import EphysOverview
from analysis.pipelines.ephys_preprocess import EphysPreprocess
from analysis.pipelines.ephys_sort import EphysSort
from analysis.pipelines.ephys_spikes import EphysSpikes
from analysis.pipelines.lfp_bands import LfpBands
from analysis.pipelines.lfp_phase import LfpPhase
from analysis.pipelines.lfp_ripples import LfpRipples
from analysis.pipelines.stats_labels import StatsLabels
from analysis.pipelines.stats_permutation import StatsPermutation
from analysis.pipelines.video_model import VideoModel
from analysis.pipelines.video_track import VideoTrack

GROUP = "labsite.pipelines"
_OURS: tuple[type[Pipeline], ...] = (
    DecodePosition,
    DecodeSequence,
    EphysInspect,
    EphysLfp,
    EphysOverview,
    EphysPreprocess,
    EphysSort,
    EphysSpikes,
    LfpBands,
    LfpPhase,
    LfpRipples,
    StatsLabels,
    StatsPermutation,
    VideoModel,
    VideoTrack,
)


class UnknownPipelineError(LookupError):
    """No pipeline has the name asked for; the text lists those there are."""


class BadPipelineError(Exception):
    """An installed package announces something under ``labsite.pipelines`` that is no pipeline."""


@cache
def all_pipelines() -> dict[str, Pipeline]:
    """Return every pipeline by its name, in the order of names.

    Errors: ``BadPipelineError`` when an installed package's entry cannot be loaded, is no ``Pipeline`` or takes a
    name twice.
    """
    found: dict[str, Pipeline] = {}
    for made in _OURS:
        found[made.name] = made()
    for entry in entry_points(group=GROUP):
        try:
            loaded = entry.load()
        except (ImportError, AttributeError) as error:
            raise BadPipelineError(f"The pipeline {entry.name!r} ({entry.value}) cannot be loaded: {error}.") from error
        if not (isinstance(loaded, type) and issubclass(loaded, Pipeline)):
            raise BadPipelineError(f"The entry {entry.name!r} ({entry.value}) is not a subclass of Pipeline.")
        if loaded.name in found:
            raise BadPipelineError(f"Two pipelines have the name {loaded.name!r}; one of them is {entry.value}.")
        found[loaded.name] = loaded()
    return dict(sorted(found.items()))


def get(name: str) -> Pipeline:
    """Return one pipeline; ``UnknownPipelineError`` lists the names there are."""
    try:
        return all_pipelines()[name]
    except KeyError:
        raise UnknownPipelineError(f"There is no pipeline {name!r}; there are {', '.join(all_pipelines())}.") from None
