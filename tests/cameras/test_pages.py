"""The wall and the camera page in a real browser: pictures move, what is wrong is said, a click records."""

from __future__ import annotations

import base64
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import cv2
import numpy as np
import pytest

from cameras import services, tasks
from cameras.agent.strip import read_number
from cameras.models import CameraRecording
from sessions.permissions import LABORATORY
from sessions.services import add_events, create_task
from tests.browser.chromium import PHONE
from tests.cameras.browsing import Browser, Listener, cookie_of
from tests.cameras.conftest import START, Catalog, make_catalog, store_frames
from tests.cameras.laboratory import Laboratory, wait_for

pytestmark = pytest.mark.timeout(240)

# From the moment that a camera is gone to the words on the page (s).
SAID_WITHIN = 3.0


def test_wall_and_camera_page(running: tuple[Laboratory, Catalog], browser: Browser, url: str) -> None:
    laboratory, catalog = running
    cookie = cookie_of(catalog.experimenter)
    first, second = (camera.slug for camera in catalog.cameras)

    page = browser.open(url, cookie, "/wall/")

    def frames(slug: str) -> int:
        return browser.do(lambda: int(page.locator(f"[data-slug={slug}]").get_attribute("data-frames") or 0))

    def veil(slug: str) -> str:
        return browser.do(
            lambda: page.locator(f"[data-slug={slug}] [data-part=veil]").evaluate("e => e.hidden ? '' : e.innerText")
        )

    for slug in (first, second):
        wait_for(lambda slug=slug: frames(slug) > 5, f"moving pictures of {slug}", 30)
        age = browser.do(lambda slug=slug: page.locator(f"[data-slug={slug}] [data-part=age]").inner_text())
        assert age.endswith("s"), age
    # Something is drawn, not only counted: the tile is not one colour.
    picture = browser.do(lambda: page.locator(f"[data-slug={first}]").screenshot())
    assert cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_GRAYSCALE).std() > 20

    listener = Listener(browser, page, second)
    stopped = time.time()
    laboratory.processes[f"agent-{second}"].send_signal(signal.SIGSTOP)
    assert listener.seconds_until(stopped, "veil", "no picture") < SAID_WITHIN
    assert veil(first) == ""
    if folder := os.environ.get("LAB_SCREENSHOTS"):
        browser.do(lambda: page.screenshot(path=f"{folder}/wall-frozen.png"))
    laboratory.processes[f"agent-{second}"].send_signal(signal.SIGCONT)
    wait_for(lambda: veil(second) == "", "pictures again", 15)
    killed = time.time()
    laboratory.kill(f"agent-{second}")
    assert listener.seconds_until(killed, "veil", "offline") < SAID_WITHIN
    assert veil(first) == ""

    browser.do(lambda: page.goto(f"/cameras/{first}/"))
    wait_for(lambda: frames(first) > 5, "moving pictures on the camera page", 30)
    browser.do(lambda: page.get_by_role("button", name="Record this camera").click())
    wait_for(lambda: CameraRecording.objects.filter(state="recording").exists(), "recording")
    wait_for(lambda: browser.do(lambda: page.locator("[data-part=rec]").is_visible()), "REC on the picture", 15)
    if folder:
        browser.do(lambda: page.screenshot(path=f"{folder}/camera-recording.png"))
    browser.do(lambda: page.on("dialog", lambda dialog: dialog.accept()))
    browser.do(lambda: page.get_by_role("button", name="Stop recording").click())
    wait_for(lambda: CameraRecording.objects.filter(state="finished", lost=0).exists(), "finished recording", 20)
    assert browser.complaints == []


LIVE = """(slug) => {
  const tile = document.querySelector(`[data-slug=${slug}]`);
  return tile.dataset.codec + " " + (tile.dataset.rendition ?? "main") + " " + tile.querySelector("canvas").width;
}"""
# A browser without WebCodecs; without the worker's canvas, too, since only the page's own names can be taken away.
WITHOUT_WEBCODECS = "delete window.VideoDecoder; delete window.OffscreenCanvas;"


@pytest.mark.long
@pytest.mark.usefixtures("transactional_db")
def test_h264_is_decoded_where_the_browser_can_and_is_a_preview_elsewhere(
    laboratory: Laboratory, browser: Browser, url: str
) -> None:
    catalog = make_catalog(1)
    slug = services.update_camera(by=LABORATORY, camera=catalog.cameras[0], codec="h264").slug
    agent = laboratory.start_agent(slug, catalog.tokens[0], size="640x480")
    wait_for(lambda: laboratory.state(slug).get("codec") == "h264", "pictures in H.264", 40)
    page = browser.open(url, cookie_of(catalog.viewer), f"/cameras/{slug}/")
    supported = "VideoDecoder.isConfigSupported({codec: 'avc1.42E01F'}).then((answer) => answer.supported)"
    if not browser.do(lambda: page.evaluate(f"typeof VideoDecoder !== 'undefined' && {supported}")):
        pytest.skip("This Chromium was built without H.264.")
    tile = page.locator(f"[data-slug={slug}]")

    def said(name: str) -> int:
        return browser.do(lambda: int(tile.get_attribute(f"data-{name}") or 0))

    def on_screen() -> int:
        """Return the number in the picture that the screen shows; 0 where it cannot be read."""
        picture = browser.do(lambda: tile.locator("canvas").screenshot())
        return read_number(cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_GRAYSCALE)) or 0

    def plays() -> None:
        """Wait for more pictures than two key frames are apart, and for one of those on the screen."""
        frames, sequence = said("frames"), said("sequence")
        wait_for(lambda: said("frames") > frames + 70, "moving pictures", 40)
        wait_for(lambda: on_screen() > sequence, "a picture that was decoded right", 20)

    wait_for(lambda: browser.do(lambda: page.evaluate(LIVE, slug)) == "h264 main 640", "decoded pictures", 30)
    plays()
    # The stream breaks off in the middle of a group, and another begins.
    laboratory.kill(agent)
    laboratory.restart(agent)
    plays()
    if folder := os.environ.get("LAB_SCREENSHOTS"):
        browser.do(lambda: page.screenshot(path=f"{folder}/camera-h264.png"))

    def open_without() -> Any:
        other = page.context.new_page()
        other.add_init_script(WITHOUT_WEBCODECS)
        other.goto(f"/cameras/{slug}/")
        return other

    other = browser.do(open_without)
    wait_for(lambda: browser.do(lambda: other.evaluate(LIVE, slug)) == "jpeg preview 320", "the preview instead", 30)
    assert browser.do(lambda: other.locator("[data-part=small]").is_visible())
    if folder:
        browser.do(lambda: other.screenshot(path=f"{folder}/camera-h264-preview.png"))
    assert browser.complaints == []


PICTURE = """() => {
  const video = document.getElementById("video");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d").drawImage(video, 0, 0);
  return canvas.toDataURL("image/png").split(",")[1];
}"""


@pytest.mark.usefixtures("transactional_db")
def test_scrubbing_shows_the_right_frame(laboratory: Laboratory, browser: Browser, url: str) -> None:
    catalog = make_catalog(1)
    recording = services.start_recording(session=catalog.session, by=catalog.experimenter)[0]
    services.stop_recording(session=catalog.session, by=catalog.experimenter)
    numbers = [*range(1, 60), *range(90, 241)]
    store_frames(laboratory.data_root / recording.folder, recording.pk, numbers)
    first = datetime.fromtimestamp(START / 1e9 + 0.04, tz=UTC)
    told = [(1, "reward"), (5, "reward"), (0.5, "go"), (4.5, "go"), (7, "go"), (8, "over")]
    events = [{"time": first + timedelta(seconds=s), "kind": kind} for s, kind in told]
    rule = {"start": "go", "end": "over", "timeout": 2, "outcomes": {"reward": "correct"}, "otherwise": "missed"}
    catalog.session.task = create_task(by=LABORATORY, name="two choices", parameters={"trials": rule})
    catalog.session.save(update_fields=["task"])
    add_events(by=catalog.experimenter, session=catalog.session, events=events)
    services.finish_recording(recording_id=recording.pk, first=1, last=240)
    tasks.make_proxy(str(recording.pk))

    page = browser.open(url, cookie_of(catalog.viewer), f"/cameras/recordings/{recording.pk}/")
    timeline = "document.getElementById('timeline').dataset"

    def settled() -> int | None:
        return browser.do(lambda: page.evaluate(f"{timeline}.settled ? Number({timeline}.sequence) : null"))

    def picture() -> int | None:
        data = base64.b64decode(browser.do(lambda: page.evaluate(PICTURE)))
        return read_number(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE))

    def scrub(seconds: float) -> None:
        move = "([s, e]) => { s.value = e; s.dispatchEvent(new Event('input', {bubbles: true})); }"
        handle = page.locator("#scrub").element_handle()
        page.evaluate(move, [handle, str(seconds)])

    def shows(number: int) -> None:
        wait_for(lambda: settled() == number and picture() == number, f"frame {number}", 60)

    wait_for(lambda: settled() == 1, "the first frame", 30)
    # Frame n was taken (n - 1) * 40 ms after the first; the last before the gap stays while nothing was stored.
    for seconds, number in ((4.83, 121), (0.41, 11), (3.0, 59), (9.0, 226)):
        browser.do(lambda s=seconds: scrub(s))
        shows(number)
    browser.do(lambda: page.locator("#previous").click())
    shows(225)
    browser.do(lambda: page.locator("#scrub").press("ArrowRight"))
    shows(226)
    browser.do(lambda: page.get_by_role("button", name="0:02.320").click())
    shows(59)
    lanes = browser.do(lambda: page.locator("#lanes").inner_text())
    assert "lost frames: 30" in lanes
    assert "reward: 2" in lanes
    assert "trials, correct: 2" in lanes
    assert "trials, missed: 1" in lanes
    titles = browser.do(lambda: page.locator(".trial-mark title").all_text_contents())
    assert [title.split(",")[0] for title in titles] == ["trial 1", "trial 2", "trial 3"]
    # A click on a trial shows the frame of its start; the lanes lie in the figure as wide as the recording is long.
    browser.do(lambda: page.locator(".trial-mark").nth(1).click(position={"x": 2, "y": 4}))
    wait_for(lambda: 108 <= (settled() or 0) <= 120 and picture() == settled(), "a frame at the second trial", 60)
    if folder := os.environ.get("LAB_SCREENSHOTS"):
        browser.do(lambda: page.screenshot(path=f"{folder}/recording.png", full_page=True))
    assert browser.do(lambda: page.locator(".lost-mark").count()) == 1
    assert browser.do(lambda: page.evaluate("document.documentElement.scrollWidth")) <= PHONE["width"]
    assert browser.complaints == []


@pytest.mark.long
def test_looking_closer_on_a_phone(running: tuple[Laboratory, Catalog], browser: Browser, url: str) -> None:
    _, catalog = running
    slug = catalog.cameras[0].slug
    page = browser.open(url, cookie_of(catalog.viewer), f"/cameras/{slug}/")
    tile = page.locator(f"[data-slug={slug}]")
    wait_for(lambda: browser.do(lambda: int(tile.get_attribute("data-frames") or 0)) > 5, "moving pictures", 30)
    box = browser.do(tile.bounding_box)
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    fingers = browser.do(lambda: page.context.new_cdp_session(page))

    def touch(kind: str, *points: tuple[float, float]) -> None:
        at = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        browser.do(lambda: fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at}))

    def state() -> dict[str, Any]:
        """What is seen: the scale, where the picture's left edge is, and whether the page itself was enlarged."""
        look = """() => {
          const canvas = document.querySelector("[data-stage] canvas").getBoundingClientRect();
          return {zoom: Number(document.querySelector("[data-stage]").dataset.zoom), left: canvas.left,
                  width: canvas.width, page: visualViewport.scale};
        }"""
        return browser.do(lambda: page.evaluate(look))

    def pinch(start: float, end: float) -> None:
        touch("touchStart", (middle[0] - start, middle[1]), (middle[0] + start, middle[1]))
        for step in range(1, 9):
            apart = start + (end - start) * step / 8
            touch("touchMove", (middle[0] - apart, middle[1]), (middle[0] + apart, middle[1]))
        touch("touchEnd")

    pinch(30, 120)
    wait_for(lambda: state()["zoom"] > 3, "an enlarged picture", 10)
    seen = state()
    assert (seen["page"], round(seen["width"] / box["width"], 1)) == (1, round(seen["zoom"], 1))
    # One finger drags the picture, and not past its border.
    touch("touchStart", middle)
    touch("touchMove", (middle[0] + 60, middle[1]))
    touch("touchEnd")
    wait_for(lambda: state()["left"] > seen["left"] + 30, "a dragged picture", 10)
    touch("touchStart", middle)
    for step in range(1, 9):
        touch("touchMove", (middle[0] + 20 * step, middle[1]))
    touch("touchEnd")
    assert state()["left"] <= box["x"] + 0.5
    if folder := os.environ.get("LAB_SCREENSHOTS"):
        browser.do(lambda: page.screenshot(path=f"{folder}/camera-zoomed.png"))
    browser.do(lambda: page.get_by_role("button", name="show the whole picture").click())
    wait_for(lambda: state()["zoom"] == 1, "the whole picture", 10)
    pinch(120, 30)
    assert state()["zoom"] == 1
    for _ in range(2):
        browser.do(lambda: page.touchscreen.tap(*middle))
    wait_for(lambda: state()["zoom"] == 2.5, "a picture enlarged by a double tap", 10)
    browser.do(lambda: page.keyboard.press("0"))
    wait_for(lambda: state()["zoom"] == 1, "the whole picture again", 10)

    # Full screen keeps the phone awake for so long.
    browser.do(lambda: page.get_by_role("button", name="Full screen").click())
    stage = page.locator("[data-stage]")

    def awake() -> bool:
        return browser.do(lambda: stage.get_attribute("data-awake")) is not None

    wait_for(awake, "a screen that stays on", 10)
    browser.do(lambda: page.keyboard.press("Escape"))
    wait_for(lambda: not awake(), "a screen that may go off", 10)

    # A snapshot says when it was taken and how old it was.
    browser.do(lambda: page.get_by_role("link", name="Snapshot").click())
    about = page.locator("[data-snapshot-about]")
    said = wait_for(lambda: "ms old" in (text := browser.do(about.inner_text)) and text, "a snapshot with its age", 15)
    assert int(said.rpartition(" ms old")[0].rpartition(" ")[2]) < 3000
    if folder:
        browser.do(lambda: page.screenshot(path=f"{folder}/camera-snapshot.png"))
    name = browser.do(lambda: page.locator("[data-snapshot-save]").get_attribute("download"))
    assert name.startswith(f"{slug}-")
    picture = page.locator("[data-snapshot-picture]")
    assert browser.do(lambda: picture.evaluate("i => [i.naturalWidth, i.naturalHeight]")) == [320, 240]
    assert browser.do(lambda: page.evaluate("document.documentElement.scrollWidth")) <= PHONE["width"]
    assert browser.complaints == []
