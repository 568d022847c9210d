"""A chain on one session, its steps, and where the recordings of each step come from.

A row never says that something was done which was not: a step is *started* in the transaction that queues its job, and
what the job came to is read from the job's own row.
"""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from analysis.jobs.models import Job
from sessions.models import Project, Recording, RecordingKind, Session, audited


class ChainState(models.TextChoices):
    """running -> succeeded | failed | cancelled; failed and cancelled ones can be tried again."""

    RUNNING = "running", "running"
    SUCCEEDED = "succeeded", "succeeded"
    FAILED = "failed", "failed"
    CANCELLED = "cancelled", "cancelled"


class StepState(models.TextChoices):
    """waiting -> started -> succeeded | failed | cancelled; *stopped* is what waited for one that did not succeed."""

    WAITING = "waiting", "waiting"
    STARTED = "started", "started"
    SUCCEEDED = "succeeded", "succeeded"
    FAILED = "failed", "failed"
    STOPPED = "stopped", "stopped"
    CANCELLED = "cancelled", "cancelled"


UNENDED = (StepState.WAITING, StepState.STARTED)


@audited
class Chain(models.Model):
    """Steps on one session. Those that were started together have the same ``batch``."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    session = models.ForeignKey(Session, on_delete=models.PROTECT, related_name="chains")
    definition = models.CharField(max_length=40, blank=True, help_text="Name of the built-in chain; empty for an own.")
    title = models.CharField(max_length=100)
    batch = models.UUIDField(default=uuid.uuid4, editable=False, db_index=True)
    anew = models.BooleanField(default=False, help_text="Every step is computed, although its result may be there.")
    state = models.CharField(max_length=10, choices=ChainState.choices, default=ChainState.RUNNING)
    cancel_requested = models.BooleanField(default=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="chains",
        help_text="Who started it, or tried it again last: its steps are queued with the roles of this person.",
    )  # fmt: skip
    created = models.DateTimeField(db_default=Now(), editable=False)
    finished = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=ChainState.values), name="chain_state_known"),
            models.CheckConstraint(
                condition=Q(state=ChainState.RUNNING, finished__isnull=True)
                | (~Q(state=ChainState.RUNNING) & Q(finished__isnull=False)),
                name="chain_ended_has_time",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["-created", "id"]),
            models.Index(fields=["state"], condition=Q(state=ChainState.RUNNING), name="chain_running"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def project(self) -> Project:
        """The session's project."""
        return self.session.project


@audited
class ChainStep(models.Model):
    """A pipeline with its parameters; its job once it was queued."""

    chain = models.ForeignKey(Chain, on_delete=models.CASCADE, related_name="steps")
    name = models.SlugField(max_length=40)
    order = models.PositiveIntegerField()
    pipeline = models.CharField(max_length=64)
    parameters = models.JSONField(default=dict, blank=True)
    seed = models.PositiveBigIntegerField(default=1)
    state = models.CharField(max_length=10, choices=StepState.choices, default=StepState.WAITING)
    job = models.ForeignKey(Job, on_delete=models.PROTECT, null=True, blank=True, related_name="chain_steps")
    reused = models.BooleanField(default=False, help_text="The job was there already: it was asked for before.")
    reason = models.TextField(blank=True, help_text="Why it failed or was stopped.")

    class Meta:
        ordering: ClassVar = ["order"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=StepState.values), name="chain_step_state_known"),
            models.UniqueConstraint(fields=["chain", "name"], name="chain_step_name_once"),
            models.UniqueConstraint(fields=["chain", "order"], name="chain_step_order_once"),
            models.CheckConstraint(
                condition=~Q(state__in=[StepState.STARTED, StepState.SUCCEEDED]) | Q(job__isnull=False),
                name="chain_step_started_has_job",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=[StepState.WAITING, StepState.STOPPED]) | Q(job__isnull=True),
                name="chain_step_waiting_has_no_job",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=[StepState.FAILED, StepState.STOPPED]) | ~Q(reason=""),
                name="chain_step_failed_has_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.chain}"


class ChainSource(models.Model):
    """A recording that a step reads: one of the session, or those of a kind that an earlier step makes."""

    step = models.ForeignKey(ChainStep, on_delete=models.CASCADE, related_name="sources")
    order = models.PositiveIntegerField()
    kind = models.CharField(max_length=10, choices=RecordingKind.choices)
    origin = models.ForeignKey(ChainStep, on_delete=models.CASCADE, null=True, blank=True, related_name="feeds")
    recording = models.ForeignKey(Recording, on_delete=models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        ordering: ClassVar = ["order"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["step", "order"], name="chain_source_order_once"),
            models.CheckConstraint(condition=Q(kind__in=RecordingKind.values), name="chain_source_kind_known"),
            models.CheckConstraint(
                condition=Q(origin__isnull=True, recording__isnull=False)
                | Q(origin__isnull=False, recording__isnull=True),
                name="chain_source_is_one",
            ),
            models.CheckConstraint(
                condition=Q(origin__isnull=True) | ~Q(origin=models.F("step")), name="chain_source_is_another_step"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} for {self.step}"
