"""Pages of chains: thin, over selectors and services."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from analysis.chains import selectors, services
from analysis.chains.models import Chain, ChainState
from analysis.chains.page import page_of_choices, posted, uuids
from sessions.errors import Invalid
from sessions.pagination import page_of
from sessions.permissions import can
from sessions.requests import HtmxRequest


@login_required
@require_safe
def chain_list(request: HtmxRequest) -> HttpResponse:
    """The chains of the user's projects, newest first; the rows alone when htmx asks for them again."""
    chains = selectors.chains(request.user)
    state = request.GET.get("state", "")
    if state in ChainState.values:
        chains = chains.filter(state=state)
    batch, session = (next(iter(uuids([request.GET.get(name, "")])), None) for name in ("batch", "session"))
    counts = selectors.counts(chains.filter(batch=batch)) if batch else {}
    if batch:
        chains = chains.filter(batch=batch)
    if session:
        chains = chains.filter(session=session)
    page = page_of(request, chains)
    context = {
        "page": page,
        "rows": [{"chain": chain, "nodes": selectors.nodes(chain)} for chain in page],
        "live": any(chain.state == ChainState.RUNNING for chain in page),
        "state": state,
        "states": ChainState.choices,
        "batch": batch,
        "counts": counts,
        "session": session,
        "query": request.GET.urlencode(),
    }
    return render(request, "analysis/_chain_rows.html" if request.htmx else "analysis/chain_list.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def chain_new(request: HtmxRequest) -> HttpResponse:
    """Choose a chain, sessions and parameters, and start it; a POST that is not filled in only chooses sessions."""
    asked = request.POST if request.method == "POST" else request.GET
    context = page_of_choices(request.user, asked)
    if request.method == "POST" and "filled" in request.POST:
        return _start(request, context)
    return render(request, "analysis/_chain_form.html" if request.htmx else "analysis/chain_new.html", context)


def _start(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    try:
        started = services.start(user=request.user, **posted(context["definition"], request.POST))
    except Invalid as error:
        shown = dict(error.errors)
        for row in context["fields"]:
            for field in row["fields"]:
                field.errors = shown.pop(f"parameters.{row['step'].name}.{field.name}", [])
                row["wrong"] = row["wrong"] or bool(field.errors)
        context["errors"] = [text for texts in shown.values() for text in texts] or (
            [] if error.errors else [error.detail]
        )
        return render(request, "analysis/chain_new.html", context, status=400)
    if len(started) == 1:
        return redirect("chain", started[0].pk)
    return redirect(f"{reverse('chains')}?batch={started[0].batch}")


@login_required
@require_safe
def chain_page(request: HttpRequest, chain_id: UUID) -> HttpResponse:
    """A chain: its graph with the state of each step."""
    return render(request, "analysis/chain.html", _context(request, selectors.chain(request.user, chain_id)))


@login_required
@require_safe
def chain_live(request: HttpRequest, chain_id: UUID) -> HttpResponse:
    """The moving part of a chain's page; the whole page comes again when the chain has ended."""
    chain = selectors.chain(request.user, chain_id)
    response = render(request, "analysis/_chain_graph.html", _context(request, chain))
    if chain.state != ChainState.RUNNING:
        response["HX-Refresh"] = "true"
    return response


def _context(request: HttpRequest, chain: Chain) -> dict[str, Any]:
    graph = selectors.graph(chain)
    return {
        "chain": chain,
        "graph": graph,
        "live": chain.state == ChainState.RUNNING,
        "troubles": selectors.troubles(chain),
        "may_change": can(request.user, "change", chain),
        "failed": any(node.state in services.TRIED_AGAIN for layer in graph.layers for node in layer),
        "together": selectors.together(request.user, chain),
    }


@login_required
@require_POST
def chain_cancel(request: HttpRequest, chain_id: UUID) -> HttpResponse:
    """End a chain."""
    services.cancel(user=request.user, chain=selectors.chain(request.user, chain_id))
    return redirect("chain", chain_id)


@login_required
@require_POST
def chain_again(request: HttpRequest, chain_id: UUID) -> HttpResponse:
    """Queue once more what failed, or the one step that is named."""
    step = request.POST.get("step") or None
    services.try_again(user=request.user, chain=selectors.chain(request.user, chain_id), step=step)
    return redirect("chain", chain_id)
