"""Whatever REST is asked, it answers what its OpenAPI description says, and never fails; schemathesis asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, Config, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from sessions.tokens import create_token

pytestmark = [pytest.mark.django_db, pytest.mark.long]
CONFORMS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# A row that is another now (If-Match) is told of before the body is looked at.
REFUSED = [400, 401, 403, 404, 406, 409, 412, 413, 415, 429]
# What is asked for each by the first part of its path.
OF_PATH = {
    "animals": "animal", "projects": "project", "species": "species", "strains": "strain", "rigs": "rig",
    "tasks": "task", "sessions": "session", "recordings": "recording", "files": "file", "events": "event",
    "weighings": "weighing", "restrictions": "restriction", "administrations": "administration",
    "procedures": "procedure", "implants": "implant", "genotypes": "genotype", "cages": "cage",
    "housings": "housing", "notes": "note", "tags": "tag", "alleles": "allele", "breeding-pairs": "pair",
    "litters": "litter", "tokens": "token", "uploads": "upload", "cameras": "camera",
    "camera-recordings": "camera-recording", "camera-alerts": "camera-alert", "jobs": "job", "results": "result",
    "chains": "chain", "comments": "comment", "paper-marks": "paper-mark", "unit-labels": "unit-labels",
    "clock-fits": "clock-fit",
    "commands": "command", "share-links": "share-link",
}  # fmt: skip
ANALYSES = (
    "jobs", "results", "pipelines", "chains", "chain-definitions", "comments", "paper-marks", "unit-labels",
    "clock-fits", "commands", "share-links",
)  # fmt: skip
PARTS = {
    "cameras": lambda first: first.startswith("camera"),
    "analyses": lambda first: first in ANALYSES,
    "catalog": lambda first: not first.startswith("camera") and first not in ANALYSES and first < "p",
    "rest of the catalog": lambda first: first >= "p" and first not in ANALYSES,
}
# So many of each operation, and as many that it should refuse: asked by who may all, and of changes by who may some.
EXAMPLES = {"administrator": 4, "experimenter": 1}


@schemathesis.serializer("application/offset+octet-stream")
def as_it_is(_context: Any, value: Any) -> bytes:
    """Send a piece of a file."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@pytest.fixture
def description() -> Iterator[Any]:
    """The description, with the site behind it; a request does not close the connection that the test has."""
    found = SchemaGenerator().get_schema(public=True)
    config = Config.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": REFUSED}}})
    schema = schemathesis.openapi.from_dict(found, config=config)
    schema.app = get_wsgi_application()
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield schema
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


class Asking:
    """Asks an operation with values that its description allows, and with others; takes back what that did."""

    def __init__(self, things: dict[str, Any], key: str, examples: int) -> None:
        self.things = things
        self.key = key
        self.settings = settings(
            max_examples=examples, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
            verbosity=Verbosity.quiet, suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        self.wrong: dict[tuple[str, ...], str] = {}

    def ask(self, operation: Any) -> None:
        """Ask one operation of what is there; where nothing else can be wrong, of what is not."""
        known = self._known(operation)
        self._try(operation, GenerationMode.POSITIVE, known)
        try:
            self._try(operation, GenerationMode.NEGATIVE, known)
        except Unsatisfiable:
            if known:
                self._try(operation, GenerationMode.NEGATIVE, {})

    def _known(self, operation: Any) -> dict[str, str]:
        names = [parameter.name for parameter in operation.path_parameters]
        if not names:
            return {}
        thing = self.things[OF_PATH[first_part(operation)]]
        told = {"figure": "values", "file_format": "json", "name": "values.npy", "slug": getattr(thing, "slug", "")}
        return {name: told.get(name, str(thing.pk)) for name in names}

    def _try(self, operation: Any, mode: GenerationMode, known: dict[str, str]) -> None:
        @self.settings
        @given(case=operation.as_strategy(generation_mode=mode, **({"path_parameters": known} if known else {})))
        def asked(case: Case) -> None:
            case.headers = {**(case.headers or {}), "Authorization": f"Token {self.key}"}
            checks = list(CONFORMS)
            # An empty list or object leaves no trace in an address, so nobody can refuse it.
            if mode is GenerationMode.NEGATIVE and not any(value in ([], {}) for value in (case.query or {}).values()):
                checks.append(negative_data_rejection)
            with transaction.atomic():
                reply = case.call()
                transaction.set_rollback(True)
            try:
                case.validate_response(reply, checks=checks)
            except FailureGroup as failures:
                for failure in failures.exceptions:
                    place = (operation.method, operation.path, type(failure).__name__)
                    said = f"{reply.status_code} {reply.content[:200]!r} to {case.query} {case.body!r:.200}: {failure}"
                    self.wrong.setdefault(place, f"{' '.join(place)}: {said[:900]}")

        asked()


def first_part(operation: Any) -> str:
    """Return what an address is about."""
    return operation.path.removeprefix("/api/v1/").partition("/")[0]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("role", EXAMPLES)
def test_every_reply_is_described(lab, things, description, role, part):
    _, key = create_token(user=getattr(lab, role), name="fuzzing")
    asking = Asking(things, key, EXAMPLES[role])
    asked = 0
    for result in description.get_all_operations():
        operation = result.ok()
        if PARTS[part](first_part(operation)) and (role == "administrator" or operation.method != "get"):
            asking.ask(operation)
            asked += 1
    assert asked
    assert list(asking.wrong.values()) == []
