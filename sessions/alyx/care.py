"""What a dump says about the care of its animals: surgeries become procedures; weights, water and restrictions follow.

Each is known by its animal and moment, so that a dump may be taken again; what was set aside since stays set aside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sessions import services
from sessions.alyx.dump import IMPORTED, MERGED, Record
from sessions.errors import Invalid
from sessions.models import Administration, Animal, Procedure, Restriction, Weighing

if TYPE_CHECKING:
    from sessions.alyx.taking import Taking

AGAIN = "is in the catalog already"
# Surgery.outcome_type (alyx/actions/models.py)
OUTCOMES = {"a": "acute", "r": "recovery", "n": "no recovery"}
Outcome = tuple[str, str]


def surgery(taking: Taking, record: Record) -> Outcome:
    """Make a surgery a procedure."""
    animal, start, end = taking.of_subject(record)
    narrative = taking.narrative(record, ended=True)
    if (weight := _number(record, "implant_weight")) is not None:
        narrative = f"{narrative}\nimplant weight: {weight:g} g".strip()
    there = Procedure.objects.filter(animal=animal, kind="surgery", start=start).first()
    if there is not None:
        if there.narrative != narrative:
            raise Invalid(f"Another surgery of {animal} starts at the same moment, and what it says is other.")
        return MERGED, f"the surgery of {animal} at {start:%Y-%m-%d %H:%M:%S} UTC {AGAIN}"
    people = taking.users(record)
    services.add_entry(
        Procedure, by=taking.by, animal=animal, person=people[0] if people else None, kind="surgery", start=start,
        end=end, narrative=narrative, outcome=OUTCOMES.get(record.text("outcome_type"), ""),
        notes=f"with {', '.join(map(str, people[1:]))}" if people[1:] else "",
    )  # fmt: skip
    return IMPORTED, ""


def weighing(taking: Taking, record: Record) -> Outcome:
    """Take a weight, g."""
    animal, time, person = _moment_of(taking, record)
    weight = _number(record, "weight")
    if weight is None:
        raise Invalid("It has no weight.")
    there = Weighing.objects.filter(animal=animal, time=time).first()
    if there is not None:
        if there.weight != weight:
            raise Invalid(f"{animal} was weighed at the same moment, with {there.weight:g} g; here it is {weight:g} g.")
        return MERGED, f"the weight of {animal} at {time:%Y-%m-%d %H:%M:%S} UTC {AGAIN}"
    services.add_entry(Weighing, by=taking.by, animal=animal, person=person, time=time, weight=weight)
    return IMPORTED, ""


def water(taking: Taking, record: Record) -> Outcome:
    """Take what an animal was given to drink, mL."""
    animal, time, person = _moment_of(taking, record)
    amount = _number(record, "water_administered")
    if amount is None:
        raise Invalid("It does not say how much.")
    sort = taking.dump.get("actions.watertype", record.fields.get("water_type"))
    substance = sort.name[:100] if sort is not None and sort.name.lower() != "water" else ""
    there = Administration.objects.filter(animal=animal, time=time, kind="water", substance=substance)
    if there.filter(amount=amount).exists():
        return MERGED, f"the water of {animal} at {time:%Y-%m-%d %H:%M:%S} UTC {AGAIN}"
    services.add_entry(
        Administration, by=taking.by, animal=animal, person=person, time=time, kind="water", substance=substance,
        amount=amount, unit="mL", notes="as much as it wanted" if record.fields.get("adlib") else "",
    )  # fmt: skip
    return IMPORTED, ""


def restriction(taking: Taking, record: Record) -> Outcome:
    """Take a water restriction; without a reference weight that of the last weighing before it counts."""
    animal, start, end = taking.of_subject(record)
    there = Restriction.objects.filter(animal=animal, kind="water", start=start).first()
    if there is not None:
        return MERGED, f"the restriction of {animal} from {start:%Y-%m-%d %H:%M:%S} UTC {AGAIN}"
    reference, notes = _number(record, "reference_weight"), [taking.narrative(record, ended=True)]
    if reference is None:
        before = Weighing.objects.filter(animal=animal, time__lte=start, deleted=None).order_by("-time").first()
        if before is None:
            raise Invalid("It has no reference weight, and no weighing before it gives one.")
        reference = before.weight
        notes.append(f"The reference weight is that of the weighing of {before.time:%Y-%m-%d}.")
    people = taking.users(record)
    services.add_entry(
        Restriction, by=taking.by, animal=animal, person=people[0] if people else None, kind="water", start=start,
        end=end, reference_weight=reference, notes="\n".join(note for note in notes if note),
    )  # fmt: skip
    return IMPORTED, ""


# In this order: a restriction may be judged by a weight.
CARE: dict[str, Callable[[Taking, Record], Outcome]] = {
    "actions.surgery": surgery,
    "actions.weighing": weighing,
    "actions.wateradministration": water,
    "actions.waterrestriction": restriction,
}


def _moment_of(taking: Taking, record: Record) -> tuple[Animal, Any, Any]:
    animal, time, _ = taking.of_subject(record, start="date_time")
    return animal, time, taking.people.get(str(record.fields.get("user")))


def _number(record: Record, name: str) -> float | None:
    """Return a number; Alyx writes 0 where nothing was measured."""
    value = record.fields.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value else None
