"""Pages: what they show, say and refuse."""

from __future__ import annotations

import html
import re
from datetime import date

import pytest
from django.test import Client

from sessions import selectors, services
from sessions.models import Animal, ApiToken, Recording, Session
from tests.catalog.conftest import HOUR, NOON

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(lab):
    client = Client()
    client.force_login(lab.experimenter)
    return client


def test_lists_filter_and_say_what_to_do_when_empty(lab, browser, recording):
    assert b"R214" in browser.get("/animals/").content
    assert b"No animal fits" in browser.get("/animals/?q=zebra").content
    assert b"R214" in browser.get("/sessions/?animal=r21&day=2026-03-02").content
    assert b"No session fits" in browser.get("/sessions/?state=running").content
    assert b"LFP" in browser.get("/recordings/?kind=lfp&q=R214").content
    outsider = Client()
    outsider.force_login(lab.outsider)
    assert b"Ask the manager of a project" in outsider.get("/animals/").content
    assert b"Nothing found" in outsider.get("/search/?q=R214").content
    found = browser.get("/search/?q=R214+odour").content
    assert str(lab.session.pk).encode() in found


@pytest.mark.parametrize(
    "query", ["?page=zero", "?q=%00", "?day=never", "?day=9999-12-31", "?rig=nonsense", "?kind=smell", "?page=-5"]
)
@pytest.mark.parametrize("page", ["animals", "sessions", "recordings", "search"])
def test_a_wrong_query_breaks_no_page(browser, page, query):
    assert browser.get(f"/{page}/{query}").status_code == 200


def shown(page: str) -> dict[str, str]:
    """What a page of a form sends when nothing is touched: its fields, and beside each what it showed."""
    form = {}
    for field, text, options in re.findall(
        r"(<(?:input|select|textarea)[^>]* name=[^>]*>)(?:([^<]*)</textarea>)?((?:\s*<option[^>]*>[^<]*</option>)*)",
        page,
    ):
        chosen = re.search(r'value="([^"]*)"', (re.search(r"<option[^>]* selected[^>]*>", options) or [field])[0])
        form[re.search(r' name="([^"]+)"', field)[1]] = html.unescape(chosen[1] if chosen else text).strip()
    return form


def test_a_page_opened_before_somebody_elses_change_takes_nothing_of_it_back(lab, browser):
    notes, animal = f"/sessions/{lab.session.pk}/notes/", f"/animals/{lab.animal.pk}/change/"
    page = shown(browser.get(f"/sessions/{lab.session.pk}/").content.decode())
    fields = {"narrative", "title", "quality"}
    old = {name: text for name, text in page.items() if name.removeprefix("initial-") in fields}
    assert len(old) == 6
    services.update_session(by=lab.manager, session=lab.session, narrative="Fell asleep\nat noon.")
    browser.post(notes, {**old, "title": "Day one"})
    lab.session.refresh_from_db()
    assert (lab.session.title, lab.session.narrative) == ("Day one", "Fell asleep\nat noon.")
    again = browser.post(notes, {**old, "narrative": "Calm."}, headers={"HX-Request": "true"}).content.decode()
    assert "Somebody changed this meanwhile" in again
    assert "at noon." in again
    lab.session.refresh_from_db()
    assert lab.session.narrative.startswith("Fell asleep")
    second = browser.post(notes, shown(again), headers={"HX-Request": "true"}).content.decode()
    # Sent twice because the answer got lost, it is no conflict with itself.
    assert "Somebody" not in browser.post(notes, shown(again), headers={"HX-Request": "true"}).content.decode()
    lab.session.refresh_from_db()
    assert lab.session.narrative == "Calm."
    # The part of the page that comes back may be changed and sent at once.
    browser.post(notes, {**shown(second), "narrative": "Calm, then not."}, headers={"HX-Request": "true"})
    lab.session.refresh_from_db()
    assert lab.session.narrative == "Calm, then not."

    old = shown(browser.get(animal).content.decode())
    services.update_animal(by=lab.manager, animal=lab.animal, cage="C-9", birth_date=NOON.date())
    assert browser.post(animal, {**old, "notes": "Left ear cut."}).status_code == 302
    lab.animal.refresh_from_db()
    assert (lab.animal.cage, lab.animal.birth_date, lab.animal.notes) == ("C-9", NOON.date(), "Left ear cut.")
    assert browser.post(animal, {**old, "cage": "C-8"}).status_code == 400


def test_an_animal_is_added_and_changed_with_its_history(lab, browser):
    form = {"identifier": "R300", "project": lab.project.pk, "species": lab.rat.pk, "sex": "M", "status": "alive"}
    reply = browser.post("/animals/new/", form)
    animal = Animal.objects.get(identifier="R300")
    assert reply["Location"] == f"/animals/{animal.pk}/"
    again = browser.post("/animals/new/", form)
    assert again.status_code == 400
    assert b"There is already an animal with the identifier R300." in again.content
    browser.post(f"/animals/{animal.pk}/change/", {**form, "cage": "14"})
    page = browser.get(f"/animals/{animal.pk}/").content.decode()
    assert "cage: <ins>14</ins>" in re.sub(r"\s+", " ", page)
    assert "experimenter" in page
    assert '<small class="muted">on a page</small>' in page


def test_a_form_that_is_saved_as_it_was_shown_changes_nothing(lab, browser):
    animal = services.create_animal(
        by=lab.manager, identifier="R301", project=lab.project, species=lab.rat, status="dead", notes="tame\nquiet",
        birth_date=date(2025, 6, 7), death_date=date(2026, 1, 31),
    )  # fmt: skip
    page = browser.get(f"/animals/{animal.pk}/change/").content.decode()
    shown = dict(re.findall(r'<input type="\w+" name="(\w+)" value="([^"]*)"', page))
    assert (shown["birth_date"], shown["death_date"]) == ("2025-06-07", "2026-01-31")
    kept = {
        "project": lab.project.pk,
        "species": lab.rat.pk,
        "sex": animal.sex,
        "status": "dead",
        "notes": animal.notes,
    }
    before = len(selectors.history(animal))
    assert browser.post(f"/animals/{animal.pk}/change/", {**shown, **kept}).status_code == 302
    assert len(selectors.history(animal)) == before


def test_who_comes_back_to_the_address_of_a_form_finds_its_page(browser):
    for address, page in (("tokens", "/account/"), ("password", "/account/")):
        assert browser.get(f"/account/{address}/")["Location"] == page
    assert browser.get("/sheets/send/")["Location"] == "/sheets/"
    stale = Client(enforce_csrf_checks=True).post("/login/", {"username": "x", "password": "y"})
    assert (stale.status_code, b"This page was too old" in stale.content) == (403, True)


def test_a_session_is_started_noted_and_ended(lab, browser):
    reply = browser.post("/sessions/new/", {"animals": [lab.animal.pk], "rig": lab.rig.pk, "task": lab.task.pk})
    session = Session.objects.get(end=None)
    assert reply["Location"] == f"/sessions/{session.pk}/"
    again = browser.post("/sessions/new/", {"animals": [lab.animal.pk], "rig": lab.rig.pk})
    assert again.status_code == 400
    assert b"Another session is on this rig at that time." in again.content
    note = browser.post(f"/sessions/{session.pk}/notes/", {"narrative": "<b>calm</b>"}, headers={"HX-Request": "true"})
    assert "saved" in note.content.decode()
    page = browser.get(f"/sessions/{session.pk}/").content.decode()
    assert "&lt;b&gt;calm" in page
    assert "R214 · odour sequence, day 2" in page
    assert browser.post(f"/sessions/{session.pk}/end/").status_code == 302
    ended = browser.post(f"/sessions/{session.pk}/end/")
    assert ended.status_code == 409
    assert b"This session ended already" in ended.content


def test_files_are_registered_from_the_page(lab, browser, put):
    path = put()
    url = f"/sessions/{lab.session.pk}/register/"
    form = {"kind": "lfp", "root": "default", "paths": "missing.npy", "parameters": '{"rate": 1000}'}
    wrong = browser.post(url, form)
    assert wrong.status_code == 400
    assert b"missing.npy is not there below the data root" in wrong.content
    assert b"This is not JSON" in browser.post(url, {**form, "parameters": "{"}).content
    browser.post(url, {**form, "paths": path})
    recording = Recording.objects.get()
    page = browser.get(f"/recordings/{recording.pk}/").content.decode()
    assert recording.files.get().sha256[:12] in page
    assert "1 kHz" in page


def test_a_token_is_shown_once_and_revoked(lab, browser):
    made = browser.post("/account/tokens/", {"name": "box 3", "scope": "write"}).content.decode()
    key = re.search(r"lab_[\w-]{40,}", made)[0]
    assert Client().get("/api/v1/animals/", headers={"Authorization": f"Token {key}"}).status_code == 200
    assert key not in browser.get("/account/").content.decode()
    browser.post(f"/account/tokens/{ApiToken.objects.get().pk}/revoke/")
    assert Client().get("/api/v1/animals/", headers={"Authorization": f"Token {key}"}).status_code == 401


@pytest.mark.parametrize("page", ["/animals/", "/sessions/", "/recordings/", "/search/?q=R"])
def test_a_page_costs_the_same_queries_for_1_row_and_for_40(lab, put, recording, page, django_assert_max_num_queries):
    browser = Client()
    browser.force_login(lab.administrator)
    for n in range(1, 40):
        animal = services.create_animal(by=lab.manager, identifier=f"R9{n}", project=lab.project, species=lab.rat)
        session = services.start_session(
            by=lab.manager, animals=[animal], task=lab.task, start=NOON + n * HOUR, end=NOON + (n + 1) * HOUR
        )
        services.register_recording(by=lab.manager, session=session, kind="lfp", files=[{"path": put(f"{n}.npy")}])
    with django_assert_max_num_queries(12):
        assert browser.get(page).status_code == 200


def test_what_is_simulated_says_so(lab, browser, put):
    rig = services.create_rig(by=lab.manager, name="box S", project=lab.project, simulated=True)
    session = services.start_session(by=lab.manager, project=lab.project, rig=rig)
    recording = services.register_recording(by=lab.manager, session=session, kind="lfp", files=[{"path": put()}])
    for page in (f"/sessions/{session.pk}/", f"/recordings/{recording.pk}/", "/sessions/", "/recordings/"):
        assert "chip-sim" in browser.get(page).content.decode(), page


def test_no_page_has_inline_scripts_or_styles(lab, browser, recording):
    pages = ["/animals/", f"/animals/{lab.animal.pk}/", "/sessions/", f"/sessions/{lab.session.pk}/", "/account/",
             f"/recordings/{recording.pk}/", "/search/?q=R214", "/sessions/new/", "/animals/new/"]  # fmt: skip
    for page in pages:
        reply = browser.get(page)
        text = reply.content.decode()
        assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|<style|\son\w+=", text), page
        assert "unsafe" not in reply["Content-Security-Policy"]


def test_only_the_admin_may_evaluate(lab):
    browser = Client()
    browser.force_login(lab.administrator)
    assert "script-src 'self' 'unsafe-eval'" in browser.get("/admin/lab/animal/")["Content-Security-Policy"]
    assert "unsafe" not in browser.get("/animals/")["Content-Security-Policy"]
