"""A POST with an Idempotency-Key happens once, however often and however simultaneously it is sent."""

from __future__ import annotations

import threading

import pytest
from django.db import connection
from rest_framework.test import APIClient

from sessions.models import Animal, IdempotencyKey, Species

KEY = {"HTTP_IDEMPOTENCY_KEY": "7f1c"}
URL = "/api/v1/animals/"
BODY = {"identifier": "R1", "project": "Memory", "species": "rat"}


@pytest.mark.django_db
def test_the_second_post_gets_the_first_reply(lab, api):
    first = api().post(URL, BODY, format="json", **KEY)
    second = api().post(URL, {"species": "rat", "project": "Memory", "identifier": "R1"}, format="json", **KEY)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert second["Idempotency-Replayed"] == "true"
    assert Animal.objects.filter(identifier="R1").count() == 1


@pytest.mark.django_db
def test_another_body_or_address_with_the_key_is_a_conflict(lab, api):
    api().post(URL, BODY, format="json", **KEY)
    assert api().post(URL, {**BODY, "identifier": "R2"}, format="json", **KEY).status_code == 409
    assert api().post("/api/v1/species/", BODY, format="json", **KEY).status_code == 409
    # Another person's keys are his own.
    assert api("manager").post(URL, {**BODY, "identifier": "R2"}, format="json", **KEY).status_code == 201


@pytest.mark.django_db
def test_what_failed_may_be_tried_again_with_the_key(lab, api):
    body = {**BODY, "species": "mouse"}
    assert api().post(URL, body, format="json", **KEY).status_code == 400
    assert not IdempotencyKey.objects.exists()
    Species.objects.create(name="mouse")
    assert api().post(URL, body, format="json", **KEY).status_code == 201


@pytest.mark.django_db(transaction=True)
def test_at_the_same_moment_it_happens_once(lab):
    barrier, replies = threading.Barrier(4), []

    def post() -> None:
        client = APIClient()
        client.force_authenticate(lab.experimenter)
        barrier.wait(30)
        try:
            replies.append(client.post(URL, BODY, format="json", **KEY))
        finally:
            connection.close()

    threads = [threading.Thread(target=post) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [reply.status_code for reply in replies] == [201] * 4
    assert len({reply.json()["id"] for reply in replies}) == 1
    assert sum(reply.has_header("Idempotency-Replayed") for reply in replies) == 3
    assert Animal.objects.filter(identifier="R1").count() == 1
