"""The catalog: what was recorded, from whom, where and when. Invariants are constraints of the database."""

from __future__ import annotations

import uuid
from typing import ClassVar, TypeVar

import pghistory
import pgtrigger
from django.conf import settings
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.db import models
from django.db.models import F, Func, Q, Value
from django.db.models.functions import Now

M = TypeVar("M", bound=type[models.Model])


def audited(model: M) -> M:
    """Keep every version of a model's rows in a table that triggers fill: bulk writes and raw SQL are in it too."""
    trackers = [pghistory.UpdateEvent(), pghistory.DeleteEvent()]
    # Boxes report events by the hundred thousand, and none is ever rewritten: their rows are their own first version.
    if model.__name__ != "Event":
        trackers.insert(0, pghistory.InsertEvent())
    return pghistory.track(
        *trackers,
        model_name=f"{model.__name__}History",
        obj_field=pghistory.ObjForeignKey(related_name="history", related_query_name="history"),
    )(model)


class UuidRange(Func):
    """``uuidrange(a, a, '[]')``: lets a GiST exclusion compare UUIDs for equality without any extension."""

    function = "uuidrange"

    def __init__(self, expression: str) -> None:
        super().__init__(F(expression), F(expression), Value("[]"), output_field=models.TextField())


class TstzRange(Func):
    """``tstzrange(start, end)``; an open end means that it still runs."""

    function = "tstzrange"
    output_field = DateTimeRangeField()


class Named(models.Model):
    """A thing that scripts address by UUID and people by a unique name."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100, unique=True)

    class Meta:
        abstract = True
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


@audited
class Project(Named):
    """A study; it owns animals and sessions, and its members see them."""

    description = models.TextField(blank=True)
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, through="Membership", related_name="projects")
    created = models.DateTimeField(db_default=Now(), editable=False)

    class Meta(Named.Meta):
        abstract = False

    @property
    def project(self) -> Project:
        """Itself, so that one permission rule serves everything that belongs to a project."""
        return self


class Role(models.TextChoices):
    """What a member may do in a project; each role includes the ones before it."""

    VIEWER = "viewer", "viewer (reads)"
    EXPERIMENTER = "experimenter", "experimenter (adds and changes)"
    MANAGER = "manager", "manager (also deletes, and gives roles)"


@audited
class Membership(models.Model):
    """A person's role in a project."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=Role.choices, default=Role.VIEWER)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["project", "user"], name="membership_once"),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="membership_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user} is {self.role} of {self.project}"


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
    notes = models.TextField(blank=True)
    created = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering: ClassVar = ["identifier"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(sex__in=Sex.values), name="animal_sex_known"),
            models.CheckConstraint(condition=Q(status__in=AnimalStatus.values), name="animal_status_known"),
            models.CheckConstraint(condition=~Q(identifier=""), name="animal_identifier_not_empty"),
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
        indexes: ClassVar = [models.Index(fields=["project", "status", "identifier"])]

    def __str__(self) -> str:
        return self.identifier


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


class Quality(models.TextChoices):
    """A mark given by a person."""

    UNSET = "", "not judged"
    GOOD = "good", "good"
    USABLE = "usable", "usable with care"
    BAD = "bad", "bad"


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
        indexes: ClassVar = [models.Index(fields=["project", "-start"]), models.Index(fields=["-start", "id"])]
        triggers: ClassVar = [
            # The animals' periods follow the session's, whoever changes it, so that their exclusion always holds.
            pgtrigger.Trigger(
                name="session_period_to_animals",
                when=pgtrigger.After,
                operation=pgtrigger.UpdateOf("start", "end"),
                func='UPDATE lab_sessionanimal SET during = tstzrange(NEW."start", NEW."end") WHERE session_id = NEW.id; RETURN NEW;',
            )
        ]

    def __str__(self) -> str:
        return self.title or f"session of {self.start:%Y-%m-%d %H:%M}"


@audited
class SessionAnimal(models.Model):
    """An animal's part in a session; ``during`` is kept by the database from the session's start and end."""

    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="session_animals")
    animal = models.ForeignKey(Animal, on_delete=models.PROTECT, related_name="session_animals")
    during = DateTimeRangeField(null=True, editable=False)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["session", "animal"], name="session_animal_once"),
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
                func='SELECT tstzrange(s."start", s."end") INTO NEW.during FROM lab_session s WHERE s.id = NEW.session_id; RETURN NEW;',
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

    class Meta:
        ordering: ClassVar = ["time", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["session", "source", "number"], name="event_number_once"),
            models.CheckConstraint(condition=~Q(kind=""), name="event_kind_not_empty"),
        ]
        indexes: ClassVar = [models.Index(fields=["session", "time"])]

    def __str__(self) -> str:
        return f"{self.kind} at {self.time:%H:%M:%S.%f}"

    @property
    def project(self) -> Project:
        """The session's project."""
        return self.session.project


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

    class Meta:
        ordering: ClassVar = ["-created", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(kind__in=RecordingKind.values), name="recording_kind_known"),
            models.CheckConstraint(condition=Q(quality__in=Quality.values), name="recording_quality_known"),
            models.CheckConstraint(condition=Q(rate__isnull=True) | Q(rate__gt=0), name="recording_rate_positive"),
            models.CheckConstraint(
                condition=Q(duration__isnull=True) | Q(duration__gte=0), name="recording_duration_not_negative"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["session", "kind"]), models.Index(fields=["-created", "id"])]

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

    class Meta:
        ordering: ClassVar = ["recording", "order", "path"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["root", "path", "revision"], name="data_file_revision_once"),
            models.CheckConstraint(
                condition=Q(sha256="") | Q(sha256__regex=r"^[0-9a-f]{64}$"), name="data_file_sha256_is_64_hex_digits"
            ),
            models.CheckConstraint(
                condition=~Q(path="") & ~Q(path__startswith="/") & ~Q(path__regex=r"(^|/)\.\.(/|$)"),
                name="data_file_path_below_root",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["recording", "order"]),
            models.Index(fields=["created"], condition=Q(sha256=""), name="data_file_unhashed"),
        ]

    def __str__(self) -> str:
        return f"{self.root.name}:{self.path}"

    @property
    def project(self) -> Project:
        """The session's project."""
        return self.recording.session.project


class TokenScope(models.TextChoices):
    """What a token may be used for."""

    READ = "read", "read"
    WRITE = "write", "read and write"


class ApiToken(models.Model):
    """A script's key. Only its hash is stored; the key is shown once."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="lab_tokens")
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    scope = models.CharField(max_length=10, choices=TokenScope.choices, default=TokenScope.WRITE)
    created = models.DateTimeField(db_default=Now(), editable=False)
    expires = models.DateTimeField(null=True, blank=True)
    revoked = models.DateTimeField(null=True, blank=True)
    last_used = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering: ClassVar = ["-created"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(digest__regex=r"^[0-9a-f]{64}$"), name="api_token_digest_is_sha256"),
            models.CheckConstraint(condition=Q(scope__in=TokenScope.values), name="api_token_scope_known"),
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.user}"
