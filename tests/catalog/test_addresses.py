"""Nobody gets in anywhere without saying who he is: every address of the site, by every method, whoever added it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator

import pytest
from django.test import Client
from django.urls import get_resolver

pytestmark = pytest.mark.django_db

METHODS = ("get", "head", "options", "post", "put", "patch", "delete")
FILLED = {"uuid": str(uuid.uuid4()), "slug": "box-1", "path": "a/b", "str": "x", "int": "1"}
# What must be reached before one is anybody, and what is the same for all.
OPEN = {"healthz", "login", "logout", "auth-token", "camera-enrolment", "api-schema", "api-docs", "favicon"}


def addresses() -> Iterator[tuple[str, str]]:
    """Yield the name and a path of every address, its parts filled in."""

    def below(resolver: object, path: str) -> Iterator[tuple[str, str]]:
        for pattern in resolver.url_patterns:
            route = path + str(pattern.pattern).lstrip("^").removesuffix("$").removesuffix("\\Z")
            if hasattr(pattern, "url_patterns"):
                yield from below(pattern, route)
            else:
                route = re.sub(r"\(\?P<\w+>[^)]*\)", FILLED["uuid"], route)
                route = re.sub(r"<(?:(\w+):)?\w+>", lambda part: FILLED[part[1] or "str"], route)
                yield pattern.name or "", route.replace("\\", "").replace("/?", "/")

    return below(get_resolver(), "/")


def test_nobody_gets_in_anywhere():
    client = Client(raise_request_exception=False)
    # The one without a name says of every other address below /api/ that it is none.
    found = [(name, path) for name, path in addresses() if name and name not in OPEN]
    assert len(found) > 100
    # Only the three apps' own: what the admin does of itself is Django's to test, its front door stands for it.
    found = [(name, path) for name, path in found if not path.startswith("/admin/") or path == "/admin/"]
    let_in = []
    for name, path in found:
        for method in METHODS:
            reply = getattr(client, method)(path)
            to_login = reply.status_code in {302, 301} and "login" in reply["Location"]
            if not to_login and reply.status_code not in {401, 403, 405}:
                let_in.append((name, method, path, reply.status_code))
    assert let_in == []
