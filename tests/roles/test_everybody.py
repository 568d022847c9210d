"""Every address x every method x everybody: one table. It fails when an address or a method is missing from it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import replace
from http.cookies import SimpleCookie
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import transaction
from django.test import Client
from django.urls import get_resolver, reverse
from rest_framework.test import APIClient

from cameras import views as camera_views
from sessions.models import Membership
from tests.roles.admin import ADMIN, MANAGER, MODELS, OF_ALL
from tests.roles.pages import PAGES
from tests.roles.rest import REST
from tests.roles.rows import METHODS, ROLES, Address, Ask

pytestmark = pytest.mark.django_db
TABLE = {**REST, **PAGES}
# What every laboratory enters most, and what nobody but an administrator may; the rest of them takes long.
SOME_OF_ADMIN = ("admin:lab_weighing_", "admin:auth_user_")
OPEN_OF_ADMIN = {"admin:login"}
CHANGING = {"post", "put", "patch", "delete"}


def names() -> Iterator[str]:
    """Yield the name of every address of the site, with its namespaces."""

    def below(resolver: Any, spaces: tuple[str, ...]) -> Iterator[str]:
        for pattern in resolver.url_patterns:
            if hasattr(pattern, "url_patterns"):
                yield from below(pattern, (*spaces, pattern.namespace) if pattern.namespace else spaces)
            else:
                yield ":".join((*spaces, pattern.name or str(pattern.pattern)))

    yield from below(get_resolver(), ())


class Everybody:
    """Asks as each of the six, who are logged in once; what a request did is taken back after it."""

    def __init__(self, lab: Any, things: dict[str, Any]) -> None:
        self.things = things
        self.cookies: dict[str | None, str] = {None: ""}
        for role in ROLES[1:]:
            client = APIClient()
            client.force_login(getattr(lab, role))
            self.cookies[role] = client.cookies.output(header="")

    def code(self, role: str | None, method: str, name: str, row: Address) -> tuple[int, bytes]:
        """Return the code that somebody gets, and the reply."""
        asked = row.ask(method)
        client = APIClient()
        client.cookies = SimpleCookie(self.cookies[role])
        form = "json" if row.json else None
        cache.clear()  # else it would tell some that they ask too often
        body = self._filled(asked) if method not in {"get", "head", "options"} else None
        with transaction.atomic():
            reply = getattr(client, method)(
                (row.path or reverse(name, args=[self._part(of) for of in row.of])) + self._query(asked),
                *([body] if body is not None else []),
                **({"format": form} if form and body is not None else {}),
                headers=asked.headers,
            )
            content = reply.getvalue()
            transaction.set_rollback(True)
        return reply.status_code, content

    def wrong(
        self, table: dict[str, Address], roles: tuple[str | None, ...], methods: AbstractSet[str], *, declared: bool
    ) -> list[str]:
        """Return what does not answer as a table says, of methods that its addresses have or of those they have not."""
        found = []
        for name, row in table.items():
            for method in METHODS:
                if method not in methods or row.declared(method) != declared:
                    continue
                for role in roles:
                    code, content = self.code(role, method, name, row)
                    expected = row.ask(method).codes[ROLES.index(role)]
                    if code != expected:
                        found.append(f"{method} {name} as {role}: {code}, not {expected}: {content[:200]!r}")
        return found

    def _part(self, of: str) -> Any:
        if of.startswith("="):
            return of[1:]
        name, _, by_id = of.partition(".")
        thing = self.things[name]
        return thing.slug if hasattr(thing, "slug") and not by_id else thing.pk

    def _query(self, asked: Ask) -> str:
        return re.sub(r"\{([a-z-]+)\}", lambda found: str(self.things[found[1]].pk), asked.query)

    def _filled(self, asked: Ask) -> Any:
        def fill(value: Any) -> Any:
            if isinstance(value, str) and value.startswith("{"):
                return str(self.things[value[1:-1]].pk)
            return [fill(item) for item in value] if isinstance(value, list) else value

        return None if asked.body is None else {name: fill(value) for name, value in asked.body.items()}


@pytest.fixture
def everybody(lab, things, monkeypatch) -> Everybody:
    # No camera sends, and who asks for a picture waits no longer than it takes to know.
    monkeypatch.setattr(camera_views, "SNAPSHOT_WAIT", 0.01)
    return Everybody(lab, things)


@pytest.fixture
def staff(lab, everybody) -> Everybody:
    """Make all of them staff; what the admin shows them is then for their roles to say."""
    get_user_model().objects.update(is_staff=True)
    return everybody


def test_no_address_is_missing_from_the_table():
    of_admin = {name for name in names() if name.startswith("admin:")}
    assert sorted(name for name in names() if name not in of_admin) == sorted(TABLE)
    # The admin has one of the same kind, without a name, for each model.
    assert of_admin == set(ADMIN)


def test_everybody_gets_what_the_table_says(everybody):
    assert everybody.wrong(TABLE, ROLES, CHANGING | {"get"}, declared=True) == []


def test_what_an_address_does_not_do_is_refused(everybody):
    assert everybody.wrong(TABLE, (None, "administrator"), CHANGING, declared=False) == []


def test_who_is_not_staff_has_no_data_entry(everybody):
    pages = {name: row for name, row in ADMIN.items() if "get" in row.asked and name not in OPEN_OF_ADMIN}
    not_staff = {name: replace(row, asked={"get": (302,) * 6}) for name, row in pages.items()}
    assert everybody.wrong(not_staff, ROLES[:5], {"get"}, declared=True) == []


def test_staff_have_in_data_entry_what_their_roles_let_them(staff):
    some = {name: row for name, row in ADMIN.items() if name.startswith(SOME_OF_ADMIN)}
    assert staff.wrong(some, ROLES, CHANGING | {"get"}, declared=True) == []


@pytest.mark.long
@pytest.mark.parametrize("model", MODELS)
def test_staff_have_in_all_data_entry_what_their_roles_let_them(staff, model):
    pages = {name: row for name, row in ADMIN.items() if name.startswith(f"admin:{model}_")}
    assert staff.wrong(pages, ROLES, CHANGING | {"get"}, declared=True) == []


@pytest.mark.long
def test_staff_have_no_other_methods_in_data_entry(staff):
    pages = {name: row for name, row in ADMIN.items() if not name.startswith(tuple(f"admin:{m}_" for m in MODELS))}
    assert staff.wrong(pages, ROLES, CHANGING | {"get"}, declared=True) == []
    assert staff.wrong(ADMIN, ROLES, CHANGING, declared=False) == []


@pytest.mark.long
@pytest.mark.parametrize("declared", [True, False])
def test_every_other_method_answers_as_the_table_says(everybody, declared):
    roles, methods = (ROLES, {"head", "options"}) if declared else (ROLES[1:5], set(METHODS))
    assert everybody.wrong(TABLE, roles, methods, declared=declared) == []


def test_a_post_without_the_csrf_token_is_refused(lab, things):
    client = Client(enforce_csrf_checks=True)
    client.force_login(lab.experimenter)
    assert client.post(reverse("lab:session-end", args=[things["session-end"].pk])).status_code == 403
    reply = client.post("/api/v1/species/", {"name": "mouse"}, content_type="application/json")
    assert reply.status_code == 403


def test_staff_of_another_project_do_not_see_the_rows_of_this_one(lab, things):
    Membership.objects.create(project=lab.other, user=lab.outsider, role="manager")
    lab.outsider.is_staff = True
    lab.outsider.save()
    client = Client()
    client.force_login(lab.outsider)
    for model, (of, least) in MODELS.items():
        page = reverse(f"admin:{model}_change", args=[things[of.removesuffix(".pk")].pk])
        # What all share is there; what is a project's leads back to the list, as what there is none of.
        expected = 403 if least.see > MANAGER else 200 if of in OF_ALL else 302
        assert client.get(page).status_code == expected, model
