"""Notes: a sentence, a photograph, tags, on anything of the catalog."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Func, Q
from django.db.models.functions import Now
from django.db.models.lookups import Exact

from sessions.models.animals import Animal
from sessions.models.base import Named, audited
from sessions.models.housing import Cage
from sessions.models.projects import Project
from sessions.models.recordings import Recording
from sessions.models.sessions import Rig, Session

# What a note may be on, by the name of the relation.
NOTED: dict[str, type[models.Model]] = {
    "animal": Animal, "session": Session, "recording": Recording, "cage": Cage, "rig": Rig,
}  # fmt: skip


@audited
class Tag(Named):
    """A word by which notes are found again."""

    class Meta(Named.Meta):
        abstract = False


@audited
class Note(models.Model):
    """What somebody saw of one thing. While ``deleted`` is set it is not shown, and can be taken back."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    animal = models.ForeignKey(Animal, on_delete=models.PROTECT, null=True, blank=True, related_name="written")
    session = models.ForeignKey(Session, on_delete=models.PROTECT, null=True, blank=True, related_name="written")
    recording = models.ForeignKey(Recording, on_delete=models.PROTECT, null=True, blank=True, related_name="written")
    cage = models.ForeignKey(Cage, on_delete=models.PROTECT, null=True, blank=True, related_name="written")
    rig = models.ForeignKey(Rig, on_delete=models.PROTECT, null=True, blank=True, related_name="written")
    person = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    time = models.DateTimeField()
    text = models.TextField(blank=True)
    photo = models.ImageField(upload_to="notes/%Y/%m/", blank=True, max_length=200)
    tags = models.ManyToManyField(Tag, through="NoteTag", blank=True, related_name="notes")
    deleted = models.DateTimeField(null=True, blank=True, editable=False)
    created = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering: ClassVar = ["-time", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Exact(
                    Func(
                        *[F(f"{name}_id") for name in NOTED],
                        function="num_nonnulls", output_field=models.IntegerField(),
                    ),
                    1,
                ),
                name="note_on_one_thing",
                violation_error_message="A note is on one thing: an animal, a session, a recording, a cage or a rig.",
            ),
            models.CheckConstraint(
                condition=~Q(text="") | ~Q(photo=""),
                name="note_not_empty",
                violation_error_message="A note needs a text or a photo.",
            ),
        ]  # fmt: skip
        indexes: ClassVar = [
            models.Index(fields=["animal", "-time"]),
            models.Index(fields=["session", "-time"]),
            models.Index(fields=["-time", "id"]),
        ]

    def __str__(self) -> str:
        return self.text[:60] or "photo"

    @property
    def about(self) -> Any:
        """What the note is on."""
        return next(thing for name in NOTED if (thing := getattr(self, name)) is not None)

    @property
    def project(self) -> Project | None:
        """The project of what it is on; none for a cage and for a rig of the whole laboratory."""
        found: Project | None = self.about.project
        return found


@audited
class NoteTag(models.Model):
    """A tag on a note."""

    note = models.ForeignKey(Note, on_delete=models.CASCADE, related_name="note_tags")
    tag = models.ForeignKey(Tag, on_delete=models.PROTECT, related_name="note_tags")

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["note", "tag"], name="note_tag_once")]

    def __str__(self) -> str:
        return str(self.tag)
