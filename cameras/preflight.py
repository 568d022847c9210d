"""What has to hold before a session is recorded: its cameras send, their clocks fit, its video has room."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from cameras import selectors
from cameras.disk import GB, free_bytes
from cameras.models import Camera
from cameras.queries import whole_number
from sessions.models import Session

MOST_OFFSET_MS = 100.0
DEFAULT_MINUTES, MOST_MINUTES = 60, 7 * 24 * 60


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; ``detail`` says what was found, in words. ``camera`` is a slug, or empty."""

    name: str
    camera: str
    label: str
    ok: bool
    detail: str


def planned_minutes(text: str | None) -> int:
    """Return the planned time (min) as it was asked for; ``Invalid`` when it is none."""
    return whole_number("minutes", text, default=DEFAULT_MINUTES, most=MOST_MINUTES)


def preflight(session: Session, minutes: int) -> dict[str, Any]:
    """Look at everything that a recording of ``minutes`` of the session needs.

    ``ok`` when all ``checks`` are; ``bytes_needed`` at the bit rate that the cameras send now (``None`` while one of
    them sends nothing that could be measured) and ``bytes_free`` above what is kept in reserve. Costs two queries and
    one question to Redis, whatever the number of cameras.
    """
    cameras = list(Camera.objects.filter(rig=session.rig_id, enabled=True).order_by("name")) if session.rig_id else []
    states = selectors.states(camera.slug for camera in cameras)
    checks = [_rig(session, cameras)]
    for camera in cameras:
        checks += [_online(camera, states[camera.slug]), _clock(camera, states[camera.slug])]
    needed = _needed(states.values(), minutes) if cameras else None
    free = max(0, free_bytes() - settings.LAB_DISK_RESERVE)
    checks.append(_disk(needed, free, minutes))
    return {
        "ok": all(check.ok for check in checks),
        "minutes": minutes,
        "bytes_needed": needed,
        "bytes_free": free,
        "checks": checks,
    }


def _rig(session: Session, cameras: list[Camera]) -> Check:
    if session.end is not None:
        return Check("session", "", "Session", False, "has ended; nothing more can be recorded for it")
    if session.rig is None:
        return Check("session", "", "Session", False, "is on no rig, so it has no cameras")
    if not cameras:
        return Check("session", "", "Session", False, f"{session.rig.name} has no camera that is switched on")
    count = "1 camera" if len(cameras) == 1 else f"{len(cameras)} cameras"
    return Check("session", "", "Session", True, f"runs on {session.rig.name}, {count} switched on")


def _online(camera: Camera, state: dict[str, Any]) -> Check:
    problem = state["reason"] if not state["live"] else state["trouble"]
    rate = "" if state["fps"] is None else f"sends {state['fps']:g} pictures/s"
    return Check("online", camera.slug, camera.name, not problem, problem or rate or "sends pictures")


def _clock(camera: Camera, state: dict[str, Any]) -> Check:
    offset = state["clock_offset_ms"]
    if offset is None:
        return Check("clock", camera.slug, f"{camera.name}, clock", False, "its offset has not been measured yet")
    ok = abs(offset) < MOST_OFFSET_MS
    detail = f"{abs(offset):.1f} ms {'ahead of' if offset > 0 else 'behind'} the server"
    advice = "" if ok else f"; less than {MOST_OFFSET_MS:g} ms is needed, set the clock of its box"
    return Check("clock", camera.slug, f"{camera.name}, clock", ok, detail + advice)


def _needed(states: Iterable[dict[str, Any]], minutes: int) -> int | None:
    total = 0.0
    for state in states:
        if not state["live"] or not state["bytes_per_second"]:
            return None
        total += state["bytes_per_second"]
    return round(total * 60 * minutes)


def _disk(needed: int | None, free: int, minutes: int) -> Check:
    if needed is None:
        detail = f"{free / GB:.1f} GB are free; how much is needed is known once all cameras send pictures"
        return Check("disk", "", "Disk", False, detail)
    detail = f"{minutes} min need {needed / GB:.1f} GB at the measured rate, {free / GB:.1f} GB are free"
    return Check("disk", "", "Disk", needed <= free, detail if needed <= free else f"{detail}; make room first")
