"""Two people change the same row: the second is told, and nothing is lost."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.django_db

API = "/api/v1"
CHANGES = {"animals": {"cage": "7"}, "sessions": {"narrative": "calm"}, "recordings": {"quality": "good"},
           "rigs": {"location": "cellar"}, "tasks": {"protocol": "run"}}  # fmt: skip


@pytest.mark.parametrize("collection", CHANGES)
def test_a_change_of_what_was_changed_meanwhile_is_refused(api, recording, collection):
    client = api()
    row = client.get(f"{API}/{collection}/").json()["results"][0]
    address = f"{API}/{collection}/{row['id']}/"
    read = client.get(address)["ETag"]
    assert client.get(address)["ETag"] == read
    changed = client.patch(address, CHANGES[collection], format="json", headers={"If-Match": read})
    assert changed.status_code == 200
    assert changed["ETag"] == client.get(address)["ETag"] != read
    (field, kept) = next(iter(CHANGES[collection].items()))
    late = client.patch(address, {field: ""}, format="json", headers={"If-Match": read})
    assert late.status_code == 412
    assert "since you read it" in late.json()["detail"]
    assert client.get(address).json()[field] == kept
    again = client.patch(address, {field: ""}, format="json", headers={"If-Match": changed["ETag"]})
    assert again.status_code == 200


def test_a_version_opens_nothing_that_a_role_does_not(api, lab):
    address = f"{API}/animals/{lab.animal.pk}/"
    for role, code in (("outsider", 404), ("viewer", 403)):
        reply = api(role).patch(address, {"cage": "7"}, format="json", headers={"If-Match": "*"})
        assert reply.status_code == code
    lab.animal.refresh_from_db()
    assert lab.animal.cage == ""
