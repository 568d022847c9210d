"""Cameras and what is being recorded from them."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from sessions.models import Project, Recording, Rig, Session, audited, newest_first

MOST_HOURS_KEPT = 31 * 24


class CameraCodec(models.TextChoices):
    """How a camera's agent encodes its pictures; the names are those of the frame message."""

    JPEG = "jpeg", "JPEG: every picture by itself"
    H264 = "h264", "H.264: less disk and network"


@audited
class Camera(models.Model):
    """A camera of a rig. Its agent proves itself with a token of which only the hash is stored."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slug = models.SlugField(max_length=50, unique=True)
    name = models.CharField(max_length=100)
    rig = models.ForeignKey(Rig, on_delete=models.PROTECT, related_name="cameras")
    token_digest = models.CharField(max_length=64, editable=False)
    enabled = models.BooleanField(default=True)
    simulated = models.BooleanField(default=False)
    codec = models.CharField(
        max_length=4,
        choices=CameraCodec.choices,
        default=CameraCodec.JPEG,
        db_default=CameraCodec.JPEG,
        help_text="How its agent encodes; a recording that runs keeps the codec that it began with.",
    )
    keep_hours = models.PositiveSmallIntegerField(
        default=0,
        db_default=0,
        verbose_name="keep the last hours",
        help_text="So many hours of everything the camera sends are kept, apart from recordings; 0 keeps nothing.",
    )
    created = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering: ClassVar = ["rig__name", "name"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(keep_hours__lte=MOST_HOURS_KEPT),
                name="camera_keeps_at_most_a_month",
                violation_error_message=f"A camera keeps at most the last {MOST_HOURS_KEPT} hours.",
            ),
            models.CheckConstraint(condition=Q(token_digest__regex=r"^[0-9a-f]{64}$"), name="camera_token_is_sha256"),  # noqa: S106
            models.CheckConstraint(condition=Q(codec__in=CameraCodec.values), name="camera_codec_known"),
        ]

    def __str__(self) -> str:
        return f"{self.rig.name} · {self.name}"

    @property
    def project(self) -> Project | None:
        """The rig's project; ``None`` when the rig belongs to the whole laboratory."""
        return self.rig.project


@audited
class CameraEnrolment(models.Model):
    """A code that was given out so that a box gets a camera's token; of it, too, only the hash is stored.

    A camera has at most one code that was not used: a new one takes the place of the old one.
    """

    camera = models.ForeignKey(Camera, on_delete=models.CASCADE, related_name="enrolments")
    code_digest = models.CharField(max_length=64, unique=True, editable=False)
    created = models.DateTimeField(db_default=Now(), editable=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    expires = models.DateTimeField()
    used = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(code_digest__regex=r"^[0-9a-f]{64}$"), name="enrolment_code_is_sha256"),
            models.CheckConstraint(
                condition=Q(used__isnull=True) | Q(used__lte=F("expires")), name="enrolment_used_before_it_expired"
            ),
            models.UniqueConstraint(
                fields=["camera"], condition=Q(used__isnull=True), name="enrolment_open_once_per_camera"
            ),
        ]

    def __str__(self) -> str:
        return f"enrolment of {self.camera}"


class CameraHealth(models.Model):
    """What ingest last knew of a camera; written every few seconds, so it is no part of the audit trail."""

    camera = models.OneToOneField(Camera, on_delete=models.CASCADE, primary_key=True, related_name="health")
    last_sequence = models.PositiveBigIntegerField(
        default=0, help_text="An agent that lost its own count goes on after it."
    )
    last_seen = models.DateTimeField(null=True, blank=True)
    agent = models.JSONField(
        default=dict, blank=True, help_text="What the agent says of itself: version, source, host."
    )

    class Meta:
        verbose_name_plural = "camera health"

    def __str__(self) -> str:
        return f"health of {self.camera}"


class RecordingState(models.TextChoices):
    """Where a camera's recording is."""

    RECORDING = "recording", "recording"
    STOPPING = "stopping", "waiting for the last frames"
    FINISHED = "finished", "finished"
    FAILED = "failed", "failed"


class ProxyState(models.TextChoices):
    """Whether a browser can play the recording."""

    NONE = "none", "not made yet"
    QUEUED = "queued", "queued"
    READY = "ready", "ready"
    FAILED = "failed", "failed"


class CameraRecording(models.Model):
    """One camera's video of a session, from the order to record until its files are in the catalog."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    camera = models.ForeignKey(Camera, on_delete=models.PROTECT, related_name="recordings")
    session = models.ForeignKey(Session, on_delete=models.PROTECT, related_name="camera_recordings")
    recording = models.OneToOneField(Recording, on_delete=models.PROTECT, related_name="camera_recording")
    state = models.CharField(max_length=10, choices=RecordingState.choices, default=RecordingState.RECORDING)
    message = models.CharField(max_length=500, blank=True)
    folder = models.CharField(max_length=500, unique=True, help_text="Relative to the default data root.")
    started = models.DateTimeField(db_default=Now(), editable=False)
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    stopped = models.DateTimeField(null=True, blank=True)
    finished = models.DateTimeField(null=True, blank=True)
    frames = models.PositiveBigIntegerField(default=0)
    lost = models.PositiveBigIntegerField(default=0)
    dropped = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="By the device, before its agent had them; empty where it does not tell."
    )
    bytes = models.PositiveBigIntegerField(default=0)
    first_sequence = models.PositiveBigIntegerField(null=True, blank=True)
    last_sequence = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="As the agent counted, or as stored."
    )
    offset_ms = models.FloatField(null=True, blank=True, help_text="Agent's clock minus the server's, ms.")
    drift_ppm = models.FloatField(null=True, blank=True, help_text="How fast that offset grows, parts per million.")
    proxy = models.CharField(max_length=10, choices=ProxyState.choices, default=ProxyState.NONE)
    proxy_since = models.DateTimeField(null=True, blank=True, help_text="When the proxy was last asked for or made.")
    proxy_message = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering: ClassVar = ["-started"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["camera"],
                condition=Q(state="recording"),
                name="camera_records_once_at_a_time",
            ),
            models.CheckConstraint(condition=Q(state__in=RecordingState.values), name="camera_recording_state_known"),
            models.CheckConstraint(condition=Q(proxy__in=ProxyState.values), name="camera_recording_proxy_known"),
            models.CheckConstraint(
                condition=Q(stopped__isnull=True) | Q(stopped__gte=F("started")),
                name="camera_recording_stop_after_start",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["camera", "-started"]),
            *newest_first("started", "frames", "lost"),
            models.Index(fields=["state"], condition=~Q(state="finished"), name="camera_recording_open"),
        ]

    def __str__(self) -> str:
        return f"{self.camera} since {self.started:%Y-%m-%d %H:%M:%S}"

    @property
    def project(self) -> Project:
        """The session's project."""
        return self.session.project


class CutState(models.TextChoices):
    """Whether a piece of the ring has become a recording."""

    QUEUED = "queued", "being copied"
    DONE = "done", "saved"
    FAILED = "failed", "failed"


class RingCut(models.Model):
    """An order to make a recording of what is kept of a camera from one time to another (server's clock)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    camera = models.ForeignKey(Camera, on_delete=models.PROTECT, related_name="ring_cuts")
    session = models.ForeignKey(Session, on_delete=models.PROTECT, related_name="ring_cuts")
    start = models.DateTimeField()
    stop = models.DateTimeField()
    state = models.CharField(max_length=10, choices=CutState.choices, default=CutState.QUEUED)
    message = models.CharField(max_length=500, blank=True)
    recording = models.OneToOneField(
        CameraRecording, on_delete=models.SET_NULL, null=True, blank=True, related_name="ring_cut"
    )
    created = models.DateTimeField(db_default=Now(), editable=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering: ClassVar = ["-created"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(stop__gt=F("start")), name="ring_cut_ends_after_it_starts"),
            models.CheckConstraint(condition=Q(state__in=CutState.values), name="ring_cut_state_known"),
        ]
        indexes: ClassVar = [models.Index(fields=["camera", "-created"], name="ring_cut_newest")]

    def __str__(self) -> str:
        return f"{self.camera} from {self.start:%Y-%m-%d %H:%M:%S} to {self.stop:%H:%M:%S}"


class AlertKind(models.TextChoices):
    """What somebody should look after."""

    OFFLINE = "offline", "offline"
    FROZEN = "frozen", "frozen"
    DARK = "dark", "dark"
    UNSTORED = "unstored", "not stored"
    DISK = "disk", "disk low"
    FILES = "files", "file lost"
    COPIES = "copies", "copy lost"


# What is of no camera but of the whole laboratory.
LABORATORY_ALERTS = (AlertKind.DISK, AlertKind.FILES, AlertKind.COPIES)


class CameraAlert(models.Model):
    """Something is wrong with a camera, the disk or files: raised once, resolved when over, by ``supervise``."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=10, choices=AlertKind.choices)
    camera = models.ForeignKey(Camera, on_delete=models.CASCADE, null=True, blank=True, related_name="alerts")
    message = models.CharField(max_length=500)
    raised = models.DateTimeField(db_default=Now(), editable=False)
    resolved = models.DateTimeField(null=True, blank=True)
    told = models.JSONField(default=list, blank=True, help_text="Who was told of what: webhook raised, email resolved.")

    class Meta:
        ordering: ClassVar = ["-raised"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["kind", "camera"],
                condition=Q(resolved__isnull=True),
                nulls_distinct=False,
                name="camera_alert_open_once",
            ),
            models.CheckConstraint(condition=Q(kind__in=AlertKind.values), name="camera_alert_kind_known"),
            models.CheckConstraint(
                condition=Q(kind__in=LABORATORY_ALERTS, camera__isnull=True)
                | ~Q(kind__in=LABORATORY_ALERTS) & Q(camera__isnull=False),
                name="camera_alert_is_of_a_camera_or_the_laboratory",
            ),
            models.CheckConstraint(
                condition=Q(resolved__isnull=True) | Q(resolved__gte=F("raised")), name="camera_alert_resolved_later"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["-raised"], name="camera_alert_newest")]

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"

    @property
    def place(self) -> str:
        """What it is about, in words."""
        if self.camera is not None:
            return str(self.camera)
        return "Disk of the recordings" if self.kind == AlertKind.DISK else "Registered files"
