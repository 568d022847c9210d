"""Pages of sessions; the page of one is open during the experiment."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from sessions import selectors, services
from sessions.data_roots import DEFAULT, default_root
from sessions.errors import Invalid
from sessions.forms import (
    MoveForm,
    NotesForm,
    RegisterForm,
    SessionListFilter,
    StartSessionForm,
    carry_out,
    session_initial,
)
from sessions.pagination import page_of
from sessions.permissions import can, projects_for, require
from sessions.requests import HtmxRequest

EVENTS_SHOWN = 100
MOST_TRIALS_SHOWN = 100
NOTES_SHOWN = 50


@login_required
@require_safe
def sessions(request: HttpRequest) -> HttpResponse:
    """All sessions that the reader may see, newest first."""
    form = SessionListFilter(request.GET, user=request.user)
    rows = selectors.sessions(request.user)
    if form.is_valid():
        if day := form.cleaned_data["day"]:
            midnight = timezone.make_aware(datetime.combine(day, time()))
            rows = rows.filter(start__gte=midnight, start__lt=midnight + timedelta(days=1))
        if form.cleaned_data["rig"]:
            rows = rows.filter(rig=form.cleaned_data["rig"])
        if animal := form.cleaned_data["animal"].strip():
            rows = selectors.of_animal(rows, animal)
        if form.cleaned_data["state"]:
            rows = rows.filter(end__isnull=form.cleaned_data["state"] == "running")
    page = page_of(request, rows.order_by("-start", "id"))
    may_add = projects_for(request.user, "change").exists()
    filtered = any(request.GET.values())
    return render(
        request, "sessions/sessions.html", {"form": form, "page": page, "may_add": may_add, "filtered": filtered}
    )


@login_required
@require_safe
def session(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One session: cameras, events as they come, recordings, notes."""
    row = selectors.one(selectors.sessions(request.user), pk)
    recordings: list[Any] = list(selectors.recording_rows(request.user).filter(session=row).order_by("kind", "created"))
    events = row.events.order_by("-time", "-id")
    return render(
        request,
        "sessions/session.html",
        {
            "session": row,
            "recordings": recordings,
            # What a camera sees is of now: beside a session that is over it would mislead.
            "cameras_shown": row.running and row.rig is not None,
            "recording_now": row.running and any(r.file_count == 0 and r.kind == "video" for r in recordings),
            "recorded_bytes": sum(r.size for r in recordings),
            "events": events[:EVENTS_SHOWN],
            "event_count": events.count(),
            "form": NotesForm(initial=session_initial(row)),
            "written": selectors.notes(request.user).filter(session=row, deleted=None)[:NOTES_SHOWN],
            "history": selectors.history(row, limit=20),
            "may_change": can(request.user, "change", row),
        },
    )


@login_required
@require_safe
def session_recordings(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The table of a session's recordings alone, for the page that has it open."""
    row = selectors.one(selectors.sessions(request.user), pk)
    recordings: list[Any] = list(selectors.recording_rows(request.user).filter(session=row).order_by("kind", "created"))
    context = {"recordings": recordings, "recorded_bytes": sum(r.size for r in recordings), "session": row}
    return render(request, "sessions/_recordings.html", context)


@login_required
@require_safe
def session_trials(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The trials of a session and how they ended, for the page that has it open."""
    row = selectors.one(selectors.sessions(request.user), pk)
    context: dict[str, Any] = {"session": row}
    try:
        rule = selectors.trial_rule(row)
        found = selectors.trials_of(row)
    except Invalid as error:
        # A rule that somebody wrote past the checks: the page says so, and shows the rest of the session.
        return render(request, "sessions/_trials.html", {**context, "problem": error.detail})
    ended = Counter(trial.outcome for trial in found if trial.outcome)
    outcomes = [
        {"name": name, "count": count, "percent": round(100 * count / ended.total())}
        for name, count in ended.most_common()
    ]
    shown = [
        {
            "number": trial.number,
            "start": trial.start,
            "seconds": (trial.stop - trial.start).total_seconds() if trial.stop else None,
            "outcome": trial.outcome,
            "measured": list(trial.measures.values()),
        }
        for trial in found[: -MOST_TRIALS_SHOWN - 1 : -1]
    ]
    context |= {"rule": rule, "count": len(found), "outcomes": outcomes, "shown": shown}
    return render(request, "sessions/_trials.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def start_session(request: HttpRequest) -> HttpResponse:
    """Start a session now."""
    if not projects_for(request.user, "change").exists():
        return render(request, "sessions/start.html", {"may_add": False}, status=403)
    chosen = {name: request.GET[name] for name in ("rig", "task", "project") if request.GET.get(name)}
    initial = {**chosen, "animals": request.GET.getlist("animal")}
    looks = "look" in request.POST
    if looks:
        # Only looking for an animal: the form comes back as it was filled in, and starts nothing.
        initial = {**request.POST.dict(), "animals": request.POST.getlist("animals")}
    starts = request.method == "POST" and not looks
    form = StartSessionForm(request.POST if starts else None, user=request.user, initial=initial)
    if starts and form.is_valid():
        values = {**form.cleaned_data, "animals": list(form.cleaned_data["animals"])}
        del values["find"]
        started = carry_out(form, services.start_session, by=request.user, **values)
        if started is not None:
            return redirect("lab:session", started.pk)
    status = 400 if form.is_bound else 200
    return render(request, "sessions/start.html", {"form": form, "may_add": True}, status=status)


@login_required
@require_POST
def end_session(request: HttpRequest, pk: UUID) -> HttpResponse:
    """End a running session."""
    row = services.end_session(by=request.user, session=selectors.one(selectors.sessions(request.user), pk))
    messages.success(request, "The session ended.")
    return redirect("lab:session", row.pk)


@login_required
@require_POST
def keep_events(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Make the events that were reported a recording, for analyses."""
    row = selectors.one(selectors.sessions(request.user), pk)
    recording, made = services.keep_events(by=request.user, session=row)
    said = "The events are a recording now." if made else "These events are a recording already."
    messages.success(request, said)
    return redirect("lab:recording", recording.pk)


@login_required
@require_POST
def session_notes(request: HtmxRequest, pk: UUID) -> HttpResponse:
    """Keep the notes; answers the part of the page that says so."""
    row = selectors.one(selectors.sessions(request.user), pk)
    require(request.user, "change", row)
    form = NotesForm(request.POST, initial=session_initial(row))
    saved = False
    if form.is_valid():
        kept = carry_out(form, services.update_session, by=request.user, session=row, **form.changes())
        if kept is not None:
            saved, row = True, kept
            form = NotesForm(initial=session_initial(row))
    if saved and not request.htmx:
        return redirect("lab:session", row.pk)
    # htmx puts the answer of an error into the page only with a status of success.
    return render(request, "sessions/_notes.html", {"session": row, "form": form, "saved": saved, "may_change": True})


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def move_session(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Say that a session was another animal's."""
    row = selectors.one(selectors.sessions(request.user), pk)
    require(request.user, "change", row)
    form = MoveForm(request.POST if request.method == "POST" else None, user=request.user, session=row)
    if request.method == "POST" and form.is_valid():
        moved = carry_out(form, services.move_session, by=request.user, session=row, **form.cleaned_data)
        if moved is not None:
            messages.success(request, "The session was moved; to take that back, move it again.")
            return redirect("lab:session", row.pk)
    status = 400 if form.is_bound else 200
    return render(request, "sessions/move.html", {"form": form, "session": row}, status=status)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def register_files(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Register files that lie on the server as a recording of this session."""
    row = selectors.one(selectors.sessions(request.user), pk)
    require(request.user, "change", row)
    default_root()
    form = RegisterForm(request.POST if request.method == "POST" else None, initial={"root": DEFAULT})
    if request.method == "POST" and form.is_valid():
        root = form.cleaned_data["root"].name
        files = [{"root": root, "path": path} for path in form.cleaned_data["paths"]]
        added = carry_out(
            form, services.register_recording, by=request.user, session=row, files=files,
            **{name: form.cleaned_data[name] for name in ("kind", "name", "parameters")},
        )  # fmt: skip
        if added is not None:
            return redirect("lab:recording", added.pk)
    status = 400 if form.is_bound else 200
    return render(request, "sessions/register.html", {"form": form, "session": row}, status=status)
