"""A session as an NWB file: what the catalog knows of it is gathered, and a job writes the file."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from analysis.jobs.inputs import input_files
from analysis.pipelines.export_nwb import MOST_OF_A_KIND
from analysis.services import Submission, submit
from sessions.errors import Invalid
from sessions.models import Animal, Implant, Recording, Session
from sessions.permissions import require
from sessions.selectors import trials_of

PIPELINE = "export.nwb"
KINDS = ("units", "spikes", "position", "lfp")
# What everybody means by the name of these two; any other species needs its Latin name in the catalog.
LATIN = {"rat": "Rattus norvegicus", "mouse": "Mus musculus"}
LONGEST_DESCRIPTION = 2000


def queue_export(*, user: Any, session: Session) -> Submission:
    """Queue the export of a session's units, positions and LFP; asked again with nothing changed, it is the same job.

    Raises ``Invalid`` when there is nothing to export, when a session has several animals (NWB knows one), or when the
    catalog does not tell the Latin name of a species; ``Forbidden`` to who may not change the session.
    """
    require(user, "change", session)
    recordings = _recordings(session)
    return submit(
        user=user,
        pipeline=PIPELINE,
        recordings=[recording.pk for recording in recordings],
        parameters=_parameters(session, recordings),
    )


def _recordings(session: Session) -> list[Recording]:
    # What was made again to see whether it agrees is there already.
    again = Q(made_by__job__reproduces__isnull=False)
    rows = session.recordings.filter(kind__in=KINDS).exclude(again).order_by("kind", "created", "pk")
    found = [row for row in rows.prefetch_related("files__root", "derived_from") if input_files(row)]
    if not found:
        sentence = "This session has no units, position or LFP to export."
        raise Invalid(sentence, {"session": [sentence]})
    if len(found) > MOST_OF_A_KIND:
        sentence = f"This session has {len(found)} recordings of units, position and LFP; queue {PIPELINE} on some."
        raise Invalid(sentence, {"session": [sentence]})
    return found


def _parameters(session: Session, recordings: list[Recording]) -> dict[str, Any]:
    animal = _animal(session)
    implants = _implants(animal, session) if animal is not None else Implant.objects.none()
    said = session.narrative.strip() or session.title or (f"{session.task}" if session.task else "A session")
    return {
        "session_start": session.start.astimezone(timezone.get_current_timezone()).isoformat(),
        "identifier": str(session.pk),
        "description": said[:LONGEST_DESCRIPTION],
        "session": session.title or f"{session.start:%Y%m%dT%H%M%S}",
        "experiment": session.project.description or session.project.name,
        "experimenters": [_last_first(person) for person in session.people.order_by("username")],
        "keywords": [word for word in (str(session.task or ""), *_regions(implants)) if word],
        "protocol": session.task.protocol if session.task else "",
        "notes": "Simulated; no animal was recorded." if session.simulated else "",
        "animal": None if animal is None else _subject(animal, session),
        "probes": [_probe(row, implants) for row in recordings if row.kind == "lfp"],
        "trials": [
            {
                "start": (trial.start - session.start).total_seconds(),
                "stop": (trial.stop - session.start).total_seconds(),
                "outcome": trial.outcome or "",
                "measures": trial.measures,
            }
            for trial in trials_of(session)
            if trial.stop is not None
        ],
    }


def _animal(session: Session) -> Animal | None:
    animals = list(session.animals.select_related("species", "strain"))
    if len(animals) > 1:
        names = ", ".join(animal.identifier for animal in animals)
        sentence = f"An NWB file is of one animal; this session has {names}."
        raise Invalid(sentence, {"session": [sentence]})
    return animals[0] if animals else None


def _subject(animal: Animal, session: Session) -> dict[str, str]:
    species = animal.species
    latin = species.latin_name or LATIN.get(species.name.lower(), "")
    if len(latin.split()) < 2:  # noqa: PLR2004 - genus and species
        sentence = f"NWB names a species in Latin, and the catalog does not tell that of {species}; write it there."
        raise Invalid(sentence, {"species": [sentence]})
    days = (timezone.localdate(session.start) - animal.birth_date).days if animal.birth_date else -1
    return {
        "identifier": animal.identifier,
        "species": latin,
        "sex": animal.sex,
        "age": f"P{days}D" if days >= 0 else "",
        "strain": str(animal.strain or ""),
        "genotype": animal.genotype,
        "description": animal.notes[:LONGEST_DESCRIPTION],
    }


def _implants(animal: Animal, session: Session) -> QuerySet[Implant]:
    """Return what was in the animal on the day of the session."""
    day = timezone.localdate(session.start)
    kept = Implant.objects.filter(animal=animal, deleted=None, implanted__lte=day)
    return kept.filter(Q(removed__isnull=True) | Q(removed__gte=day)).order_by("implanted", "pk")


def _regions(implants: QuerySet[Implant]) -> list[str]:
    return list(dict.fromkeys(implant.region for implant in implants if implant.region))


def _probe(recording: Recording, implants: QuerySet[Implant]) -> dict[str, Any]:
    """Say what an LFP was recorded with: the implant of its name, or the only one; contacts as its source tells."""
    named = [implant for implant in implants if recording.name and recording.name.lower() in implant.device.lower()]
    chosen = named[0] if named else (implants[0] if len(implants) == 1 else None)
    positions = next(
        (row.parameters["positions"] for row in (recording, *recording.derived_from.all())
         if row.parameters.get("positions") is not None and row.channels == recording.channels),
        None,
    )  # fmt: skip
    return {
        "recording": str(recording.pk),
        "name": chosen.device if chosen else recording.name or "probe",
        "description": str(chosen.notes or chosen.device) if chosen else recording.name,
        "location": chosen.region if chosen else "",
        "positions": positions,
    }


def _last_first(person: Any) -> str:
    return f"{person.last_name}, {person.first_name}" if person.last_name and person.first_name else person.username
