"""The page of a shared result: what was found and how, and nothing of where it is kept or who works there."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import wraps
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe
from redis.exceptions import RedisError

from analysis import drawings, forms, selectors
from analysis.api.views import figure_response, page_item_response
from analysis.jobs.models import Result
from analysis.sharing import services
from analysis.sharing.models import ShareLink
from sessions.errors import LabError, NotFound

# So many addresses that show nothing may one address of the network ask for in a minute, as with passwords.
MOST_MISSES = 20
MINUTE = 60
# A shorter text of a private parameter (M, U) is a word of its own elsewhere.
LEAST_NAME = 2
_PATH = re.compile(r"(?<![\w/.])(?:[A-Za-z]:)?[\\/](?:[^\s\\/,;:'\"()]+[\\/])+(?P<last>[^\s\\/,;:'\"()]*)")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")

View = Callable[..., HttpResponseBase]


def without_places(text: str) -> str:
    """Return a text in which paths are only the name of the file, and addresses of people are left out."""
    return _EMAIL.sub("…", _PATH.sub(lambda found: found["last"] or "…", text))


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    """Return a value of JSON with every text in it changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {name: _each_text(each, change) for name, each in value.items()}
    return [_each_text(each, change) for each in value] if isinstance(value, list | tuple) else value


def _without_folder(value: str) -> str:
    return value.rpartition("/")[2] if _is_path(value) else without_places(value)


def _without_sessions(result: Result) -> Callable[[str], str]:
    """Return what cleans a text of a result: of places, and of the sessions behind the names of its recordings."""
    labels = sorted({each["label"] for each in result.provenance.get("inputs", [])}, key=len, reverse=True)

    def cleaned(text: str) -> str:
        for label in labels:
            text = text.replace(label, selectors.outside_name(label))
        return _without_folder(text)

    return cleaned


def _is_path(value: str) -> bool:
    return value.startswith("/") and "\n" not in value


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a value of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def _private(rows: list[dict[str, Any]]) -> re.Pattern[str] | None:
    """Return what finds the words of private parameters, which a summary may repeat: the name of an animal, say."""
    words = {text for row in rows if row["private"] for text in _texts(row["value"]) if len(text) >= LEAST_NAME}
    longest_first = sorted(words, key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)") if words else None


def _methods(result: Result) -> str:
    text = selectors.methods_text(result, outside=True)
    for path in filter(_is_path, _texts(result.job.parameters)):
        # As a whole first: a folder may have spaces in its name.
        text = text.replace(path, path.rpartition("/")[2])
    return without_places(text)


def _count(request: HttpRequest, what: str) -> int:
    """Count something of an address in this minute; 0 where Redis does not answer: a key cannot be guessed anyway."""
    key = f"shared-{what}-{_address(request)}-{int(time.time() // MINUTE)}"
    try:
        cache.add(key, 0, timeout=2 * MINUTE)
        return cache.incr(key)
    except (RedisError, ValueError):
        return 0


def _misses(request: HttpRequest) -> int:
    try:
        return cache.get(f"shared-miss-{_address(request)}-{int(time.time() // MINUTE)}", 0)
    except RedisError:
        return 0


def _address(request: HttpRequest) -> str:
    from rest_framework.throttling import BaseThrottle

    return BaseThrottle().get_ident(request)


def _shared(view: View) -> View:
    """Give a view the link of its key; whatever cannot be shown is one and the same page, and no copy is kept."""

    @require_safe
    @wraps(view)
    def shown(request: HttpRequest, key: str, **more: Any) -> HttpResponseBase:
        asked, most = _count(request, "asked"), settings.LAB_RATE_ANONYMOUS
        if _misses(request) >= MOST_MISSES or 0 < most < asked:
            response: HttpResponseBase = render(request, "analysis/shared_too_often.html", status=429)
            response["Retry-After"] = str(MINUTE - int(time.time()) % MINUTE)
        elif (link := services.shown_by(key)) is None:
            _count(request, "miss")
            response = render(request, "analysis/shared_gone.html", status=404)
        else:
            try:
                response = view(request, link, key, **more)
            except LabError:
                # Nothing that is not there says more of the laboratory than that.
                response = render(request, "analysis/shared_gone.html", status=404)
        response["Cache-Control"] = "private, no-store"
        response["Referrer-Policy"] = "no-referrer"
        response["X-Robots-Tag"] = "noindex, nofollow, noarchive"
        return response

    return shown


@_shared
def shared_result(request: HttpRequest, link: ShareLink, key: str) -> HttpResponse:
    """A result: numbers, figures, methods in words, and what it was computed with."""
    result = link.result
    cleaned = _without_sessions(result)
    metrics = [{"name": name, **metric} for name, metric in _each_text(selectors.metrics(result), cleaned).items()]
    headline = [metric for metric in metrics if metric.get("headline")]
    parameters = forms.parameter_table(result.job.pipeline, result.job.version, result.job.parameters)
    private = _private(parameters)
    summary = cleaned(private.sub("…", result.summary) if private else result.summary)
    if request.method == "GET":
        services.opened(link)
    context = {
        "job": result.job,
        "link": link,
        "summary": summary,
        "metrics": metrics,
        "headline": headline or metrics[:5],
        "figures": [_figure(key, figure) for figure in _each_text(result.figures, cleaned)],
        "parameters": [
            {**row, "value": _each_text(row["value"], _without_folder)} for row in parameters if not row["private"]
        ],
        "kept_back": sum(row["private"] for row in parameters),
        "methods_text": _methods(result),
        "compute_time": timedelta(seconds=result.provenance.get("compute_seconds", 0)),
        "simulated_input": any(row.recording.simulated for row in result.job.inputs.select_related("recording")),
        "origin": _origin(result.provenance),
    }
    return render(request, "analysis/shared.html", context)


def _figure(key: str, figure: dict[str, Any]) -> dict[str, Any]:
    name = figure["name"]
    return {
        **figure,
        "item": reverse("shared-figure-item", args=[key, name, "THEME"]),
        "files": {kind.upper(): reverse("shared-figure", args=[key, name, kind]) for kind in drawings.PAPER_FORMATS},
    }


def _origin(provenance: dict[str, Any]) -> dict[str, Any]:
    """Return of a provenance what says how to compute it again, by hashes: no place, no name of a machine or person."""
    environment = provenance.get("environment", {})
    command = environment.get("command") or {}
    return {
        "code": provenance.get("code", {}),
        "own_code": environment.get("own_code"),
        "command": command
        and {
            "name": command["name"],
            "version": command["version"],
            "files": {path.rpartition("/")[2]: sha256 for path, sha256 in command.get("files", {}).items()},
        },
        "inputs": [
            {
                "kind": recording["kind"],
                "format": recording["format"],
                "files": [{"size": file["size"], "sha256": file["sha256"]} for file in recording["files"]],
            }
            for recording in provenance.get("inputs", [])
        ],
        "python": environment.get("python", ""),
        "processor": environment.get("processor", ""),
        "packages": environment.get("packages", {}),
    }


@_shared
def shared_figure(request: HttpRequest, link: ShareLink, key: str, name: str, file_format: str) -> HttpResponseBase:  # noqa: ARG001
    """A figure as PNG, SVG or PDF."""
    if file_format not in drawings.PAPER_FORMATS:
        raise NotFound("There is no such file.")
    return figure_response(request, link.result, name, file_format)


@_shared
def shared_figure_item(request: HttpRequest, link: ShareLink, key: str, name: str, theme: str) -> HttpResponseBase:  # noqa: ARG001
    """A figure as the JSON that Bokeh draws in the page."""
    return page_item_response(request, link.result, name, theme)
