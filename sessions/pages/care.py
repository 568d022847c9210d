"""Pages for the phone in the animal room. What is typed there goes over REST, by the script that also keeps it."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

import segno
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.safestring import mark_safe
from django.views.decorators.http import require_safe

from sessions import selectors
from sessions.errors import Invalid, NotFound
from sessions.models import Animal, AnimalStatus, Cage
from sessions.permissions import projects_for

# So many on a page or a sheet of labels; nobody weighs more at a time.
MOST = 200


@login_required
@require_safe
def care(request: HttpRequest) -> HttpResponse:
    """The animal room: cages with who lives there, and a field for a code."""
    cages = [cage for cage in selectors.cages(request.user).filter(housings__end=None).distinct() if cage.living]
    sheets = [cages[first : first + MOST] for first in range(0, len(cages), MOST)]
    return render(request, "sessions/care.html", {"cages": cages, "sheets": sheets, "may_add": _may_add(request)})


@login_required
@require_safe
def who(request: HttpRequest) -> HttpResponse:
    """Tell the script whose words would be sent now, and the time (ms since 1970): a phone's clock may be wrong."""
    return JsonResponse(
        {"user": request.user.pk, "now": round(time.time() * 1000)}, headers={"Cache-Control": "no-store"}
    )


@login_required
@require_safe
def find(request: HttpRequest) -> HttpResponse:
    """Lead to the animal or cage of a code: an identifier, a name, or the address that a label holds."""
    code = request.GET.get("code", "").replace("\0", "").strip()
    if not code:
        return redirect("lab:care")
    last = code.rstrip("/").rpartition("/")[2]
    mine = selectors.animals(request.user)
    animal = mine.filter(identifier__iexact=code).first() or _by_id(mine, last)
    if animal is not None:
        return redirect("lab:animal", animal.pk)
    cage = Cage.objects.filter(name__iexact=code).first() or _by_id(Cage.objects.all(), last)
    if cage is not None:
        return redirect("lab:cage", cage.pk)
    raise NotFound(f"There is neither an animal nor a cage {code[:60]!r}, or none that you may see.")


@login_required
@require_safe
def cage(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One cage: who lives there, how heavy, and what can be done."""
    row = selectors.one(selectors.cages(request.user), pk)
    animals = selectors.animals(request.user).filter(housings__cage=row, housings__end=None)
    return render(
        request,
        "sessions/cage.html",
        {
            "cage": row,
            "animals": weighed(animals),
            "left_out": _left_out(animals),
            "notes": selectors.notes(request.user).filter(cage=row, deleted=None)[:20],
            "may_change": _may_add(request),
        },
    )


@login_required
@require_safe
def weigh(request: HttpRequest) -> HttpResponse:
    """Weigh the animals of a cage, or those named, one after the other."""
    return _round(request, "weigh")


@login_required
@require_safe
def water(request: HttpRequest) -> HttpResponse:
    """Give water to the animals of a cage, or to those named."""
    return _round(request, "water")


def _round(request: HttpRequest, kind: str) -> HttpResponse:
    animals = _chosen(request)
    return render(
        request, "sessions/care_round.html",
        {
            "kind": kind, "animals": weighed(animals), "left_out": _left_out(animals), "may_change": _may_add(request),
        },
    )  # fmt: skip


@login_required
@require_safe
def note(request: HttpRequest) -> HttpResponse:
    """Write a note with a photo on an animal, a cage or a session."""
    owners = {
        "animal": selectors.animals(request.user), "cage": Cage.objects.all(),
        "session": selectors.sessions(request.user),
    }  # fmt: skip
    given = [name for name in owners if request.GET.get(name)]
    if len(given) != 1:
        return redirect("lab:care")
    about = _by_id(owners[given[0]], request.GET[given[0]])
    if about is None:
        raise NotFound("There is no such thing here, or none that you may see.")
    return render(
        request, "sessions/care_note.html",
        {"relation": given[0], "about": about, "may_change": _may_add(request)},
    )  # fmt: skip


@login_required
@require_safe
def labels(request: HttpRequest) -> HttpResponse:
    """Labels to print: a QR code that leads to the page of an animal or of a cage, and its name to read."""
    rows: list[dict[str, Any]] = [
        {"name": f"Cage {row.name}", "more": row.location, "address": reverse("lab:cage", args=[row.pk])}
        for row in Cage.objects.filter(pk__in=_ids(request, "cage"))
    ]
    for animal in _chosen(request):
        more = " · ".join(str(part) for part in (animal.strain or animal.species, animal.get_sex_display()) if part)
        rows.append({"name": animal.identifier, "more": more, "address": reverse("lab:animal", args=[animal.pk])})
    for label in rows:
        label["code"] = qr_code(request.build_absolute_uri(label["address"]))
    return render(request, "sessions/labels.html", {"labels": rows})


def qr_code(text: str) -> str:
    """Return a QR code as SVG to put into a page: black on white, whatever the page's colours, for cameras to read."""
    drawn = segno.make(text, error="m", micro=False).svg_inline(omitsize=True, border=2, dark="#000", light="#fff")
    return mark_safe(drawn)  # noqa: S308 - segno draws paths of numbers; the text itself is not in them


def weighed(animals: QuerySet[Animal]) -> list[Animal]:
    """Return animals by name with ``last`` (their newest weight, g), and its ``percentage`` and ``condition``.

    Of more than 200 (``MOST``) the first; ``_left_out`` says how many are not among them.
    """
    found = list(selectors.with_weights(animals).order_by("identifier")[:MOST])
    for animal in found:
        newest = animal.weighed  # type: ignore[attr-defined]
        animal.last = newest["weight"] if newest else None  # type: ignore[attr-defined]
        animal.percentage, animal.condition = (  # type: ignore[attr-defined]
            selectors.judged(newest["weight"], animal.judged_by) if newest else (None, "")  # type: ignore[attr-defined]
        )
    return found


def _left_out(animals: QuerySet[Animal]) -> int:
    return max(0, animals.count() - MOST)


def _chosen(request: HttpRequest) -> QuerySet[Animal]:
    """Return the living animals of the cages and identities of the address that the reader may see."""
    living = selectors.animals(request.user).filter(status=AnimalStatus.ALIVE)
    in_cages = Animal.objects.filter(housings__cage__in=_ids(request, "cage"), housings__end=None).values("pk")
    return living.filter(pk__in=in_cages) | living.filter(pk__in=_ids(request, "animal"))


def _ids(request: HttpRequest, name: str) -> list[UUID]:
    named = [text for text in request.GET.getlist(name) if text]
    if len(named) > MOST:
        raise Invalid(f"The address names {len(named)} of {name}; at most {MOST} are shown at a time.")
    try:
        return [UUID(text) for text in named]
    except ValueError:
        raise Invalid(f"The address names a {name} that is none.") from None


def _by_id(rows: QuerySet[Any], text: str) -> Any:
    try:
        return rows.filter(pk=UUID(text)).first()
    except ValueError:
        return None


def _may_add(request: HttpRequest) -> bool:
    return projects_for(request.user, "change").exists()
