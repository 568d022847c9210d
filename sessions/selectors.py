"""What is read of the catalog: rows that a user may see, with what a list or a page shows of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib.postgres.search import SearchQuery
from django.db.models import (
    BooleanField,
    Count,
    ExpressionWrapper,
    IntegerField,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
)
from django.db.models.functions import Coalesce, JSONObject, Now
from django.utils import timezone

from sessions.errors import NotFound
from sessions.models import (
    LOST_COPIES,
    Animal,
    BreedingPair,
    Cage,
    DataFile,
    Entry,
    Event,
    FileCheck,
    FileCopy,
    FileState,
    Housing,
    Implant,
    Litter,
    Note,
    Procedure,
    Project,
    Recording,
    Restriction,
    Rig,
    Session,
    SessionAnimal,
    SheetImport,
    Upload,
    Weighing,
)
from sessions.permissions import RANK, projects_for, rank_in, visible
from sessions.trials import Reported, Rule, Trial, rule_of, trials

# Found by words or by a part of a name, more than so many are not counted (``among_many``).
MOST_COUNTED = 10_000
# So many that were found by words are put in order; where there are more, they are looked for in the order of the list.
MOST_SORTED = 12_000
# So many animals does a form offer; more are looked through by typing.
MOST_CHOICES = 30


def projects(user: Any) -> QuerySet[Project]:
    """Return the projects that the user belongs to."""
    return projects_for(user).order_by("name")


def animals(user: Any) -> QuerySet[Animal]:
    """Return animals with their project, species, strain and responsible person."""
    return visible(user, Animal.objects.select_related("project", "species", "strain", "responsible"))


def with_session_counts(queryset: QuerySet[Animal]) -> QuerySet[Animal]:
    """Add ``session_count`` and ``last_session`` (start of the newest) to animals."""
    newest = Session.objects.filter(session_animals__animal=OuterRef("pk")).order_by("-start").values("start")[:1]
    counted = (
        Session.objects.filter(session_animals__animal=OuterRef("pk"))
        .order_by()
        .values("session_animals__animal")
        .annotate(n=Count("pk"))
        .values("n")
    )
    return queryset.annotate(
        session_count=Coalesce(Subquery(counted, output_field=IntegerField()), 0), last_session=Subquery(newest)
    )


class AnimalsToChoose(NamedTuple):
    """Animals that a form offers, and a sentence that says which those are."""

    rows: list[Animal]
    told: str


def animals_to_choose(rows: QuerySet[Animal], text: str, chosen: Iterable[str]) -> AnimalsToChoose:
    """Return which of many animals a form offers: those chosen already, and those whose identifier holds a text.

    Without a text it offers all where they are few (30), else those of the latest sessions.
    """
    ids = [UUID(key) for key in list(chosen)[:MOST_CHOICES] if _is_uuid(key)]
    kept = list(rows.filter(pk__in=ids).order_by("identifier"))
    others = rows.exclude(pk__in=ids).order_by("identifier")
    text = text.replace("\0", "").strip()[:64]
    if text:
        others = others.filter(identifier__icontains=text)
    found = list(others[: MOST_CHOICES + 1])
    if len(found) <= MOST_CHOICES:
        told = f"Those alive whose identifier holds {text}." if text else "Those alive, by identifier."
        return AnimalsToChoose(kept + found, told if kept + found else f"None that is alive has {text} in its name.")
    if text:
        return AnimalsToChoose(kept + found[:MOST_CHOICES], f"More hold {text}; go on typing to find one of them.")
    newest = Session.objects.filter(project__in=rows.values("project")).order_by("-start", "id")
    lately = SessionAnimal.objects.filter(session__in=list(newest.values_list("pk", flat=True)[:MOST_CHOICES]))
    latest = list(others.filter(pk__in=lately.values("animal"))[:MOST_CHOICES])
    which = "Those of the latest sessions" if latest else "The first by identifier"
    told = f"{which}; find others by a part of their identifier."
    return AnimalsToChoose(kept + (latest or found[:MOST_CHOICES]), told)


def _is_uuid(text: Any) -> bool:
    try:
        UUID(str(text))
    except ValueError:
        return False
    return True


def rigs(user: Any) -> QuerySet[Rig]:
    """Return rigs of the user's projects and of the whole laboratory."""
    return visible(user, Rig.objects.select_related("project")).order_by("name")


def sessions(user: Any) -> QuerySet[Session]:
    """Return sessions with project, rig, task, animals and people; two more queries however many there are."""
    return visible(user, Session.objects.select_related("project", "rig", "task")).prefetch_related(
        Prefetch("animals", Animal.objects.order_by("identifier")), "people"
    )


def recordings(user: Any) -> QuerySet[Recording]:
    """Return recordings with files in their order, and what they were derived from."""
    return visible(user, Recording.objects.all(), "in_project").prefetch_related(
        Prefetch(
            "files",
            _with_copies(DataFile.objects.select_related("root", "check_of")).order_by("order", "path", "-revision"),
        ),
        Prefetch("derived_from", Recording.objects.only("pk")),
    )


def recording_rows(user: Any) -> QuerySet[Recording]:
    """Return recordings as a table shows them: session, animals, ``file_count``, ``size`` (bytes), ``unhashed``."""
    files = DataFile.objects.filter(recording=OuterRef("pk")).order_by().values("recording")

    def of_files(expression: Any) -> Subquery:
        return Subquery(files.annotate(value=expression).values("value"))

    return (
        visible(user, Recording.objects.select_related("session", "session__rig", "session__task"), "in_project")
        .prefetch_related(Prefetch("session__animals", Animal.objects.order_by("identifier").only("identifier")))
        .annotate(
            file_count=Coalesce(of_files(Count("pk")), 0),
            size=Coalesce(of_files(Sum("size")), 0),
            unhashed=Coalesce(of_files(Count("pk", filter=Q(sha256=""))), 0),
        )
    )


def with_wrong_files(rows: QuerySet[Recording]) -> QuerySet[Recording]:
    """Narrow recordings to those with a file, or a copy of one, that is missing, changed or damaged."""
    wrong = FileCheck.objects.exclude(state=FileState.PRESENT).values("file__recording_id")
    copies = FileCopy.objects.filter(state__in=LOST_COPIES).values("file__recording_id")
    return rows.filter(pk__in=wrong.union(copies))


def count_wrong_files(user: Any) -> int:
    """Return how many recordings of the user's projects have a file that is missing, changed or damaged."""
    return with_wrong_files(visible(user, Recording.objects.all(), "in_project")).count()


def is_wrong(file: DataFile) -> bool:
    """Return whether the last look at a file found it missing, changed or damaged."""
    return hasattr(file, "check_of") and file.check_of.state != FileState.PRESENT


def files(user: Any) -> QuerySet[DataFile]:
    """Return data files with their root and their copies."""
    return visible(user, _with_copies(DataFile.objects.select_related("root")), "in_project")


def _with_copies(rows: QuerySet[DataFile]) -> QuerySet[DataFile]:
    copies = Prefetch("copies", FileCopy.objects.select_related("root"))
    return rows.prefetch_related(copies)


def newest_revisions(rows: list[DataFile]) -> list[DataFile]:
    """Return the newest revision of each file, in the recording's order."""
    newest: dict[tuple[Any, str], DataFile] = {}
    for file in rows:
        key = (file.root_id, file.path)
        if key not in newest or newest[key].revision < file.revision:
            newest[key] = file
    return sorted(newest.values(), key=lambda file: (file.order, file.path))


def events(user: Any) -> QuerySet[Event]:
    """Return events of the sessions that the user may see."""
    return visible(user, Event.objects.all(), "session__project")


def uploads(user: Any) -> QuerySet[Upload]:
    """Return one's own uploads, newest first."""
    return Upload.objects.filter(user=user).select_related("root", "session__project")


def sheets_of(user: Any) -> QuerySet[SheetImport]:
    """Return the spreadsheets that a user sent, newest first, without what they hold."""
    return SheetImport.objects.filter(user=user).defer("content")


def entries(user: Any, model: type[Entry]) -> QuerySet[Any]:
    """Return what was written down about animals of the user's projects; also what was set aside (``deleted``)."""
    return visible(user, model._default_manager.select_related("animal__project", "person"), "animal__project")


def weighings(user: Any) -> QuerySet[Weighing]:
    """Return weighings with ``judged_by``: the restriction of that time (its weight and percentages), or ``None``."""
    rows: QuerySet[Weighing] = entries(user, Weighing)
    return rows.annotate(judged_by=_restriction(OuterRef("animal"), OuterRef("time")))


def _restriction(animal: Any, time: Any) -> Subquery:
    """Return the newest restriction of an animal at a time as ``{kind, reference, expected, alarm}``: g, %, %."""
    return Subquery(
        _restrictions(animal, time).values(
            judged=JSONObject(
                kind="kind", reference="reference_weight", expected="expected_percentage", alarm="alarm_percentage"
            )
        )[:1]
    )


def _restrictions(animal: Any, time: Any) -> QuerySet[Restriction]:
    """Return the restrictions that an animal is under at a time, the newest first."""
    return Restriction.objects.filter(
        Q(end__isnull=True) | Q(end__gt=time), animal=animal, start__lte=time, deleted__isnull=True
    ).order_by("-start", "id")


def with_weights(queryset: QuerySet[Animal]) -> QuerySet[Animal]:
    """Add to animals their newest weighing (``weighed``: weight in g and time) and the restriction of now."""
    newest = (
        Weighing.objects.filter(animal=OuterRef("pk"), deleted__isnull=True)
        .order_by("-time", "id")
        .values(last=JSONObject(weight="weight", time="time"))[:1]
    )
    return queryset.annotate(weighed=Subquery(newest), judged_by=_restriction(OuterRef("pk"), Now()))


def judged(weight: float, judged_by: dict[str, Any] | None) -> tuple[float | None, str]:
    """Return a weight in % of the reference, and what it means: ``good``, ``low``, ``alarm``, or nothing to judge by.

    ``low`` is below what the restriction expects, ``alarm`` below where it has to end.
    """
    if judged_by is None:
        return None, ""
    percentage = 100 * weight / judged_by["reference"]
    if percentage < judged_by["alarm"]:
        return percentage, "alarm"
    return percentage, "low" if percentage < judged_by["expected"] else "good"


def care_of(user: Any, animal: Animal, limit: int = 100) -> dict[str, Any]:
    """Return what an animal's page shows of its care: newest first, without what was set aside."""
    weights = list(weighings(user).filter(animal=animal, deleted=None)[:limit])
    for row in weights:
        row.percentage, row.condition = judged(row.weight, row.judged_by)  # type: ignore[attr-defined]
    return {
        "weights": weights,
        "restriction": _restrictions(animal, timezone.now()).first(),
        "procedures": entries(user, Procedure).filter(animal=animal, deleted=None)[:limit],
        "implants": entries(user, Implant).filter(animal=animal, deleted=None)[:limit],
        "housings": housings(user).filter(animal=animal)[:10],
    }


def cages(user: Any) -> QuerySet[Any]:
    """Return cages with the animals of the user's projects that live there (``living``), in one more query."""
    living = visible(user, Housing.objects.filter(end__isnull=True).select_related("animal"), "animal__project")
    return Cage.objects.prefetch_related(
        Prefetch("housings", living.order_by("animal__identifier"), to_attr="living")
    ).order_by("name")


def housings(user: Any) -> QuerySet[Housing]:
    """Return where the animals of the user's projects live and lived."""
    return visible(user, Housing.objects.select_related("animal", "cage"), "animal__project")


def notes(user: Any) -> QuerySet[Note]:
    """Return notes on what the user may see, with their tags; also those that were set aside (``deleted``)."""
    rows = Note.objects.select_related("animal", "session", "recording", "cage", "rig", "person").prefetch_related(
        "tags"
    )
    if rank_in(user, None) == RANK["administrator"]:
        return rows
    mine = projects_for(user)
    seen = Q(animal__project__in=mine) | Q(session__project__in=mine) | Q(recording__session__project__in=mine)
    if rank_in(user, None):
        seen |= Q(cage__isnull=False) | Q(rig__project__in=mine) | Q(rig__isnull=False, rig__project__isnull=True)
    return rows.filter(seen)


def pairs(user: Any) -> QuerySet[BreedingPair]:
    """Return breeding pairs of the user's projects."""
    return visible(user, BreedingPair.objects.select_related("project", "female", "male"))


def litters(user: Any) -> QuerySet[Litter]:
    """Return litters of the user's projects, with those of their animals that he may see."""
    return visible(user, Litter.objects.select_related("pair__project"), "pair__project").prefetch_related(
        Prefetch("animals", visible(user, Animal.objects.order_by("identifier")))
    )


def one(queryset: QuerySet[Any], pk: UUID | str) -> Any:
    """Return a row by its id; ``NotFound`` when it is not there or not to be seen."""
    found = queryset.filter(pk=pk).first()
    if found is None:
        raise NotFound("There is no such thing here, or none that you may see.")
    return found


def search(user: Any, text: str, limit: int = 20) -> dict[str, list[Any]]:
    """Return animals, sessions and recordings whose names hold every word of a text, newest first."""
    words = [word for word in re.split(r"\s+", text.replace("\0", " ").strip()) if word][:8]
    if not words:
        return {"animals": [], "sessions": [], "recordings": []}
    found = {
        "animals": matching(
            animals(user), words, "identifier", "species__name", "strain__name", "genotype", "cage", "notes"
        ).order_by("identifier"),
        "sessions": of_words(sessions(user), text).order_by("-start", "id"),
        "recordings": of_words(recording_rows(user), text).order_by("-created", "id"),
    }
    wide = "recordings"
    return {name: cut(rows, 0, limit) if name == wide else list(rows[:limit]) for name, rows in found.items()}


def cut(queryset: QuerySet[Any], start: int, stop: int) -> list[Any]:
    """Return rows of an ordered queryset from one place to another; which those are is settled by their keys alone.

    Asked for at once, Postgres may join and count for all rows that it puts in order or passes by.
    """
    keys = list(queryset.values_list("pk", flat=True)[start:stop])
    if not keys:
        return []
    # These have just been found: what narrows the list, words above all, is not looked up a second time. What it was
    # joined with for that may now give a row several times.
    rows = queryset.all()
    rows.query.clear_where()
    return list({row.pk: row for row in rows.filter(pk__in=keys)}.values())


def of_words(queryset: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Narrow sessions or recordings to those which every word of a text begins a word of (of one or two letters: is).

    What their words are is told in ``sessions/models/search.py``.
    """
    asked = WordsAsked(text.replace("\0", " "))
    words: QuerySet[Any] = queryset.model.found_by.related.related_model.objects.all()
    named = words.filter(words=asked).values("pk")
    count = named[: MOST_SORTED + 1].count()
    if count <= MOST_SORTED:
        # Postgres is to take these few from the index of words, whatever it expects of the beginning of a word.
        found = queryset.filter(pk__in=named[:MOST_SORTED])
        return found.alias(among_many=Value(1)) if count > MOST_COUNTED else found
    # What so many have is soon found among the newest; asked as a value, Postgres looks it up row after row.
    has = words.filter(pk=OuterRef("pk")).values(has=ExpressionWrapper(Q(words=asked), BooleanField()))
    return queryset.alias(among_many=Subquery(has)).filter(among_many=True)


def of_animal(queryset: QuerySet[Session], text: str) -> QuerySet[Session]:
    """Narrow sessions to those of animals whose identifier holds a text."""
    animals = list(Animal.objects.filter(identifier__icontains=text).values_list("pk", flat=True)[:1001])
    if len(animals) <= 1000:  # noqa: PLR2004 - a list that is sent in a moment
        return queryset.filter(pk__in=SessionAnimal.objects.filter(animal__in=animals).values("session"))
    parts = SessionAnimal.objects.filter(session=OuterRef("pk"), animal__identifier__icontains=text)
    return queryset.alias(among_many=Subquery(parts.values("session")[:1])).filter(among_many__isnull=False)


class WordsAsked(SearchQuery):
    """The query of a text, as Postgres makes it of the words that it knows things by."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.function = "lab_query"


def matching(queryset: QuerySet[Any], words: list[str], *fields: str) -> QuerySet[Any]:
    """Narrow to rows of which every word is in one of the fields."""
    for word in words:
        anywhere = Q()
        for field in fields:
            found = Q(**{f"{field}__icontains": word})
            # A set of its own for each relation: joined at once, the rows would be their product.
            anywhere |= (
                Q(pk__in=queryset.model.objects.order_by().filter(found).values("pk")) if "__" in field else found
            )
        queryset = queryset.filter(anywhere)
    return queryset


def history(instance: Any, limit: int = 50) -> list[dict[str, Any]]:
    """Return the newest changes of a row: when, who, from where, what kind, and (field, before, after) of each.

    Who is the user name kept with the change; a change by SQL alone has none. Where is in words.
    """
    from django.contrib.auth import get_user_model

    rows = list(instance.history.select_related("pgh_context").order_by("-pgh_id")[: limit + 1])
    ids = {row.pgh_context.metadata.get("user") for row in rows if row.pgh_context} - {None}
    names = dict(get_user_model().objects.filter(pk__in=ids).values_list("pk", "username"))
    kept = {f.name for f in type(instance).history.rel.related_model._meta.fields}
    fields = [f for f in instance._meta.fields if not f.primary_key and f.name in kept]
    named = _names_of_keys(rows, [f for f in fields if f.is_relation])
    changes = []
    for position, row in enumerate(rows[:limit]):
        before = rows[position + 1] if position + 1 < len(rows) else None
        metadata = row.pgh_context.metadata if row.pgh_context else {}
        differences = [
            {
                "field": f.verbose_name,
                "before": _shown(f, getattr(before, f.attname), named),
                "after": _shown(f, getattr(row, f.attname), named),
            }
            for f in fields
            if before is not None and getattr(before, f.attname) != getattr(row, f.attname)
        ]
        changes.append(
            {
                "when": row.pgh_created_at,
                "who": names.get(metadata.get("user", 0), ""),
                "where": _in_words(metadata.get("url", "")),
                "label": row.pgh_label,
                "differences": differences,
            }
        )
    return changes


def _in_words(where: str) -> str:
    """Return how a change came in: the kind of page for a request, else what was read ("from spreadsheet May.csv")."""
    if not where.startswith("/"):
        return f"from {where}" if where else ""
    if where.startswith("/admin/"):
        return "in the admin"
    return "over REST" if where.startswith("/api/") else "on a page"


def _names_of_keys(rows: list[Any], relations: list[Any]) -> dict[str, dict[Any, Any]]:
    """Return, for each relation, the rows that its keys mean: a person reads names."""
    named = {}
    for f in relations:
        keys = {getattr(row, f.attname) for row in rows} - {None}
        # The current row's own relation needs no query when it never changed.
        named[f.attname] = f.related_model.objects.in_bulk(keys) if len(keys) > 1 else {}
    return named


def _shown(f: Any, value: Any, named: dict[str, dict[Any, Any]]) -> Any:
    if value in (None, ""):
        return ""
    if f.is_relation:
        return str(named[f.attname].get(value, value))
    return dict(f.flatchoices).get(value, value) if f.choices else value


def trial_rule(session: Session) -> Rule | None:
    """Return how the events of a session become trials; ``Invalid`` where its task says it wrongly."""
    return None if session.task is None else rule_of(session.task.parameters)


def trials_of(session: Session) -> list[Trial]:
    """Return the trials of a session by the rule of its task, in one query; none without a rule."""
    rule = trial_rule(session)
    if rule is None:
        return []
    rows = Event.objects.filter(session=session, kind__in=rule.kinds).order_by("time", "pk")
    events = rows.values_list("time", "kind", "value", "source").iterator(chunk_size=5000)
    return trials((Reported(*row) for row in events), rule, now=session.end or timezone.now())
