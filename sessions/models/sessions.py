"""Rigs, tasks, sessions and what the rigs reported in them."""

from __future__ import annotations

import uuid
from typing import ClassVar

import pgtrigger
from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from sessions.models.animals import Animal
from sessions.models.base import Named, Quality, TstzRange, UuidRange, audited, newest_first
from sessions.models.projects import Project


@audited
class Rig(Named):
    """A behaviour box: its cameras and its controller. Without a project it belongs to the whole laboratory."""

    location = models.CharField(max_length=200, blank=True)
    description = models.TextField(blank=True)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, null=True, blank=True, related_name="rigs")
    simulated = models.BooleanField(default=False, help_text="Driven by the simulated laboratory; shown everywhere.")

    class Meta(Named.Meta):
        abstract = False


@audited
class Task(Named):
    """A behavioural protocol with its parameters."""

    protocol = models.TextField(blank=True)
    parameters = models.JSONField(default=dict, blank=True)

    class Meta(Named.Meta):
        abstract = False


@audited
class Session(models.Model):
    """Animals on a rig with a task, from start to end. While ``end`` is empty it runs."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="sessions")
    rig = models.ForeignKey(Rig, on_delete=models.PROTECT, null=True, blank=True, related_name="sessions")
    task = models.ForeignKey(Task, on_delete=models.PROTECT, null=True, blank=True, related_name="sessions")
    animals = models.ManyToManyField(Animal, through="SessionAnimal", related_name="sessions")
    people = models.ManyToManyField(settings.AUTH_USER_MODEL, blank=True, related_name="lab_sessions")
    start = models.DateTimeField()
    end = models.DateTimeField(null=True, blank=True)
    number = models.PositiveIntegerField(
        null=True, blank=True, help_text="Which session of this animal and task it is."
    )
    title = models.CharField(max_length=200, blank=True)
    narrative = models.TextField(blank=True)
    quality = models.CharField(max_length=10, choices=Quality.choices, blank=True, default=Quality.UNSET)
    simulated = models.BooleanField(default=False)
    created = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering: ClassVar = ["-start", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(end__isnull=True) | Q(end__gte=F("start")),
                name="session_end_not_before_start",
                violation_error_message="The session ends before it starts.",
            ),
            models.CheckConstraint(condition=Q(quality__in=Quality.values), name="session_quality_known"),
            ExclusionConstraint(
                name="session_one_at_a_time_per_rig",
                expressions=[
                    (UuidRange("rig_id"), RangeOperators.OVERLAPS),
                    (TstzRange("start", "end"), RangeOperators.OVERLAPS),
                ],
                condition=Q(rig__isnull=False),
                violation_error_message="Another session is on this rig at that time.",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["project", "-start"]),
            *newest_first("start", "end", "number", "created"),
        ]
        triggers: ClassVar = [
            # The animals' periods follow the session's, whoever changes it, so that their exclusion always holds.
            pgtrigger.Trigger(
                name="session_period_to_animals",
                when=pgtrigger.After,
                operation=pgtrigger.UpdateOf("start", "end"),
                func=(
                    'UPDATE lab_sessionanimal SET during = tstzrange(NEW."start", NEW."end") WHERE session_id = NEW.id;'
                    " RETURN NEW;"
                ),
            ),
            # Lists narrow a million rows to some projects: those of a session carry its project, whoever moves it.
            pgtrigger.Trigger(
                name="session_project_to_recordings",
                when=pgtrigger.After,
                operation=pgtrigger.UpdateOf("project_id"),
                condition=pgtrigger.Q(old__project__df=pgtrigger.F("new__project")),
                func="UPDATE lab_recording SET in_project_id = NEW.project_id WHERE session_id = NEW.id; RETURN NEW;",
            ),
        ]

    def __str__(self) -> str:
        return self.title or f"session of {self.start:%Y-%m-%d %H:%M}"

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.end is None


@audited
class SessionAnimal(models.Model):
    """An animal's part in a session; ``during`` is kept by the database from the session's start and end."""

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="session_animals")
    animal = models.ForeignKey(Animal, on_delete=models.PROTECT, related_name="session_animals")
    during = DateTimeRangeField(null=True, editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["session", "animal"],
                name="session_animal_once",
                violation_error_message="This animal is already in this session.",
            ),
            ExclusionConstraint(
                name="animal_in_one_session_at_a_time",
                expressions=[(UuidRange("animal_id"), RangeOperators.OVERLAPS), ("during", RangeOperators.OVERLAPS)],
                violation_error_message="This animal is in another session at that time.",
            ),
        ]
        triggers: ClassVar = [
            pgtrigger.Trigger(
                name="session_animal_period",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert | pgtrigger.UpdateOf("session_id"),
                func=(
                    'SELECT tstzrange(s."start", s."end") INTO NEW.during FROM lab_session s'
                    " WHERE s.id = NEW.session_id; RETURN NEW;"
                ),
            )
        ]

    def __str__(self) -> str:
        return f"{self.animal} in {self.session}"


@audited
class Event(models.Model):
    """What a box's controller reported: a time, a kind, a value. Trials are made from events."""

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="events")
    time = models.DateTimeField()
    kind = models.CharField(max_length=64)
    value = models.JSONField(default=dict, blank=True)
    source = models.CharField(max_length=64, blank=True, help_text="The device that reported it.")
    number = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="The device's own count; the same number is taken once."
    )
    device_ns = models.BigIntegerField(
        null=True, blank=True, help_text="What the device's own clock said, ns, from whatever zero it counts."
    )
    offset_ms = models.FloatField(
        null=True, blank=True, help_text="The device's clock minus the server's, ms, as the device measured it."
    )

    class Meta:
        ordering: ClassVar = ["time", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["session", "source", "number"],
                name="event_number_once",
                violation_error_message="This device already reported an event with this number in this session.",
            ),
            models.CheckConstraint(
                condition=~Q(kind=""),
                name="event_kind_not_empty",
                violation_error_message="An event needs a kind.",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["session", "time"])]

    def __str__(self) -> str:
        return f"{self.kind} at {self.time:%H:%M:%S.%f}"

    @property
    def project(self) -> Project:
        """The session's project."""
        return self.session.project
