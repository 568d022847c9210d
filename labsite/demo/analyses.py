"""The analyses that a simulated laboratory shows: of what was recorded, then of what the first of them made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis.jobs.models import Job, JobState
from analysis.services import submit
from labsite.demo.boxes import TRACK_BOX
from labsite.demo.odourunits import POKE_SECONDS
from labsite.demo.pastsessions import (
    BOX_PULSES,
    EVENTS,
    FIELD_POSITION,
    FIELD_UNITS,
    ODOUR_UNITS,
    POSITION,
    PROBE_PULSES,
    UNITS,
    VIDEO,
    VOLTAGE,
)
from labsite.demo.world import picture_scale
from sessions.models import Recording

# Enough for p = 1/201, and quick enough to be on the page minutes after the first start.
SHIFTS = 200


def first() -> list[tuple[str, list[str], dict[str, Any]]]:
    """Return pipeline, recordings and parameters of what needs nothing else, the quickest first."""
    scale, _ = picture_scale(TRACK_BOX.arena.bounds, TRACK_BOX.size)
    return [
        ("decode.position", [UNITS, POSITION], {"shifts": SHIFTS}),
        ("video.track", [VIDEO], {"pixels_per_cm": round(scale, 4)}),
        # With it, and with spikes to show, the traces open at once and over the whole recording.
        ("ephys.overview", [VOLTAGE], {}),
        ("ephys.lfp", [VOLTAGE], {}),
        ("ephys.spikes", [VOLTAGE], {}),
        ("events.trials", [EVENTS], {}),
        ("sync.align", [PROBE_PULSES, BOX_PULSES], {}),
        ("decode.sequence", [ODOUR_UNITS], {"poke": POKE_SECONDS, "permutations": SHIFTS}),
    ]


# What the session in the open field is for, whose files are made when all that comes first is done.
IN_THE_OPEN: list[tuple[str, list[str], dict[str, Any]]] = [
    (
        "decode.position",
        [FIELD_UNITS, FIELD_POSITION],
        {"arena": "open-field", "window": 0.5, "guard": 1.5, "place_bins": 20, "compare": True, "shifts": SHIFTS},
    ),
]


def queue(
    user: Any, recordings: dict[str, Recording], analyses: list[tuple[str, list[str], dict[str, Any]]]
) -> list[Job]:
    """Queue analyses; a job that was queued before stays the only one."""
    return [
        submit(
            user=user, pipeline=pipeline, recordings=[recordings[name].pk for name in names], parameters=parameters
        ).job
        for pipeline, names, parameters in analyses
    ]


@dataclass(frozen=True)
class Following:
    """An analysis of what ``made_by`` makes of the recording ``of``, of the kind ``kind``, beside another recording."""

    pipeline: str
    beside: str
    kind: str
    made_by: str
    of: str
    parameters: Mapping[str, Any]


FOLLOWING = (
    Following("decode.position", UNITS, "position", "video.track", VIDEO, {"shifts": SHIFTS}),
    Following("lfp.bands", POSITION, "lfp", "ephys.lfp", VOLTAGE, {"shifts": SHIFTS, "align": "starts"}),
)


def queue_following(user: Any, recordings: dict[str, Recording], following: Following) -> Job | None:
    """Queue an analysis of what another made, once that is there; ``None`` until then."""
    made = (
        Recording.objects.filter(
            kind=following.kind,
            made_by__job__pipeline=following.made_by,
            made_by__job__state=JobState.SUCCEEDED,
            made_by__job__recordings=recordings[following.of],
        )
        .order_by("created")
        .first()
    )
    if made is None:
        return None
    return submit(
        user=user,
        pipeline=following.pipeline,
        recordings=[recordings[following.beside].pk, made.pk],
        parameters=dict(following.parameters),
    ).job
