"""A POST may bring a list of rows: all of them are added, or none, and each wrong one is named by its place."""

from __future__ import annotations

import pytest

from sessions.api.base import MOST_AT_ONCE
from sessions.models import Animal, Weighing

pytestmark = pytest.mark.django_db
WEIGHINGS = "/api/v1/weighings/"
ANIMALS = "/api/v1/animals/"


def weights(*grams: object) -> list[dict[str, object]]:
    return [{"animal": "R214", "weight": weight} for weight in grams]


def test_all_rows_are_added_in_their_order(lab, api):
    reply = api().post(WEIGHINGS, weights(301, 302, 303), format="json")
    assert reply.status_code == 201
    assert [row["weight"] for row in reply.json()] == [301, 302, 303]
    assert Weighing.objects.count() == 3


@pytest.mark.parametrize(
    ("rows", "place", "said"),
    [
        (weights(301, "heavy"), "[1].weight", "This is a number."),
        ([*weights(301), {"animal": "R214", "weight": True}], "[1].weight", "This is a number."),
        # What only the database knows.
        (weights(301, 302, -5), "[2].weight", "more than 0 g"),
        ([*weights(301), {"animal": "R999", "weight": 5}], "[1].animal", "There is no animal 'R999'."),
    ],
)
def test_none_is_added_when_one_is_wrong(lab, api, rows, place, said):
    reply = api().post(WEIGHINGS, rows, format="json")
    assert reply.status_code == 400
    assert said in " ".join(reply.json()["errors"][place])
    assert not Weighing.objects.exists()


def test_a_row_that_somebody_may_not_add_takes_all_back(lab, api):
    assert api("viewer").post(WEIGHINGS, weights(301, 302), format="json").status_code == 403
    assert not Weighing.objects.exists()


def test_two_rows_of_one_name_contradict_each_other(lab, api):
    twin = {"identifier": "N1", "project": "Memory", "species": "rat"}
    reply = api().post(ANIMALS, [twin, twin], format="json")
    assert reply.status_code in {400, 409}
    assert any(place.startswith("[1]") for place in reply.json()["errors"])
    assert not Animal.objects.filter(identifier="N1").exists()


def test_a_list_that_is_sent_twice_is_taken_once(lab, api):
    for _ in range(2):
        reply = api().post(WEIGHINGS, weights(301, 302), format="json", headers={"Idempotency-Key": "scale-1"})
        assert reply.status_code == 201
        assert len(reply.json()) == 2
    assert Weighing.objects.count() == 2


@pytest.mark.parametrize(("address", "rows"), [(WEIGHINGS, []), (WEIGHINGS, [{}] * (MOST_AT_ONCE + 1))])
def test_a_list_has_rows_but_not_too_many(lab, api, address, rows):
    reply = api().post(address, rows, format="json")
    assert reply.status_code == 400
    assert f"1 to {MOST_AT_ONCE}" in reply.json()["detail"]


def test_what_is_made_one_at_a_time_takes_no_list(lab, api):
    assert api("administrator").post("/api/v1/projects/", [{"name": "New"}], format="json").status_code == 400
