"""The page on which sorted units are looked at and labelled."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from analysis.labels import selectors
from analysis.labels.models import UnitLabel
from sessions.permissions import can


@login_required
@require_safe
def units_page(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Each unit of a recording with waveform, autocorrelogram, amplitude and rate, and its label by hand."""
    recording = selectors.sorted_units(request.user, pk)
    context = {
        "recording": recording,
        "labels": UnitLabel.choices,
        "may_change": can(request.user, "change", recording),
    }
    return render(request, "analysis/units.html", context)
