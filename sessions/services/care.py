"""Care of animals: what is written down, corrected, undone, set aside and taken back."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.contrib.auth import get_user_model
from django.utils import timezone

from sessions.errors import Conflict, Invalid
from sessions.models import (
    NOTED,
    UNITS,
    Administration,
    AdministrationKind,
    Animal,
    Cage,
    Entry,
    Genotype,
    Implant,
    Note,
    Procedure,
    Restriction,
    Weighing,
)
from sessions.permissions import LABORATORY, require
from sessions.services.laboratory import require_experimenter
from sessions.services.transaction import checked, one_write, only_known

E = TypeVar("E", bound=Entry)
W = TypeVar("W", bound=Entry | Note)

# What may be corrected later; whose animal it is about may be, too, where one may change both.
CHANGEABLE: dict[type[Entry], set[str]] = {
    Weighing: {"animal", "person", "notes", "time", "weight"},
    Restriction: {
        "animal", "person", "notes", "kind", "start", "end", "reference_weight", "expected_percentage",
        "alarm_percentage",
    },
    Administration: {"animal", "person", "notes", "kind", "substance", "amount", "unit", "time"},
    Procedure: {"animal", "person", "notes", "kind", "start", "end", "narrative", "outcome"},
    Implant: {
        "animal", "person", "notes", "device", "procedure", "region", "hemisphere", "anteroposterior", "mediolateral",
        "dorsoventral", "implanted", "removed",
    },
    Genotype: {"animal", "person", "notes", "allele", "zygosity", "tested"},
}  # fmt: skip
# A clock of a phone may go wrong by this much.
CLOCK_ERROR = timedelta(hours=1)
# No animal of a laboratory is heavier, a large monkey or a pig neither: such a number is a slip, or in milligrams.
HEAVIEST_PLAUSIBLE_G = 100_000


def add_entry(model: type[E], *, by: Any, animal: Animal, **values: Any) -> E:
    """Write down a weighing, restriction, administration, procedure, implant or genotype of an animal.

    The person is who asks unless another is given, and times are now. What the database refuses (a weight of 0 g, two
    restrictions of a kind at a time) is ``Invalid`` or ``Conflict``.
    """
    require(by, "change", animal)
    only_known(values, CHANGEABLE[model], f"a {model._meta.verbose_name}")
    fields = {field.name for field in model._meta.fields}
    for field in {"time", "start"} & fields:
        values[field] = values.get(field) or timezone.now()
    if "implanted" in fields:
        values["implanted"] = values.get("implanted") or timezone.localdate()
    values.setdefault("person", None if by is LABORATORY else by)
    row = model(animal=animal, **values)
    agree(row)
    with one_write():
        checked(row).save(force_insert=True)
    return row


def update_entry(*, by: Any, entry: E, **changes: Any) -> E:
    """Correct what was written down; every version stays in the history."""
    model = type(entry)
    only_known(changes, CHANGEABLE[model], f"a {model._meta.verbose_name}")
    with one_write():
        row: E = _locked(model, entry.pk)
        require(by, "change", row)
        if "animal" in changes:
            require(by, "change", changes["animal"])
        for field, value in changes.items():
            setattr(row, field, value)
        agree(row)
        checked(row).save(update_fields=sorted({*changes, *_FOLLOWING.get(model, ())}))
        carry_along(row)
    return row


def delete_entry(*, by: Any, entry: W) -> W:
    """Set aside what was written down by mistake: it counts nowhere, and ``restore_entry`` takes it back."""
    return _mark(by=by, entry=entry, deleted=timezone.now())


def restore_entry(*, by: Any, entry: W) -> W:
    """Take back what was set aside; ``Conflict`` when something else has its place by now."""
    return _mark(by=by, entry=entry, deleted=None)


def undo_entry(*, by: Any, entry: W) -> W:
    """Make what was written down what it was before its last change; to undo that again brings the change back.

    ``Conflict`` when it never changed: what should not be there at all is set aside by ``delete_entry``. Tags of a note
    are no part of its versions.
    """
    with one_write():
        row: W = _locked(type(entry), entry.pk)
        require(by, "change", row)
        versions = list(row.history.order_by("-pgh_id")[:2])  # type: ignore[union-attr]
        if len(versions) < 2:  # noqa: PLR2004 - the one there is, and the one before
            what = "its text and time" if isinstance(row, Note) else "this"
            raise Conflict(f"There is nothing to undo: {what} never changed since it was written down.")
        now, before = versions
        if (now.deleted is None) != (before.deleted is None):
            require(by, "delete", row)
        for field in row._meta.fields:
            if not field.primary_key:
                setattr(row, field.attname, getattr(before, field.attname))
        if row.person_id is not None and not get_user_model().objects.filter(pk=row.person_id).exists():
            # Gone since then; elsewhere his name was taken away when he was deleted.
            row.person = None
        require(by, "change", row)
        if isinstance(row, Entry):
            agree(row)
        row.save()
        carry_along(row)
    return row


def update_cage(*, by: Any, cage: Cage, **changes: Any) -> Cage:
    """Say where a cage stands."""
    only_known(changes, {"location"}, "a cage")
    require_experimenter(by)
    with one_write():
        cage = Cage.objects.select_for_update().get(pk=cage.pk)
        for field, value in changes.items():
            setattr(cage, field, value)
        checked(cage).save()
    return cage


def create_cage(*, by: Any, name: str, location: str = "") -> Cage:
    """Add an empty cage; one that an animal is put into is there by itself."""
    require_experimenter(by)
    with one_write():
        cage = Cage(name=name.strip(), location=location)
        checked(cage).save(force_insert=True)
    return cage


def carry_along(row: Entry | Note) -> None:
    """Let what belongs to an entry follow it to another animal: implants are where their procedure put them."""
    if isinstance(row, Procedure):
        Implant.objects.filter(procedure=row).exclude(animal=row.animal_id).update(animal=row.animal_id)


def agree(row: Entry) -> None:
    """Refuse what one row alone cannot tell: the future, a time without its zone, another animal's procedure."""
    for field in ("time", "start", "end"):
        moment = getattr(row, field, None)
        if moment is not None and timezone.is_naive(moment):
            raise Invalid(f"The {field} needs its zone.", {field: ["This needs its zone."]})
    for field in ("time", "start"):
        if hasattr(row, field) and getattr(row, field) is None:
            raise Invalid(f"The {field} is missing.", {field: ["This is needed."]})
    if isinstance(row, Weighing | Administration) and row.time > timezone.now() + CLOCK_ERROR:
        sentence = "This time has not come yet."
        raise Invalid(sentence, {"time": [sentence]})
    for field in ("weight", "reference_weight"):
        weight = getattr(row, field, None)
        if isinstance(weight, int | float) and weight > HEAVIEST_PLAUSIBLE_G:
            sentence = f"{weight:,g} g is no weight of an animal here; was another unit meant?"
            raise Invalid(sentence, {field: [sentence]})
    if isinstance(row, Weighing | Administration):
        _require_living(row)
    if isinstance(row, Administration) and not row.unit and row.kind in AdministrationKind.values:
        row.unit = UNITS[AdministrationKind(row.kind)]
    if isinstance(row, Implant) and row.procedure is not None and row.procedure.animal_id != row.animal_id:
        sentence = f"This procedure was on another animal than {row.animal}."
        raise Invalid(sentence, {"procedure": [sentence]})


def _require_living(row: Weighing | Administration) -> None:
    """Refuse what was not done to a living animal: the wrong animal was chosen, or the wrong day."""
    day, animal, what = timezone.localtime(row.time).date(), row.animal, row._meta.verbose_name
    if animal.death_date is not None and animal.death_date < day:
        sentence = f"{animal} died on {animal.death_date:%Y-%m-%d}, before this {what}."
    elif animal.birth_date is not None and animal.birth_date > day:
        sentence = f"{animal} was born on {animal.birth_date:%Y-%m-%d}, after this {what}."
    else:
        return
    raise Invalid(sentence, {"time": [sentence]})


# Fields that the services themselves fill in when others change.
_FOLLOWING: dict[type[Entry], set[str]] = {Administration: {"unit"}}


def _locked(model: type[Any], pk: Any) -> Any:
    """Return a row that nobody else changes meanwhile, with what tells its project."""
    related = ("animal__project",) if model is not Note else ("animal__project", "session__project", *NOTED)
    return model.objects.select_for_update(of=("self",)).select_related(*related).get(pk=pk)


def _mark(*, by: Any, entry: W, deleted: datetime | None) -> W:
    with one_write():
        row: W = _locked(type(entry), entry.pk)
        require(by, "delete", row)
        if (row.deleted is None) != (deleted is None):
            row.deleted = deleted
            row.save(update_fields=["deleted"])
    return row
