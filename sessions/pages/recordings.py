"""Pages of recordings, their files, and the search over everything."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from sessions import selectors, services
from sessions.downloads import data_file_response, playable
from sessions.formats import FORMATS
from sessions.forms import RecordingListFilter
from sessions.models import DataRoot, FileRole, Recording, RecordingKind
from sessions.pagination import page_of
from sessions.permissions import can

FILES_SHOWN = 100
# Facts that the page shows by themselves: what readers found in the files.
FOUND = ("streams", "units", "spikes", "events", "tracks", "probe", "start", "notes", "asked")


def _found(row: Recording) -> dict[str, Any]:
    """Return what readers found; what was asked for is left out once the recording's parameters say it."""
    found = {name: row.facts[name] for name in FOUND if row.facts.get(name) is not None}
    return found | {"asked": [name for name in found.get("asked", ()) if not row.parameters.get(name)]}


@login_required
@require_safe
def recordings(request: HttpRequest) -> HttpResponse:
    """All recordings that the reader may see, newest first."""
    form = RecordingListFilter(request.GET)
    rows = selectors.recording_rows(request.user)
    if form.is_valid():
        if text := form.cleaned_data["q"].strip():
            rows = selectors.of_words(rows, text)
        if form.cleaned_data["kind"]:
            rows = rows.filter(kind=form.cleaned_data["kind"])
        if form.cleaned_data["state"]:
            rows = selectors.with_wrong_files(rows)
    page = page_of(request, rows.order_by("-created", "id"))
    filtered = any(request.GET.values())
    wrong = selectors.count_wrong_files(request.user)
    return render(
        request, "sessions/recordings.html", {"form": form, "page": page, "filtered": filtered, "wrong": wrong}
    )


@login_required
@require_safe
def recording(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One recording: what it is, its files, what was made of it."""
    row = selectors.one(selectors.recordings(request.user), pk)
    files = selectors.newest_revisions(list(row.files.all()))
    label = FORMATS[row.format].label if row.format in FORMATS else row.format
    by_role = {file.role: file for file in reversed(files)}
    return render(
        request,
        "sessions/recording.html",
        {
            "playable": playable(row, files),
            "poster": by_role.get(FileRole.POSTER),
            "recording": row,
            "session": selectors.one(selectors.sessions(request.user), row.session_id),
            "files": files[:FILES_SHOWN],
            "more_files": max(0, len(files) - FILES_SHOWN),
            "size": sum(file.size for file in files),
            "wrong": sum(map(selectors.is_wrong, files)),
            "hashed": sum(bool(file.sha256) for file in files),
            "file_count": len(files),
            "filmed": row.session.recordings.filter(kind=RecordingKind.VIDEO).exists(),
            "traced": bool(files) and row.kind in (RecordingKind.EPHYS, RecordingKind.LFP),
            "roots": DataRoot.objects.order_by("name"),
            "may_delete": can(request.user, "delete", row),
            "format_label": label,
            "found": found if any((found := _found(row)).values()) else {},
            "facts": {name: value for name, value in row.facts.items() if name not in FOUND},
            "parents": selectors.recording_rows(request.user).filter(derived=row),
            "children": selectors.recording_rows(request.user).filter(derived_from=row),
            "may_change": can(request.user, "change", row),
        },
    )


@login_required
@require_POST
def copy_file(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Have a file copied to another data root."""
    file = selectors.one(selectors.files(request.user), pk)
    services.add_copy(by=request.user, file=file, root=request.POST.get("root", ""), copy=True)
    messages.success(request, f"{file.path} is being copied.")
    return redirect("lab:recording", file.recording_id)


@login_required
@require_POST
def forget_copy(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Strike a copy of a file off the catalog."""
    file = selectors.one(selectors.files(request.user), pk)
    services.forget_copy(by=request.user, file=file, copy=request.POST.get("copy", ""))
    messages.success(request, "The copy was struck off; nothing on the disk was touched.")
    return redirect("lab:recording", file.recording_id)


@login_required
@require_safe
def download(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """The content of a data file."""
    return data_file_response(request, selectors.one(selectors.files(request.user), pk))


@login_required
@require_safe
def search(request: HttpRequest) -> HttpResponse:
    """Animals, sessions and recordings by words of their names and notes."""
    text = request.GET.get("q", "")[:200].replace("\0", " ")
    found = selectors.search(request.user, text)
    return render(request, "sessions/search.html", {"q": text, "found": found, "any": any(found.values())})
