"""What is said in revisions, of which none is overwritten: each change is a row, and so is taking one back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from sessions.errors import Conflict


class Revision(Protocol):
    """A row of revisions; ``undoes`` is the number of the revision that it takes back, if it takes one back."""

    undoes: int | None


def to_undo(revisions: Mapping[int, Revision]) -> int:
    """Return the number of the last change that was not taken back yet, of all rows by number; else ``Conflict``."""
    undone = max(revisions)
    # What takes back a change leads to the one before that change.
    while undone and (earlier := revisions[undone].undoes) is not None:
        undone = earlier - 1
    if undone < 1:
        raise Conflict("Every change was taken back already.")
    return undone
