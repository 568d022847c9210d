"""Drawing an arena on a frame and watching a track on its video, in a real browser, by mouse, finger and keyboard."""

from __future__ import annotations

import json

import pytest

from tests.browser.chromium import DESKTOP, PHONE
from tests.waiting import until

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(600)]
LOADED_MS = 60_000


@pytest.fixture
def tracked(demo_laboratory):
    """The first tracking that the demo has done: the id of its video and of its position recording."""
    headers = {"Authorization": f"Token {demo_laboratory.token()}"}

    def listed(path):
        status, body = demo_laboratory.get(path, **headers)
        assert status == 200, body
        return json.loads(body)["results"]

    def succeeded():
        return listed("/api/v1/jobs/?pipeline=video.track&state=succeeded")

    job = until(succeeded, 300, "a tracked video")[-1]
    video = job["recordings"][0]
    positions = [
        row for row in listed("/api/v1/recordings/?kind=position&page_size=100") if video in row["derived_from"]
    ]
    return video, positions[0]["id"]


def moved(page, name, by):
    """Drag a handle by so many px of the screen."""
    box = page.get_by_role("button", name=name, exact=False).locator(".mark").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by[0], y + by[1], steps=3)
    page.mouse.up()


def label(page, name):
    return page.get_by_role("button", name=name, exact=False).get_attribute("aria-label")


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_an_arena_is_drawn_kept_and_offered_to_tracking(visit, tracked, viewport):
    page = visit(viewport)
    page.goto(f"/recordings/{tracked[0]}/arenas/")
    page.wait_for_selector("#arenas[data-ready]", timeout=LOADED_MS)
    while page.get_by_role("button", name="Remove").count():
        page.get_by_role("button", name="Remove").first.click()
    page.get_by_role("button", name="+ Corners").click()
    page.get_by_label("Name of arena 1").fill("box")
    before = label(page, "box, corner 1")
    page.get_by_role("button", name="box, corner 1").focus()
    page.keyboard.press("Shift+ArrowLeft")
    by_keyboard = label(page, "box, corner 1")
    assert by_keyboard != before
    moved(page, "box, corner 1", (-8, -6))
    by_pointer = label(page, "box, corner 1")
    assert by_pointer != by_keyboard
    moved(page, "box, side 1: add", (4, -6))
    assert page.get_by_role("button", name="box, corner 5").count() == 1
    page.get_by_label("two points").check()
    page.get_by_label("Distance, cm").fill("40")
    assert "px in one cm" in page.locator("#scale-now").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page.get_by_role("button", name="Keep and track").click()
    page.wait_for_url("**/jobs/new/**")
    arenas = json.loads(page.locator("[name='p.arenas']").input_value())
    assert [(arena["name"], len(arena["points"])) for arena in arenas] == [("box", 5)]
    page.goto(f"/recordings/{tracked[0]}/arenas/")
    page.wait_for_selector("#arenas[data-ready]", timeout=LOADED_MS)
    assert label(page, "box, corner 1") == by_pointer


def test_a_track_follows_the_picture_that_is_shown(visit, tracked):
    page = visit(DESKTOP)
    page.goto(f"/recordings/{tracked[1]}/watch/")
    page.wait_for_selector("#watch[data-ready]", timeout=LOADED_MS)
    scrub = page.get_by_role("slider")
    for row in (100, 37):
        scrub.evaluate("(slider, row) => { slider.value = row; slider.dispatchEvent(new Event('input')); }", row)
        page.wait_for_function(
            "(row) => Number(document.getElementById('watch').dataset.picture) === row", arg=row, timeout=LOADED_MS
        )
        assert page.locator("#now").inner_text().startswith(f"frame {row + 1} of ")
    page.locator("#next").click()
    page.wait_for_function("() => Number(document.getElementById('watch').dataset.picture) === 38", timeout=LOADED_MS)
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("() => Number(document.getElementById('watch').dataset.row) > 60", timeout=LOADED_MS)
    page.get_by_role("button", name="Pause").click()
    page.wait_for_function(
        "() => document.getElementById('watch').dataset.row === document.getElementById('watch').dataset.picture",
        timeout=LOADED_MS,
    )
