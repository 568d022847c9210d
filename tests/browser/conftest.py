"""One Chromium for all browser tests, a clean context for each, and no error of a script that goes unseen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection

from tests.browser.chromium import FLAGS, executable
from tests.cameras.laboratory import Laboratory as Processes
from tests.cameras.laboratory import database_url
from tests.stack.laboratory import Laboratory


@pytest.fixture(scope="module")
def chromium() -> Iterator[object]:
    """The browser; it goes with its module, since Playwright's loop would make Django refuse database calls."""
    from playwright.sync_api import sync_playwright

    path = executable()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def visitor(chromium: object, laboratory: Laboratory) -> Iterator[Callable[..., object]]:
    """Open pages of a laboratory as its administrator; a script's error or a blocked resource fails the test."""
    contexts = []
    complaints: list[str] = []

    def open_page(viewport: dict[str, int], *, dark: bool = False, user: str = "admin") -> object:
        context = chromium.new_context(
            base_url=laboratory.url,
            viewport=viewport,
            color_scheme="dark" if dark else "light",
            is_mobile=viewport["width"] < 500,
            has_touch=viewport["width"] < 500,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
        page.on(
            "console",
            lambda message: (
                complaints.append(f"{page.url}: {message.text}")
                if message.type == "error" and "Content Security Policy" in message.text
                else None
            ),
        )
        page.goto("/login/")
        page.get_by_label("User").fill(user)
        page.get_by_label("Password").fill((Path(laboratory.home) / "admin-password").read_text().strip())
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(lambda url: "/login/" not in url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def visit(chromium, demo_laboratory: Laboratory) -> Iterator[Callable[..., object]]:
    """Open pages of the demo."""
    with visitor(chromium, demo_laboratory) as open_page:
        yield open_page


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    """A laboratory as a new user starts it, with nothing in it."""
    started = Laboratory(tmp_path_factory.mktemp("new") / "home")
    try:
        yield started.wait_for_banner(600)
    finally:
        started.stop()


@pytest.fixture(scope="module")
def web(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """The web process on the test's database; its scripts and styles come as they lie in the folders."""
    executable()
    folder = tmp_path_factory.mktemp("web")
    results = str(folder / "results")
    made = Processes(
        folder, folder / "data", database_url(connection.settings_dict), LAB_DEBUG="1", LAB_RESULTS=results
    )
    try:
        made.start_redis()
        made.start_server("web")
        yield made
    finally:
        made.close()
