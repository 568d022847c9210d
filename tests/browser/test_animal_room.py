"""The animal room on a phone, where the Wi-Fi comes and goes: weights once each, a note with a photo, a label's way."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta
from http.client import HTTPConnection
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.utils import timezone
from PIL import Image

from sessions import services
from sessions.models import Cage, Membership, Project, Restriction, Species, Weighing
from tests.browser.chromium import FLAGS, PHONE, executable
from tests.cameras.laboratory import Laboratory

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

SIX = [f"W{n}" for n in range(1, 7)]
PASSWORD = "a quiet room with rats"


@pytest.fixture
def room(transactional_db: None, web: Laboratory) -> SimpleNamespace:
    """Six animals in a cage, short of water and weighed once; and somebody who is logged in."""
    project = Project.objects.create(name="Memory")
    ana, ben = (get_user_model().objects.create_user(name, password=PASSWORD) for name in ("ana", "ben"))
    for user in (ana, ben):
        Membership.objects.create(project=project, user=user, role="experimenter")
    rat = Species.objects.create(name="rat")
    for name in SIX:
        animal = services.create_animal(by=ana, identifier=name, project=project, species=rat, cage=f"14-{'W' * 45}")
        services.add_entry(Restriction, by=ana, animal=animal, kind="water", reference_weight=400)
        services.add_entry(Weighing, by=ana, animal=animal, weight=390)
    logins = Client(), Client()
    for client in logins:
        client.force_login(ana)
    return SimpleNamespace(
        url=f"http://127.0.0.1:{web.web_port}",
        cage=f"/cages/{Cage.objects.get().pk}/",
        session=logins[0].cookies["sessionid"].value,
        reader=logins[1].cookies["sessionid"].value,
    )


@pytest.fixture
def page(room: SimpleNamespace) -> Iterator[Any]:
    """A phone at the cage. It is closed before the tables are emptied, which Playwright's loop would not allow."""
    from playwright.sync_api import sync_playwright

    complaints: list[str] = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable(), args=FLAGS)
        context = chromium.new_context(
            base_url=room.url, viewport=PHONE, color_scheme="dark", is_mobile=True, has_touch=True
        )
        context.add_cookies([{"name": "sessionid", "value": room.session, "url": room.url}])
        opened = context.new_page()
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on(
            "console",
            lambda message: complaints.append(message.text) if "Content Security Policy" in message.text else None,
        )
        opened.goto(room.cage)
        assert fits(opened)
        yield opened
        chromium.close()
    assert complaints == []


def rest(room: SimpleNamespace, name: str) -> list[dict[str, Any]]:
    """What the server has, in the order in which it came."""
    asked = HTTPConnection(room.url.removeprefix("http://"), timeout=30)
    with closing(asked):
        asked.request("GET", f"/api/v1/{name}/?ordering=created", headers={"Cookie": f"sessionid={room.reader}"})
        return json.load(asked.getresponse())["results"]


def be(role: str) -> None:
    """Give Ana another role: in a thread of its own, for Django asks for nothing in that of Playwright's loop."""

    def give() -> None:
        Membership.objects.filter(user__username="ana").update(role=role)
        connection.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(give).result()


def waits(page: Any, count: int) -> None:
    page.wait_for_function("(n) => document.querySelector('[data-care]')?.dataset.waiting === n", arg=str(count))


def fits(page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_six_animals_weighed_without_wifi_are_six_weights_with_it(page, room):
    page.get_by_role("link", name="Weigh", exact=True).click()
    waits(page, 0)
    page.context.set_offline(True)
    weights = dict(zip(SIX, [372.5, 336.5, 310.5, 364.5, 368.5, 371.5], strict=True))
    for position, (name, weight) in enumerate(weights.items(), 1):
        form = page.locator(f"form[data-name={name}]")
        field = form.get_by_label(f"Weight of {name} in grams")
        field.fill(str(weight).replace(".", ","))
        told = form.locator("[data-part=told]")
        assert f"{weight / 4:.1f} % of 400 g" in told.inner_text().replace(".0 g", " g")
        assert {"W2": "is-low", "W3": "is-alarm"}.get(name, "is-good") in told.get_attribute("class")
        field.press("Enter")
        waits(page, position)
    assert page.get_by_text("6 wait to be sent").is_visible()
    assert fits(page)
    assert len(rest(room, "weighings")) == len(SIX)
    page.context.set_offline(False)
    waits(page, 0)
    # A page that is opened again has nothing left to send.
    page.reload()
    waits(page, 0)
    new = rest(room, "weighings")[len(SIX) :]
    assert {row["animal_name"]: row["weight"] for row in new} == weights
    assert len(new) == len(SIX)


@pytest.mark.long
def test_what_the_server_took_but_could_not_confirm_is_not_taken_twice(page, room):
    page.get_by_role("link", name="Water", exact=True).click()
    lost: list[str] = []

    def lose_the_answer(route: Any) -> None:
        if not lost:
            lost.append(route.fetch().text())
        route.abort()

    page.route("**/api/v1/administrations/", lose_the_answer)
    page.get_by_label("mL for each").fill("12.5")
    page.get_by_role("button", name="Give water to all").click()
    page.get_by_text("The server does not answer").wait_for()
    waits(page, 6)
    assert len(lost) == len(rest(room, "administrations")) == 1
    page.unroute("**/api/v1/administrations/")
    page.reload()
    waits(page, 0)
    given = sorted((row["animal_name"], row["amount"], row["unit"]) for row in rest(room, "administrations"))
    assert given == [(name, 12.5, "mL") for name in SIX]


@pytest.mark.long
def test_a_weight_is_kept_once_however_often_it_is_pressed_and_never_lost_unsaid(page, room):
    page.get_by_role("link", name="Weigh", exact=True).click()
    waits(page, 0)
    form = page.locator("form[data-name=W1]")
    form.get_by_label("Weight of W1 in grams").fill("380")
    form.evaluate("(form) => { form.requestSubmit(); form.requestSubmit(); }")
    form.get_by_text("kept on the server").wait_for()
    waits(page, 0)
    assert [row["weight"] for row in rest(room, "weighings")[len(SIX) :]] == [380]

    # The browser throws away what it kept for the site, and with it the way to keep more.
    devtools = page.context.new_cdp_session(page)
    devtools.send("Storage.clearDataForOrigin", {"origin": room.url, "storageTypes": "indexeddb"})
    form.get_by_label("Weight of W1 in grams").fill("381")
    form.get_by_role("button").click()
    form.get_by_text("Not kept").wait_for()
    assert form.get_by_label("Weight of W1 in grams").input_value() == "381"
    page.reload()
    waits(page, 0)
    form.get_by_label("Weight of W1 in grams").fill("381")
    form.get_by_role("button").click()
    form.get_by_text("kept on the server").wait_for()
    assert [row["weight"] for row in rest(room, "weighings")[len(SIX) :]] == [380, 381]


@pytest.mark.long
def test_a_phone_whose_clock_is_fast_weighs_at_the_servers_time(page, room):
    page.clock.set_fixed_time(timezone.now() + timedelta(hours=3))
    page.get_by_role("link", name="Weigh", exact=True).click()
    waits(page, 0)
    form = page.locator("form[data-name=W1]")
    form.get_by_label("Weight of W1 in grams").fill("380.")
    began = timezone.now()
    form.get_by_role("button").click()
    form.get_by_text("kept on the server, with the server's time: this clock is 3.0 h fast").wait_for()
    [new] = rest(room, "weighings")[len(SIX) :]
    # The clock of the test stands still, so the time that a slow machine takes to send counts as more of its error.
    assert abs(datetime.fromisoformat(new["time"]) - began) < timedelta(minutes=10)


@pytest.mark.long
def test_what_the_server_refuses_is_sent_again_once_the_reason_is_gone(page, room):
    page.get_by_role("link", name="Water", exact=True).click()
    waits(page, 0)
    page.get_by_label("mL for each").fill("1o")
    page.get_by_role("button", name="Give water to all").click()
    page.get_by_text("Write a number, such as 1.5.").wait_for()
    be("viewer")
    page.get_by_label("mL for each").fill(",5")
    page.get_by_role("button", name="Give water to all").click()
    page.get_by_text("6 refused.").wait_for()
    assert fits(page)
    be("experimenter")
    page.get_by_role("button", name="Try again").first.click()
    page.get_by_text("5 refused.").wait_for()
    waits(page, 0)
    assert [row["amount"] for row in rest(room, "administrations")] == [0.5]

    page.goto(room.cage)
    page.get_by_role("link", name="Note", exact=True).click()
    page.get_by_label("What you saw").fill("Fur ruffled.")
    photo = {"name": "a.heic", "mimeType": "image/heic", "buffer": b"no picture that is known here"}
    page.get_by_label("Photo").set_input_files(photo)
    page.get_by_role("button", name="Keep the note").click()
    page.get_by_role("button", name="Send without the photo").click()
    page.get_by_text("5 refused.").wait_for()
    waits(page, 0)
    assert [(row["text"], row["photo"]) for row in rest(room, "notes")] == [("Fur ruffled.", None)]


@pytest.mark.long
def test_what_one_person_wrote_is_not_sent_as_the_next_ones_who_logs_in(page, room):
    page.get_by_role("link", name="Water", exact=True).click()
    waits(page, 0)
    page.context.set_offline(True)
    page.get_by_label("mL for each").fill("10")
    page.get_by_role("button", name="Give water to all").click()
    waits(page, len(SIX))
    on_its_way: list[tuple[Any, Any]] = []

    def first_waits(route: Any) -> None:
        if on_its_way:
            route.continue_()
        else:
            on_its_way.append((route, route.fetch()))

    page.route("**/api/v1/administrations/", first_waits)
    with page.expect_request("**/api/v1/administrations/"):
        page.context.set_offline(False)
    other = page.context.new_page()
    other.goto("/login/?next=/more/")
    while not on_its_way:
        other.wait_for_timeout(20)
    page.context.clear_cookies()
    other.goto("/login/?next=/more/")
    other.get_by_label("User").fill("ben")
    other.get_by_label("Password").fill(PASSWORD)
    other.get_by_role("button", name="Log in").click()
    other.wait_for_url("**/more/")
    route, answer = on_its_way[0]
    route.fulfill(response=answer)
    # What is refused for the new login is tried again before long, and then it is asked first who is logged in.
    page.get_by_text(
        re.compile("5 wait to be sent. (Somebody logged in anew|You are not logged in any more)")
    ).wait_for()
    assert [row["person"] for row in rest(room, "administrations")] == ["ana"]


@pytest.mark.long
def test_a_label_leads_to_its_animal_and_a_note_with_a_photo_is_shown_there(page, room):
    for address in ("/care/", "/search/?q=WWW", "/animals/", room.cage):
        page.goto(address)
        assert fits(page), address
    page.get_by_role("link", name="Labels").click()
    label = page.locator(".label", has_text="W1").locator("svg")
    drawn = cv2.imdecode(np.frombuffer(label.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    drawn = cv2.resize(drawn, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    address, *_ = cv2.QRCodeDetector().detectAndDecode(drawn)
    assert re.fullmatch(rf"{room.url}/animals/[0-9a-f-]{{36}}/", address), address
    page.goto(address)
    assert page.get_by_role("heading", name="W1", exact=True).is_visible()

    page.get_by_role("link", name="Note", exact=True).click()
    photo = BytesIO()
    Image.new("RGB", (3000, 2000), "sienna").save(photo, "JPEG")
    page.get_by_label("What you saw").fill("Fur ruffled.")
    page.get_by_label("Photo").set_input_files({"name": "a.jpg", "mimeType": "image/jpeg", "buffer": photo.getvalue()})
    page.get_by_label("Tags").fill("fur, watch")
    page.get_by_role("button", name="Keep the note").click()
    page.get_by_text("kept on the server").wait_for()
    page.goto(address)
    page.wait_for_function("() => document.querySelector('.written img')?.naturalWidth === 1600")
    assert page.get_by_text("Fur ruffled.").is_visible()
    assert fits(page)
