"""Spikes, units and ripples over the traces that they were found in, in a real browser, and two fingers on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sessions import services
from sessions.permissions import LABORATORY
from tests.browser.trace_page import GAIN, finished, press, recorded, settled, state, trace_page
from tests.cameras.laboratory import Laboratory

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(600)]
RATE, CHANNELS, SECONDS = 20_000, 12, 6
# Of two units, on the channels 3 and 8, and of one ripple.
FIRST, SECOND, RIPPLE = (8_000, 30_000, 90_000), (9_000, 60_000), (50_000, 49_000, 52_000)


@pytest.fixture
def voltage(transactional_db: None, web: Laboratory, settings: Any) -> SimpleNamespace:
    """Six seconds of twelve channels with spikes of two sorted units and a ripple; channel 5 is dead."""
    rng = np.random.default_rng(5)
    samples = SECONDS * RATE
    common = 1500 * np.sin(2 * np.pi * 7 * np.arange(samples) / RATE)
    table = rng.normal(common[:, None], 60, (samples, CHANNELS))
    for sample, channel in [(at, 3) for at in FIRST] + [(at, 8) for at in SECOND]:
        table[sample - 8 : sample + 8, channel] -= 900 * np.hanning(16)
    peak, start, stop = RIPPLE
    table[start:stop] += (400 * np.hanning(stop - start) * np.sin(np.arange(stop - start) * 2 * np.pi * 170 / RATE))[
        :, None
    ]
    table[:, 5] = 0
    made = recorded(web, settings, table, RATE)
    times = np.array([*FIRST, *SECOND]) / RATE
    np.savez(
        made.file.with_suffix(".npz"), spike_times=times, spike_units=np.array([0, 0, 0, 1, 1]),
        unit_labels=np.array(["1 (channel 3)", "2 (channel 8)"]),
    )  # fmt: skip
    services.register_recording(
        by=LABORATORY, session=made.session, kind="units", format="units-npz",
        files=[{"path": made.file.with_suffix(".npz").name}], derived_from={made.recording}, name="sorted",
    )  # fmt: skip
    ripples = finished("lfp.ripples", _lfp(web, made.recording), settings)
    (ripples / "ripples.csv").write_text(
        "start_s,peak_s,stop_s,height_SD,frequency_Hz\n"
        + ",".join(str(at / RATE) for at in (start, peak, stop))
        + ",9,170\n"
    )
    inspected = finished("ephys.inspect", made.recording, settings)
    labels = ["dead" if n == 5 else "good" for n in range(CHANNELS)]
    (inspected / "channels.csv").write_text("channel,label\n" + "".join(f"{n},{one}\n" for n, one in enumerate(labels)))
    return made


def _lfp(web: Laboratory, recording: Any) -> Any:
    np.zeros((100, 1), np.int16).tofile(web.data_root / f"{recording.pk}.bin")
    return services.register_recording(
        by=LABORATORY, session=recording.session, kind="lfp", format="raw-binary",
        files=[{"path": f"{recording.pk}.bin"}], derived_from={recording},
        parameters={"rate": 1000, "channels": 1, "dtype": "int16", "gain_to_uV": GAIN},
    )  # fmt: skip


@pytest.fixture(params=["desktop", "phone"])
def page(request: pytest.FixtureRequest, voltage: SimpleNamespace) -> Iterator[Any]:
    """The recording's page on a desktop, and in the dark on a phone."""
    with trace_page(voltage, request.param, f"events-{request.param}-{request.node.name[5:12]}") as opened:
        yield opened


def wait_for(page: Any, name: str, value: str) -> None:
    page.wait_for_function(
        "([name, value]) => document.getElementById('traces').dataset[name] === value", arg=[name, value],
        timeout=60_000,
    )  # fmt: skip


def test_units_and_ripples_are_drawn_where_they_were_found_and_jumped_through(page):
    assert page.get_by_role("link", name="11 of 12 channels are good (✕ 1 dead): probe map and noise").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    # In the first second: a spike of either unit. Units and ripples are shown at first.
    wait_for(page, "seen", "2 0")
    legend = page.get_by_role("group", name="Units in the window")
    assert legend.get_by_role("button").all_inner_texts() == ["1 (channel 3)", "2 (channel 8)"]
    # From event to event by key and by button, whichever unit; then through one unit alone.
    page.get_by_label("Through which events").select_option(index=0)
    press(page, *["+"] * 4)
    press(page, "Home", "n")
    wait_for(page, "event", "8000")
    press(page, "n")
    wait_for(page, "event", "9000")
    page.get_by_role("button", name="Next event").click()
    wait_for(page, "event", "30000")
    settled(page)
    now = state(page)
    assert now["start"] + now["span"] / 2 == pytest.approx(30_000, abs=1)
    legend.get_by_role("button", name="1 (channel 3)").click()
    press(page, "n")
    wait_for(page, "event", "90000")
    press(page, "n")
    page.get_by_text("There is none after this.").wait_for()
    press(page, "p")
    wait_for(page, "event", "30000")
    page.get_by_label("Through which events").select_option(index=1)
    press(page, "n")
    wait_for(page, "event", "50000")
    wait_for(page, "seen", "0 1")
    page.get_by_label("ripples").uncheck()
    wait_for(page, "seen", "0")


@pytest.mark.parametrize("page", ["desktop"], indirect=True)
def test_near_the_ends_one_goes_on_from_the_event_that_cannot_be_brought_into_the_middle(page):
    wait_for(page, "seen", "2 0")
    page.get_by_label("Through which events").select_option(index=0)
    for key, found in (
        ("Home", None), ("p", 9_000), ("p", 8_000), ("n", 9_000), ("n", 30_000),
        # All that there is is seen, and nothing can be brought into the middle.
        ("-", None), ("-", None), ("-", None), ("p", 30_000), ("p", 9_000), ("n", 30_000), ("n", 60_000),
        ("n", 90_000),
    ):  # fmt: skip
        press(page, key)
        if found is not None:
            wait_for(page, "event", str(found))
            settled(page)
    assert state(page)["span"] == SECONDS * RATE
    press(page, "n")
    page.get_by_text("There is none after this.").wait_for()


@pytest.mark.parametrize("page", ["desktop"], indirect=True)
def test_events_that_did_not_come_are_asked_for_again(page):
    wait_for(page, "seen", "2 0")
    page.route("**/traces/events/**", lambda route: route.abort())
    # What there is to be shown is asked for once more, too.
    page.route("**/traces/sources/", lambda route: route.abort(), times=1)
    page.reload()
    page.get_by_text("The server does not answer.").wait_for()
    page.unroute("**/traces/events/**")
    wait_for(page, "seen", "2 0")
    page.get_by_text("The server does not answer.").wait_for(state="hidden")


def test_a_spike_is_drawn_in_its_units_colour_on_its_channel(page):
    wait_for(page, "seen", "2 0")
    press(page, *["+"] * 5)
    press(page, "Home")
    page.get_by_label("Through which events").select_option(index=0)
    press(page, "n")
    wait_for(page, "event", "8000")
    settled(page)
    now = state(page)
    dot = page.locator("#traces-legend .traces-dot").first
    wanted = [
        int(part) for part in dot.evaluate("(e) => getComputedStyle(e).backgroundColor").strip("rgb()").split(",")
    ]
    # Rows go from the surface down: channel 3 is the ninth.
    middle = (CHANNELS - 1 - 3 - now["top"] + 0.5) * now["height"] / now["rows"]
    other = (CHANNELS - 1 - 8 - now["top"] + 0.5) * now["height"] / now["rows"]
    near, elsewhere = (
        page.evaluate(
            """([y, left, wanted]) => {
            const canvas = document.getElementById('traces-canvas');
            const x = Math.round(left + (canvas.width - left) / 2) - 4;
            const data = canvas.getContext('2d').getImageData(x, Math.round(y) - 8, 8, 16).data;
            let least = 765;
            for (let at = 0; at < data.length; at += 4) {
              least = Math.min(least, wanted.reduce((sum, value, k) => sum + Math.abs(value - data[at + k]), 0));
            }
            return least;
            }""",
            [y, now["left"], wanted],
        )
        for y in (middle, other)
    )
    assert near < 120 < elsewhere


@pytest.mark.parametrize("page", ["phone"], indirect=True)
def test_two_fingers_spread_the_traces_in_time(page):
    before = state(page)
    page.locator("#traces-canvas").scroll_into_view_if_needed()
    box = page.locator("#traces-canvas").bounding_box()
    session = page.context.new_cdp_session(page)
    y = box["y"] + min(box["height"], 844 - box["y"]) / 2

    def touch(kind: str, *places: float) -> None:
        points = [{"x": x, "y": y, "id": number} for number, x in enumerate(places)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def spread(of: float, to: float) -> None:
        touch("touchStart", 215 - of, 215 + of)
        for step in range(1, 11):
            half = of + (to - of) * step / 10
            touch("touchMove", 215 - half, 215 + half)
        touch("touchEnd")
        settled(page)

    left = before["left"] / before["ratio"]
    share = (215 - box["x"] - left) / (box["width"] - left)
    held = before["start"] + share * before["span"]
    spread(30, 120)
    near = state(page)
    assert near["span"] == pytest.approx(before["span"] / 4, rel=0.1)
    # What lay between the fingers stays there, and the page neither scrolls nor zooms.
    assert near["start"] + share * near["span"] == pytest.approx(held, abs=0.03 * before["span"])
    assert page.evaluate("window.visualViewport.scale") == 1
    spread(120, 30)
    assert state(page)["span"] == pytest.approx(before["span"], rel=0.1)
