"""What all tables of the catalog are made of: the audit trail, ranges for exclusions, names, marks."""

from __future__ import annotations

import uuid
from typing import ClassVar, TypeVar

import pghistory
from django.contrib.postgres.fields import DateTimeRangeField
from django.db import models
from django.db.models import F, Func, Value

M = TypeVar("M", bound=type[models.Model])


def audited(model: M) -> M:
    """Keep every version of a model's rows in a table that triggers fill: bulk writes and raw SQL are in it too.

    ``in_project``, which the database itself copies from the session, is no change that anybody made; nor are the
    fields that a model names as ``UNAUDITED``, such as how often it was looked at.
    """
    left_out = {"in_project", *getattr(model, "UNAUDITED", ())}
    copied = [field.name for field in model._meta.local_fields if field.name in left_out]
    trackers = [pghistory.UpdateEvent(), pghistory.DeleteEvent()]
    # Boxes report events by the hundred thousand, and none is ever rewritten: their rows are their own first version.
    if model.__name__ != "Event":
        trackers.insert(0, pghistory.InsertEvent())
    return pghistory.track(
        *trackers,
        exclude=copied,
        model_name=f"{model.__name__}History",
        obj_field=pghistory.ObjForeignKey(related_name="history", related_query_name="history"),
    )(model)


def newest_first(*fields: str) -> list[models.Index]:
    """Return an index for each field that a long list is ordered by; Postgres reads it forwards and backwards."""
    return [models.Index(fields=[f"-{field}", "id"]) for field in fields]


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


class Quality(models.TextChoices):
    """A mark given by a person."""

    UNSET = "", "not judged"
    GOOD = "good", "good"
    USABLE = "usable", "usable with care"
    BAD = "bad", "bad"
