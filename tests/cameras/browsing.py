"""A phone's browser for the tests of cameras, and what a page says with the time when it said it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.test import Client

from tests.browser.chromium import FLAGS, PHONE, executable
from tests.cameras.laboratory import wait_for

# Notes each change of the words over and on a tile, with the system's time (ms) at which the page made it.
LISTEN = """(slug) => {
  const part = (name) => document.querySelector(`[data-slug="${slug}"] [data-part="${name}"]`);
  window.heard = [];
  for (const name of ["veil", "trouble"]) {
    const watched = part(name);
    let before = null;
    const note = () => {
      const text = watched.hidden ? "" : watched.innerText;
      if (before !== null && before !== text) window.heard.push([Date.now(), name, text]);
      before = text;
    };
    note();
    const everything = { attributes: true, childList: true, characterData: true, subtree: true };
    new MutationObserver(note).observe(watched, everything);
  }
}"""


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


class Listener:
    """What the page of a browser says of one camera from now on."""

    def __init__(self, browser: Browser, page: Any, slug: str) -> None:
        self._browser, self._page = browser, page
        browser.do(lambda: page.evaluate(LISTEN, slug))

    def seconds_until(self, since: float, part: str, words: str) -> float:
        """Wait until the page says words, and return how long after a moment (Unix time) it did, by its own note."""

        def said() -> list[float]:
            heard = self._browser.do(lambda: self._page.evaluate("window.heard"))
            return [
                at / 1000 - since
                for at, name, text in heard
                if name == part and at / 1000 >= since and (words in text if words else not text)
            ]

        return wait_for(said, f"{words or 'nothing'!r} on the {part}", 20)[0]


def cookie_of(user: Any) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value
