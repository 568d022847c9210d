"""Who and what is in the simulated laboratory: people, projects, rats, rigs with their cameras, tasks."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from cameras.models import Camera
from cameras.services import create_camera, rotate_token
from labsite.demo.arenas import HOLD_SECONDS, ODOURS
from labsite.demo.boxes import BOXES, Box, folder
from labsite.stack.home import write_private
from sessions.models import Animal, Membership, Project, Rig, Role, Sex, Species, Strain, Task
from sessions.permissions import LABORATORY
from sessions.services.animals import create_animal
from sessions.services.laboratory import create_project, create_rig, create_species, create_strain, create_task
from sessions.tokens import digest_of

EXPERIMENTER, VIEWER = "experimenter", "viewer"
SPACE = "Simulated: spatial coding"
SEQUENCE = "Simulated: odour sequence memory"
TRACK_TASK, FIELD_TASK, ODOUR_TASK = "Linear track", "Open field", "Odour sequence"
NOTE = "A simulated animal: its behaviour and its neurons are computed."


@dataclass(frozen=True)
class Rat:
    """A rat of the catalog; ``age_days`` when the laboratory was made."""

    identifier: str
    sex: str
    age_days: int
    cage: str
    project: str
    strain: str = "Long-Evans"


RATS = (
    Rat("R214", Sex.MALE, 212, "C-07", SPACE),
    Rat("R215", Sex.MALE, 212, "C-07", SPACE),
    Rat("R217", Sex.FEMALE, 198, "C-09", SPACE),
    Rat("R218", Sex.FEMALE, 198, "C-09", SPACE, "Lister Hooded"),
    Rat("R221", Sex.MALE, 176, "C-11", SEQUENCE),
    Rat("R222", Sex.MALE, 176, "C-11", SEQUENCE),
    Rat("R223", Sex.FEMALE, 171, "C-12", SEQUENCE),
    Rat("R224", Sex.FEMALE, 171, "C-12", SEQUENCE),
)


@dataclass(frozen=True)
class Laboratory:
    """The rows that later steps refer to, by the names above."""

    experimenter: Any
    projects: dict[str, Project]
    animals: dict[str, Animal]
    rigs: dict[str, Rig]
    tasks: dict[str, Task]


@transaction.atomic
def furnish(home: Path) -> Laboratory:
    """Make sure that all of it is there; what is there already is left as it is."""
    people = {name: _person(home, name) for name in (EXPERIMENTER, VIEWER)}
    projects = {
        SPACE: _project(SPACE, "Place cells of CA1 on tracks and in boxes. All animals and data are simulated."),
        SEQUENCE: _project(SEQUENCE, "Memory for the order of odours. All animals and data are simulated."),
    }
    for project in projects.values():
        for name, role in ((EXPERIMENTER, Role.EXPERIMENTER), (VIEWER, Role.VIEWER)):
            Membership.objects.get_or_create(project=project, user=people[name], defaults={"role": role})
    species = Species.objects.filter(name="Rat").first() or create_species(
        by=LABORATORY, name="Rat", latin_name="Rattus norvegicus"
    )
    strains = {
        name: Strain.objects.filter(name=name).first() or create_strain(by=LABORATORY, name=name, species=species)
        for name in sorted({rat.strain for rat in RATS})
    }
    animals = {
        rat.identifier: Animal.objects.filter(identifier=rat.identifier).first()
        or create_animal(
            by=LABORATORY,
            identifier=rat.identifier,
            project=projects[rat.project],
            species=species,
            strain=strains[rat.strain],
            genotype="wild type",
            sex=rat.sex,
            birth_date=timezone.localdate() - timedelta(days=rat.age_days),
            cage=rat.cage,
            responsible=people[EXPERIMENTER],
            notes=NOTE,
        )
        for rat in RATS
    }
    rigs = {box.rig: _rig(home, box) for box in BOXES}
    return Laboratory(people[EXPERIMENTER], projects, animals, rigs, _tasks())


def _person(home: Path, name: str) -> Any:
    """Return a user; the password is random and lies where only who runs the laboratory can read it."""
    users = get_user_model().objects
    found = users.filter(username=name).first()
    if found is not None:
        return found
    password = secrets.token_urlsafe(12)
    write_private(folder(home) / f"{name}-password", password + "\n")
    return users.create_user(name, password=password)


def _project(name: str, description: str) -> Project:
    return Project.objects.filter(name=name).first() or create_project(
        by=LABORATORY, name=name, description=description
    )


def _tasks() -> dict[str, Task]:
    wanted: dict[str, tuple[str, dict[str, Any]]] = {
        TRACK_TASK: ("Run from end to end for water at both ends.", {"track_cm": 120, "reward_ul": 30}),
        FIELD_TASK: ("Explore freely for scattered crumbs.", {"minutes": 10}),
        ODOUR_TASK: (
            "Odours come in a fixed order: hold the nose in when one is in its place, withdraw when it is not.",
            {"odours": list(ODOURS), "hold_s": HOLD_SECONDS, "reward_ul": 20},
        ),
    }
    return {
        name: Task.objects.filter(name=name).first()
        or create_task(by=LABORATORY, name=name, protocol=protocol, parameters=parameters)
        for name, (protocol, parameters) in wanted.items()
    }


def _rig(home: Path, box: Box) -> Rig:
    """Return the rig of a box with its camera; the camera's token is made anew when its file is gone."""
    rig = Rig.objects.filter(name=box.rig).first() or create_rig(
        by=LABORATORY, name=box.rig, location=box.location, description=box.description, simulated=True
    )
    camera = Camera.objects.filter(slug=box.camera).first()
    token_file = folder(home) / box.token_name
    if camera is None:
        _, token = create_camera(by=LABORATORY, slug=box.camera, name="Overhead", rig=rig, simulated=True)
        write_private(token_file, token + "\n")
    elif not token_file.is_file() or digest_of(token_file.read_text().strip()) != camera.token_digest:
        write_private(token_file, rotate_token(by=LABORATORY, camera=camera) + "\n")
    return rig
