"""Units labelled in a real browser: by key on a desktop, by thumb on a phone, and by two people at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.utils import timezone

from analysis.labels.models import UnitLabels
from sessions import services
from sessions.models import Membership, Project
from sessions.permissions import LABORATORY
from tests.browser.chromium import DESKTOP, FLAGS, PHONE, executable
from tests.cameras.laboratory import Laboratory

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(600)]
NAMES = [f"{n} (channel {3 * n})" for n in range(1, 6)]


@pytest.fixture
def units(transactional_db: None, web: Laboratory, settings: Any) -> SimpleNamespace:
    """Five sorted units with waveforms, and two people who may label them and are logged in."""
    settings.LAB_DATA_ROOT = web.data_root
    rng = np.random.default_rng(2)
    times = np.sort(rng.uniform(0, 300, 5000))
    moments = np.linspace(-1, 2, 90)
    np.savez(
        web.data_root / "units.npz", spike_times=times, spike_units=rng.integers(0, 5, 5000),
        amplitude_uV=rng.normal(-90, 8, 5000), unit_labels=np.array(NAMES),
        unit_quality=np.array(["good", "good", "multi-unit", "good", "noise"]), waveform_ms=moments,
        waveform_uV=np.stack([-(40 + 20 * n) * np.exp(-((moments / 0.15) ** 2)) for n in range(5)]),
    )  # fmt: skip
    project = Project.objects.create(name="Memory")
    session = services.start_session(
        by=LABORATORY, project=project, start=timezone.now() - timezone.timedelta(hours=1), end=timezone.now()
    )
    recording = services.register_recording(by=LABORATORY, session=session, kind="units", files=[{"path": "units.npz"}])
    cookies = {}
    for name in ("ana", "ben"):
        user = get_user_model().objects.create_user(name)
        Membership.objects.create(project=project, user=user, role="experimenter")
        client = Client()
        client.force_login(user)
        cookies[name] = client.cookies["sessionid"].value
    return SimpleNamespace(
        url=f"http://127.0.0.1:{web.web_port}", path=f"/recordings/{recording.pk}/units/", cookies=cookies
    )


@pytest.fixture
def visit_units(units: SimpleNamespace) -> Iterator[Callable[..., Any]]:
    """Open the page as a person; a script's error fails the test."""
    from playwright.sync_api import sync_playwright

    complaints: list[str] = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable(), args=FLAGS)

        def open_page(person: str, *, phone: bool = False) -> Any:
            context = chromium.new_context(
                base_url=units.url, viewport=PHONE if phone else DESKTOP, color_scheme="dark" if phone else "light",
                is_mobile=phone, has_touch=phone,
            )  # fmt: skip
            context.add_cookies([{"name": "sessionid", "value": units.cookies[person], "url": units.url}])
            page = context.new_page()
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("console", lambda m: complaints.append(m.text) if "Content Security Policy" in m.text else None)
            page.goto(units.path)
            page.wait_for_function("() => 'ready' in document.getElementById('units').dataset", timeout=60_000)
            return page

        yield open_page
        chromium.close()
    assert complaints == []


def kept() -> list[tuple[int, dict[str, str]]]:
    """Every revision, asked in a thread of its own: Django asks for nothing in that of Playwright's loop."""

    def look() -> list[tuple[int, dict[str, str]]]:
        try:
            return list(UnitLabels.objects.order_by("revision").values_list("revision", "labels"))
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(look).result()


def settled(page: Any, revision: int) -> None:
    page.wait_for_function(
        "(n) => { const d = document.getElementById('units').dataset; return d.waiting === '0' && d.revision === n; }",
        arg=str(revision),
        timeout=60_000,
    )


def picture(page: Any, name: str) -> None:
    if folder := os.environ.get("LAB_TEST_PICTURES"):
        page.screenshot(path=f"{folder}/units-{name}.png", full_page=True)


def test_five_units_are_labelled_by_five_keys_and_the_last_is_taken_back(visit_units):
    page = visit_units("ana")
    for key in "gmngn":
        page.keyboard.press(key)
    settled(page, 5)
    said = dict(zip(NAMES, ["good", "multi-unit", "noise", "good", "noise"], strict=True))
    assert kept()[-1] == (5, said)
    picture(page, "desktop")
    page.keyboard.press("u")
    settled(page, 6)
    assert kept()[-1] == (6, {name: said[name] for name in NAMES[:4]})
    # What nobody said by hand is what the sorter said.
    assert page.locator("#units-label").inner_text() == "✕ noise (sorter)"


def test_by_thumb_on_a_phone(visit_units):
    page = visit_units("ana", phone=True)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page.get_by_role("button", name="Noise", exact=True).tap()
    page.get_by_role("button", name="Good", exact=True).tap()
    settled(page, 2)
    picture(page, "phone")
    assert kept()[-1] == (2, {NAMES[0]: "noise", NAMES[1]: "good"})


def test_what_waits_behind_a_refused_key_is_kept_and_the_refusal_stays_to_be_read(visit_units):
    page = visit_units("ana")
    # Before any reply: no label is there to take off, none to take back, and then one is given.
    page.evaluate(
        "for (const key of 'xug') document.body.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }))"
    )
    settled(page, 1)
    assert kept() == [(1, {NAMES[0]: "good"})]
    assert page.locator("#units-trouble").inner_text() == "No unit has a label yet: there is nothing to undo."
    page.keyboard.press("m")
    settled(page, 2)
    assert not page.locator("#units-trouble").is_visible()


def test_two_people_at_once_are_told_and_nothing_is_lost(visit_units):
    ana, ben = visit_units("ana"), visit_units("ben")
    ana.keyboard.press("g")
    settled(ana, 1)
    # Ben has not seen it yet, or is told at once; either way what he says of another unit is added.
    ben.keyboard.press("ArrowDown")
    ben.keyboard.press("n")
    settled(ben, 2)
    assert kept()[-1][1] == {NAMES[0]: "good", NAMES[1]: "noise"}
    # Without the wire Ana does not see it, and says otherwise of the same unit.
    ana.evaluate("() => { Object.defineProperty(document, 'hidden', { value: true }); }")
    ben.keyboard.press("g")
    settled(ben, 3)
    ana.keyboard.press("ArrowDown")
    ana.keyboard.press("m")
    ana.get_by_text("ben said good of unit").wait_for()
    picture(ana, "conflict")
    assert len(kept()) == 3
    ana.get_by_role("button", name="Say mine after all").click()
    settled(ana, 4)
    assert kept()[-1][1][NAMES[2]] == "multi-unit"
    assert [labels.get(NAMES[2]) for _, labels in kept()] == [None, None, "good", "multi-unit"]
