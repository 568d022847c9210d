"""Words by which sessions and recordings are found, in an index of Postgres that its triggers keep.

A word is a run of letters and digits, in small letters; a number within it is a word, too, so that 1234 finds R01234.
The functions that the triggers call, and what makes a query of the words asked for, are in the migration of the tables.
"""

from __future__ import annotations

from typing import ClassVar

import pgtrigger
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models

from sessions.models.animals import Animal
from sessions.models.recordings import DataFile, Recording
from sessions.models.sessions import Rig, Session, SessionAnimal, Task


class SessionWords(models.Model):
    """Title, notes, task, rig and animals of a session."""

    session = models.OneToOneField(
        Session, on_delete=models.DO_NOTHING, primary_key=True, db_constraint=False, related_name="found_by"
    )
    words = SearchVectorField()

    class Meta:
        indexes: ClassVar = [GinIndex(fields=["words"], name="session_words")]

    def __str__(self) -> str:
        return f"words of {self.session_id}"


class RecordingWords(models.Model):
    """Name, kind, format and files of a recording, and title, task and animals of its session."""

    recording = models.OneToOneField(
        Recording, on_delete=models.DO_NOTHING, primary_key=True, db_constraint=False, related_name="found_by"
    )
    words = SearchVectorField()

    class Meta:
        indexes: ClassVar = [GinIndex(fields=["words"], name="recording_words")]

    def __str__(self) -> str:
        return f"words of {self.recording_id}"


def _after(model: type[models.Model], name: str, operation: pgtrigger.Operation, func: str) -> None:
    trigger = pgtrigger.Trigger(name=name, when=pgtrigger.After, operation=operation, func=f"{func} RETURN NULL;")
    pgtrigger.register(trigger)(model)


_after(
    Session, "session_words", pgtrigger.Insert | pgtrigger.UpdateOf("title", "narrative", "task_id", "rig_id"),
    """
    PERFORM lab_write_session_words(ARRAY[NEW.id]);
    IF TG_OP = 'UPDATE' AND (NEW.title, NEW.task_id) IS DISTINCT FROM (OLD.title, OLD.task_id) THEN
        PERFORM lab_write_recording_words(ARRAY(SELECT id FROM lab_recording WHERE session_id = NEW.id));
    END IF;
    """,
)  # fmt: skip
_after(Session, "session_words_gone", pgtrigger.Delete, "DELETE FROM lab_sessionwords WHERE session_id = OLD.id;")
_after(
    SessionAnimal, "session_animal_words", pgtrigger.Insert | pgtrigger.UpdateOf("session_id", "animal_id"),
    """
    PERFORM lab_write_words_in(
        ARRAY[NEW.session_id] || CASE WHEN TG_OP = 'UPDATE' THEN ARRAY[OLD.session_id] ELSE '{}' END
    );
    """,
)  # fmt: skip
_after(
    SessionAnimal, "session_animal_words_gone", pgtrigger.Delete, "PERFORM lab_write_words_in(ARRAY[OLD.session_id]);"
)
for _model, _sessions in (
    (Animal, "SELECT session_id FROM lab_sessionanimal WHERE animal_id = NEW.id"),
    (Rig, "SELECT id FROM lab_session WHERE rig_id = NEW.id"),
    (Task, "SELECT id FROM lab_session WHERE task_id = NEW.id"),
):
    _renamed = "identifier" if _model is Animal else "name"
    _after(
        _model, f"{_model._meta.model_name}_words", pgtrigger.UpdateOf(_renamed),
        f"IF NEW.{_renamed} <> OLD.{_renamed} THEN PERFORM lab_write_words_in(ARRAY({_sessions})); END IF;",
    )  # fmt: skip
_after(
    Recording, "recording_words", pgtrigger.Insert | pgtrigger.UpdateOf("name", "kind", "format", "session_id"),
    "PERFORM lab_write_recording_words(ARRAY[NEW.id]);",
)  # fmt: skip
_after(
    Recording, "recording_words_gone", pgtrigger.Delete, "DELETE FROM lab_recordingwords WHERE recording_id = OLD.id;"
)
# Of a recording in ten thousand files the first say what the others are called.
_after(
    DataFile, "data_file_words", pgtrigger.Insert | pgtrigger.UpdateOf("path"),
    """
    UPDATE lab_recordingwords SET words = words || lab_words(NEW.path)
    WHERE recording_id = NEW.recording_id AND length(words) < 400 AND words <> words || lab_words(NEW.path);
    """,
)  # fmt: skip
