"""The database itself refuses what cannot be, whoever writes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from sessions.models import Animal, Project, Rig, Session, SessionAnimal, Species

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def project():
    return Project.objects.create(name="Memory")


@pytest.fixture
def rat(project):
    return Animal.objects.create(identifier="R214", project=project, species=Species.objects.create(name="rat"))


@pytest.fixture
def box(project):
    return Rig.objects.create(name="box 1")


def test_two_sessions_of_one_rig_do_not_overlap(project, box):
    Session.objects.create(project=project, rig=box, start=NOON, end=NOON + HOUR)
    Session.objects.create(project=project, rig=box, start=NOON + HOUR, end=NOON + 2 * HOUR)
    with pytest.raises(IntegrityError, match="session_one_at_a_time_per_rig"), transaction.atomic():
        Session.objects.create(project=project, rig=box, start=NOON + HOUR / 2, end=NOON + 3 * HOUR)


def test_a_running_session_keeps_its_rig(project, box):
    Session.objects.create(project=project, rig=box, start=NOON)
    with pytest.raises(IntegrityError, match="session_one_at_a_time_per_rig"), transaction.atomic():
        Session.objects.create(project=project, rig=box, start=NOON + 100 * HOUR)


def test_an_animal_is_in_one_session_at_a_time(project, rat):
    first = Session.objects.create(project=project, start=NOON, end=NOON + HOUR)
    second = Session.objects.create(project=project, start=NOON + 2 * HOUR, end=NOON + 3 * HOUR)
    SessionAnimal.objects.create(session=first, animal=rat)
    SessionAnimal.objects.create(session=second, animal=rat)
    # Raw SQL that moves a session into the other is refused too: a trigger carries the period to the animals.
    with (
        pytest.raises(IntegrityError, match="animal_in_one_session_at_a_time"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("UPDATE lab_session SET start = %s WHERE id = %s", [NOON + HOUR / 2, second.pk])


def test_death_is_not_before_birth(project, rat):
    with pytest.raises(IntegrityError, match="animal_death_not_before_birth"), transaction.atomic():
        Animal.objects.filter(pk=rat.pk).update(birth_date=date(2026, 1, 2), death_date=date(2026, 1, 1), status="dead")


def test_raw_sql_is_in_the_audit_trail(rat):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE lab_animal SET cage = '14' WHERE id = %s", [rat.pk])
    assert list(rat.history.order_by("pgh_id").values_list("pgh_label", "cage")) == [("insert", ""), ("update", "14")]
