"""Whoever changes an animal, on whatever way, leaves who, when and what."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from sessions import selectors
from sessions.models import Animal
from sessions.services.sheets import confirm_sheet, send_sheet, work_on_sheet

pytestmark = pytest.mark.django_db


def by_page(lab, animal, cage):
    client = Client()
    client.force_login(lab.experimenter)
    page = f"/animals/{animal.pk}/change/"
    form = client.get(page).context["form"]
    body = {name: value for name in form.fields if (value := form[name].value()) is not None}
    body = {name: getattr(value, "pk", value) for name, value in body.items()}
    assert client.post(page, {**body, "cage": cage}).status_code == 302


def by_admin(lab, animal, cage):
    client = Client()
    client.force_login(lab.administrator)
    page = f"/admin/lab/animal/{animal.pk}/change/"
    shown = client.get(page).context
    form = shown["adminform"].form
    body = {name: form[name].value() for name in form.fields if form[name].value() is not None}
    for inline in shown["inline_admin_formsets"]:
        body |= {field.html_name: field.value() for field in inline.formset.management_form}
    reply = client.post(page, {**body, "cage": cage})
    assert reply.status_code == 302, reply.context["errors"]


def by_rest(lab, animal, cage):
    client = Client()
    client.force_login(lab.experimenter)
    reply = client.patch(f"/api/v1/animals/{animal.pk}/", {"cage": cage}, content_type="application/json")
    assert reply.status_code == 200


def by_import(lab, animal, cage):
    content = f"identifier,project,species,cage\n{animal.identifier},Memory,rat,{cage}\n".encode()
    sheet = send_sheet(by=lab.experimenter, kind="animals", name="cages.csv", content=content)
    sheet.refresh_from_db()
    confirm_sheet(by=lab.experimenter, sheet=sheet)
    work_on_sheet(sheet_id=sheet.pk)


def by_bulk(lab, animal, cage):
    animal.cage = cage
    Animal.objects.bulk_update([animal], ["cage"])


def by_sql(lab, animal, cage):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE lab_animal SET cage = %s WHERE id = %s", [cage, animal.pk])


# By bulk and SQL nobody is logged in: who is then empty, and says so.
WAYS = {by_page: "experimenter", by_admin: "administrator", by_rest: "experimenter", by_import: "experimenter",
        by_bulk: "", by_sql: ""}  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_change_leaves_who_when_and_what(lab, way):
    began = timezone.now()
    before = len(selectors.history(lab.animal))
    way(lab, Animal.objects.get(pk=lab.animal.pk), "cage 14")
    changes = selectors.history(lab.animal)
    assert len(changes) == before + 1
    newest = changes[0]
    assert (newest["who"], newest["label"]) == (WAYS[way], "update")
    assert [(d["field"], d["before"], d["after"]) for d in newest["differences"]] == [("cage", "", "cage 14")]
    # All tests of a transaction have the time of its start.
    assert abs((newest["when"] - began).total_seconds()) < 600
