"""From a recording without an overview to one that can be scrolled through, by the button of its page and a worker."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from analysis.methods.raw_sessions import RawTruth, simulate_raw_session
from labsite.demo.rawsession import write_raw_session
from tests.browser.chromium import DESKTOP
from tests.browser.conftest import visitor
from tests.browser.test_chain import PAGE_MS, register
from tests.browser.trace_page import settled
from tests.stack.laboratory import Laboratory

JOB_MS = 300_000

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """A laboratory as a new user starts it, with nothing in it."""
    started = Laboratory(tmp_path_factory.mktemp("overview") / "home")
    try:
        yield started.wait_for_banner(600)
    finally:
        started.stop()


def test_the_overview_is_computed_from_the_page_that_then_shows_the_whole_recording(chromium, laboratory):
    write_raw_session(simulate_raw_session(RawTruth(seconds=30), seed=1), laboratory.home / "data/track/day1")
    headers = {"Authorization": f"Token {laboratory.token()}"}
    assert laboratory.post("/api/v1/projects/", {"name": "Track"}, **headers)[0] == 201
    body = {"project": "Track", "title": "R1 on the track", "start": "2026-03-02T12:00:00Z"}
    status, session = laboratory.post("/api/v1/sessions/", body, **headers)
    assert status == 201, session
    with visitor(chromium, laboratory) as visit:
        page = visit(DESKTOP)
        register(page, session["id"], "ephys", "probe-raw.bin")
        settled(page)
        assert "There is no overview yet" in page.locator("#traces-words").inner_text()
        page.get_by_role("button", name="Compute the overview").click()
        page.get_by_role("link", name="Its job").wait_for(timeout=PAGE_MS)
        # The page hears of the job's end by itself.
        page.locator("#traces-offer").wait_for(state="hidden", timeout=JOB_MS)
        page.locator("#traces-canvas").focus()
        for _ in range(8):
            page.keyboard.press("-")
        settled(page)
        told = page.evaluate("({...document.getElementById('traces').dataset})")
        assert (told["start"], int(told["bin"]) >= 64) == ("0", True)
        assert re.fullmatch(r"30 s", page.locator("#traces-span").inner_text())
        # It is a result like others.
        page.reload()
        settled(page)
        assert page.locator("#traces-offer").is_hidden()
        assert page.get_by_role("link", name=re.compile("ephys.overview")).first.is_visible()
