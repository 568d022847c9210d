"""The colony: alleles, breeding pairs, litters."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.utils import timezone

from sessions.errors import Invalid
from sessions.models import Allele, Animal, BreedingPair, Litter, Project, Sex
from sessions.permissions import require
from sessions.services.animals import update_animal
from sessions.services.laboratory import require_experimenter
from sessions.services.transaction import checked, one_write, only_known


def create_allele(*, by: Any, name: str, description: str = "") -> Allele:
    """Add an allele."""
    require_experimenter(by)
    with one_write():
        allele = Allele(name=name.strip(), description=description)
        checked(allele).save(force_insert=True)
    return allele


def create_pair(
    *,
    by: Any,
    name: str,
    project: Project,
    female: Animal,
    male: Animal,
    start: date | None = None,
    end: date | None = None,
    notes: str = "",
) -> BreedingPair:
    """Put a female and a male together; ``Invalid`` when they are not of one species, or of the wrong sex."""
    require(by, "change", project)
    pair = BreedingPair(
        name=name.strip(), project=project, female=female, male=male, start=start or timezone.localdate(), end=end,
        notes=notes,
    )  # fmt: skip
    _fit(by, pair)
    with one_write():
        checked(pair).save(force_insert=True)
    return pair


def update_pair(*, by: Any, pair: BreedingPair, **changes: Any) -> BreedingPair:
    """Change a breeding pair, or part it (``end``)."""
    only_known(changes, {"name", "project", "female", "male", "start", "end", "notes"}, "a breeding pair")
    with one_write():
        pair = BreedingPair.objects.select_for_update(of=("self",)).select_related("project", "female", "male").get(
            pk=pair.pk
        )  # fmt: skip
        require(by, "change", pair)
        if "project" in changes:
            require(by, "change", changes["project"])
        for field, value in changes.items():
            setattr(pair, field, value)
        _fit(by, pair)
        first = pair.litters.order_by("born").first()
        if first is not None and pair.start is not None and first.born < pair.start:
            sentence = f"{pair} has a litter of {first.born:%Y-%m-%d}, so it was put together before."
            raise Invalid(sentence, {"start": [sentence]})
        checked(pair).save()
    return pair


def create_litter(
    *,
    by: Any,
    pair: BreedingPair,
    born: date | None = None,
    size: int | None = None,
    weaned: date | None = None,
    notes: str = "",
) -> Litter:
    """Write down what a pair bore; animals are put into it by ``update_animal``."""
    require(by, "change", pair)
    litter = Litter(pair=pair, born=born or timezone.localdate(), size=size, weaned=weaned, notes=notes)
    _of_its_pair(litter)
    with one_write():
        checked(litter).save(force_insert=True)
    return litter


def update_litter(*, by: Any, litter: Litter, **changes: Any) -> Litter:
    """Correct a litter, or say when it was weaned; its animals that were born on its day are born on the new one."""
    only_known(changes, {"born", "size", "weaned", "notes"}, "a litter")
    with one_write():
        litter = Litter.objects.select_for_update(of=("self",)).select_related("pair__project").get(pk=litter.pk)
        require(by, "change", litter)
        born = litter.born
        for field, value in changes.items():
            setattr(litter, field, value)
        _of_its_pair(litter)
        checked(litter).save()
        if litter.born != born:
            for animal in litter.animals.filter(birth_date=born).order_by("identifier"):
                update_animal(by=by, animal=animal, birth_date=litter.born)
    return litter


def _fit(by: Any, pair: BreedingPair) -> None:
    for field, sex in (("female", Sex.FEMALE), ("male", Sex.MALE)):
        animal = getattr(pair, field)
        require(by, "change", animal)
        if animal.sex not in {sex, Sex.UNKNOWN}:
            sentence = f"{animal} is {animal.get_sex_display()}."
            raise Invalid(sentence, {field: [sentence]})
    if pair.female.species_id != pair.male.species_id:
        sentence = f"{pair.female} and {pair.male} are of different species."
        raise Invalid(sentence, {"male": [sentence]})


def _of_its_pair(litter: Litter) -> None:
    if litter.born is not None and litter.born < litter.pair.start:
        sentence = f"{litter.pair} was put together on {litter.pair.start:%Y-%m-%d}, after this day."
        raise Invalid(sentence, {"born": [sentence]})
