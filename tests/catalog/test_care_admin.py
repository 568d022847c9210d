"""Care and colony in the admin: only what one may name is taken, and what the services refuse is refused there, too."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from django.test import Client

from sessions import services
from sessions.models import Animal, BreedingPair, Implant, Litter, Procedure, SessionAnimal, Weighing
from sessions.permissions import LABORATORY

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(lab) -> Client:
    lab.experimenter.is_staff = True
    lab.experimenter.save()
    client = Client()
    client.force_login(lab.experimenter)
    return client


@pytest.fixture
def strangers(lab) -> BreedingPair:
    """A pair of a project that the experimenter has nothing to do with."""
    female, male = (
        Animal.objects.create(identifier=f"S-{sex}", project=lab.other, species=lab.rat, sex=sex) for sex in "FM"
    )
    return BreedingPair.objects.create(
        name="strangers", project=lab.other, female=female, male=male, start=date(2026, 1, 1)
    )


def as_shown(client: Client, page: str) -> dict[str, Any]:
    """Return what the browser would send of a page that nobody has touched."""
    shown = client.get(page).context
    forms = [shown["adminform"].form]
    sent: dict[str, Any] = {}
    for inline in shown["inline_admin_formsets"]:
        forms += [inline.formset.management_form, *inline.formset.initial_forms]
        sent |= {f"{inline.formset.prefix}-TOTAL_FORMS": len(inline.formset.initial_forms)}
    for form in forms:
        for field in form:
            value = field.value()
            if not field.html_name.endswith("-TOTAL_FORMS"):
                sent[field.html_name] = "" if value is None else value
    return sent


def test_a_thing_of_another_project_is_not_taken_though_its_id_is_known(lab, staff, strangers):
    surgery = services.add_entry(Procedure, by=LABORATORY, animal=strangers.female, kind="surgery")
    litter = Litter.objects.create(pair=strangers, born=date(2026, 2, 1))
    for model, body, field in (
        ("litter", {"pair": strangers.pk, "born": "2026-02-02"}, "pair"),
        ("implant", {"animal": lab.animal.pk, "device": "probe", "procedure": surgery.pk, "implanted": "2026-03-01"},
         "procedure"),
    ):  # fmt: skip
        reply = staff.post(f"/admin/lab/{model}/add/", body)
        assert list(reply.context["adminform"].form.errors) == [field]
    page = f"/admin/lab/animal/{lab.animal.pk}/change/"
    reply = staff.post(page, {**as_shown(staff, page), "litter": litter.pk})
    assert list(reply.context["adminform"].form.errors) == ["litter"]
    page = f"/admin/lab/session/{lab.session.pk}/change/"
    more = {"session_animals-TOTAL_FORMS": 2, "session_animals-1-animal": strangers.male.pk}
    reply = staff.post(page, {**as_shown(staff, page), **more})
    assert reply.status_code == 200
    assert list(reply.context["inline_admin_formsets"][0].formset.errors[1]) == ["animal"]
    assert (Litter.objects.count(), Implant.objects.count(), SessionAnimal.objects.count()) == (1, 0, 1)


def test_an_animal_that_came_from_a_colony_of_others_can_still_be_changed(lab, staff, strangers):
    lab.animal.litter = Litter.objects.create(pair=strangers, born=date(2026, 2, 1))
    lab.animal.save()
    page = f"/admin/lab/animal/{lab.animal.pk}/change/"
    assert staff.post(page, {**as_shown(staff, page), "notes": "calm"}).status_code == 302
    lab.animal.refresh_from_db()
    assert lab.animal.notes == "calm"


def test_what_the_services_refuse_is_refused_beside_its_field(lab, staff):
    another = services.create_animal(by=LABORATORY, identifier="R300", project=lab.project, species=lab.rat)
    surgery = services.add_entry(Procedure, by=LABORATORY, animal=another, kind="surgery")
    for model, body, field in (
        ("weighing", {"animal": lab.animal.pk, "weight": 300, "time_0": "2100-03-02", "time_1": "12:00:00"}, "time"),
        ("implant", {"animal": lab.animal.pk, "device": "probe", "procedure": surgery.pk, "implanted": "2026-03-01"},
         "procedure"),
    ):  # fmt: skip
        reply = staff.post(f"/admin/lab/{model}/add/", body)
        assert list(reply.context["adminform"].form.errors) == [field]


def test_what_is_written_down_on_the_page_of_an_animal_was_done_by_who_wrote_it(lab, staff):
    page = f"/admin/lab/animal/{lab.animal.pk}/change/"
    body = {"weighings-TOTAL_FORMS": 1, "weighings-0-weight": 300, "weighings-0-time_0": "2026-03-02"}
    assert staff.post(page, {**as_shown(staff, page), **body, "weighings-0-time_1": "12:00:00"}).status_code == 302
    assert Weighing.objects.get().person == lab.experimenter
