"""A job and its result. The row decides what runs; Redis only wakes a worker."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import RangeOperators
from django.db import models
from django.db.models import F, Func, Q
from django.db.models.functions import Now

from sessions.models import Project, Recording, UuidRange


class JobState(models.TextChoices):
    """queued -> running -> succeeded | failed | cancelled; wide work goes running -> in parts -> queued between."""

    QUEUED = "queued", "queued"
    RUNNING = "running", "running"
    SPLIT = "split", "in parts"
    SUCCEEDED = "succeeded", "succeeded"
    FAILED = "failed", "failed"
    CANCELLED = "cancelled", "cancelled"


ENDED = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)
# Of one fingerprint only one job is in these states, unless somebody asked anew.
ANSWERING = (JobState.QUEUED, JobState.RUNNING, JobState.SPLIT, JobState.SUCCEEDED)


class ItemRange(Func):
    """``int4range(start, stop)``, without its stop."""

    function = "int4range"


class Job(models.Model):
    """One run of a pipeline on recordings."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="jobs")
    pipeline = models.CharField(max_length=64)
    version = models.CharField(max_length=32)
    queue = models.CharField(max_length=20, default="cpu")
    parameters = models.JSONField(default=dict)
    seed = models.PositiveBigIntegerField(default=1)
    recordings = models.ManyToManyField(Recording, through="JobInput", related_name="jobs")
    fingerprint = models.CharField(
        max_length=64, help_text="SHA-256 over pipeline, version, parameters, seed and inputs."
    )
    anew = models.BooleanField(default=False, help_text="Asked for again although the result was there.")
    reproduces = models.ForeignKey(
        "Result", on_delete=models.SET_NULL, null=True, blank=True, related_name="reproductions"
    )
    state = models.CharField(max_length=10, choices=JobState.choices, default=JobState.QUEUED)
    attempt = models.PositiveIntegerField(default=0, help_text="Fences off a worker that was taken for dead.")
    lost = models.PositiveIntegerField(default=0, help_text="How often its worker was lost while it ran.")
    max_attempts = models.PositiveIntegerField(default=3, help_text="With this many lost workers it has failed.")
    heartbeat = models.DateTimeField(null=True, blank=True)
    worker = models.CharField(max_length=200, blank=True)
    progress = models.FloatField(default=0.0)
    message = models.CharField(max_length=500, blank=True)
    error = models.TextField(blank=True)
    log = models.TextField(blank=True)
    environment = models.JSONField(default=dict, blank=True)
    cancel_requested = models.BooleanField(default=False)
    parent = models.ForeignKey("self", on_delete=models.CASCADE, null=True, blank=True, related_name="shards")
    shard_start = models.PositiveIntegerField(
        null=True, blank=True, help_text="First of the parent's items that this part computes."
    )
    shard_stop = models.PositiveIntegerField(null=True, blank=True, help_text="The item after its last.")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="jobs")
    created = models.DateTimeField(db_default=Now(), editable=False)
    sent = models.DateTimeField(null=True, blank=True, help_text="When a worker was last woken for it.")
    started = models.DateTimeField(null=True, blank=True)
    finished = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(state__in=JobState.values), name="job_state_known"),
            models.CheckConstraint(condition=Q(progress__gte=0) & Q(progress__lte=1), name="job_progress_0_to_1"),
            models.CheckConstraint(
                condition=~Q(state__in=[s.value for s in ENDED]) | Q(finished__isnull=False), name="job_ended_has_time"
            ),
            models.CheckConstraint(
                condition=~Q(state=JobState.RUNNING) | Q(heartbeat__isnull=False), name="job_running_has_heartbeat"
            ),
            models.CheckConstraint(
                condition=Q(parent__isnull=True, shard_start__isnull=True, shard_stop__isnull=True)
                | Q(
                    parent__isnull=False,
                    shard_start__isnull=False,
                    shard_stop__isnull=False,
                    shard_stop__gt=F("shard_start"),
                ),
                name="job_shard_has_items",
            ),
            models.CheckConstraint(
                condition=~Q(state=JobState.SPLIT) | Q(parent__isnull=True), name="job_shard_is_not_split"
            ),
            ExclusionConstraint(
                name="job_shards_share_no_item",
                expressions=[
                    (UuidRange("parent_id"), RangeOperators.OVERLAPS),
                    (ItemRange("shard_start", "shard_stop"), RangeOperators.OVERLAPS),
                ],
                condition=Q(parent__isnull=False),
            ),
            models.UniqueConstraint(
                fields=["fingerprint"],
                condition=Q(anew=False) & Q(state__in=[s.value for s in ANSWERING]),
                name="job_computed_once",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["state", "created"]),
            models.Index(fields=["-created", "id"]),
            models.Index(fields=["fingerprint"]),
            models.Index(fields=["project", "-created"]),
        ]

    def __str__(self) -> str:
        return f"{self.pipeline} {self.version}"


class Worker(models.Model):
    """A Celery worker process, as it last reported to Postgres: pages tell from it whether anybody computes."""

    name = models.CharField(max_length=200, unique=True)
    queues = models.JSONField(default=list)
    slots = models.PositiveIntegerField(default=1, help_text="How many jobs it runs at a time.")
    packages = models.JSONField(default=list, help_text="Optional packages that it has, such as torch.")
    started = models.DateTimeField()
    seen = models.DateTimeField()
    stopped = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-seen"]

    def __str__(self) -> str:
        return self.name


class JobInput(models.Model):
    """A recording that a job reads, in the order given."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="inputs")
    recording = models.ForeignKey(Recording, on_delete=models.PROTECT, related_name="+")
    order = models.PositiveIntegerField()
    labels = models.ForeignKey(
        "UnitLabels",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="The revision of the labels by hand by which units are chosen; empty where none were there or asked.",
    )

    clock = models.ForeignKey(
        "ClockFit",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="The revision of the clock fit by which its times are read; empty where there was none or it is not"
        " asked.",
    )

    class Meta:
        ordering: ClassVar = ["order"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["job", "recording"], name="job_input_once")]

    def __str__(self) -> str:
        return f"{self.recording} of {self.job}"


class Result(models.Model):
    """What a job found; written in the same transaction as its success."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="result")
    attempt = models.PositiveIntegerField()
    summary = models.TextField(blank=True)
    metrics = models.JSONField(default=dict)
    figures = models.JSONField(default=list, help_text="Name, title, caption and file of each figure, in order.")
    provenance = models.JSONField(default=dict)
    folder = models.CharField(max_length=300, help_text="Relative to the folder of results.")
    derived = models.ManyToManyField(Recording, blank=True, related_name="made_by")
    created = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering: ClassVar = ["-created", "id"]
        indexes: ClassVar = [models.Index(fields=["-created", "id"])]

    def __str__(self) -> str:
        return f"result of {self.job}"

    @property
    def project(self) -> Project:
        """The job's project."""
        return self.job.project


class Artifact(models.Model):
    """A file of a result."""

    result = models.ForeignKey(Result, on_delete=models.CASCADE, related_name="artifacts")
    name = models.CharField(max_length=200)
    size = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["result", "name"], name="artifact_name_once"),
            models.CheckConstraint(
                condition=Q(sha256__regex=r"^[0-9a-f]{64}$"), name="artifact_sha256_is_64_hex_digits"
            ),
        ]

    def __str__(self) -> str:
        return self.name
