"""From a recording without an overview to one that can be scrolled through, by the button of its page and a worker."""

from __future__ import annotations

import re

import pytest

from tests.browser.chromium import DESKTOP
from tests.browser.conftest import visitor
from tests.browser.registering import PAGE_MS, register, session_on_disk
from tests.browser.trace_page import settled

JOB_MS = 300_000

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(1500)]


def test_the_overview_is_computed_from_the_page_that_then_shows_the_whole_recording(chromium, laboratory):
    session = session_on_disk(laboratory, 30)
    with visitor(chromium, laboratory) as visit:
        page = visit(DESKTOP)
        register(page, session, "ephys", "probe-raw.bin")
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
