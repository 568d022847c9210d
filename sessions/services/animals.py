"""Animals: taken into the laboratory, changed, always in somebody's project."""

from __future__ import annotations

from datetime import date
from typing import Any

from sessions.errors import Invalid
from sessions.models import Animal, AnimalStatus, Litter, Project, Sex, Species, Strain
from sessions.permissions import require
from sessions.services.transaction import checked, one_write, only_known

CHANGEABLE = {
    "identifier", "project", "species", "strain", "genotype", "sex", "birth_date", "death_date", "cage",
    "responsible", "status", "litter", "notes",
}  # fmt: skip


def create_animal(
    *,
    by: Any,
    identifier: str,
    project: Project,
    species: Species,
    strain: Strain | None = None,
    genotype: str = "",
    sex: str = Sex.UNKNOWN,
    birth_date: date | None = None,
    death_date: date | None = None,
    cage: str = "",
    responsible: Any = None,
    status: str = AnimalStatus.ALIVE,
    litter: Litter | None = None,
    notes: str = "",
) -> Animal:
    """Take an animal into a project; ``Conflict`` when its identifier is already used in the laboratory."""
    require(by, "change", project)
    animal = Animal(
        identifier=identifier.strip(), project=project, species=species, strain=strain, genotype=genotype, sex=sex,
        birth_date=birth_date, death_date=death_date, cage=cage, responsible=responsible, status=status, litter=litter,
        notes=notes,
    )  # fmt: skip
    _agree(animal)
    with one_write():
        checked(animal).save(force_insert=True)
    return animal


def update_animal(*, by: Any, animal: Animal, **changes: Any) -> Animal:
    """Change fields of an animal. To give it to another project one must be allowed to change there too."""
    only_known(changes, CHANGEABLE, "an animal")
    with one_write():
        animal = Animal.objects.select_for_update(of=("self",)).select_related("project").get(pk=animal.pk)
        require(by, "change", animal)
        if "project" in changes:
            require(by, "change", changes["project"])
        for field, value in changes.items():
            setattr(animal, field, value)
        _agree(animal)
        checked(animal).save(update_fields=list(changes) or None)
    return animal


def _agree(animal: Animal) -> None:
    if animal.strain is not None and animal.strain.species_id != animal.species_id:
        sentence = f"{animal.strain} is not a strain of {animal.species}."
        raise Invalid(sentence, {"strain": [sentence]})
    if animal.litter is not None and animal.birth_date not in {None, animal.litter.born}:
        sentence = f"The litter was born on {animal.litter.born:%Y-%m-%d}, the animal on {animal.birth_date:%Y-%m-%d}."
        raise Invalid(sentence, {"litter": [sentence]})
