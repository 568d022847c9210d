"""Where animals come from: alleles and genotypes, breeding pairs and their litters."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from sessions.models.animals import Animal
from sessions.models.base import Named, audited
from sessions.models.care import Entry
from sessions.models.projects import Project

LARGEST_LITTER = 50


@audited
class Allele(Named):
    """A variant of a gene, or a transgene, such as Pvalb-Cre."""

    description = models.TextField(blank=True)

    class Meta(Named.Meta):
        abstract = False


class Zygosity(models.TextChoices):
    """How many copies of an allele an animal has."""

    ABSENT = "absent", "absent"
    HETEROZYGOUS = "heterozygous", "heterozygous"
    HOMOZYGOUS = "homozygous", "homozygous"
    PRESENT = "present", "present, copies not told"


@audited
class Genotype(Entry):
    """What a test said of one allele of an animal."""

    allele = models.ForeignKey(Allele, on_delete=models.PROTECT, related_name="genotypes")
    zygosity = models.CharField(max_length=20, choices=Zygosity.choices)
    tested = models.DateField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["animal", "allele"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(zygosity__in=Zygosity.values), name="genotype_zygosity_known"),
            models.UniqueConstraint(
                fields=["animal", "allele"],
                condition=Q(deleted__isnull=True),
                name="genotype_once_for_an_allele",
                violation_error_message="This allele of this animal is written down already; correct that one.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.allele} {self.get_zygosity_display()}"


@audited
class BreedingPair(Named):
    """A female and a male kept together to breed, from start to end."""

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="breeding_pairs")
    female = models.ForeignKey(Animal, on_delete=models.PROTECT, related_name="pairs_as_female")
    male = models.ForeignKey(Animal, on_delete=models.PROTECT, related_name="pairs_as_male")
    start = models.DateField()
    end = models.DateField(null=True, blank=True, help_text="Empty while they are together.")
    notes = models.TextField(blank=True)
    created = models.DateTimeField(db_default=Now(), editable=False)

    class Meta(Named.Meta):
        abstract = False
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=~Q(female=F("male")),
                name="breeding_pair_of_two",
                violation_error_message="A breeding pair is of two animals.",
            ),
            models.CheckConstraint(
                condition=Q(end__isnull=True) | Q(end__gte=F("start")),
                name="breeding_pair_end_not_before_start",
                violation_error_message="The pair is parted before it is together.",
            ),
        ]


@audited
class Litter(models.Model):
    """What a breeding pair bore on a day; its animals name it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    pair = models.ForeignKey(BreedingPair, on_delete=models.PROTECT, related_name="litters")
    born = models.DateField()
    size = models.PositiveSmallIntegerField(null=True, blank=True, help_text="Pups counted.")
    weaned = models.DateField(null=True, blank=True)
    notes = models.TextField(blank=True)
    created = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering: ClassVar = ["-born", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["pair", "born"],
                name="litter_once_a_day",
                violation_error_message="This pair has a litter of that day already.",
            ),
            models.CheckConstraint(
                condition=Q(weaned__isnull=True) | Q(weaned__gte=F("born")),
                name="litter_weaned_not_before_born",
                violation_error_message="The litter is weaned before it is born.",
            ),
            models.CheckConstraint(
                condition=Q(size__isnull=True) | Q(size__lte=LARGEST_LITTER),
                name="litter_size_possible",
                violation_error_message=f"A litter has at most {LARGEST_LITTER} pups.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.pair} {self.born:%Y-%m-%d}"

    @property
    def project(self) -> Project:
        """The pair's project."""
        return self.pair.project
