"""What is read of cameras: which a user may see, what they do now."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import redis
from django.conf import settings
from django.db.models import Prefetch, Q, QuerySet

from cameras import downloads, ring, timing
from cameras.clock import ClockLine
from cameras.models import Camera, CameraAlert, CameraRecording, RecordingState
from cameras.redisline import state_channel
from cameras.wake import client
from sessions.errors import Conflict, Invalid, NotFound
from sessions.models import Event, Session
from sessions.permissions import projects_for, rank_in, require, visible
from sessions.selectors import trials_of

log = logging.getLogger(__name__)

# As in the relay: a picture older than this, or a state that nobody has renewed, is not live.
FROZEN_AFTER_NS = 2_000_000_000
CUTS_SHOWN, SESSIONS_SHOWN = 20, 30


def visible_cameras(user: Any) -> QuerySet[Camera]:
    """Return the cameras that a user may see, with rig, project and what each records now."""
    running = CameraRecording.objects.filter(state=RecordingState.RECORDING)
    return (
        visible(user, Camera.objects.all(), "rig__project")
        .select_related("rig__project", "health")
        .prefetch_related(Prefetch("recordings", queryset=running, to_attr="running"))
        .order_by("rig__name", "name", "slug")
    )


def camera_for(user: Any, slug: str, action: Any = "view") -> Camera:
    """Return one camera; ``NotFound`` when there is none for this user, ``Forbidden`` when he may only look."""
    camera = Camera.objects.select_related("rig__project", "health").filter(slug=slug).first()
    if camera is None:
        raise NotFound("There is no such camera here.")
    require(user, action, camera)
    return camera


def running_session(camera: Camera) -> Session | None:
    """Return the session that runs on the camera's rig now."""
    return (
        Session.objects.filter(rig_id=camera.rig_id, end__isnull=True)
        .select_related("project")
        .order_by("-start")
        .first()
    )


def states(slugs: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return what ingest last said of cameras, by slug; those of which it says nothing are offline.

    ``online``: an agent is connected; ``live``: and its pictures come; ``age_ms`` of the last picture; ``reason`` in
    words when it is not live.
    """
    slugs = list(slugs)
    try:
        return said_states(slugs)
    except redis.RedisError as error:
        log.warning("The cameras' states cannot be read: %s", error)
        return {slug: _offline("unknown: Redis does not answer") for slug in slugs}


def said_states(slugs: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the same as ``states``; RedisError when Redis does not answer, for who must tell that from silence."""
    slugs = list(slugs)
    raw = client().mget([state_channel(slug) for slug in slugs]) if slugs else []
    return {slug: _state(payload) for slug, payload in zip(slugs, raw, strict=True)}


def _state(payload: bytes | str | None) -> dict[str, Any]:
    if payload is None:
        return _offline("offline: no agent is connected")
    said = json.loads(payload)
    last = said.get("last_picture_ns")
    age = None if last is None else max(0, time.time_ns() - last)
    live = bool(said.get("online")) and age is not None and age < FROZEN_AFTER_NS
    reason = ""
    if not said.get("online"):
        reason = said.get("reason") or "offline: no agent is connected"
    elif not live:
        reason = said.get("source_problem") or "frozen: the agent sends no new picture"
    return {
        "online": bool(said.get("online")),
        "live": live,
        "reason": reason,
        "age_ms": None if age is None else round(age / 1e6),
        "fps": said.get("fps"),
        "bytes_per_second": said.get("bytes_per_second"),
        "recording": said.get("recording"),
        "trouble": said.get("trouble") or "",
        "unstored": str(said.get("unstored") or ""),
        "dark": bool(said.get("dark")),
        "clock_offset_ms": said.get("offset_ms"),
    }


def _offline(reason: str) -> dict[str, Any]:
    nothing = {
        "age_ms": None, "fps": None, "bytes_per_second": None, "recording": None, "trouble": "",
        "unstored": "",
        "dark": False,
        "clock_offset_ms": None,
    }  # fmt: skip
    return {"online": False, "live": False, "reason": reason, **nothing}


def session_to_record(camera: Camera) -> Session:
    """Return the session that a recording of one camera belongs to; ``Conflict`` when none runs on its rig."""
    session = running_session(camera)
    if session is None:
        raise Conflict(f"No session runs on {camera.rig.name}; start one, so that the recording belongs to something.")
    return session


def visible_recordings(user: Any) -> QuerySet[CameraRecording]:
    """Return the recordings of cameras whose session the user may see, newest first."""
    rows = CameraRecording.objects.select_related("camera__rig", "session__project", "recording")
    return visible(user, rows, "session__project").order_by("-started", "pk")


def ring_of(camera: Camera) -> dict[str, Any]:
    """Return what is kept of a camera: ``spans`` without a break, ``frames``, ``bytes``, and the latest ``cuts``."""
    kept = ring.pieces(Path(settings.LAB_DATA_ROOT), camera.slug)
    return {
        "keep_hours": camera.keep_hours,
        "frames": sum(piece.frames for piece in kept),
        "bytes": sum(piece.bytes for piece in kept),
        "spans": [
            {
                "start": _moment(span.start_ns),
                "stop": _moment(span.stop_ns),
                "seconds": (span.stop_ns - span.start_ns) / 1e9,
            }
            for span in ring.spans(kept)
        ],
        "cuts": list(camera.ring_cuts.select_related("session__project", "recording")[:CUTS_SHOWN]),
    }


def sessions_to_cut_for(user: Any, camera: Camera) -> list[Session]:
    """Return the latest sessions of the camera's rig that the user may add a recording to."""
    mine = projects_for(user, "change")
    rows = Session.objects.filter(rig_id=camera.rig_id, project__in=mine).select_related("project").order_by("-start")
    return list(rows[:SESSIONS_SHOWN])


def _trials(recording: CameraRecording, start: datetime, duration: float, points: int) -> dict[str, Any]:
    """Return the trials of the session that the recording saw, by outcome, each with its place (s) on the recording.

    Those of one outcome that are closer together than a point is wide become one span, trial ``first`` to ``last``.
    ``problem`` says what is wrong with the task's rule, where something is.
    """
    try:
        made = trials_of(recording.session)
    except Invalid as error:
        return {"count": 0, "outcomes": [], "problem": error.detail}
    step = max(duration, 1e-3) / points
    outcomes: dict[str, dict[str, Any]] = {}
    count = 0
    for trial in made:
        begins = (trial.start - start).total_seconds()
        ends = duration if trial.stop is None else (trial.stop - start).total_seconds()
        if ends < 0 or begins > duration:
            continue
        count += 1
        name = "still running" if trial.outcome is None else trial.outcome
        found = outcomes.setdefault(name, {"outcome": name, "count": 0, "spans": []})
        found["count"] += 1
        place = {"first": trial.number, "last": trial.number, "start": max(0.0, begins), "stop": min(ends, duration)}
        if found["spans"] and place["stop"] - found["spans"][-1]["start"] < step:
            found["spans"][-1] |= {"last": place["last"], "stop": place["stop"]}
        else:
            found["spans"].append(place)
    return {"count": count, "outcomes": list(outcomes.values()), "problem": ""}


def _moment(ns: int) -> datetime:
    return datetime.fromtimestamp(ns / 1e9, tz=UTC)


def visible_alerts(user: Any) -> QuerySet[CameraAlert]:
    """Return the alerts of the cameras that the user may see, and of the disk, newest first."""
    cameras = visible(user, Camera.objects.all(), "rig__project")
    mine = Q(camera__in=cameras.values("pk"))
    if rank_in(user, None):
        mine |= Q(camera__isnull=True)
    return CameraAlert.objects.filter(mine).select_related("camera__rig").order_by("-raised", "pk")


def timing_of(recording: CameraRecording, points: int) -> dict[str, Any]:
    """Return what ``timing.describe`` says of a recording, and what its session had meanwhile.

    ``dropped`` is what the device says to have dropped (``None``: it does not tell), ``events`` those of the session.
    """
    times = downloads.times_of(recording)
    clock = ClockLine.load(downloads.folder_of(recording) / "clock.json")
    found = timing.describe(times, clock, first=recording.first_sequence, last=recording.last_sequence, points=points)
    # Events have the server's time, frames that of their agent: the clock's offset lies between them.
    start = _moment(found["start_ns"] - round((recording.offset_ms or 0.0) * 1e6))
    more = {"events": _events(recording, start, found["duration"], points)}
    trials = {"trials": _trials(recording, start, found["duration"], points)}
    return {**found, "dropped": recording.dropped, **more, **trials}


def _events(recording: CameraRecording, start: datetime, duration: float, points: int) -> list[dict[str, Any]]:
    """Return for each kind of event its number and where on the recording (s) there are any, at most ``points`` places.

    ``start`` is when the recording starts on the server's clock, ``duration`` in s.
    """
    stop = start + timedelta(seconds=duration)
    step = max(duration, 1e-3) / points
    kinds: dict[str, dict[int, float]] = {}
    counts: dict[str, int] = {}
    rows = Event.objects.filter(session=recording.session_id, time__gte=start, time__lte=stop).order_by("time", "pk")
    for when, kind in rows.values_list("time", "kind").iterator(chunk_size=5000):
        seconds = (when - start).total_seconds()
        counts[kind] = counts.get(kind, 0) + 1
        kinds.setdefault(kind, {}).setdefault(int(seconds / step), seconds)
    return [{"kind": kind, "count": counts[kind], "seconds": list(kinds[kind].values())} for kind in sorted(kinds)]
