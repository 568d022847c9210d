"""What the laboratory is for, done in a real browser: see the animals, record them, track them, see the result."""

from __future__ import annotations

import re

import pytest

from tests.browser.chromium import DESKTOP, PHONE
from tests.waiting import until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

LIVE_MS = 30_000
JOB_MS = 180_000


def pixels(page, selector: str) -> bytes:
    """What the screen shows there."""
    return page.locator(selector).first.screenshot()


def frames(page, tile: str) -> int:
    return int(page.locator(tile).get_attribute("data-frames") or 0)


def fits(page) -> bool:
    """Nothing makes the page scroll sideways."""
    return page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_wall_shows_moving_pictures_with_their_age(visit, viewport):
    page = visit(viewport)
    page.goto("/wall/")
    tile = "[data-live]:first-of-type"
    page.wait_for_selector(f"{tile}[data-condition=live]", timeout=LIVE_MS)
    before, seen = pixels(page, f"{tile} canvas"), frames(page, tile)
    page.wait_for_function(
        "([tile, seen]) => document.querySelector(tile).dataset.frames > seen + 10", arg=[tile, seen]
    )
    assert pixels(page, f"{tile} canvas") != before
    assert re.fullmatch(r"\d+ ms|\d\.\d s", page.locator(f"{tile} [data-part=age]").inner_text())
    assert page.locator("[data-condition=bad]").count() == 0
    assert page.get_by_text("simulated").first.is_visible()
    assert fits(page)


def test_a_hidden_page_stops_its_streams(visit):
    page = visit(DESKTOP)
    page.goto("/wall/")
    tile = "[data-live]:first-of-type"
    page.wait_for_selector(f"{tile}[data-condition=live]", timeout=LIVE_MS)
    page.evaluate(
        """() => {
            Object.defineProperty(document, "hidden", { configurable: true, get: () => window.pretendHidden });
            window.pretendHidden = true;
            document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    # Frames under way may still come; then none does.
    page.wait_for_function(
        """(tile) => {
            const now = document.querySelector(tile).dataset.frames;
            const quiet = window.lastSeen === now ? (window.quietFor ?? 0) + 1 : 0;
            window.lastSeen = now;
            window.quietFor = quiet;
            return quiet > 20;
        }""",
        arg=tile,
        polling=100,
    )
    stopped = frames(page, tile)
    page.evaluate("() => { window.pretendHidden = false; document.dispatchEvent(new Event('visibilitychange')); }")
    page.wait_for_function("([tile, n]) => document.querySelector(tile).dataset.frames > n", arg=[tile, stopped])


@pytest.mark.parametrize(
    ("viewport", "rig"), [(PHONE, "Open field, round"), (DESKTOP, "Open field, square")], ids=["phone", "desktop"]
)
def test_record_track_and_see_the_result(visit, viewport, rig):
    page = visit(viewport, dark=viewport is PHONE)
    page.goto("/wall/")
    page.get_by_role("link", name="Start session").click()
    page.get_by_label("Rig").select_option(label=rig)
    page.locator("[name=animals]").first.evaluate(
        "(element) => element.options ? element.options[0].selected = true : element.click()"
    )
    page.get_by_role("button", name="Start now").click()
    page.wait_for_url(re.compile(r"/sessions/[0-9a-f-]{36}/"))
    session = page.url

    page.wait_for_selector("[data-live][data-condition=live]", timeout=LIVE_MS)
    page.get_by_role("button", name="Record").click()
    page.wait_for_selector("[data-live] [data-part=rec]:not([hidden])", timeout=LIVE_MS)
    recorded = frames(page, "[data-live]:first-of-type")
    page.wait_for_function(
        "([tile, n]) => document.querySelector(tile).dataset.frames > n + 100",
        arg=["[data-live]:first-of-type", recorded],
        timeout=60_000,
    )
    page.get_by_role("button", name="Stop recording").click()

    page.goto(session)
    analyse = page.locator("tr", has_text="video").get_by_role("link", name="analyse")
    until(lambda: page.reload() and analyse.count(), 60, "the recording in the catalog")
    analyse.first.click()
    page.get_by_role("radio", name="video.track").check()
    page.get_by_role("button", name="Queue video.track").click()
    page.wait_for_url(re.compile(r"/jobs/[0-9a-f-]{36}/"))
    page.wait_for_selector(".figure-drawing canvas, .figure-drawing .bk-Figure", timeout=JOB_MS)
    assert page.locator(".stat").count() >= 3
    assert page.get_by_text("simulated").first.is_visible()
    assert fits(page)

    page.goto(session)
    page.get_by_text("End session").click()
    page.get_by_role("button", name="End it now").click()
    page.wait_for_url(session)
    assert page.get_by_role("button", name="Record").count() == 0
