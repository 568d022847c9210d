"""Pages of jobs and results: thin, over selectors and services."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from analysis import forms, selectors, services
from analysis.agreement import agreement
from analysis.api.views import page_item_response
from analysis.chains.selectors import of_job
from analysis.clockfits.views import clocks_context
from analysis.discussion.views import discussion_of
from analysis.jobs.models import ENDED, Job, JobState, Result
from analysis.nwb_export import queue_export
from analysis.submission_page import chosen_inputs, page_of_choices
from sessions.errors import Invalid
from sessions.pagination import page_of
from sessions.permissions import can
from sessions.requests import HtmxRequest
from sessions.selectors import one, sessions

# A job that many chains wait for names so many of them.
CHAINS_SHOWN = 3


@login_required
@require_safe
def job_list(request: HtmxRequest) -> HttpResponse:
    """The jobs of the user's projects, newest first; the table alone when htmx asks for it again."""
    from analysis import offered

    jobs = selectors.job_rows(request.user)
    state = request.GET.get("state", "")
    if state in JobState.values:
        jobs = jobs.filter(state=state)
    pipelines = list(offered.all_pipelines())
    pipeline = request.GET.get("pipeline", "")
    if pipeline in pipelines:
        jobs = jobs.filter(pipeline=pipeline)
    session = request.GET.get("session", "")
    if session:
        jobs = selectors.of_session(jobs, session)
    page = page_of(request, jobs)
    rows = [{"job": job, "left": selectors.time_left(job), "took": selectors.took(job)} for job in page]
    context = {
        "page": page,
        "rows": rows,
        "live": any(job.state not in ENDED for job in page),
        "state": state,
        "states": JobState.choices,
        "pipeline": pipeline,
        "session": session,
        "pipelines": pipelines,
        "query": request.GET.urlencode(),
    }
    template = "analysis/_job_rows.html" if request.htmx else "analysis/job_list.html"
    return render(request, template, context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def job_new(request: HtmxRequest) -> HttpResponse:
    """Choose a pipeline, its recordings and parameters, and queue it."""
    if request.method == "POST":
        return _queue(request)
    context = page_of_choices(request.user, request.GET)
    return render(request, "analysis/_job_form.html" if request.htmx else "analysis/job_new.html", context)


def _queue(request: HttpRequest) -> HttpResponse:
    context = page_of_choices(request.user, request.POST)
    pipeline = context["pipeline"]
    if pipeline is None:
        context["errors"] = ["Choose a pipeline."]
        return render(request, "analysis/job_new.html", context, status=400)
    parameters = forms.posted_parameters(pipeline, request.POST)
    seed = request.POST.get("seed", "1").strip()
    try:
        job, created = services.submit(
            user=request.user,
            pipeline=pipeline.name,
            recordings=chosen_inputs(request.POST, pipeline),
            parameters=parameters,
            seed=int(seed) if seed.isdigit() else seed,  # type: ignore[arg-type]
            anew="anew" in request.POST,
        )
    except Invalid as error:
        shown = dict(error.errors)
        for field in context["fields"]:
            field.errors = shown.pop(f"parameters.{field.name}", [])
        context["errors"] = [text for texts in shown.values() for text in texts] or (
            [] if error.errors else [error.detail]
        )
        return render(request, "analysis/job_new.html", context, status=400)
    if not created:
        messages.info(request, "This was asked before: here is the job. Tick “compute anew” to run it again.")
    return redirect("job", job.pk)


@login_required
@require_safe
def job_page(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """A job: how it goes or went, and its result."""
    job = selectors.job(request.user, job_id)
    context = _job_context(request, job)
    if job.parent_id is None and hasattr(job, "result"):
        context |= _result_context(request, selectors.result(request.user, job.result.pk))
    return render(request, "analysis/job.html", context)


@login_required
@require_safe
def job_live(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """The moving part of a job's page; the whole page comes again when the job has ended."""
    job = selectors.job(request.user, job_id)
    response = render(request, "analysis/_job_live.html", _job_context(request, job))
    if job.state in ENDED:
        response["HX-Refresh"] = "true"
    return response


def _job_context(request: HttpRequest, job: Job) -> dict[str, Any]:
    return {
        "job": job,
        "live": job.state not in ENDED,
        "left": selectors.time_left(job),
        "took": selectors.took(job),
        "shards": selectors.shards(job),
        "last_item": job.shard_stop - 1 if job.shard_stop else None,
        "chains": of_job(request.user, job)[:CHAINS_SHOWN],
        "ahead": selectors.ahead(job) if job.state == JobState.QUEUED else 0,
        "trouble": selectors.trouble(job),
        "may_change": can(request.user, "change", job),
        "inputs": [row.recording for row in (job.parent or job).inputs.all()],
        "parameters": forms.parameter_table(job.pipeline, job.version, job.parameters),
    }


@login_required
@require_POST
def job_cancel(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """End a job."""
    services.cancel(user=request.user, job=selectors.job(request.user, job_id))
    return redirect("job", job_id)


@login_required
@require_POST
def job_again(request: HttpRequest, job_id: UUID) -> HttpResponse:
    """Queue an ended job once more."""
    return redirect("job", services.run_again(user=request.user, job=selectors.job(request.user, job_id)).job.pk)


@login_required
@require_safe
def result_page(request: HttpRequest, result_id: UUID) -> HttpResponse:
    """A result: numbers, figures, files, and where it comes from."""
    result = selectors.result(request.user, result_id)
    context = {"job": result.job, "may_change": can(request.user, "change", result), **_result_context(request, result)}
    return render(request, "analysis/result.html", context)


def _result_context(request: HttpRequest, result: Result) -> dict[str, Any]:
    metrics = [{"name": name, **metric} for name, metric in selectors.metrics(result).items()]
    inputs = [row.recording for row in result.job.inputs.select_related("recording__session")]
    headline = [metric for metric in metrics if metric.get("headline")]
    return {
        "result": result,
        "shards": selectors.shards(result.job),
        "inputs": inputs,
        "parameters": forms.parameter_table(result.job.pipeline, result.job.version, result.job.parameters),
        "simulated_input": any(recording.simulated for recording in inputs),
        "compute_time": timedelta(seconds=result.provenance.get("compute_seconds", 0)),
        "headline": headline or metrics[:5],
        "metrics": metrics,
        "figures": [_figure(result, figure) for figure in result.figures],
        "artifacts": [
            {"artifact": artifact, "url": reverse("result-artifact", args=[result.pk, artifact.name])}
            for artifact in result.artifacts.all()
        ],
        "derived": list(result.derived.select_related("session")),
        "agreement": agreement(result),
        "methods_text": selectors.methods_text(result),
        **clocks_context(request.user, result),
        **discussion_of(request, result),
    }


def _figure(result: Result, figure: dict[str, Any]) -> dict[str, Any]:
    name = figure["name"]
    return {
        **figure,
        "item": reverse("result-figure-item", args=[result.pk, name, "THEME"]),
        "files": {
            label: reverse("result-figure", args=[result.pk, name, kind])
            for label, kind in (("PNG", "png"), ("SVG", "svg"), ("PDF", "pdf"), ("data", "json"))
        },
    }


@login_required
@require_POST
def result_reproduce(request: HttpRequest, result_id: UUID) -> HttpResponse:
    """Compute a result again."""
    job = services.reproduce(user=request.user, result=selectors.result(request.user, result_id)).job
    return redirect("job", job.pk)


@login_required
@require_POST
def session_nwb(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Queue the export of a session as NWB, and show the job."""
    session = one(sessions(request.user), session_id)
    try:
        job, created = queue_export(user=request.user, session=session)
    except Invalid as error:
        messages.error(request, error.detail)
        return redirect("lab:session", session_id)
    if not created:
        messages.info(request, "Nothing has changed since this export of the session.")
    return redirect("job", job.pk)


@login_required
@require_safe
def figure_item(request: HttpRequest, result_id: UUID, name: str, theme: str) -> HttpResponseBase:
    """A figure as the JSON that Bokeh draws in the page."""
    return page_item_response(request, selectors.result(request.user, result_id), name, theme)
