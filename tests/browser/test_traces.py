"""Hours of voltage in a real browser: scrolled and zoomed through, and what is drawn is what the file has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from analysis.traces import traced
from tests.browser.trace_page import GAIN, finished, press, recorded, settled, state, trace_page
from tests.cameras.laboratory import Laboratory
from tests.methods.running import recording as as_input
from tests.methods.running import run_pipeline

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(600)]
RATE, CHANNELS, SECONDS = 20_000, 384, 20
# A pulse of 1800 uV for 0.5 ms on the second channel from the top, at 15 s.
PULSE_AT, PULSE_ON, PULSE = 15 * RATE, CHANNELS - 2, 9000
# Far below what an idle machine draws, so that a busy one passes; a page that draws anew what it need not does not.
LEAST_FRAMES = 8


@pytest.fixture
def voltage(transactional_db: None, web: Laboratory, settings: Any) -> SimpleNamespace:
    """Twenty seconds of 384 channels with a pulse, their overview, and somebody who may see them and is logged in."""
    table = np.random.default_rng(5).integers(-100, 101, (SECONDS * RATE, CHANNELS), dtype=np.int16)
    table[PULSE_AT : PULSE_AT + RATE // 2000, PULSE_ON] = PULSE
    made = recorded(web, settings, table, RATE)
    mark = traced(made.ana, made.recording.pk).mark
    artifacts = finished("ephys.overview", made.recording, settings, fingerprint=mark)
    run_pipeline("ephys.overview", artifacts, as_input("ephys", "raw-binary", made.file, **made.parameters))
    made.table = table
    return made


@pytest.fixture(params=["desktop", "phone"])
def page(request: pytest.FixtureRequest, voltage: SimpleNamespace) -> Iterator[Any]:
    """The recording's page on a desktop, and in the dark on a phone."""
    with trace_page(voltage, request.param, f"traces-{request.param}-{request.node.name[5:12]}") as opened:
        yield opened


def highest_of_row(page: Any, row: int) -> tuple[float, float]:
    """Return how far above the middle of its row a trace reaches (uV), and at which sample, from the pixels drawn.

    It must stay within the upper half of its row, and its neighbours within the lower.
    """
    now = state(page)
    high = now["height"] / now["rows"]
    up, across, width = page.evaluate(
        """([middle, reach, left]) => {
        const canvas = document.getElementById('traces-canvas');
        const width = canvas.width - left;
        const data = canvas.getContext('2d').getImageData(left, middle - reach, width, reach).data;
        for (let y = 0; y < reach; y += 1) for (let x = 0; x < width; x += 1) {
          if ([0, 1, 2].some((k) => data[(y * width + x) * 4 + k] !== data[k])) return [reach - y, x, width];
        }
        return [0, 0, width];
        }""",
        [round((row - now["top"] + 0.5) * high), int(0.45 * high), now["left"]],
    )
    return up / high * now["microvolts"], now["start"] + across / width * now["span"]


def test_a_pulse_is_found_by_zooming_out_and_measured_by_zooming_in(page, voltage):
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    # Few channels from the top, so high that the pulse stays in its row.
    press(page, ",", ",", *["ArrowUp"] * 12)
    row = CHANNELS - 1 - PULSE_ON
    while state(page)["microvolts"] < 5000:
        press(page, "[")
    # The whole recording, from one second.
    press(page, *["-"] * 8)
    whole = state(page)
    assert (whole["start"], whole["span"]) == (0, SECONDS * RATE)
    assert whole["bin"] >= 128
    # Twenty seconds in hundreds of columns do not hide half a millisecond.
    height, sample = highest_of_row(page, row)
    pixel = state(page)["microvolts"] / (state(page)["height"] / state(page)["rows"])
    assert height == pytest.approx(PULSE * GAIN, abs=2 * pixel)
    assert sample == pytest.approx(PULSE_AT, abs=2 * whole["span"] / 300)
    # Back in, towards the pulse: the wheel keeps in place what is under it.
    canvas = page.locator("#traces-canvas")
    wide = page.evaluate("document.getElementById('traces-canvas').getBoundingClientRect().width")
    while state(page)["span"] > RATE / 50:
        now = state(page)
        left = now["left"] / now["ratio"]
        share = (PULSE_AT - now["start"]) / now["span"]
        canvas.hover(position={"x": left + share * (wide - left), "y": 40})
        page.mouse.wheel(0, -1200)
        page.wait_for_function("(was) => Number(document.getElementById('traces').dataset.span) < was", arg=now["span"])
        settled(page)
    near = state(page)
    assert near["bin"] == 1
    height, sample = highest_of_row(page, row)
    pixel = near["microvolts"] / (near["height"] / near["rows"])
    assert height == pytest.approx(PULSE * GAIN, abs=2 * pixel)
    assert sample == pytest.approx(PULSE_AT, abs=3)
    # The words beneath say the number of the file.
    left = near["left"] / near["ratio"]
    share = (PULSE_AT + 5 - near["start"]) / near["span"]
    y = (row + 0.5) / near["rows"] * near["height"] / near["ratio"]
    canvas.hover(position={"x": left + share * (wide - left), "y": y})
    assert f"channel {PULSE_ON}, {20 * PULSE_ON} µm · {PULSE * GAIN:.1f} µV" in page.locator("#traces-now").inner_text()


def test_what_is_scrolled_past_is_not_waited_for(page):
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/traces/window/" in request.url else None)
    page.locator("#traces-canvas").focus()
    for _ in range(15):
        page.keyboard.press("PageDown")
    settled(page)
    assert state(page)["start"] == 15 * RATE
    # Drawn within few requests more than what is seen and what is next to it.
    assert len(asked) < 200
    assert page.locator("#traces-error").is_hidden()


SCROLL = """(pixels) => new Promise((then) => {
  const canvas = document.getElementById('traces-canvas');
  const box = canvas.getBoundingClientRect();
  let x = box.left + box.width * 0.9;
  const send = (kind) => canvas.dispatchEvent(new PointerEvent(kind, { pointerId: 7, clientX: x, clientY: box.top + 90,
    bubbles: true }));
  canvas.setPointerCapture = () => {};
  send('pointerdown');
  const began = performance.now();
  let frames = 0;
  const step = () => {
    x -= pixels;
    send('pointermove');
    frames += 1;
    if (performance.now() - began < 2000) requestAnimationFrame(step);
    else { send('pointerup'); then((1000 * frames) / (performance.now() - began)); }
  };
  requestAnimationFrame(step);
})"""


def test_all_channels_are_scrolled_through_frame_by_frame(page):
    press(page, *["."] * 5, "-", "-")
    assert state(page)["rows"] == CHANNELS
    before = state(page)["start"]
    frames = page.evaluate(SCROLL, 4)
    settled(page)
    assert state(page)["start"] > before
    if os.environ.get("LAB_TEST_PICTURES"):
        print(f"{CHANNELS} channels: {frames:.1f} frames/s")  # noqa: T201 - what docs/measurements.md tells
    assert frames >= LEAST_FRAMES


def drawn(page: Any) -> str:
    return page.locator("#traces").get_attribute("data-drawn")


def test_a_filter_and_a_common_median_are_taken_where_the_window_is_short(page):
    press(page, *["."] * 5)
    recorded = state(page)["microvolts"]
    while state(page)["span"] > RATE / 4:
        press(page, "+")
    page.get_by_label("high-pass 300 Hz").check()
    page.get_by_label("without the common median").check()
    settled(page)
    assert drawn(page) == "high_pass reference"
    assert page.locator("#traces-clean-note").inner_text() == ""
    # Noise without its slow part is lower: the height is chosen anew, and comes back with what was recorded.
    assert 0 < state(page)["microvolts"] <= recorded
    assert page.locator("#traces-error").is_hidden()
    press(page, *["-"] * 8)
    assert drawn(page) == "recorded"
    assert state(page)["microvolts"] == recorded
    assert page.get_by_label("high-pass 300 Hz").is_disabled()
    assert "Shown as recorded: a window is filtered up to about" in page.locator("#traces-clean-note").inner_text()
    press(page, *["+"] * 8)
    assert drawn(page) == "high_pass reference"
    page.get_by_label("without the common median").uncheck()
    settled(page)
    assert drawn(page) == "high_pass"
