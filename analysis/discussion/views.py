"""Pages of comments, papers and results side by side: thin, over selectors and services."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from analysis import selectors as results
from analysis.bundles import MOST_RESULTS
from analysis.discussion import selectors, services
from analysis.jobs.models import Result
from sessions.errors import Invalid
from sessions.permissions import can
from sessions.selectors import one


def discussion_of(request: HttpRequest, result: Result) -> dict[str, Any]:
    """Return the template variables of what is said of a result."""
    mine, may_delete = request.user.pk, can(request.user, "delete", result)
    return {
        "comments": [
            {"comment": row, "mine": row.person_id == mine, "may_withdraw": may_delete or row.person_id == mine}
            for row in selectors.comments(request.user).filter(result=result)
        ],
        "paper_marks": list(selectors.marks(request.user).filter(result=result)),
        "paper_names": selectors.paper_names(request.user, result.project),
        "comparable": selectors.comparable(request.user, result),
    }


@login_required
@require_POST
def comment_add(request: HttpRequest, result_id: UUID) -> HttpResponse:
    """Say something of a result."""
    result = results.result(request.user, result_id)
    try:
        comment = services.add_comment(by=request.user, result=result, text=request.POST.get("text", ""))
    except Invalid as error:
        messages.error(request, error.detail)
        return redirect(f"{reverse('result', args=[result.pk])}#comments")
    return redirect(f"{reverse('result', args=[result.pk])}#comment-{comment.pk}")


@login_required
@require_POST
def comment_change(request: HttpRequest, comment_id: UUID) -> HttpResponse:
    """Correct, withdraw or restore a comment."""
    comment = one(selectors.comments(request.user), comment_id)
    asked = request.POST.get("do", "")
    try:
        if asked == "withdraw":
            services.withdraw_comment(by=request.user, comment=comment)
        elif asked == "restore":
            services.restore_comment(by=request.user, comment=comment)
        else:
            services.change_comment(by=request.user, comment=comment, text=request.POST.get("text", ""))
    except Invalid as error:
        messages.error(request, error.detail)
    return redirect(f"{reverse('result', args=[comment.result_id])}#comment-{comment.pk}")


@login_required
@require_POST
def mark_add(request: HttpRequest, result_id: UUID) -> HttpResponse:
    """Mark a result for a paper."""
    result = results.result(request.user, result_id)
    try:
        services.mark_for_paper(
            by=request.user, result=result, paper=request.POST.get("paper", ""), figure=request.POST.get("figure", "")
        )
    except Invalid as error:
        messages.error(request, error.detail)
    return redirect(f"{reverse('result', args=[result.pk])}#papers")


@login_required
@require_POST
def mark_remove(request: HttpRequest, mark_id: UUID) -> HttpResponse:
    """Take a result out of a paper."""
    mark = one(selectors.marks(request.user), mark_id)
    services.remove_mark(by=request.user, mark=mark)
    return redirect(f"{reverse('result', args=[mark.result_id])}#papers")


@login_required
@require_safe
def paper_list(request: HttpRequest) -> HttpResponse:
    """Every paper with the results that are for it, to look at together and to take home."""
    found = [
        {
            "paper": paper,
            # A bundle has so many results at most, and a long paper several bundles.
            "bundles": [
                _with_ids("result-bundles", paper.results[first : first + MOST_RESULTS])
                for first in range(0, len(paper.results), MOST_RESULTS)
            ],
            "compare": _with_ids("result-compare", paper.results)
            if selectors.LEAST_COMPARED <= len(paper.results) <= selectors.MOST_COMPARED
            else "",
        }
        for paper in selectors.papers(request.user)
    ]
    return render(request, "analysis/paper_list.html", {"papers": found})


@login_required
@require_safe
def compare(request: HttpRequest) -> HttpResponse:
    """Results side by side: their numbers, what they were made with, and their figures."""
    try:
        wanted = [UUID(text) for text in request.GET.getlist("id") if text]
    except ValueError as error:
        raise Invalid("The id of a result is a UUID.") from error
    compared = selectors.side_by_side(request.user, wanted)
    parameters = selectors.compared_parameters(compared)
    context = {
        "results": compared,
        "numbers": selectors.compared_numbers(compared),
        "different": [row for row in parameters if row.differs],
        "alike": [row for row in parameters if not row.differs],
        "figures": [
            (title, [_drawn(result, figure) for result, figure in zip(compared, each, strict=True)])
            for title, each in selectors.compared_figures(compared)
        ],
        "bundle": _with_ids("result-bundles", [result.pk for result in compared]),
    }
    return render(request, "analysis/result_compare.html", context)


def _drawn(result: Result, figure: dict[str, Any] | None) -> dict[str, Any] | None:
    if figure is None:
        return None
    return {
        **figure,
        "item": reverse("result-figure-item", args=[result.pk, figure["name"], "THEME"]),
        "png": reverse("result-figure", args=[result.pk, figure["name"], "png"]),
    }


def _with_ids(name: str, ids: list[Any]) -> str:
    return f"{reverse(name)}?{'&'.join(f'id={pk}' for pk in ids)}"
