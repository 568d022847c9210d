"""One write of the catalog: a transaction whose refusal by the database becomes a sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError, models, transaction
from psycopg import errors as refusals

from sessions.errors import Conflict, Invalid, LabError, from_validation

# The field that a person has to change, where the constraint's own columns do not say so.
FIELD_OF_CONSTRAINT = {
    "session_one_at_a_time_per_rig": "rig",
    "animal_in_one_session_at_a_time": "animals",
    "session_end_not_before_start": "end",
    "animal_death_not_before_birth": "death_date",
    "animal_with_death_date_is_dead": "status",
    "data_file_revision_once": "files",
    "data_file_path_below_root": "files",
    "file_copy_place_once": "path",
    "file_copy_path_below_root": "path",
    "recording_rate_positive": "rate",
    "recording_duration_not_negative": "duration",
    "event_number_once": "number",
    "session_animal_once": "animals",
    "weighing_weight_positive": "weight",
    "restriction_end_not_before_start": "end",
    "restriction_reference_positive": "reference_weight",
    "restriction_percentages_in_order": "alarm_percentage",
    "restriction_one_of_a_kind_at_a_time": "kind",
    "administration_amount_positive": "amount",
    "administration_drug_named": "substance",
    "procedure_end_not_before_start": "end",
    "implant_device_not_empty": "device",
    "implant_removed_not_before_implanted": "removed",
    "note_not_empty": "text",
    "note_on_one_thing": "animal",
    "breeding_pair_of_two": "male",
    "breeding_pair_end_not_before_start": "end",
    "litter_weaned_not_before_born": "weaned",
    "litter_size_possible": "size",
    "share_link_expires_later": "expires",
}


@contextmanager
def one_write() -> Iterator[None]:
    """Run a block in one transaction; what the database refuses is raised as ``Conflict`` or ``Invalid``."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        raise refusal(error) from error
    except DataError as error:
        raise Invalid(f"A value does not fit: {str(error).splitlines()[0]}.") from error
    except ValidationError as error:
        raise from_validation(error) from error


def refusal(error: IntegrityError) -> LabError:
    """Return the domain error for what the database refused: its constraint's sentence and the field it is about."""
    diagnosis = getattr(error.__cause__, "diag", None)
    name = getattr(diagnosis, "constraint_name", None) or ""
    sentence, field = _sentence(name, diagnosis)
    kind = Invalid if isinstance(error.__cause__, refusals.CheckViolation | refusals.NotNullViolation) else Conflict
    return kind(sentence, {field: [sentence]})


def _sentence(name: str, diagnosis: Any) -> tuple[str, str]:
    for model in apps.get_models():
        for constraint in model._meta.constraints:
            if constraint.name == name:
                return _of_constraint(constraint, model)
    columns, values = _key(getattr(diagnosis, "message_detail", "") or "")
    table = getattr(diagnosis, "table_name", "") or ""
    owner = next((m for m in apps.get_models() if m._meta.db_table == table), None)
    noun = str(owner._meta.verbose_name) if owner else "row"
    if "still referenced" in (getattr(diagnosis, "message_detail", "") or ""):
        return f"This {noun} is still used and cannot be deleted.", "non_field"
    if columns:
        field = columns.split(",")[0].strip()
        article = "an" if noun[0] in "aeiou" else "a"
        return f"There is already {article} {noun} with the {field} {values}.", field
    column = getattr(diagnosis, "column_name", None) or "non_field"
    return f"This contradicts what is there ({name or column}).", column


def _of_constraint(constraint: models.BaseConstraint, model: type[models.Model]) -> tuple[str, str]:
    fields = getattr(constraint, "fields", ())
    field = FIELD_OF_CONSTRAINT.get(constraint.name, fields[-1] if fields else "non_field")
    default = models.BaseConstraint.default_violation_error_message
    if constraint.violation_error_message != default:
        return str(constraint.violation_error_message), field
    return f"This {model._meta.verbose_name} contradicts the rule {constraint.name.replace('_', ' ')}.", field


def _key(detail: str) -> tuple[str, str]:
    found = re.match(r"Key \((?P<columns>[^)]*)\)=\((?P<values>.*)\) already exists", detail)
    return (found["columns"], found["values"]) if found else ("", "")


def checked(instance: models.Model) -> models.Model:
    """Check the fields of a row (choices, lengths, types) before it is written; ``Invalid`` names them."""
    relations = [f.name for f in instance._meta.fields if f.is_relation]
    try:
        instance.clean_fields(exclude=relations)
    except ValidationError as error:
        raise from_validation(error) from error
    return instance


def checked_json(field: str, value: Any) -> Any:
    """Return a value that Postgres can keep as JSON; ``Invalid`` for NaN, infinity, NUL, lone surrogates, objects."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        sentence = f"{field} cannot be kept as JSON: {error}."
        raise Invalid(sentence, {field: [sentence]}) from error
    if "\\u0000" in text:
        sentence = f"{field} holds a NUL character."
        raise Invalid(sentence, {field: [sentence]})
    return value


def checked_mapping(field: str, value: Any) -> dict[str, Any]:
    """Return a JSON object; ``Invalid`` for anything else."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        sentence = f'{field} is an object such as {{"rate": 30000}}.'
        raise Invalid(sentence, {field: [sentence]})
    return dict(checked_json(field, dict(value)))


def only_known(changes: Mapping[str, Any], known: set[str], what: str) -> None:
    """Refuse changes of fields that may not be changed."""
    unknown = sorted(set(changes) - known)
    if unknown:
        sentence = f"{', '.join(unknown)} of {what} cannot be changed."
        raise Invalid(sentence, {field: ["This cannot be changed."] for field in unknown})
