"""A catalog of a laboratory that has worked for years, written by SQL: what would take services days takes seconds."""

from __future__ import annotations

import json
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import connection, models
from django.db.models.fields.json import JSONField

PROJECTS, SPECIES, STRAINS, RIGS, TASKS = 20, 2, 8, 12, 6
ANIMALS, SESSIONS, RECORDINGS, WEIGHINGS = 20_000, 100_000, 1_000_000, 1_000_000
EVENTS, JOBS, CAMERA_RECORDINGS, ALERTS = 100_000, 20_000, 100_000, 5_000
DIGEST = "md5(i::text) || md5(i::text)"
# Sessions of an hour, twelve rigs in parallel: each animal has five, none two at a time.
START = "timestamptz '2024-01-01 08:00+00'"


def fill() -> None:
    """Write everything, then let Postgres look at it as it does by itself in a laboratory."""
    with connection.cursor() as cursor:
        # Neither audit trail nor foreign keys are checked: nobody reads the former here, the latter hold by the making.
        cursor.execute("SET session_replication_role = replica")
        try:
            _colony(cursor)
            _experiments(cursor)
            _machines(cursor)
            _words(cursor)
        finally:
            cursor.execute("SET session_replication_role = DEFAULT")
        cursor.execute("VACUUM ANALYZE")


def key(what: str, number: str) -> str:
    """Return SQL of the UUID of the so-manieth row of a kind."""
    return f"md5('{what}' || ({number}))::uuid"


def _colony(cursor: Any) -> None:
    user = get_user_model().objects.create_user("ana")
    _insert(cursor, "Project", PROJECTS, id=key("project", "i"), name="'project ' || i")
    _insert(cursor, "Membership", 1, project_id=key("project", "1"), user_id=str(user.pk), role="'experimenter'")
    _insert(cursor, "Species", SPECIES, id=key("species", "i"), name="(ARRAY['rat', 'mouse'])[i]")
    _insert(
        cursor, "Strain", STRAINS, id=key("strain", "i"), name="'strain ' || i", species_id=key("species", "1 + i % 2")
    )
    _insert(
        cursor, "Animal", ANIMALS, id=key("animal", "i"), identifier="'R' || lpad(i::text, 5, '0')",
        project_id=key("project", f"1 + i % {PROJECTS}"), species_id=key("species", "1 + i % 2"),
        strain_id=key("strain", f"1 + i % {STRAINS}"), sex="(ARRAY['M', 'F'])[1 + i % 2]",
        birth_date="date '2023-06-01' + i % 900", cage="'cage ' || i / 4", responsible_id=str(user.pk),
        status="CASE WHEN i % 5 = 0 THEN 'alive' ELSE 'dead' END",
    )  # fmt: skip
    if "weighing" in apps.get_app_config("lab").models:
        _insert(
            cursor, "Weighing", WEIGHINGS, id=key("weighing", "i"), animal_id=key("animal", f"1 + i % {ANIMALS}"),
            time=f"{START} + i * interval '1 minute'", weight="250 + i / 11 % 100", person_id=str(user.pk),
        )  # fmt: skip


def _experiments(cursor: Any) -> None:
    _insert(cursor, "Rig", RIGS, id=key("rig", "i"), name="'box ' || i")
    _insert(cursor, "Task", TASKS, id=key("task", "i"), name="'task ' || i")
    # An animal's project is that of its sessions: both go by the same remainder.
    project = key("project", f"1 + i % {PROJECTS}")
    start = f"{START} + i / {RIGS} * interval '2 hours'"
    _insert(
        cursor, "Session", SESSIONS, id=key("session", "i"), project_id=project,
        rig_id=key("rig", f"1 + i % {RIGS}"), task_id=key("task", f"1 + i % {TASKS}"), start=start,
        end=f"{start} + interval '1 hour'", number="i % 40", narrative="'calm, day ' || i",
        quality="(ARRAY['', 'good', 'usable', 'bad'])[1 + i % 4]",
    )  # fmt: skip
    _insert(
        cursor, "SessionAnimal", SESSIONS, session_id=key("session", "i"),
        animal_id=key("animal", f"1 + (i - 1) % {ANIMALS}"),
        during=f"tstzrange({start}, {start} + interval '1 hour')",
    )  # fmt: skip
    of_session = key("project", f"1 + (1 + i % {SESSIONS}) % {PROJECTS}")
    kinds = "ARRAY['ephys', 'lfp', 'spikes', 'units', 'position', 'video', 'events', 'other']"
    session = key("session", f"1 + i % {SESSIONS}")
    created = f"{START} + i * interval '1 minute'"
    _insert(
        cursor, "Recording", RECORDINGS, id=key("recording", "i"), session_id=session,
        kind=f"({kinds})[1 + i / 97 % 8]", format="(ARRAY['npy', 'nwb', 'mat'])[1 + i / 31 % 3]",
        name="'probe ' || i / 11 % 4", rate="1250", created=created,
        quality="(ARRAY['', 'good', 'usable', 'bad'])[1 + i / 53 % 4]", in_project_id=of_session,
    )  # fmt: skip
    _insert(cursor, "DataRoot", 1, id=key("root", "i"), name="'default'", path="'/data'")
    _insert(
        cursor, "DataFile", RECORDINGS, id=key("file", "i"), recording_id=key("recording", "i"),
        root_id=key("root", "1"),
        path="'day' || i / 100 || '/' || i || '.npy'", size="i * 1000", modified=created, created=created,
        in_project_id=of_session,
        sha256="CASE WHEN i % 1000 = 0 THEN '' ELSE md5(i::text) || md5(i::text) END",
    )  # fmt: skip
    _insert(
        cursor, "Event", EVENTS, session_id=key("session", "1 + i / 100"), kind="(ARRAY['poke', 'odour'])[1 + i % 2]",
        time=f"{START} + i * interval '1 second'", source="'box'", number="i",
    )  # fmt: skip


def _machines(cursor: Any) -> None:
    project = key("project", f"1 + i % {PROJECTS}")
    created = f"{START} + i * interval '10 minutes'"
    _insert(
        cursor, "analysis.Job", JOBS, id=key("job", "i"), project_id=project, pipeline="'decode.position'",
        version="'1'", fingerprint=DIGEST, state="'succeeded'", attempt="1", created=created,
        started=created, finished=f"{created} + interval '1 minute'",
    )  # fmt: skip
    _insert(
        cursor, "analysis.JobInput", JOBS, job_id=key("job", "i"), recording_id=key("recording", "i"), order="0",
    )  # fmt: skip
    _insert(
        cursor, "analysis.Result", JOBS, id=key("result", "i"), job_id=key("job", "i"), attempt="1",
        folder="'r' || i", created=created,
    )  # fmt: skip
    _insert(
        cursor, "cameras.Camera", RIGS, id=key("camera", "i"), slug="'box-' || i", name="'top ' || i",
        rig_id=key("rig", "i"), token_digest=DIGEST,
    )  # fmt: skip
    _insert(
        cursor, "cameras.CameraRecording", CAMERA_RECORDINGS, id=key("camera-recording", "i"),
        camera_id=key("camera", f"1 + i % {RIGS}"), session_id=key("session", "i"),
        recording_id=key("recording", "i"), state="'finished'", folder="'v' || i", started=created, stopped=created,
        finished=created, frames="1000 + i",
    )  # fmt: skip
    _insert(
        cursor, "cameras.CameraAlert", ALERTS, id=key("alert", "i"), kind="'offline'",
        camera_id=key("camera", f"1 + i % {RIGS}"), message="'gone'", raised=created, resolved=created,
    )  # fmt: skip


def _words(cursor: Any) -> None:
    """Write what the triggers would have written, and index it afterwards: that is several times as fast."""
    for table, words in (("session", _SESSION_WORDS), ("recording", _RECORDING_WORDS)):
        cursor.execute(f"DROP INDEX {table}_words")
        cursor.execute(f"INSERT INTO lab_{table}words ({table}_id, words) {words}")
        cursor.execute(f"CREATE INDEX {table}_words ON lab_{table}words USING gin (words)")


_SESSION_WORDS = """
SELECT s.id, lab_words(concat_ws(' ', t.name, r.name, a.identifier, s.narrative))
FROM lab_session s JOIN lab_task t ON t.id = s.task_id JOIN lab_rig r ON r.id = s.rig_id
JOIN lab_sessionanimal p ON p.session_id = s.id JOIN lab_animal a ON a.id = p.animal_id
"""
_RECORDING_WORDS = """
SELECT r.id, w.words || lab_words(concat_ws(' ', r.name, r.kind, r.format, f.path))
FROM lab_recording r JOIN lab_datafile f ON f.recording_id = r.id
JOIN (
    SELECT s.id, lab_words(concat_ws(' ', t.name, a.identifier)) AS words
    FROM lab_session s JOIN lab_task t ON t.id = s.task_id
    JOIN lab_sessionanimal p ON p.session_id = s.id JOIN lab_animal a ON a.id = p.animal_id
) AS w ON w.id = r.session_id
"""


def _insert(cursor: Any, model: str, count: int, **expressions: str) -> None:
    """Insert rows ``i`` = 1 to count; a column without an expression has what a new row of its model has."""
    found = apps.get_model(model if "." in model else f"lab.{model}")
    columns = dict(expressions)
    values = []
    for field in found._meta.concrete_fields:
        if field.column in columns or isinstance(field, models.AutoField) or _filled_by_postgres(field):
            continue
        value = field.get_default() if field.has_default() else (None if field.null else "")
        if isinstance(field, JSONField):
            value = json.dumps(value)
        columns[field.column] = "%s"
        values.append(value)
    names = ", ".join(f'"{name}"' for name in columns)
    # The parts are names of columns and expressions written above.
    cursor.execute(
        f'INSERT INTO "{found._meta.db_table}" ({names}) SELECT {", ".join(_sql(found, columns))}'  # noqa: S608
        f" FROM generate_series(1, {count}) AS i",
        values,
    )


def _filled_by_postgres(field: Any) -> bool:
    return field.has_db_default()


def _sql(model: type[models.Model], columns: dict[str, str]) -> list[str]:
    """Return the expressions with the type of their column where it is a value."""
    types = {field.column: field.db_type(connection) for field in model._meta.concrete_fields}
    return [
        f"%s::{types[name]}" if expression == "%s" else expression.replace("%", "%%")
        for name, expression in columns.items()
    ]
