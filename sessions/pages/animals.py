"""Pages of animals."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from sessions import selectors, services
from sessions.forms import AnimalForm, AnimalListFilter, carry_out
from sessions.pagination import page_of
from sessions.permissions import can, projects_for, require

NOTES_SHOWN = 50


@login_required
@require_safe
def animals(request: HttpRequest) -> HttpResponse:
    """All animals that the reader may see, searched and filtered."""
    form = AnimalListFilter(request.GET, user=request.user)
    rows = selectors.with_session_counts(selectors.animals(request.user))
    if form.is_valid():
        if text := form.cleaned_data["q"].strip():
            rows = selectors.matching(rows, text.split(), "identifier", "cage", "genotype", "strain__name", "notes")
        if form.cleaned_data["project"]:
            rows = rows.filter(project=form.cleaned_data["project"])
        if form.cleaned_data["status"]:
            rows = rows.filter(status=form.cleaned_data["status"])
    page = page_of(request, rows.order_by("identifier"))
    return render(
        request,
        "sessions/animals.html",
        {"form": form, "page": page, "filtered": any(request.GET.values()), "may_add": _may_add(request)},
    )


@login_required
@require_safe
def animal(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One animal: its weights, sessions, procedures, notes, facts, and every change of its record."""
    row = selectors.one(selectors.animals(request.user), pk)
    sessions = page_of(request, selectors.sessions(request.user).filter(animals=row))
    return render(
        request,
        "sessions/animal.html",
        {
            "animal": row,
            "sessions": sessions,
            "history": selectors.history(row),
            "notes": selectors.notes(request.user).filter(animal=row, deleted=None)[:NOTES_SHOWN],
            **selectors.care_of(request.user, row),
            "may_change": can(request.user, "change", row),
        },
    )


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new_animal(request: HttpRequest) -> HttpResponse:
    """Take an animal into a project."""
    form = AnimalForm(request.POST if request.method == "POST" else None, user=request.user)
    if request.method == "POST" and form.is_valid():
        added = carry_out(form, services.create_animal, by=request.user, **form.cleaned_data)
        if added is not None:
            messages.success(request, f"{added} was added.")
            return redirect("lab:animal", added.pk)
    return render(
        request, "sessions/animal_form.html", {"form": form, "may_add": _may_add(request)}, status=_status(form)
    )


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def change_animal(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Change an animal's facts."""
    row = selectors.one(selectors.animals(request.user), pk)
    require(request.user, "change", row)
    initial = {name: getattr(row, name) for name in AnimalForm.base_fields}
    form = AnimalForm(request.POST if request.method == "POST" else None, user=request.user, initial=initial)
    if (
        request.method == "POST"
        and form.is_valid()
        and carry_out(form, services.update_animal, by=request.user, animal=row, **form.changes()) is not None
    ):
        messages.success(request, f"{row} was changed.")
        return redirect("lab:animal", row.pk)
    return render(
        request, "sessions/animal_form.html", {"form": form, "animal": row, "may_add": True}, status=_status(form)
    )


def _may_add(request: HttpRequest) -> bool:
    return projects_for(request.user, "change").exists()


def _status(form: AnimalForm) -> int:
    return 400 if form.is_bound and not form.is_valid() else 200
