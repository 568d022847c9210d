"""Which chains there are, and what a chain is before it is on a session: steps, and where their recordings come from.

No Django: a definition is a value. Steps stand in the order in which they can run, and a step reads what the session
has or what a step before it makes, so that no definition can run in a circle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Source:
    """Recordings of one kind: the session's own, or those that the earlier step ``step`` makes.

    ``optional`` ones are left out where the session has none.
    """

    kind: str
    step: str = ""
    optional: bool = False


@dataclass(frozen=True)
class Step:
    """A pipeline with its parameters, and its inputs in order."""

    name: str
    pipeline: str
    sources: tuple[Source, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Definition:
    """Steps under a name; ``title`` and ``summary`` are for people."""

    name: str
    title: str
    summary: str
    steps: tuple[Step, ...]


_RAW = Source("ephys")
_SORT = Step("sort", "ephys.sort", (_RAW,))

BUILT_IN = (
    Definition(
        "lfp-spikes",
        "Raw voltage to LFP and spikes",
        "Judges the channels; makes the LFP with its spectrogram and theta and finds the spikes, reading once.",
        (
            Step("inspect", "ephys.inspect", (_RAW,)),
            Step("preprocess", "ephys.preprocess", (_RAW,)),
        ),
    ),
    Definition(
        "units-position",
        "Raw voltage to units to position",
        "Sorts units, maps their place fields and decodes position from them, along the position that the session has.",
        (
            _SORT,
            Step("fields", "spikes.fields", (Source("units", "sort"), Source("position"))),
            Step("decode", "decode.position", (Source("units", "sort"), Source("position"))),
        ),
    ),
    Definition(
        "raw-position",
        "Raw voltage to LFP, spikes, units and position",
        "All that the voltage of a running animal tells: LFP and spikes in one pass, units, the phase of theta at "
        "which they fire, their place fields, and the position decoded from them.",
        (
            Step("preprocess", "ephys.preprocess", (_RAW,)),
            _SORT,
            Step("phase", "lfp.phase", (Source("lfp", "preprocess"), Source("units", "sort"))),
            Step("fields", "spikes.fields", (Source("units", "sort"), Source("position"))),
            Step("decode", "decode.position", (Source("units", "sort"), Source("position"))),
        ),
    ),
    Definition(
        "units-tracked-position",
        "Raw voltage and video to position",
        "Sorts units, tracks the animal in the video, maps the place fields of the units and decodes position from "
        "them.",
        (
            _SORT,
            Step("track", "video.track", (Source("video"),)),
            Step("fields", "spikes.fields", (Source("units", "sort"), Source("position", "track"))),
            Step("decode", "decode.position", (Source("units", "sort"), Source("position", "track"))),
        ),
    ),
    Definition(
        "theta",
        "Raw voltage to theta, ripples and phase",
        "Makes the LFP and sorts units; measures its bands, finds ripples, and the phase of theta at which each unit "
        "fires.",
        (
            Step("lfp", "ephys.lfp", (_RAW,)),
            _SORT,
            Step("bands", "lfp.bands", (Source("lfp", "lfp"), Source("position", optional=True))),
            Step("ripples", "lfp.ripples", (Source("lfp", "lfp"), Source("position", optional=True))),
            Step("phase", "lfp.phase", (Source("lfp", "lfp"), Source("units", "sort"))),
        ),
    ),
)


def built_in(name: str) -> Definition | None:
    """Return a built-in chain by its name, or ``None``."""
    return next((definition for definition in BUILT_IN if definition.name == name), None)


def layers(names: list[str], after: Mapping[str, list[str]]) -> list[list[str]]:
    """Return steps in layers: those that wait for nothing, those that wait for these, and so on.

    ``names`` in an order in which they can run; ``after[name]`` are the steps that one waits for.
    """
    depth: dict[str, int] = {}
    for name in names:
        depth[name] = 1 + max((depth[origin] for origin in after.get(name, [])), default=-1)
    return [[name for name in names if depth[name] == level] for level in range(max(depth.values(), default=-1) + 1)]
