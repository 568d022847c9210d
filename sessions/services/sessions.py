"""Sessions: started on a rig with animals and a task, annotated, ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from sessions.errors import Conflict, Invalid
from sessions.live import session_ended, session_moved, tell
from sessions.models import Animal, Project, Rig, Session, SessionAnimal, Task
from sessions.permissions import LABORATORY, require
from sessions.services.notes import add_note
from sessions.services.transaction import checked, one_write, only_known

CHANGEABLE = {
    "rig", "task", "animals", "people", "start", "end", "number", "title", "narrative", "quality",
}  # fmt: skip
# A session that starts further ahead than this is a slip of the pen.
FURTHEST_START = timedelta(days=366)


def start_session(
    *,
    by: Any,
    project: Project | None = None,
    rig: Rig | None = None,
    task: Task | None = None,
    animals: Sequence[Animal] = (),
    people: Sequence[Any] | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    number: int | None = None,
    title: str = "",
    narrative: str = "",
    quality: str = "",
    simulated: bool = False,
) -> Session:
    """Start a session now, or register one that was (``start``, ``end``).

    Without a project it is that of its animals; without a number it counts on from the animal's sessions of this task.
    ``Conflict`` when the rig or an animal is in another session at that time.
    """
    project = project or _project_of(animals)
    require(by, "change", project)
    _require_parts(by, rig, animals)
    start = _aware("start", start) or timezone.now()
    if start > timezone.now() + FURTHEST_START:
        raise Invalid("The session starts more than a year ahead.", {"start": ["This is more than a year ahead."]})
    session = Session(
        project=project, rig=rig, task=task, start=start, end=_aware("end", end), number=number, title=title.strip(),
        narrative=narrative, quality=quality, simulated=simulated or bool(rig and rig.simulated),
    )  # fmt: skip
    _living(animals, start)
    if people is None:
        people = [by] if by is not LABORATORY else []
    with one_write():
        if session.number is None and task is not None and animals:
            session.number = 1 + Session.objects.filter(task=task, animals=animals[0], start__lt=start).count()
        checked(session).save(force_insert=True)
        _put(session, animals)
        session.people.set(people)
    return session


def end_session(*, by: Any, session: Session, end: datetime | None = None) -> Session:
    """End a running session; whoever records it stops. ``Conflict`` when it has already ended."""
    end = _aware("end", end)
    with one_write():
        session = Session.objects.select_for_update(of=("self",)).select_related("project").get(pk=session.pk)
        require(by, "change", session)
        if session.end is not None:
            local = timezone.localtime(session.end)
            raise Conflict(f"This session ended already, at {local:%Y-%m-%d %H:%M:%S}.")
        session.end = end or max(timezone.now(), session.start)
        checked(session).save(update_fields=["end"])
        ended = session
        transaction.on_commit(lambda: session_ended.send_robust(Session, session=ended))
        tell(session.pk, {"type": "session", "state": "ended", "end": session.end.isoformat()})
    return session


def update_session(*, by: Any, session: Session, **changes: Any) -> Session:
    """Change fields of a session; ``animals`` and ``people`` replace who was in it."""
    only_known(changes, CHANGEABLE, "a session")
    animals, people = changes.pop("animals", None), changes.pop("people", None)
    with one_write():
        session = Session.objects.select_for_update(of=("self",)).select_related("project").get(pk=session.pk)
        require(by, "change", session)
        _require_parts(by, changes.get("rig"), animals or ())
        ends_now = session.end is None and changes.get("end") is not None
        for field, value in changes.items():
            setattr(session, field, _aware(field, value) if field in {"start", "end"} else value)
        if changes.get("start", session) is None:
            raise Invalid("A session has a start.", {"start": ["A session has a start."]})
        checked(session).save(update_fields=list(changes) or None)
        if animals is not None:
            _living(animals, session.start)
            SessionAnimal.objects.filter(session=session).exclude(animal__in=animals).delete()
            present = set(SessionAnimal.objects.filter(session=session).values_list("animal_id", flat=True))
            _put(session, [animal for animal in animals if animal.pk not in present])
        if people is not None:
            session.people.set(people)
        if ends_now:
            ended = session
            transaction.on_commit(lambda: session_ended.send_robust(Session, session=ended))
        tell(session.pk, {"type": "session", "state": "changed", "fields": sorted(changes)})
    return session


def move_session(*, by: Any, session: Session, from_animal: Animal, to_animal: Animal, reason: str = "") -> Session:
    """Say that a session was another animal's; a note on the session tells of it, and the history keeps both.

    A session that was this animal's alone goes to the other's project with it, and so do its analyses. ``Invalid`` when
    the first animal is not in it; ``Conflict`` when the other is in another session at that time. Moving it back undoes
    it.
    """
    with one_write():
        session = Session.objects.select_for_update(of=("self",)).select_related("project").get(pk=session.pk)
        require(by, "change", session)
        for animal in (from_animal, to_animal):
            require(by, "change", animal)
        part = SessionAnimal.objects.select_for_update().filter(session=session, animal=from_animal).first()
        if part is None:
            sentence = f"{from_animal} is not in this session."
            raise Invalid(sentence, {"from_animal": [sentence]})
        _living([to_animal], session.start)
        alone = not SessionAnimal.objects.filter(session=session).exclude(pk=part.pk).exists()
        if session.project_id != to_animal.project_id and not alone:
            sentence = f"{to_animal} is of the project {to_animal.project}, the session's other animals are not."
            raise Invalid(sentence, {"to_animal": [sentence]})
        if session.project_id != to_animal.project_id:
            session.project = to_animal.project
            session.save(update_fields=["project"])
            session_moved.send(Session, session=session)
        part.animal = to_animal
        part.save(update_fields=["animal"])
        add_note(by=by, session=session, text=f"Moved from {from_animal} to {to_animal}. {reason}".strip())
        tell(session.pk, {"type": "session", "state": "changed", "fields": ["animals"]})
    return session


def _project_of(animals: Sequence[Animal]) -> Project:
    projects = {animal.project_id: animal.project for animal in animals}
    if len(projects) != 1:
        sentence = "Say of which project the session is: " + (
            "its animals are of several." if projects else "there is no animal to tell it from."
        )
        raise Invalid(sentence, {"project": [sentence]})
    return next(iter(projects.values()))


def _require_parts(by: Any, rig: Rig | None, animals: Sequence[Animal]) -> None:
    """Who puts an animal or a rig into a session changes its history too."""
    if rig is not None:
        require(by, "change", rig)
    for animal in animals:
        require(by, "change", animal)


def _living(animals: Sequence[Animal], start: datetime) -> None:
    day = timezone.localtime(start).date()
    for animal in animals:
        if animal.death_date is not None and animal.death_date < day:
            sentence = f"{animal} died on {animal.death_date:%Y-%m-%d}, before this session."
            raise Invalid(sentence, {"animals": [sentence]})
        if animal.birth_date is not None and animal.birth_date > day:
            sentence = f"{animal} was born on {animal.birth_date:%Y-%m-%d}, after this session."
            raise Invalid(sentence, {"animals": [sentence]})


def _put(session: Session, animals: Sequence[Animal]) -> None:
    for animal in animals:
        SessionAnimal.objects.create(session=session, animal=animal)


def _aware(field: str, time: datetime | None) -> datetime | None:
    if time is not None and timezone.is_naive(time):
        sentence = f"{field} needs a time zone, such as 2026-03-02T12:00:00+01:00."
        raise Invalid(sentence, {field: [sentence]})
    return time
