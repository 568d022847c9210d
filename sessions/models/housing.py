"""Where animals live. ``Animal.cage`` says the cage of now; the database itself keeps the history behind it."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import RangeOperators
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from sessions.models.animals import Animal
from sessions.models.base import Named, TstzRange, UuidRange, audited
from sessions.models.projects import Project


@audited
class Cage(Named):
    """A cage. It is made when the first animal is put into it; animals of several projects may share one."""

    location = models.CharField(max_length=200, blank=True, help_text="Room and rack.")
    created = models.DateTimeField(db_default=Now(), editable=False)

    class Meta(Named.Meta):
        abstract = False

    @property
    def project(self) -> None:
        """None: it is the whole laboratory's."""
        return


@audited
class Housing(models.Model):
    """An animal in a cage over time; ``end`` is empty while it is there. A trigger on the animal writes these rows."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    animal = models.ForeignKey(Animal, on_delete=models.CASCADE, related_name="housings")
    cage = models.ForeignKey(Cage, on_delete=models.PROTECT, related_name="housings")
    start = models.DateTimeField()
    end = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-start", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(end__isnull=True) | Q(end__gte=F("start")), name="housing_end_not_before_start"
            ),
            ExclusionConstraint(
                name="animal_in_one_cage_at_a_time",
                expressions=[
                    (UuidRange("animal_id"), RangeOperators.OVERLAPS),
                    (TstzRange("start", "end"), RangeOperators.OVERLAPS),
                ],
                violation_error_message="This animal is in another cage at that time.",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["cage", "-start"])]

    def __str__(self) -> str:
        return f"{self.animal} in {self.cage}"

    @property
    def project(self) -> Project:
        """The animal's project."""
        return self.animal.project
