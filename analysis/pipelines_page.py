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
    from analysis import offered
    from analysis.pipelines import registry

    rows: list[dict[str, Any]] = [
        {
            "offer": one,
            "pipeline": one.pipeline,
            "takes": takes(one.pipeline),
            "fields": forms.parameter_fields(one.pipeline),
        }
        for one in offered.everything()
    ]
    return render(request, "analysis/pipeline_list.html", {"rows": rows, "broken": registry.broken()})
