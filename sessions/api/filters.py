"""The filters of the lists, as the OpenAPI schema shows them."""

from __future__ import annotations

from datetime import UTC
from typing import Any, ClassVar

import django_filters as df
from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import EMPTY_VALUES
from django.db.models import QuerySet
from django.utils.dateparse import parse_datetime

from sessions.models import (
    Animal,
    AnimalStatus,
    DataFile,
    Event,
    FileRole,
    FileState,
    Quality,
    Recording,
    RecordingKind,
    Rig,
    Session,
    Sex,
    Species,
    Strain,
    Task,
)


class TimeField(forms.Field):
    """A time with its zone."""

    def to_python(self, value: Any) -> Any:
        """Return an aware time, or say how one is written."""
        if value in self.empty_values:
            return None
        try:
            time = parse_datetime(str(value).replace(" ", "+"))
        except ValueError:
            time = None
        if time is None or time.tzinfo is None:
            raise ValidationError("Write a time with its zone, such as 2026-03-02T12:00:00Z.")
        try:
            # Postgres knows fewer offsets than Python, so it is given UTC.
            return time.astimezone(UTC)
        except OverflowError:
            raise ValidationError("This time is outside the calendar.") from None


class TimeFilter(df.Filter):
    """Compares with a time that has its zone."""

    field_class = TimeField


class NameFilter(df.CharFilter):
    """Compares with the name of what a row belongs to, which is asked for first.

    Postgres plans well by a key: it knows how many rows have it. By a name it may read a million to find none.
    """

    def filter(self, qs: QuerySet[Any], value: str) -> QuerySet[Any]:
        """Narrow to rows of what has this name; none where nothing has it."""
        if value in EMPTY_VALUES:
            return qs
        relation, _, name = self.field_name.rpartition("__")
        related: Any = qs.model._meta.get_field(relation).related_model
        found = related._default_manager.filter(**{name: value}).first()
        return qs.none() if found is None else qs.filter(**{relation: found})


class AnimalFilter(df.FilterSet):
    identifier = df.CharFilter(help_text="The identifier, exactly.")
    identifier_contains = df.CharFilter(field_name="identifier", lookup_expr="icontains", help_text="A part of it.")
    project = df.UUIDFilter(field_name="project_id")
    project_name = NameFilter(field_name="project__name")
    species = NameFilter(field_name="species__name", help_text="Name of the species.")
    strain = NameFilter(field_name="strain__name", help_text="Name of the strain.")
    sex = df.ChoiceFilter(choices=Sex.choices)
    status = df.ChoiceFilter(choices=AnimalStatus.choices)
    cage = df.CharFilter()
    responsible = NameFilter(field_name="responsible__username", help_text="User name.")
    born_from = df.DateFilter(field_name="birth_date", lookup_expr="gte")
    born_until = df.DateFilter(field_name="birth_date", lookup_expr="lte")

    class Meta:
        model = Animal
        fields: ClassVar[list[str]] = []


class SessionFilter(df.FilterSet):
    project = df.UUIDFilter(field_name="project_id")
    rig = df.UUIDFilter(field_name="rig_id")
    rig_name = NameFilter(field_name="rig__name")
    task = df.UUIDFilter(field_name="task_id")
    task_name = NameFilter(field_name="task__name")
    animal = df.CharFilter(method="of_animal", help_text="Identifier of an animal.")
    running = df.BooleanFilter(field_name="end", lookup_expr="isnull", help_text="Not ended yet.")
    started_from = TimeFilter(field_name="start", lookup_expr="gte")
    started_until = TimeFilter(field_name="start", lookup_expr="lte")
    quality = df.ChoiceFilter(choices=[c for c in Quality.choices if c[0]])
    simulated = df.BooleanFilter()

    class Meta:
        model = Session
        fields: ClassVar[list[str]] = []

    def of_animal(self, queryset: QuerySet[Session], name: str, value: str) -> QuerySet[Session]:  # noqa: ARG002
        """Narrow to sessions with this animal."""
        return queryset.filter(pk__in=Session.objects.filter(animals__identifier=value).values("pk"))


class TrialFilter(df.FilterSet):
    """Trials are made from events, not rows of a table: what is asked is checked here, and looked for in them."""

    outcome = df.CharFilter(help_text="Its outcome, a word of the task's rule.")
    running = df.BooleanFilter(help_text="Not ended yet.")
    started_from = TimeFilter(field_name="start")
    started_until = TimeFilter(field_name="start")


class RecordingFilter(df.FilterSet):
    session = df.UUIDFilter(field_name="session_id")
    project = df.UUIDFilter(field_name="in_project_id")
    animal = df.CharFilter(method="of_animal", help_text="Identifier of an animal.")
    kind = df.ChoiceFilter(choices=RecordingKind.choices)
    file_format = df.CharFilter(field_name="format", help_text="Format of the files (``format`` chooses JSON or CSV).")
    quality = df.ChoiceFilter(choices=[c for c in Quality.choices if c[0]])
    simulated = df.BooleanFilter()
    created_from = TimeFilter(field_name="created", lookup_expr="gte")
    created_until = TimeFilter(field_name="created", lookup_expr="lte")

    class Meta:
        model = Recording
        fields: ClassVar[list[str]] = []

    def of_animal(self, queryset: QuerySet[Recording], name: str, value: str) -> QuerySet[Recording]:  # noqa: ARG002
        """Narrow to recordings of this animal."""
        return queryset.filter(session__in=Session.objects.filter(animals__identifier=value).values("pk"))


class FileFilter(df.FilterSet):
    recording = df.UUIDFilter(field_name="recording_id")
    session = df.UUIDFilter(field_name="recording__session_id")
    root = NameFilter(field_name="root__name", help_text="Name of the data root.")
    path = df.CharFilter()
    role = df.ChoiceFilter(choices=FileRole.choices)
    sha256 = df.CharFilter()
    hashed = df.BooleanFilter(method="is_hashed")
    state = df.ChoiceFilter(
        field_name="check_of__state", choices=FileState.choices, help_text="What the last look at the file found."
    )

    class Meta:
        model = DataFile
        fields: ClassVar[list[str]] = []

    def is_hashed(self, queryset: QuerySet[DataFile], name: str, value: bool) -> QuerySet[DataFile]:  # noqa: ARG002
        """Narrow to files whose hash is known, or is not."""
        return queryset.exclude(sha256="") if value else queryset.filter(sha256="")


class EventFilter(df.FilterSet):
    session = df.UUIDFilter(field_name="session_id")
    kind = df.CharFilter()
    source = df.CharFilter()
    time_from = TimeFilter(field_name="time", lookup_expr="gte")
    time_until = TimeFilter(field_name="time", lookup_expr="lte")

    class Meta:
        model = Event
        fields: ClassVar[list[str]] = []


class SpeciesFilter(df.FilterSet):
    name = df.CharFilter()

    class Meta:
        model = Species
        fields: ClassVar[list[str]] = []


class StrainFilter(df.FilterSet):
    name = df.CharFilter()
    species = NameFilter(field_name="species__name")

    class Meta:
        model = Strain
        fields: ClassVar[list[str]] = []


class RigFilter(df.FilterSet):
    name = df.CharFilter()
    project = df.UUIDFilter(field_name="project_id")
    simulated = df.BooleanFilter()

    class Meta:
        model = Rig
        fields: ClassVar[list[str]] = []


class TaskFilter(df.FilterSet):
    name = df.CharFilter()

    class Meta:
        model = Task
        fields: ClassVar[list[str]] = []
