"""Pages of the animal room: who is shown, what a label leads to, what an animal's page tells of its care."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from sessions import services
from sessions.models import Cage, Procedure, Restriction, Weighing
from tests.catalog.conftest import HOUR, NOON

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(lab) -> Client:
    client = Client()
    client.force_login(lab.experimenter)
    return client


@pytest.fixture
def cage(lab) -> Cage:
    """Six in a cage; the first is short of water and weighed below the alarm."""
    for n in range(1, 6):
        services.create_animal(by=lab.manager, identifier=f"R{n}", project=lab.project, species=lab.rat, cage="14")
    services.update_animal(by=lab.manager, animal=lab.animal, cage="14")
    services.add_entry(
        Restriction, by=lab.manager, animal=lab.animal, kind="water", start=NOON - HOUR, reference_weight=400
    )
    services.add_entry(Weighing, by=lab.manager, animal=lab.animal, weight=310, time=NOON)
    return Cage.objects.get(name="14")


def shown(browser, address: str) -> str:
    reply = browser.get(address)
    assert reply.status_code == 200, address
    text = reply.content.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|<style|\son\w+=", text), address
    return text


@pytest.mark.parametrize("address", ["/care/", "/care/weigh/", "/cages/{cage}/"])
def test_the_animal_room_is_found_under_animals(browser, cage, address):
    page = shown(browser, address.format(cage=cage.pk))
    current = re.findall(r'<a href="([^"]+)"[^>]* aria-current="page"', page)
    assert current == ["/animals/", "/animals/"]


def test_animals_that_do_not_fit_on_a_page_are_told(lab, browser, cage, monkeypatch):
    addresses = (f"/care/weigh/?cage={cage.pk}", f"/care/water/?cage={cage.pk}", f"/cages/{cage.pk}/")
    assert not any("not on this page" in shown(browser, address) for address in addresses)
    monkeypatch.setattr("sessions.pages.care.MOST", 4)
    for address in addresses:
        page = shown(browser, address)
        assert "2 more animals are not on this page." in page
        assert "R2" in page
        assert "R5" not in page
    named = "&".join(["animal=" + str(lab.animal.pk)] * 5)
    refused = browser.get(f"/care/labels/?{named}")
    assert refused.status_code == 400
    assert "at most 4 are shown at a time" in refused.content.decode()


def test_a_cage_is_weighed_with_what_one_has_to_know(lab, browser, cage):
    page = shown(browser, f"/care/weigh/?cage={cage.pk}")
    assert re.findall(r'data-name="(\w+)"', page) == ["R1", "R2", "R214", "R3", "R4", "R5"]
    of_r214 = re.search(r'<form[^>]*data-name="R214"[^>]*>', page)[0]
    told = dict(re.findall(r'data-(\w+)="([^"]*)"', of_r214))
    assert [float(told[name]) for name in ("previous", "reference", "expected", "alarm")] == [310, 400, 85, 80]
    assert "77.5 % alarm" in shown(browser, f"/cages/{cage.pk}/")
    assert "R214" in shown(browser, "/care/")
    services.update_animal(by=lab.manager, animal=lab.animal, status="dead")
    assert "R214" not in shown(browser, f"/care/weigh/?cage={cage.pk}")


def test_an_outsider_sees_the_cage_but_nobody_in_it(lab, cage):
    client = Client()
    client.force_login(lab.outsider)
    for page in ("/care/", f"/cages/{cage.pk}/", f"/care/weigh/?cage={cage.pk}", f"/care/labels/?cage={cage.pk}"):
        assert "R214" not in shown(client, page), page


def test_a_label_is_a_drawing_and_what_it_says_leads_to_the_animal(lab, browser, cage):
    page = shown(browser, f"/care/labels/?cage={cage.pk}")
    assert page.count("<svg") == 7 + page.count('viewBox="0 0 24 24"')
    assert "Cage 14" in page
    for code in ("R214", "r214", f"http://lab.local/animals/{lab.animal.pk}/"):
        assert browser.get("/care/find/", {"code": code})["Location"] == f"/animals/{lab.animal.pk}/"
    assert browser.get("/care/find/", {"code": "14"})["Location"] == f"/cages/{cage.pk}/"
    assert browser.get("/care/find/", {"code": "nobody"}).status_code == 404
    assert browser.get("/care/labels/", {"animal": "x"}).status_code == 400


def test_the_page_of_an_animal_shows_its_care(lab, browser, cage):
    services.add_entry(Procedure, by=lab.manager, animal=lab.animal, kind="surgery", narrative="Tetrodes over CA1.")
    services.add_note(by=lab.manager, animal=lab.animal, text="Calm today.")
    gone = services.add_note(by=lab.manager, animal=lab.animal, text="On the wrong animal.")
    services.delete_entry(by=lab.manager, entry=gone)
    page = shown(browser, f"/animals/{lab.animal.pk}/")
    for text in ("Tetrodes over CA1.", "Calm today.", "77.5 % alarm", "reference 400.0 g", "<polyline"):
        assert text in page, text
    assert "On the wrong animal." not in page


def test_a_page_costs_the_same_queries_for_6_animals_and_more(lab, browser, cage, django_assert_max_num_queries):
    for page in ("/care/", f"/care/weigh/?cage={cage.pk}", f"/cages/{cage.pk}/", f"/care/labels/?cage={cage.pk}"):
        with django_assert_max_num_queries(12):
            assert browser.get(page).status_code == 200


def test_a_session_is_moved_on_a_page_that_names_what_is_wrong(lab, browser, cage):
    address = f"/sessions/{lab.session.pk}/move/"
    body = {"from_animal": lab.animal.pk, "to_animal": "nobody", "reason": "The wrong one was chosen."}
    refused = browser.post(address, body)
    assert (refused.status_code, "There is no such animal" in refused.content.decode()) == (400, True)
    assert browser.post(address, {**body, "to_animal": "R1"}).status_code == 302
    page = shown(browser, f"/sessions/{lab.session.pk}/")
    assert "Moved from R214 to R1. The wrong one was chosen." in page


def test_the_admin_weighs_and_waters_on_the_pages_of_the_animal_room(lab, cage):
    staff = Client()
    staff.force_login(lab.administrator)
    for model, row, page in (("animal", lab.animal, "weigh"), ("cage", cage, "give_water")):
        reply = staff.post(f"/admin/lab/{model}/", {"action": page, "_selected_action": [str(row.pk)]})
        assert reply["Location"] == f"/care/{page.removeprefix('give_')}/?{model}={row.pk}"
        assert "R214" in shown(staff, reply["Location"])


def test_what_is_deleted_in_the_admin_is_set_aside_and_taken_back(lab, cage):
    staff = Client()
    staff.force_login(lab.administrator)
    row = Weighing.objects.get()
    assert staff.get(f"/admin/lab/animal/{row.animal_id}/change/").status_code == 200
    staff.post(f"/admin/lab/weighing/{row.pk}/delete/", {"post": "yes"})
    row.refresh_from_db()
    assert row.deleted is not None
    staff.post("/admin/lab/weighing/", {"action": "take_back", "_selected_action": [str(row.pk)]})
    row.refresh_from_db()
    assert row.deleted is None


def test_everything_has_its_page_in_the_admin(lab, cage):
    services.add_note(by=lab.manager, animal=lab.animal, text="Calm today.")
    staff = Client()
    staff.force_login(lab.administrator)
    for model in ("weighing", "restriction", "administration", "procedure", "implant", "genotype", "cage", "tag",
                  "breedingpair", "litter", "allele"):  # fmt: skip
        assert staff.get(f"/admin/lab/{model}/").status_code == 200, model
        assert staff.get(f"/admin/lab/{model}/add/").status_code == 200, model
    assert "Calm today." in staff.get("/admin/lab/note/").content.decode()
