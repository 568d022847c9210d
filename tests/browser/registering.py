"""Raw voltage that lies on the disk of a new laboratory, and its registration on the page for that."""

from __future__ import annotations

import re
from typing import Any

from analysis.methods.raw_sessions import RawTruth, simulate_raw_session
from labsite.demo.rawsession import write_raw_session
from tests.stack.laboratory import Laboratory

PAGE_MS = 60_000


def session_on_disk(laboratory: Laboratory, seconds: float) -> str:
    """Return the id of a session without recordings; its simulated files lie where the server reads its data."""
    write_raw_session(simulate_raw_session(RawTruth(seconds=seconds), seed=1), laboratory.home / "data/track/day1")
    headers = {"Authorization": f"Token {laboratory.token()}"}
    assert laboratory.post("/api/v1/projects/", {"name": "Track"}, **headers)[0] == 201
    body = {"project": "Track", "title": "R1 on the track", "start": "2026-03-02T12:00:00Z"}
    status, session = laboratory.post("/api/v1/sessions/", body, **headers)
    assert status == 201, session
    return session["id"]


def register(page: Any, session: str, kind: str, file: str) -> None:
    """Register a file on the page for that; what is said of raw samples is in the description beside them."""
    page.goto(f"/sessions/{session}/register/")
    page.get_by_label("Kind").select_option(value=kind)
    page.get_by_label("Files").fill(f"track/day1/{file}")
    page.get_by_role("button", name="Register").click()
    page.wait_for_url(re.compile(r"/recordings/[0-9a-f-]{36}/"), timeout=PAGE_MS)
