"""What changes labels: say what units are, and take that back. Nothing is overwritten; each change is a revision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.labels.models import UnitLabel, UnitLabels
from analysis.labels.selectors import names_of, newest
from analysis.revisions import to_undo
from sessions.errors import Conflict, Invalid, Stale
from sessions.models import Recording
from sessions.permissions import require
from sessions.services.transaction import one_write


def label_units(*, by: Any, recording: Recording, labels: Mapping[str, str | None], base: int) -> UnitLabels:
    """Say what some units are (``None`` takes a label off), seen at revision ``base`` (0 before the first).

    What others said of other units meanwhile stays. Of the same unit only who has seen it may say otherwise: ``Stale``
    names who said what, with ``errors`` by unit. ``Invalid`` for units that are not there and labels that are none.
    Labels that are as they were make no revision; ``Conflict`` where there is none yet to return.
    """
    require(by, "change", recording)
    _check(recording, labels)
    with one_write():
        last = _locked(recording)
        _look_for_conflicts(recording, last, labels, base)
        before = dict(last.labels) if last else {}
        after = {**before, **{unit: label for unit, label in labels.items() if label}}
        for unit, label in labels.items():
            if not label:
                after.pop(unit, None)
        if after == before:
            if last is None:
                raise Conflict("No unit of this recording has a label yet: there is none to take off.")
            return last
        return _added(by, recording, last, after)


def undo_labels(*, by: Any, recording: Recording, base: int) -> UnitLabels:
    """Take the last change back that was not taken back yet; ``Stale`` when ``base`` is no longer the last revision."""
    require(by, "change", recording)
    with one_write():
        last = _locked(recording)
        if last is None:
            raise Conflict("No unit of this recording has a label yet: there is nothing to undo.")
        if last.revision != base:
            raise Stale(f"{_who(last)} changed labels since you looked: look at them before you undo.")
        revisions = {row.revision: row for row in UnitLabels.objects.filter(recording=recording)}
        undone = to_undo(revisions)
        before = revisions[undone - 1].labels if undone > 1 else {}
        return _added(by, recording, last, dict(before), undoes=undone)


def _locked(recording: Recording) -> UnitLabels | None:
    """Return the last revision, and keep others from adding one until this transaction ends."""
    Recording.objects.select_for_update(of=("self",)).only("pk").get(pk=recording.pk)
    return newest(recording)


def _added(
    by: Any, recording: Recording, last: UnitLabels | None, after: dict[str, str], undoes: int | None = None
) -> UnitLabels:
    before = last.labels if last else {}
    changed = {
        unit: [before.get(unit), after.get(unit)]
        for unit in sorted({*before, *after})
        if before.get(unit) != after.get(unit)
    }
    made = UnitLabels.objects.create(
        recording=recording,
        revision=(last.revision if last else 0) + 1,
        labels=after,
        changed=changed,
        undoes=undoes,
        user=by if by.pk else None,
    )
    made.refresh_from_db()
    return made


def _check(recording: Recording, labels: Mapping[str, str | None]) -> None:
    if not labels:
        raise Invalid("Name at least one unit.", {"labels": ["Name at least one unit."]})
    known = set(names_of(recording))
    wrong = {
        unit: [f"There is no unit {unit!r} here." if unit not in known else f"Say {', '.join(UnitLabel.values)}."]
        for unit, label in labels.items()
        if unit not in known or not (label is None or label in UnitLabel.values)
    }
    if wrong:
        raise Invalid(next(iter(wrong.values()))[0], {f"labels.{unit}": texts for unit, texts in wrong.items()})


def _look_for_conflicts(
    recording: Recording, last: UnitLabels | None, labels: Mapping[str, str | None], base: int
) -> None:
    newest_revision = last.revision if last else 0
    if base > newest_revision:
        raise Invalid(f"The last revision is {newest_revision}.", {"base": [f"It is at most {newest_revision}."]})
    since = UnitLabels.objects.filter(recording=recording, revision__gt=base).select_related("user")
    said: dict[str, tuple[UnitLabels, str | None]] = {}
    for row in since.order_by("revision"):
        said |= {unit: (row, now) for unit, (_, now) in row.changed.items() if unit in labels}
    against = {unit: found for unit, found in said.items() if found[1] != (labels[unit] or None)}
    if against:
        errors = {
            f"labels.{unit}": [f"{_who(row)} said {now or 'nothing more'} of unit {unit} since you looked."]
            for unit, (row, now) in against.items()
        }
        raise Stale(" ".join(texts[0] for texts in errors.values()), errors)


def _who(row: UnitLabels) -> str:
    return row.user.get_username() if row.user else "Somebody"
