"""Rows as JSON, and bodies as checked values. What a value may be is said here; what it means, in the services."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.contrib.auth import get_user_model
from django.utils.functional import cached_property
from rest_framework import serializers
from rest_framework.reverse import reverse

from sessions.api.fields import (
    AnyJsonField,
    AwareDateTimeField,
    ByIdOrName,
    FiniteFloatField,
    ObjectField,
    ShortReads,
    StrictFields,
)
from sessions.models import (
    Animal,
    ApiToken,
    DataFile,
    Event,
    FileCopy,
    FileRole,
    Litter,
    Project,
    Recording,
    RecordingKind,
    Rig,
    Session,
    Species,
    Strain,
    Task,
    TokenScope,
)


class PersonField(serializers.SlugRelatedField):
    """A person by user name; a name that Postgres cannot even look for is nobody's."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str) or "\0" in data:
            self.fail("invalid")
        return super().to_internal_value(data)


def by_username(**options: Any) -> serializers.SlugRelatedField:
    """People are given and shown by their user name."""
    return PersonField(slug_field="username", queryset=get_user_model().objects.filter(is_active=True), **options)


class LabSerializer(StrictFields, ShortReads, serializers.ModelSerializer):
    """Base: times with zones, finite numbers, objects; no uniqueness query of its own, the database decides."""

    serializer_field_mapping: ClassVar[dict[Any, Any]] = {
        **serializers.ModelSerializer.serializer_field_mapping,
        **{
            model_field: AwareDateTimeField
            for model_field, field in serializers.ModelSerializer.serializer_field_mapping.items()
            if field is serializers.DateTimeField
        },
        **{
            model_field: FiniteFloatField
            for model_field, field in serializers.ModelSerializer.serializer_field_mapping.items()
            if field is serializers.FloatField
        },
    }

    def get_validators(self) -> list[Any]:
        """Leave rules that need other rows to the database's constraints."""
        return []

    def build_standard_field(self, field_name: str, model_field: Any) -> tuple[Any, dict[str, Any]]:
        """Leave uniqueness to the database: a query before the write proves nothing."""
        field_class, options = super().build_standard_field(field_name, model_field)
        options["validators"] = [v for v in options.get("validators", []) if not hasattr(v, "queryset")]
        if not options["validators"]:
            options.pop("validators")
        return field_class, options


class ProjectSerializer(LabSerializer):
    class Meta:
        model = Project
        fields = ("id", "name", "description", "created")
        read_only_fields = ("id", "created")


class SpeciesSerializer(LabSerializer):
    class Meta:
        model = Species
        fields = ("id", "name", "latin_name")
        read_only_fields = ("id",)


class StrainSerializer(LabSerializer):
    species = ByIdOrName(name="name", queryset=Species.objects.all())
    species_name = serializers.CharField(source="species.name", read_only=True)

    class Meta:
        model = Strain
        fields = ("id", "name", "species", "species_name")
        read_only_fields = ("id",)


class AnimalSerializer(LabSerializer):
    project = ByIdOrName(name="name", project="pk", queryset=Project.objects.all())
    project_name = serializers.CharField(source="project.name", read_only=True)
    species = ByIdOrName(name="name", queryset=Species.objects.all())
    species_name = serializers.CharField(source="species.name", read_only=True)
    strain = ByIdOrName(name="name", queryset=Strain.objects.all(), required=False, allow_null=True)
    strain_name = serializers.CharField(source="strain.name", read_only=True, default=None, allow_null=True)
    responsible = by_username(required=False, allow_null=True)
    litter = ByIdOrName(project="pair__project", queryset=Litter.objects.all(), required=False, allow_null=True)

    class Meta:
        model = Animal
        fields = (
            "id", "identifier", "project", "project_name", "species", "species_name", "strain", "strain_name",
            "genotype", "sex", "birth_date", "death_date", "cage", "responsible", "status", "litter", "notes",
            "created",
        )  # fmt: skip
        read_only_fields = ("id", "created")


class RigSerializer(LabSerializer):
    project = ByIdOrName(
        name="name", project="pk", queryset=Project.objects.all(), required=False, allow_null=True,
        help_text="Without one the rig belongs to the whole laboratory.",
    )  # fmt: skip

    class Meta:
        model = Rig
        fields = ("id", "name", "location", "description", "project", "simulated")
        read_only_fields = ("id",)


class TaskSerializer(LabSerializer):
    parameters = ObjectField(required=False)

    class Meta:
        model = Task
        fields = ("id", "name", "protocol", "parameters")
        read_only_fields = ("id",)


class SessionAnimalSerializer(serializers.ModelSerializer):
    """An animal within a session: enough to write its name."""

    class Meta:
        model = Animal
        fields = ("id", "identifier")
        read_only_fields = ("id", "identifier")


class SessionSerializer(LabSerializer):
    """A session as it is read."""

    project = serializers.PrimaryKeyRelatedField(read_only=True)
    rig = serializers.PrimaryKeyRelatedField(read_only=True, allow_null=True)
    rig_name = serializers.CharField(source="rig.name", read_only=True, default=None, allow_null=True)
    task = serializers.PrimaryKeyRelatedField(read_only=True, allow_null=True)
    task_name = serializers.CharField(source="task.name", read_only=True, default=None, allow_null=True)
    animals = SessionAnimalSerializer(many=True, read_only=True)
    people = serializers.SlugRelatedField(slug_field="username", many=True, read_only=True)
    running = serializers.BooleanField(read_only=True)

    class Meta:
        model = Session
        fields = (
            "id", "project", "rig", "rig_name", "task", "task_name", "animals", "people", "start", "end", "running",
            "number", "title", "narrative", "quality", "simulated", "created",
        )  # fmt: skip
        read_only_fields = fields


class SessionBody(LabSerializer):
    """A session as it is written: animals by id or identifier, people by user name."""

    project = ByIdOrName(
        name="name", project="pk", queryset=Project.objects.all(), required=False,
        help_text="That of the animals when it is not given.",
    )  # fmt: skip
    rig = ByIdOrName(name="name", project="project", queryset=Rig.objects.all(), required=False, allow_null=True)
    task = ByIdOrName(name="name", queryset=Task.objects.all(), required=False, allow_null=True)
    animals = ByIdOrName(
        name="identifier", project="project", queryset=Animal.objects.select_related("project"), many=True,
        required=False,
    )  # fmt: skip
    people = by_username(many=True, required=False)
    start = AwareDateTimeField(required=False, help_text="Now when it is not given.")

    class Meta:
        model = Session
        fields: tuple[str, ...] = (
            "project", "rig", "task", "animals", "people", "start", "end", "number", "title", "narrative", "quality",
            "simulated",
        )  # fmt: skip


class SessionChange(SessionBody):
    """What may be changed of a session."""

    project = None  # type: ignore[assignment]

    class Meta(SessionBody.Meta):
        fields = tuple(name for name in SessionBody.Meta.fields if name not in {"project", "simulated"})


class SessionMove(StrictFields, serializers.Serializer):
    """Which animal the session was taken for, and whose it was."""

    from_animal = ByIdOrName(name="identifier", project="project", queryset=Animal.objects.select_related("project"))
    to_animal = ByIdOrName(name="identifier", project="project", queryset=Animal.objects.select_related("project"))
    reason = serializers.CharField(max_length=1000, required=False, default="", allow_blank=True)


class SessionEnd(StrictFields, serializers.Serializer):
    """When a session ended; now when nothing is said."""

    end = AwareDateTimeField(required=False)


class FilePlace(StrictFields, serializers.Serializer):
    """A file that lies on the server: a data root and the path below it."""

    root = serializers.CharField(default="default")
    path = serializers.CharField(max_length=1000, trim_whitespace=False)
    role = serializers.ChoiceField(choices=FileRole.choices, default=FileRole.DATA)


class FileCopySerializer(LabSerializer):
    """Another place that holds the content of a file."""

    root = serializers.CharField(source="root.name", read_only=True)

    class Meta:
        model = FileCopy
        fields = ("id", "root", "path", "state", "problem", "looked", "read")
        read_only_fields = fields


class FileCopyBody(StrictFields, serializers.Serializer):
    """A place that holds the file's content already, or one to copy it to."""

    root = serializers.CharField(help_text="The name of a data root.")
    path = serializers.CharField(
        required=False, allow_blank=True, max_length=1000, trim_whitespace=False, help_text="By default the file's own."
    )
    copy = serializers.BooleanField(required=False, default=False, help_text="A worker copies the file there.")


class FileCopyChoice(StrictFields, serializers.Serializer):
    """One of the copies of a file."""

    copy = serializers.UUIDField()


class FileSerializer(LabSerializer):
    root = serializers.CharField(source="root.name", read_only=True)
    copies = FileCopySerializer(many=True, read_only=True)
    download = serializers.SerializerMethodField()

    class Meta:
        model = DataFile
        fields = (
            "id", "recording", "root", "path", "role", "revision", "size", "modified", "sha256", "copies", "created",
            "download",
        )  # fmt: skip
        read_only_fields = fields

    def get_download(self, file: DataFile) -> str:
        """Return the address of the content."""
        before, after = self._around
        return f"{before}{file.pk}{after}"

    @cached_property
    def _around(self) -> list[str]:
        """Return what is before and after the id in such an address: it is looked up once, not for every file."""
        nobody = UUID(int=0)
        return reverse("file-download", args=[nobody], request=self.context.get("request")).split(str(nobody))


class RecordingSerializer(LabSerializer):
    """A recording as it is read."""

    files = FileSerializer(many=True, read_only=True)
    parameters = ObjectField(read_only=True)
    facts = ObjectField(read_only=True)
    derived_from = serializers.PrimaryKeyRelatedField(many=True, read_only=True)

    class Meta:
        model = Recording
        fields = (
            "id", "session", "kind", "format", "name", "start", "rate", "channels", "duration", "parameters", "facts",
            "quality", "simulated", "derived_from", "files", "created",
        )  # fmt: skip
        read_only_fields = fields


class RecordingBody(StrictFields, serializers.Serializer):
    """Files that lie on the server, to be registered as a recording of a session."""

    session = ByIdOrName(project="project", queryset=Session.objects.select_related("project"))
    kind = serializers.ChoiceField(choices=RecordingKind.choices)
    files = FilePlace(many=True, allow_empty=False)
    format = serializers.CharField(
        required=False, allow_null=True, max_length=40, help_text="Recognised when not given."
    )
    parameters = ObjectField(required=False, help_text="What a reader must know: rate (Hz), channels, dtype, unit ...")
    name = serializers.CharField(required=False, allow_blank=True, max_length=100)
    start = AwareDateTimeField(required=False, allow_null=True)
    rate = FiniteFloatField(required=False, allow_null=True, help_text="Hz")
    channels = serializers.IntegerField(required=False, allow_null=True, min_value=1)
    duration = FiniteFloatField(required=False, allow_null=True, help_text="s")
    simulated = serializers.BooleanField(required=False)
    derived_from = ByIdOrName(
        project="session__project", queryset=Recording.objects.select_related("session__project"), many=True,
        required=False,
    )  # fmt: skip
    facts = ObjectField(required=False)


class RecordingChange(LabSerializer):
    """What people may say of a recording afterwards."""

    parameters = ObjectField(required=False)

    class Meta:
        model = Recording
        fields = ("name", "quality", "parameters")


class EventSerializer(LabSerializer):
    value = AnyJsonField(read_only=True)

    class Meta:
        model = Event
        fields = ("id", "session", "time", "kind", "value", "source", "number", "device_ns", "offset_ms")
        read_only_fields = fields


class EventBody(StrictFields, serializers.Serializer):
    """An event as a box's controller reports it."""

    session = serializers.UUIDField()
    time = AwareDateTimeField()
    kind = serializers.CharField(max_length=64)
    value = AnyJsonField(required=False, allow_null=True)
    source = serializers.CharField(required=False, allow_blank=True, max_length=64)
    number = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=2**63 - 1)
    device_ns = serializers.IntegerField(required=False, allow_null=True, min_value=-(2**63), max_value=2**63 - 1)
    offset_ms = FiniteFloatField(required=False, allow_null=True)


class EventOfSession(EventBody):
    """The same over the websocket of a session, whose address says which."""

    session = None


class EventsAdded(serializers.Serializer):
    """How many events were new, and how many were already there."""

    added = serializers.IntegerField()
    already = serializers.IntegerField()


class TokenRequest(StrictFields, serializers.Serializer):
    """Name and password of a person."""

    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=4096, trim_whitespace=False)


class TokenReply(serializers.Serializer):
    """The key; it cannot be had again."""

    token = serializers.CharField()


class ApiTokenSerializer(LabSerializer):
    scope = serializers.ChoiceField(choices=TokenScope.choices, read_only=True)

    class Meta:
        model = ApiToken
        fields = ("id", "name", "scope", "created", "expires", "revoked", "last_used")
        read_only_fields = fields


class TrialSerializer(serializers.Serializer):
    """One trial; ``stop`` and ``outcome`` are null while it runs."""

    number = serializers.IntegerField()
    start = serializers.DateTimeField()
    stop = serializers.DateTimeField(allow_null=True)
    outcome = serializers.CharField(allow_null=True)
    measures = serializers.DictField(
        child=serializers.FloatField(allow_null=True),
        help_text="Seconds since the start; null where it did not happen.",
    )
    value = AnyJsonField(help_text="What the event said that began it.")
