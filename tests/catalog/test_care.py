"""Care of animals: weights, restrictions, procedures, housing, notes, the colony; mistakes and their undoing."""

from __future__ import annotations

import base64
import json
from datetime import date, timedelta
from io import BytesIO

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone
from PIL import Image

from sessions import selectors, services
from sessions.errors import Conflict, Forbidden, Invalid
from sessions.models import (
    Administration,
    Animal,
    Cage,
    Genotype,
    Housing,
    Implant,
    Note,
    Procedure,
    Restriction,
    SessionAnimal,
    Weighing,
)
from sessions.permissions import LABORATORY
from tests.catalog.conftest import HOUR, NOON

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def photo(size: tuple[int, int] = (640, 480)) -> bytes:
    stream = BytesIO()
    picture = Image.new("RGB", size, "sienna")
    exif = picture.getexif()
    exif[0x0110] = "the phone of somebody"
    picture.save(stream, "JPEG", exif=exif)
    return stream.getvalue()


def test_a_weight_is_judged_by_the_restriction_of_its_time(lab, api):
    services.add_entry(
        Restriction, by=lab.experimenter, animal=lab.animal, kind="water", start=NOON, end=NOON + 3 * DAY,
        reference_weight=400, expected_percentage=85, alarm_percentage=80,
    )  # fmt: skip
    days = {0: 345, 1: 330, 2: 310, 4: 310}
    for day, weight in days.items():
        body = {"animal": "R214", "weight": weight, "time": (NOON + day * DAY).isoformat()}
        reply = api().post("/api/v1/weighings/", body, format="json")
        assert reply.status_code == 201, reply.json()
    rows = api().get("/api/v1/weighings/?animal=R214&ordering=time").json()["results"]
    told = [(row["percentage"], row["condition"], row["person"]) for row in rows]
    who = "experimenter"
    assert told == [(86.25, "good", who), (82.5, "low", who), (77.5, "alarm", who), (None, "", who)]


@pytest.mark.django_db(transaction=True)
def test_what_somebody_did_who_is_gone_can_be_undone_without_a_name(lab):
    row = services.add_entry(Weighing, by=lab.experimenter, animal=lab.animal, weight=300, person=lab.viewer)
    services.update_entry(by=lab.experimenter, entry=row, weight=301, person=lab.experimenter)
    lab.viewer.delete()
    undone = services.undo_entry(by=lab.experimenter, entry=row)
    assert (undone.weight, undone.person) == (300, None)


def test_tags_are_no_part_of_what_is_undone(lab):
    note = services.add_note(by=lab.experimenter, animal=lab.animal, text="calm", tags=["watch"])
    services.update_note(by=lab.experimenter, note=note, tags=["fur"])
    with pytest.raises(Conflict, match="its text and time never changed"):
        services.undo_entry(by=lab.experimenter, entry=note)


def test_implants_go_with_the_surgery_that_was_another_animals_and_back(lab, api):
    by = lab.experimenter
    other = services.create_animal(by=by, identifier="R215", project=lab.project, species=lab.rat)
    surgery = services.add_entry(Procedure, by=by, animal=lab.animal, kind="implant")
    implant = services.add_entry(Implant, by=by, animal=lab.animal, device="64-channel probe", procedure=surgery)
    address = f"/api/v1/procedures/{surgery.pk}/"
    assert api().patch(address, {"animal": "R215"}, format="json").status_code == 200
    assert services.update_entry(by=by, entry=implant, region="CA1").animal == other
    assert api().post(f"{address}undo/").status_code == 200
    assert services.update_entry(by=by, entry=implant, region="CA3").animal == lab.animal


def test_the_restriction_of_now_has_begun_and_not_ended_whatever_is_planned(lab, api):
    now = timezone.now()
    reference = {"by": lab.experimenter, "animal": lab.animal, "reference_weight": 400}
    food = services.add_entry(Restriction, kind="food", start=now - 2 * DAY, end=now + 3 * DAY, **reference)
    services.add_entry(Restriction, kind="water", start=now - 9 * DAY, end=now - 8 * DAY, **reference)
    planned = services.add_entry(Restriction, kind="water", start=now + DAY, **reference)
    assert selectors.care_of(lab.viewer, lab.animal)["restriction"] == food
    for running, expected in (("true", {food, planned}), ("false", set(Restriction.objects.all()) - {food, planned})):
        rows = api().get(f"/api/v1/restrictions/?running={running}").json()["results"]
        assert {row["id"] for row in rows} == {str(row.pk) for row in expected}


@pytest.mark.parametrize(
    ("model", "values", "field"),
    [
        (Weighing, {"weight": 0}, "weight"),
        (Weighing, {"weight": 2e6}, "weight"),
        (Weighing, {"weight": 999_999}, "weight"),
        (Restriction, {"kind": "food", "reference_weight": 100_001}, "reference_weight"),
        (Weighing, {"weight": 300, "time": timezone.now() + DAY}, "time"),
        (Restriction, {"kind": "air", "reference_weight": 300}, "kind"),
        (Restriction, {"kind": "food", "reference_weight": 300, "alarm_percentage": 90}, "alarm_percentage"),
        (Restriction, {"kind": "food", "reference_weight": 300, "start": NOON, "end": NOON - HOUR}, "end"),
        (Administration, {"kind": "water", "amount": -1}, "amount"),
        (Administration, {"kind": "drug", "amount": 1}, "substance"),
        (Procedure, {"kind": "surgery", "start": NOON, "end": NOON - HOUR}, "end"),
        (Procedure, {"kind": "haircut"}, "kind"),
    ],
)
def test_what_cannot_be_is_refused_with_its_field(lab, model, values, field):
    with pytest.raises(Invalid) as refused:
        services.add_entry(model, by=lab.experimenter, animal=lab.animal, **values)
    assert field in refused.value.errors
    assert not model.objects.exists()


def test_nobody_weighs_or_waters_the_dead_or_the_unborn(lab, api):
    born, died = NOON.date(), NOON.date() + 2 * DAY
    services.update_animal(by=lab.manager, animal=lab.animal, birth_date=born, death_date=died, status="dead")
    for name, value in (("weighings", {"weight": 300}), ("administrations", {"kind": "water", "amount": 5})):
        took = {}
        for day in (-1, 0, 2, 3):
            body = {"animal": "R214", "time": (NOON + day * DAY).isoformat(), **value}
            reply = api().post(f"/api/v1/{name}/", body, format="json")
            took[day] = (reply.status_code, *reply.json().get("errors", {}))
        assert took == {-1: (400, "time"), 0: (201,), 2: (201,), 3: (400, "time")}


def test_one_restriction_of_a_kind_at_a_time_whoever_writes(lab):
    water = {"animal": lab.animal, "kind": "water", "reference_weight": 400}
    services.add_entry(Restriction, by=lab.experimenter, **water)
    services.add_entry(Restriction, by=lab.experimenter, **{**water, "kind": "food"})
    with pytest.raises(Conflict):
        services.add_entry(Restriction, by=lab.experimenter, **water)
    with pytest.raises(IntegrityError), transaction.atomic():
        Restriction.objects.bulk_create([Restriction(**water, start=timezone.now())])


def test_a_mistake_is_corrected_undone_set_aside_and_taken_back(lab, api):
    address = f"/api/v1/weighings/{services.add_entry(Weighing, by=lab.manager, animal=lab.animal, weight=35).pk}/"
    assert api().post(f"{address}undo/").status_code == 409
    assert api().patch(address, {"weight": 350}, format="json").json()["weight"] == 350
    assert api().post(f"{address}undo/").json()["weight"] == 35
    assert api().post(f"{address}undo/").json()["weight"] == 350
    assert api().delete(address).status_code == 403
    assert api("manager").delete(address).status_code == 204
    assert api().get("/api/v1/weighings/").json()["count"] == 0
    assert api().get("/api/v1/weighings/?deleted=true").json()["count"] == 1
    # The experimenter may not take back what a manager set aside, not even as an undoing.
    assert api().post(f"{address}undo/").status_code == 403
    assert api("manager").post(f"{address}restore/").json()["deleted"] is None
    changes = [d for change in selectors.history(Weighing.objects.get()) for d in change["differences"]]
    assert [d["field"] for d in changes] == ["deleted", "deleted", "weight", "weight", "weight"]


def test_what_took_its_place_meanwhile_keeps_it(lab):
    first = services.add_entry(Weighing, by=lab.manager, animal=lab.animal, weight=35, time=NOON)
    services.delete_entry(by=lab.manager, entry=first)
    services.add_entry(Weighing, by=lab.manager, animal=lab.animal, weight=350, time=NOON)
    with pytest.raises(Conflict):
        services.restore_entry(by=lab.manager, entry=first)


def test_the_history_of_housing_follows_whoever_writes_the_cage(lab):
    services.update_animal(by=lab.experimenter, animal=lab.animal, cage="14")
    Animal.objects.filter(pk=lab.animal.pk).update(cage="15")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE lab_animal SET cage = '16' WHERE id = %s", [lab.animal.pk])
    stays = [(stay.cage.name, stay.end is None) for stay in Housing.objects.order_by("start")]
    assert stays == [("14", False), ("15", False), ("16", True)]
    services.update_animal(by=lab.experimenter, animal=lab.animal, status="dead")
    assert not Housing.objects.filter(end=None).exists()
    services.create_animal(
        by=LABORATORY, identifier="R0", project=lab.project, species=lab.rat, cage="17", status="dead"
    )  # fmt: skip
    assert not Cage.objects.filter(name="17").exists()


def test_every_way_of_writing_leaves_who_when_what(lab):
    row = services.add_entry(Weighing, by=lab.experimenter, animal=lab.animal, weight=300)
    Weighing.objects.bulk_update([Weighing(pk=row.pk, weight=301)], ["weight"])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE lab_weighing SET weight = 302")
    browser = Client()
    browser.force_login(lab.experimenter)
    address = f"/api/v1/weighings/{row.pk}/"
    assert browser.patch(address, json.dumps({"weight": 303}), content_type="application/json").status_code == 200
    changes = selectors.history(row)
    assert [(change["who"], change["where"]) for change in changes] == [("experimenter", "over REST"), *[("", "")] * 3]
    told = [(d["field"], d["before"], d["after"]) for change in changes for d in change["differences"]]
    assert told == [("weight", 302, 303), ("weight", 301, 302), ("weight", 300, 301)]


def test_a_note_with_a_photo_is_written_once_and_the_photo_is_small_and_anonymous(lab, api):
    body = {"animal": "R214", "text": "Fur ruffled.", "tags": ["fur", "fur", "watch"]}
    body["photo"] = "data:image/jpeg;base64," + base64.b64encode(photo((3000, 2000))).decode()
    client = api()
    replies = [
        client.post("/api/v1/notes/", body, format="json", headers={"Idempotency-Key": "phone-1"}) for _ in range(2)
    ]
    assert [reply.status_code for reply in replies] == [201, 201], replies[0].json()
    note = Note.objects.get()
    assert sorted(replies[1].json()["tags"]) == ["fur", "watch"]
    sent = client.get(f"/api/v1/notes/{note.pk}/photo/")
    with Image.open(BytesIO(sent.content)) as kept:
        assert (kept.size, dict(kept.getexif())) == ((1600, 1067), {})
    assert api("outsider").get(f"/api/v1/notes/{note.pk}/photo/").status_code == 404
    assert client.get("/api/v1/notes/?tag=watch").json()["count"] == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"animal": "R214"}, "text"),
        ({"text": "Of what?"}, "animal"),
        ({"animal": "R214", "rig": "box 1", "text": "Of two."}, "animal"),
        ({"animal": "R214", "photo": "%%%"}, "photo"),
        ({"animal": "R214", "photo": base64.b64encode(b"<svg/>").decode()}, "photo"),
    ],
)
def test_a_note_that_says_nothing_or_hangs_nowhere_is_refused(api, body, field):
    reply = api().post("/api/v1/notes/", body, format="json")
    assert reply.status_code == 400
    assert field in reply.json()["errors"], reply.json()


def test_notes_are_on_anything(lab, api, recording):
    services.create_cage(by=lab.experimenter, name="14")
    things = {"animal": "R214", "session": str(lab.session.pk), "recording": str(recording.pk), "cage": "14",
              "rig": "box 1"}  # fmt: skip
    for name, thing in things.items():
        reply = api().post("/api/v1/notes/", {name: thing, "text": f"On the {name}."}, format="json")
        assert reply.status_code == 201, reply.json()
    assert api("viewer").get("/api/v1/notes/").json()["count"] == 5
    assert api("outsider").get("/api/v1/notes/").json()["count"] == 0


def test_a_session_moves_to_another_animal_in_sight_of_all_and_back(lab, api):
    services.create_animal(by=lab.manager, identifier="R215", project=lab.project, species=lab.rat)
    address = f"/api/v1/sessions/{lab.session.pk}/move/"
    body = {"from_animal": "R214", "to_animal": "R215", "reason": "The wrong one was chosen."}
    assert api("viewer").post(address, body, format="json").status_code == 403
    assert api().post(address, body, format="json").json()["animals"][0]["identifier"] == "R215"
    assert Note.objects.get().text == "Moved from R214 to R215. The wrong one was chosen."
    part = SessionAnimal.objects.get()
    assert [change["label"] for change in selectors.history(part)] == ["update", "insert"]
    assert api().post(address, body, format="json").status_code == 400
    api().post(address, {"from_animal": "R215", "to_animal": "R214"}, format="json")
    assert lab.session.animals.get() == lab.animal


def test_a_session_does_not_move_to_an_animal_that_was_elsewhere(lab, api):
    other = services.create_animal(by=lab.manager, identifier="R215", project=lab.project, species=lab.rat)
    services.start_session(by=lab.manager, animals=[other], start=NOON, end=NOON + HOUR)
    body = {"from_animal": "R214", "to_animal": "R215"}
    assert api().post(f"/api/v1/sessions/{lab.session.pk}/move/", body, format="json").status_code == 409
    assert lab.session.animals.get() == lab.animal
    assert not Note.objects.exists()


def test_the_colony_breeds(lab, api):
    pups = {}
    for name, sex in (("F1", "F"), ("M1", "M")):
        pups[name] = services.create_animal(
            by=lab.manager, identifier=name, project=lab.project, species=lab.rat, sex=sex
        )  # fmt: skip
    with pytest.raises(Invalid) as refused:
        services.create_pair(
            by=lab.experimenter, name="P1", project=lab.project, female=pups["M1"], male=pups["F1"]
        )  # fmt: skip
    assert "female" in refused.value.errors
    body = {"name": "P1", "project": "Memory", "female": "F1", "male": "M1", "start": "2026-01-01"}
    assert api().post("/api/v1/breeding-pairs/", body, format="json").status_code == 201
    early = api().post("/api/v1/litters/", {"pair": "P1", "born": "2025-12-01"}, format="json")
    assert (early.status_code, "born" in early.json()["errors"]) == (400, True)
    litter = api().post("/api/v1/litters/", {"pair": "P1", "born": "2026-01-24", "size": 9}, format="json").json()
    body = {"identifier": "R300", "project": "Memory", "species": "rat", "litter": litter["id"]}
    assert api().post("/api/v1/animals/", {**body, "birth_date": "2026-02-01"}, format="json").status_code == 400
    assert api().post("/api/v1/animals/", body, format="json").status_code == 201
    assert api().get("/api/v1/litters/?pair=P1").json()["results"][0]["animals"] == ["R300"]
    address = f"/api/v1/litters/{litter['id']}/"
    services.update_animal(
        by=lab.experimenter, animal=Animal.objects.get(identifier="R300"), birth_date=date(2026, 1, 24)
    )
    assert api().patch(address, {"born": "2026-01-25"}, format="json").status_code == 200
    # The same fact of its animals, too, so that they can still be changed.
    row = services.update_animal(by=lab.experimenter, animal=Animal.objects.get(identifier="R300"), notes="grey")
    assert row.birth_date == date(2026, 1, 25)
    late = api().patch(f"/api/v1/breeding-pairs/{row.litter.pair_id}/", {"start": "2026-02-01"}, format="json")
    assert (late.status_code, "start" in late.json()["errors"]) == (400, True)
    assert api().patch(address, {"weaned": "2026-02-15"}, format="json").status_code == 200
    allele = services.create_allele(by=lab.experimenter, name="Pvalb-Cre")
    tested = {"allele": allele, "zygosity": "heterozygous", "tested": date(2026, 2, 20)}
    services.add_entry(Genotype, by=lab.experimenter, animal=Animal.objects.get(identifier="R300"), **tested)
    with pytest.raises(Conflict):
        services.add_entry(Genotype, by=lab.experimenter, animal=Animal.objects.get(identifier="R300"), **tested)
    with pytest.raises(Forbidden):
        services.create_allele(by=lab.viewer, name="Sst-Cre")


def test_a_litter_shows_those_of_its_animals_that_one_may_see(lab, api):
    pups = [
        services.create_animal(by=LABORATORY, identifier=name, project=project, species=lab.rat, sex=sex)
        for name, project, sex in (("F1", lab.project, "F"), ("M1", lab.project, "M"), ("P1", lab.other, "M"))
    ]
    pair = services.create_pair(by=LABORATORY, name="P", project=lab.project, female=pups[0], male=pups[1])
    litter = services.create_litter(by=LABORATORY, pair=pair)
    for pup in pups[1:]:
        services.update_animal(by=LABORATORY, animal=pup, litter=litter)
    shown = {
        role: api(role).get(f"/api/v1/litters/{litter.pk}/").json()["animals"] for role in ("viewer", "administrator")
    }
    assert shown == {"viewer": ["M1"], "administrator": ["M1", "P1"]}


def test_a_list_costs_the_same_queries_for_1_row_and_for_30(lab, api, django_assert_max_num_queries):
    for n in range(30):
        services.add_entry(Weighing, by=lab.manager, animal=lab.animal, weight=300 + n, time=NOON + n * HOUR)
        services.add_note(by=lab.manager, animal=lab.animal, text=f"note {n}", tags=["fur"])
        services.update_animal(by=lab.manager, animal=lab.animal, cage=f"{n}")
    client = api("administrator")
    for name in ("weighings", "notes", "cages", "housings"):
        with django_assert_max_num_queries(6):
            assert client.get(f"/api/v1/{name}/").json()["count"] == 30
