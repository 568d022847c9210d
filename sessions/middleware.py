"""Pages answer domain errors with a page that says what is wrong."""

from collections.abc import Callable
from typing import Any

from csp.constants import SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import render

from sessions.errors import LabError

# The admin's own scripts evaluate expressions and set styles; no other page may.
ADMIN_POLICY = {"script-src": [SELF, UNSAFE_EVAL], "style-src": [SELF, UNSAFE_INLINE]}
ADMIN_METHODS = ("GET", "HEAD", "POST")


class LabErrorMiddleware:
    """Turn a ``LabError`` raised by a page into that status and a sentence; REST has its own handler."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Render the error, as a fragment when htmx asked."""
        if not isinstance(error, LabError):
            return None
        template = "error_fragment.html" if getattr(request, "htmx", False) else "error.html"
        return render(request, template, {"error": error}, status=error.status)


class AdminPolicyMiddleware:
    """On pages of the admin alone: a Content-Security-Policy as wide as its scripts need, and only its own methods."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if _of_admin(request):
            response._csp_update = ADMIN_POLICY  # type: ignore[attr-defined]
        return response

    def process_view(self, request: HttpRequest, *_view: Any) -> HttpResponse | None:
        """Refuse methods that the admin does not have; it would take each for a GET."""
        if _of_admin(request) and request.method not in ADMIN_METHODS:
            return HttpResponseNotAllowed(ADMIN_METHODS)
        return None


def _of_admin(request: HttpRequest) -> bool:
    match = request.resolver_match
    return match is not None and match.app_name == "admin"
