"""The page of a recording's traces, on a desktop and in the dark on a phone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from tests.browser.chromium import DESKTOP, FLAGS, PHONE, executable


@contextmanager
def trace_page(voltage: SimpleNamespace, device: str, picture: str) -> Iterator[Any]:
    """Open the page of ``voltage`` (``url``, ``path``, ``cookie``); an error of a script fails the test.

    Where ``LAB_TEST_PICTURES`` names a folder, a ``picture`` of how the test left the page is kept there.
    """
    from playwright.sync_api import sync_playwright

    phone = device == "phone"
    complaints: list[str] = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable(), args=FLAGS)
        context = chromium.new_context(
            base_url=voltage.url, viewport=PHONE if phone else DESKTOP, color_scheme="dark" if phone else "light",
            is_mobile=phone, has_touch=phone, device_scale_factor=2 if phone else 1,
        )  # fmt: skip
        context.add_cookies([{"name": "sessionid", "value": voltage.cookie, "url": voltage.url}])
        opened = context.new_page()
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("console", lambda m: complaints.append(m.text) if "Content Security Policy" in m.text else None)
        opened.goto(voltage.path)
        settled(opened)
        yield opened
        if folder := os.environ.get("LAB_TEST_PICTURES"):
            opened.screenshot(path=f"{folder}/{picture}.png", full_page=True)
        chromium.close()
    assert complaints == []


def settled(page: Any) -> None:
    """Wait until all that is seen has come and is drawn; what was pressed shows in the next picture."""
    page.evaluate("() => new Promise((then) => requestAnimationFrame(() => requestAnimationFrame(then)))")
    page.wait_for_function(
        "() => { const d = document.getElementById('traces').dataset; return 'ready' in d && d.waiting === '0'; }",
        timeout=60_000,
    )


def state(page: Any) -> dict[str, float]:
    """Return what the page shows: start, span and bin in s, the channels, and how many microvolts a row is high."""
    found = page.evaluate("({...document.getElementById('traces').dataset})")
    return {name: float(found[name]) for name in
            ("start", "span", "bin", "top", "rows", "microvolts", "ratio", "left", "height")}  # fmt: skip


def press(page: Any, *keys: str) -> None:
    """Press keys on the drawing, and wait until they show."""
    page.locator("#traces-canvas").focus()
    for key in keys:
        page.keyboard.press(key)
    settled(page)
