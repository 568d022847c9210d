"""Recordings and the data files they are made of."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

import pgtrigger
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from sessions.models.base import Named, Quality, audited, newest_first
from sessions.models.projects import Project
from sessions.models.sessions import Session


class RecordingKind(models.TextChoices):
    """What a recording holds."""

    EPHYS = "ephys", "raw voltage"
    LFP = "lfp", "LFP"
    SPIKES = "spikes", "spikes"
    UNITS = "units", "sorted units"
    POSITION = "position", "position"
    VIDEO = "video", "video"
    EVENTS = "events", "events"
    OTHER = "other", "other"


def in_project() -> Any:
    """Return the field of a session's project that the database copies to each of its rows, for lists to narrow by.

    Rules ask ``project``: that of a row which was only just made is not in its copy yet.
    """
    return models.ForeignKey(
        Project, on_delete=models.DO_NOTHING, null=True, editable=False, db_index=False, db_constraint=False,
        related_name="+",
    )  # fmt: skip


@audited
class Recording(models.Model):
    """One stream of a session (a probe, a camera, a tracker) made of data files."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    session = models.ForeignKey(Session, on_delete=models.PROTECT, related_name="recordings")
    kind = models.CharField(max_length=10, choices=RecordingKind.choices)
    format = models.CharField(max_length=40)
    name = models.CharField(max_length=100, blank=True, help_text="Probe, camera or tracker.")
    start = models.DateTimeField(null=True, blank=True)
    rate = models.FloatField(null=True, blank=True, help_text="Samples or frames per second (Hz).")
    channels = models.PositiveIntegerField(null=True, blank=True)
    duration = models.FloatField(null=True, blank=True, help_text="Seconds.")
    parameters = models.JSONField(default=dict, blank=True, help_text="What a reader must know: rate, gain, unit ...")
    facts = models.JSONField(
        default=dict, blank=True, help_text="What was found in the files: frames, lost frames, units ..."
    )
    quality = models.CharField(max_length=10, choices=Quality.choices, blank=True, default=Quality.UNSET)
    simulated = models.BooleanField(default=False)
    derived_from = models.ManyToManyField("self", symmetrical=False, blank=True, related_name="derived")
    created = models.DateTimeField(db_default=Now(), editable=False)
    in_project = in_project()

    class Meta:
        ordering: ClassVar = ["-created", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(kind__in=RecordingKind.values), name="recording_kind_known"),
            models.CheckConstraint(condition=Q(quality__in=Quality.values), name="recording_quality_known"),
            models.CheckConstraint(
                condition=Q(rate__isnull=True) | Q(rate__gt=0),
                name="recording_rate_positive",
                violation_error_message="The rate is more than 0 Hz.",
            ),
            models.CheckConstraint(
                condition=Q(duration__isnull=True) | Q(duration__gte=0),
                name="recording_duration_not_negative",
                violation_error_message="The duration is not negative.",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["session", "kind"]),
            models.Index(fields=["in_project", "-created", "id"]),
            *newest_first("created", "start", "kind", "duration"),
        ]
        triggers: ClassVar = [
            pgtrigger.Trigger(
                name="recording_in_project",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert | pgtrigger.Update,
                # A new row waits for who is moving its session; one that is there is waited for by him.
                func="""
                    IF TG_OP = 'INSERT' OR NEW.session_id IS DISTINCT FROM OLD.session_id THEN
                        PERFORM 1 FROM lab_session WHERE id = NEW.session_id FOR SHARE;
                    END IF;
                    SELECT project_id INTO NEW.in_project_id FROM lab_session WHERE id = NEW.session_id;
                    RETURN NEW;
                """,
            ),
            pgtrigger.Trigger(
                name="recording_project_to_files",
                when=pgtrigger.After,
                operation=pgtrigger.Update,
                condition=pgtrigger.Q(old__in_project__df=pgtrigger.F("new__in_project")),
                func=(
                    "UPDATE lab_datafile SET in_project_id = NEW.in_project_id WHERE recording_id = NEW.id; RETURN NEW;"
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.name}".strip()

    @property
    def project(self) -> Project:
        """The session's project."""
        return self.session.project


@audited
class DataRoot(Named):
    """A folder of the server (a disk, a mounted share) below which data files lie."""

    path = models.CharField(max_length=500, unique=True)

    class Meta(Named.Meta):
        abstract = False


class FileRole(models.TextChoices):
    """What a file is within its recording."""

    DATA = "data", "data"
    SEGMENT = "segment", "video segment"
    FRAMES = "frames", "frame table"
    CLOCK = "clock", "clock"
    PROXY = "proxy", "browser proxy"
    POSTER = "poster", "poster"


@audited
class DataFile(models.Model):
    """A file of a recording. Its content never changes: a changed file is registered as a new revision."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    recording = models.ForeignKey(Recording, on_delete=models.PROTECT, related_name="files")
    root = models.ForeignKey(DataRoot, on_delete=models.PROTECT, related_name="files")
    path = models.CharField(max_length=1000, help_text="Relative to the data root, with forward slashes.")
    role = models.CharField(max_length=10, choices=FileRole.choices, default=FileRole.DATA)
    revision = models.PositiveIntegerField(default=1)
    size = models.PositiveBigIntegerField()
    modified = models.DateTimeField(help_text="Modification time of the file when it was registered.")
    sha256 = models.CharField(max_length=64, blank=True, help_text="Empty until it was computed.")
    order = models.PositiveIntegerField(default=0)
    created = models.DateTimeField(db_default=Now(), editable=False)
    in_project = in_project()

    class Meta:
        ordering: ClassVar = ["recording", "order", "path"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["root", "path", "revision"],
                name="data_file_revision_once",
                violation_error_message="This file is already registered; register a changed file as a new revision.",
            ),
            models.CheckConstraint(
                condition=Q(sha256="") | Q(sha256__regex=r"^[0-9a-f]{64}$"), name="data_file_sha256_is_64_hex_digits"
            ),
            models.CheckConstraint(
                condition=~Q(path="") & ~Q(path__startswith="/") & ~Q(path__regex=r"(^|/)\.\.(/|$)"),
                name="data_file_path_below_root",
                violation_error_message="A file's path is relative to its data root and stays below it.",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["recording", "order"]),
            models.Index(fields=["in_project", "created", "id"]),
            models.Index(fields=["created", "id"]),
            *newest_first("size", "path"),
            models.Index(fields=["created"], condition=Q(sha256=""), name="data_file_unhashed"),
        ]
        triggers: ClassVar = [
            pgtrigger.Trigger(
                name="data_file_in_project",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert | pgtrigger.Update,
                func="""
                    IF TG_OP = 'INSERT' OR NEW.recording_id IS DISTINCT FROM OLD.recording_id THEN
                        PERFORM 1 FROM lab_recording WHERE id = NEW.recording_id FOR SHARE;
                    END IF;
                    SELECT in_project_id INTO NEW.in_project_id FROM lab_recording WHERE id = NEW.recording_id;
                    RETURN NEW;
                """,
            )
        ]

    def __str__(self) -> str:
        return f"{self.root.name}:{self.path}"

    @property
    def project(self) -> Project:
        """The session's project."""
        return self.recording.session.project
