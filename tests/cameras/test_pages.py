"""The wall and the camera page in a real browser: pictures move, what is wrong is said, a click records."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.test import Client

from cameras.models import CameraRecording
from tests.browser.chromium import FLAGS, executable
from tests.cameras.conftest import Catalog
from tests.cameras.laboratory import ROOT, Laboratory, wait_for

pytestmark = pytest.mark.timeout(240)

PHONE = {"width": 390, "height": 844}


class Browser:
    """Chromium in a thread of its own: Playwright's event loop would make Django refuse the database in this one."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self._thread = ThreadPoolExecutor(1)
        self.do(self._start)

    def do(self, function: Callable[[], Any]) -> Any:
        return self._thread.submit(function).result(90)

    def _start(self) -> None:
        from playwright.sync_api import sync_playwright

        self._playwright = sync_playwright().start()
        self._chromium = self._playwright.chromium.launch(executable_path=executable(), args=FLAGS)

    def open(self, url: str, cookie: str, path: str) -> Any:
        def go() -> Any:
            context = self._chromium.new_context(viewport=PHONE, base_url=url, has_touch=True, is_mobile=True)
            context.add_cookies([{"name": "sessionid", "value": cookie, "url": url}])
            page = context.new_page()
            page.on("pageerror", lambda error: self.complaints.append(str(error)))
            page.on("console", self._heard)
            page.goto(path)
            return page

        return self.do(go)

    def _heard(self, message: Any) -> None:
        # /healthz rightly says that no worker runs in these tests.
        if message.type == "error" and "503" not in message.text:
            self.complaints.append(message.text)

    def close(self) -> None:
        def end() -> None:
            self._chromium.close()
            self._playwright.stop()

        self.do(end)
        self._thread.shutdown()


@pytest.fixture
def browser() -> Iterator[Browser]:
    executable()
    made = Browser()
    yield made
    made.close()


def test_wall_and_camera_page(running: tuple[Laboratory, Catalog], browser: Browser) -> None:
    laboratory, catalog = running
    collect = [sys.executable, "manage.py", "collectstatic", "--noinput", "-v", "0"]
    subprocess.run(collect, cwd=ROOT, env=laboratory.environment, check=True)
    laboratory.kill("web")
    laboratory.restart("web")
    client = Client()
    client.force_login(catalog.experimenter)
    cookie = client.cookies["sessionid"].value
    url = f"http://127.0.0.1:{laboratory.web_port}"
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
    import cv2
    import numpy as np

    assert cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_GRAYSCALE).std() > 20

    laboratory.processes[f"agent-{second}"].send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    wait_for(lambda: "no picture" in veil(second), "words over the frozen picture", 6)
    assert time.monotonic() - stopped < 3.5
    assert veil(first) == ""
    if folder := os.environ.get("LAB_SCREENSHOTS"):
        browser.do(lambda: page.screenshot(path=f"{folder}/wall-frozen.png"))
    laboratory.processes[f"agent-{second}"].send_signal(signal.SIGCONT)
    wait_for(lambda: veil(second) == "", "pictures again", 15)

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
