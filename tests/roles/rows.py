"""What a table of roles is made of: the codes that the six of `ROLES` get, in that order, by address and method."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ROLES = (None, "outsider", "viewer", "experimenter", "manager", "administrator")
METHODS = ("get", "head", "options", "post", "put", "patch", "delete")
Codes = tuple[int, int, int, int, int, int]


@dataclass(frozen=True)
class Ask:
    """A request and its codes. ``{name}`` in the body or the query is the id of that thing."""

    codes: Codes
    body: dict[str, Any] | None = None
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Address:
    """What is asked of an address; what is not named here, answers with the codes of ``otherwise``.

    ``of`` are the things whose ids (or slugs, or texts) its path has; ``json`` says how bodies are sent. An address
    that has no name is asked by its ``path``.
    """

    asked: dict[str, Codes | Ask]
    of: tuple[str, ...] = ()
    otherwise: Codes = (401, 405, 405, 405, 405, 405)
    json: bool = True
    path: str = ""

    def ask(self, method: str) -> Ask:
        """Return the request of a method; HEAD is a GET without its body."""
        found = self.asked.get(method, self.asked.get("get", self.otherwise) if method == "head" else self.otherwise)
        return found if isinstance(found, Ask) else Ask(found)

    def declared(self, method: str) -> bool:
        """Return whether the address has this method."""
        return method in self.asked or (method == "head" and "get" in self.asked)
