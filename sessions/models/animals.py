"""Animals and where they come from."""

from __future__ import annotations

import uuid
from typing import ClassVar

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from sessions.models.base import Named, audited
from sessions.models.projects import Project


@audited
class Species(Named):
    """Rat, mouse ..."""

    latin_name = models.CharField(max_length=100, blank=True)

    class Meta(Named.Meta):
        abstract = False
        verbose_name_plural = "species"


@audited
class Strain(Named):
    """A strain of a species, such as Long-Evans."""

    species = models.ForeignKey(Species, on_delete=models.PROTECT, related_name="strains")

    class Meta(Named.Meta):
        abstract = False


class Sex(models.TextChoices):
    """Sex of an animal."""

    MALE = "M", "male"
    FEMALE = "F", "female"
    UNKNOWN = "U", "unknown"


class AnimalStatus(models.TextChoices):
    """Where an animal is in its life in the laboratory."""

    ALIVE = "alive", "alive"
    DEAD = "dead", "dead"
    TRANSFERRED = "transferred", "transferred"


@audited
class Animal(models.Model):
    """An animal of the laboratory."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    identifier = models.CharField(
        max_length=64, unique=True, help_text="The name used in the laboratory, such as R214."
    )
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="animals")
    species = models.ForeignKey(Species, on_delete=models.PROTECT, related_name="animals")
    strain = models.ForeignKey(Strain, on_delete=models.PROTECT, null=True, blank=True, related_name="animals")
    genotype = models.CharField(max_length=200, blank=True)
    sex = models.CharField(max_length=1, choices=Sex.choices, default=Sex.UNKNOWN)
    birth_date = models.DateField(null=True, blank=True)
    death_date = models.DateField(null=True, blank=True)
    cage = models.CharField(max_length=64, blank=True)
    responsible = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="animals"
    )
    status = models.CharField(max_length=20, choices=AnimalStatus.choices, default=AnimalStatus.ALIVE)
    litter = models.ForeignKey(
        "Litter", on_delete=models.PROTECT, null=True, blank=True, related_name="animals", help_text="Born in it."
    )
    notes = models.TextField(blank=True)
    created = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering: ClassVar = ["identifier"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(sex__in=Sex.values),
                name="animal_sex_known",
                violation_error_message="The sex is M, F or U.",
            ),
            models.CheckConstraint(
                condition=Q(status__in=AnimalStatus.values),
                name="animal_status_known",
                violation_error_message="The status is alive, dead or transferred.",
            ),
            models.CheckConstraint(
                condition=~Q(identifier=""),
                name="animal_identifier_not_empty",
                violation_error_message="An animal needs an identifier.",
            ),
            models.CheckConstraint(
                condition=Q(death_date__isnull=True) | Q(birth_date__isnull=True) | Q(death_date__gte=F("birth_date")),
                name="animal_death_not_before_birth",
                violation_error_message="The date of death is before the date of birth.",
            ),
            models.CheckConstraint(
                condition=Q(death_date__isnull=True) | Q(status=AnimalStatus.DEAD),
                name="animal_with_death_date_is_dead",
                violation_error_message="An animal with a date of death has the status dead.",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["project", "status", "identifier"]),
            models.Index(fields=["cage", "identifier"]),
        ]
        triggers: ClassVar = [
            # Whoever writes the cage, also in bulk or by SQL, the history of housing follows; the dead live nowhere.
            pgtrigger.Trigger(
                name="animal_cage_to_housing",
                when=pgtrigger.After,
                operation=pgtrigger.Insert | pgtrigger.UpdateOf("cage", "status"),
                declare=[("lives_in", "TEXT")],
                func="""
                    lives_in := CASE WHEN NEW.status = 'alive' THEN NEW.cage ELSE '' END;
                    IF TG_OP = 'UPDATE' THEN
                        IF lives_in = (CASE WHEN OLD.status = 'alive' THEN OLD.cage ELSE '' END) THEN
                            RETURN NEW;
                        END IF;
                        UPDATE lab_housing SET "end" = GREATEST(clock_timestamp(), start)
                        WHERE animal_id = NEW.id AND "end" IS NULL;
                    END IF;
                    IF lives_in <> '' THEN
                        INSERT INTO lab_cage (id, name, location) VALUES (gen_random_uuid(), lives_in, '')
                        ON CONFLICT (name) DO NOTHING;
                        INSERT INTO lab_housing (id, animal_id, cage_id, start)
                        SELECT gen_random_uuid(), NEW.id, c.id, clock_timestamp()
                        FROM lab_cage c WHERE c.name = lives_in;
                    END IF;
                    RETURN NEW;
                """,
            )
        ]

    def __str__(self) -> str:
        return self.identifier
