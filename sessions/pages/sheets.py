"""Pages of spreadsheets: send one, look at what every line would do, import it; take one out."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from sessions import selectors
from sessions.errors import Invalid, NotFound
from sessions.forms import SheetForm, SheetOutForm, carry_out
from sessions.permissions import projects_for
from sessions.services import sheets as service
from sessions.sheets.base import WRONG
from sessions.sheets.files import FORMATS
from sessions.sheets.kinds import KINDS, export, kind_named

PAGE = 100
VERDICTS = ("wrong", "new", "changed", "same")


@login_required
@require_safe
def sheets(request: HttpRequest) -> HttpResponse:
    """What can be sent and taken, and what one sent."""
    kind = request.GET.get("kind", "")
    return _page(request, SheetForm(kinds=KINDS, initial={"kind": kind} if kind in KINDS else None))


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def send(request: HttpRequest) -> HttpResponse:
    """Keep and check a spreadsheet. Whoever comes back to the address finds the form."""
    if request.method != "POST":
        return redirect("lab:sheets")
    form = SheetForm(request.POST, request.FILES, kinds=KINDS)
    if form.is_valid():
        file = form.cleaned_data["file"]
        sent = carry_out(
            form, service.send_sheet, by=request.user, kind=form.cleaned_data["kind"], name=file.name,
            content=file.read(),
        )  # fmt: skip
        if sent is not None:
            return redirect("lab:sheet", sent.pk)
    return _page(request, form, status=400)


@login_required
@require_safe
def sheet(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Every line of a spreadsheet: new, changed, same or wrong, and why."""
    row = selectors.one(selectors.sheets_of(request.user), pk)
    chosen = request.GET.get("verdict", "")
    verdicts = row.verdicts.all()
    if chosen in VERDICTS:
        verdicts = verdicts.filter(verdict=chosen)
    return render(
        request,
        "sessions/sheet.html",
        {
            "sheet": row,
            "page": Paginator(verdicts, PAGE).get_page(request.GET.get("page")),
            "chosen": chosen,
            "counts": [(verdict, row.counts.get(verdict, 0)) for verdict in VERDICTS],
            "wrong": row.counts.get(WRONG, 0),
            "to_write": row.counts.get("new", 0) + row.counts.get("changed", 0),
        },
    )


@login_required
@require_POST
def confirm(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Import a checked spreadsheet."""
    row = selectors.one(selectors.sheets_of(request.user), pk)
    service.confirm_sheet(by=request.user, sheet=row)
    return redirect("lab:sheet", row.pk)


@login_required
@require_POST
def discard(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Forget a spreadsheet that was not imported."""
    row = selectors.one(selectors.sheets_of(request.user), pk)
    service.discard_sheet(by=request.user, sheet=row)
    messages.success(request, f"{row.file_name} was discarded; nothing of it was written.")
    return redirect("lab:sheets")


@login_required
@require_safe
def take(request: HttpRequest, kind: str, file_format: str) -> HttpResponse:
    """A file of what the reader may see, which imports again; ``empty`` has the names of the columns only."""
    kind_named(kind)
    if file_format not in FORMATS:
        raise NotFound(f"There is no spreadsheet of the format {file_format}; there is {', '.join(FORMATS)}.")
    form = SheetOutForm(request.GET, user=request.user)
    if not form.is_valid():
        raise Invalid(" ".join(str(message) for messages in form.errors.values() for message in messages))
    filters: dict[str, Any] = {}
    if form.cleaned_data["project"]:
        filters["project"] = form.cleaned_data["project"]
    if form.cleaned_data["session"] and kind == "events":
        filters["session"] = selectors.one(selectors.sessions(request.user), form.cleaned_data["session"])
    empty = form.cleaned_data["empty"]
    content = export(request.user, kind, file_format, filters, empty=empty)
    name = f"{kind}-template" if empty else f"{kind}-{timezone.localdate():%Y-%m-%d}"
    disposition = content_disposition_header(True, f"{name}.{file_format}") or "attachment"  # noqa: FBT003
    headers = {"Content-Disposition": disposition, "Cache-Control": "private, no-store"}
    return HttpResponse(content, content_type=FORMATS[file_format], headers=headers)


def _page(request: HttpRequest, form: SheetForm, status: int = 200) -> HttpResponse:
    return render(
        request,
        "sessions/sheets.html",
        {
            "form": form,
            # A template would call the class itself.
            "kinds": [{"name": kind.name, "columns": kind.columns} for kind in KINDS.values()],
            "projects": selectors.projects(request.user),
            "sent": selectors.sheets_of(request.user)[:20],
            "may_add": projects_for(request.user, "change").exists(),
        },
        status=status,
    )
