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
