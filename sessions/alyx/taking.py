"""What the records of a dump become: people, species, strains, animals, sessions, and (`care`) their care.

An animal is known by its identifier and a session by its animal and start, so that a dump may be taken again. People
come without a password and without a role: whoever may log in is for the laboratory to say. What the catalog has no
field for is written into the notes of the animal or session that it belongs to, never dropped in silence.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Q

from sessions import services
from sessions.alyx.care import AGAIN, CARE
from sessions.alyx.dump import IMPORTED, MERGED, REFUSED, Dump, Record, Report, plain
from sessions.errors import Invalid, LabError
from sessions.models import Animal, AnimalStatus, Project, Session, Species, Strain, Task
from sessions.sheets.columns import Date, Wrong, local_moment

# model, what it is about, the field of the result, and what its numbers mean (alyx/subjects/models.py)
GENOTYPING = (
    (
        "subjects.zygosity", "allele", "zygosity",
        {"0": "absent", "1": "heterozygous", "2": "homozygous", "3": "present"},
    ),
    ("subjects.genotypetest", "sequence", "test_result", {"0": "absent", "1": "present"}),
)  # fmt: skip
DAY = Date("", "")
# Facts of a subject for which an animal has no field.
NOTED = ("ear_mark", "wean_date", "genotype_date", "reduced_date", "protocol_number", "adverse_effects")
OF_SESSION = ("name", "type", "n_trials", "n_correct_trials", "qc", "json", "extended_qc")
# Records that say more about others, by the relation that leads to them: they are written into those.
BELONGING = {
    "subjects.litter": "litter", "subjects.line": "line", "subjects.source": "source",
    "subjects.subjectrequest": "request",
}  # fmt: skip


class Taking:
    """One dump on its way into the catalog."""

    def __init__(self, dump: Dump, *, by: Any, project: str = "", time_zone: str = "") -> None:
        self.dump, self.by, self.report = dump, by, Report()
        labs = dump.of("misc.lab")
        self.zone = zone_named(time_zone or (labs[0].text("timezone") if labs else "") or "UTC")
        self.project_name = project or (labs[0].name if labs else "Alyx")
        self.projects: dict[str, Project] = {}
        self.people: dict[str, Any] = {}
        self.species: dict[str, Species] = {}
        self.strains: dict[str, Strain] = {}
        self.animals: dict[str, Animal] = {}
        self.used: set[tuple[str, str]] = set()

    def take(self) -> Report:
        """Take all records inside the caller's transaction, and say of each what became of it."""
        for model, become in (
            ("misc.labmember", self._person),
            ("subjects.species", self._species),
            ("subjects.strain", self._strain),
            ("subjects.subject", self._animal),
            ("actions.session", self._session),
        ):
            self._each(model, become)
        for model, take in CARE.items():
            self._each(model, partial(take, self))
        self._what_was_written_into_others()
        for record in self.dump.records:
            if (record.model, record.pk) not in self.report.told:
                self.report.add(record, REFUSED, "the catalog has no place for it, and nothing that was taken names it")
        return self.report

    def _each(self, model: str, become: Callable[[Record], tuple[str, str]]) -> None:
        for record in self.dump.of(model):
            try:
                with transaction.atomic():
                    outcome, reason = become(record)
            except LabError as error:
                outcome, reason = REFUSED, error.detail
            except Wrong as error:
                outcome, reason = REFUSED, f"{error}."
            self.report.add(record, outcome, reason)

    # ---- people, species, strains

    def _person(self, record: Record) -> tuple[str, str]:
        people = get_user_model().objects
        username = record.text("username")
        if not username:
            raise Invalid("The person has no user name.")
        found = people.filter(username=username).first()
        if found is not None:
            self.people[record.pk] = found
            return MERGED, f"the user {username} {AGAIN}"
        person = people.model(
            username=username[:150], first_name=record.text("first_name")[:150],
            last_name=record.text("last_name")[:150], email=record.text("email")[:254], is_active=False,
        )  # fmt: skip
        person.set_unusable_password()
        person.save()
        self.people[record.pk] = person
        return IMPORTED, "without a password and without roles"

    def _species(self, record: Record) -> tuple[str, str]:
        latin, name = record.text("name"), record.text("nickname", "name")
        found = Species.objects.filter(
            Q(latin_name__iexact=latin) | Q(name__iexact=name) | Q(name__iexact=latin)
        ).first()  # fmt: skip
        self.species[record.pk] = found or services.create_species(by=self.by, name=name, latin_name=latin)
        return (MERGED, f"{found} {AGAIN}") if found else (IMPORTED, "")

    def _strain(self, record: Record) -> tuple[str, str]:
        found = Strain.objects.filter(name=record.name).first()
        species = found.species if found else self._species_of_strain(record)
        self.strains[record.pk] = found or services.create_strain(by=self.by, name=record.name, species=species)
        return (MERGED, f"{found} {AGAIN}") if found else (IMPORTED, "")

    def _species_of_strain(self, strain: Record) -> Species:
        """Return the species of those that have the strain, since Alyx does not keep it with the strain."""
        having = (r for model in ("subjects.subject", "subjects.line") for r in self.dump.of(model))
        for record in having:
            if record.fields.get("strain") == strain.pk and (found := self.species.get(str(record.fields["species"]))):
                return found
        if len(self.species) == 1:
            return next(iter(self.species.values()))
        raise Invalid("No animal and no line of the dump tells of which species this strain is.")

    # ---- animals

    def _animal(self, record: Record) -> tuple[str, str]:
        identifier = record.text("nickname")
        if not identifier:
            raise Invalid("The subject has no nickname, so nothing to be known by.")
        values = self._facts_of_animal(record)
        found = Animal.objects.filter(identifier=identifier).select_related("project").first()
        if found is not None:
            for name in ("birth_date", "death_date", "sex"):
                there, here = getattr(found, name), values[name]
                if there and here and there != here and "U" not in {there, here}:
                    raise Invalid(f"Another animal is called {identifier}: its {name} is {there}, here it is {here}.")
            self.animals[record.pk] = found
            return MERGED, f"{identifier} {AGAIN}"
        self.animals[record.pk] = services.create_animal(
            by=self.by, identifier=identifier, project=self._project(record), **values
        )
        return IMPORTED, ""

    def _facts_of_animal(self, record: Record) -> dict[str, Any]:
        line = self.dump.get("subjects.line", record.fields.get("line"))
        species = self.species.get(str(record.fields.get("species"))) or (
            self.species.get(str(line.fields.get("species"))) if line else None
        )
        if species is None:
            raise Invalid("The subject has no species.")
        strain = self.strains.get(str(record.fields.get("strain"))) or (
            self.strains.get(str(line.fields.get("strain"))) if line else None
        )
        culls = self.dump.about("actions.cull", record.pk)
        death = self._day(record, "death_date") or (self._day(culls[0], "date") if culls else None)
        genotype = "; ".join(part for part in (line.name if line else "", self._zygosities(record)) if part)
        sex = record.text("sex")
        return {
            "species": species,
            "strain": strain if strain is not None and strain.species_id == species.pk else None,
            "genotype": genotype[:200],
            "sex": sex if sex in {"M", "F", "U"} else "U",
            "birth_date": self._day(record, "birth_date"),
            "death_date": death,
            "status": AnimalStatus.DEAD if death else AnimalStatus.ALIVE,
            "cage": record.text("cage")[:64],
            "responsible": self.people.get(str(record.fields.get("responsible_user"))),
            "notes": self._notes_of_animal(record, genotype),
        }

    def _zygosities(self, record: Record) -> str:
        parts = []
        for model, relation, field, words in GENOTYPING:
            for row in self.dump.about(model, record.pk):
                thing = self.dump.get(f"subjects.{relation}", row.fields.get(relation))
                result = words.get(str(row.fields.get(field)), "")
                parts.append(f"{thing.name if thing else relation} {result}".strip())
        return ", ".join(parts)

    def _notes_of_animal(self, record: Record, genotype: str) -> str:
        lines = [record.text("description")]
        for model, relation in BELONGING.items():
            if (thing := self.dump.get(model, record.fields.get(relation))) is not None:
                more = thing.text("target_phenotype", "description")
                lines.append(f"{relation}: {thing.name}{f' ({more})' if more else ''}")
        lines += [f"{name.replace('_', ' ')}: {text}" for name in NOTED if (text := record.text(name))]
        if (severity := record.fields.get("actual_severity")) is not None:
            lines.append(f"actual severity: {severity}")
        if len(genotype) > 200:  # noqa: PLR2004 - the room of the field
            lines.append(f"genotype: {genotype}")
        history = (
            (record.fields.get("json") or {}).get("history") if isinstance(record.fields.get("json"), dict) else {}
        )
        for name, changes in sorted((history or {}).items()):
            before = [f"{c.get('value')} until {c.get('date_time')}" for c in changes if isinstance(c, dict)]
            lines.append(f"{name.replace('_', ' ')} before: {'; '.join(before)}")
        return plain("\n".join(line for line in lines if line))

    def _project(self, record: Record) -> Project:
        names = self.dump.names("subjects.project", record.many("projects"))
        name = names[0] if names else self.project_name
        if name not in self.projects:
            found = Project.objects.filter(name=name).first()
            self.projects[name] = found or services.create_project(
                by=self.by, name=name, description="From the dump of an Alyx database."
            )
        return self.projects[name]

    # ---- sessions

    def _session(self, record: Record) -> tuple[str, str]:
        animal, start, end = self.of_subject(record)
        there = Session.objects.filter(animals=animal, start=start).first()
        narrative = self.narrative(record, ended=end is not None)
        if there is not None:
            if there.narrative != narrative:
                raise Invalid(f"Another session of {animal} starts at the same moment, and its notes are others.")
            return MERGED, f"the session of {animal} at {start:%Y-%m-%d %H:%M:%S} UTC {AGAIN}"
        task = None
        if name := record.text("task_protocol"):
            task = Task.objects.filter(name=name[:100]).first() or services.create_task(by=self.by, name=name[:100])
        number = record.fields.get("number")
        services.start_session(
            by=self.by, project=animal.project, animals=[animal], task=task, start=start, end=end or start,
            number=number if isinstance(number, int) and 0 <= number < 2**31 else None, people=self.users(record),
            narrative=narrative,
        )  # fmt: skip
        return IMPORTED, "" if end else "its end is not in the dump; it has no duration here"

    def of_subject(self, record: Record, start: str = "start_time") -> tuple[Animal, datetime, datetime | None]:
        """Return the animal, start and end of an action; ``Invalid`` when there is no such animal or no start."""
        animal = self.animals.get(str(record.fields.get("subject")))
        if animal is None:
            subject = self.dump.get("subjects.subject", record.fields.get("subject"))
            raise Invalid(f"Its animal {subject.name if subject else ''} was not taken.".replace("  ", " "))
        begun = self._moment(record, start)
        if begun is None:
            raise Invalid("It has no start." if start == "start_time" else "It has no time.")
        return animal, begun, self._moment(record, "end_time")

    def narrative(self, record: Record, *, ended: bool) -> str:
        lines = [record.text("narrative"), "" if ended else "When it ended is not known."]
        location = self.dump.get("misc.lablocation", record.fields.get("location"))
        if location is not None:
            lines.append(f"location: {location.name}")
        if kinds := self.dump.names("actions.proceduretype", record.many("procedures")):
            lines.append(f"procedures: {', '.join(kinds)}")
        facts = {name: record.fields.get(name) for name in OF_SESSION}
        lines += [
            f"{name}: {value if isinstance(value, str) else json.dumps(value)}"
            for name, value in facts.items()
            if value not in (None, "", 0, {}, [])
        ]
        return plain("\n".join(line for line in lines if line))

    def users(self, record: Record) -> list[Any]:
        return [self.people[key] for key in record.many("users") if key in self.people]

    # ---- the rest

    def _names(self, thing: Record | None) -> None:
        if thing is not None:
            self.used.add((thing.model, thing.pk))

    def _what_was_written_into_others(self) -> None:
        """Account for the records whose content stands in the notes of those that were taken."""
        for subject in self.dump.of("subjects.subject"):
            if subject.pk not in self.animals:
                continue
            for model, relation in BELONGING.items():
                self._names(self.dump.get(model, subject.fields.get(relation)))
            for model, relation, *_ in GENOTYPING:
                for row in self.dump.about(model, subject.pk):
                    self._names(row)
                    self._names(self.dump.get(f"subjects.{relation}", row.fields.get(relation)))
        for record in self.dump.of("actions.wateradministration"):
            if str(record.fields.get("subject")) in self.animals:
                self._names(self.dump.get("actions.watertype", record.fields.get("water_type")))
        for model in ("actions.session", "actions.surgery", "actions.waterrestriction"):
            for record in self.dump.of(model):
                if str(record.fields.get("subject")) in self.animals:
                    self._names(self.dump.get("misc.lablocation", record.fields.get("location")))
                    for key in record.many("procedures"):
                        self._names(self.dump.get("actions.proceduretype", key))
        for cull in self.dump.of("actions.cull"):
            if str(cull.fields.get("subject")) in self.animals:
                self._names(cull)
        for record in self.dump.of("misc.lab"):
            self._names(record)
        for model, pk in sorted(self.used - self.report.told):
            self.report.add(
                self.dump.by_key[model, pk], MERGED, _INTO.get(model, "into the notes of what it belongs to")
            )

    def _day(self, record: Record, name: str) -> date | None:
        if not (text := record.text(name)):
            return None
        try:
            return DAY.read(text[:10], {})
        except Wrong as error:
            raise Invalid(f"{name} {error}.") from None

    def _moment(self, record: Record, name: str) -> datetime | None:
        """Return a time of the dump; one without a zone is in the zone that was stated."""
        if not (text := record.text(name)):
            return None
        try:
            found = datetime.fromisoformat(text)
            return found.astimezone(UTC) if found.tzinfo else local_moment(found, self.zone)
        except (ValueError, OverflowError):
            raise Invalid(f"{name} is {text[:40]!r}, which is no time.") from None
        except Wrong as error:
            raise Invalid(f"{name} {error}.") from None


_INTO = {
    "misc.lab": "its name is the project's, and its time zone that of times without one, unless others were stated",
    "actions.watertype": "into what was given",
    "actions.cull": "into the date of death of its animal",
    "subjects.line": "into the genotype of its animals",
    "subjects.zygosity": "into the genotype of its animal",
    "subjects.genotypetest": "into the genotype of its animal",
    "subjects.allele": "into the genotype of its animals",
    "subjects.sequence": "into the genotype of its animals",
}


def zone_named(name: str) -> ZoneInfo:
    """Return a time zone by its name, such as Europe/London; ``Invalid`` for what is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Invalid(f"There is no time zone {name[:60]!r}; write one such as Europe/London.") from None
