"""Fields of REST bodies that are stricter than the framework's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from operator import attrgetter
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.utils.functional import cached_property
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.fields import SkipField

from sessions.errors import Invalid
from sessions.permissions import visible
from sessions.services.transaction import checked_json


class StrictParameters:
    """Mixin of serializers of what stands in an address: a parameter that does not exist is refused, not ignored."""

    def to_internal_value(self, data: Any) -> Any:
        """Refuse unknown names before anything else is looked at."""
        known = self.fields  # type: ignore[attr-defined]
        if unknown := sorted(set(data) - set(known)):
            raise Invalid(
                f"There is no parameter {', '.join(unknown)}; there is {', '.join(known)}.",
                {name: ["There is no such parameter."] for name in unknown},
            )
        return super().to_internal_value(data)  # type: ignore[misc]


class StrictFields:
    """Mixin of serializers: a field that does not exist or cannot be set is refused, not ignored."""

    def to_internal_value(self, data: Any) -> Any:
        """Refuse unknown and read-only names before anything else is looked at."""
        if isinstance(data, dict):
            fields = self.fields  # type: ignore[attr-defined]
            problems = {
                str(name): ["There is no such field." if name not in fields else "This cannot be set."]
                for name in data
                if name not in fields or fields[name].read_only
            }
            if type(data) is dict:
                # From JSON, which has types; a form has texts alone.
                problems |= {
                    name: [wrong]
                    for name, value in data.items()
                    if name not in problems and (wrong := _of_wrong_type(fields[name], value))
                }
            if problems:
                raise serializers.ValidationError(problems)
        return super().to_internal_value(data)  # type: ignore[misc]


# The framework takes true for 1, "5" for 5 and 5 for "5"; who sends one of them has mixed up his columns.
JSON_TYPES: tuple[tuple[type[serializers.Field], tuple[type, ...], str], ...] = (
    (serializers.CharField, (str,), "This is a text."),
    (serializers.BooleanField, (bool,), "This is true or false."),
    (serializers.IntegerField, (int, float), "This is a whole number."),
    (serializers.FloatField, (int, float), "This is a number."),
    (serializers.DateTimeField, (str,), "This is a text with a time, such as 2026-03-02T11:00:00Z."),
    (serializers.DateField, (str,), "This is a text with a date, such as 2026-03-02."),
    (serializers.UUIDField, (str,), "This is a text with an id."),
    (serializers.ChoiceField, (str,), "This is a text."),
)


def _of_wrong_type(field: serializers.Field, value: Any) -> str:
    """Return what a value of JSON should have been, or an empty string."""
    if value is None:
        return ""
    if isinstance(field, serializers.ListField) and isinstance(value, list):
        return next((wrong for item in value if (wrong := _of_wrong_type(field.child, item))), "")
    for field_class, types, wanted in JSON_TYPES:
        if isinstance(field, field_class):
            right = isinstance(value, types) and (bool in types or not isinstance(value, bool))
            return "" if right else wanted
    return ""


class ShortReads:
    """Mixin of serializers: rows are shown without the framework's detours, of which a page of 250 has thousands.

    What a field shows stays its own matter; only how its value is come by is found out once, not for every row.
    """

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """Return a row by the names of its fields."""
        shown = {}
        for name, read, show in self._ways:
            try:
                value = read(instance)
            except SkipField:
                continue
            shown[name] = None if value is None else show(value)
        return shown

    @cached_property
    def _ways(self) -> list[tuple[str, Callable[[Any], Any], Callable[[Any], Any]]]:
        """Return for each field its name, what reads its value from a row, and what shows that."""
        ways = []
        for field in self._readable_fields:  # type: ignore[attr-defined]
            read, show = field.get_attribute, field.to_representation
            by_name = len(field.source_attrs) == 1 and field.default is serializers.empty
            if by_name and type(field) in BY_KEY:
                # The key is in the row itself; the row that it is of is not needed.
                read = attrgetter(self.Meta.model._meta.get_field(field.source).attname)  # type: ignore[attr-defined]
                show = BY_KEY[type(field)]
            elif by_name and type(field).get_attribute is serializers.Field.get_attribute:
                read = attrgetter(field.source)
                show = PLAIN.get(type(field), show)
            elif isinstance(field, serializers.ListSerializer) and by_name:
                read = attrgetter(f"{field.source}.all")
                show = partial(_all, field.child.to_representation)
            ways.append((field.field_name, read, show))
        return ways


def _all(show: Callable[[Any], Any], rows: Callable[[], Iterable[Any]]) -> list[Any]:
    return [show(row) for row in rows()]


class AwareDateTimeField(serializers.DateTimeField):
    """A time with its zone; without one nobody knows when it was."""

    default_error_messages = {
        "naive": "A time needs its zone, such as 2026-03-02T12:00:00+01:00 or 2026-03-02T11:00:00Z.",
        "invalid": "This is not a time; write it as 2026-03-02T12:00:00+01:00.",
        "out_of_range": "This time is outside the calendar.",
    }

    def enforce_timezone(self, value: datetime) -> datetime:
        """Refuse what has no zone instead of guessing one."""
        if value.tzinfo is None:
            self.fail("naive")
        try:
            return super().enforce_timezone(value)
        except (OverflowError, ValueError):
            return self.fail("out_of_range")


class FiniteFloatField(serializers.FloatField):
    """A number; neither NaN nor infinity, not even written as text."""

    default_error_messages = {"not_finite": "This is not a finite number."}

    def to_internal_value(self, data: Any) -> float:
        """Return a finite float."""
        if isinstance(data, bool):
            self.fail("invalid")
        try:
            value = super().to_internal_value(data)
        except OverflowError:
            self.fail("not_finite")
        if not math.isfinite(value):
            self.fail("not_finite")
        return value


@extend_schema_field(OpenApiTypes.OBJECT)
class ObjectField(serializers.JSONField):
    """A JSON object that Postgres can keep."""

    default_error_messages = {"not_object": 'This is an object, such as {{"rate": 30000}}.'}

    def to_internal_value(self, data: Any) -> Any:
        """Return the object; refuse lists, numbers and what JSON cannot hold."""
        if not isinstance(data, dict):
            self.fail("not_object")
        return _json(data)


@extend_schema_field(OpenApiTypes.ANY)
class AnyJsonField(serializers.JSONField):
    """Any JSON value that Postgres can keep."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the value; refuse what JSON cannot hold."""
        return _json(data)


def _json(data: Any) -> Any:
    try:
        return checked_json("This", data)
    except Invalid as error:
        raise serializers.ValidationError(error.detail) from error


@extend_schema_field(OpenApiTypes.STR)
class ByIdOrName(serializers.RelatedField):
    """A thing of the catalog, given by its id or by the name that people use; shown as its id.

    What the user may not see is refused in the same words as what is not there.
    """

    default_error_messages = {
        "unknown": "There is no {what} {value!r}.",
        "wrong_type": "Give the id or name of a {what} as text.",
    }

    def __init__(self, *, name: str | None = None, project: str | None = None, **kwargs: Any) -> None:
        self.name_field = name
        self.project_path = project
        super().__init__(**kwargs)

    def use_pk_only_optimization(self) -> bool:
        """Show the id without reading the row."""
        return True

    def get_queryset(self) -> QuerySet[Any]:
        """Narrow to what the user may see."""
        queryset = super().get_queryset()
        if self.project_path is not None:
            queryset = visible(self.context["request"].user, queryset, self.project_path)
        return queryset

    def to_representation(self, value: Any) -> str:
        """Return the id."""
        return str(value.pk)

    def to_internal_value(self, data: Any) -> Any:
        """Return the row of an id or name."""
        queryset = self.get_queryset()
        what = queryset.model._meta.verbose_name
        if not isinstance(data, str):
            self.fail("wrong_type", what=what)
        found = None
        try:
            found = queryset.filter(pk=UUID(data)).first()
        except ValueError:
            if self.name_field is not None and "\0" not in data and data.isprintable():
                found = queryset.filter(**{self.name_field: data}).first()
        if found is None:
            self.fail("unknown", what=what, value=data[:100])
        return found


# How fields that name another row show its key, and what those do that show text.
BY_KEY: dict[type, Callable[[Any], Any]] = {ByIdOrName: str, serializers.PrimaryKeyRelatedField: lambda key: key}
PLAIN: dict[type, Callable[[Any], Any]] = {serializers.UUIDField: str, serializers.CharField: str}
