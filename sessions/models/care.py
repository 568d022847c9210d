"""Care of animals: weight, food and water, procedures, implants. What was entered by mistake is set aside, not lost."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import IntegerRangeField, RangeOperators
from django.db import models
from django.db.models import F, Func, Q
from django.db.models.functions import Now

from sessions.models.animals import Animal
from sessions.models.base import TstzRange, UuidRange, audited, newest_first
from sessions.models.projects import Project

HEAVIEST_G = 1_000_000


class Entry(models.Model):
    """Something written down about an animal. While ``deleted`` is set it counts nowhere, and can be taken back."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    animal = models.ForeignKey(Animal, on_delete=models.PROTECT, related_name="%(class)ss")
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+",
        help_text="Who did it.",
    )  # fmt: skip
    notes = models.TextField(blank=True)
    deleted = models.DateTimeField(null=True, blank=True, editable=False)
    created = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        abstract = True

    @property
    def project(self) -> Project:
        """The animal's project."""
        return self.animal.project


@audited
class Weighing(Entry):
    """The weight of an animal (g) at a time."""

    time = models.DateTimeField()
    weight = models.FloatField(help_text="Grams.")

    class Meta:
        ordering: ClassVar = ["-time", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(weight__gt=0, weight__lte=HEAVIEST_G),
                name="weighing_weight_positive",
                violation_error_message="The weight is more than 0 g and at most 1,000,000 g.",
            ),
            models.UniqueConstraint(
                fields=["animal", "time"],
                condition=Q(deleted__isnull=True),
                name="weighing_once_at_a_time",
                violation_error_message="This animal was already weighed at exactly that time.",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["animal", "-time"]), *newest_first("time", "weight", "created")]

    def __str__(self) -> str:
        return f"{self.weight:g} g"


class KindRange(Func):
    """``int4range`` of a kind of restriction: lets a GiST exclusion compare it without any extension."""

    template = "(CASE %(expressions)s WHEN 'food' THEN int4range(0, 1) ELSE int4range(1, 2) END)"
    output_field = IntegerRangeField()


class RestrictionKind(models.TextChoices):
    """What is kept short."""

    FOOD = "food", "food"
    WATER = "water", "water"


@audited
class Restriction(Entry):
    """Food or water kept short, from start to end, and the weight that it is judged by."""

    kind = models.CharField(max_length=10, choices=RestrictionKind.choices)
    start = models.DateTimeField()
    end = models.DateTimeField(null=True, blank=True, help_text="Empty while it goes on.")
    reference_weight = models.FloatField(help_text="Grams, before the restriction.")
    expected_percentage = models.FloatField(default=85, help_text="Of the reference weight: below it is a warning.")
    alarm_percentage = models.FloatField(default=80, help_text="Of the reference weight: below it is an alarm.")

    class Meta:
        ordering: ClassVar = ["-start", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(kind__in=RestrictionKind.values), name="restriction_kind_known"),
            models.CheckConstraint(
                condition=Q(end__isnull=True) | Q(end__gte=F("start")),
                name="restriction_end_not_before_start",
                violation_error_message="The restriction ends before it starts.",
            ),
            models.CheckConstraint(
                condition=Q(reference_weight__gt=0, reference_weight__lte=HEAVIEST_G),
                name="restriction_reference_positive",
                violation_error_message="The reference weight is more than 0 g and at most 1,000,000 g.",
            ),
            models.CheckConstraint(
                condition=Q(alarm_percentage__gt=0, alarm_percentage__lte=F("expected_percentage"))
                & Q(expected_percentage__lte=100),
                name="restriction_percentages_in_order",
                violation_error_message="The alarm is above 0 % and at most what is expected, which is at most 100 %.",
            ),
            ExclusionConstraint(
                name="restriction_one_of_a_kind_at_a_time",
                expressions=[
                    (UuidRange("animal_id"), RangeOperators.OVERLAPS),
                    (TstzRange("start", "end"), RangeOperators.OVERLAPS),
                    (KindRange("kind"), RangeOperators.OVERLAPS),
                ],
                condition=Q(deleted__isnull=True),
                violation_error_message="This animal is already under such a restriction at that time.",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["animal", "-start"])]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} restriction"


class AdministrationKind(models.TextChoices):
    """What an animal was given."""

    WATER = "water", "water"
    FOOD = "food", "food"
    DRUG = "drug", "drug"


UNITS = {AdministrationKind.WATER: "mL", AdministrationKind.FOOD: "g", AdministrationKind.DRUG: "mg"}


@audited
class Administration(Entry):
    """Water, food or a drug that an animal was given: how much of it, when."""

    kind = models.CharField(max_length=10, choices=AdministrationKind.choices)
    substance = models.CharField(max_length=100, blank=True, help_text="Needed for a drug.")
    amount = models.FloatField()
    unit = models.CharField(max_length=20, help_text="mL, g, mg, mg/kg ...")
    time = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-time", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(kind__in=AdministrationKind.values), name="administration_kind_known"),
            models.CheckConstraint(
                condition=Q(amount__gt=0),
                name="administration_amount_positive",
                violation_error_message="The amount is more than 0.",
            ),
            models.CheckConstraint(
                condition=~Q(kind=AdministrationKind.DRUG) | ~Q(substance=""),
                name="administration_drug_named",
                violation_error_message="A drug needs its name.",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["animal", "-time"]), *newest_first("time", "amount", "created")]

    def __str__(self) -> str:
        return f"{self.amount:g} {self.unit} {self.substance or self.get_kind_display()}"


class ProcedureKind(models.TextChoices):
    """What was done to an animal."""

    SURGERY = "surgery", "surgery"
    IMPLANT = "implant", "implantation"
    INJECTION = "injection", "injection"
    IMAGING = "imaging", "imaging"
    PERFUSION = "perfusion", "perfusion"
    OTHER = "other", "other"


@audited
class Procedure(Entry):
    """A surgery, an implantation, a perfusion ...: by whom, when, how it went."""

    kind = models.CharField(max_length=20, choices=ProcedureKind.choices)
    start = models.DateTimeField()
    end = models.DateTimeField(null=True, blank=True)
    narrative = models.TextField(blank=True)
    outcome = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering: ClassVar = ["-start", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(kind__in=ProcedureKind.values), name="procedure_kind_known"),
            models.CheckConstraint(
                condition=Q(end__isnull=True) | Q(end__gte=F("start")),
                name="procedure_end_not_before_start",
                violation_error_message="The procedure ends before it starts.",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["animal", "-start"]), *newest_first("start")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.start:%Y-%m-%d}"


class Hemisphere(models.TextChoices):
    """Side of the brain."""

    UNSET = "", "not told"
    LEFT = "left", "left"
    RIGHT = "right", "right"
    MIDLINE = "midline", "midline"


@audited
class Implant(Entry):
    """A probe, fibre or cannula in an animal, and where: stereotaxic coordinates in mm from bregma and the surface."""

    device = models.CharField(max_length=100, help_text="Probe, tetrodes, fibre, cannula, with its model.")
    procedure = models.ForeignKey(Procedure, on_delete=models.PROTECT, null=True, blank=True, related_name="implants")
    region = models.CharField(max_length=100, blank=True, help_text="Target region, such as CA1.")
    hemisphere = models.CharField(max_length=10, choices=Hemisphere.choices, blank=True, default=Hemisphere.UNSET)
    anteroposterior = models.FloatField(null=True, blank=True, help_text="mm, anterior of bregma is positive.")
    mediolateral = models.FloatField(null=True, blank=True, help_text="mm, right of the midline is positive.")
    dorsoventral = models.FloatField(null=True, blank=True, help_text="mm, deeper is negative.")
    implanted = models.DateField()
    removed = models.DateField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-implanted", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(hemisphere__in=Hemisphere.values), name="implant_hemisphere_known"),
            models.CheckConstraint(
                condition=~Q(device=""),
                name="implant_device_not_empty",
                violation_error_message="An implant needs a device.",
            ),
            models.CheckConstraint(
                condition=Q(removed__isnull=True) | Q(removed__gte=F("implanted")),
                name="implant_removed_not_before_implanted",
                violation_error_message="The implant was removed before it was implanted.",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["animal", "-implanted"])]

    def __str__(self) -> str:
        return f"{self.device} in {self.region}" if self.region else self.device
