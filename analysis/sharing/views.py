"""Making and revoking links from the page of a result."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from analysis import selectors
from analysis.jobs.models import Result
from analysis.sharing import services
from sessions.errors import Invalid, NotFound

# Days, as the form offers them; nothing for a link that does not expire.
SPANS = (("1", "1 day"), ("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("365", "a year"), ("", "no end"))
USUAL = "30"


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def result_share(request: HttpRequest, result_id: UUID) -> HttpResponse:
    """The links to a result, and a form for a new one, whose address is on the answer and never again."""
    result = selectors.result(request.user, result_id)
    if request.method != "POST":
        return _page(request, result)
    days = request.POST.get("days", USUAL)
    if days not in dict(SPANS):
        raise Invalid("Choose how long the link shows the result.", {"days": ["Choose one of the list."]})
    expires = timezone.now() + timedelta(days=int(days)) if days else None
    link, key = services.share(by=request.user, result=result, expires=expires, note=request.POST.get("note", ""))
    return _page(request, result, made=link, address=request.build_absolute_uri(reverse("shared-result", args=[key])))


def _page(request: HttpRequest, result: Result, **made: Any) -> HttpResponse:
    services.require(request.user, "change", result)
    context = {
        "result": result,
        "job": result.job,
        "links": services.links(request.user).filter(result=result),
        "now": timezone.now(),
        "spans": SPANS,
        "usual": USUAL,
        **made,
    }
    return render(request, "analysis/result_share.html", context)


@login_required
@require_POST
def link_revoke(request: HttpRequest, link_id: UUID) -> HttpResponse:
    """Revoke a link."""
    link = services.links(request.user).filter(pk=link_id).first()
    if link is None:
        raise NotFound("There is no such link here.")
    services.revoke(by=request.user, link=link)
    messages.success(request, "The link was revoked; it shows nothing any more.")
    return redirect("result-share", link.result_id)
