"""The analyses that a simulated laboratory shows: decoding from the true position, tracking, LFP, then both."""

from __future__ import annotations

from typing import Any

from analysis.jobs.models import Job, JobState
from analysis.services import submit
from labsite.demo.boxes import TRACK_BOX
from labsite.demo.pastsessions import POSITION, UNITS, VIDEO, VOLTAGE
from labsite.demo.world import picture_scale
from sessions.models import Recording

# Enough for p = 1/201, and quick enough to be on the page minutes after the first start.
SHIFTS = 200


def queue_first(user: Any, recordings: dict[str, Recording]) -> list[Job]:
    """Queue what needs nothing else, the quickest first; a job that was queued before stays the only one."""
    scale, _ = picture_scale(TRACK_BOX.arena.bounds, TRACK_BOX.size)
    wanted: list[tuple[str, list[str], dict[str, Any]]] = [
        ("decode.position", [UNITS, POSITION], {"shifts": SHIFTS}),
        ("video.track", [VIDEO], {"pixels_per_cm": round(scale, 4)}),
        ("ephys.lfp", [VOLTAGE], {}),
    ]
    return [
        submit(
            user=user, pipeline=pipeline, recordings=[recordings[name].pk for name in names], parameters=parameters
        ).job
        for pipeline, names, parameters in wanted
    ]


def queue_second(user: Any, recordings: dict[str, Recording]) -> Job | None:
    """Queue decoding with the position that was tracked in the video, once it has been; ``None`` until then."""
    tracked = (
        Recording.objects.filter(
            kind="position",
            made_by__job__pipeline="video.track",
            made_by__job__state=JobState.SUCCEEDED,
            made_by__job__recordings=recordings[VIDEO],
        )
        .order_by("created")
        .first()
    )
    if tracked is None:
        return None
    return submit(
        user=user,
        pipeline="decode.position",
        recordings=[recordings[UNITS].pk, tracked.pk],
        parameters={"shifts": SHIFTS},
    ).job
