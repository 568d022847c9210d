"""The page that lists every pipeline: what it takes, and where it comes from; also what cannot be used, and why."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from analysis import forms
from analysis.services import takes


@login_required
@require_safe
def pipeline_list(request: HttpRequest) -> HttpResponse:
    """Every pipeline by its name, and what is wrong with those that are not offered."""
    from analysis.pipelines import registry

    rows: list[dict[str, Any]] = [
        {
            "pipeline": offer.pipeline,
            "origin": offer.origin,
            "own": offer.origin.package != registry.LABSITE,
            "takes": takes(offer.pipeline),
            "fields": forms.parameter_fields(offer.pipeline),
        }
        for offer in registry.found().offers.values()
    ]
    return render(request, "analysis/pipeline_list.html", {"rows": rows, "broken": registry.broken()})
